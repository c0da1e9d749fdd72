//! The executor as its owner sees it: start, run or turn, look at, shut down.
use crate::{
    Client, Edge, JoinError, JoinHandle, NoClient, Options, Park, Preempt, QueueLatencies, QueueStats,
    Remote, RunError, SpawnError, StartError, Stats, Turn,
    core::Core,
    current,
    remote::{self, Registration},
    stall::{Heart, StallOptions},
    timers::Timers,
};
use ringwheel_driver::{Driver, DriverKind, Latency};
use std::{future::Future, os::fd::RawFd, rc::Rc, sync::Arc, time::Duration};

/// Time that dropping an executor gives its operations to end.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// One thread's tasks, timers and kernel operations. Belongs to the thread that started it (INV-6).
///
/// ```
/// use ringwheel_executor::{Executor, Options, spawn, time};
/// use std::time::Duration;
///
/// let mut executor = Executor::start(Options::default())?;
/// let answer = executor.run(async {
///     let task = spawn(async {
///         time::sleep(Duration::from_millis(2)).await;
///         42
///     });
///     task.await
/// })??;
/// assert_eq!(answer, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Executor {
    core: Rc<Core>,
}

/// Makes a sleeping executor take another turn. `Clone + Send + Sync`; a no-op once the executor is gone.
///
/// ```
/// use ringwheel_executor::{Executor, NoClient, Park};
///
/// let mut executor = Executor::start(Default::default())?;
/// let waker = executor.waker();
/// let other = std::thread::spawn(move || waker.wake());
/// while !executor.turn(&mut NoClient, Park::Thread).called {} // sleeps until then
/// other.join().expect("it does not panic");
/// drop(executor);
/// waker.wake(); // nobody is there to hear it
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorWaker {
    handle: u64,
}

impl ExecutorWaker {
    /// Wakes the executor if it sleeps. Never blocks; a system call only when it does sleep.
    pub fn wake(&self) {
        remote::wake(self.handle);
    }

    /// The waker as a number, for memory that threads share.
    pub fn to_bits(self) -> u64 {
        self.handle
    }

    /// The waker of a number. Any number will do: one that is no live executor's wakes nobody, another one's makes that
    /// executor take a turn for nothing.
    pub fn from_bits(bits: u64) -> ExecutorWaker {
        ExecutorWaker { handle: remote::own_of(bits) }
    }

    /// Has `mourner` woken when this executor has ended. False when it has already: nobody is woken then.
    pub fn watch(&self, mourner: ExecutorWaker) -> bool {
        remote::watch(self.handle, mourner.handle)
    }
}

/// What [`Executor::shutdown`] did.
///
/// ```
/// use ringwheel_executor::{Executor, spawn};
/// use std::time::Duration;
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async { drop(spawn(std::future::pending::<()>())) })?;
/// let report = executor.shutdown(Duration::from_secs(1));
/// assert_eq!((report.tasks_dropped, report.panics, report.driver.leaked), (1, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Tasks that had not ended and were dropped.
    pub tasks_dropped: u32,
    /// Destructors that panicked while they were dropped. The others ran all the same.
    pub panics: u32,
    /// The driver's part.
    pub driver: ringwheel_driver::driver::ShutdownReport,
}

impl Executor {
    /// Starts an executor for the calling thread. Several may live on one thread; each runs while it is told to.
    ///
    /// # Errors
    /// [`StartError`] names the option, the limit or the system call, and the remedy.
    pub fn start(options: Options) -> Result<Executor, StartError> {
        options.check()?;
        let driver = Driver::start(&options.driver)?;
        let registration = Registration::new(driver.waker())?;
        let core = Core::new(driver, registration, &options);
        if let Some(stall) = &options.stall {
            core.watch_stalls(stall)?;
        }
        Ok(Executor { core: Rc::new(core) })
    }

