//! How an executor is started: the driver's options and the bounds of one turn.
use crate::{StartError, io::Adaptive, remote::SLOT_BITS, stall::StallOptions};
use ringwheel_driver::preempt::PreemptKind;
use std::time::Duration;

/// As many as a waker has bits for, less the executor's own slot.
const TASKS_MAX: u32 = (1 << SLOT_BITS) - 1;
/// Longer than that is not a spin.
const SPIN_MAX: Duration = Duration::from_secs(1);
/// Shorter slices are mostly beginnings; longer ones are none.
const QUOTA: std::ops::RangeInclusive<Duration> = Duration::from_micros(50)..=Duration::from_secs(1);

/// Options of [`crate::Executor::start`]. `Default` is a native executor with the driver the kernel allows.
///
/// ```
/// use ringwheel_executor::{DriverKind, Executor, Options};
/// use std::time::Duration;
///
/// let mut options = Options { quota: Duration::from_micros(500), ..Default::default() };
/// options.driver.kind = Some(DriverKind::Poll); // never io_uring; `None` takes what the kernel allows
/// let executor = Executor::start(options)?;
/// assert_eq!(executor.driver_kind(), DriverKind::Poll);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    /// The driver: backend, entries, memory, provided buffers.
    pub driver: ringwheel_driver::Options,
    /// Task polls in one turn, in `1..=65536`. Default 256.
    pub polls_max: u32,
    /// Expired timers handled in one turn, in `1..=65536`. Default 1024.
    pub timers_max: u32,
    /// Completions handled in one turn, in `1..=65536`. Default 1024.
    pub completions_max: u32,
    /// Tasks alive at once, in `1..=4194303`. Default 1048576.
    pub tasks_max: u32,
    /// Longest time to look for work before the thread parks, adapted downwards while it does not pay.
    /// `None` (default) parks at once; at most one second. A foreign event loop ([`crate::Park::Host`]) looks for calls of other
    /// threads only, and only after one.
    pub spin: Option<Duration>,
    /// How long tasks may run before [`crate::need_preempt`] says that their time is over, and before the executor looks at the kernel
    /// again while several queues are busy; 50 µs to 1 s. Default 1 ms.
    pub quota: Duration,
    /// What watches over the quota. It is made at the first use: a look at [`crate::need_preempt`], or a second queue. `None` makes
    /// `need_preempt` say no always; queues then bound their slices by what their polls cost before.
    pub preempt: Option<PreemptKind>,
    /// Watch for stalls: turns that do not end. `None` (default) does not. See [`crate::stall`].
    pub stall: Option<StallOptions>,
    /// Shares of the disk, and a depth that follows it. Reads and writes of [`crate::fs::File`] beyond that depth wait in the
    /// executor, where the shares of their tasks' queues count and queues with a latency class go first: see [`crate::io`].
    /// `None` (default): everything goes to the system at once.
    pub adaptive: Option<Adaptive>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            driver: ringwheel_driver::Options { host: ringwheel_driver::Host::Native, ..Default::default() },
            polls_max: 256,
            timers_max: 1024,
            completions_max: 1024,
            tasks_max: 1 << 20,
            spin: None,
            quota: Duration::from_millis(1),
            preempt: Some(PreemptKind::Auto),
            adaptive: None,
            stall: None,
        }
    }
}

impl Options {
    /// Every value in its range, or a sentence that names it.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let bounds = [
            ("polls_max", self.polls_max, 1, 65_536),
            ("timers_max", self.timers_max, 1, 65_536),
            ("completions_max", self.completions_max, 1, 65_536),
            ("tasks_max", self.tasks_max, 1, TASKS_MAX),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(StartError::Option(format!("{name} is {value}; it must be in {least}..={most}")));
            }
        }
        if !QUOTA.contains(&self.quota) {
            let (least, most) = (QUOTA.start(), QUOTA.end());
            return Err(StartError::Option(format!(
                "quota is {:?}; it must be in {least:?}..={most:?}",
                self.quota
            )));
        }
        if let Some(stall) = &self.stall {
            stall.check()?;
        }
        match self.spin {
            Some(spin) if spin > SPIN_MAX => {
                Err(StartError::Option(format!("spin is {spin:?}; it must be at most {SPIN_MAX:?}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_out_of_range_is_named_with_its_range() {
        let options = Options { polls_max: 0, ..Options::default() };
        assert_eq!(
            options.check().unwrap_err().to_string(),
            "ERR_RINGWHEEL_INVALID_OPTION: polls_max is 0; it must be in 1..=65536"
        );
        let options = Options { spin: Some(Duration::from_secs(2)), ..Options::default() };
        assert!(options.check().unwrap_err().to_string().contains("at most 1s"));
        let options = Options { quota: Duration::ZERO, ..Options::default() };
        assert_eq!(
            options.check().unwrap_err().to_string(),
            "ERR_RINGWHEEL_INVALID_OPTION: quota is 0ns; it must be in 50µs..=1s"
        );
        assert!(Options::default().check().is_ok());
    }
}
