//! The server as its owner sees it: start, look at, close. The work is done by native threads behind it.
use crate::{
    access,
    auth::Guard,
    compress::Compressor,
    control::Control,
    core::{self, Core},
    error::StartError,
    listen::{self, Address, Sockets},
    options::{Cores, DriverKind, Options},
    post::Post,
    reload::Reloader,
    route::Routes,
    setup::Setup,
    stats::{Counters, ServerStats},
    tls,
};
use ringwheel_executor::{
    Executor, net,
    stall::{StallOptions, StallReport},
};
use std::{
    io,
    net::SocketAddr,
    os::fd::{OwnedFd, RawFd},
    path::Path,
    sync::{Arc, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How long a core may take to give its operations back after its connections are gone.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// A running file server. `Send`; dropping it closes it at once.
///
/// ```
/// use ringwheel_fileserver::{Cores, Options, Server};
/// use std::{io::{Read, Write}, net::TcpStream, time::Duration};
///
/// let root = std::env::temp_dir().join(format!("ringwheel-doc-{}", std::process::id()));
/// std::fs::create_dir_all(&root)?;
/// std::fs::write(root.join("hello.txt"), "hello")?;
/// let mut server = Server::start(Options { port: 0, cores: Cores::Count(1), ..Options::new(&root) })?;
/// let mut client = TcpStream::connect(server.local_address())?;
/// client.write_all(b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
/// let mut response = String::new();
/// client.read_to_string(&mut response)?;
/// assert!(response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\nhello"));
/// assert_eq!(server.stats().total.requests, 1);
/// assert_eq!(server.close(Duration::from_secs(1)).cut, 0);
/// # std::fs::remove_dir_all(&root)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    control: Arc<Control>,
    threads: Vec<thread::JoinHandle<()>>,
    /// The one that writes the access log.
    logging: Option<thread::JoinHandle<()>>,
    addresses: Vec<Address>,
    driver: DriverKind,
    features: Vec<&'static str>,
    notes: Vec<String>,
    cores: Vec<Option<usize>>,
}

/// How a server ends: [`Server::close_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseOptions {
    /// After this time connections are cut that are still busy.
    pub deadline: Duration,
    /// For so long a connection that waits for a request may still send one, which is answered with `Connection: close`; then it is closed.
    pub idle: Duration,
    /// Another process has the sockets: the path of a Unix socket stays.
    pub handed_over: bool,
}

/// What [`Server::close`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Connections that were still busy at the deadline and were cut.
    pub cut: u64,
    /// Cores, and threads that pack, that ended in a panic.
    pub panicked: u32,
}

/// What a core reports once it listens.
struct Ready {
    driver: DriverKind,
    features: Vec<&'static str>,
    notes: Vec<String>,
}

/// What a core's thread is started with.
struct Seat {
    index: usize,
    cpu: Option<usize>,
    sockets: Vec<OwnedFd>,
    setup: Arc<Setup>,
    control: Arc<Control>,
}

impl Server {
    /// Checks the options and the root, opens what it listens on, and starts a thread per core. Returns when all of them listen.
    ///
    /// # Errors
    /// [`StartError`], one for each cause, with its remedy in its `Display`. Nothing is left running then.
    pub fn start(options: Options) -> Result<Server, StartError> {
        Server::start_with(options, &Routes::default())
    }

