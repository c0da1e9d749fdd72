//! Many sleeps at once: the same delays for everybody, and a check that none ended early.
use crate::{Random, Report, process_cpu_ns};
use std::time::{Duration, Instant};

/// The delays of `count` sleeps, 1 to 1000 ms.
pub fn sleep_plan(count: usize) -> SleepPlan {
    let mut random = Random::new(99);
    let delays = (0..count).map(|_| Duration::from_millis(1 + random.below(1000))).collect();
    SleepPlan { delays, cpu: process_cpu_ns(), started: Instant::now() }
}

/// What to sleep, and when it was begun.
#[derive(Debug)]
pub struct SleepPlan {
    /// One delay per task.
    pub delays: Vec<Duration>,
    cpu: u64,
    started: Instant,
}

impl SleepPlan {
    /// Called with how long each sleep really took: prints CPU per sleep and how late the latest percent was.
    ///
    /// # Panics
    /// When a sleep is missing or ended more than a clock's grain early: a wrong timer has no speed.
    pub fn finish(&self, took: &[Duration]) {
        let cpu = process_cpu_ns() - self.cpu;
        assert_eq!(took.len(), self.delays.len(), "every sleep ends once");
        let mut late: Vec<u32> = Vec::with_capacity(took.len());
        for (took, delay) in took.iter().zip(&self.delays) {
            assert!(*took + Duration::from_millis(1) > *delay, "a sleep of {delay:?} ended after {took:?}");
            late.push(u32::try_from(took.saturating_sub(*delay).as_micros()).unwrap_or(u32::MAX));
        }
        Report::default()
            .with("CPU", cpu as f64 / took.len() as f64)
            .with("late p99", crate::percentile(&mut late, 0.99))
            .with("wall", self.started.elapsed().as_secs_f64() * 1e3)
            .print();
    }
}
