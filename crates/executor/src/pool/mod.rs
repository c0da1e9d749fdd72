//! Executors on many cores: an [`ExecutorPool`] has one pinned thread per member, runs work on the member that is named, and
//! gives services a part on each of them ([`Sharded`]).
//!
//! `member.rs` is one member's life: start, death, replacement. `call.rs` is what a caller holds. `sharded.rs` builds services on
//! both. Work crosses by [`crate::submit_to`]; nothing else is shared between members.
mod call;
mod member;
mod sharded;
#[cfg(test)]
mod tests;

pub use call::{Call, CallError, Calls};
pub use sharded::{Invoke, Sharded, ShardedError};

use crate::{
    Options, StartError,
    placement::{Placement, PlacementError, Seat},
    topology::Topology,
};
use member::{Member, Order};
use std::{
    fmt,
    future::Future,
    ops::Deref,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long [`ExecutorPool::close`] waits for threads that were told to stop: shutting an executor down takes at most a second.
const STOP: Duration = Duration::from_secs(2);

/// Options of [`ExecutorPool::start`].
#[derive(Clone, Debug, Default)]
pub struct PoolOptions {
    /// Members, in `1..=1024`. `None` (default): one for each CPU of the placement, as far as a CPU quota goes.
    pub size: Option<usize>,
    /// Where they run. Default [`Placement::Unbound`].
    pub placement: Placement,
    /// Each member's executor.
    pub executor: Options,
    /// The threads' name; each has its number after it. Default `ringwheel`.
    pub name: Option<String>,
    /// Whether a member that died is started again on the same seat. Default false. One that dies 8 times in a row within a
    /// second of its start stays dead.
    pub replace: bool,
}

/// Why a pool did not start. Nothing of it is left running.
#[derive(Debug)]
pub enum PoolError {
    /// The placement cannot be met.
    Placement(PlacementError),
    /// A member did not start.
    Member {
        /// Its number.
        member: usize,
        /// Where it was to run.
        seat: Seat,
        /// Why it did not.
        error: StartError,
    },
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::Placement(error) => write!(f, "{error}"),
            PoolError::Member { member, seat, error } => {
                write!(f, "{error} (member {member} of the pool, on {seat})")
            }
        }
    }
}

impl std::error::Error for PoolError {}

/// What a member has done, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStats {
    /// Where it runs.
    pub seat: Seat,
    /// Whether it takes calls.
    pub alive: bool,
    /// Calls given to it.
    pub calls: u64,
    /// Those of them that have not ended.
    pub pending: usize,
    /// Times it was replaced.
    pub replaced: u32,
    /// Why it died, the last time it did.
    pub cause: Option<String>,
    /// Why its memory is not bound to its node, where that was refused.
    pub note: Option<String>,
}

/// What [`ExecutorPool::close`] left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolReport {
    /// Calls that had not ended by the deadline, and were dropped; their callers got [`CallError::Closed`].
    pub abandoned: usize,
    /// Members whose thread does not react (a task that never yields); they are left running.
    pub stuck: usize,
}

/// Which member a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The member of this number, counted from 0.
    Member(usize),
    /// A living member with the fewest calls that have not ended.
    Any,
}

impl From<usize> for Target {
    fn from(member: usize) -> Target {
        Target::Member(member)
    }
}

/// A pool of executors, one pinned thread each. Dropping it closes it at once; [`PoolHandle`], to which it derefs, is what other
/// threads and the members themselves hold.
///
/// ```
/// use ringwheel_executor::pool::{ExecutorPool, PoolOptions, Target};
/// use std::time::Duration;
///
/// let mut pool = ExecutorPool::start(PoolOptions { size: Some(2), ..Default::default() })?;
/// assert_eq!(pool.run(1, || async { 40 + 2 }).join()?, 42);
/// let squares = pool.broadcast(|member| async move { member * member }).join();
/// assert_eq!(squares.into_iter().collect::<Result<Vec<_>, _>>()?, [0, 1]);
/// pool.run(Target::Any, || async {}).join()?;
/// assert_eq!(pool.close(Duration::from_secs(1)).abandoned, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ExecutorPool {
    handle: PoolHandle,
}

