//! A service with a part on every member, in Seastar's sense: each part is made, used and dropped on its own member's thread, so
//! it needs no lock and need not be `Send`.
use super::{Call, CallError, Calls, Pool, PoolHandle};
use crate::{error::panic_text, event::Event, spawn};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll},
};

type Made = Result<Rc<dyn Any>, String>;
type Making = Pin<Box<dyn Future<Output = Made>>>;

/// How to make a service's part on a member.
#[derive(Clone)]
pub(super) struct Service {
    id: u64,
    make: Arc<dyn Fn(usize) -> Making + Send + Sync>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The parts on one member, by their service.
pub(super) type Parts = Rc<RefCell<BTreeMap<u64, Part>>>;

/// One part: there once `ready` is set, or failed.
#[derive(Clone)]
pub(super) struct Part {
    ready: Event,
    made: Rc<RefCell<Option<Made>>>,
}

thread_local! {
    /// This member's parts: put here when the member starts, taken out before its executor is dropped, so that no destructor
    /// finds anything here (INV-8).
    static PARTS: Cell<Option<Parts>> = const { Cell::new(None) };
}

fn parts() -> Option<Parts> {
    PARTS.with(|cell| {
        let parts = cell.take();
        cell.set(parts.clone());
        parts
    })
}

/// A member starts, on its thread: making the parts of all services that run begins.
pub(super) fn enter(pool: &Pool, member: usize) {
    PARTS.with(|cell| cell.set(Some(Rc::default())));
    let services = pool.services.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for service in services {
        begin(&service, member);
    }
}

/// A member ends, on its thread: its parts, for the caller to drop.
pub(super) fn leave() -> Option<Parts> {
    PARTS.with(Cell::take)
}

/// Begins to make a part, in a task of its own, unless that was begun before.
fn begin(service: &Service, member: usize) {
    let Some(parts) = parts() else { return };
    if parts.borrow().contains_key(&service.id) {
        return;
    }
    let part = Part { ready: Event::new(), made: Rc::new(RefCell::new(None)) };
    parts.borrow_mut().insert(service.id, part.clone());
    let make = Arc::clone(&service.make);
    drop(spawn(async move {
        let result = match catch_unwind(AssertUnwindSafe(|| make(member))) {
            Ok(making) => Caught(making).await,
            Err(payload) => Err(format!("making it panicked: {}", panic_text(&*payload))),
        };
        *part.made.borrow_mut() = Some(result);
        part.ready.set();
    }));
}

/// A future whose panic is its result.
struct Caught(Making);

impl Future for Caught {
    type Output = Made;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Made> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| {
            Poll::Ready(Err(format!("making it panicked: {}", panic_text(&*payload))))
        })
    }
}

/// This member's part, once it has been made.
async fn part<T: 'static>(id: u64, member: usize) -> Result<Rc<T>, CallError> {
    let stopped = || CallError::NoService { member, cause: "it was stopped".to_owned() };
    let found = parts().and_then(|parts| parts.borrow().get(&id).cloned());
    let Some(Part { ready, made }) = found else { return Err(stopped()) };
    ready.wait().await;
    match &*made.borrow() {
        Some(Ok(part)) => Rc::clone(part).downcast().map_err(|_| stopped()),
        Some(Err(cause)) => Err(CallError::NoService { member, cause: cause.clone() }),
        None => Err(stopped()),
    }
}

/// Why a service did not start: the reason of the first member that has one. It was stopped on the others.
#[derive(Debug)]
pub struct ShardedError {
    /// The member.
    pub member: usize,
    /// Why.
    pub error: CallError,
}

impl fmt::Display for ShardedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl std::error::Error for ShardedError {}

/// A service with one `T` on every member of a pool. The value is a handle: `Clone + Send + Sync` although `T` is neither; the
/// parts stay on their threads. A member that is replaced makes its part anew. Dropping handles stops nothing: [`Sharded::stop`]
/// does, or the end of the pool.
///
/// ```
/// use ringwheel_executor::{Executor, pool::{ExecutorPool, PoolOptions, Sharded}};
/// use std::cell::Cell;
///
/// let pool = ExecutorPool::start(PoolOptions { size: Some(2), ..Default::default() })?;
/// let mut executor = Executor::start(Default::default())?;
/// let total = executor.run(async {
///     let counters = Sharded::start(&pool, |_member| async { Ok(Cell::new(0)) }).await?;
///     counters.invoke_on(1, |counter| async move { counter.set(counter.get() + 5) }).await?;
///     let total = counters.map_reduce(|counter| async move { counter.get() }, 0, |sum, one| sum + one).await?;
///     counters.stop().await;
///     Ok::<_, Box<dyn std::error::Error>>(total)
/// })??;
/// assert_eq!(total, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sharded<T> {
    pool: PoolHandle,
    id: u64,
    _parts: PhantomData<fn() -> T>,
}

