//! Opens that wait for the reader of a FIFO. Each holds a worker of the kernel's, of which a thread has as few as it has CPUs times four, for everything
//! that has to wait: so there is one more of them while such an open runs, and of those that are too many none runs.
use super::{Place, Uring};
use crate::{inflight::Key, limits::WAITING};
use std::collections::VecDeque;

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Those that run.
    running: u32,
    /// Those that do not; also some that were cancelled meanwhile.
    queued: VecDeque<Key>,
    /// Workers that there are for everything else; known once there was such an open.
    workers: Option<u32>,
}

impl Uring {
    /// Runs an open that waits, or has it wait for that.
    pub(super) fn open_waiting(&mut self, key: Key) {
        if self.waiting.running < u32::from(WAITING) {
            self.waiting.running += 1;
            self.set_workers();
            return self.arm(key);
        }
        if let Some(entry) = self.slab.get_mut(key) {
            entry.place = Place::Paused;
            self.waiting.queued.push_back(key);
        }
    }

    /// One has ended.
    pub(super) fn open_waited(&mut self) {
        self.waiting.running -= 1;
        while let Some(key) = self.waiting.queued.pop_front() {
            if self.slab.get_mut(key).is_some_and(|entry| entry.place == Place::Paused) {
                return self.open_waiting(key);
            }
        }
        self.set_workers();
    }

    /// A worker more for each. Kernels before 5.15 have no number to set, nor has a ring that never needed one: then they have to do.
    fn set_workers(&mut self) {
        let mut workers = [0; 2]; // As many as before: this asks.
        if self.waiting.workers.is_none()
            && self.ring.submitter().register_iowq_max_workers(&mut workers).is_ok()
        {
            self.waiting.workers = Some(workers[0]).filter(|workers| *workers > 0);
        }
        if let Some(others) = self.waiting.workers {
            let _as_it_was =
                self.ring.submitter().register_iowq_max_workers(&mut [others + self.waiting.running, 0]);
        }
    }
}