/// A pool as its callers know it: `Clone + Send + Sync`. After the pool was closed every call gives [`CallError::Closed`].
///
/// ```
/// use ringwheel_executor::{Executor, pool::{ExecutorPool, PoolOptions, Target}};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let pool = ExecutorPool::start(PoolOptions { size: Some(2), ..Default::default() })?;
///     let handle = pool.handle(); // Clone + Send: a member may have one, too
///     let nested = pool.run(0, move || async move { handle.run(1, || async { 42 }).await });
///     assert_eq!(nested.await??, 42);
///     assert_eq!(pool.run(Target::Any, || async { 7 }).await?, 7);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PoolHandle {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    members: Vec<Arc<Member>>,
    options: PoolOptions,
    closing: AtomicBool,
    /// Threads that run, those of dead members that are still ending included.
    threads: Mutex<usize>,
    /// Signalled when a thread ends, and when a member's last pending call ends while the pool is closing.
    news: Condvar,
    services: Mutex<Vec<sharded::Service>>,
    next_service: AtomicU64,
    /// Where `Target::Any` begins to look, so that idle members take turns.
    next_member: AtomicUsize,
}

impl Pool {
    fn threads(&self) -> MutexGuard<'_, usize> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> usize {
        self.members.iter().map(|member| member.pending()).sum()
    }

    /// Waits while `waiting(threads)` holds, at most until `until`. How many threads run then.
    fn wait(&self, until: Option<Instant>, waiting: impl Fn(usize) -> bool) -> usize {
        let mut threads = self.threads();
        while waiting(*threads) {
            let left = until.map_or(STOP, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            threads = self.news.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        *threads
    }
}

impl ExecutorPool {
    /// Finds each member's seat, starts them one after the other, and returns when all run.
    ///
    /// # Errors
    /// [`PoolError`]: the placement cannot be met, or a member did not start. Those that did are stopped.
    pub fn start(options: PoolOptions) -> Result<ExecutorPool, PoolError> {
        let seats = options.placement.seats(&Topology::read(), options.size).map_err(PoolError::Placement)?;
        let members = seats.into_iter().enumerate().map(|(index, seat)| Arc::new(Member::new(index, seat)));
        let pool = Arc::new(Pool {
            members: members.collect(),
            options,
            closing: AtomicBool::new(false),
            threads: Mutex::new(0),
            news: Condvar::new(),
            services: Mutex::new(Vec::new()),
            next_service: AtomicU64::new(0),
            next_member: AtomicUsize::new(0),
        });
        let pool = ExecutorPool { handle: PoolHandle { pool } };
        for member in &pool.pool.members {
            // An error drops `pool`, which stops the members that run.
            member::start(&pool.pool, member).map_err(|error| PoolError::Member {
                member: member.index,
                seat: member.seat.clone(),
                error,
            })?;
        }
        Ok(pool)
    }

    /// A handle for other threads and for the members.
    pub fn handle(&self) -> PoolHandle {
        self.handle.clone()
    }

    /// Refuses new calls, waits until those that run have ended or `deadline` is over, then drops what is left and stops the
    /// members. Blocks; never call it on a member, which would wait for itself. A second call has nothing to do.
    pub fn close(&mut self, deadline: Duration) -> PoolReport {
        let pool = &self.handle.pool;
        pool.closing.store(true, Ordering::SeqCst);
        let until = Instant::now().checked_add(deadline);
        pool.wait(until, |threads| pool.pending() > 0 && threads > 0);
        let abandoned = pool.pending();
        for member in &pool.members {
            member.order(Order::Stop);
        }
        let stuck = pool.wait(Some(Instant::now() + STOP), |threads| threads > 0);
        PoolReport { abandoned, stuck }
    }
}

impl Deref for ExecutorPool {
    type Target = PoolHandle;
    fn deref(&self) -> &PoolHandle {
        &self.handle
    }
}

impl Drop for ExecutorPool {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl PoolHandle {
    /// How many members there are, dead ones included.
    pub fn size(&self) -> usize {
        self.pool.members.len()
    }

    /// Runs the future that `make` gives on a member, in a task of its own. The future is made there, so it need not be `Send`.
    /// Calls from one thread to one member start in the order they were made.
    ///
    /// The [`Call`] is a future of the result, or blocks in [`Call::join`]. Every error is its result too. While a dead member is
    /// being replaced this waits for the new thread, which takes a millisecond or less.
    ///
    /// Costs two allocations here and none over there, and a wake when the member sleeps (`tests/pool.rs` counts).
    pub fn run<M, F>(&self, target: impl Into<Target>, make: M) -> Call<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let index = match target.into() {
            Target::Member(member) => member,
            Target::Any => self.any(),
        };
        match self.pool.members.get(index) {
            Some(member) => member.call(&self.pool, make),
            None => Call::refused(CallError::NoSuchMember { member: index, size: self.size() }),
        }
    }

    /// Runs `make(member)` on every member. The results are in the order of the members.
    pub fn broadcast<M, F>(&self, make: M) -> Calls<F::Output>
    where
        M: FnOnce(usize) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let call = |member| {
            let make = make.clone();
            self.run(member, move || make(member))
        };
        Calls::new((0..self.size()).map(call).collect())
    }

    /// Runs `map(member)` on every member and folds the results, in the order of the members, as `reduce` says. All calls have
    /// ended when it completes.
    ///
    /// # Errors
    /// The first member's that failed.
    ///
    /// ```
    /// use ringwheel_executor::{Executor, pool::{ExecutorPool, PoolOptions}};
    ///
    /// let pool = ExecutorPool::start(PoolOptions { size: Some(2), ..Default::default() })?;
    /// let mut executor = Executor::start(Default::default())?;
    /// let sum = executor.run(pool.map_reduce(|member| async move { member + 10 }, 0, |sum, one| sum + one))??;
    /// assert_eq!(sum, 21);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_reduce<M, F, A, R>(
        &self,
        map: M,
        initial: A,
        reduce: R,
    ) -> impl Future<Output = Result<A, CallError>> + use<M, F, A, R>
    where
        M: FnOnce(usize) -> F + Clone + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
        R: FnMut(A, F::Output) -> A,
    {
        let calls = self.broadcast(map);
        async move {
            let all = calls.await.into_iter().collect::<Result<Vec<_>, _>>();
            all.map(|all| all.into_iter().fold(initial, reduce))
        }
    }

    /// Ends a member as if it had died: its calls get [`CallError::Died`] with this reason, and it is replaced if the pool does
    /// that. For a service that found its state broken. Takes effect at the member's next turn; a task that never yields is not
    /// interrupted. False when there is no such member, or it does not run.
    pub fn kill(&self, member: usize, reason: &str) -> bool {
        self.pool.members.get(member).is_some_and(|member| member.order(Order::Die(reason.to_owned())))
    }

    /// Each member's counters. Reads memory only.
    pub fn stats(&self) -> Vec<MemberStats> {
        self.pool.members.iter().map(|member| member.stats()).collect()
    }

    /// The living member with the least to do; where none lives, one whose call then says why.
    fn any(&self) -> usize {
        let size = self.size();
        let first = self.pool.next_member.fetch_add(1, Ordering::Relaxed) % size;
        let members = (0..size).map(|offset| (first + offset) % size);
        let living = members.filter(|index| self.pool.members[*index].is_alive());
        living.min_by_key(|index| self.pool.members[*index].pending()).unwrap_or(first)
    }
}
