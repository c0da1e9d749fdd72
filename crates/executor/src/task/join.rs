//! Join handles: of the executor's own thread, and of other threads.
use super::header::{DONE, Header, Stage};
use crate::{JoinError, SpawnError, core::Core, current};
use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    ptr::NonNull,
    rc::Rc,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// A task's result to come: a future of `Result<T, JoinError>`.
///
/// Dropping it detaches the task, which runs on. It belongs to the executor's thread ([`JoinHandle::into_remote`] makes one
/// for others), and may outlive the executor: then it gives the result that was there, or [`JoinError::Closed`].
///
/// ```
/// # let mut executor = ringwheel_executor::Executor::start(Default::default())?;
/// let sum = executor.run(async {
///     let task = ringwheel_executor::spawn(async { 40 + 2 });
///     task.await
/// })??;
/// assert_eq!(sum, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct JoinHandle<T> {
    core: Rc<Core>,
    task: NonNull<Header>,
    _output: PhantomData<T>,
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// `task` was spawned on `core` with output `T` and has no join handle yet.
    #[inline]
    pub(crate) fn new(core: Rc<Core>, task: NonNull<Header>) -> JoinHandle<T> {
        JoinHandle { core, task, _output: PhantomData }
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: needs a live header. Holds: JOINED is set until our drop, and `core` keeps the arena.
        // Checked: tests/lifetimes.rs uses handles after their executor is gone.
        unsafe { self.task.as_ref() }
    }

    /// Ends the task at its next turn in the run queue: its future is dropped there and joining gives
    /// [`JoinError::Cancelled`]. Does nothing when the task has ended. Costs no more than a wake.
    pub fn cancel(&self) {
        self.core.tasks.cancel(self.task);
    }

    /// Whether the task has ended: joining would not wait.
    pub fn is_finished(&self) -> bool {
        self.header().has(DONE)
    }

    /// The result, if the task has ended and it was not taken before.
    #[inline]
    pub fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        let header = self.header();
        if !header.has(DONE) {
            return None;
        }
        Some(match header.stage.get() {
            Stage::Output => {
                header.stage.set(Stage::Empty);
                // SAFETY: needs to stay in the block. Holds: the offset is this task type's own.
                let place = unsafe { self.task.as_ptr().cast::<u8>().add(header.vtable.body_offset) };
                // SAFETY: needs a valid T, read once. Holds: `new` promised the type, the stage was `Output` and is `Empty` now.
                // Checked: tests/tasks.rs counts drops.
                Ok(unsafe { place.cast::<T>().read() })
            }
            Stage::Panicked => {
                // SAFETY: needs a live task in stage `Panicked`. Holds: two lines above. Checked: tests/panics.rs.
                let payload = unsafe { (header.vtable.take_payload)(self.task) };
                Err(JoinError::Panicked(payload.into()))
            }
            Stage::Cancelled => Err(JoinError::Cancelled),
            Stage::Closed | Stage::Empty | Stage::Future => Err(JoinError::Closed),
        })
    }

    pub(crate) fn cancel_now(&self) {
        self.core.tasks.cancel_now(self.task);
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.try_join() {
            Some(result) => Poll::Ready(result),
            None => {
                self.header().join_waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        self.core.tasks.unjoin(self.task);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

impl<T: Send + 'static> JoinHandle<T> {
    /// A handle that other threads may hold: await in another executor, block on, cancel through, drop.
    ///
    /// Costs one allocation and one forwarding task. [`SpawnError`] when there is no room for that task; the joined task
    /// runs on.
    pub fn into_remote(self) -> Result<RemoteHandle<T>, SpawnError> {
        let shared = Shared::new();
        let core = self.core.clone();
        let forward = Forward { from: Some(self), to: shared.clone() };
        // SAFETY: needs a `'static` future. Holds: T is, and with it the handle.
        let task = unsafe { core.tasks.spawn(forward) }?;
        drop(JoinHandle::<()>::new(core, task));
        Ok(RemoteHandle { shared })
    }
}

struct State<T> {
    result: Option<Result<T, JoinError>>,
    taken: bool,
    /// Who awaits the result.
    joiner: Option<Waker>,
    /// Wakes the forwarding task, to see `cancel`.
    forwarder: Option<Waker>,
}

impl<T> Default for State<T> {
    fn default() -> Self {
        State { result: None, taken: false, joiner: None, forwarder: None }
    }
}

/// A result on its way to another thread.
pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
    cancel: AtomicBool,
}

impl<T> Shared<T> {
    pub(crate) fn new() -> Arc<Shared<T>> {
        Arc::new(Shared {
            state: Mutex::new(State::default()),
            ended: Condvar::new(),
            cancel: AtomicBool::new(false),
        })
    }

    /// Takes the waker of the task that is to see [`RemoteHandle::cancel`].
    pub(crate) fn listen(&self, waker: &Waker) {
        let before =
            self.state.lock().unwrap_or_else(PoisonError::into_inner).forwarder.replace(waker.clone());
        drop(before); // Foreign code, perhaps: not under the lock.
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }

    /// The result, whoever is first.
    pub(crate) fn settle(&self, result: Result<T, JoinError>) {
        let joiner = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.result.is_some() || state.taken {
                drop(state);
                return; // The second result is dropped outside of the lock.
            }
            state.result = Some(result);
            state.joiner.take()
        };
        self.ended.notify_all();
        if let Some(joiner) = joiner {
            super::wake_soon(joiner);
        }
    }
}

