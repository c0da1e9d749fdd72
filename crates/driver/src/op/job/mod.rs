//! A closure on the driver's bounded blocking pool: for system calls that neither the ring nor an inline call does well.
#[cfg(target_os = "linux")]
pub(crate) mod uring;

mod poll;

use crate::Handle;

/// Runs on a pool thread. Result = what the closure returned (minus an errno on failure); a panic is caught and gives `-EIO`,
/// and the pool lives on.
pub struct Job {
    /// Taken when it runs.
    pub run: Option<Box<dyn FnOnce() -> i32 + Send + 'static>>,
    /// A file whose descriptor the closure uses: held until the closure has ended, also when shutdown has to leave it behind (INV-1).
    pub file: Option<Handle>,
    /// It may wait for another process: it runs on one of the threads for that, and nothing else waits behind it.
    pub waits: bool,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("pending", &self.run.is_some()).finish()
    }
}
