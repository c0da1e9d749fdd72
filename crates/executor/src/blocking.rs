//! Work that blocks, on the driver's bounded pool of threads.
use crate::{current, net::outcome, operation::Single};
use ringwheel_driver::{Operation, op::job::Job};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

/// Runs `work` on a thread of the current executor's pool and returns what it returned: for system calls that neither the ring nor an
/// inline call does well, such as reading a directory. It begins when the future is first polled; dropping the future does not stop it,
/// and a shutdown waits for it. Costs two allocations and a wake of this thread, about 20 µs.
///
/// ```
/// let mut executor = ringwheel_executor::Executor::start(Default::default())?;
/// let names = executor.run(async {
///     ringwheel_executor::spawn_blocking(|| std::fs::read_dir(".").map(|names| names.count())).await
/// })??;
/// assert!(names? > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// EIO when `work` panicked, the driver's error when its pool has no room or the system no thread; `Other` without a current executor or
/// after its shutdown.
pub async fn spawn_blocking<T, F>(work: F) -> io::Result<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let core = current::get()?;
    let result = Arc::new(Mutex::new(None));
    let place = Arc::clone(&result);
    let run = Box::new(move || {
        let value = work();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        0
    });
    let completion =
        Single::new(core, Operation::Job(Job { run: Some(run), file: None, waits: false })).await;
    outcome(completion.result)?;
    let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
    value.ok_or_else(|| io::Error::other("the driver ran the work but it left no result"))
}
