//! How long answers take: one request in 64 is timed, from its arrival to the moment the kernel has its answer's last byte.
//!
//! The histogram is Prometheus' kind: steps of 1, 2 and 5 from 1 µs to 10 s, written by one core and read by any thread.
use crate::stats::Counter;
use std::time::Duration;

/// Upper ends of the steps, microseconds.
const STEPS_US: [u64; 22] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
    500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// A core's histogram.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    steps: [Counter; STEPS_US.len()],
    longer: Counter,
    sum_ns: Counter,
}

impl Latency {
    /// Counts one answer. Only the owning core may call it.
    pub(crate) fn record(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let step = STEPS_US.partition_point(|upper| upper * 1000 < nanoseconds);
        self.steps.get(step).unwrap_or(&self.longer).add(1);
        self.sum_ns.add(nanoseconds);
    }

    /// A copy for readers.
    pub(crate) fn read(&self) -> LatencyStats {
        let mut samples = 0;
        let buckets = STEPS_US.iter().zip(&self.steps).map(|(upper, count)| {
            samples += count.get();
            (Duration::from_micros(*upper), samples)
        });
        let buckets = buckets.collect();
        LatencyStats {
            samples: samples + self.longer.get(),
            sum: Duration::from_nanos(self.sum_ns.get()),
            buckets,
        }
    }
}

/// How long answers took, of those that were timed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyStats {
    /// How many were timed: one in 64.
    pub samples: u64,
    /// All of them together.
    pub sum: Duration,
    /// Cumulative: how many took no longer than each upper end, from 1 µs to 10 s. `samples` counts the longer ones too.
    pub buckets: Vec<(Duration, u64)>,
}

impl LatencyStats {
    pub(crate) fn add(&mut self, other: &LatencyStats) {
        self.samples += other.samples;
        self.sum += other.sum;
        if self.buckets.is_empty() {
            self.buckets.clone_from(&other.buckets);
            return;
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            mine.1 += theirs.1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_in_its_step_and_all_above() {
        let latency = Latency::default();
        for took in [0, 1000, 1001, 7_000_000, u64::MAX] {
            latency.record(Duration::from_nanos(took));
        }
        let stats = latency.read();
        let count = |us| stats.buckets.iter().find(|step| step.0 == Duration::from_micros(us)).unwrap().1;
        assert_eq!(
            [1, 2, 5000, 10_000, 10_000_000].map(count),
            [2, 3, 3, 4, 4],
            "an upper end is part of its step"
        );
        assert_eq!(stats.samples, 5);
        let mut sum = LatencyStats::default();
        sum.add(&stats);
        sum.add(&stats);
        assert_eq!((sum.samples, sum.buckets[1].1), (10, 6));
    }
}
