//! Task queues: who gets how much of the core, and who must not wait.
use crate::{
    JoinHandle, QueueError,
    core::Core,
    current,
    task::queues::{DEFAULT, QUEUES_MAX, Queue, SHARES_DEFAULT, State},
    try_spawn,
};
use ringwheel_driver::Distribution;
use std::{
    fmt,
    future::Future,
    ops::RangeInclusive,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

const SHARES: RangeInclusive<u32> = 1..=1000;
const LATENCY: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_secs(10);

/// How soon a queue's tasks must run once they are ready.
///
/// ```
/// use ringwheel_executor::{Executor, Latency, QueueOptions, TaskQueue, spawn_into, time};
/// use std::time::Duration;
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let soon = Latency::Matters(Duration::from_millis(2));
///     let beats = TaskQueue::new(QueueOptions { latency: soon, ..Default::default() })?;
///     spawn_into(beats, async { time::sleep(Duration::from_millis(1)).await }).await?;
///     beats.set_latency(Latency::NotImportant)?; // no longer
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Latency {
    /// Whenever the queue's share says.
    #[default]
    NotImportant,
    /// Within this time, 100 µs to 10 s: the queue goes before others while it takes no more than its share, and slices of others are no
    /// longer than half of it. It holds when the others' tasks ask [`crate::yield_if_needed`], or end, often enough.
    Matters(Duration),
}

/// Options of [`TaskQueue::new`].
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// A name for statistics. Default empty.
    pub name: String,
    /// Shares of the core, 1 to 1000, relative to those of the other queues that are busy. Default 100, as the default queue has.
    pub shares: u32,
    /// Default [`Latency::NotImportant`].
    pub latency: Latency,
}

impl Default for QueueOptions {
    fn default() -> Self {
        QueueOptions { name: String::new(), shares: SHARES_DEFAULT, latency: Latency::NotImportant }
    }
}

/// What becomes of the tasks of a queue that is removed.
///
/// ```
/// use ringwheel_executor::{Executor, JoinError, Removal, TaskQueue, spawn_into};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let queue = TaskQueue::new(Default::default())?;
///     let endless = spawn_into(queue, std::future::pending::<()>());
///     queue.remove(Removal::Drop)?.await;
///     assert!(matches!(endless.await, Err(JoinError::Cancelled)));
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// They are cancelled: each is dropped when the queue runs next, and joining it gives [`crate::JoinError::Cancelled`].
    Drop,
    /// They run to their ends, with the queue's shares.
    Drain,
}

/// Figures of one queue. Times and polls are counted while the executor has more than one queue; with one the clock is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Its name.
    pub name: String,
    /// Its shares.
    pub shares: u32,
    /// Its latency class.
    pub latency: Latency,
    /// Tasks alive.
    pub tasks: u32,
    /// Task polls.
    pub polls: u64,
    /// Times it was chosen to run.
    pub slices: u64,
    /// How long it ran.
    pub runtime: Duration,
    /// The longest time that it ran without a look at the other queues.
    pub longest_slice: Duration,
}

/// How long one queue waited for its slices, and how long those were. One in eight is timed, while the executor has more than one queue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueueLatencies {
    /// Its name.
    pub name: String,
    /// From the moment that the queue had something to run, because a task woke or was spawned or a slice had left some over, to its
    /// next slice.
    pub wait: Distribution,
    /// From the beginning of a slice to its end. A slice is made of polls: one long poll is a long slice.
    pub slice: Distribution,
}

