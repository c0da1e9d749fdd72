//! Histograms for lib/api: what operations took, and one that JavaScript fills, sixty-four times a call.
use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;
use ringwheel_executor::{BUCKETS, Distribution, Times};
use std::{cell::RefCell, time::Duration};

/// How many times were no longer.
#[napi(object)]
pub struct NativeBucket {
    pub le_us: f64,
    pub count: f64,
}

/// What a histogram tells, in microseconds.
#[napi(object)]
pub struct NativeDistribution {
    pub samples: f64,
    pub min_us: f64,
    pub mean_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub sum_us: f64,
    pub buckets: Vec<NativeBucket>,
}

/// Latencies of one kind of operation.
#[napi(object)]
pub struct NativeLatency {
    pub operation: String,
    pub took: NativeDistribution,
}

fn us(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

impl From<Distribution> for NativeDistribution {
    fn from(told: Distribution) -> NativeDistribution {
        let buckets = BUCKETS.iter().zip(told.buckets);
        NativeDistribution {
            samples: told.samples as f64,
            min_us: us(told.min),
            mean_us: us(told.mean),
            p50_us: us(told.p50),
            p90_us: us(told.p90),
            p99_us: us(told.p99),
            p999_us: us(told.p999),
            max_us: us(told.max),
            sum_us: us(told.sum),
            buckets: buckets
                .map(|(bound, count)| NativeBucket { le_us: us(*bound), count: count as f64 })
                .collect(),
        }
    }
}

/// A histogram of JavaScript's; collected with its last reference.
#[napi]
#[derive(Default)]
pub struct NativeTimes(RefCell<Times>);

#[napi]
impl NativeTimes {
    /// An empty one.
    #[napi(constructor)]
    pub fn new() -> NativeTimes {
        NativeTimes::default()
    }

    /// Adds the first `count` of some times in nanoseconds.
    #[napi]
    pub fn record(&self, nanoseconds: Float64Array, count: u32) {
        let mut times = self.0.borrow_mut();
        for time in nanoseconds.iter().take(count as usize) {
            times.record(*time as u64); // What is negative or no number counts as 0.
        }
    }

    /// What is known.
    #[napi]
    pub fn read(&self) -> NativeDistribution {
        self.0.borrow().distribution().into()
    }
}
