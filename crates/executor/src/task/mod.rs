//! Tasks: spawn, join, cancel, yield.
use crate::{JoinError, SpawnError};
use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

/// A task's result to come. Dropping it detaches the task. Belongs to the executor's thread; see [`JoinHandle::into_remote`].
#[derive(Debug)]
pub struct JoinHandle<T> {
    _output: PhantomData<(*const (), T)>,
}

impl<T> JoinHandle<T> {
    /// Ends the task at its next turn: its future is dropped, joining gives [`JoinError::Cancelled`]. Nothing happens when it has ended.
    pub fn cancel(&self) {
        unimplemented!()
    }
    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        unimplemented!()
    }
}

impl<T: Send + 'static> JoinHandle<T> {
    /// A handle for other threads.
    pub fn into_remote(self) -> RemoteHandle<T> {
        unimplemented!()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        unimplemented!()
    }
}

/// A [`JoinHandle`] that other threads may hold, await, block on and cancel through.
#[derive(Debug)]
pub struct RemoteHandle<T> {
    _output: PhantomData<T>,
}

/// Spawns a task on this thread's executor.
///
/// # Panics
/// Without an executor, while it shuts down, or when it is full. [`try_spawn`] gives an error instead.
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match try_spawn(future) {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}

/// Spawns a task on this thread's executor.
pub fn try_spawn<F: Future + 'static>(_future: F) -> Result<JoinHandle<F::Output>, SpawnError> {
    unimplemented!()
}

/// Lets the other ready tasks run first.
pub async fn yield_now() {
    unimplemented!()
}
