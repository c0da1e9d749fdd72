//! The depth: how much work may be with the disk, found by comparing neighbours.
//!
//! In words: as little as still gets the most. More only waits inside the disk, where nobody can overtake it; less leaves parts
//! of the disk idle. Neither can be known, so they are tried. Time is cut into windows of at least `WINDOW` completions; the depth
//! `W` is tried in a cycle of three *arms*, `W`, `W·P` and `W/P`, after each of which `X` is the work done by a nanosecond:
//!
//! ```text
//!   P = 1.5                                    how far the neighbours are
//!   X(W·P) > (1 + θ) · X(W)      →  W := W·P      the disk had more to give
//!   X(W/P) > (1 − θ) · X(W)      →  W := W/P      the last third of the depth only waited
//!   otherwise                    →  W stays       θ = 0.02
//! ```
//!
//! Trying costs what the smaller neighbour loses. So a depth that stayed is left alone for 1, 3, 7, … up to `REST` windows, and
//! all begins again when it moves, or when `X(W)` changes by an eighth: the disk, or what is asked of it, is another.
//!
//! The two moves exclude each other on any disk whose `X` is concave in `W`, as all closed systems' is: when going up pays more than θ,
//! so has coming up from below. Where `X = Xmax · W / (W + K)` it stops between 94 and 97 % of `Xmax`; where `X` has a
//! knee, within a factor of P of it. What is sent in one window and ends in the next belongs to neither: each
//! window begins with a pause as long as the depth takes to turn over. Windows in which nobody waited say nothing about the depth and are dropped.

/// Completions of a window, at least.
const WINDOW: u32 = 2048;
/// Nanoseconds of a window, at least: an eighth of a second holds many of a disk's own pauses.
const WINDOW_NS: u64 = 20_000_000;
/// The neighbours of a depth are these fractions of it.
const UP: (u64, u64) = (3, 2);
const DOWN: (u64, u64) = (2, 3);
/// θ, in thousandths.
const THETA: u64 = 20;
/// Windows between two trials of a depth that stays, at most.
const REST: u32 = 31;
/// Bounds of the depth in work: two small reads; as much as any disk's own queue holds.
const LEAST: u64 = 16 << 10;
const MOST: u64 = 64 << 20;

/// Which neighbour is being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The depth itself.
    Here,
    /// Half as much again.
    Up,
    /// A third less.
    Down,
}

/// The controller of the depth.
#[derive(Debug)]
pub struct Depth {
    depth: u64,
    arm: Arm,
    /// Work a second that each arm did last.
    rates: [u64; 3],
    /// Windows that the depth is left alone for: all, and those still to come.
    rest: (u32, u32),
    /// Work still to end before the window counts.
    pause: u64,
    started: Option<u64>,
    done: u64,
    completions: u32,
    /// Completions that left nobody waiting.
    idle: u32,
}

impl Depth {
    /// Begins with `depth` bytes of work.
    pub fn new(depth: u64) -> Depth {
        Depth {
            depth: depth.clamp(LEAST, MOST),
            arm: Arm::Here,
            rates: [0; 3],
            rest: (0, 0),
            pause: 0,
            started: None,
            done: 0,
            completions: 0,
            idle: 0,
        }
    }

    /// Work that may be with the disk now.
    pub fn limit(&self) -> u64 {
        let (times, by) = match self.arm {
            Arm::Here => (1, 1),
            Arm::Up => UP,
            Arm::Down => DOWN,
        };
        (self.depth * times / by).clamp(LEAST, MOST)
    }

    /// The depth itself, without what is being tried.
    pub fn depth(&self) -> u64 {
        self.depth
    }

