//! Insert, cancel, re-arm, expire: the quad wheel of plain keys over the slab of timers.
use crate::{
    occupancy::Occupancy,
    slab::{Slab, Timer, TimerKey, WheelKey},
};
use hierarchical_hash_wheel_timer::{TimerError, wheels::quad_wheel::QuadWheelWithOverflow};
use std::{collections::VecDeque, fmt, time::Duration};

/// Stale keys below this never cause a rebuild: 48 KiB of keys cost less than four new levels.
const STALE_MIN: usize = 4096;
/// Keys looked at by one call of [`Wheel::expire`], whether they fire or not: about 0.3 ms.
const KEYS_PER_TURN: usize = 16_384;
/// Where the last slot of level 3 starts. The wheel takes a new base before it gets there, so its own time never wraps:
/// the crate puts a delay within 256 ticks of 2^32 into level 0, 49 days early (see the test of that name).
const LAST_SLOT: u32 = 0xff00_0000;
/// A queue of ready keys that is longer than this gives its memory back when it is empty.
const READY_KEPT: usize = 4096;

/// Timers with values of type `T`. Belongs to one thread. See the [crate] for what it promises.
pub struct Wheel<T> {
    slab: Slab<T>,
    placement: Placement,
    /// Keys in the wheel or ready whose timer has ended or was placed again.
    stale: usize,
}

/// Where keys are: in a slot of a level, or ready.
struct Placement {
    wheel: QuadWheelWithOverflow<WheelKey>,
    levels: [Occupancy; 4],
    /// Keys that came up: they fire, are placed more finely, or are stale.
    ready: VecDeque<WheelKey>,
    /// The tick at which the crate's wheel stood at 0.
    base: u64,
    /// Ticks since `base`: what the crate's wheel stands at. Below [`LAST_SLOT`].
    passed: u32,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel that stands at tick `now`. Allocates 25 KiB.
    #[must_use]
    pub fn new(now: u64) -> Wheel<T> {
        Wheel { slab: Slab::new(), placement: Placement::new(now), stale: 0 }
    }

    /// Timers that have neither fired nor been cancelled.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slab.len()
    }
    /// True when there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The tick at which the wheel stands: that of the last `expire` that left nothing over, or an earlier one.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.placement.now()
    }
    /// Bytes in use, near enough for statistics: timers by what is allocated, keys by their number. Cost: one step per 1024 timers.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        // A key with its rest takes 12 bytes in a slot of the crate; slots grow by doubling, so up to twice that.
        let keys = (self.len() + self.stale) * 12 + self.placement.ready.capacity() * size_of::<WheelKey>();
        let slots = 4 * 256 * size_of::<Option<Vec<WheelKey>>>();
        self.slab.memory_bytes() + keys + slots + size_of::<Self>()
    }

    /// Sets a timer: `value` is handed to `expire`'s sink once `now` has reached `deadline`. O(1).
    ///
    /// Panics above 2^32 timers, which would take 128 GiB.
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let (key, timer) = self.slab.insert(deadline, value);
        self.placement.place(key.to_bits() as u32, timer);
        key
    }

    /// Takes a timer back. `None` when it has fired or was cancelled. O(1), amortized over the rebuilds.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.slab.get_mut(key)?;
        let value = self.slab.remove(key.to_bits() as u32);
        self.add_stale();
        value
    }

    /// Changes a timer's deadline, in either direction. False when it has fired or was cancelled. O(1); to a later deadline
    /// it is one store, and the wheel looks at the timer once more at the old one.
    #[inline]
    pub fn rearm(&mut self, key: TimerKey, deadline: u64) -> bool {
        let Some(timer) = self.slab.get_mut(key) else { return false };
        timer.deadline = deadline;
        if self.placement.comes_up_in_time(timer) {
            return true;
        }
        if timer.stamp == u32::MAX {
            // Numbers are used up: everything is placed anew, under the stamps there are.
            self.rebuild(self.placement.now());
            return true;
        }
        timer.stamp += 1;
        self.placement.place(key.to_bits() as u32, timer);
        self.add_stale();
        true
    }

    /// The tick to wake at: the earliest deadline, or an earlier tick when the timer that had it was cancelled or re-armed.
    /// At or before `now` when the last call of `expire` left something over. `None` when there is no timer. Cost: a few loads.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        self.placement.next_deadline()
    }

    /// Moves the wheel to `now` and hands the values of at most `max` timers whose deadline has come to `sink`, in the order
    /// of deadlines. Returns how many. Stops early, with the rest kept in order for the next call, after `max` timers or
    /// 16,384 keys; then [`Wheel::next_deadline`] is not after `now`. A `now` before the last one changes nothing.
    ///
    /// Cost: O(timers fired + slots passed that hold keys); empty time is skipped at once, however long.
    pub fn expire(&mut self, now: u64, max: usize, mut sink: impl FnMut(T)) -> usize {
        let mut fired = 0;
        let mut keys_left = KEYS_PER_TURN;
        loop {
            while let Some(key) = self.placement.ready.front().copied() {
                if keys_left == 0 {
                    return fired;
                }
                keys_left -= 1;
                let Some(timer) = self.slab.standing_mut(key) else {
                    self.placement.ready.pop_front();
                    self.stale = self.stale.saturating_sub(1);
                    continue;
                };
                if timer.deadline > self.placement.now() {
                    self.placement.ready.pop_front();
                    self.placement.place(key.slot, timer);
                    continue;
                }
                if fired == max {
                    return fired;
                }
                // Out of every table before the sink runs: if it panics, the wheel is whole.
                self.placement.ready.pop_front();
                if let Some(value) = self.slab.remove(key.slot) {
                    fired += 1;
                    sink(value);
                }
            }
            if self.placement.ready.capacity() > READY_KEPT {
                self.placement.ready = VecDeque::new();
            }
            match self.placement.advance(now) {
                Advance::Slot => {}
                Advance::Arrived => return fired,
                Advance::NewBase => {
                    keys_left = keys_left.saturating_sub(self.len());
                    self.take_new_base(now);
                }
            }
        }
    }

    /// Counts a stale key, and rebuilds when they are more than the live ones.
    #[inline]
    fn add_stale(&mut self) {
        self.stale += 1;
        if self.stale >= STALE_MIN && self.stale > self.slab.len() {
            self.rebuild(self.placement.now());
        }
    }

    /// Forgets every key and places every live timer, seen from `base`. O(timers).
    #[cold]
    fn rebuild(&mut self, base: u64) {
        self.placement = Placement::new(base);
        self.stale = 0;
        for (slot, timer) in self.slab.live_mut() {
            self.placement.place(slot, timer);
        }
    }

    /// Jumps to `now`, or to the first deadline when that is earlier; nothing lies between here and there.
    #[cold]
    fn take_new_base(&mut self, now: u64) {
        let first = self.slab.live_mut().map(|(_, timer)| timer.deadline).min().unwrap_or(now);
        self.rebuild(first.min(now).max(self.placement.now()));
    }
}