    /// Native host: runs until `future` ends, blocking the thread when nothing is to be done. Other tasks run too, and stay
    /// for the next `run`. The future may borrow from the caller.
    ///
    /// # Errors
    /// [`RunError`]; the future has been dropped then.
    pub fn run<F: Future>(&mut self, future: F) -> Result<F::Output, RunError> {
        /// Drops the future before anything that it borrows can end, whatever happens.
        struct Bound<T>(JoinHandle<T>);
        impl<T> Drop for Bound<T> {
            fn drop(&mut self) {
                self.0.cancel_now();
            }
        }
        // SAFETY: needs the task dropped before what F borrows. Holds: `Bound` drops the future in place when this function
        // returns or unwinds, and it cannot be forgotten, as it never leaves this frame. `&mut self` keeps the executor.
        // Checked: `run_may_borrow` in tests/tasks.rs.
        let task = unsafe { self.core.tasks.spawn(future) }.map_err(|error| match error {
            SpawnError::Full => RunError::Full,
            SpawnError::NoExecutor | SpawnError::Closed => RunError::Closed,
        })?;
        let mut root = Bound(JoinHandle::new(self.core.clone(), task));
        while !root.0.is_finished() {
            let turn = self.core.turn(&mut NoClient, Park::Thread, |_| root.0.is_finished());
            if let Some(errno) = turn.driver_error {
                return Err(RunError::Driver(errno));
            }
        }
        match root.0.try_join() {
            Some(Ok(output)) => Ok(output),
            Some(Err(JoinError::Panicked(payload))) => Err(RunError::Panicked(payload)),
            Some(Err(JoinError::Cancelled | JoinError::Closed)) | None => Err(RunError::Closed),
        }
    }

    /// Embedded host: one turn. Blocks only when `park` is [`Park::Thread`]. Without staged or running operations it makes
    /// no system call.
    pub fn turn(&mut self, client: &mut impl Client, park: Park) -> Turn {
        self.core.turn(client, park, |turn| turn.called || turn.panic.is_some())
    }

    /// Turns so far.
    pub fn turns(&self) -> u64 {
        self.core.counts.turns.get()
    }

    /// The driver and the wheel between turns, for calls that are not worth a command.
    pub fn edge<R>(&mut self, work: impl FnOnce(&mut Edge<'_>) -> R) -> Option<R> {
        self.core.edge(work)
    }

    /// Runs `work` with this executor as the thread's current one, so that `spawn`, `fs` and `net` work in it. What it
    /// starts makes progress in later turns.
    pub fn enter<R>(&mut self, work: impl FnOnce() -> R) -> R {
        let _entered = current::enter(&self.core);
        self.core.forget_now();
        work()
    }

    /// Which backend runs the operations.
    pub fn driver_kind(&self) -> DriverKind {
        self.core.driver.borrow().as_ref().map_or(DriverKind::Poll, Driver::kind)
    }

    /// The kernel features in use, as short names.
    pub fn features(&self) -> Vec<&'static str> {
        self.core.driver.borrow().as_ref().map_or_else(Vec::new, |driver| driver.features().to_vec())
    }

    /// Why io_uring was not chosen, or what was given up on the way, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.core.driver.borrow().as_ref().map_or_else(Vec::new, |driver| driver.notes().to_vec())
    }

    /// The descriptor a host loop watches for readability; call `turn` when it is readable. It stays the driver's.
    pub fn host_fd(&self) -> RawFd {
        self.core.driver.borrow().as_ref().map_or(-1, Driver::host_fd)
    }

    /// A way to wake this executor from other threads.
    pub fn waker(&self) -> ExecutorWaker {
        ExecutorWaker { handle: self.core.own_handle() }
    }

    /// This executor as other threads know it: where [`crate::submit_to`] sends work.
    pub fn remote(&self) -> Remote {
        self.core.remote()
    }

    /// This thread's preemption, made now if it was not: its word may be shown to others (JavaScript), who ask it as tasks do. `None` when
    /// [`Options::preempt`] is, or when the system had no room for it.
    pub fn preempt(&self) -> Option<&Preempt> {
        self.core.preempt()
    }

    /// The figures of its queues, the default one first.
    pub fn queue_stats(&self) -> Vec<QueueStats> {
        self.core.queue_stats()
    }

    /// How long its queues waited for their slices and how long those were, the default one first. One slice in eight is timed.
    /// Walks two histograms a queue, about 40 µs: for monitoring.
    pub fn queue_latencies(&self) -> Vec<QueueLatencies> {
        self.core.queue_latencies()
    }

    /// Counters; copied, no system call.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// What the watchdog looks at, for hosts that call [`Executor::turn`] themselves: they say when the thread is busy and when it
    /// parks. `None` without [`Options::stall`]. [`Executor::run`] does it itself.
    pub fn heart(&self) -> Option<&Arc<Heart>> {
        self.core.heart.get()
    }

    /// Begins to watch for stalls, as [`Options::stall`] does from the start; nothing when it is watched already. From its own thread.
    ///
    /// # Errors
    /// [`StartError::Option`] for a threshold out of range, [`StartError::Thread`] when the watchdog cannot start.
    pub fn watch_stalls(&mut self, options: &StallOptions) -> Result<(), StartError> {
        options.check()?;
        self.core.watch_stalls(options)
    }

    /// How long operations took, by kind, from the submit to their completion. One in 64 is timed, so that the others read no
    /// clock. Empty after [`Executor::shutdown`]; no system call.
    pub fn latencies(&self) -> Vec<Latency> {
        self.core.driver.borrow().as_ref().map(Driver::latencies).unwrap_or_default()
    }

    /// Drops all tasks, cancels all operations and drains them within `deadline` (INV-1). Sockets, files and join handles
    /// that are still held elsewhere stay valid; their operations fail. Dropping the executor does the same with one second.
    pub fn shutdown(self, deadline: Duration) -> ShutdownReport {
        self.core.shutdown(deadline)
    }
}

