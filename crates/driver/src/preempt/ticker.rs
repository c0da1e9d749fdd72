//! The ticker: one thread for the process that raises words at their deadlines, and when what they watch becomes readable. It sleeps in
//! poll(2) until the earliest deadline it knows, is told only of earlier ones and of watches that begin anew, and waits without a
//! time while none is set. It ends with the last seat.
use super::{LATENCY, TIME, now_ns, page::Page};
use crate::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
    },
    time::Duration,
};

/// No deadline.
const NONE: u64 = u64::MAX;

static TICKER: Mutex<Ticker> = Mutex::new(Ticker { seats: Vec::new(), runs: false });
/// When the thread will look at the deadlines by itself; `NONE` while it waits to be told.
static SLEEPS_UNTIL: AtomicU64 = AtomicU64::new(NONE);
/// What is written to one end wakes the thread, also when it is just about to sleep.
static BELL: OnceLock<(UnixStream, UnixStream)> = OnceLock::new();

struct Ticker {
    seats: Vec<Arc<Watched>>,
    runs: bool,
}

/// What the thread sees of a seat.
#[derive(Debug)]
struct Watched {
    word: &'static AtomicU32,
    deadline: AtomicU64,
    /// What is watched, if anything is.
    fd: OnceLock<Arc<OwnedFd>>,
    /// It is: cleared when it has raised the word.
    watching: AtomicBool,
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

/// Made once in a process.
fn bell() -> Result<&'static (UnixStream, UnixStream), Errno> {
    if let Some(bell) = BELL.get() {
        return Ok(bell);
    }
    let made = UnixStream::pair().and_then(|(to, from)| {
        to.set_nonblocking(true)?;
        from.set_nonblocking(true)?;
        Ok((to, from))
    });
    let made = made.map_err(|error| Errno::of(&error))?;
    Ok(BELL.get_or_init(|| made))
}

fn ring_bell() {
    if let Some((to, _)) = BELL.get() {
        let _full = (&*to).write(&[1]); // Full: it rings already.
    }
}

impl Seat {
    pub(super) fn new() -> Result<Seat, Errno> {
        bell()?;
        let page = Page::take();
        let watched = Arc::new(Watched {
            word: &page.shared[0],
            deadline: AtomicU64::new(NONE),
            fd: OnceLock::new(),
            watching: AtomicBool::new(false),
        });
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

    /// What `arm` shall watch when it is asked to.
    pub(super) fn watch(&self, fd: Arc<OwnedFd>) {
        let _only_the_first = self.watched.fd.set(fd);
    }

    /// True when the deadline is a new one. Wakes the thread only when it would sleep past it, or does not watch yet.
    pub(super) fn arm(&self, deadline: u64, watch: bool) -> bool {
        let Watched { word, deadline: set, watching, .. } = &*self.watched;
        // Chasing: an earlier one that is still set will be looked at, and the look sets the later one.
        let later = set.load(Ordering::Relaxed) <= deadline;
        let known = !watch || watching.load(Ordering::Relaxed) || word.load(Ordering::Relaxed) & LATENCY != 0;
        if later && known {
            return false;
        }
        if !later {
            set.store(deadline, Ordering::Relaxed);
        }
        if !known {
            watching.store(true, Ordering::Relaxed);
        }
        // Dekker's handshake with `run`: both write, fence, and read the other's word.
        fence(Ordering::SeqCst);
        if !known || SLEEPS_UNTIL.load(Ordering::Relaxed) > deadline {
            ring_bell();
        }
        !later
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut ticker = ticker();
        ticker.seats.retain(|watched| !Arc::ptr_eq(watched, &self.watched));
        if ticker.seats.is_empty() || self.watched.watching.load(Ordering::Relaxed) {
            ring_bell(); // It ends, or lets go of the descriptor.
        }
        drop(ticker);
        self.page.give();
    }
}

/// The thread.
fn run() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1)); // Else 50 µs; without it we are later.
    let mut sources = Vec::new();
    while let Some(next) = look(&mut sources) {
        sleep(&sources, next);
    }
}

/// Raises what is due; gives the earliest of the other deadlines, and in `sources` who watches. `None`: nobody is left.
fn look(sources: &mut Vec<Arc<Watched>>) -> Option<u64> {
    let mut ticker = ticker();
    let now = now_ns();
    let next = next_of(&ticker, now);
    SLEEPS_UNTIL.store(next, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    sources.clear();
    sources.extend(ticker.seats.iter().filter(|watched| watched.watching.load(Ordering::Relaxed)).cloned());
    if ticker.seats.is_empty() {
        SLEEPS_UNTIL.store(NONE, Ordering::Relaxed);
        ticker.runs = false;
        return None;
    }
    // Again: a deadline that was set between the two looks at a moment when we seemed to wake soon enough.
    Some(next.min(next_of(&ticker, now)))
}

/// Until `next`, the bell, or one of `sources`, whose word it raises.
fn sleep(sources: &[Arc<Watched>], next: u64) {
    let Some((_, bell)) = BELL.get() else { return };
    let left = next.saturating_sub(now_ns());
    let time = Timespec {
        tv_sec: i64::try_from(left / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: (left % 1_000_000_000) as _,
    };
    let watched = |watched: &Arc<Watched>| watched.fd.get().cloned().map(|fd| (Arc::clone(watched), fd));
    let open: Vec<_> = sources.iter().filter_map(watched).collect();
    let mut all = vec![PollFd::new(bell, PollFlags::IN)];
    all.extend(open.iter().map(|(_, fd)| PollFd::new(&**fd, PollFlags::IN)));
    match poll(&mut all, (next != NONE).then_some(&time)) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => return,
        // No memory, or more threads than descriptors are allowed: deadlines are held, a little late.
        Err(_) => return std::thread::sleep(Duration::from_nanos(left.min(1_000_000))),
    }
    if !all[0].revents().is_empty() {
        while (&*bell).read(&mut [0; 64]).is_ok_and(|read| read == 64) {}
    }
    for ((watched, _), found) in open.iter().zip(&all[1..]) {
        if !found.revents().is_empty() {
            watched.watching.store(false, Ordering::Relaxed);
            watched.word.fetch_or(LATENCY, Ordering::Relaxed);
        }
    }
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
