//! The words of task queues: whether JavaScript has work that is ready, whose slice runs, and how long it took.
//!
//! Which queue is next, and what its slice resumes, JavaScript decides (lib/ring/scheduler.ts): the ready lists are there. Rust
//! makes the slices, since only a call from outside of JavaScript runs microtasks as it returns, and reads the clock.
use ringwheel_command::{
    Memory, Region,
    layout::{QUEUE_CURRENT_WORD, QUEUE_READY_WORD, QUEUE_TURN_WORD, SLICE_ELAPSED_WORD, SLICE_START_WORD},
};
use std::time::Duration;

/// Bounds of what JavaScript may say about the time that queues hold the loop in one turn (INV-5).
const TURN_MIN: Duration = Duration::from_micros(10);
const TURN_MAX: Duration = Duration::from_secs(1);

/// See the file's head.
#[derive(Debug)]
pub struct Slices {
    region: Region,
}

impl Slices {
    pub(super) fn new(region: Region) -> Slices {
        Slices { region }
    }

    /// Queues that have work, if that is true.
    pub fn queues(&self) -> u32 {
        self.region.load_index(QUEUE_READY_WORD)
    }

    /// How long queues may hold the loop in one turn.
    pub fn turn(&self) -> Duration {
        let micros = self.region.load_index(QUEUE_TURN_WORD);
        Duration::from_micros(u64::from(micros)).clamp(TURN_MIN, TURN_MAX)
    }

    /// A slice begins: nanoseconds of CLOCK_MONOTONIC.
    pub fn begin(&self, now_ns: u64) {
        self.region.write(SLICE_START_WORD, [(now_ns as f64).to_bits()]);
    }

    /// It ended, its microtasks included: what runs next is no queue's.
    pub fn end(&self, elapsed_ns: u64) {
        self.region.store_index(QUEUE_CURRENT_WORD, 0);
        self.region.write(SLICE_ELAPSED_WORD, [(elapsed_ns as f64).to_bits()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwheel_command::Geometry;

    #[test]
    fn what_javascript_says_about_a_turn_is_bounded() {
        let region = Region::owned(Geometry::new(1, 1));
        let slices = Slices::new(region.clone());
        for (said, meant) in [(0, TURN_MIN), (500, Duration::from_micros(500)), (u32::MAX, TURN_MAX)] {
            region.store_index(QUEUE_TURN_WORD, said);
            assert_eq!(slices.turn(), meant);
        }
    }

    #[test]
    fn after_a_slice_no_queue_is_current() {
        let region = Region::owned(Geometry::new(1, 1));
        let slices = Slices::new(region.clone());
        slices.begin(1_000);
        region.store_index(QUEUE_CURRENT_WORD, 7);
        slices.end(250);
        assert_eq!(region.load_index(QUEUE_CURRENT_WORD), 0);
        assert_eq!(region.read::<1>(SLICE_ELAPSED_WORD), [250f64.to_bits()]);
        assert_eq!(region.read::<1>(SLICE_START_WORD), [1_000f64.to_bits()]);
    }
}
