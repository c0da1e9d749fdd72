//! What an executor and the watchdog share: a beat that says whether the thread is busy, and whether it still is.
use super::watchdog;
use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The pulse of one executor. Busy and idle are called by its thread only; everybody may read.
pub struct Heart {
    /// Even: idle, parked. Odd: busy. Another number each time, so that two looks at the same odd one mean no turn in between.
    beat: AtomicU64,
    queue: AtomicU32,
    /// Names of queues by their number; the first is the default one's.
    names: Mutex<Vec<String>>,
    /// The watchdog has found a stall: whoever changes the beat next says when.
    suspected: AtomicBool,
    /// When the suspected stall ended, in ns since `origin`.
    ended: AtomicU64,
    stalls: AtomicU64,
    longest: AtomicU64,
    origin: Instant,
}

impl Heart {
    pub(super) fn new() -> Heart {
        Heart {
            beat: AtomicU64::new(0),
            queue: AtomicU32::new(0),
            names: Mutex::default(),
            suspected: AtomicBool::new(false),
            ended: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            origin: Instant::now(),
        }
    }

    /// The thread goes to work, or has come back to its turn and goes on.
    #[inline]
    pub fn busy(&self) {
        let beat = self.beat.load(Ordering::Relaxed);
        self.set((beat + 1) | 1);
        if watchdog::is_asleep() {
            watchdog::wake();
        }
    }

    /// The thread parks, or leaves the executor alone.
    #[inline]
    pub fn idle(&self) {
        let beat = self.beat.load(Ordering::Relaxed);
        self.set((beat | 1) + 1);
    }

    #[inline]
    fn set(&self, beat: u64) {
        if self.suspected.load(Ordering::Relaxed) {
            self.end_of_stall();
        }
        self.beat.store(beat, Ordering::Release);
    }

    #[cold]
    fn end_of_stall(&self) {
        self.ended.store(self.origin.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.suspected.store(false, Ordering::Relaxed);
        watchdog::wake();
    }

    /// From here on this queue runs.
    #[inline]
    pub fn queue(&self, index: u32) {
        self.queue.store(index, Ordering::Relaxed);
    }

    /// Stalls found, and the longest of those that are over.
    pub(crate) fn stalls(&self) -> (u64, Duration) {
        let longest = Duration::from_nanos(self.longest.load(Ordering::Relaxed));
        (self.stalls.load(Ordering::Relaxed), longest)
    }

    pub(super) fn beat(&self) -> u64 {
        self.beat.load(Ordering::Acquire)
    }

    /// Names a queue for reports.
    pub fn name(&self, index: u32, name: &str) {
        let (mut names, index) = (self.names(), index as usize);
        if names.len() <= index {
            names.resize(index + 1, String::new());
        }
        name.clone_into(&mut names[index]);
    }

    fn names(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn current_queue(&self) -> String {
        let index = self.queue.load(Ordering::Relaxed);
        match self.names().get(index as usize) {
            Some(name) if !name.is_empty() => name.clone(),
            _ if index == 0 => "default".to_owned(),
            _ => format!("number {index}"),
        }
    }

    pub(super) fn suspect(&self) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
        self.suspected.store(true, Ordering::Relaxed);
    }

    /// How long the stall was that began at `since`, and when it ended; it has by now.
    pub(super) fn over(&self, since: Instant, now: Instant) -> (Duration, Instant) {
        self.suspected.store(false, Ordering::Relaxed);
        let ended = self.origin + Duration::from_nanos(self.ended.load(Ordering::Relaxed));
        // The thread may have gone on before it was suspected: then its end is what the watchdog saw.
        let ended = if ended > since { ended } else { now };
        let took = ended - since;
        self.longest.fetch_max(took.as_nanos() as u64, Ordering::Relaxed);
        (took, ended)
    }
}

impl fmt::Debug for Heart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heart")
            .field("beat", &self.beat())
            .field("stalls", &self.stalls())
            .finish_non_exhaustive()
    }
}
