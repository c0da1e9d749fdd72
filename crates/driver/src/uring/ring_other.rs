//! Waking a driver that sleeps in its ring by a message from this ring (IORING_OP_MSG_RING): it leaves with the `enter` that
//! this driver makes anyway, where an eventfd would take a system call of its own.
//!
//! The descriptor that such an entry names must mean the same ring when the kernel looks at it, however long the other
//! driver is gone by then. So a ring that is woken this way has a second descriptor, counted ([`Address`]), made when the first wants to
//! wake it, and `rung` holds it until the kernel has taken the entry. A driver that ends meanwhile lets go of its count, and its ring goes
//! when the last of these does: at the latest when the drivers that have a wake on the way to it reap next.
//!
//! The message is silent here when it gets there. When it does not, its completion is posted by the very `enter` that took
//! the entry (the kernel runs it inline: io_uring/msg_ring.c, `io_msg_data_remote` and `__io_msg_ring_data` never wait), so
//! the queue being empty after that means that all got there, and `rung` is forgotten. A refusal (no memory, the other
//! thread has ended) falls back on the eventfds of all whom it may have been for: a wake too many is harmless.
use super::{RING, RUNG, Uring};
use crate::{Waker, driver::Host, wake::Signal};
use io_uring::{IoUring, opcode, squeue, types};
use std::{
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
};

/// Where other rings send their messages to.
#[derive(Debug)]
pub(crate) struct Address {
    /// The ring's own descriptor, open for as long as this value lives.
    ring: RawFd,
    second: Option<Arc<OwnedFd>>,
}

impl Address {
    /// For tests: a second descriptor that is there already, of whatever it is.
    #[cfg(test)]
    pub(super) fn at(second: Arc<OwnedFd>) -> Address {
        Address { ring: second.as_raw_fd(), second: Some(second) }
    }

    /// The second descriptor; `None` when there is none to spare.
    pub(crate) fn descriptor(&mut self) -> Option<Arc<OwnedFd>> {
        if self.second.is_none() {
            // SAFETY: `borrow_raw` needs the descriptor open as long as the borrow lives. Holds: whoever called `signal` promised it
            // for as long as this value lives, which outlives the borrow. Checked: tests/contract.rs, "a driver wakes another,
            // whichever way that one sleeps".
            let ring = unsafe { BorrowedFd::borrow_raw(self.ring) };
            self.second = rustix::io::fcntl_dupfd_cloexec(ring, 0).ok().map(Arc::new);
        }
        self.second.clone()
    }
}

/// How others wake a driver over this ring. One that parks in a host's loop has an eventfd alone: a message would make it
/// enter once more to collect it.
///
/// # Safety
/// The ring stays open until the signal is dropped.
pub(super) unsafe fn signal(ring: &IoUring, eventfd: &Arc<OwnedFd>, host: Host) -> Signal {
    let eventfd = Arc::clone(eventfd);
    match host {
        Host::Embedded => Signal::Eventfd(eventfd),
        Host::Native => Signal::Ring { ring: Address { ring: ring.as_raw_fd(), second: None }, eventfd },
    }
}

impl Uring {
    pub(crate) fn wake_other(&mut self, other: &Waker) {
        if !other.claim() {
            return;
        }
        // A submission thread takes entries when it likes, so nobody could say when their descriptors are free.
        let can = self.capabilities.msg_ring && !self.is_sqpoll && !self.closed;
        match other.ring().filter(|_| can) {
            Some(ring) => {
                let message = opcode::MsgRingData::new(types::Fd(ring.as_raw_fd()), 0, RUNG, None).build();
                self.rung.push((other.clone(), ring));
                self.stats.wakes_sent += 1;
                self.push(message.flags(squeue::Flags::SKIP_SUCCESS).user_data(RING));
            }
            None => other.signal(),
        }
    }

    /// Everyone whom a message may not have reached hears their eventfd.
    #[cold]
    pub(super) fn ring_again(&mut self) {
        for (other, _) in &self.rung {
            other.signal();
        }
    }

    /// The completion queue is empty: what was submitted has reached whom it was for.
    #[inline]
    pub(super) fn forget_rung(&mut self) {
        if self.staged == 0 && self.backlog.is_empty() {
            self.rung.clear();
        }
    }
}
