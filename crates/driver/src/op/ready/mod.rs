//! Readiness of a descriptor, one shot: what a non-blocking call waits for after EAGAIN.
pub(crate) mod poll;
#[cfg(target_os = "linux")]
pub(crate) mod uring;

use crate::Handle;

/// poll(2), one shot. Result = the poll bits that are set.
#[derive(Debug)]
pub struct Ready {
    /// What to watch.
    pub file: Handle,
    /// POLLIN, POLLOUT or both.
    pub events: u32,
}
