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
const TIMEOUTS_MAX: usize = 5;
/// 32-bit words of a submission entry, and of a completion.
const ENTRY_WORDS: usize = 16;
const COMPLETION_WORDS: usize = 4;
/// Where an entry's token lies.
const TOKEN: usize = 8;

/// Tokens: below, the timeout of that number. The upper half of an entry's user data is the ring's own number, so that what an
/// earlier ring over the same page leaves there is no completion of this one.
const WATCH: u32 = 32;
const CANCEL: u32 = 33;
static RINGS: AtomicU32 = AtomicU32::new(1);

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
    number: u32,
    /// When the timeouts that are set will fire; 0 for those that are not.
    timeouts: [Cell<u64>; TIMEOUTS_MAX],
    /// The earliest of them; 0 when none is set.
    armed: Cell<u64>,
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
        let timeouts = [const { Cell::new(0) }; TIMEOUTS_MAX];
        let number = RINGS.fetch_add(1, Ordering::Relaxed).max(1);
        Ok(Ring { fd, page, at, number, timeouts, armed: Cell::new(0), watching: Cell::new(false) })
    }

    #[inline]
    pub(super) fn word(&self) -> &'static AtomicU32 {
        &self.page.shared[self.at.flags]
    }

    /// Sees to it that the word is raised at `deadline` or earlier, and when `watched` is readable unless that is known already. True when
    /// a timeout was set for it.
    ///
    /// # Errors
    /// The kernel took no timeout now (no memory): nothing will raise the word.
    #[inline]
    pub(super) fn arm(&self, deadline: u64, watched: Option<RawFd>) -> Result<bool, E> {
        let fired = self.word().load(Ordering::Relaxed) & TASKRUN != 0;
        if !fired && self.is_armed(deadline) && (watched.is_none() || self.watching.get()) {
            return Ok(false);
        }
        self.arm_anew(deadline, watched, fired)
    }

    #[inline]
    fn is_armed(&self, deadline: u64) -> bool {
        let armed = self.armed.get();
        armed != 0 && armed <= deadline
    }

    #[cold]
    fn arm_anew(&self, deadline: u64, watched: Option<RawFd>, fired: bool) -> Result<bool, E> {
        let now = now_ns();
        // One call, when it is a timer that fired; else only entering tells why the word is raised.
        let is_due = |at: &Cell<u64>| at.get() != 0 && at.get() <= now;
        let due = fired && self.timeouts.iter().any(is_due) && self.timeouts.iter().any(|at| at.get() == 0);
        if fired && !due {
            self.enter(0, 0)?; // Clears the word.
            self.collect();
        }
        let known = self.watching.get() || self.word().load(Ordering::Relaxed) & LATENCY != 0;
        let watched = watched.filter(|_| !known);
        let set = !self.timeouts.iter().any(|at| at.get() > now && at.get() <= deadline);
        let time = Time {
            seconds: (deadline / 1_000_000_000).cast_signed(),
            nanoseconds: (deadline % 1_000_000_000).cast_signed(),
        };
        if set {
            let free = self.timeouts.iter().position(|timeout| timeout.get() == 0).ok_or(E::BUSY)?;
            // The kernel copies the time while it takes the entry, that is before `enter` returns (io_uring_enter(2), TIMEOUT).
            let address = (&raw const time).addr() as u64;
            self.stage(IoringOp::Timeout, -1, address, 1, IoringTimeoutFlags::ABS.bits(), free as u32);
            self.timeouts[free].set(deadline);
        }
        if let Some(fd) = watched {
            self.stage(IoringOp::PollAdd, fd, 0, 0, READABLE, WATCH);
            self.watching.set(true);
        }
        let count = u32::from(set) + u32::from(watched.is_some());
        if count > 0 {
            if self.submit(count, 0)? && !self.is_armed(deadline) {
                self.ask();
            }
        } else if due {
            self.enter(0, 0)?;
            self.collect();
        }
        Ok(set)
    }

    /// Raises the word when `fd` is readable, once.
    pub(super) fn watch(&self, fd: RawFd) -> bool {
        if self.watching.get() {
            return true;
        }
        self.stage(IoringOp::PollAdd, fd, 0, 0, READABLE, WATCH);
        self.watching.set(true);
        match self.submit(1, 0) {
            Ok(fired) => {
                if fired {
                    self.ask();
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Writes one entry.
    fn stage(&self, operation: IoringOp, fd: RawFd, address: u64, length: u32, flags: u32, token: u32) {
        let tail = self.page.shared[self.at.sq_tail].load(Ordering::Relaxed);
        let start = (tail & self.at.sq_mask) as usize * ENTRY_WORDS;
        let mut entry = [0_u32; ENTRY_WORDS];
        // struct io_uring_sqe: opcode (with flags and ioprio 0), fd, off, addr, len, the operation's flags, user_data.
        entry[0] = u32::from_ne_bytes([operation as u8, 0, 0, 0]);
        entry[1] = fd.cast_unsigned();
        let halves = address.to_ne_bytes();
        let half =
            |at: usize| u32::from_ne_bytes([halves[at], halves[at + 1], halves[at + 2], halves[at + 3]]);
        (entry[4], entry[5]) = (half(0), half(4));
        (entry[6], entry[7], entry[TOKEN], entry[TOKEN + 1]) = (length, flags, token, self.number);
        for (word, value) in self.page.entries[start..start + ENTRY_WORDS].iter().zip(entry) {
            word.store(value, Ordering::Relaxed);
        }
        self.page.shared[self.at.sq_tail].store(tail.wrapping_add(1), Ordering::Release);
    }

    /// A timeout's time came while we entered, so its flag is cleared. Nothing would raise the word any more, so this does: the next
    /// look sets another.
    fn ask(&self) {
        self.word().fetch_or(ASK, Ordering::Relaxed);
    }

    /// Hands the staged entries over and waits for so many completions, or takes back those that the kernel did not take. True when a
    /// timeout has completed by then.
    fn submit(&self, count: u32, wait: u32) -> Result<bool, E> {
        let shared = &self.page.shared;
        let staged = shared[self.at.sq_tail].load(Ordering::Relaxed);
        let outcome = self.enter(count, wait);
        let taken = outcome.unwrap_or(0).min(count);
        for back in 1..=count - taken {
            let at = staged.wrapping_sub(back);
            let entry = (at & self.at.sq_mask) as usize * ENTRY_WORDS;
            match self.page.entries[entry + TOKEN].load(Ordering::Relaxed) {
                WATCH => self.watching.set(false),
                token => self.forget(token),
            }
            shared[self.at.sq_tail].store(at, Ordering::Release);
        }
        self.note_armed();
        let fired = self.collect();
        if taken == count { Ok(fired) } else { Err(outcome.err().unwrap_or(E::AGAIN)) }
    }

    fn forget(&self, token: u32) {
        if let Some(timeout) = self.timeouts.get(token as usize) {
            timeout.set(0);
        }
    }

    fn note_armed(&self) {
        let set = self.timeouts.iter().map(Cell::get).filter(|at| *at != 0);
        self.armed.set(set.min().unwrap_or(0));
    }

    fn enter(&self, submit: u32, wait: u32) -> Result<u32, E> {
        // SAFETY: needs that every pointer in what it submits is valid until it is copied. Holds: `arm_anew` keeps the time
        // until this returns, and what was not taken is taken back (`submit`); nothing else has one (INV-1). Checked: preempt/tests.rs.
        unsafe { io_uring_enter(&self.fd, submit, wait, IoringEnterFlags::GETEVENTS) }
    }

    /// Takes note of what has completed; true when a timeout has. Nothing but counts depends on what the page says (INV-5): at worst
    /// a timer is late.
    fn collect(&self) -> bool {
        let shared = &self.page.shared;
        let head = shared[self.at.cq_head].load(Ordering::Relaxed);
        let tail = shared[self.at.cq_tail].load(Ordering::Acquire);
        let count = tail.wrapping_sub(head).min(self.at.cq_mask + 1);
        let (mut fired, mut read) = (false, 0);
        while read < count {
            let place =
                self.at.cqes + (head.wrapping_add(read) & self.at.cq_mask) as usize * COMPLETION_WORDS;
            if shared[place + 1].load(Ordering::Relaxed) != self.number {
                break; // The tail is not ours.
            }
            read += 1;
            match shared[place].load(Ordering::Relaxed) {
                WATCH => {
                    self.watching.set(false);
                    self.word().fetch_or(LATENCY, Ordering::Relaxed);
                }
                CANCEL => {}
                token => {
                    self.forget(token);
                    fired = true;
                }
            }
        }
        shared[self.at.cq_head].store(head.wrapping_add(read), Ordering::Release);
        self.note_armed();
        fired
    }

    /// What an earlier ring's end does to the page.
    #[cfg(test)]
    pub(super) fn spoil_tail(&self, tail: u32) {
        self.page.shared[self.at.cq_tail].store(tail, Ordering::Release);
    }

    /// Ends all that is in flight. False when the kernel would not say that it has.
    fn drain(&self) -> bool {
        let flags = IoringAsyncCancelFlags::ALL | IoringAsyncCancelFlags::ANY;
        for _ in 0..8 {
            if self.armed.get() == 0 && !self.watching.get() {
                return true;
            }
            self.stage(IoringOp::AsyncCancel, -1, 0, 0, flags.bits(), CANCEL);
            let _tried_again = self.submit(1, 1); // The cancel itself completes, so this does not wait for long.
        }
        false
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // With nothing in flight the kernel writes the indices and flags once more, some time after the descriptor is closed: the page
        // rests until then (page.rs). Checked: `a_page_rests_before_it_is_used_again` and `what_an_earlier_ring_leaves_is_no_completion`.
        if self.drain() {
            self.page.give();
        }
    }
}