impl<T> Clone for Sharded<T> {
    fn clone(&self) -> Self {
        Sharded { pool: self.pool.clone(), id: self.id, _parts: PhantomData }
    }
}

impl<T> fmt::Debug for Sharded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharded").field("id", &self.id).field("members", &self.pool.size()).finish()
    }
}

impl<T: 'static> Sharded<T> {
    /// Makes a part on each member, all at once: `make(member)` runs there. Completes when all are made.
    ///
    /// # Errors
    /// [`ShardedError`] when one could not be made: `make` gave an error, whose text is the cause, or panicked, or the member is
    /// dead.
    pub async fn start<M, F>(pool: &PoolHandle, make: M) -> Result<Sharded<T>, ShardedError>
    where
        M: Fn(usize) -> F + Send + Sync + 'static,
        F: Future<Output = Result<T, String>> + 'static,
    {
        let id = pool.pool.next_service.fetch_add(1, Ordering::Relaxed);
        let make = Arc::new(move |member| -> Making {
            let making = make(member);
            Box::pin(async move { making.await.map(|part| Rc::new(part) as Rc<dyn Any>) })
        });
        let service = Service { id, make };
        // Listed first, so that a member that is replaced meanwhile makes its part too.
        pool.pool.services.lock().unwrap_or_else(PoisonError::into_inner).push(service.clone());
        let sharded = Sharded { pool: pool.clone(), id, _parts: PhantomData };
        let made = pool.broadcast(move |member| async move {
            begin(&service, member);
            part::<T>(service.id, member).await.map(drop)
        });
        let results = made.await.into_iter().map(|result| result.and_then(|made| made)).enumerate();
        match results.filter_map(|(member, result)| Some((member, result.err()?))).next() {
            None => Ok(sharded),
            Some((member, error)) => {
                sharded.stop().await;
                Err(ShardedError { member, error })
            }
        }
    }

    /// Runs `work` with the part on a member, over there. Calls from one thread to one member start in order.
    pub fn invoke_on<W, F>(&self, member: usize, work: W) -> Invoke<F::Output>
    where
        W: FnOnce(Rc<T>) -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let id = self.id;
        Invoke(self.pool.run(member, move || async move { Ok(work(part::<T>(id, member).await?).await) }))
    }

    /// Runs `work` with every part. The results are in the order of the members.
    pub fn invoke_on_all<W, F>(&self, work: W) -> Calls<Result<F::Output, CallError>>
    where
        W: FnOnce(Rc<T>) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let id = self.id;
        self.pool.broadcast(move |member| async move { Ok(work(part::<T>(id, member).await?).await) })
    }

    /// Runs `map` with every part and folds the results, in the order of the members, as `reduce` says.
    ///
    /// # Errors
    /// The first member's that failed.
    pub fn map_reduce<W, F, A, R>(
        &self,
        map: W,
        initial: A,
        reduce: R,
    ) -> impl Future<Output = Result<A, CallError>> + use<T, W, F, A, R>
    where
        W: FnOnce(Rc<T>) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
        R: FnMut(A, F::Output) -> A,
    {
        let calls = self.invoke_on_all(map);
        async move {
            let results = calls.await.into_iter().map(|result| result.and_then(|inner| inner));
            results.collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().fold(initial, reduce))
        }
    }

    /// Takes the parts away: later calls get [`CallError::NoService`], and each part is dropped on its member's thread when the
    /// calls that use it have ended. Completes when every member has let go of its part.
    pub async fn stop(&self) {
        let id = self.id;
        self.pool
            .pool
            .services
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|service| service.id != id);
        let taken = self.pool.broadcast(move |_| async move {
            let part = parts().and_then(|parts| parts.borrow_mut().remove(&id));
            drop(part);
        });
        drop(taken.await); // A member that has died has dropped its part.
    }
}

/// A result to come from a service: a future of `Result<R, CallError>`.
#[derive(Debug)]
#[must_use = "the result, and every error, is in it"]
pub struct Invoke<R>(Call<Result<R, CallError>>);

impl<R> Invoke<R> {
    /// Blocks the calling thread until the call has ended. Never call it on the member that the call is for.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn join(self) -> Result<R, CallError> {
        self.0.join().and_then(|result| result)
    }
}

impl<R> Future for Invoke<R> {
    type Output = Result<R, CallError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|result| result.and_then(|result| result))
    }
}
