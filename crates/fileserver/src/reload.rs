//! Changing what a running server serves: all cores open the new configuration beside the old one, and only when each of them could,
//! each begins to answer with it. No connection notices; nothing is changed when anything fails.
//!
//! ```text
//!  owner    Setup::open ── Prepare ─▶ each core: Core::open ─▶ all well? ── Enact ─▶ each core: the next request is its
//!                                                    └─▶ one is not: Discard, and the error
//! ```
use crate::{
    control::Control,
    core::Core,
    error::StartError,
    options::{Cores, Options},
    post::Post,
    server,
    setup::Setup,
};
use ringwheel_executor::{DriverKind, event::Event};
use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

/// Between two looks at whether the server drains, while a core is waited for.
const LOOK: Duration = Duration::from_millis(20);

type Answer = mpsc::SyncSender<Result<(), StartError>>;

/// What a core is told.
#[derive(Debug)]
pub(crate) enum Order {
    Prepare(Arc<Setup>, Answer),
    Enact(Answer),
    Discard,
}

/// Orders for one core, from any thread.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    orders: VecDeque<Order>,
    came: Event,
    /// Nobody follows them any more.
    closed: bool,
}

impl Orders {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where nobody follows it, the order is dropped, and with it the way to answer.
    fn give(&self, order: Order) {
        let mut waiting = self.waiting();
        if waiting.closed {
            return;
        }
        waiting.orders.push_back(order);
        let came = waiting.came.clone();
        drop(waiting);
        came.set();
    }

    async fn next(&self) -> Order {
        loop {
            let came = {
                let mut waiting = self.waiting();
                if let Some(order) = waiting.orders.pop_front() {
                    return order;
                }
                if waiting.came.is_set() {
                    waiting.came = Event::new();
                }
                waiting.came.clone()
            };
            came.wait().await;
        }
    }

    fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let orders = std::mem::take(&mut waiting.orders);
        drop(waiting);
        drop(orders);
    }

    fn is_closed(&self) -> bool {
        self.waiting().closed
    }
}

/// Closes a core's orders however the task that follows them ends: who waits for an answer must not wait for ever.
struct Obeys<'a>(&'a Orders);

impl Drop for Obeys<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A core's side, until it drains.
pub(crate) async fn obey(post: Rc<Post>) {
    let _obeys = Obeys(&post.control.orders[post.index]);
    let mut prepared = None;
    while !post.draining.get() {
        match post.control.orders[post.index].next().await {
            Order::Prepare(setup, answer) => {
                let opened = Core::open(setup, Rc::clone(&post)).map(|core| prepared = Some(core));
                // Who does not wait any more has seen the server drain.
                drop(answer.send(opened));
            }
            Order::Enact(answer) => {
                if let Some(core) = prepared.take() {
                    post.enact(core);
                }
                drop(answer.send(Ok(())));
            }
            Order::Discard => prepared = None,
        }
    }
}

/// Changes what a running server serves, from any thread; harmless after the server is gone.
#[derive(Clone, Debug)]
pub struct Reloader {
    control: Arc<Control>,
}

impl Reloader {
    pub(crate) fn new(control: Arc<Control>) -> Reloader {
        Reloader { control }
    }

    /// Replaces the options, reading again what they name: directories, certificates, keys; the access log's file is opened again. Caches begin empty. Connections stay open,
    /// requests that are being answered end as they began, and the next request of every connection is answered with what is new.
    /// Blocks for as long as reading takes; of several callers one is served at a time.
    ///
    /// # Errors
    /// As of [`crate::Server::start`], and [`StartError::Option`] when an option differs that cannot change while the server runs (`host`, `port`,
    /// `unix`, `fds`, `access_log`, `cores`, `driver`): nothing has changed then. [`StartError::Closed`] once the server drains.
    pub fn reload(&self, options: Options) -> Result<(), StartError> {
        let control = &self.control;
        let mut current = control.setup.lock().unwrap_or_else(PoisonError::into_inner);
        same_place(&current.options, &options)?;
        server::check_contents(&options)?;
        let setup = Setup::open(options, Some(&current))?;
        if let Err(error) = self.prepare(&setup) {
            control.orders.iter().for_each(|orders| orders.give(Order::Discard));
            return Err(error);
        }
        self.ask(Order::Enact)?;
        control.compressor.resize(setup.options.cache.compressed_bytes);
        *current = setup;
        Ok(())
    }