/// A group of tasks that shares the core with other groups by weight. A handle: `Copy`, names its queue by number, harmless when that is
/// gone. It belongs to the executor it was made in; used elsewhere it gives [`QueueError::Elsewhere`].
///
/// Queues that are busy share the core in proportion to their shares, whatever their tasks' bursts; a queue that sleeps saves nothing up.
/// A task that is spawned by a task of a queue belongs to that queue too, unless it is spawned [into another](spawn_into). A panic in a task of a queue
/// is that task's result, as anywhere.
///
/// ```
/// use ringwheel_executor::{Executor, QueueOptions, Removal, TaskQueue, spawn_into};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let background = TaskQueue::new(QueueOptions { shares: 10, ..Default::default() })?;
///     let answer = spawn_into(background, async { 42 }).await.expect("not cancelled");
///     assert_eq!(answer, 42);
///     background.remove(Removal::Drain)?.await;
///     assert!(background.stats().is_err());
///     Ok::<(), ringwheel_executor::QueueError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskQueue {
    executor: u64,
    index: u8,
    generation: u32,
}

impl TaskQueue {
    /// Makes a queue in the executor that runs on this thread. One allocation, the first of several queues also makes preemption.
    ///
    /// # Errors
    /// [`QueueError::Spawn`] outside of an executor, [`QueueError::Shares`] and [`QueueError::Latency`] out of range,
    /// [`QueueError::TooMany`] beyond 64.
    pub fn new(options: QueueOptions) -> Result<TaskQueue, QueueError> {
        let shares = checked_shares(options.shares)?;
        let latency = checked_latency(options.latency)?;
        let core = current::get()?;
        core.preempt();
        let index = core
            .tasks
            .queues
            .open(&options.name, shares, latency)
            .ok_or(QueueError::TooMany { max: QUEUES_MAX })?;
        if let Some(heart) = core.heart.get() {
            heart.name(index.into(), &options.name);
        }
        Ok(core.queue_handle(index))
    }

    /// The queue of the running task; the default queue in an executor outside of tasks.
    ///
    /// # Errors
    /// [`QueueError::Spawn`] outside of an executor.
    pub fn current() -> Result<TaskQueue, QueueError> {
        let core = current::get()?;
        Ok(core.queue_handle(core.tasks.current_queue()))
    }

    /// Changes the shares, 1 to 1000, from the next slice on.
    ///
    /// # Errors
    /// [`QueueError::Shares`], [`QueueError::Removed`], [`QueueError::Elsewhere`].
    pub fn set_shares(self, shares: u32) -> Result<(), QueueError> {
        let shares = checked_shares(shares)?;
        self.open(|_, queue| queue.shares.set(shares))
    }

    /// Changes the latency class, from the next turn on.
    ///
    /// # Errors
    /// [`QueueError::Latency`], [`QueueError::Removed`], [`QueueError::Elsewhere`].
    pub fn set_latency(self, latency: Latency) -> Result<(), QueueError> {
        let latency = checked_latency(latency)?;
        self.open(|core, _| core.tasks.queues.set_latency(self.index, latency))
    }

    /// Its figures.
    ///
    /// # Errors
    /// [`QueueError::Removed`], [`QueueError::Elsewhere`].
    pub fn stats(self) -> Result<QueueStats, QueueError> {
        self.with(|core, _| core.stats_of(self.index))
    }

    /// How long it waited for its slices, and how long those were. Walks two histograms, about 40 µs: for monitoring.
    ///
    /// # Errors
    /// [`QueueError::Removed`], [`QueueError::Elsewhere`].
    pub fn latencies(self) -> Result<QueueLatencies, QueueError> {
        self.with(|core, _| core.latencies_of(self.index))
    }

    /// Removes the queue: from now on nothing is spawned into it, except by its own tasks. What you get can be awaited: it is ready once
    /// the last task of the queue has ended, so never for a task of that very queue. Dropping it changes nothing.
    ///
    /// # Errors
    /// [`QueueError::Default`], [`QueueError::Removed`] the second time, [`QueueError::Elsewhere`].
    pub fn remove(self, removal: Removal) -> Result<Removed, QueueError> {
        if self.index == DEFAULT {
            return Err(QueueError::Default);
        }
        let core = self.core()?;
        self.open(|core, _| core.tasks.remove_queue(self.index, removal == Removal::Drop))?;
        Ok(Removed { core, queue: self })
    }

