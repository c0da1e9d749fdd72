//! The pools of one driver: one for system calls that end by themselves, and one for those that wait for another process, so that no number of these
//! holds up the others. Neither has a thread before it has work.
use super::pool::{Notify, Pool, Rejected, Work};
use crate::limits::WAITING;
use std::{sync::Arc, time::Instant};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Pools {
    short: Pool,
    waits: Pool,
}

impl Pools {
    /// Pools without threads yet; `threads` and `queue` are the first one's. In the second as much may wait as is in flight.
    pub(crate) fn new(threads: u16, queue: usize, notify: Notify) -> Pools {
        let notify: Arc<dyn Fn() + Send + Sync> = Arc::from(notify);
        let same = Arc::clone(&notify);
        Pools {
            short: Pool::new(threads, queue, Box::new(move || notify())),
            waits: Pool::new(WAITING, usize::MAX, Box::new(move || same())),
        }
    }

    /// See [`Pool::submit`]; `waits`: for another process.
    pub(crate) fn submit(&mut self, id: u64, work: Work, waits: bool) -> Result<(), Rejected> {
        if waits { self.waits.submit(id, work) } else { self.short.submit(id, work) }
    }

    /// See [`Pool::cancel`].
    pub(crate) fn cancel(&mut self, id: u64) -> Option<Work> {
        self.short.cancel(id).or_else(|| self.waits.cancel(id))
    }

    /// See [`Pool::give_up`].
    pub(crate) fn give_up(&mut self, id: u64) {
        self.waits.give_up(id);
    }

    /// See [`Pool::has_done`].
    #[inline]
    pub(crate) fn has_done(&self) -> bool {
        self.short.has_done() || self.waits.has_done()
    }

    /// See [`Pool::drain`].
    pub(crate) fn drain(&mut self, mut sink: impl FnMut(u64, i32)) {
        self.short.drain(&mut sink);
        self.waits.drain(sink);
    }

    /// See [`Pool::shutdown`]; how many still run is told by what they hold.
    pub(crate) fn shutdown(&mut self, deadline: Instant) {
        self.short.shutdown(deadline);
        self.waits.shutdown(deadline);
    }
}
