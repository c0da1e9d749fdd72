//! `NativeFileServer`: starts and ends crates/fileserver, on libuv's pool so that JavaScript's thread never waits for threads.
use crate::{error::coded, executor::driver_kind};
use napi::{Env, Result, Task, bindgen_prelude::AsyncTask};
use napi_derive::napi;
use ringwheel_fileserver::{
    CacheOptions, CoreStats, Cores, Dotfiles, DriverKind, EtagKind, Limits, Options, Server, StartError,
    Stopper,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Options as lib/api/server-options.ts has checked them; what is left out has crates/fileserver's default.
#[napi(object)]
#[derive(Default)]
pub struct NativeServerOptions {
    pub root: String,
    pub driver: String,
    pub host: Option<String>,
    pub port: Option<u32>,
    pub cores: Option<u32>,
    pub core_list: Option<Vec<u32>>,
    pub index: Option<Vec<String>>,
    pub dotfiles: Option<String>,
    pub etag: Option<String>,
    pub max_age: Option<f64>,
    pub cache_control: Option<String>,
    pub server_header: Option<String>,
    pub no_server_header: Option<bool>,
    /// Numbers of `cache` and `limits`, by the names of lib/api/server-options.ts.
    pub cache: Option<HashMap<String, f64>>,
    pub limits: Option<HashMap<String, f64>>,
}

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
    pub cache_bytes: f64,
    pub cache_entries: f64,
    pub open_files: f64,
    pub stalls: f64,
    pub longest_stall_ms: f64,
    pub statuses: HashMap<String, f64>,
}

/// A running server.
#[napi]
pub struct NativeFileServer {
    server: Arc<Mutex<Option<Server>>>,
    stopper: Stopper,
    address: SocketAddr,
    driver: DriverKind,
    features: Vec<String>,
    notes: Vec<String>,
    cores: u32,
}

/// Starts a server on libuv's pool.
pub struct Start {
    options: Option<Options>,
}

impl Task for Start {
    type Output = Server;
    type JsValue = NativeFileServer;

    fn compute(&mut self) -> Result<Server> {
        let options = self.options.take().ok_or_else(|| coded("INTERNAL", "a task runs once"))?;
        Server::start(options).map_err(|error| not_started(&error))
    }

    fn resolve(&mut self, _env: Env, server: Server) -> Result<NativeFileServer> {
        Ok(NativeFileServer {
            stopper: server.stopper(),
            address: server.local_address(),
            driver: server.driver(),
            features: server.features().iter().map(ToString::to_string).collect(),
            notes: server.notes().to_vec(),
            cores: server.cores().len() as u32,
            server: Arc::new(Mutex::new(Some(server))),
        })
    }
}

/// Drains a server on libuv's pool.
pub struct Close {
    server: Option<Server>,
    deadline: Duration,
}

impl Task for Close {
    type Output = NativeServerStats;
    type JsValue = NativeServerStats;

    fn compute(&mut self) -> Result<NativeServerStats> {
        let mut server = self.server.take().ok_or_else(|| coded("CLOSED", "the server is closed"))?;
        server.close(self.deadline);
        Ok(counters(&server.stats().total))
    }

    fn resolve(&mut self, _env: Env, stats: NativeServerStats) -> Result<NativeServerStats> {
        Ok(stats)
    }
}

/// Starts a server; resolves when all its cores listen.
#[napi]
pub fn start_file_server(options: NativeServerOptions) -> Result<AsyncTask<Start>> {
    Ok(AsyncTask::new(Start { options: Some(translated(options)?) }))
}

#[napi]
impl NativeFileServer {
    /// The port it listens on.
    #[napi(getter)]
    pub fn port(&self) -> u32 {
        u32::from(self.address.port())
    }

    /// The address it listens on.
    #[napi(getter)]
    pub fn host(&self) -> String {
        self.address.ip().to_string()
    }

    /// Cores that serve.
    #[napi(getter)]
    pub fn cores(&self) -> u32 {
        self.cores
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

    /// Counters; null once a close has begun.
    #[napi]
    pub fn stats(&self) -> Option<NativeServerStats> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().map(|server| counters(&server.stats().total))
    }

    /// Stops accepting, lets responses finish, cuts what is left after the deadline. Resolves with the last counters.
    #[napi]
    pub fn close(&self, deadline_ms: f64) -> AsyncTask<Close> {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        AsyncTask::new(Close { server, deadline: deadline(deadline_ms) })
    }

