//! `NativeFileServer`: starts and ends crates/fileserver, on libuv's pool so that JavaScript's thread never waits for threads.
use crate::{error::coded, routes::NativeRoutes, times::NativeBucket};
use napi::{Env, Result, Task, bindgen_prelude::AsyncTask};
use napi_derive::napi;
use ringwheel_fileserver::{
    Address, CloseOptions, CoreStats, Cores, DriverKind, Options, Reloader, Server, ServerStats, StartError,
    Stopper, route::Routes,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Counters, summed over all cores.
#[napi(object)]
pub struct NativeServerStats {
    pub requests: f64,
    pub bytes: f64,
    pub cache_hits: f64,
    pub connections: f64,
    pub accepted: f64,
    pub shed: f64,
    pub timeouts: f64,
    pub cut: f64,
    pub loads: f64,
    pub compressions: f64,
    pub compressed_bytes: f64,
    pub cache_bytes: f64,
    pub cache_entries: f64,
    pub open_files: f64,
    pub stalls: f64,
    pub longest_stall_ms: f64,
    pub access_log_dropped: f64,
    pub access_log_error: Option<String>,
    pub statuses: HashMap<String, f64>,
    pub latency: NativeAnswerLatency,
    pub cores: Vec<NativeCoreStats>,
}

/// How long answers took.
#[napi(object)]
pub struct NativeAnswerLatency {
    pub samples: f64,
    pub sum_us: f64,
    pub buckets: Vec<NativeBucket>,
}

/// One core's share.
#[napi(object)]
pub struct NativeCoreStats {
    pub cpu: Option<u32>,
    pub requests: f64,
    pub bytes: f64,
    pub cache_hits: f64,
    pub connections: f64,
    pub turns: f64,
    pub enters: f64,
    pub stalls: f64,
    pub tasks: f64,
    pub in_flight: f64,
    pub completed: f64,
    pub cpu_ms: f64,
    pub looked_ms: f64,
}

/// A running server.
#[napi]
pub struct NativeFileServer {
    server: Arc<Mutex<Option<Server>>>,
    stopper: Stopper,
    reloader: Reloader,
    addresses: Vec<Address>,
    driver: DriverKind,
    features: Vec<String>,
    notes: Vec<String>,
    /// Of each core that serves.
    cpus: Vec<Option<usize>>,
}

/// Starts a server on libuv's pool.
pub struct Start {
    options: Option<Options>,
    handed: Vec<i32>,
    routes: Routes,
}

impl Task for Start {
    type Output = Server;
    type JsValue = NativeFileServer;

    fn compute(&mut self) -> Result<Server> {
        let options = self.options.take().ok_or_else(|| coded("INTERNAL", "a task runs once"))?;
        Server::succeed(options, &self.routes, &self.handed).map_err(|error| not_started(&error))
    }

    fn resolve(&mut self, _env: Env, server: Server) -> Result<NativeFileServer> {
        Ok(NativeFileServer {
            stopper: server.stopper(),
            reloader: server.reloader(),
            addresses: server.addresses().to_vec(),
            driver: server.driver(),
            features: server.features().iter().map(ToString::to_string).collect(),
            notes: server.notes().to_vec(),
            cpus: server.cores().to_vec(),
            server: Arc::new(Mutex::new(Some(server))),
        })
    }
}

/// Changes a server's configuration, or reads its certificates again, on libuv's pool.
pub struct Reload {
    reloader: Reloader,
    what: What,
}

/// What is read again.
enum What {
    Options(Option<Box<Options>>),
    Certificates,
    AccessLog,
}

impl Task for Reload {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        let done = match &mut self.what {
            What::Options(options) => {
                let options = options.take().ok_or_else(|| coded("INTERNAL", "a task runs once"))?;
                self.reloader.reload(*options)
            }
            What::Certificates => self.reloader.reload_certificates(),
            What::AccessLog => self.reloader.reopen_access_log(),
        };
        done.map_err(|error| not_started(&error))
    }

    fn resolve(&mut self, _env: Env, _: ()) -> Result<()> {
        Ok(())
    }
}

