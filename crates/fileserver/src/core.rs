//! One core's server: what its connections share, and the loop that accepts them. Pipeline step 0.
use crate::{
    access, auth,
    cache::Bounded,
    clients::Rate,
    connection,
    control::Control,
    error::StartError,
    file::{Entry, LargeFile, Small},
    http::{
        date::{DATE_BYTES, DateClock},
        head::Persistence,
        page::{self, Page},
        parse,
        status::Status,
    },
    listing::Listings,
    load::Flight,
    missing::Missing,
    options::{Limits, Options},
    site::Sites,
    stats::Counters,
    watch::{Watches, patrol},
};
use ringwheel_executor::{Source, net, spawn, time, try_spawn};
use rustc_hash::FxHashMap;
use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a request may change. Borrowed for the time of one synchronous step, never over a wait.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) clock: DateClock,
    pub(crate) small: Bounded<Entry<Small>>,
    pub(crate) large: Bounded<Entry<Rc<LargeFile>>>,
    /// The key of the request at hand: its site's prefix and its canonical path.
    pub(crate) path: Vec<u8>,
}

/// What the connections of a core share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) options: Arc<Options>,
    pub(crate) control: Arc<Control>,
    pub(crate) index: usize,
    pub(crate) limits: parse::Limits,
    /// Of each client's requests, where there is one.
    pub(crate) rate: Option<Rate>,
    pub(crate) revalidate: Duration,
    pub(crate) sites: Sites,
    pub(crate) shelf: RefCell<Shelf>,
    pub(crate) missing: RefCell<Missing>,
    pub(crate) listings: Listings,
    pub(crate) turns: auth::Turns,
    pub(crate) flights: RefCell<FxHashMap<Rc<[u8]>, Rc<Flight>>>,
    pub(crate) watches: Watches,
    pub(crate) draining: Cell<bool>,
    /// Vectors of connections that are idle now.
    buffers: RefCell<Vec<Vec<u8>>>,
    /// A descriptor to give up when there are no more, so that a client can be told.
    spare: RefCell<Option<File>>,
    patrolling: Cell<bool>,
    start: Instant,
}

/// Vectors kept for the next response; more connections than this are rarely writing at once.
const BUFFERS_KEPT: usize = 64;

impl Core {
    /// Opens the sites for this thread.
    pub(crate) fn open(
        options: Arc<Options>,
        control: Arc<Control>,
        index: usize,
    ) -> Result<Rc<Core>, StartError> {
        let sites = Sites::open(&options)?;
        let limits = parse::Limits {
            bytes: options.limits.header_bytes,
            fields: options.limits.header_count,
            target: options.limits.uri_bytes,
        };
        let Limits { requests_per_client, burst_per_client, .. } = options.limits;
        let rate = (requests_per_client > 0).then(|| Rate::new(requests_per_client, burst_per_client));
        Ok(Rc::new(Core {
            limits,
            rate,
            revalidate: Duration::from_millis(options.cache.revalidate_ms),
            sites,
            shelf: RefCell::new(Shelf {
                clock: DateClock::start(time::now()),
                small: Bounded::new(options.cache.bytes),
                large: Bounded::new(options.cache.open_files),
                path: Vec::new(),
            }),
            missing: RefCell::new(Missing::new(options.cache.missing_trust())),
            listings: Listings::default(),
            turns: auth::Turns::default(),
            flights: RefCell::default(),
            watches: Watches::default(),
            draining: Cell::new(false),
            buffers: RefCell::default(),
            spare: RefCell::new(open_spare()),
            patrolling: Cell::new(false),
            start: Instant::now(),
            options,
            control,
            index,
        }))
    }

    /// This core's counters.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        &self.control.cores[self.index]
    }

    /// A vector to write a response into.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    /// Takes a vector back.
    pub(crate) fn keep_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < BUFFERS_KEPT && buffer.capacity() <= 2 * crate::outbox::TOGETHER_MAX {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// Publishes what the caches hold.
    pub(crate) fn publish_cache(&self, shelf: &Shelf) {
        let counters = self.counters();
        counters.cache_bytes.set(shelf.small.cost() as u64);
        counters.cache_entries.set(shelf.small.len() as u64);
        counters.open_files.set(shelf.large.cost() as u64);
    }

    /// The bytes of a page, for when there is no connection state yet.
    fn page(&self, status: Status) -> Vec<u8> {
        let mut out = Vec::new();
        let date: [u8; DATE_BYTES] = *self.shelf.borrow().clock.text();
        let page = Page {
            status,
            fields: &[("Retry-After", b"1")],
            head_only: false,
            persistence: Persistence::Close,
        };
        page::write(&mut out, &page, &date, &self.sites.first().lines);
        out
    }

    /// Sends a page to who has no connection state, as far as it goes within a time, and has that logged.
    async fn say(&self, stream: &net::Stream, page: Vec<u8>, within: Duration) {
        let page: Rc<[u8]> = page.into();
        let source = Source::Shared(Rc::clone(&page), 0..page.len());
        drop(time::timeout(within, stream.send(source, false)).await);
        if let Some(log) = &self.control.access_log {
            let client = stream.peer_address().ok().map(|address| address.ip());
            access::refused(log, self.index, client, &page, stream.sent(), &self.shelf.borrow().clock);
        }
    }
}

