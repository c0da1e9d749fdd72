//! Spawning, joining and yielding: the counts are the same for everybody, and every result is added up and checked.
use crate::{Report, Ticks, percentile, process_cpu_ns};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    task::Poll,
    time::Instant,
};

/// Tasks that live at once in the spawn benchmark.
pub const BATCH: u64 = 1000;

/// How many batches make `count` tasks; at least one.
pub fn spawn_batches(count: usize) -> u64 {
    (count as u64 / BATCH).max(1)
}

/// A run that was begun.
#[derive(Debug)]
pub struct TaskRun {
    ticks: Ticks,
    cpu: u64,
    started: Instant,
    lap: u64,
    laps: Vec<u32>,
}

impl TaskRun {
    /// Begins now. `laps` is how many there will be.
    pub fn begin(laps: u64) -> TaskRun {
        let ticks = Ticks::calibrated();
        let laps = Vec::with_capacity(laps as usize);
        TaskRun { cpu: process_cpu_ns(), started: Instant::now(), lap: ticks.now(), ticks, laps }
    }

    /// Takes the time of a batch, or of a round of yields.
    #[inline]
    pub fn lap(&mut self) {
        self.laps.push(self.ticks.nanoseconds_since(self.lap) as u32);
        self.lap = self.ticks.now();
    }

    /// Prints the cost of a task, spawned and joined. `sum` adds up what the tasks gave: the numbers 0 to 999, once a batch.
    ///
    /// # Panics
    /// When a task's result was lost.
    pub fn spawned(self, sum: u64) {
        let batches = self.laps.len() as u64;
        assert_eq!(sum, batches * (BATCH * (BATCH - 1) / 2), "every task's result is joined once");
        self.print("spawn and join", batches * BATCH, BATCH);
    }

    fn print(mut self, metric: &'static str, count: u64, per_lap: u64) {
        let wall = self.started.elapsed().as_nanos() as f64;
        let cpu = (process_cpu_ns() - self.cpu) as f64;
        Report::default()
            .with(metric, wall / count as f64)
            .with("p99", percentile(&mut self.laps, 0.99) / per_lap as f64)
            .with("CPU", cpu / count as f64)
            .print();
    }
}

/// Ends what [`begin_yields`] began: prints the cost of a yield among `tasks`. `sum` adds up how often each had yielded.
///
/// # Panics
/// When a task did not yield as often as it was to.
pub fn end_yields(tasks: u64, times: u64, sum: u64) {
    assert_eq!(sum, tasks * times, "every task yields to its end");
    if let Some(run) = RUN.take() {
        run.print("yield", sum, tasks);
    }
}

/// Tasks and yields per task that make about `count` yields: a hundred tasks take turns.
pub fn yields(count: usize) -> (u64, u64) {
    (100, (count as u64 / 100).max(1))
}

thread_local! {
    static YIELDS: Cell<u64> = const { Cell::new(0) };
    static RUN: RefCell<Option<TaskRun>> = const { RefCell::new(None) };
}

/// Yields `times`, and returns that. Whoever makes a yield of which the count of all is a multiple of `tasks` takes the time:
/// in turns that is once a round, and a runtime that does not keep turns is measured the same way.
pub async fn yield_times(tasks: u64, times: u64) -> u64 {
    for _ in 0..times {
        yield_once().await;
        let count = YIELDS.get() + 1;
        YIELDS.set(count);
        if count.is_multiple_of(tasks) {
            RUN.with_borrow_mut(|run| run.as_mut().map(TaskRun::lap));
        }
    }
    times
}

/// Begins to take the time of [`yield_times`] on this thread.
pub fn begin_yields(laps: u64) {
    RUN.set(Some(TaskRun::begin(laps)));
}

/// Lets the other tasks run once. The same future for every runtime: what is measured is how it wakes and queues again.
pub fn yield_once() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}