/// Drains a server on libuv's pool.
pub struct Close {
    server: Option<Server>,
    options: CloseOptions,
}

impl Task for Close {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        let mut server = self.server.take().ok_or_else(|| coded("CLOSED", "the server is closed"))?;
        server.close_with(self.options);
        Ok(())
    }

    fn resolve(&mut self, _env: Env, _: ()) -> Result<()> {
        Ok(())
    }
}

/// Starts a server with options as JSON, in the names of crates/fileserver, and with routes; on the sockets of the one before it, where it has
/// some. Resolves when all its cores listen.
#[napi]
pub fn start_file_server(
    options: String,
    routes: &NativeRoutes,
    handed: Vec<i32>,
) -> Result<AsyncTask<Start>> {
    let options = serde_json::from_str(&options).map_err(|error| coded("INVALID_OPTION", error))?;
    Ok(AsyncTask::new(Start { options: Some(options), routes: routes.routes(), handed }))
}

/// Checks options on libuv's pool, as a start does before it binds.
pub struct Check {
    options: Options,
}

impl Task for Check {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        let cpus = Server::check(&self.options).map_err(|error| not_started(&error))?;
        if self.options.cores == Cores::All {
            let count = Cores::Count(cpus.len());
            self.options.cores = cpus.into_iter().collect::<Option<_>>().map_or(count, Cores::List);
        }
        serde_json::to_string(&self.options).map_err(|error| coded("INTERNAL", error))
    }

    fn resolve(&mut self, _env: Env, options: String) -> Result<String> {
        Ok(options)
    }
}

/// Resolves with the options as a server would have them, defaults included; both as JSON, in the names of crates/fileserver.
#[napi]
pub fn check_file_server(options: String) -> Result<AsyncTask<Check>> {
    let options = serde_json::from_str(&options).map_err(|error| coded("INVALID_OPTION", error))?;
    Ok(AsyncTask::new(Check { options }))
}

#[napi]
impl NativeFileServer {
    /// The port it listens on; 0 without TCP.
    #[napi(getter)]
    pub fn port(&self) -> u32 {
        self.tcp().map_or(0, |address| u32::from(address.port()))
    }

    /// The address it listens on; empty without TCP.
    #[napi(getter)]
    pub fn host(&self) -> String {
        self.tcp().map(|address| address.ip().to_string()).unwrap_or_default()
    }

    /// The path of its first Unix socket.
    #[napi(getter)]
    pub fn unix(&self) -> Option<String> {
        self.addresses.iter().find_map(|address| match address {
            Address::Unix(path) => Some(path.to_string_lossy().into_owned()),
            Address::Tcp(_) => None,
        })
    }

    /// Cores that serve.
    #[napi(getter)]
    pub fn cores(&self) -> u32 {
        self.cpus.len() as u32
    }

    /// `uring` or `poll`.
    #[napi(getter)]
    pub fn driver(&self) -> &'static str {
        match self.driver {
            DriverKind::Uring => "uring",
            DriverKind::Poll => "poll",
        }
    }

    /// Kernel features in use.
    #[napi(getter)]
    pub fn features(&self) -> Vec<String> {
        self.features.clone()
    }

    /// What was given up on the way.
    #[napi(getter)]
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Counters, also while it closes and after.
    #[napi]
    pub fn stats(&self) -> NativeServerStats {
        counters(&self.stopper.stats(), &self.cpus)
    }

    /// Changes the configuration, as JSON in the names of crates/fileserver; resolves when it is in use.
    #[napi]
    pub fn reload(&self, options: String) -> Result<AsyncTask<Reload>> {
        let options =
            serde_json::from_str(&options).map(Box::new).map_err(|error| coded("INVALID_OPTION", error))?;
        Ok(AsyncTask::new(Reload { reloader: self.reloader.clone(), what: What::Options(Some(options)) }))
    }

    /// Reads the certificates again; resolves when they are in use.
    #[napi]
    pub fn reload_certificates(&self) -> AsyncTask<Reload> {
        AsyncTask::new(Reload { reloader: self.reloader.clone(), what: What::Certificates })
    }

    /// Opens the file of the access log again.
    #[napi]
    pub fn reopen_access_log(&self) -> AsyncTask<Reload> {
        AsyncTask::new(Reload { reloader: self.reloader.clone(), what: What::AccessLog })
    }

    /// The sockets it listens on, by number; none once a close has begun.
    #[napi]
    pub fn descriptors(&self) -> Vec<i32> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().map(Server::descriptors).unwrap_or_default()
    }

    /// Stops accepting, lets responses finish, cuts what is left after the deadline. Resolves when all of it has ended.
    #[napi]
    pub fn close(&self, deadline_ms: f64, idle_ms: f64, handed_over: bool) -> AsyncTask<Close> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        let options = CloseOptions { deadline: deadline(deadline_ms), idle: deadline(idle_ms), handed_over };
        AsyncTask::new(Close { server, options })
    }

    /// Shortens a close that has begun.
    #[napi]
    pub fn hurry(&self, deadline_ms: f64) {
        self.stopper.finish(deadline(deadline_ms));
    }
}