fn open_spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Serves until the server drains or stops.
pub(crate) async fn run(core: Rc<Core>, listeners: Vec<net::Listener>) {
    let acceptors: Vec<_> =
        listeners.into_iter().map(|listener| spawn(accept(Rc::clone(&core), listener))).collect();
    core.control.drain.wait().await;
    core.draining.set(true);
    for acceptor in acceptors {
        acceptor.cancel();
    }
    core.watches.close_idle(Instant::now());
    // Connections end one by one and each is looked at again soon: a drain is rare, a notification per end is not worth it.
    while core.watches.count() > 0 && !core.control.is_over(Instant::now()) {
        time::sleep(Duration::from_millis(2)).await;
    }
    core.watches.cut_all(); // Each one that owed something counts itself as it fails.
    for _ in 0..50 {
        if core.watches.count() == 0 {
            break;
        }
        time::sleep(Duration::from_millis(1)).await;
    }
}

async fn accept(core: Rc<Core>, listener: net::Listener) {
    while !core.draining.get() {
        match listener.accept().await {
            Ok(stream) => admit(&core, stream),
            Err(error) if is_out_of_descriptors(&error) => shed(&core, &listener).await,
            // A connection that was reset before we took it, or a passing shortage of memory: the listener is well.
            Err(_) => time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// True when the process or the system has no descriptor left.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
    )
}

fn admit(core: &Rc<Core>, stream: net::Stream) {
    let counters = core.counters();
    if !core.control.enter(core.options.limits.connections) {
        counters.shed.add(1);
        refuse(core, stream);
        return;
    }
    counters.accepted.add(1);
    counters.connections.add(1);
    // Responses are whole sends: Nagle would only delay their last segment. A failure costs latency, nothing else.
    drop(stream.set_nodelay(true));
    let watch = core.watches.add(stream, time::now() + core.options.limits.header_timeout);
    let guard = Guard { core: Rc::clone(core), watch };
    // When the executor has no room the future is dropped, and with it the guard and the connection.
    drop(try_spawn(connection::serve(guard)));
    if !core.patrolling.replace(true) {
        let core = Rc::clone(core);
        drop(try_spawn(async move {
            patrol(&core.watches, &core.options.limits, core.counters(), core.start).await;
            core.patrolling.set(false);
        }));
    }
}

/// Out of descriptors: free what we can, and tell one waiting client by means of the spare descriptor.
async fn shed(core: &Rc<Core>, listener: &net::Listener) {
    {
        let mut shelf = core.shelf.borrow_mut();
        shelf.large.clear();
        core.publish_cache(&shelf);
    }
    let spare = core.spare.borrow_mut().take();
    if spare.is_some() {
        drop(spare);
        if let Ok(Ok(stream)) = time::timeout(Duration::from_millis(20), listener.accept()).await {
            core.counters().shed.add(1);
            let bytes = core.page(Status::ServiceUnavailable);
            // A fresh socket's buffer takes a page at once; if not, the client learns it from the close.
            core.say(&stream, bytes, Duration::from_millis(20)).await;
            core.counters().status(Status::ServiceUnavailable);
            drop(stream);
        }
        *core.spare.borrow_mut() = open_spare();
    } else {
        *core.spare.borrow_mut() = open_spare();
        time::sleep(Duration::from_millis(10)).await;
    }
}

/// Over the connection limit: a page, and the end.
fn refuse(core: &Rc<Core>, stream: net::Stream) {
    let bytes = core.page(Status::ServiceUnavailable);
    core.counters().status(Status::ServiceUnavailable);
    let core = Rc::clone(core);
    drop(try_spawn(async move {
        core.say(&stream, bytes, Duration::from_millis(100)).await;
        drop(stream.shutdown(net::Shutdown::Write));
        // The request may still be on its way: closing with it unread would reset the connection and lose the page.
        let _ = time::timeout(Duration::from_millis(200), async {
            while let Ok(Some(_)) = stream.receive().await {}
        })
        .await;
    }));
}

/// A connection's place on its core; dropping it gives the place back, however the connection ended.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) core: Rc<Core>,
    pub(crate) watch: Rc<crate::watch::Watch>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.core.watches.remove(&self.watch);
        self.core.counters().connections.subtract(1);
        self.core.control.leave();
    }
}