    /// Opens the file of the access log again, under the same name: for who has moved it away.
    ///
    /// # Errors
    /// As of [`crate::Server::start`]; lines go where they went then.
    pub fn reopen_access_log(&self) -> Result<(), StartError> {
        self.control.access_log.as_ref().map_or(Ok(()), |log| log.reopen())
    }

    /// Reads the certificates and keys again, for the handshakes to come; everything else stays as it is, and so do connections that are open.
    /// Blocks while it reads the files.
    ///
    /// # Errors
    /// [`StartError::Tls`] when a file cannot be used: all that were in use stay in use then.
    pub fn reload_certificates(&self) -> Result<(), StartError> {
        let current = self.control.setup.lock().unwrap_or_else(PoisonError::into_inner);
        current.keys.as_ref().map_or(Ok(()), crate::tls::Keys::reload)
    }

    /// Everything that can fail.
    fn prepare(&self, setup: &Arc<Setup>) -> Result<(), StartError> {
        let control = &self.control;
        if setup.options.packs() {
            control.compressor.start_threads(control.cores.len())?;
        }
        self.ask(|answer| Order::Prepare(Arc::clone(setup), answer))?;
        // Under the same name, for who has moved the file away. Last: there is no way back to the file that was.
        self.reopen_access_log()
    }

    /// Gives an order to every core, and waits until all have followed it or one cannot.
    fn ask(&self, order: impl Fn(Answer) -> Order) -> Result<(), StartError> {
        let control = &self.control;
        let (answer, answers) = mpsc::sync_channel(control.orders.len());
        for orders in &control.orders {
            orders.give(order(answer.clone()));
        }
        drop(answer);
        for _ in &control.orders {
            loop {
                match answers.recv_timeout(LOOK) {
                    Ok(opened) => break opened?,
                    Err(_) if control.drain.is_set() => return Err(StartError::Closed),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Err(self.gone()),
                }
            }
        }
        Ok(())
    }

    /// A core ended in a panic, or what follows its orders did.
    fn gone(&self) -> StartError {
        let core = self.control.orders.iter().position(Orders::is_closed).unwrap_or_default();
        let reason =
            "it follows no orders any more, for it ended in a panic; close the server and start it anew";
        StartError::Core { core, reason: reason.to_owned() }
    }
}

/// Where a server listens, and on which cores, is settled by its start.
fn same_place(running: &Options, wanted: &Options) -> Result<(), StartError> {
    let pairs = [
        ("host", shown(&running.host), shown(&wanted.host)),
        ("port", shown(&running.port), shown(&wanted.port)),
        ("unix", shown(&running.unix), shown(&wanted.unix)),
        ("fd", shown(&running.fds), shown(&wanted.fds)),
        ("accessLog", shown(&running.access_log), shown(&wanted.access_log)),
        ("cores", cores_shown(&running.cores), cores_shown(&wanted.cores)),
        ("driver", driver_shown(running.driver), driver_shown(wanted.driver)),
    ];
    for (name, before, value) in pairs {
        if before != value {
            let allowed = format!("{before}, as long as the server runs; start it anew to change this");
            return Err(StartError::Option { name: name.into(), value, allowed });
        }
    }
    Ok(())
}

fn shown(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn cores_shown(cores: &Cores) -> String {
    match cores {
        Cores::All => "all".to_owned(),
        Cores::Count(count) => count.to_string(),
        Cores::List(list) => shown(list),
    }
}

fn driver_shown(driver: Option<DriverKind>) -> String {
    let name = match driver {
        None => "auto",
        Some(DriverKind::Uring) => "uring",
        Some(DriverKind::Poll) => "poll",
    };
    format!("{name:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Compressor;

    #[test]
    fn a_core_that_follows_no_orders_any_more_is_named_and_not_waited_for() {
        let setup = Setup::open(Options::new(std::env::temp_dir()), None).unwrap();
        let control = Arc::new(Control::new(2, Compressor::new(0), setup, Arc::default()));
        let reloader = Reloader::new(Arc::clone(&control));
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || drop(sender.send(reloader.reload(Options::new(std::env::temp_dir())))));
        // One answers, the other has its order already when it ends.
        let give = |core: usize| {
            while control.orders[core].waiting().orders.is_empty() {
                std::thread::yield_now();
            }
            control.orders[core].waiting().orders.pop_front()
        };
        match give(0) {
            Some(Order::Prepare(_, answer)) => answer.send(Ok(())).unwrap(),
            order => panic!("{order:?}"),
        }
        drop(Obeys(&control.orders[1]));
        let error = ended.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
        assert!(matches!(error, StartError::Core { core: 1, .. }), "{error}");
        assert!(matches!(give(0), Some(Order::Discard)));
    }
}
