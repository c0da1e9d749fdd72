//! A queue of jobs that have to be done by a time: their task queue gets as many shares as that takes, and no more.
//!
//! Every period the queue compares the speed it had with the speed it needs. Jobs run one after the other, so the one at place `i`
//! ends when all before it have: with `r` units left of each and `t` until each one's deadline, the queue needs
//! `v = max over i of (r₁ + … + rᵢ) / tᵢ`. It had `s` units per second in the last period. Shares become `shares × v / s`, at most
//! doubled and at most halved at once: the shares of others decide what a share is worth, so only the ratio is known.
use crate::{
    JoinHandle, QueueError, QueueOptions, Removal, TaskQueue, current, sync::Semaphore,
    task::queues::DEFAULT, time, try_spawn_into,
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

/// Shares that a queue of jobs begins with when it was idle.
const SHARES_FIRST: u32 = 100;
const SHARES_MAX: u32 = 1000;
/// How often shares are set.
const PERIOD: Duration = Duration::from_millis(50);

/// How far a job is. The job tells, the queue looks.
#[derive(Clone, Debug)]
pub struct Progress {
    job: Rc<Job>,
}

impl Progress {
    /// So many units more are done. More than the job has count as all of them.
    pub fn advance(&self, units: u64) {
        self.job.done.set(self.job.done.get().saturating_add(units).min(self.job.units));
    }

    /// Units that are done.
    pub fn done(&self) -> u64 {
        self.job.done.get()
    }

    /// Units that the job has.
    pub fn units(&self) -> u64 {
        self.job.units
    }

    /// Time until the deadline; zero once that has passed.
    pub fn left(&self) -> Duration {
        self.job.deadline.saturating_duration_since(Instant::now())
    }
}

#[derive(Debug)]
struct Job {
    deadline: Instant,
    units: u64,
    done: Cell<u64>,
}

#[derive(Debug)]
struct Inner {
    queue: TaskQueue,
    /// One job at a time, in the order of pushing.
    turn: Semaphore,
    jobs: RefCell<VecDeque<Rc<Job>>>,
    /// Units of jobs that are over, whether they told or not.
    past: Cell<u64>,
    shares: Cell<u32>,
    watched: Cell<bool>,
}

/// Jobs that run one after the other in a task queue of their own, whose shares follow their deadlines: they leave the core to others
/// while there is time, and take it when there is not. Nothing is promised where the core cannot do it: then the queue has 1000 shares,
/// and the deadline passes.
///
/// Jobs should reach [`crate::yield_if_needed`] or wait for something at least every millisecond, as in any queue. Shares are set
/// every 50 ms, by a task in the default queue that lives while there are jobs. What a job is made of is its own: bytes, rows, files.
///
/// Dropping it removes the task queue, whose jobs still run to their ends.
///
/// ```
/// use ringwheel_executor::{Executor, sync::DeadlineQueue, yield_if_needed};
/// use std::time::Duration;
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let compactions = DeadlineQueue::new("compactions")?;
///     let sum = compactions.push(Duration::from_secs(1), 1000, |progress| async move {
///         let mut sum = 0;
///         for row in 0..1000_u64 {
///             sum += row;
///             progress.advance(1);
///             yield_if_needed().await;
///         }
///         sum
///     })?;
///     assert_eq!(sum.await?, 499_500);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DeadlineQueue {
    inner: Rc<Inner>,
}

impl DeadlineQueue {
    /// Makes one, with a task queue of that name, in the executor that runs on this thread.
    ///
    /// # Errors
    /// [`QueueError::Spawn`] outside of an executor, [`QueueError::TooMany`] beyond 64 task queues.
    pub fn new(name: &str) -> Result<DeadlineQueue, QueueError> {
        let options = QueueOptions { name: name.to_owned(), shares: SHARES_FIRST, ..Default::default() };
        let inner = Inner {
            queue: TaskQueue::new(options)?,
            turn: Semaphore::new(1),
            jobs: RefCell::default(),
            past: Cell::new(0),
            shares: Cell::new(SHARES_FIRST),
            watched: Cell::new(false),
        };
        Ok(DeadlineQueue { inner: Rc::new(inner) })
    }

    /// Adds a job of `units` that is to be done in `within` from now: after the jobs before it, whatever their deadlines.
    ///
    /// `work` gets a [`Progress`] to tell how far it is; it is called when the job's turn has come. A panic in it, or cancelling it,
    /// ends that job alone. A job that ends early counts as done.
    ///
    /// # Errors
    /// [`QueueError::Elsewhere`] when the executor is not the one that runs here, [`QueueError::Removed`] when the task queue was
    /// removed, [`QueueError::Spawn`] when the executor is full or shuts down. The job is not taken then.
    pub fn push<F, W>(
        &self,
        within: Duration,
        units: u64,
        work: W,
    ) -> Result<JoinHandle<F::Output>, QueueError>
    where
        F: Future + 'static,
        W: FnOnce(Progress) -> F + 'static,
    {
        let now = Instant::now();
        let deadline = now.checked_add(within).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()));
        let job = Rc::new(Job { deadline, units, done: Cell::new(0) });
        let inner = &self.inner;
        inner.watch()?; // It looks for jobs only later.
        let entry = Entry { inner: inner.clone(), job: job.clone() };
        let handle = try_spawn_into(inner.queue, async move {
            let entry = entry; // Taken off the list however the task ends.
            let turn = entry.inner.turn.acquire(1).await;
            let result = work(Progress { job: entry.job.clone() }).await;
            drop(entry);
            drop(turn);
            result
        })?;
        inner.jobs.borrow_mut().push_back(job);
        Ok(handle)
    }

    /// Jobs that wait or run.
    pub fn len(&self) -> usize {
        self.inner.jobs.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The task queue that the jobs run in: for its statistics and its latency class. Its shares are set anew every 50 ms.
    pub fn task_queue(&self) -> TaskQueue {
        self.inner.queue
    }
}

