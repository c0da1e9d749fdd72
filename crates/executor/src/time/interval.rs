//! A steady beat.
use super::{Sleep, sleep_until};
use crate::{core::Core, current};
use std::time::{Duration, Instant};

/// The shortest beat: what a wake-up costs, and below which there would be no time for anything else.
const SHORTEST: Duration = Duration::from_micros(50);

/// Beats every `period` from now on, without drift: beat `n` is due `n` periods after the call. Periods below 50 µs are 50 µs.
///
/// ```
/// use ringwheel_executor::{Executor, time};
/// use std::time::Duration;
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let mut beats = time::interval(Duration::from_millis(2));
///     assert!(beats.tick().await >= 1); // 1, unless the machine was busy elsewhere.
///     time::sleep(Duration::from_millis(10)).await; // Slower than the beat.
///     assert!(beats.tick().await >= 4);
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn interval(period: Duration) -> Interval {
    let start = current::with(|core| core.map_or_else(Instant::now, Core::read_now));
    Interval { start, period: period.max(SHORTEST), beats: 0, precise: false }
}

/// Beats to wait for; see [`interval`]. While nobody waits there is no timer.
#[derive(Debug)]
pub struct Interval {
    start: Instant,
    period: Duration,
    /// Beats that were handed out.
    beats: u64,
    precise: bool,
}

impl Interval {
    /// As [`Sleep::precise`], for every beat.
    #[must_use]
    pub fn precise(mut self) -> Interval {
        self.precise = true;
        self
    }

    /// Waits for the next beat. Gives how many there were since the last call: 1, or more when the caller was slower than the
    /// beat; missed beats are counted, not queued. Dropping the future loses none. A beat centuries away is never due.
    ///
    /// # Panics
    /// The future panics when it is polled outside of an executor.
    pub async fn tick(&mut self) -> u64 {
        loop {
            let passed = self.passed();
            if passed > 0 {
                self.beats += passed;
                return passed;
            }
            self.wait().await;
        }
    }

    /// Beats since the last that was handed out.
    fn passed(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.start);
        let beats = elapsed.as_nanos() / self.period.as_nanos();
        u64::try_from(beats).unwrap_or(u64::MAX).saturating_sub(self.beats)
    }

    fn wait(&self) -> Sleep {
        let nanos = self.period.as_nanos().saturating_mul(u128::from(self.beats) + 1);
        let after = Duration::new(
            u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX),
            (nanos % 1_000_000_000) as u32,
        );
        let sleep = self.start.checked_add(after).map_or_else(|| super::sleep(Duration::MAX), sleep_until);
        if self.precise { sleep.precise() } else { sleep }
    }
}