impl NativeFileServer {
    fn tcp(&self) -> Option<SocketAddr> {
        self.addresses.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        })
    }
}

/// At most a day; nonsense is no time at all.
fn deadline(ms: f64) -> Duration {
    Duration::from_millis(ms.clamp(0.0, 86_400_000.0) as u64)
}

fn counters(
    ServerStats { total, cores, compressed_bytes, access_log_dropped, access_log_error }: &ServerStats,
    cpus: &[Option<usize>],
) -> NativeServerStats {
    NativeServerStats {
        requests: total.requests as f64,
        bytes: total.bytes as f64,
        cache_hits: total.cache_hits as f64,
        connections: total.connections as f64,
        accepted: total.accepted as f64,
        shed: total.shed as f64,
        timeouts: total.timeouts as f64,
        cut: total.cut as f64,
        loads: total.loads as f64,
        compressions: total.compressions as f64,
        compressed_bytes: *compressed_bytes as f64,
        cache_bytes: total.cache_bytes as f64,
        cache_entries: total.cache_entries as f64,
        open_files: total.open_files as f64,
        stalls: total.stalls as f64,
        longest_stall_ms: total.longest_stall.as_nanos() as f64 / 1e6,
        access_log_dropped: *access_log_dropped as f64,
        access_log_error: access_log_error.clone(),
        statuses: total.statuses.iter().map(|(code, count)| (code.to_string(), *count as f64)).collect(),
        latency: NativeAnswerLatency {
            samples: total.latency.samples as f64,
            sum_us: total.latency.sum.as_nanos() as f64 / 1e3,
            buckets: total
                .latency
                .buckets
                .iter()
                .map(|(upper, count)| NativeBucket { le_us: upper.as_micros() as f64, count: *count as f64 })
                .collect(),
        },
        cores: cores.iter().zip(cpus).map(|(core, cpu)| core_counters(core, *cpu)).collect(),
    }
}

fn core_counters(core: &CoreStats, cpu: Option<usize>) -> NativeCoreStats {
    NativeCoreStats {
        cpu: cpu.map(|cpu| cpu as u32),
        requests: core.requests as f64,
        bytes: core.bytes as f64,
        cache_hits: core.cache_hits as f64,
        connections: core.connections as f64,
        turns: core.turns as f64,
        enters: core.enters as f64,
        stalls: core.stalls as f64,
        tasks: core.tasks as f64,
        in_flight: core.in_flight as f64,
        completed: core.completed as f64,
        cpu_ms: core.cpu.as_nanos() as f64 / 1e6,
        looked_ms: core.looked.as_nanos() as f64 / 1e6,
    }
}

/// As JSON, for lib/api/file-server.ts, which makes the error.
fn not_started(error: &StartError) -> napi::Error {
    let path = error.path().map(|path| path.to_string_lossy());
    let (code, errno, message) = (error.code(), error.errno(), error.to_string());
    let facts = serde_json::json!({ "code": code, "errno": errno, "path": path, "message": message });
    napi::Error::from_reason(facts.to_string())
}
