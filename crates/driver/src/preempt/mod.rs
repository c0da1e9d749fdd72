//! Soft preemption: one word that a running thread loads to learn that its time is over, raised without a call of its own.
//!
//! ```text
//!  word == 0: go on                 ┌── the kernel: TASKRUN, when the small ring's timeout fires (`ring.rs`)
//!  word != 0: look ──▶ confirm() ◀──┼── the ticker thread: TIME, where there is no ring (`ticker.rs`)
//!                                   ├── other threads: MESSAGE, when they queue something for this thread
//!                                   └── the thread itself: ASK, "nothing is armed yet"
//! ```
//!
//! Everybody writes the same word, atomically and each its own bit, so the check is one plain load in any language. The word
//! lies in a page that is never unmapped: the ring is made over that page (SETUP_NO_MMAP), so the kernel's SQ flags are the word.
//! Who still shows the word to JavaScript, or raises it late, reaches memory of this process for ever.
//!
//! **Watching**: on an event loop's thread the loop's own descriptor is watched beside the timer ([`Preempt::watch_always`]): one more entry
//! of the ring, or the ticker's poll(2). Then a slice may be long, since whoever waits raises the word, and a timer, whose
//! interrupt costs a virtual machine 15 µs, is needed less often.
//!
//! **Chasing**: a timer is one-shot and is not moved when slices end early. It fires, the thread looks at the clock, and only
//! then it is set for the deadline that holds now: at most one timer a quota, none while idle.
mod page;
#[cfg(target_os = "linux")]
mod ring;
mod ticker;

use crate::Errno;
use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Slices for which the timer is set before anybody looks, after a look.
const EAGER: u32 = 16;

/// The kernel's bit: IORING_SQ_TASKRUN.
#[cfg(target_os = "linux")]
const TASKRUN: u32 = 1 << 2;
/// Nothing is armed for this slice yet: the first look arms.
const ASK: u32 = 1 << 16;
/// The ticker: the deadline has passed.
const TIME: u32 = 1 << 17;
/// Another thread has something for this one.
const MESSAGE: u32 = 1 << 18;
/// A latency class has something to do: one of its operations has completed, or the thread itself woke one of its tasks. On an event
/// loop's thread: the loop has something to do.
const LATENCY: u32 = 1 << 19;

/// A word that is never raised: for threads without preemption.
pub static NEVER: AtomicU32 = AtomicU32::new(0);
/// A word that is always raised: for threads whose first look has to set preemption up.
pub static UNMADE: AtomicU32 = AtomicU32::new(ASK);

/// What raises the word when time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PreemptKind {
    /// The ring where the kernel has it (Linux 6.5, io_uring allowed), else the ticker. The poll driver never tries the ring.
    #[default]
    Auto,
    /// A small io_uring with one timeout: about 12 µs late, no other thread.
    Ring,
    /// The ticker thread, one for the process, which sleeps until the next deadline: about 25 µs late.
    Ticker,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PreemptStats {
    /// Timers set: system calls of the ring, stores of the ticker.
    pub armed: u64,
    /// Looks at the clock because the word was raised.
    pub looks: u64,
    /// Looks that found the slice over.
    pub over: u64,
}

/// One thread's preemption. Made and used on that thread (the ring has a single issuer); only its word is for others.
///
/// ```
/// use ringwheel_driver::preempt::{Preempt, PreemptKind, now_ns};
/// use std::{sync::atomic::Ordering, time::Duration};
///
/// let preempt = Preempt::start(PreemptKind::Auto, Duration::from_millis(1)).expect("a ring or a ticker");
/// let deadline = now_ns() + 2_000_000;
/// preempt.begin(deadline);
/// let word = preempt.word();
/// while word.load(Ordering::Relaxed) == 0 || !preempt.confirm() {
///     std::hint::spin_loop(); // work
/// }
/// assert!(now_ns() >= deadline);
/// ```
pub struct Preempt {
    way: Way,
    quota: Cell<u64>,
    /// Of the present slice, in nanoseconds of the monotonic clock; 0 when it counts from the first look.
    deadline: Cell<u64>,
    /// From when on messages and what is watched end the slice.
    early: Cell<u64>,
    /// Somebody waits already, who will be let in at the deadline.
    waited_for: Cell<bool>,
    /// Slices for which the timer will be set before anybody looks.
    eager: Cell<u32>,
    watched: OnceLock<Arc<OwnedFd>>,
    stats: Cell<PreemptStats>,
    _not_send: PhantomData<*const ()>,
}

enum Way {
    #[cfg(target_os = "linux")]
    Ring(ring::Ring),
    Ticker(ticker::Seat),
}

/// Now, in nanoseconds of the monotonic clock: the same clock as libuv's `hrtime` and [`std::time::Instant`]'s on Linux.
#[inline]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Any thread: raises a word because something waits for its thread. One load when it is raised for that already.
#[inline]
pub fn raise_for_message(word: &AtomicU32) {
    if word.load(Ordering::Relaxed) & MESSAGE == 0 {
        word.fetch_or(MESSAGE, Ordering::Relaxed);
    }
}

