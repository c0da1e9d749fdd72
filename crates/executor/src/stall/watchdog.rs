//! The thread that watches all hearts of the process. It starts with the first and ends with the last of them.
use super::{
    Heart, StallOptions,
    report::{Found, Report, Reporter},
    signal::{self, Thread},
};
use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Looks in the shortest threshold.
const LOOKS: u32 = 5;
/// A heart that becomes busy wakes a sleeping watchdog; should its store pass unseen beside ours, it is found after this time.
const ASLEEP: Duration = Duration::from_secs(60);
/// Stalls of one executor that are reported in a [`WINDOW`].
const REPORTS: u32 = 5;
const WINDOW: Duration = Duration::from_secs(60);

struct Shared {
    watched: Vec<Watched>,
    running: bool,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared { watched: Vec::new(), running: false });
static CHANGED: Condvar = Condvar::new();
static IS_ASLEEP: AtomicBool = AtomicBool::new(false);

#[inline]
pub(super) fn is_asleep() -> bool {
    IS_ASLEEP.load(Ordering::Relaxed)
}

#[cold]
pub(super) fn wake() {
    let _guard = lock();
    IS_ASLEEP.store(false, Ordering::Relaxed);
    CHANGED.notify_one();
}

fn lock() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One executor, as the watchdog knows it.
struct Watched {
    heart: Arc<Heart>,
    options: StallOptions,
    name: String,
    thread: Thread,
    beat: u64,
    since: Instant,
    /// The stall that was found and is not over; `None` in it when it is not reported.
    found: Option<Option<Arc<Found>>>,
    window: Instant,
    reported: u32,
    suppressed: u64,
}

/// Watches an executor until this is dropped, by its own thread.
#[derive(Debug)]
pub(crate) struct Watch {
    heart: Arc<Heart>,
}

impl Watch {
    #[inline]
    pub(crate) fn heart(&self) -> &Arc<Heart> {
        &self.heart
    }
}

impl Drop for Watch {
    /// The watchdog signals threads under the lock only, so from here on not this one.
    fn drop(&mut self) {
        let mut shared = lock();
        shared.watched.retain(|watched| !Arc::ptr_eq(&watched.heart, &self.heart));
        CHANGED.notify_one();
    }
}

/// Begins to watch the calling thread's executor.
///
/// # Errors
/// The system's, when the watchdog's thread cannot start.
pub(crate) fn watch(options: &StallOptions) -> std::io::Result<Watch> {
    let (heart, now) = (Arc::new(Heart::new()), Instant::now());
    if options.stack {
        signal::install();
    }
    let mut shared = lock();
    if !shared.running {
        std::thread::Builder::new().name("ringwheel-watch".to_owned()).stack_size(128 << 10).spawn(run)?;
        shared.running = true;
    }
    shared.watched.push(Watched {
        heart: Arc::clone(&heart),
        options: options.clone(),
        name: std::thread::current().name().unwrap_or_default().to_owned(),
        thread: Thread::current(),
        beat: 0,
        since: now,
        found: None,
        window: now,
        reported: 0,
        suppressed: 0,
    });
    IS_ASLEEP.store(false, Ordering::Relaxed);
    CHANGED.notify_one();
    Ok(Watch { heart })
}

fn run() {
    let mut reporter = Reporter::default();
    let mut shared = lock();
    loop {
        if shared.watched.is_empty() {
            shared.running = false;
            return;
        }
        let shortest = shared.watched.iter().map(|watched| watched.options.threshold).min();
        // As soon as all are idle: who becomes busy pays some microseconds for waking it, at most once a look.
        let asleep = shared.watched.iter().all(Watched::is_idle);
        IS_ASLEEP.store(asleep, Ordering::SeqCst);
        // Who has become busy since then may not have seen it.
        let pause = if asleep && shared.watched.iter().all(Watched::is_idle) {
            ASLEEP
        } else {
            shortest.unwrap_or(WINDOW) / LOOKS
        };
        shared = CHANGED.wait_timeout(shared, pause).unwrap_or_else(PoisonError::into_inner).0;
        IS_ASLEEP.store(false, Ordering::Relaxed);
        for watched in &mut shared.watched {
            watched.look(Instant::now(), &mut reporter);
        }
    }
}

impl Watched {
    fn is_idle(&self) -> bool {
        self.heart.beat().is_multiple_of(2)
    }

    fn look(&mut self, now: Instant, reporter: &mut Reporter) {
        let beat = self.heart.beat();
        if beat != self.beat {
            if let Some(found) = self.found.take() {
                let (duration, ended) = self.heart.over(self.since, now);
                if let Some(found) = found {
                    self.report(found, duration, ended, true, reporter);
                }
            }
            self.beat = beat;
            self.since = now;
            return;
        }
        if beat.is_multiple_of(2) {
            return;
        }
        let so_far = now - self.since;
        if self.found.is_none() && so_far >= self.options.threshold {
            self.heart.suspect();
            let found = self.may_report(now).then(|| {
                let addresses = if self.options.stack { self.thread.stack() } else { Vec::new() };
                Arc::new(Found::new(self.heart.current_queue(), addresses))
            });
            if let Some(found) = &found {
                self.report(Arc::clone(found), so_far, now, false, reporter);
            }
            self.found = Some(found);
        }
    }

    /// A few in each window; the others are counted.
    fn may_report(&mut self, now: Instant) -> bool {
        if now - self.window >= WINDOW {
            self.window = now;
            self.reported = 0;
        }
        let may = self.reported < REPORTS;
        self.reported += u32::from(may);
        self.suppressed += u64::from(!may);
        may
    }

    fn report(
        &mut self,
        found: Arc<Found>,
        duration: Duration,
        at: Instant,
        over: bool,
        reporter: &mut Reporter,
    ) {
        let suppressed = std::mem::take(&mut self.suppressed);
        let (options, thread) = (self.options.clone(), self.name.clone());
        reporter.send(Report { options, thread, found, duration, over, at, suppressed });
    }
}