/// Which backend runs the operations of the current executor; `None` outside of one.
pub fn driver_kind() -> Option<DriverKind> {
    current::with(|core| core.and_then(|core| core.driver.try_borrow().ok()?.as_ref().map(Driver::kind)))
}

/// The kernel features that the current executor uses; empty outside of one.
pub fn driver_features() -> Vec<&'static str> {
    let features = current::with(|core| {
        core.and_then(|core| core.driver.try_borrow().ok()?.as_ref().map(|driver| driver.features().to_vec()))
    });
    features.unwrap_or_default()
}

/// Counters of the current executor; `None` outside of one.
pub fn stats() -> Option<Stats> {
    current::with(|core| core.filter(|core| core.driver.try_borrow().is_ok()).map(|core| core.stats()))
}

/// Why the current executor's driver is not io_uring, or what it gave up on the way; empty outside of one.
pub fn driver_notes() -> Vec<String> {
    let notes = current::with(|core| {
        core.and_then(|core| core.driver.try_borrow().ok()?.as_ref().map(|driver| driver.notes().to_vec()))
    });
    notes.unwrap_or_default()
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.core.shutdown(DROP_DEADLINE);
    }
}

impl Core {
    /// Does nothing the second time.
    fn shutdown(self: &Rc<Core>, deadline: Duration) -> ShutdownReport {
        let (tasks_dropped, panics) = self.tasks.close();
        drop(self.watch.take());
        self.close_ends();
        // Wakers of other threads are no-ops from here on.
        drop(self.registration.take());
        let calls = (self.calls.take(), self.inbox.close());
        for call in calls.0.into_iter().chain(calls.1) {
            self.tasks.guarded(|| drop(call)); // with it, what the caller's closure owns
        }
        let timers = std::mem::replace(&mut *self.timers.borrow_mut(), Timers::new(self.tasks.executor()));
        self.tasks.guarded(|| drop(timers)); // with it, foreign wakers
        self.run_deferred();
        let Some(driver) = self.driver.take() else { return ShutdownReport::default() };
        let mut report = ShutdownReport { tasks_dropped, panics, ..ShutdownReport::default() };
        // Operations own what users gave them, and its destructors may panic.
        self.tasks.guarded(|| report.driver = driver.shutdown(deadline));
        self.close_operations();
        self.wake_waiting_for_room(0); // to all: nothing is in flight any more
        report
    }

    fn stats(&self) -> Stats {
        let (stalls, longest_stall) = self.heart.get().map(|heart| heart.stalls()).unwrap_or_default();
        Stats {
            turns: self.counts.turns.get(),
            parks: self.counts.parks.get(),
            polls: self.tasks.polls.get(),
            spawned: self.tasks.spawned.get(),
            tasks: self.tasks.live.get(),
            panics: self.tasks.panics.get(),
            remote_wakes: self.counts.remote_wakes.get(),
            remote_scans: self.counts.remote_scans.get(),
            timers_fired: self.counts.timers_fired.get(),
            timers: self.timers.borrow().len() as u32,
            abandoned: self.operations.borrow().abandoned,
            task_bytes: self.tasks.bytes(),
            stalls,
            adaptive: self.gate.as_ref().map(|gate| gate.stats()),
            longest_stall,
            driver: self.driver.borrow().as_ref().map(Driver::stats).unwrap_or_default(),
        }
    }
}
