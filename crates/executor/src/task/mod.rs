//! Tasks: their memory, their run queue, their wakers and their handles.
//!
//! ```text
//!             spawn                 pop              Ready
//!   arena ──────────▶ QUEUED ─────────────▶ RUNNING ──────▶ DONE ──▶ joined: result taken, block freed
//!                       ▲    Pending, WOKEN    │                └──▶ detached: block freed at once
//!                       └──────────────────────┤ Pending
//!                       ▲        wake          ▼
//!                       └─────────────────── asleep
//! ```
mod arena;
mod end;
mod fair;
mod header;
mod join;
pub(crate) mod queues;
mod run;
mod slots;
mod times;
mod waker;

pub(crate) use fair::Pace;
pub(crate) use header::{Payload, quietly};
pub(crate) use join::Shared;
pub use join::{JoinHandle, RemoteHandle};
pub(crate) use run::Tasks;
pub(crate) use waker::{handle_of, wake_handle, wake_handle_soon, wake_quietly, wake_soon};

use crate::{SpawnError, current};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Spawns a task on this thread's executor. It first runs in this turn or the next, after what is queued already.
///
/// No allocation once the executor has had as many tasks of this size before. Futures above 64 KiB or with an alignment
/// above 64 get an allocation of their own.
///
/// # Panics
/// Without an executor, while it shuts down, or when it is full. [`try_spawn`] gives an error instead.
///
/// ```
/// use ringwheel_executor::{Executor, spawn};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let local = std::rc::Rc::new(40); // nothing need be Send
///     let task = spawn(async move { *local + 2 });
///     assert_eq!(task.await?, 42);
///     drop(spawn(async {})); // detached: it runs all the same
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match try_spawn(future) {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}

/// Spawns a task on this thread's executor, or says why not; the future is dropped then.
///
/// ```
/// use ringwheel_executor::{SpawnError, try_spawn};
/// assert_eq!(try_spawn(async {}).err(), Some(SpawnError::NoExecutor));
/// ```
#[inline]
pub fn try_spawn<F: Future + 'static>(future: F) -> Result<JoinHandle<F::Output>, SpawnError> {
    let core = current::get()?;
    // SAFETY: needs a `'static` future. Holds: the bound.
    let task = unsafe { core.tasks.spawn(future) }?;
    Ok(JoinHandle::new(core, task))
}

/// Lets the other ready tasks run first.
///
/// ```
/// # let mut executor = ringwheel_executor::Executor::start(Default::default())?;
/// executor.run(async { ringwheel_executor::yield_now().await })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
