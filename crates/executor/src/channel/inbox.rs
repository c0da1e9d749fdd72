//! The calls that other threads want run on an executor: a bounded queue that is closed with it.
//!
//! A lock, held for a push or a swap of two queues. The owner only ever tries it, so that a producer which the kernel took
//! off its CPU cannot stop an executor; producers wait for each other, as they would for the cache line.
use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Calls that may wait for one executor.
pub(crate) const CALLS_MAX: usize = 1 << 16;

/// What waits.
pub(crate) type Item = Box<dyn Call>;

/// A call on its way. Dropping it tells whoever waits for the result that its executor has gone.
pub(crate) trait Call: Send {
    /// Puts its task on the executor whose thread this is; gives itself back when there is no room for one more.
    fn start(self: Box<Self>, tasks: &crate::task::Tasks) -> Result<(), Item>;
}

/// Why a call was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Closed,
    Full,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Item>,
    closed: bool,
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Any thread: queues the call that `make` gives. `make` is called when there is room, and runs no foreign code.
    pub(crate) fn push(&self, make: impl FnOnce() -> Item) -> Result<(), Refusal> {
        let mut state = self.state();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if state.waiting.len() >= CALLS_MAX {
            return Err(Refusal::Full);
        }
        state.waiting.push_back(make());
        Ok(())
    }

    /// Owner: takes all that waits, in exchange for an empty queue. False when a producer is at it: then look again.
    pub(crate) fn take(&self, into: &mut VecDeque<Item>) -> bool {
        debug_assert!(into.is_empty(), "what was taken before is started first");
        let Ok(mut state) = self.state.try_lock() else { return false };
        std::mem::swap(&mut state.waiting, into);
        true
    }

    /// Owner: nothing is taken any more. What waited is given back, to be dropped outside of the lock.
    pub(crate) fn close(&self) -> VecDeque<Item> {
        let mut state = self.state();
        state.closed = true;
        std::mem::take(&mut state.waiting)
    }

    /// Any thread.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
