//! Running work on another executor: [`submit_to`] takes a closure there, and brings its result back.
use super::inbox::{Call, Inbox, Item, Refusal};
use crate::{
    JoinError, RemoteHandle, SpawnError, current, remote,
    task::{self, Payload, Shared, Tasks},
};
use std::{
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
};

/// An executor as other threads know it: where [`submit_to`] sends work. `Clone + Send + Sync`, and harmless once the executor
/// is gone.
///
/// ```
/// use ringwheel_executor::{Executor, Remote, submit_to};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let here = Remote::current()?;
///     assert_eq!(submit_to(&here, || async { 42 })?.await?, 42); // from any thread, or this one
///     assert!(!here.is_closed());
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Remote {
    /// The waker bits of the executor itself.
    handle: u64,
    inbox: Arc<Inbox>,
}

impl Remote {
    pub(crate) fn new(handle: u64, inbox: Arc<Inbox>) -> Remote {
        Remote { handle, inbox }
    }

    /// The executor that this thread is running.
    ///
    /// # Errors
    /// [`SpawnError::NoExecutor`] outside of one.
    pub fn current() -> Result<Remote, SpawnError> {
        Ok(current::get()?.remote())
    }

    /// Whether the executor has shut down.
    pub fn is_closed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Makes the executor take a turn if it sleeps. Never blocks; a system call only when it does sleep.
    pub fn wake(&self) {
        remote::wake(self.handle);
    }
}

/// Why [`submit_to`] took no call. Nothing ran; the closure is back.
///
/// ```
/// use ringwheel_executor::{Executor, SubmitError, submit_to};
///
/// let executor = Executor::start(Default::default())?;
/// let gone = executor.remote();
/// drop(executor);
/// let Err(SubmitError::Closed(make)) = submit_to(&gone, || async { 42 }) else { panic!("it is gone") };
/// let future = make(); // it comes back
/// # drop(future);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub enum SubmitError<M> {
    /// The executor has shut down.
    Closed(M),
    /// 65,536 calls wait for that executor already. Await some of them first.
    Full(M),
}

impl<M> SubmitError<M> {
    /// The closure.
    pub fn into_inner(self) -> M {
        match self {
            SubmitError::Closed(make) | SubmitError::Full(make) => make,
        }
    }
}

impl<M> fmt::Debug for SubmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl<M> fmt::Display for SubmitError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::Closed(_) => "ERR_RINGWHEEL_CLOSED: the other executor has shut down",
            SubmitError::Full(_) => {
                "ERR_RINGWHEEL_FULL: 65536 calls wait for the other executor; await some of them first"
            }
        })
    }
}

impl<M> std::error::Error for SubmitError<M> {}

/// Runs the future that `make` gives on another executor (or on this one), in a task of its own, and brings its result back.
///
/// `make` runs over there, so neither its future nor what it uses has to be `Send`; only `make` itself and the result travel.
/// May be called on any thread, with or without an executor. Calls from one thread start in the order they were made.
///
/// The handle is a future of the result; it can also block ([`RemoteHandle::join`]), ask for the end
/// ([`RemoteHandle::cancel`]), or be dropped: then the call runs on, unobserved. A panic over there is
/// [`JoinError::Panicked`] here, with its payload, and harms nobody else. When the other executor shuts down first, the result
/// is [`JoinError::Closed`], also of calls that had not begun.
///
/// Costs two allocations here and none over there. An executor that sleeps is woken by the system call that ends this one's
/// turn anyway (MSG_RING between two io_uring drivers), from a plain thread by one of its own, a busy one by none. So do not
/// block a task's thread for something that the call is to do, other than by [`RemoteHandle::join`].
///
/// # Errors
/// [`SubmitError`], with the closure in it, when the executor has shut down or too many calls wait for it.
///
/// ```
/// use ringwheel_executor::{Executor, Remote, event::Event, submit_to, thread};
/// use std::{rc::Rc, sync::mpsc};
///
/// let (stop, (tell, address)) = (Event::new(), mpsc::channel());
/// let told = stop.clone();
/// let other = thread::start(Default::default(), move || {
///     tell.send(Remote::current().unwrap()).unwrap();
///     async move { told.wait().await }
/// })?;
/// let target = address.recv()?;
///
/// let mut executor = Executor::start(Default::default())?;
/// let answer = executor.run(async {
///     let call = submit_to(&target, || {
///         let local = Rc::new(41); // never leaves the other thread
///         async move { *local + 1 }
///     });
///     call.unwrap().await
/// })??;
/// assert_eq!(answer, 42);
/// stop.set();
/// other.join()?;
/// assert!(submit_to(&target, || async {}).is_err(), "it has shut down");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn submit_to<M, F>(target: &Remote, make: M) -> Result<RemoteHandle<F::Output>, SubmitError<M>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let shared = Shared::new();
    let mut make = Some(make);
    let pushed = target.inbox.push(|| Box::new(Waiting { make: make.take(), reply: Reply(shared.clone()) }));
    match (pushed, make) {
        (Err(Refusal::Closed), Some(make)) => return Err(SubmitError::Closed(make)),
        (Err(Refusal::Full), Some(make)) => return Err(SubmitError::Full(make)),
        _ => {}
    }
    task::wake_handle_soon(target.handle);
    Ok(RemoteHandle::of(shared))
}

/// Who waits for a result; told that the executor has gone when nobody else tells it anything.
struct Reply<T>(Arc<Shared<T>>);

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.0.settle(Err(JoinError::Closed)); // Does nothing after the first.
    }
}

/// A call in the inbox.
struct Waiting<M, T> {
    make: Option<M>,
    reply: Reply<T>,
}

impl<M, F> Call for Waiting<M, F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    fn start(mut self: Box<Self>, tasks: &Tasks) -> Result<(), Item> {
        if !tasks.has_room() {
            return Err(self);
        }
        if let Some(make) = self.make.take() {
            let Waiting { reply, .. } = *self;
            // When it is refused, as the executor closes, the reply goes with it and says so.
            let _ = tasks.spawn_detached(run(make, reply));
        }
        Ok(())
    }
}

/// The task of one call.
async fn run<M, F>(make: M, reply: Reply<F::Output>)
where
    M: FnOnce() -> F,
    F: Future,
{
    let mut work = pin!(Some(async move { make().await }));
    let mut listening = false;
    let result = poll_fn(|context| {
        if !std::mem::replace(&mut listening, true) {
            reply.0.listen(context.waker()); // A task's waker never changes.
        }
        if reply.0.is_cancelled() {
            return Poll::Ready(Err(JoinError::Cancelled));
        }
        let Some(future) = work.as_mut().as_pin_mut() else { return Poll::Ready(Err(JoinError::Closed)) };
        match caught(|| future.poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(JoinError::Panicked(payload.into()))),
        }
    })
    .await;
    // Its destructors run before anyone hears of its end.
    let result = match caught(|| work.set(None)) {
        Ok(()) => result,
        Err(payload) => Err(JoinError::Panicked(payload.into())),
    };
    reply.0.settle(result);
}

fn caught<R>(work: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(work))
}