    /// Shortens a close that has begun.
    #[napi]
    pub fn hurry(&self, deadline_ms: f64) {
        self.stopper.finish(deadline(deadline_ms));
    }
}

/// At most a day; nonsense is no time at all.
fn deadline(ms: f64) -> Duration {
    Duration::from_millis(ms.clamp(0.0, 86_400_000.0) as u64)
}

fn counters(total: &CoreStats) -> NativeServerStats {
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
        cache_bytes: total.cache_bytes as f64,
        cache_entries: total.cache_entries as f64,
        open_files: total.open_files as f64,
        stalls: total.stalls as f64,
        longest_stall_ms: total.longest_stall.as_nanos() as f64 / 1e6,
        statuses: total.statuses.iter().map(|(code, count)| (code.to_string(), *count as f64)).collect(),
    }
}

/// "CODE#ERRNO: message", as lib/api/file-server.ts takes it apart.
fn not_started(error: &StartError) -> napi::Error {
    let errno = error.errno().map(|errno| format!("#{errno}")).unwrap_or_default();
    napi::Error::from_reason(format!("{}{errno}: {error}", error.code()))
}

fn translated(given: NativeServerOptions) -> Result<Options> {
    let mut options = Options::new(given.root);
    options.driver = driver_kind(&given.driver)?;
    if let Some(host) = given.host {
        options.host = host;
    }
    if let Some(port) = given.port {
        options.port =
            u16::try_from(port).map_err(|_| coded("INVALID_OPTION", "port must be in 0..=65535"))?;
    }
    if let Some(count) = given.cores {
        options.cores = Cores::Count(count as usize);
    }
    if let Some(list) = given.core_list {
        options.cores = Cores::List(list.into_iter().map(|cpu| cpu as usize).collect());
    }
    if let Some(index) = given.index {
        options.index = index;
    }
    options.dotfiles = match given.dotfiles.as_deref() {
        None | Some("deny") => Dotfiles::Deny,
        Some("allow") => Dotfiles::Allow,
        Some("ignore") => Dotfiles::Ignore,
        Some(other) => return Err(coded("INVALID_OPTION", format_args!("dotfiles: {other:?}"))),
    };
    options.etag = match given.etag.as_deref() {
        None | Some("time") => EtagKind::SizeAndTime,
        Some("off") => EtagKind::Off,
        Some("inode") => EtagKind::Inode,
        Some("content") => EtagKind::ContentHash,
        Some(other) => return Err(coded("INVALID_OPTION", format_args!("etag: {other:?}"))),
    };
    options.max_age = given.max_age.map(|seconds| seconds as u64);
    options.cache_control = given.cache_control;
    if given.server_header.is_some() {
        options.server = given.server_header;
    }
    if given.no_server_header == Some(true) {
        options.server = None;
    }
    if let Some(cache) = given.cache {
        options.cache = cache_of(&cache, options.cache)?;
    }
    if let Some(limits) = given.limits {
        options.limits = limits_of(&limits, options.limits)?;
    }
    Ok(options)
}

fn cache_of(given: &HashMap<String, f64>, mut cache: CacheOptions) -> Result<CacheOptions> {
    for (name, value) in given {
        match name.as_str() {
            "bytes" => cache.bytes = *value as usize,
            "fileBytesMax" => cache.file_bytes_max = *value as usize,
            "openFiles" => cache.open_files = *value as usize,
            "revalidateMs" => cache.revalidate_ms = *value as u64,
            other => return Err(coded("INVALID_OPTION", format_args!("cache.{other} is unknown"))),
        }
    }
    Ok(cache)
}

fn limits_of(given: &HashMap<String, f64>, mut limits: Limits) -> Result<Limits> {
    for (name, value) in given {
        let time = Duration::from_millis(*value as u64);
        match name.as_str() {
            "headerBytes" => limits.header_bytes = *value as usize,
            "headerCount" => limits.header_count = *value as usize,
            "uriBytes" => limits.uri_bytes = *value as usize,
            "bodyBytes" => limits.body_bytes = *value as u64,
            "ranges" => limits.ranges = *value as usize,
            "connections" => limits.connections = *value as usize,
            "headerTimeoutMs" => limits.header_timeout = time,
            "idleTimeoutMs" => limits.idle_timeout = time,
            "sendTimeoutMs" => limits.send_timeout = time,
            other => return Err(coded("INVALID_OPTION", format_args!("limits.{other} is unknown"))),
        }
    }
    Ok(limits)
}
