//! The alarm of the next timer. libuv's own timers count whole milliseconds; on Linux a timerfd rings to the microsecond.
use std::{
    os::fd::{AsRawFd, OwnedFd, RawFd},
    time::Duration,
};

/// A descriptor that becomes readable at a time, and stays so until it is set again.
#[derive(Debug)]
pub struct ExactAlarm {
    fd: OwnedFd,
}

impl ExactAlarm {
    /// `None` where there is no such thing, or no descriptor left: then libuv's timer has to do.
    pub fn new() -> Option<ExactAlarm> {
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            timerfd_create(TimerfdClockId::Monotonic, flags).ok().map(|fd| ExactAlarm { fd })
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Rings in so much time; `None` takes that back. False when the system refuses.
    pub fn set(&self, left: Option<Duration>) -> bool {
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            // 0 would mean never.
            let left = left.map(|left| left.max(Duration::from_nanos(1)));
            let it_value = left.and_then(|left| Timespec::try_from(left).ok()).unwrap_or(zero);
            let time = Itimerspec { it_interval: zero, it_value };
            timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &time).is_ok()
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = left;
            false
        }
    }
}

impl AsRawFd for ExactAlarm {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