/// What [`Placement::advance`] did.
enum Advance {
    /// A slot with keys was reached; they are ready.
    Slot,
    /// The wheel stands at `now`.
    Arrived,
    /// Everything before the last slot is done and `now` lies in it or behind: the wheel needs a new base.
    NewBase,
}

impl Placement {
    fn new(base: u64) -> Placement {
        Placement {
            wheel: QuadWheelWithOverflow::default(),
            levels: [const { Occupancy::empty() }; 4],
            ready: VecDeque::new(),
            base,
            passed: 0,
        }
    }

    /// The tick at which the wheel stands.
    #[inline]
    fn now(&self) -> u64 {
        self.base + u64::from(self.passed)
    }

    /// Puts a timer's key where it comes up next: at its deadline when that is less than a level-0 turn away, else at the
    /// start of its slot, to be placed again from there.
    #[inline]
    fn place<T>(&mut self, slot: u32, timer: &mut Timer<T>) {
        let key = WheelKey { slot, stamp: timer.stamp };
        let from_base = timer.deadline.saturating_sub(self.base);
        if from_base <= u64::from(self.passed) {
            timer.at = self.passed;
            self.ready.push_back(key);
            return;
        }
        // Timers behind the last slot wait in it: there the wheel takes a new base.
        let deadline = u32::try_from(from_base).unwrap_or(u32::MAX);
        let level = level(self.passed ^ deadline);
        let shift = level * 8;
        let at = deadline >> shift << shift;
        timer.at = at;
        self.levels[level].add((at >> shift) as u8, deadline);
        let delay = Duration::from_millis(u64::from(at - self.passed));
        // `at` is after `passed`, so the crate never says that it has expired; if it did, the key would be ready.
        if let Err(TimerError::Expired(key)) = self.wheel.insert_with_delay(key, delay) {
            self.ready.push_back(key);
        }
    }

    /// True when the timer's key comes up no later than its (new) deadline, so that nothing needs to be placed.
    #[inline]
    fn comes_up_in_time<T>(&mut self, timer: &Timer<T>) -> bool {
        if timer.at <= self.passed {
            return true; // Ready: it is looked at before anything else.
        }
        let from_base = timer.deadline.saturating_sub(self.base);
        if from_base < u64::from(timer.at) {
            return false;
        }
        let level = level(self.passed ^ timer.at);
        let deadline = u32::try_from(from_base).unwrap_or(u32::MAX);
        if level > 0 {
            // The slot is occupied: this lowers its earliest deadline, or keeps it.
            self.levels[level].add((timer.at >> (level * 8)) as u8, deadline);
        }
        true
    }

