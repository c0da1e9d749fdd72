//! The executor as its owner sees it: start, run or turn, look at, shut down.
use crate::{Client, Edge, Options, Park, RunError, StartError, Stats, Turn};
use ringwheel_driver::DriverKind;
use std::{future::Future, marker::PhantomData, time::Duration};

/// One thread's tasks, timers and kernel operations. Belongs to the thread that started it (INV-6).
#[derive(Debug)]
pub struct Executor {
    _not_send: PhantomData<*const ()>,
}

/// Makes a sleeping executor take another turn. `Clone + Send + Sync`; harmless after the executor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorWaker {
    handle: u64,
}

impl ExecutorWaker {
    /// Wakes the executor if it sleeps. Never blocks.
    pub fn wake(&self) {}
}

/// What [`Executor::shutdown`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Tasks that had not ended and were dropped.
    pub tasks_dropped: u32,
    /// Destructors that panicked while they were dropped. The others ran all the same.
    pub panics: u32,
    /// The driver's part.
    pub driver: ringwheel_driver::driver::ShutdownReport,
}

#[expect(unused_variables, reason = "the seam: filled in within the hour")]
impl Executor {
    /// Starts an executor for the calling thread.
    pub fn start(options: Options) -> Result<Executor, StartError> {
        unimplemented!()
    }
    /// Native host: runs until `future` ends. Other tasks run too and stay for the next `run`.
    pub fn run<F: Future>(&mut self, future: F) -> Result<F::Output, RunError> {
        unimplemented!()
    }
    /// Embedded host: one turn. Never blocks unless `park` is [`Park::Thread`].
    pub fn turn(&mut self, client: &mut impl Client, park: Park) -> Turn {
        unimplemented!()
    }
    /// The driver and the wheel between turns. `None` after shutdown.
    pub fn edge<R>(&mut self, work: impl FnOnce(&mut Edge<'_>) -> R) -> Option<R> {
        unimplemented!()
    }
    /// Runs `work` with this executor as the thread's current one, so that `spawn`, `fs` and `net` work in it.
    pub fn enter<R>(&mut self, work: impl FnOnce() -> R) -> R {
        unimplemented!()
    }
    /// Which backend runs the operations.
    pub fn driver_kind(&self) -> DriverKind {
        unimplemented!()
    }
    /// The kernel features in use.
    pub fn features(&self) -> Vec<&'static str> {
        unimplemented!()
    }
    /// Why io_uring was not chosen, or what was given up on the way, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        unimplemented!()
    }
    /// The descriptor a host loop watches for readability; call `turn` when it is readable.
    pub fn host_fd(&self) -> std::os::fd::RawFd {
        unimplemented!()
    }
    /// A way to wake this executor from other threads.
    pub fn waker(&self) -> ExecutorWaker {
        unimplemented!()
    }
    /// Counters.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
    /// Drops all tasks, cancels all operations and drains them within `deadline` (INV-1). Dropping does the same with one second.
    pub fn shutdown(self, deadline: Duration) -> ShutdownReport {
        unimplemented!()
    }
}
