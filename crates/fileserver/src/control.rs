//! What the server's owner and its cores share: the stop signals, the connection count, the counters.
use crate::{
    access::AccessLog, auth::Guard, clients::Clients, compress::Compressor, stats::Counters, tls::Keys,
};
use ringwheel_executor::event::Event;
use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Shared by all threads of one server.
#[derive(Debug)]
pub(crate) struct Control {
    /// Accept no more; finish what is begun.
    pub(crate) drain: Event,
    connections: AtomicUsize,
    deadline: Mutex<Option<Instant>>,
    pub(crate) cores: Vec<Counters>,
    pub(crate) compressor: Compressor,
    /// Only where the server speaks TLS.
    pub(crate) keys: Option<Keys>,
    /// Only where answers are logged.
    pub(crate) access_log: Option<Arc<AccessLog>>,
    /// Only where a site asks for passwords; another one after a reload.
    guard: RwLock<Option<Arc<Guard>>>,
    pub(crate) clients: Arc<Clients>,
}

impl Control {
    pub(crate) fn new(
        cores: usize,
        compressor: Compressor,
        keys: Option<Keys>,
        access_log: Option<Arc<AccessLog>>,
    ) -> Control {
        Control {
            drain: Event::new(),
            connections: AtomicUsize::new(0),
            deadline: Mutex::new(None),
            cores: std::iter::repeat_with(Counters::default).take(cores).collect(),
            compressor,
            keys,
            access_log,
            guard: RwLock::new(None),
            clients: Arc::new(Clients::new()),
        }
    }

    /// Who judges names and passwords.
    pub(crate) fn guard(&self) -> Option<Arc<Guard>> {
        self.guard.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in its place.
    pub(crate) fn set_guard(&self, guard: Option<Guard>) {
        *self.guard.write().unwrap_or_else(PoisonError::into_inner) = guard.map(Arc::new);
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

    /// Starts the drain, or shortens it: connections still open at `deadline` are cut.
    pub(crate) fn finish_by(&self, deadline: Instant) {
        let mut current = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(current.map_or(deadline, |before| before.min(deadline)));
        drop(current);
        self.drain.set();
    }

    /// True when the drain's deadline has passed.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.deadline.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|deadline| now >= deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_connection_limit_is_exact() {
        let control = Control::new(1, Compressor::new(0), None, None);
        assert!(control.enter(2) && control.enter(2) && !control.enter(2));
        control.leave();
        assert!(control.enter(2) && !control.enter(2));
    }

    #[test]
    fn a_deadline_is_only_ever_shortened() {
        let (control, now) = (Control::new(1, Compressor::new(0), None, None), Instant::now());
        control.finish_by(now + Duration::from_secs(5));
        control.finish_by(now + Duration::from_secs(50));
        assert!(control.drain.is_set());
        assert!(
            !control.is_over(now + Duration::from_secs(4)) && control.is_over(now + Duration::from_secs(5))
        );
        control.finish_by(now);
        assert!(control.is_over(now));
    }
}