/// Runs on the executor, waits for the task, and hands its result across.
struct Forward<T> {
    from: Option<JoinHandle<T>>,
    to: Arc<Shared<T>>,
}

impl<T> Future for Forward<T> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(from) = &mut this.from else { return Poll::Ready(()) };
        this.to.listen(context.waker());
        if this.to.is_cancelled() {
            from.cancel();
        }
        let Poll::Ready(result) = Pin::new(from).poll(context) else { return Poll::Pending };
        this.from = None;
        this.to.settle(result);
        Poll::Ready(())
    }
}

impl<T> Drop for Forward<T> {
    fn drop(&mut self) {
        // The executor goes first. Its task may have a result already.
        if let Some(mut from) = self.from.take() {
            self.to.settle(from.try_join().unwrap_or(Err(JoinError::Closed)));
        }
    }
}

/// A [`JoinHandle`] for other threads: `Send + Sync`, and harmless after the executor is gone.
///
/// ```
/// # let mut executor = ringwheel_executor::Executor::start(Default::default())?;
/// let handle = executor.run(async { ringwheel_executor::spawn(async { 42 }).into_remote() })??;
/// let waiting = std::thread::spawn(move || handle.join());
/// executor.run(async { ringwheel_executor::yield_now().await })?;
/// drop(executor);
/// assert_eq!(waiting.join().unwrap()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RemoteHandle<T> {
    shared: Arc<Shared<T>>,
}

impl<T> RemoteHandle<T> {
    pub(crate) fn of(shared: Arc<Shared<T>>) -> RemoteHandle<T> {
        RemoteHandle { shared }
    }

    /// Asks for the task's end. Does nothing when it, or its executor, has ended.
    pub fn cancel(&self) {
        self.shared.cancel.store(true, Ordering::Release);
        let forwarder = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).forwarder.clone();
        if let Some(forwarder) = forwarder {
            forwarder.wake();
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.result.is_some() || state.taken
    }

    /// Blocks the calling thread until the task or its executor has ended. Never call it on the executor's own thread while
    /// the task still runs: it would wait for itself.
    pub fn join(self) -> Result<T, JoinError> {
        // The very call, perhaps, that is waited for.
        current::with(|core| core.map(Core::wake_outgoing));
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = state.result.take() {
                state.taken = true;
                return result;
            }
            if state.taken {
                return Err(JoinError::Closed);
            }
            state = self.shared.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, JoinError>;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.result.take() {
            state.taken = true;
            return Poll::Ready(result);
        }
        if state.taken {
            return Poll::Ready(Err(JoinError::Closed));
        }
        state.joiner = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteHandle").field("finished", &self.is_finished()).finish()
    }
}
