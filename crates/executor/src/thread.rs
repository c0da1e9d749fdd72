//! A pinned native thread with an executor of its own.
use crate::{JoinError, Options, StartError};
use std::{future::Future, marker::PhantomData};

/// Options of [`start`].
#[derive(Clone, Debug, Default)]
pub struct ThreadOptions {
    /// The CPU to pin the thread to. `None` (default) leaves it to the kernel.
    pub cpu: Option<usize>,
    /// The thread's name; the kernel shows 15 bytes of it. Default `ringwheel`.
    pub name: Option<String>,
    /// The thread's executor.
    pub executor: Options,
}

/// A running thread. Dropping it detaches it.
#[derive(Debug)]
pub struct Thread<T> {
    _output: PhantomData<T>,
}

impl<T> Thread<T> {
    /// Waits for the thread's future and its executor's shutdown.
    pub fn join(self) -> Result<T, JoinError> {
        unimplemented!()
    }
}

/// Starts a thread, pins it, starts its executor, and runs the future that `make` gives there. Returns once the executor has started or failed to.
pub fn start<M, F>(_options: ThreadOptions, _make: M) -> Result<Thread<F::Output>, StartError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    unimplemented!()
}