    /// As [`Server::start`], with routes: their handlers are the [`Attendant`](crate::route::Attendant)'s whose routes these are. More of
    /// them can be added later.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(options: Options, routes: &Routes) -> Result<Server, StartError> {
        Server::succeed(options, routes, &[])
    }

    /// As [`Server::start_with`], on the sockets of the server before this one: the [`Server::descriptors`] of another process, passed on with the
    /// options that it had for `host` and `port`, `unix` or `fds`. Both accept until that one closes with [`CloseOptions::handed_over`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn succeed(options: Options, routes: &Routes, handed: &[RawFd]) -> Result<Server, StartError> {
        let cores = check_place(&options)?;
        let setup = Setup::open(options, None)?;
        let mut sockets = Sockets::open(&setup.options, cores.len(), handed)?;
        let compressor = Compressor::new(setup.options.cache.compressed_bytes);
        let control =
            Arc::new(Control::new(cores.len(), compressor, Arc::clone(&setup), Arc::clone(&routes.desk)));
        let mut server = Server {
            control: Arc::clone(&control),
            threads: Vec::with_capacity(cores.len()),
            logging: None,
            addresses: sockets.addresses(),
            driver: DriverKind::Poll,
            features: Vec::new(),
            notes: Vec::new(),
            cores: cores.clone(),
        };
        // From here on an error drops `server`, which stops the threads that run already.
        if let Some(log) = &control.access_log {
            server.logging = Some(access::start(log)?);
        }
        if setup.options.packs() {
            control.compressor.start_threads(cores.len())?;
        }
        for (index, cpu) in cores.iter().copied().enumerate() {
            let fail = |error: io::Error| StartError::Core {
                core: index,
                reason: format!(
                    "its sockets cannot be duplicated ({error}); raise the limit on open files (ulimit -n)"
                ),
            };
            let seat = Seat {
                index,
                cpu,
                sockets: sockets.of_core(index, cores.len()).map_err(fail)?,
                setup: Arc::clone(&setup),
                control: Arc::clone(&control),
            };
            let (report, reported) = mpsc::sync_channel(1);
            let thread = thread::Builder::new()
                .name(format!("ringwheel-{index}"))
                .spawn(move || sit(seat, &report))
                .map_err(|error| StartError::no_thread(index, &error))?;
            server.threads.push(thread);
            let ready = reported.recv().unwrap_or_else(|_| {
                Err(StartError::Core { core: index, reason: "its thread ended while starting".to_owned() })
            })?;
            if index == 0 {
                server.driver = ready.driver;
                server.features = ready.features;
                server.notes = ready.notes;
            }
        }
        sockets.own_path(true);
        *control.sockets.lock().unwrap_or_else(PoisonError::into_inner) = Some(sockets);
        Ok(server)
    }

    /// Checks what [`Server::start`] checks before it binds: every option, the directories, the CPUs and the host. Starts nothing.
    /// Returns the CPU of each core; `None` where the kernel would place it.
    ///
    /// # Errors
    /// [`StartError`], as from `start`, but for [`StartError::Bind`] and [`StartError::Core`].
    pub fn check(options: &Options) -> Result<Vec<Option<usize>>, StartError> {
        let cores = check_place(options)?;
        tls::check(&options.tls)?;
        Guard::open(options)?;
        Ok(cores)
    }

    /// The TCP address it listens on, with the port the system chose when 0 was asked for; the first of several, and `0.0.0.0:0` when it
    /// listens on Unix sockets only.
    pub fn local_address(&self) -> SocketAddr {
        listen::first_tcp(&self.addresses)
    }

    /// Every address it listens on.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Which backend serves.
    pub fn driver(&self) -> DriverKind {
        self.driver
    }

    /// The kernel features in use, as short names.
    pub fn features(&self) -> &[&'static str] {
        &self.features
    }

    /// Why io_uring was not chosen, or what was given up on the way, one sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The CPU of each core; `None` where the kernel places it.
    pub fn cores(&self) -> &[Option<usize>] {
        &self.cores
    }

    /// Counters of each core and their sum. Reads memory only; works after `close` too.
    pub fn stats(&self) -> ServerStats {
        self.stopper().stats()
    }

    /// A handle that changes the configuration while the server runs, from any thread.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(Arc::clone(&self.control))
    }

    /// The sockets it listens on, by number, to be passed on to the process that follows it; none once it closes, and theirs no longer than that.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let sockets = self.control.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.as_ref().map(Sockets::numbers).unwrap_or_default()
    }

    /// Stops accepting, closes idle connections, lets responses finish, and cuts what is left after `deadline`. Blocks until
    /// every thread has ended. A second call returns at once.
    pub fn close(&mut self, deadline: Duration) -> CloseReport {
        self.close_with(CloseOptions { deadline, ..CloseOptions::default() })
    }

    /// As [`Server::close`], with more to say.
    pub fn close_with(&mut self, options: CloseOptions) -> CloseReport {
        let before: u64 = self.control.cores.iter().map(|core| core.cut.get()).sum();
        if options.handed_over
            && let Some(sockets) = &mut *self.control.sockets.lock().unwrap_or_else(PoisonError::into_inner)
        {
            sockets.own_path(false);
        }
        let now = Instant::now();
        self.control.finish_by(after(now, options.deadline), after(now, options.idle));
        let mut panicked = 0;
        for thread in self.threads.drain(..) {
            panicked += u32::from(thread.join().is_err());
        }
        if let (Some(log), Some(thread)) = (&self.control.access_log, self.logging.take())
            && log.close()
        {
            panicked += u32::from(thread.join().is_err());
        }
        panicked += self.control.compressor.close();
        let after: u64 = self.control.cores.iter().map(|core| core.cut.get()).sum();
        CloseReport { cut: after - before, panicked }
    }

    /// Begins to close, or shortens a close that another thread is waiting in; returns at once.
    pub fn finish(&self, deadline: Duration) {
        self.stopper().finish(deadline);
    }

    /// A handle that can begin or shorten the close from another thread while `close` waits (a second Ctrl-C).
    pub fn stopper(&self) -> Stopper {
        Stopper { control: Arc::clone(&self.control) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

/// Begins or shortens a server's close from any thread, and looks at it. Harmless after the server is gone.
#[derive(Clone, Debug)]
pub struct Stopper {
    control: Arc<Control>,
}

impl Stopper {
    /// As [`Server::stats`], also while another thread closes the server.
    pub fn stats(&self) -> ServerStats {
        let cores = self.control.cores.iter().map(Counters::read).collect();
        let mut stats = ServerStats::sum(cores, self.control.compressor.bytes());
        if let Some(log) = &self.control.access_log {
            stats.access_log_dropped = log.dropped();
            stats.access_log_error = log.error();
        }
        stats
    }

    /// Stops accepting and cuts what is left after `deadline`. Returns at once.
    pub fn finish(&self, deadline: Duration) {
        let now = Instant::now();
        self.control.finish_by(after(now, deadline), now);
    }
}

/// At most a day later, where that is no time that can be told.
fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400))
}

