//! Changing what a running server serves: all cores open the new configuration beside the old one, and only when each of them could,
//! each begins to answer with it. No connection notices; nothing is changed when anything fails.
//!
//! ```text
//!  owner    Setup::open ── Prepare ─▶ each core: Core::open ─▶ all well? ── Enact ─▶ each core: the next request is its
//!                                                    └─▶ one is not: Discard, and the error
//! ```
use crate::{
    control::Control, core::Core, error::StartError, options::Options, post::Post, server, setup::Setup,
};
use ringwheel_executor::event::Event;
use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, mpsc},
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
pub(crate) struct Orders(Mutex<(VecDeque<Order>, Event)>);

impl Orders {
    fn give(&self, order: Order) {
        let came = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.0.push_back(order);
            waiting.1.clone()
        };
        came.set();
    }

    async fn next(&self) -> Order {
        loop {
            let came = {
                let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(order) = waiting.0.pop_front() {
                    return order;
                }
                if waiting.1.is_set() {
                    waiting.1 = Event::new();
                }
                waiting.1.clone()
            };
            came.wait().await;
        }
    }
}

/// A core's side, until it drains.
pub(crate) async fn obey(post: Rc<Post>) {
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
        // Under the same name, for who has moved the file away.
        control.access_log.as_ref().map_or(Ok(()), |log| log.reopen())?;
        if setup.options.packs() {
            control.compressor.start_threads(control.cores.len())?;
        }
        if let Err(error) = self.ask(|answer| Order::Prepare(Arc::clone(&setup), answer)) {
            control.orders.iter().for_each(|orders| orders.give(Order::Discard));
            return Err(error);
        }
        self.ask(Order::Enact)?;
        control.compressor.resize(setup.options.cache.compressed_bytes);
        *current = setup;
        Ok(())
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

    /// Gives an order to every core, and waits until all have followed it or one cannot.
    fn ask(&self, order: impl Fn(Answer) -> Order) -> Result<(), StartError> {
        let control = &self.control;
        let (answer, answers) = mpsc::sync_channel(control.orders.len());
        for orders in &control.orders {
            orders.give(order(answer.clone()));
        }
        for _ in &control.orders {
            loop {
                match answers.recv_timeout(LOOK) {
                    Ok(opened) => break opened?,
                    Err(_) if control.drain.is_set() => return Err(StartError::Closed),
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// Where a server listens, and on which cores, is settled by its start.
fn same_place(running: &Options, wanted: &Options) -> Result<(), StartError> {
    let pairs = [
        ("host", shown(&running.host), shown(&wanted.host)),
        ("port", shown(&running.port), shown(&wanted.port)),
        ("unix", shown(&running.unix), shown(&wanted.unix)),
        ("fds", shown(&running.fds), shown(&wanted.fds)),
        ("access_log", shown(&running.access_log), shown(&wanted.access_log)),
        ("cores", shown(&running.cores), shown(&wanted.cores)),
        ("driver", format!("{:?}", running.driver), format!("{:?}", wanted.driver)),
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