/// The thread itself: raises its word for the rest of the slice, because something urgent became ready.
#[inline]
pub fn raise_for_latency(word: &AtomicU32) {
    word.fetch_or(LATENCY, Ordering::Relaxed);
}

impl Preempt {
    /// Sets preemption up for the calling thread. `quota` is the length of a slice that has no deadline of its own.
    ///
    /// # Errors
    /// The system's: io_uring is denied or too old when the ring is insisted on; no thread for the ticker.
    pub fn start(kind: PreemptKind, quota: Duration) -> Result<Preempt, Errno> {
        let way = match kind {
            PreemptKind::Ticker => Way::Ticker(ticker::Seat::new()?),
            #[cfg(target_os = "linux")]
            PreemptKind::Ring => Way::Ring(ring::Ring::new()?),
            #[cfg(not(target_os = "linux"))]
            PreemptKind::Ring => return Err(Errno::from(rustix::io::Errno::NOSYS)),
            #[cfg(target_os = "linux")]
            PreemptKind::Auto => match ring::Ring::new() {
                Ok(ring) => Way::Ring(ring),
                Err(_) => Way::Ticker(ticker::Seat::new()?),
            },
            #[cfg(not(target_os = "linux"))]
            PreemptKind::Auto => Way::Ticker(ticker::Seat::new()?),
        };
        let preempt = Preempt {
            way,
            quota: Cell::new(nanoseconds(quota)),
            deadline: Cell::new(0),
            early: Cell::new(0),
            waited_for: Cell::new(false),
            eager: Cell::new(0),
            watched: OnceLock::new(),
            stats: Cell::default(),
            _not_send: PhantomData,
        };
        preempt.raise(ASK);
        Ok(preempt)
    }

    /// The ring or the ticker.
    pub fn kind(&self) -> PreemptKind {
        match self.way {
            #[cfg(target_os = "linux")]
            Way::Ring(_) => PreemptKind::Ring,
            Way::Ticker(_) => PreemptKind::Ticker,
        }
    }

