//! Counters of one executor; plain numbers, cheap to copy.

/// Counters since the start.
///
/// ```
/// use ringwheel_executor::{Executor, spawn, stats};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     spawn(async {}).await?;
///     let stats = stats().ok_or("there is an executor")?;
///     assert!(stats.spawned >= 2 && stats.panics == 0);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Turns made.
    pub turns: u64,
    /// Times the thread blocked, or the host was told that it may sleep.
    pub parks: u64,
    /// Task polls.
    pub polls: u64,
    /// Tasks spawned.
    pub spawned: u64,
    /// Tasks alive now.
    pub tasks: u32,
    /// Tasks, destructors and callbacks that panicked.
    pub panics: u64,
    /// Wakes that came from other threads.
    pub remote_wakes: u64,
    /// Times the waker ring was full and all tasks were scanned instead.
    pub remote_scans: u64,
    /// Timers fired.
    pub timers_fired: u64,
    /// Timers set now.
    pub timers: u32,
    /// Operations whose future was dropped before the result came; the result was disposed of (INV-7).
    pub abandoned: u64,
    /// Bytes of task memory held.
    pub task_bytes: u64,
    /// Stalls found; 0 without [`crate::Options::stall`].
    pub stalls: u64,
    /// The longest stall that is over.
    pub longest_stall: std::time::Duration,
    /// Of adaptive submission; `None` without [`crate::Options::adaptive`].
    pub adaptive: Option<crate::io::AdaptiveStats>,
    /// The driver's counters.
    pub driver: ringwheel_driver::driver::Stats,
}
