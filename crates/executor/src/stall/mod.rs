//! Says when an executor's thread does not come back to its turn: for how long, in which queue, and with what on its stack.
//!
//! The executor's side of it is one relaxed store when it becomes busy and one when it parks (`heart.rs`): no clock. One thread for the whole process
//! (`watchdog.rs`) looks at all hearts five times in the shortest threshold; it sleeps while all are idle and ends with the last of them. Only when
//! a stall is found and a stack is wanted is the stalled thread touched: a signal makes it walk its own stack (`signal.rs`).
//!
//! So every stall that is longer than the threshold and a fifth is reported, and none that is shorter than the threshold.
mod heart;
mod report;
mod signal;
mod watchdog;

pub use heart::Heart;
pub use signal::Frame;
pub(crate) use watchdog::{Watch, watch};

use crate::StartError;
use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Gets each report, on a thread of the watchdog's. A panic in it is caught.
pub type StallReport = Arc<dyn Fn(&Stall) + Send + Sync>;

/// How an executor is watched.
///
/// ```
/// use ringwheel_executor::{Executor, Options, stall::{Stall, StallOptions}};
/// use std::{sync::{Arc, mpsc}, time::Duration};
///
/// let (found, stalls) = mpsc::channel::<Stall>();
/// let report = Arc::new(move |stall: &Stall| _ = found.send(stall.clone()));
/// let stall = StallOptions { threshold: Duration::from_millis(10), report: Some(report), ..Default::default() };
/// let mut executor = Executor::start(Options { stall: Some(stall), ..Default::default() })?;
/// let stall = loop {
///     executor.run(async { std::thread::sleep(Duration::from_millis(50)) })?; // what must not be done
///     if let Ok(stall) = stalls.try_recv() {
///         break stall;
///     }
/// };
/// assert!(stall.duration >= Duration::from_millis(10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StallOptions {
    /// What counts as a stall, in 1 ms ..= 1 h. Default 100 ms.
    pub threshold: Duration,
    /// Walk the stack of the stalled thread. Default true. It interrupts the thread with SIGURG, whose handler must be free.
    pub stack: bool,
    /// Who is told: once when a stall is found and once when it is over. `None` (default) writes to stderr.
    pub report: Option<StallReport>,
}

impl Default for StallOptions {
    fn default() -> StallOptions {
        StallOptions { threshold: Duration::from_millis(100), stack: true, report: None }
    }
}

impl fmt::Debug for StallOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StallOptions")
            .field("threshold", &self.threshold)
            .field("stack", &self.stack)
            .field("report", &self.report.as_ref().map(|_| ".."))
            .finish()
    }
}

/// A shorter threshold would keep the watchdog busy; with a longer one nothing is found.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3600);

impl StallOptions {
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let threshold = self.threshold;
        if (SHORTEST..=LONGEST).contains(&threshold) {
            return Ok(());
        }
        Err(StartError::Option(format!(
            "stall.threshold is {threshold:?}; it must be in {SHORTEST:?}..={LONGEST:?}"
        )))
    }
}

/// The thread of an executor has not come back to its turn.
#[derive(Clone, Debug)]
pub struct Stall {
    /// The name of its thread; empty when it has none.
    pub thread: String,
    /// The name of the task queue that was running when the stall was found.
    pub queue: String,
    /// At least this long: so far, or in all when it is over. Its beginning is known to a fifth of the threshold.
    pub duration: Duration,
    /// It has ended.
    pub over: bool,
    /// When it was found or, when it is over, when it ended.
    pub at: Instant,
    /// What the thread was doing when the stall was found, innermost first. Empty when no stack was asked for, when another handler
    /// has SIGURG, or when the thread was stuck in the kernel.
    pub stack: Arc<[Frame]>,
    /// Stalls that were not reported before this one, beyond five a minute.
    pub suppressed: u64,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stall { thread, queue, duration, .. } = self;
        let (verb, so_far) = if self.over { ("was", "") } else { ("is", " so far") };
        write!(
            f,
            "executor of thread {thread:?} {verb} stalled for {duration:.0?}{so_far}, in queue {queue:?}"
        )?;
        if self.suppressed > 0 {
            write!(f, " ({} more were not reported)", self.suppressed)?;
        }
        for frame in self.stack.iter().filter(|_| !self.over) {
            write!(f, "\n    {frame}")?;
        }
        Ok(())
    }
}
