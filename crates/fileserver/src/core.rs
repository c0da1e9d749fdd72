//! One core's server: what its connections share, and the loop that accepts them. Pipeline step 0.
use crate::{
    access, auth,
    cache::Bounded,
    clients::Rate,
    connection,
    error::StartError,
    file::{Entry, LargeFile, Small},
    http::{
        date::{DATE_BYTES, DateClock},
        head::Persistence,
        page::{self, Page},
        parse,
        status::Status,
    },
    listen,
    listing::Listings,
    load::Flight,
    missing::Missing,
    options::{Limits, Options},
    post::{Post, open_spare},
    reload, route,
    setup::Setup,
    site::Sites,
    stats::Counters,
    watch::patrol,
};
use ringwheel_executor::{Source, net, spawn, time, try_spawn, yield_now};
use rustc_hash::FxHashMap;
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

/// Connections that are taken out of a closing listener before those that are open have their turn.
const ADMITTED_AT_ONCE: i32 = 64;

/// What a request may change. Borrowed for the time of one synchronous step, never over a wait.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) clock: DateClock,
    pub(crate) small: Bounded<Entry<Small>>,
    pub(crate) large: Bounded<Entry<Rc<LargeFile>>>,
    /// The key of the request at hand: its site's prefix and its canonical path.
    pub(crate) path: Vec<u8>,
}

/// What the connections of a core share under one configuration.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) post: Rc<Post>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) options: Arc<Options>,
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
    /// The routes as this core knows them.
    pub(crate) routes: RefCell<route::View>,
    /// The handlers' thread is called at the end of this turn.
    pub(crate) ringing: Cell<bool>,
    /// Another configuration answers from now on.
    retired: Cell<bool>,
}

impl Core {
    /// Opens the sites for this thread.
    pub(crate) fn open(setup: Arc<Setup>, post: Rc<Post>) -> Result<Rc<Core>, StartError> {
        let options = Arc::clone(&setup.options);
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
            routes: RefCell::default(),
            ringing: Cell::new(false),
            retired: Cell::new(false),
            options,
            setup,
            post,
        }))
    }

    /// This core's counters.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        self.post.counters()
    }

    /// Whether a newer one answers the next request.
    #[inline]
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// A newer one answers from now on. What is kept for later requests is let go now, and not with the last idle connection.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        let mut shelf = self.shelf.borrow_mut();
        shelf.small = Bounded::new(0);
        shelf.large = Bounded::new(0);
        self.listings.close();
        self.missing.replace(Missing::new(Duration::ZERO));
    }

    /// Publishes what the caches hold, unless it is another's that are of interest.
    pub(crate) fn publish_cache(&self, shelf: &Shelf) {
        if self.is_retired() {
            return;
        }
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
        if let Some(log) = &self.post.control.access_log {
            let client = stream.peer_address().ok().map(|address| address.ip());
            access::refused(log, self.post.index, client, &page, stream.sent(), &self.shelf.borrow().clock);
        }
    }
}

/// Serves until the server drains or stops.
pub(crate) async fn run(core: Rc<Core>, listeners: Vec<net::Listener>) {
    let post = Rc::clone(&core.post);
    post.enact(core);
    let listeners: Vec<_> = listeners.into_iter().map(Rc::new).collect();
    let acceptors: Vec<_> =
        listeners.iter().map(|listener| spawn(accept(Rc::clone(&post), Rc::clone(listener)))).collect();
    let obeying = spawn(reload::obey(Rc::clone(&post)));
    post.control.drain.wait().await;
    post.draining.set(true);
    obeying.cancel();
    for acceptor in acceptors {
        acceptor.cancel();
        drop(acceptor.await);
    }
    for listener in listeners {
        stop_listening(&post, &listener).await;
    }
    // Connections end one by one and each is looked at again soon: a drain is rare, a notification per end is not worth it.
    while post.watches.count() > 0 && !post.control.is_over(Instant::now()) {
        if !post.closing.get() && post.control.is_idle_over(Instant::now()) {
            post.closing.set(true);
            post.watches.close_idle(Instant::now());
        }
        time::sleep(Duration::from_millis(2)).await;
    }
    post.watches.cut_all(); // Each one that owed something counts itself as it fails.
    for _ in 0..50 {
        if post.watches.count() == 0 {
            break;
        }
        time::sleep(Duration::from_millis(1)).await;
    }
    post.leave();
}

/// Takes what waits to be accepted; what comes after is for who else has the socket.
async fn stop_listening(post: &Post, listener: &net::Listener) {
    // A flood that does not end is for who else has the socket.
    for count in 1..=listen::BACKLOG {
        let Some(stream) = listener.accept_rest().await else { return };
        if let Some(core) = post.newest() {
            admit(&core, stream);
        }
        if count % ADMITTED_AT_ONCE == 0 {
            yield_now().await; // Connections that are being served do not wait for all of it.
        }
    }
}

async fn accept(post: Rc<Post>, listener: Rc<net::Listener>) {
    while !post.draining.get() {
        let accepted = listener.accept().await;
        let Some(core) = post.newest() else { return };
        match accepted {
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
    if !core.post.control.enter(core.options.limits.connections) {
        counters.shed.add(1);
        refuse(core, stream);
        return;
    }
    counters.accepted.add(1);
    counters.connections.add(1);
    // Responses are whole sends: Nagle would only delay their last segment. A failure costs latency, nothing else.
    drop(stream.set_nodelay(true));
    let watch = core.post.watches.add(stream, time::now() + core.options.limits.header_timeout);
    let guard = Guard { core: Rc::clone(core), watch };
    // When the executor has no room the future is dropped, and with it the guard and the connection.
    drop(try_spawn(connection::serve(guard)));
    if !core.post.patrolling.replace(true) {
        let post = Rc::clone(&core.post);
        drop(try_spawn(async move {
            patrol(&post).await;
            post.patrolling.set(false);
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
    let spare = core.post.spare.borrow_mut().take();
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
        *core.post.spare.borrow_mut() = open_spare();
    } else {
        *core.post.spare.borrow_mut() = open_spare();
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

impl Guard {
    /// Goes on with the newest configuration.
    #[cold]
    pub(crate) fn move_on(&mut self) {
        if let Some(core) = self.core.post.newest() {
            self.core = core;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let post = &self.core.post;
        post.watches.remove(&self.watch);
        post.counters().connections.subtract(1);
        post.control.leave();
    }
}