/// One core's thread, from start to end.
fn sit(seat: Seat, report: &mpsc::SyncSender<Result<Ready, StartError>>) {
    let index = seat.index;
    let reason = |reason: String| StartError::Core { core: index, reason };
    if let Some(cpu) = seat.cpu
        && let Err(error) = pin(cpu)
    {
        drop(report.send(Err(reason(format!(
            "cannot be pinned to CPU {cpu} ({error}); choose CPUs this process may run on"
        )))));
        return;
    }
    let mut executor = match Executor::start(executor_options(&seat.setup.options)) {
        Ok(executor) => executor,
        Err(error) => {
            drop(report.send(Err(reason(error.to_string()))));
            return;
        }
    };
    let (driver, features, notes) = (executor.driver_kind(), executor.features(), executor.notes());
    let ran = executor.run(async {
        let Seat { index, sockets, setup, control, .. } = seat;
        let listeners: io::Result<Vec<_>> = sockets.into_iter().map(net::Listener::from_socket).collect();
        let listeners = listeners.map_err(|error| reason(error.to_string()));
        let ready =
            listeners.and_then(|listeners| Ok((Core::open(setup, Post::new(control, index))?, listeners)));
        match ready {
            Ok((core, listeners)) => {
                drop(report.send(Ok(Ready { driver, features, notes })));
                core::run(core, listeners).await;
            }
            Err(error) => drop(report.send(Err(error))),
        }
    });
    if let Err(error) = ran {
        // Reaches the owner only while it waits for the start; later the join tells it.
        drop(report.try_send(Err(reason(error.to_string()))));
    }
    executor.shutdown(SHUTDOWN);
}

