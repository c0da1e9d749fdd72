//! What every native contender measures with, ours and the peers': the same clock, the same random numbers, the same loops.
mod clock;
mod contender;
mod echo;
mod lives;
mod reads;
mod report;
mod sleeps;
mod tasks;
mod timers;
mod wakes;

pub use clock::{Ticks, process_cpu_ns};
pub use echo::{ECHO_BYTES, echo_listener, said};
pub use lives::lives;
pub use reads::{BLOCK, Block, ReadRun, Reader, direct_flag};
pub use report::{Report, percentile, set_driver};
pub use sleeps::{SleepPlan, sleep_plan};
pub use tasks::{BATCH, TaskRun, begin_yields, end_yields, spawn_batches, yield_once, yield_times, yields};
pub use timers::{Structure, insert_and_cancel_futures, insert_and_cancel_structure};
pub use wakes::{Cross, cross_threads, local_side};

/// A xorshift generator: the same sequence for every contender.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for `seed`, any number.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`, which is at least 1.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// The numbers `0..count` in a random order that is the same in every run.
pub fn shuffled(count: usize) -> Vec<usize> {
    let mut random = Random::new(7);
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, random.below(last as u64 + 1) as usize);
    }
    order
}

/// The argument at `at`, of which the first is 1.
pub fn argument(at: usize) -> Option<String> {
    std::env::args().nth(at)
}

/// The first and second argument: what to measure, and how many.
pub fn arguments(default_count: usize) -> (String, usize) {
    let count = argument(2).and_then(|text| text.parse().ok()).unwrap_or(default_count);
    (argument(1).unwrap_or_default(), count)
}