    /// `work` ended at `now` nanoseconds; `waiting` says whether more was waiting for room.
    pub fn completed(&mut self, work: u64, now: u64, waiting: bool) {
        if self.pause > 0 {
            self.pause = self.pause.saturating_sub(work);
            return;
        }
        let Some(started) = self.started else {
            self.started = Some(now);
            return;
        };
        self.done += work;
        self.completions += 1;
        self.idle += u32::from(!waiting);
        let elapsed = now.saturating_sub(started);
        if self.completions < WINDOW || elapsed < WINDOW_NS {
            return;
        }
        if self.idle * 8 < self.completions {
            self.next(rate(self.done, elapsed));
        }
        (self.started, self.done, self.completions, self.idle) = (None, 0, 0, 0);
        self.pause = self.limit();
    }

    fn next(&mut self, rate: u64) {
        let before = std::mem::replace(&mut self.rates[self.arm as usize], rate);
        self.arm = match self.arm {
            Arm::Here if self.rest.1 > 0 => {
                self.rest.1 -= 1;
                if rate.abs_diff(before) > before / 8 {
                    self.rest = (0, 0);
                }
                Arm::Here
            }
            Arm::Here => Arm::Up,
            Arm::Up => Arm::Down,
            Arm::Down => {
                self.decide();
                Arm::Here
            }
        };
    }

    fn decide(&mut self) {
        let [here, up, down] = self.rates;
        let before = self.depth;
        if up * 1000 > here * (1000 + THETA) {
            self.depth = self.depth * UP.0 / UP.1;
        } else if down * 1000 > here * (1000 - THETA) {
            self.depth = self.depth * DOWN.0 / DOWN.1;
        }
        self.depth = self.depth.clamp(LEAST, MOST);
        let rest = if self.depth == before { (self.rest.0 * 2 + 1).min(REST) } else { 0 };
        self.rest = (rest, rest);
    }
}

/// Work a second.
fn rate(work: u64, nanoseconds: u64) -> u64 {
    let rate = u128::from(work) * 1_000_000_000 / u128::from(nanoseconds.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX).min(u64::MAX / 2000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATION: u64 = 8192;

    /// A disk that does `of(depth)` work a second, for as many cycles; the depth it ends with.
    fn settle(first: u64, cycles: u32, waiting: bool, of: impl Fn(f64) -> f64) -> u64 {
        let mut depth = Depth::new(first);
        let mut now = 0.0;
        for _ in 0..u64::from(cycles) * 3 * (u64::from(WINDOW) + MOST / OPERATION) {
            now += OPERATION as f64 / of(depth.limit() as f64) * 1e9;
            depth.completed(OPERATION, now as u64, waiting);
        }
        depth.depth()
    }

    #[test]
    fn a_disk_with_a_knee_is_given_what_it_can_do_and_little_more() {
        let knee = 400_000.0;
        for first in [LEAST, 1 << 18, MOST] {
            let depth = settle(first, 40, true, |limit| limit.min(knee) * 5_000.0) as f64;
            assert!(depth >= knee / 1.5 && depth <= knee * 1.6, "{first}: {depth}");
        }
    }

    #[test]
    fn a_disk_that_always_gives_a_little_more_is_left_at_most_of_its_best() {
        let half = 100_000.0;
        for first in [LEAST, 1 << 22] {
            let depth = settle(first, 60, true, |limit| 2e9 * limit / (limit + half)) as f64;
            let share = depth / (depth + half);
            assert!((0.93..0.985).contains(&share), "{first}: {depth}, {share}");
        }
    }

    #[test]
    fn nothing_is_learnt_while_nobody_waits() {
        assert_eq!(settle(1 << 20, 10, false, |_| 1e9), 1 << 20);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
        #[test]
        fn it_stays_within_its_bounds_whatever_it_is_told(
            told in proptest::collection::vec((0..u64::MAX / 4, 0..u64::MAX, proptest::bool::ANY), 0..10_000)
        ) {
            let mut depth = Depth::new(1 << 20);
            for (work, now, waiting) in told {
                depth.completed(work % (1 << 40), now, waiting);
                proptest::prop_assert!((LEAST..=MOST).contains(&depth.limit()));
                proptest::prop_assert!((LEAST..=MOST).contains(&depth.depth()));
            }
        }
    }
}