    /// The executor of the queue, if that is the one that runs here.
    fn core(self) -> Result<Rc<Core>, QueueError> {
        let core = current::get().map_err(|_| QueueError::Elsewhere)?;
        if core.tasks.executor() == self.executor { Ok(core) } else { Err(QueueError::Elsewhere) }
    }

    /// Runs `work` with the queue while it is there.
    fn with<R>(self, work: impl FnOnce(&Core, &Queue) -> R) -> Result<R, QueueError> {
        let core = self.core()?;
        let queue = core.tasks.queues.at(self.index);
        if queue.generation.get() != self.generation || queue.state.get() == State::Free {
            return Err(QueueError::Removed);
        }
        Ok(work(&core, queue))
    }

    /// As `with`, but not once it is being removed.
    fn open<R>(self, work: impl FnOnce(&Core, &Queue) -> R) -> Result<R, QueueError> {
        self.with(|core, queue| (queue.state.get() == State::Open).then(|| work(core, queue)))?
            .ok_or(QueueError::Removed)
    }
}

/// Spawns a task into a queue. As [`crate::spawn`] otherwise. A queue that was removed cancels the task, as its removal does with those
/// that it has: joining gives [`crate::JoinError::Cancelled`].
///
/// # Panics
/// Where [`crate::spawn`] does, and for a queue of another executor. [`try_spawn_into`] gives an error instead.
///
/// ```
/// use ringwheel_executor::{Executor, TaskQueue, spawn_into};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let queue = TaskQueue::new(Default::default())?;
///     assert_eq!(spawn_into(queue, async { TaskQueue::current() }).await??, queue);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn spawn_into<F: Future + 'static>(queue: TaskQueue, future: F) -> JoinHandle<F::Output> {
    let spawned = match queue.open(|_, _| ()) {
        Ok(()) => try_spawn_into(queue, future),
        // Somebody else may have removed it: no reason for this task to panic.
        Err(QueueError::Removed) => {
            try_spawn(future).inspect(|handle| handle.cancel()).map_err(QueueError::Spawn)
        }
        Err(error) => Err(error),
    };
    match spawned {
        Ok(handle) => handle,
        Err(error) => panic!("{error}"),
    }
}

/// Spawns a task into a queue, or says why not; the future is dropped then.
///
/// # Errors
/// [`QueueError::Removed`], [`QueueError::Elsewhere`], [`QueueError::Spawn`] when the executor is full or shuts down.
///
/// ```
/// use ringwheel_executor::{Executor, QueueError, Removal, TaskQueue, try_spawn_into};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let queue = TaskQueue::new(Default::default()).expect("room for one more");
///     queue.remove(Removal::Drop).expect("not removed before").await;
///     assert_eq!(try_spawn_into(queue, async {}).err(), Some(QueueError::Removed));
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn try_spawn_into<F: Future + 'static>(
    queue: TaskQueue,
    future: F,
) -> Result<JoinHandle<F::Output>, QueueError> {
    let core = queue.core()?;
    queue.open(|_, _| ())?;
    // SAFETY: needs a `'static` future. Holds: the bound. The queue was just seen to be open.
    let task = unsafe { core.tasks.spawn_in(queue.index, future) }?;
    Ok(JoinHandle::new(core, task))
}

/// The figures of all queues of the executor that runs on this thread, the default one first; empty outside of one.
///
/// ```
/// use ringwheel_executor::{Executor, QueueOptions, TaskQueue, queue_stats};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let queue = TaskQueue::new(QueueOptions { name: "reports".into(), ..Default::default() })?;
///     let names: Vec<_> = queue_stats().into_iter().map(|queue| queue.name).collect();
///     assert_eq!(names.last().map(String::as_str), Some("reports"));
///     assert_eq!(queue.stats()?.shares, 100);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn queue_stats() -> Vec<QueueStats> {
    current::with(|core| core.map_or_else(Vec::new, Core::queue_stats))
}

