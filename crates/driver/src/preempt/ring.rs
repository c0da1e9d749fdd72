//! The ring that raises the word: SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG, over our own page (NO_MMAP, Linux 6.5).
//!
//! When its timeout fires, the kernel has work for this thread and sets IORING_SQ_TASKRUN in the SQ flags, also while the thread
//! is in user code (io_uring_setup(2)); only entering clears it. The flags are the word. A ring of its own, since the flag of the
//! driver's ring means any completion.
//!
//! The kernel gives up the pages when the last request is gone: `drop` cancels and collects all, then closes; what it cannot
//! collect keeps its page for ever (INV-1).
use super::{ASK, LATENCY, TASKRUN, now_ns, page::Page};
use crate::Errno;
use rustix::{
    io::Errno as E,
    io_uring::{
        IoringAsyncCancelFlags, IoringEnterFlags, IoringOp, IoringSetupFlags, IoringTimeoutFlags,
        io_uring_enter, io_uring_params, io_uring_ptr, io_uring_setup,
    },
};
use std::{
    cell::Cell,
    os::fd::{OwnedFd, RawFd},
    sync::atomic::{AtomicU32, Ordering},
};

/// Submission entries; the kernel makes twice as many completion entries.
const ENTRIES: u32 = 4;
/// Timeouts in flight at once: more than one only when a deadline was moved forward. With the watch and a cancel they fit the
/// completion queue.
const TIMEOUTS_MAX: u32 = 5;
/// 32-bit words of a submission entry, and of a completion.
const ENTRY_WORDS: usize = 16;
const COMPLETION_WORDS: usize = 4;

const TIMEOUT: u32 = 1;
const WATCH: u32 = 2;
const CANCEL: u32 = 3;

/// POLLIN; big-endian kernels read the two halves the other way round (io_uring_enter(2), POLL_ADD).
const READABLE: u32 =
    if cfg!(target_endian = "big") { (libc::POLLIN as u32).rotate_left(16) } else { libc::POLLIN as u32 };

/// `struct __kernel_timespec`.
#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i64,
}

#[derive(Debug)]
pub(super) struct Ring {
    fd: OwnedFd,
    page: &'static Page,
    at: Places,
    /// The earliest time at which a timeout that is set will fire; 0 when none is.
    armed: Cell<u64>,
    timeouts: Cell<u32>,
    watching: Cell<bool>,
}

/// Where things lie in the page, in words.
#[derive(Clone, Copy, Debug)]
struct Places {
    flags: usize,
    sq_tail: usize,
    sq_mask: u32,
    cq_head: usize,
    cq_tail: usize,
    cq_mask: u32,
    cqes: usize,
}

impl Ring {
    pub(super) fn new() -> Result<Ring, Errno> {
        let page = Page::take();
        Ring::over(page).inspect_err(|_| page.give())
    }

    fn over(page: &'static Page) -> Result<Ring, Errno> {
        let mut params = io_uring_params::default();
        params.flags = IoringSetupFlags::SINGLE_ISSUER
            | IoringSetupFlags::DEFER_TASKRUN
            | IoringSetupFlags::TASKRUN_FLAG
            | IoringSetupFlags::NO_MMAP;
        params.cq_off.user_addr = io_uring_ptr::from(page.shared.as_ptr().cast_mut().cast());
        params.sq_off.user_addr = io_uring_ptr::from(page.entries.as_ptr().cast_mut().cast());
        // SAFETY: needs pages that stay mapped, and that we touch as the protocol says, while the ring lives.
        // Holds: a Page is never freed and read and written through atomics only; `drop` keeps it from others until the ring is
        // done with it (INV-1). Checked: preempt/tests.rs.
        let fd = unsafe { io_uring_setup(ENTRIES, &mut params) }?;
        let word = |bytes: u32| bytes as usize / 4;
        let at = Places {
            flags: word(params.sq_off.flags),
            sq_tail: word(params.sq_off.tail),
            sq_mask: params.sq_entries - 1,
            cq_head: word(params.cq_off.head),
            cq_tail: word(params.cq_off.tail),
            cq_mask: params.cq_entries - 1,
            cqes: word(params.cq_off.cqes),
        };
        let array = word(params.sq_off.array);
        let last = at.cqes + params.cq_entries as usize * COMPLETION_WORDS;
        if last > page.shared.len() || array + ENTRIES as usize > page.shared.len() {
            return Err(Errno::from(E::OVERFLOW)); // The kernel would have refused one page too.
        }
        for index in 0..ENTRIES {
            page.shared[array + index as usize].store(index, Ordering::Relaxed);
        }
        Ok(Ring { fd, page, at, armed: Cell::new(0), timeouts: Cell::new(0), watching: Cell::new(false) })
    }

