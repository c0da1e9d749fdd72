//! Where keys lie: the crate's quad wheel, with exact knowledge of which of its slots hold something.
use crate::{
    occupancy::Occupancy,
    slab::{Timer, WheelKey},
};
use hierarchical_hash_wheel_timer::{TimerError, wheels::quad_wheel::QuadWheelWithOverflow};
use std::{collections::VecDeque, time::Duration};

/// Where the last slot of level 3 starts. The wheel takes a new base before it gets there, so its own time never wraps:
/// the crate puts a delay within 256 ticks of 2^32 into level 0, 49 days early (see the test of that name).
const LAST_SLOT: u32 = 0xff00_0000;

/// Keys that came up: they fire, are placed more finely, or are stale.
pub type Ready = VecDeque<WheelKey>;

/// One quad wheel and what it holds.
pub struct Placement {
    wheel: QuadWheelWithOverflow<WheelKey>,
    levels: [Occupancy; 4],
    /// The tick at which the crate's wheel stood at 0.
    base: u64,
    /// Ticks since `base`: what the crate's wheel stands at. Below [`LAST_SLOT`].
    passed: u32,
    /// Keys in it, stale ones too.
    keys: usize,
    /// Marks the timers whose key is here, and not in the placement that this one replaces.
    epoch: bool,
}

impl Placement {
    /// An empty one that stands at a tick.
    pub fn new(base: u64, epoch: bool) -> Placement {
        let levels = [const { Occupancy::empty() }; 4];
        Placement { wheel: QuadWheelWithOverflow::default(), levels, base, passed: 0, keys: 0, epoch }
    }
    /// The tick at which it stands.
    #[inline]
    pub fn now(&self) -> u64 {
        self.base + u64::from(self.passed)
    }
    /// Keys in it, stale ones too.
    #[inline]
    pub fn keys(&self) -> usize {
        self.keys
    }
    /// Which timers are its own.
    #[inline]
    pub fn epoch(&self) -> bool {
        self.epoch
    }
    /// True when it can go to this tick and needs no new base.
    #[inline]
    pub fn reaches(&self, tick: u64) -> bool {
        tick.saturating_sub(self.base) < u64::from(LAST_SLOT)
    }

    /// Puts a timer's key where it comes up next: at its deadline when that is less than a level-0 turn away, else at the
    /// start of its slot, to be placed again from there. A timer that is due is ready.
    #[inline]
    pub fn place<T>(&mut self, slot: u32, timer: &mut Timer<T>, ready: &mut Ready) {
        let key = WheelKey { slot, stamp: timer.stamp };
        timer.epoch = self.epoch;
        let from_base = timer.deadline.saturating_sub(self.base);
        if from_base <= u64::from(self.passed) {
            timer.at = self.passed;
            ready.push_back(key);
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
        match self.wheel.insert_with_delay(key, delay) {
            Err(TimerError::Expired(key)) => ready.push_back(key),
            _ => self.keys += 1,
        }
    }

    /// True when the timer's key, which is here or ready, comes up no later than its (new) deadline: nothing needs placing.
    #[inline]
    pub fn comes_up_in_time<T>(&mut self, timer: &Timer<T>) -> bool {
        if timer.at <= self.passed {
            return true; // Ready: it is looked at before anything else.
        }
        let from_base = timer.deadline.saturating_sub(self.base);
        if from_base < u64::from(timer.at) {
            return false;
        }
        let level = level(self.passed ^ timer.at);
        if level > 0 {
            // The slot is occupied: this lowers its earliest deadline, or keeps it.
            let deadline = u32::try_from(from_base).unwrap_or(u32::MAX);
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

    /// The tick at which the first occupied slot starts.
    #[inline]
    pub fn next_tick(&self) -> Option<u64> {
        self.next_slot().map(|(_, _, start)| self.base + u64::from(start))
    }
    /// No key here has a deadline before this.
    #[inline]
    pub fn next_deadline(&self) -> Option<u64> {
        self.next_slot().map(|(level, slot, _)| self.base + u64::from(self.levels[level].earliest(slot)))
    }

    /// Goes to a tick that is within reach, with no occupied slot before it. Gives the keys of the slot that starts there.
    #[inline]
    pub fn go_to(&mut self, tick: u64) -> Vec<WheelKey> {
        let target = tick.saturating_sub(self.base) as u32;
        if target <= self.passed {
            return Vec::new();
        }
        match self.next_slot() {
            Some((level, slot, start)) if start == target => {
                // Every slot between here and there is empty, so the crate may skip it and tick once.
                self.wheel.skip(target - 1 - self.passed);
                let keys = self.wheel.tick();
                self.passed = target;
                self.levels[level].clear(slot);
                self.keys = self.keys.saturating_sub(keys.len());
                keys
            }
            _ => {
                self.wheel.skip(target - self.passed);
                self.passed = target;
                Vec::new()
            }
        }
    }
}

/// The level on which two ticks differ: the highest byte that is not the same.
#[inline]
fn level(difference: u32) -> usize {
    (31 - (difference | 1).leading_zeros() as usize) / 8
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
}
