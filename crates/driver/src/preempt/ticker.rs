//! The ticker: one thread for the process that raises words at their deadlines. It sleeps until the earliest deadline it knows,
//! is told only of earlier ones, and waits without a time while none is set. It ends with the last seat.
use super::{TIME, now_ns, page::Page};
use crate::Errno;
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
    },
    time::Duration,
};

/// No deadline.
const NONE: u64 = u64::MAX;

static TICKER: Mutex<Ticker> = Mutex::new(Ticker { seats: Vec::new(), runs: false });
static BELL: Condvar = Condvar::new();
/// When the thread will look at the deadlines by itself; `NONE` while it waits to be told.
static SLEEPS_UNTIL: AtomicU64 = AtomicU64::new(NONE);

struct Ticker {
    seats: Vec<Arc<Watched>>,
    runs: bool,
}

/// What the thread sees of a seat.
#[derive(Debug)]
struct Watched {
    word: &'static AtomicU32,
    deadline: AtomicU64,
}

/// One thread's place at the ticker.
#[derive(Debug)]
pub(super) struct Seat {
    page: &'static Page,
    watched: Arc<Watched>,
}

fn ticker() -> MutexGuard<'static, Ticker> {
    TICKER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    pub(super) fn new() -> Result<Seat, Errno> {
        let page = Page::take();
        let watched = Arc::new(Watched { word: &page.shared[0], deadline: AtomicU64::new(NONE) });
        let mut ticker = ticker();
        if !ticker.runs {
            let thread = std::thread::Builder::new().name("ringwheel-tick".to_owned()).stack_size(64 << 10);
            if let Err(error) = thread.spawn(run) {
                page.give();
                return Err(Errno::of(&error));
            }
            ticker.runs = true;
        }
        ticker.seats.push(Arc::clone(&watched));
        Ok(Seat { page, watched })
    }

    #[inline]
    pub(super) fn word(&self) -> &'static AtomicU32 {
        self.watched.word
    }

    /// True when the deadline is a new one. Wakes the thread only when it would sleep past it.
    pub(super) fn arm(&self, deadline: u64) -> bool {
        // Chasing: an earlier one that is still set will be looked at, and the look sets the later one.
        if self.watched.deadline.load(Ordering::Relaxed) <= deadline {
            return false;
        }
        self.watched.deadline.store(deadline, Ordering::Relaxed);
        // Dekker's handshake with `run`: both write, fence, and read the other's word.
        fence(Ordering::SeqCst);
        if SLEEPS_UNTIL.load(Ordering::Relaxed) > deadline {
            let _in_wait = ticker(); // From its look to its sleep the thread holds the lock, so it hears the bell.
            BELL.notify_one();
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut ticker = ticker();
        ticker.seats.retain(|watched| !Arc::ptr_eq(watched, &self.watched));
        if ticker.seats.is_empty() {
            BELL.notify_one();
        }
        drop(ticker);
        self.page.give();
    }
}

/// The thread.
fn run() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)); // Else 50 µs; without it we are later.
    let mut ticker = ticker();
    while !ticker.seats.is_empty() {
        let now = now_ns();
        let mut next = next_of(&ticker, now);
        SLEEPS_UNTIL.store(next, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // A deadline that was set between the two looks at a moment when we seemed to wake soon enough.
        next = next.min(next_of(&ticker, now));
        ticker = if next == NONE {
            BELL.wait(ticker).unwrap_or_else(PoisonError::into_inner)
        } else {
            let sleep = Duration::from_nanos(next.saturating_sub(now_ns()));
            BELL.wait_timeout(ticker, sleep).unwrap_or_else(PoisonError::into_inner).0
        };
    }
    SLEEPS_UNTIL.store(NONE, Ordering::Relaxed);
    ticker.runs = false;
}

/// Raises what is due and gives the earliest of the others.
fn next_of(ticker: &Ticker, now: u64) -> u64 {
    let mut next = NONE;
    for watched in &ticker.seats {
        let deadline = watched.deadline.load(Ordering::Relaxed);
        if deadline > now {
            next = next.min(deadline);
        } else if watched
            .deadline
            .compare_exchange(deadline, NONE, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            // Taken off first: its thread, woken by the word, sets the next one.
            watched.word.fetch_or(TIME, Ordering::Relaxed);
        } else {
            next = now; // It was moved this moment: look again.
        }
    }
    next
}