    #[inline]
    pub(super) fn word(&self) -> &'static AtomicU32 {
        &self.page.shared[self.at.flags]
    }

    /// Sees to it that the word is raised at `deadline` or earlier. True when a timeout was set for it.
    ///
    /// # Errors
    /// The kernel took no timeout now (no memory): nothing will raise the word.
    #[inline]
    pub(super) fn arm(&self, deadline: u64) -> Result<bool, E> {
        let fired = self.word().load(Ordering::Relaxed) & TASKRUN != 0;
        let armed = self.armed.get();
        if !fired && armed != 0 && armed <= deadline {
            return Ok(false);
        }
        self.arm_anew(deadline, fired)
    }

    #[cold]
    fn arm_anew(&self, deadline: u64, fired: bool) -> Result<bool, E> {
        if fired {
            self.enter(0, 0)?; // Clears the word.
            self.collect();
        }
        let armed = self.armed.get();
        if armed != 0 && armed <= deadline && armed > now_ns() {
            return Ok(false);
        }
        if self.timeouts.get() >= TIMEOUTS_MAX {
            return Err(E::BUSY);
        }
        let time = Time {
            seconds: (deadline / 1_000_000_000).cast_signed(),
            nanoseconds: (deadline % 1_000_000_000).cast_signed(),
        };
        // The kernel copies the time while it takes the entry, that is before `enter` returns (io_uring_enter(2), TIMEOUT).
        let address = (&raw const time).addr() as u64;
        self.stage(IoringOp::Timeout, -1, address, 1, IoringTimeoutFlags::ABS.bits(), TIMEOUT);
        self.submit()?;
        self.timeouts.set(self.timeouts.get() + 1);
        self.armed.set(deadline);
        self.catch_up();
        Ok(true)
    }

    /// Raises the word when `fd` is readable, once.
    pub(super) fn watch(&self, fd: RawFd) -> bool {
        if self.watching.get() {
            return true;
        }
        self.stage(IoringOp::PollAdd, fd, 0, 0, READABLE, WATCH);
        let watching = self.submit().is_ok();
        self.watching.set(watching);
        self.catch_up();
        watching
    }

    /// After entering: a timeout whose time came meanwhile has completed by now, and its flag is cleared. Nothing would raise the
    /// word any more, so this does: the next look sets another.
    fn catch_up(&self) {
        let armed = self.armed.get();
        self.collect();
        if armed != 0 && self.armed.get() == 0 {
            self.word().fetch_or(ASK, Ordering::Relaxed);
        }
    }

    /// Writes one entry.
    fn stage(&self, operation: IoringOp, fd: RawFd, address: u64, length: u32, flags: u32, token: u32) {
        let tail = self.page.shared[self.at.sq_tail].load(Ordering::Relaxed);
        let start = (tail & self.at.sq_mask) as usize * ENTRY_WORDS;
        let mut entry = [0; ENTRY_WORDS];
        // struct io_uring_sqe: opcode (with flags and ioprio 0), fd, off, addr, len, the operation's flags, user_data.
        entry[0] = u32::from_ne_bytes([operation as u8, 0, 0, 0]);
        entry[1] = fd.cast_unsigned();
        let halves = address.to_ne_bytes();
        let half =
            |at: usize| u32::from_ne_bytes([halves[at], halves[at + 1], halves[at + 2], halves[at + 3]]);
        (entry[4], entry[5]) = (half(0), half(4));
        (entry[6], entry[7], entry[8]) = (length, flags, token);
        for (word, value) in self.page.entries[start..start + ENTRY_WORDS].iter().zip(entry) {
            word.store(value, Ordering::Relaxed);
        }
        self.page.shared[self.at.sq_tail].store(tail.wrapping_add(1), Ordering::Release);
    }

    /// Hands the one staged entry over, or takes it back.
    fn submit(&self) -> Result<(), E> {
        let taken = self.enter(1, 0);
        if taken == Ok(1) {
            return Ok(());
        }
        let tail = self.page.shared[self.at.sq_tail].load(Ordering::Relaxed);
        self.page.shared[self.at.sq_tail].store(tail.wrapping_sub(1), Ordering::Release);
        Err(taken.err().unwrap_or(E::AGAIN))
    }

    fn enter(&self, submit: u32, wait: u32) -> Result<u32, E> {
        // SAFETY: needs that every pointer in what it submits is valid until it is copied. Holds: `arm_anew` keeps the time
        // until this returns; nothing else has one (INV-1). Checked: preempt/tests.rs.
        unsafe { io_uring_enter(&self.fd, submit, wait, IoringEnterFlags::GETEVENTS) }
    }

    /// Takes note of what has completed. Nothing but counts depends on what the page says (INV-5): at worst a timer is late.
    fn collect(&self) {
        let shared = &self.page.shared;
        let head = shared[self.at.cq_head].load(Ordering::Relaxed);
        let tail = shared[self.at.cq_tail].load(Ordering::Acquire);
        let count = tail.wrapping_sub(head).min(self.at.cq_mask + 1);
        for index in 0..count {
            let place = (head.wrapping_add(index) & self.at.cq_mask) as usize * COMPLETION_WORDS;
            match shared[self.at.cqes + place].load(Ordering::Relaxed) {
                TIMEOUT => {
                    self.timeouts.set(self.timeouts.get().saturating_sub(1));
                    self.armed.set(0);
                }
                WATCH => {
                    self.watching.set(false);
                    self.word().fetch_or(LATENCY, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        shared[self.at.cq_head].store(head.wrapping_add(count), Ordering::Release);
    }

    /// Ends all that is in flight. False when the kernel would not say that it has.
    fn drain(&self) -> bool {
        let flags = IoringAsyncCancelFlags::ALL | IoringAsyncCancelFlags::ANY;
        for _ in 0..8 {
            if self.timeouts.get() == 0 && !self.watching.get() {
                return true;
            }
            self.stage(IoringOp::AsyncCancel, -1, 0, 0, flags.bits(), CANCEL);
            if self.submit().is_ok() {
                let _ = self.enter(0, 1); // The cancel itself completes, so this does not wait for long.
            }
            self.collect();
        }
        false
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel lets go of the ring some time after its descriptor is closed, but with nothing in flight it has nothing more
        // to write. Checked: `a_page_is_used_again_only_when_its_ring_is_quiet`.
        if self.drain() {
            self.page.give();
        }
    }
}