    /// The first occupied slot: its level, its number, and the tick from base at which it starts.
    #[inline]
    fn next_slot(&self) -> Option<(usize, u8, u32)> {
        // Each level covers what is left of one slot of the level above it, so the lowest level that has one is first.
        self.levels.iter().enumerate().find_map(|(level, occupancy)| {
            let slot = occupancy.first()?;
            let shift = level as u32 * 8;
            let turn_start = self.passed & u32::MAX.checked_shl(shift + 8).unwrap_or(0);
            Some((level, slot, turn_start | u32::from(slot) << shift))
        })
    }

    fn next_deadline(&self) -> Option<u64> {
        if !self.ready.is_empty() {
            return Some(self.now());
        }
        let (level, slot, _) = self.next_slot()?;
        Some(self.base + u64::from(self.levels[level].earliest(slot)))
    }

    /// Goes to the next occupied slot, or to `now` when there is none before.
    fn advance(&mut self, now: u64) -> Advance {
        let target = u32::try_from(now.saturating_sub(self.base)).unwrap_or(u32::MAX);
        match self.next_slot() {
            Some((level, slot, start)) if start <= target && start < LAST_SLOT => {
                // Every slot between here and there is empty, so the crate may skip it and tick once.
                self.wheel.skip(start - 1 - self.passed);
                let keys = self.wheel.tick();
                self.passed = start;
                self.levels[level].clear(slot);
                if keys.len() <= READY_KEPT {
                    self.ready.extend(keys);
                } else {
                    self.ready = VecDeque::from(keys); // No copy. It was empty: `expire` advances only then.
                }
                Advance::Slot
            }
            _ if target < LAST_SLOT => {
                if target > self.passed {
                    self.wheel.skip(target - self.passed);
                    self.passed = target;
                }
                Advance::Arrived
            }
            _ => Advance::NewBase,
        }
    }
}

/// The level on which two ticks differ: the highest byte that is not the same.
#[inline]
fn level(difference: u32) -> usize {
    (31 - (difference | 1).leading_zeros() as usize) / 8
}

impl<T: Copy> fmt::Debug for Wheel<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wheel")
            .field("now", &self.placement.now())
            .field("timers", &self.len())
            .field("stale", &self.stale)
            .field("next_deadline", &self.next_deadline())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_puts_a_delay_just_below_2_to_the_32_into_level_0() {
        // Why `LAST_SLOT` exists. When this fails the crate was mended, and the new base can go.
        let mut wheel = QuadWheelWithOverflow::<u32>::default();
        wheel.skip(16);
        wheel.insert_with_delay(1, Duration::from_millis((1 << 32) - 8)).unwrap();
        let early = (0..256).find(|_| !wheel.tick().is_empty());
        assert_eq!(early, Some(247), "it came after 248 ms instead of 49 days");
    }

    #[test]
    fn ticks_that_differ_in_a_byte_are_a_level_apart() {
        for (difference, expected) in
            [(1, 0), (255, 0), (256, 1), (65_535, 1), (65_536, 2), (1 << 24, 3), (u32::MAX, 3)]
        {
            assert_eq!(level(difference), expected, "{difference}");
        }
    }

    #[test]
    fn a_million_cancelled_timers_keep_no_memory() {
        let mut wheel = Wheel::new(0);
        let before = wheel.memory_bytes();
        let one = wheel.insert(30_000, 0);
        let keys: Vec<_> = (1..=1_000_000u64).map(|value| wheel.insert(30_000 + value % 7, value)).collect();
        assert!(wheel.memory_bytes() > 40_000_000);
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(wheel.cancel(*key), Some(index as u64 + 1));
        }
        assert!(wheel.stale <= STALE_MIN, "{} stale keys", wheel.stale);
        let after = wheel.memory_bytes();
        assert!(after < before + 400_000, "{before} bytes before, {after} after");
        // The same when they are set and cancelled one by one, as a timeout for each request is.
        for value in 0..1_000_000 {
            let key = wheel.insert(30_000, value);
            wheel.cancel(key);
            assert!(wheel.stale <= STALE_MIN);
        }
        assert!(wheel.memory_bytes() <= after);
        assert_eq!(wheel.cancel(one), Some(0));
    }

    #[test]
    fn a_million_fired_timers_keep_no_memory() {
        let mut wheel = Wheel::new(0);
        let before = wheel.memory_bytes();
        for value in 0..1_000_000u64 {
            wheel.insert(1 + value % 1000, value);
        }
        while wheel.expire(1000, usize::MAX, |_| {}) > 0 {}
        let after = wheel.memory_bytes();
        assert!(after < before + 400_000, "{before} bytes before, {after} after");
    }
}