fn executor_options(options: &Options) -> ringwheel_executor::Options {
    let mut executor = ringwheel_executor::Options::default();
    // Counted, and told of by the counters alone: nobody reads what a library writes to stderr.
    let report: StallReport = Arc::new(|_| {});
    executor.stall = Some(StallOptions { stack: false, report: Some(report), ..StallOptions::default() });
    executor.driver.kind = options.driver;
    executor
}

fn pin(cpu: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut set = rustix::thread::CpuSet::new();
        set.set(cpu);
        rustix::thread::sched_setaffinity(None, &set)?;
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = cpu;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The CPUs this process may run on; empty where the system does not say.
fn usable_cpus() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    {
        let set = rustix::thread::sched_getaffinity(None).unwrap_or_default();
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
    }
    #[cfg(not(target_os = "linux"))]
    {
        Vec::new()
    }
}

fn choose_cores(cores: &Cores) -> Result<Vec<Option<usize>>, StartError> {
    let usable = usable_cpus();
    match cores {
        Cores::All => {
            let at_once = thread::available_parallelism().map_or(1, std::num::NonZero::get);
            Ok(all_cores(usable, at_once))
        }
        Cores::Count(count) => Ok(vec![None; *count]),
        Cores::List(list) => {
            for cpu in list {
                if !usable.contains(cpu) {
                    return Err(StartError::Option {
                        name: "cores".into(),
                        value: format!("a list with CPU {cpu}"),
                        allowed: format!("CPUs this process may run on: {usable:?}"),
                    });
                }
            }
            Ok(list.iter().copied().map(Some).collect())
        }
    }
}

/// A core on each CPU; where a quota of CPU time (a container's) lets fewer run at once, as many as that, placed by the kernel: of threads that
/// wait for each other's time each would be late.
fn all_cores(usable: Vec<usize>, at_once: usize) -> Vec<Option<usize>> {
    if usable.is_empty() || usable.len() > at_once {
        return vec![None; at_once];
    }
    usable.into_iter().map(Some).collect()
}

/// Checks everything but what [`Setup::open`] reads, for a start reads each certificate and each file of passwords once. Returns the CPU of
/// each core.
fn check_place(options: &Options) -> Result<Vec<Option<usize>>, StartError> {
    check_contents(options)?;
    access::check(options)?;
    listen::check(options)?;
    choose_cores(&options.cores)
}

/// Checks the options, and that their directories can be served.
pub(crate) fn check_contents(options: &Options) -> Result<(), StartError> {
    options.validate()?;
    for site in options.all_sites() {
        for root in site.roots.iter().chain(site.mounts.iter().map(|mount| &mount.root)) {
            check_root(root)?;
        }
    }
    Ok(())
}

/// The root must be a directory that this process may search.
fn check_root(root: &Path) -> Result<(), StartError> {
    let fail = |error: io::Error| StartError::Root { path: root.to_owned(), error };
    let metadata = std::fs::metadata(root).map_err(fail)?;
    if !metadata.is_dir() {
        return Err(fail(rustix::io::Errno::NOTDIR.into()));
    }
    #[cfg(unix)]
    rustix::fs::access(root, rustix::fs::Access::EXEC_OK).map_err(|errno| fail(errno.into()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::all_cores;

    #[test]
    fn cores_are_pinned_unless_a_quota_lets_fewer_run_at_once() {
        assert_eq!(all_cores(vec![3, 5], 2), [Some(3), Some(5)]);
        assert_eq!(all_cores(vec![0, 1, 2, 3], 2), [None, None]);
        assert_eq!(all_cores(Vec::new(), 3), [None; 3]);
    }
}