/// The latencies of all queues of the executor that runs on this thread, the default one first; empty outside of one.
///
/// ```
/// use ringwheel_executor::{Executor, TaskQueue, queue_latencies, spawn_into};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let queue = TaskQueue::new(Default::default())?;
///     spawn_into(queue, async {}).await.expect("not cancelled");
///     let [_default, latencies] = &queue_latencies()[..] else { panic!("two queues") };
///     assert_eq!(latencies.wait.samples, 1); // The first is always timed.
///     println!("p99 of its wait: {:?}", latencies.wait.p99);
///     Ok::<(), ringwheel_executor::QueueError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn queue_latencies() -> Vec<QueueLatencies> {
    current::with(|core| core.map_or_else(Vec::new, Core::queue_latencies))
}

impl Core {
    pub(crate) fn queue_latencies(&self) -> Vec<QueueLatencies> {
        self.tasks.queues.indices().map(|index| self.latencies_of(index)).collect()
    }

    fn latencies_of(&self, index: u8) -> QueueLatencies {
        let queue = self.tasks.queues.at(index);
        let (wait, slice) = queue.times.distributions();
        QueueLatencies { name: queue.name.borrow().clone(), wait, slice }
    }

    pub(crate) fn queue_stats(&self) -> Vec<QueueStats> {
        self.tasks.queues.indices().map(|index| self.stats_of(index)).collect()
    }

    pub(crate) fn queue_handle(&self, index: u8) -> TaskQueue {
        let generation = self.tasks.queues.at(index).generation.get();
        TaskQueue { executor: self.tasks.executor(), index, generation }
    }

    fn stats_of(&self, index: u8) -> QueueStats {
        let queues = &self.tasks.queues;
        let queue = queues.at(index);
        let tasks = if index == DEFAULT {
            let others: u32 = queues.indices().map(|index| queues.at(index).live.get()).sum();
            self.tasks.live.get() - others
        } else {
            queue.live.get()
        };
        QueueStats {
            name: queue.name.borrow().clone(),
            shares: queue.shares.get(),
            latency: match queue.latency.get() {
                0 => Latency::NotImportant,
                bound => Latency::Matters(Duration::from_nanos(bound)),
            },
            tasks,
            polls: queue.polls.get(),
            slices: queue.slices.get(),
            runtime: Duration::from_nanos(queue.runtime.get()),
            longest_slice: Duration::from_nanos(queue.longest.get()),
        }
    }
}

/// The end of a queue that was [removed](TaskQueue::remove): ready once its last task has ended, or its executor has shut down.
#[must_use = "await it to know that the queue's last task has ended, or drop it"]
pub struct Removed {
    core: Rc<Core>,
    queue: TaskQueue,
}

impl Future for Removed {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let queue = self.core.tasks.queues.at(self.queue.index);
        if queue.generation.get() != self.queue.generation {
            return Poll::Ready(());
        }
        let waker = context.waker().clone(); // Foreign code, perhaps: with nothing borrowed.
        let mut waiting = queue.ended.borrow_mut();
        if !waiting.iter().any(|other| other.will_wake(&waker)) {
            waiting.push(waker);
        }
        Poll::Pending
    }
}

impl fmt::Debug for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removed").field("queue", &self.queue).finish_non_exhaustive()
    }
}

fn checked_shares(shares: u32) -> Result<u32, QueueError> {
    if SHARES.contains(&shares) { Ok(shares) } else { Err(QueueError::Shares(shares)) }
}

/// In nanoseconds; 0 for none.
fn checked_latency(latency: Latency) -> Result<u64, QueueError> {
    match latency {
        Latency::NotImportant => Ok(0),
        Latency::Matters(bound) if LATENCY.contains(&bound) => Ok(bound.as_nanos() as u64),
        Latency::Matters(bound) => Err(QueueError::Latency(bound)),
    }
}
