//! Spawning, joining and yielding: the counts are the same for everybody, and every result is added up and checked.
use crate::{Report, process_cpu_ns};
use std::{
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
    cpu: u64,
    started: Instant,
}

impl TaskRun {
    /// Begins now.
    pub fn begin() -> TaskRun {
        TaskRun { cpu: process_cpu_ns(), started: Instant::now() }
    }

    /// Prints the cost of a task, spawned and joined. `sum` adds up what the tasks gave: the numbers 0 to 999, once a batch.
    ///
    /// # Panics
    /// When a task's result was lost.
    pub fn spawned(self, batches: u64, sum: u64) {
        assert_eq!(sum, batches * (BATCH * (BATCH - 1) / 2), "every task's result is joined once");
        self.print("spawn and join", batches * BATCH);
    }

    /// Prints the cost of a yield. `sum` adds up how often each task had yielded.
    ///
    /// # Panics
    /// When a task did not yield as often as it was to.
    pub fn yielded(self, count: u64, sum: u64) {
        assert_eq!(sum, count, "every task yields to its end");
        self.print("yield", count);
    }

    fn print(self, metric: &'static str, count: u64) {
        let wall = self.started.elapsed().as_nanos() as f64;
        let cpu = (process_cpu_ns() - self.cpu) as f64;
        Report::default().with(metric, wall / count as f64).with("CPU", cpu / count as f64).print();
    }
}

/// Tasks and yields per task that make about `count` yields: a hundred tasks take turns.
pub fn yields(count: usize) -> (u64, u64) {
    (100, (count as u64 / 100).max(1))
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