impl Drop for DeadlineQueue {
    fn drop(&mut self) {
        // Without its executor there is nothing to remove.
        let _ = self.inner.queue.remove(Removal::Drain);
    }
}

/// A job's place in the list, for as long as its task lives.
struct Entry {
    inner: Rc<Inner>,
    job: Rc<Job>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut jobs = self.inner.jobs.borrow_mut();
        if let Some(place) = jobs.iter().position(|job| Rc::ptr_eq(job, &self.job)) {
            jobs.remove(place);
            self.inner.past.set(self.inner.past.get().wrapping_add(self.job.units));
        }
    }
}

impl Inner {
    /// Starts the task that sets the shares, unless there is one.
    fn watch(self: &Rc<Self>) -> Result<(), QueueError> {
        self.queue.set_shares(self.shares.get())?; // It is there, and this is its executor.
        if self.watched.replace(true) {
            return Ok(());
        }
        let inner = self.clone();
        let watching = async move {
            inner.set_shares(SHARES_FIRST);
            let mut before = (Instant::now(), inner.total());
            while !inner.jobs.borrow().is_empty() {
                time::sleep(PERIOD).await;
                let now = (Instant::now(), inner.total());
                let seconds = now.0.duration_since(before.0).as_secs_f64();
                let speed = now.1.wrapping_sub(before.1) as f64 / seconds;
                inner.set_shares(next_shares(inner.shares.get(), speed, inner.wanted(now.0)));
                before = now;
            }
            inner.watched.set(false);
        };
        let default = current::get()?.queue_handle(DEFAULT);
        let spawned = try_spawn_into(default, watching);
        self.watched.set(spawned.is_ok());
        spawned.map(drop)
    }

    /// Once the queue is being removed its shares stay as they are.
    fn set_shares(&self, shares: u32) {
        self.shares.set(shares);
        let _ = self.queue.set_shares(shares);
    }

    /// Units done ever; of jobs that are over, all.
    fn total(&self) -> u64 {
        self.jobs.borrow().iter().fold(self.past.get(), |sum, job| sum.wrapping_add(job.done.get()))
    }

    /// The speed that all deadlines need, units a second; infinite once one has passed.
    fn wanted(&self, now: Instant) -> f64 {
        let mut left = 0.0;
        let speed = |job: &Rc<Job>| {
            left += (job.units - job.done.get()) as f64;
            left / job.deadline.saturating_duration_since(now).as_secs_f64()
        };
        // Nothing left of a job whose time is over is 0 / 0, which `max` leaves out.
        self.jobs.borrow().iter().map(speed).fold(0.0, f64::max)
    }
}

/// See the file's head.
fn next_shares(shares: u32, speed: f64, wanted: f64) -> u32 {
    let ratio = if wanted == 0.0 { 0.5 } else { (wanted / speed).clamp(0.5, 2.0) };
    ((f64::from(shares) * ratio).round() as u32).clamp(1, SHARES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_ratio_of_the_speeds_within_their_bounds() {
        assert_eq!(next_shares(100, 10.0, 10.0), 100);
        assert_eq!(next_shares(100, 10.0, 15.0), 150);
        assert_eq!(next_shares(100, 10.0, 9.0), 90);
        assert_eq!(next_shares(100, 10.0, 1000.0), 200, "at most doubled");
        assert_eq!(next_shares(100, 10.0, 1.0), 50, "at most halved");
        assert_eq!(next_shares(100, 0.0, 1.0), 200, "stood still");
        assert_eq!(next_shares(100, 0.0, 0.0), 50, "nothing is wanted");
        assert_eq!(next_shares(100, 10.0, f64::INFINITY), 200, "too late");
        assert_eq!(next_shares(700, 0.0, f64::INFINITY), 1000);
        assert_eq!(next_shares(1, 10.0, 0.1), 1);
    }

    /// Two rivals on one core, whose speed is their part of it: the job is done in time, and not by taking all.
    #[test]
    fn a_simulated_core_meets_the_deadline_with_little_to_spare() {
        const CORE: f64 = 1000.0; // Units a second.
        const RIVAL: f64 = 500.0; // Shares.
        for (units, within) in [(100.0, 2.0), (900.0, 2.0), (1150.0, 2.0), (100.0, 0.5)] {
            let (mut shares, mut left, mut at) = (SHARES_FIRST, units, 0.0);
            let mut most = shares;
            while left > 0.0 {
                let speed = CORE * f64::from(shares) / (f64::from(shares) + RIVAL);
                left -= speed * PERIOD.as_secs_f64();
                at += PERIOD.as_secs_f64();
                shares = next_shares(shares, speed, left.max(0.0) / (within - at).max(0.0));
                most = most.max(shares);
                assert!(
                    at < within + 2.0 * PERIOD.as_secs_f64(),
                    "{units} units within {within} s: {left} left at {at}"
                );
            }
            assert!(
                units > 1000.0 || most < SHARES_MAX,
                "{units} units within {within} s took {most} shares"
            );
        }
    }
}
