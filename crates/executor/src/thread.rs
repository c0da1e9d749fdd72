//! A pinned native thread with an executor of its own.
use crate::{
    Executor, JoinError, Options, RunError, StartError,
    error::panic_text,
    placement::{Seat, sit},
};
use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread::JoinHandle,
};

/// Options of [`start`].
#[derive(Clone, Debug, Default)]
pub struct ThreadOptions {
    /// Where the thread runs and its memory comes from; [`Seat::on`] is one CPU. The default leaves both to the kernel.
    pub seat: Seat,
    /// The thread's name; the kernel shows 15 bytes of it. Default `ringwheel`.
    pub name: Option<String>,
    /// The thread's executor.
    pub executor: Options,
}

/// A running thread. Dropping it detaches it.
#[derive(Debug)]
pub struct Thread<T> {
    thread: JoinHandle<Result<T, JoinError>>,
    note: Option<String>,
}

impl<T> Thread<T> {
    /// Blocks until the thread's future has ended and its executor has shut down.
    ///
    /// # Errors
    /// [`JoinError::Panicked`] when the future panicked; [`JoinError::Closed`] when the kernel refused the driver's system
    /// call in the middle.
    pub fn join(self) -> Result<T, JoinError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(payload) => Err(JoinError::Panicked(payload.into())),
        }
    }

    /// Why its memory is not bound to the seat's node, where that was asked for and refused.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Whether joining would not wait.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts a thread, seats it, starts its executor there, and runs the future that `make` gives. Returns once the executor has
/// started or failed to, so an error is the caller's. The future ends the thread; tell it to with [`crate::event::Event`].
///
/// # Errors
/// [`StartError::Thread`] when the thread cannot be made, or not be pinned to that CPU; and all of [`Executor::start`]'s.
///
/// ```
/// use ringwheel_executor::{event::Event, thread};
///
/// let stop = Event::new();
/// let told = stop.clone();
/// let worker = thread::start(Default::default(), move || async move {
///     told.wait().await;
///     "stopped"
/// })?;
/// stop.set();
/// assert_eq!(worker.join()?, "stopped");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn start<M, F>(options: ThreadOptions, make: M) -> Result<Thread<F::Output>, StartError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    start_with_end(options, make, |_| || ())
}

/// The same; `ended` is called with what became of the future while its executor still has its other tasks, and what `ended`
/// returns when they are gone. Neither is called when the start failed.
pub(crate) fn start_with_end<M, F, E, A>(
    options: ThreadOptions,
    make: M,
    ended: E,
) -> Result<Thread<F::Output>, StartError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
    E: FnOnce(Result<&F::Output, &RunError>) -> A + Send + 'static,
    A: FnOnce(),
{
    let name = options.name.unwrap_or_else(|| "ringwheel".to_owned());
    if name.contains('\0') {
        return Err(StartError::Option(format!("name is {name:?}; it must not have a zero byte in it")));
    }
    let (report, started) = mpsc::sync_channel(1);
    let body = move || {
        // First the seat: the rings and the arena are then made on its node.
        let seated = sit(&options.seat).map_err(StartError::Thread);
        let executor = seated.and_then(|note| Ok((Executor::start(options.executor)?, note)));
        let (mut executor, note) = match executor {
            Ok(executor) => executor,
            Err(error) => {
                let _ = report.send(Err(error)); // The starter waits for it; it cannot be gone.
                return Err(JoinError::Closed);
            }
        };
        let made = catch_unwind(AssertUnwindSafe(|| executor.enter(make)));
        let future = match made {
            Ok(future) => {
                let _ = report.send(Ok(note));
                future
            }
            Err(payload) => {
                let _ = report.send(Err(StartError::Panicked(panic_text(&*payload).to_owned())));
                return Err(JoinError::Panicked(payload.into()));
            }
        };
        let result = executor.run(future);
        let after = ended(result.as_ref());
        drop(executor);
        after();
        result.map_err(|error| match error {
            RunError::Panicked(payload) => JoinError::Panicked(payload),
            RunError::Driver(_) | RunError::Closed | RunError::Full => JoinError::Closed,
        })
    };
    let thread = std::thread::Builder::new().name(name).spawn(body).map_err(StartError::Thread)?;
    match started.recv() {
        Ok(Ok(note)) => Ok(Thread { thread, note }),
        Ok(Err(error)) => {
            let _ = thread.join(); // It has said why.
            Err(error)
        }
        Err(_) => Err(StartError::Thread(io::Error::other("the thread ended before its executor started"))),
    }
}
