//! What the server's owner and its cores share: the stop signals, the connection count, the counters.
use crate::{
    access::AccessLog, clients::Clients, compress::Compressor, listen::Sockets, reload::Orders, route::Desk,
    setup::Setup, stats::Counters,
};
use ringwheel_executor::event::Event;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// When a drain gives up on connections.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    /// On those that wait for a request.
    idle: Instant,
    /// On all.
    all: Instant,
}

/// Shared by all threads of one server.
#[derive(Debug)]
pub(crate) struct Control {
    /// Accept no more; finish what is begun.
    pub(crate) drain: Event,
    connections: AtomicUsize,
    deadlines: Mutex<Option<Deadlines>>,
    /// What it listens on, until it drains: to be passed on.
    pub(crate) sockets: Mutex<Option<Sockets>>,
    pub(crate) cores: Vec<Counters>,
    pub(crate) compressor: Compressor,
    /// Only where answers are logged.
    pub(crate) access_log: Option<Arc<AccessLog>>,
    /// The one that the next reload follows; held while one is under way.
    pub(crate) setup: Mutex<Arc<Setup>>,
    /// For each core.
    pub(crate) orders: Vec<Orders>,
    pub(crate) clients: Arc<Clients>,
    /// Routes, and the requests that are with their handlers.
    pub(crate) desk: Arc<Desk>,
}

impl Control {
    pub(crate) fn new(cores: usize, compressor: Compressor, setup: Arc<Setup>, desk: Arc<Desk>) -> Control {
        let access_log = setup.options.access_log.as_ref().map(|log| Arc::new(AccessLog::new(log, cores)));
        Control {
            drain: Event::new(),
            connections: AtomicUsize::new(0),
            deadlines: Mutex::new(None),
            sockets: Mutex::new(None),
            cores: std::iter::repeat_with(Counters::default).take(cores).collect(),
            compressor,
            access_log,
            setup: Mutex::new(setup),
            orders: std::iter::repeat_with(Orders::default).take(cores).collect(),
            clients: Arc::new(Clients::new()),
            desk,
        }
    }

    /// Counts a connection in, unless there are `max`.
    pub(crate) fn enter(&self, max: usize) -> bool {
        if self.connections.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.leave();
        false
    }

    /// Counts a connection out.
    pub(crate) fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Starts the drain, or shortens it: connections still open at `all` are cut, and those that wait for a request are closed at `idle`.
    pub(crate) fn finish_by(&self, all: Instant, idle: Instant) {
        let mut current = self.deadlines.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(current.map_or(Deadlines { idle, all }, |before| Deadlines {
            idle: before.idle.min(idle),
            all: before.all.min(all),
        }));
        drop(current);
        drop(self.sockets.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.drain.set();
    }

    /// True when the drain's deadline has passed.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.has_passed(|deadlines| now >= deadlines.all)
    }

    /// True when the time of connections that wait for a request has passed.
    pub(crate) fn is_idle_over(&self, now: Instant) -> bool {
        self.has_passed(|deadlines| now >= deadlines.idle)
    }

    fn has_passed(&self, look: impl FnOnce(Deadlines) -> bool) -> bool {
        self.deadlines.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::time::Duration;

    fn control() -> Control {
        Control::new(1, Compressor::new(0), Setup::open(Options::default(), None).unwrap(), Arc::default())
    }

    #[test]
    fn the_connection_limit_is_exact() {
        let control = control();
        assert!(control.enter(2) && control.enter(2) && !control.enter(2));
        control.leave();
        assert!(control.enter(2) && !control.enter(2));
    }

    #[test]
    fn a_deadline_is_only_ever_shortened() {
        let (control, now) = (control(), Instant::now());
        control.finish_by(now + Duration::from_secs(5), now + Duration::from_secs(1));
        control.finish_by(now + Duration::from_secs(50), now + Duration::from_secs(50));
        assert!(control.drain.is_set());
        assert!(!control.is_idle_over(now) && control.is_idle_over(now + Duration::from_secs(1)));
        assert!(
            !control.is_over(now + Duration::from_secs(4)) && control.is_over(now + Duration::from_secs(5))
        );
        control.finish_by(now, now);
        assert!(control.is_over(now) && control.is_idle_over(now));
    }
}
