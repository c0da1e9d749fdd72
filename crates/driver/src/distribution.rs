//! Times that were measured, as a histogram of the hdrhistogram crate, and what is told of them.
use hdrhistogram::Histogram;
use std::time::Duration;

/// Nanoseconds told apart at the lower end, and the most that is told from longer: with two digits 12 KiB.
const SHORTEST: u64 = 64;
const LONGEST: u64 = 60_000_000_000;
const DIGITS: u8 = 2;

/// The upper ends of [`Distribution::buckets`]: 1, 2 and 5 times each power of ten from a microsecond to ten seconds.
pub const BUCKETS: [Duration; 22] = {
    let mut bounds = [Duration::ZERO; 22];
    let (mut index, mut decade) = (0, 1);
    while index < bounds.len() {
        bounds[index] = Duration::from_micros(decade * [1, 2, 5][index % 3]);
        if index % 3 == 2 {
            decade *= 10;
        }
        index += 1;
    }
    bounds
};

/// Times of one thing. Percentiles, the ends of buckets and the longest are exact to 1 %, or to 64 ns where that is more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// How many were measured; the others are 0 when this is.
    pub samples: u64,
    /// The shortest.
    pub min: Duration,
    /// The mean, exact.
    pub mean: Duration,
    /// Half were no longer.
    pub p50: Duration,
    /// 90 % were no longer.
    pub p90: Duration,
    /// 99 % were no longer.
    pub p99: Duration,
    /// 99.9 % were no longer.
    pub p999: Duration,
    /// The longest; a minute stands for everything above.
    pub max: Duration,
    /// All together, exact.
    pub sum: Duration,
    /// How many were no longer than each of [`BUCKETS`]: cumulative, as Prometheus has them. `samples` counts the longer ones too.
    pub buckets: [u64; BUCKETS.len()],
}

/// A histogram that takes its 12 KiB with the first time.
#[derive(Debug, Default)]
pub struct Times {
    histogram: Option<Box<Histogram<u32>>>,
    /// Nanoseconds.
    sum: u64,
}

impl Times {
    /// None yet.
    pub const fn new() -> Times {
        Times { histogram: None, sum: 0 }
    }

    /// Adds one, in nanoseconds.
    pub fn record(&mut self, nanoseconds: u64) {
        if self.histogram.is_none() {
            self.histogram = Histogram::new_with_bounds(SHORTEST, LONGEST, DIGITS).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(nanoseconds);
            self.sum = self.sum.saturating_add(nanoseconds.min(LONGEST));
        }
    }

    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        if let Some(histogram) = &mut self.histogram {
            histogram.reset();
            self.sum = 0;
        }
    }

    /// False until the first.
    pub fn any(&self) -> bool {
        self.histogram.as_ref().is_some_and(|histogram| !histogram.is_empty())
    }

    /// What is known. Walks the histogram: about 20 µs.
    pub fn distribution(&self) -> Distribution {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Distribution::default();
        };
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        Distribution {
            samples: histogram.len(),
            min: Duration::from_nanos(histogram.min()),
            mean: Duration::from_nanos(self.sum / histogram.len().max(1)),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(histogram.max()),
            sum: Duration::from_nanos(self.sum),
            buckets: buckets(histogram),
        }
    }
}

fn buckets(histogram: &Histogram<u32>) -> [u64; BUCKETS.len()] {
    let mut counts = [0; BUCKETS.len()];
    for step in histogram.iter_recorded() {
        let least = Duration::from_nanos(histogram.lowest_equivalent(step.value_iterated_to()));
        if let Some(index) = BUCKETS.iter().position(|bound| least <= *bound) {
            counts[index] += u64::from(step.count_at_value());
        }
    }
    for index in 1..counts.len() {
        counts[index] += counts[index - 1];
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_where_they_say() {
        assert_eq!(BUCKETS[0], Duration::from_micros(1));
        assert_eq!(BUCKETS[4], Duration::from_micros(20));
        assert_eq!(BUCKETS[21], Duration::from_secs(10));
        assert!(BUCKETS.is_sorted());
        let mut times = Times::new();
        assert_eq!(times.distribution(), Distribution::default());
        for bound in BUCKETS {
            times.record(bound.as_nanos() as u64);
        }
        times.record(3_600_000_000_000);
        let told = times.distribution();
        assert_eq!(told.buckets, std::array::from_fn(|index| index as u64 + 1));
        assert_eq!(told.samples, 23);
        assert!(told.max >= Duration::from_secs(59), "{told:?}");
    }

    #[test]
    fn percentiles_are_exact_to_a_hundredth() {
        let mut times = Times::new();
        for millis in 1..=10_000 {
            times.record(millis * 1_000_000);
        }
        let Distribution { samples, min, mean, p50, p90, p99, p999, max, sum, .. } = times.distribution();
        assert_eq!((samples, sum.as_millis()), (10_000, 50_005_000));
        let wanted = [1, 5_000, 5_000, 9_000, 9_900, 9_990, 10_000];
        for (told, millis) in [min, mean, p50, p90, p99, p999, max].into_iter().zip(wanted) {
            let ratio = told.as_secs_f64() / Duration::from_millis(millis).as_secs_f64();
            assert!((0.98..1.02).contains(&ratio), "{told:?} is not {millis} ms");
        }
        times.clear();
        assert!(!times.any());
        assert_eq!(times.distribution(), Distribution::default());
    }
}
