//! A read that is alone: tried in the page cache at the next enter, before anything is given to the ring.
//!
//! With a batch one `io_uring_enter` serves many; for a single cached read it does more than preadv2(2) does. So the first read
//! of an idle ring is held back until the enter: when nothing has joined it, `preadv2(RWF_NOWAIT)` takes what is cached, and
//! the ring has what is not. What that costs is bounded: one system call, of at most 64 KiB, in a turn, and after a miss the next
//! [`REST`] lone reads go to the ring at once. Files with O_DIRECT, pipes and file systems without RWF_NOWAIT are never tried.
use super::{Place, Uring};
use crate::{
    Operation,
    handle::Nature,
    inflight::Key,
    op::file::{
        Read,
        poll::{INLINE_BYTES, has_place, nature},
    },
    poll::attempt::Attempt,
};

/// Lone reads that are not tried after one that found nothing.
const REST: u8 = 15;

/// The read that is held back, and how long none is.
#[derive(Debug, Default)]
pub(super) struct Lone {
    pub(super) key: Option<Key>,
    pub(super) resting: u8,
}

impl Uring {
    /// Whether a read that comes now, to an idle ring, is held back.
    pub(super) fn holds_back(&mut self, read: &mut Read) -> bool {
        if self.is_sqpoll || self.staged > 0 || !self.backlog.is_empty() || read.offset == u64::MAX {
            return false; // A submission thread costs no call at all.
        }
        if !has_place(&mut read.target)
            || read.target.room() > INLINE_BYTES
            || nature(&read.file) != Nature::Cached
        {
            return false;
        }
        if self.lone.resting > 0 {
            self.lone.resting -= 1;
            return false;
        }
        true
    }

    /// Gives the read that is held back to the ring: others have joined it.
    #[cold]
    pub(super) fn join_lone(&mut self) {
        if let Some(key) = self.lone.key.take() {
            self.arm(key);
        }
    }

    /// Reads what is alone from the page cache, or gives it to the ring.
    pub(super) fn try_lone(&mut self) {
        let Some(key) = self.lone.key.take() else { return };
        let Some(entry) = self.slab.get_mut(key) else { return };
        debug_assert_eq!(entry.place, Place::Kernel);
        let attempt = match &mut entry.operation {
            Operation::Read(read) => read.attempt_cached(&mut { INLINE_BYTES }),
            _ => None,
        };
        self.stats.enters += 1;
        match attempt {
            Some(Attempt::Done(result)) => self.end_locally(key, result),
            _ => {
                self.lone.resting = REST;
                self.arm(key);
            }
        }
    }
}
