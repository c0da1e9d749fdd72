//! How long a queue waited and how long its slices were: one time in eight, so that most wakes read no clock.
//!
//! A queue is ready from the moment that its first task is put into its list, or that a slice ends which leaves tasks over.
//! From then to its next slice it waits. What is timed is chosen as it becomes ready, both its wait and its slice, and at random
//! within bounds, since a fixed step would meet the same one of queues that take turns.
use ringwheel_driver::{Distribution, Times};
use std::cell::{Cell, RefCell};

/// From one that is timed to the next: this many to three times as many, 8 on average.
const STEP_MIN: u32 = 4;

/// See the file's head. Times in nanoseconds of `now_ns`'s clock.
#[derive(Default)]
pub(crate) struct QueueTimes {
    /// Ready since then, if that is timed; else 0.
    since: Cell<u64>,
    /// Times to leave out.
    left: Cell<u32>,
    random: Cell<u32>,
    wait: RefCell<Times>,
    slice: RefCell<Times>,
}

impl QueueTimes {
    /// The queue has something to run from now on.
    #[inline]
    pub(super) fn ready(&self, now: impl FnOnce() -> u64) {
        // It was ready before, and its tasks were taken away: the wait begins anew.
        let again = self.since.get() != 0;
        if again || self.left.get() == 0 {
            self.choose(now());
        } else {
            self.left.set(self.left.get() - 1);
        }
    }

    fn choose(&self, now: u64) {
        // Marsaglia's xorshift, as for operations: never 0 from a seed that is not.
        let mut random = self.random.get().max(0x9e37);
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.random.set(random);
        self.left.set(STEP_MIN - 1 + random % (2 * STEP_MIN + 1));
        self.since.set(now.max(1));
    }

    /// Its slice begins. True when that is to be timed too.
    #[inline]
    pub(super) fn begin(&self, now: u64) -> bool {
        let since = self.since.replace(0);
        if since != 0 {
            self.wait.borrow_mut().record(now.saturating_sub(since));
        }
        since != 0
    }

    /// The slice that was to be timed took so long.
    pub(super) fn end(&self, took: u64) {
        self.slice.borrow_mut().record(took);
    }

    /// Another queue has the place now.
    pub(super) fn clear(&self) {
        self.since.set(0);
        self.left.set(0);
        self.wait.borrow_mut().clear();
        self.slice.borrow_mut().clear();
    }

    /// Waits and slices.
    pub(crate) fn distributions(&self) -> (Distribution, Distribution) {
        (self.wait.borrow().distribution(), self.slice.borrow().distribution())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_eight_is_timed_both_its_wait_and_its_slice() {
        let times = QueueTimes::default();
        let mut clocks = 0;
        for _ in 0..8000 {
            times.ready(|| {
                clocks += 1;
                1000
            });
            if times.begin(1000 + 7_000) {
                times.end(300_000);
            }
        }
        assert!((900..1100).contains(&clocks), "{clocks} looks at the clock");
        let (wait, slice) = times.distributions();
        assert_eq!((wait.samples, slice.samples), (clocks, clocks));
        assert_eq!(wait.p50.as_micros(), 7);
        assert!((298..303).contains(&slice.p50.as_micros()), "{slice:?}");
    }

    #[test]
    fn a_queue_that_lost_its_tasks_waits_anew() {
        let times = QueueTimes::default();
        times.ready(|| 1000);
        times.ready(|| 900_000);
        assert!(times.begin(901_000));
        assert_eq!(times.distributions().0.max.as_micros(), 1);
        assert!(!times.begin(902_000), "it was not ready");
        times.ready(|| unreachable!("the second is not timed"));
        times.clear();
        assert_eq!(times.distributions(), Default::default());
        times.ready(|| 5);
        assert!(times.begin(6), "the first of the next queue is timed");
    }
}