    /// The word. Not 0: call [`Preempt::confirm`]. It stays valid when this `Preempt` is gone.
    #[inline]
    pub fn word(&self) -> &'static AtomicU32 {
        match &self.way {
            #[cfg(target_os = "linux")]
            Way::Ring(ring) => ring.word(),
            Way::Ticker(seat) => seat.word(),
        }
    }

    /// The length of a slice that has no deadline of its own.
    pub fn quota(&self) -> Duration {
        Duration::from_nanos(self.quota.get())
    }

    /// Changes that length, from the next slice on.
    pub fn set_quota(&self, quota: Duration) {
        self.quota.set(nanoseconds(quota));
    }

    /// Begins a slice that ends at `deadline` (of [`now_ns`]'s clock) and sets the timer: a system call only when none is set that
    /// fires earlier.
    #[inline]
    pub fn begin(&self, deadline: u64) {
        self.begin_at(deadline.max(1));
        if self.word().load(Ordering::Relaxed) & (ASK | TIME | LATENCY) != 0 {
            self.word().fetch_and(!(ASK | TIME | LATENCY), Ordering::Relaxed);
        }
        self.arm(deadline);
    }

    /// Begins a slice for which nothing is set before someone looks. It ends at `deadline`; with `None` a quota after the first
    /// look. One load when nobody looked in the slice before.
    #[inline]
    pub fn begin_lazily(&self, deadline: Option<u64>) {
        self.begin_at(deadline.unwrap_or(0));
        if self.word().load(Ordering::Relaxed) & (ASK | TIME | LATENCY) != ASK {
            self.word().fetch_and(!(TIME | LATENCY), Ordering::Relaxed);
            self.raise(ASK);
        }
    }

    /// As [`Preempt::begin`] when there was a look in one of the last 16 slices, so that its looks are loads from the first on; else as
    /// [`Preempt::begin_lazily`]. Whoever waits (messages, what is watched) ends the slice from `early` on: before, the timer is
    /// set for then.
    #[inline]
    pub fn begin_as_looked_at(&self, deadline: u64, early: u64) {
        match self.eager.get() {
            0 => self.begin_lazily(Some(deadline)),
            eager => {
                self.eager.set(eager - 1);
                self.begin(deadline);
            }
        }
        self.early.set(early);
    }

    /// True when the next slice of [`Preempt::begin_as_looked_at`] will have its timer, and its watch, from the beginning on.
    #[inline]
    pub fn is_looked_at(&self) -> bool {
        self.eager.get() > 0
    }

    fn begin_at(&self, deadline: u64) {
        self.deadline.set(deadline);
        self.early.set(0);
        self.waited_for.set(false);
    }

    /// Messages are about to be looked at: one that comes from here on raises the word again. Call it before looking.
    #[inline]
    pub fn messages_seen(&self) {
        if self.word().load(Ordering::Relaxed) & MESSAGE != 0 {
            self.word().fetch_and(!MESSAGE, Ordering::SeqCst);
        }
    }

    /// The word is raised: is the slice over? True: yes, and the word stays raised. False: not yet; the word is 0 again and
    /// the timer set for what is left. A clock read, and a system call of the ring when its timer has fired.
    #[cold]
    pub fn confirm(&self) -> bool {
        self.eager.set(EAGER);
        let mut stats = self.stats.get();
        stats.looks += 1;
        self.stats.set(stats);
        self.is_over()
    }

    /// Between slices: does somebody wait who may be let in now? Two loads while nobody does. No look: it sets no timer where none is.
    #[inline]
    pub fn lets_in(&self) -> bool {
        let word = self.word().load(Ordering::Relaxed);
        (word & !(ASK | TIME) != 0 || self.waited_for.get()) && self.is_over() && self.is_waited_for()
    }

    fn is_waited_for(&self) -> bool {
        self.waited_for.get() || self.word().load(Ordering::Relaxed) & (MESSAGE | LATENCY) != 0
    }

    #[cold]
    fn is_over(&self) -> bool {
        let word = self.word();
        let now = now_ns();
        if self.deadline.get() == 0 {
            self.deadline.set(now.saturating_add(self.quota.get()));
        }
        let deadline = self.deadline.get();
        let over = now >= deadline || {
            word.fetch_and(!(ASK | TIME), Ordering::Relaxed);
            self.arm(deadline); // Entering also tells why the kernel raised the word.
            word.load(Ordering::Relaxed) & (MESSAGE | LATENCY) != 0 && !self.puts_off(now)
        };
        if over {
            self.raise(TIME);
            let stats = self.stats.get();
            self.stats.set(PreemptStats { over: stats.over + 1, ..stats });
        }
        over
    }

    /// Somebody waits. True when it is too early for that to end the slice: it will at the time that was said.
    fn puts_off(&self, now: u64) -> bool {
        let early = self.early.get();
        if now >= early {
            return false;
        }
        self.waited_for.set(true);
        self.deadline.set(early.min(self.deadline.get()));
        self.word().fetch_and(!(MESSAGE | LATENCY), Ordering::Relaxed);
        self.arm(self.deadline.get());
        true
    }

    /// Whether the word is raised for a reason that ends the slice, or may: one load.
    #[inline]
    pub fn is_raised(&self) -> bool {
        self.word().load(Ordering::Relaxed) != 0
    }

    /// Raises the word once when `fd`, an eventfd that tells of completions, becomes readable. Only the ring can; false when
    /// it cannot. Asked again it does nothing while the last watch has not ended.
    pub fn watch(&self, fd: RawFd) -> bool {
        match &self.way {
            #[cfg(target_os = "linux")]
            Way::Ring(ring) => ring.watch(fd),
            Way::Ticker(_) => {
                let _ = fd;
                false
            }
        }
    }

    /// From now on every timer that is set comes with a watch: the word is also raised when `fd` becomes readable, until the next slice
    /// begins. Only the first descriptor that is given is watched; it is closed some time after `self` is gone.
    pub fn watch_always(&self, fd: OwnedFd) {
        let fd = Arc::new(fd);
        if self.watched.set(Arc::clone(&fd)).is_ok()
            && let Way::Ticker(seat) = &self.way
        {
            seat.watch(fd);
        }
    }

    fn raise(&self, why: u32) {
        self.word().fetch_or(why, Ordering::Relaxed);
    }

    /// Counters.
    pub fn stats(&self) -> PreemptStats {
        self.stats.get()
    }

    #[inline]
    fn arm(&self, deadline: u64) {
        let watched = self.watched.get().filter(|_| !self.waited_for.get());
        let armed = match &self.way {
            #[cfg(target_os = "linux")]
            Way::Ring(ring) => ring.arm(deadline, watched.map(|fd| fd.as_raw_fd())),
            Way::Ticker(seat) => Ok::<_, rustix::io::Errno>(seat.arm(deadline, watched.is_some())),
        };
        match armed {
            Ok(false) => {}
            Ok(true) => {
                let stats = self.stats.get();
                self.stats.set(PreemptStats { armed: stats.armed + 1, ..stats });
            }
            // No timer: each look reads the clock and tries again.
            Err(_) => self.raise(ASK),
        }
    }
}

/// Never 0, which means "none", and never as much as the clock has.
fn nanoseconds(quota: Duration) -> u64 {
    u64::try_from(quota.as_nanos()).unwrap_or(u64::MAX).clamp(1, 1 << 60)
}

impl fmt::Debug for Preempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preempt")
            .field("kind", &self.kind())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
