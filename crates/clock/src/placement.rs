//! Where keys lie: four of the crate's byte wheels, with exact knowledge of which of their slots hold something.
use crate::occupancy::Occupancy;
use hierarchical_hash_wheel_timer::wheels::byte_wheel::{ByteWheel, WheelEntry};
use std::collections::VecDeque;

/// Where the last slot of level 3 starts. The wheel takes a new base before it gets there, so its own time never wraps.
const LAST_SLOT: u32 = 0xff00_0000;

/// What the wheels carry, in 4 bytes: a slot of the slab. It needs no number that tells it from stale keys of the slot's
/// earlier timers: a key that comes up at tick `t` stands when the slot's timer has `at == t`, and whichever key it is that
/// comes up then, the timer is to be looked at.
pub type Key = WheelEntry<u32, ()>;

/// Keys that came up: they fire, are placed more finely, or are stale.
pub type Ready = VecDeque<Key>;

/// Four levels of 256 slots, and what they hold.
pub struct Placement {
    /// None until the first key comes: an executor without timers does not pay for 30 KiB.
    levels: Vec<Level>,
    /// The tick at which it stood at 0.
    base: u64,
    /// Ticks since `base`: where it stands. Below [`LAST_SLOT`].
    passed: u32,
    /// Keys in it, stale ones too.
    keys: usize,
}

/// Keys are put in at slots and taken out by the slot; nothing is ever moved from one level to another by the crate.
struct Level {
    wheel: ByteWheel<u32, ()>,
    occupancy: Occupancy,
}

const LEVELS: usize = 4;

/// A tick as timers store it. Every tick that one can wait for is less than 2^32 away, so equal numbers are equal ticks.
#[inline]
pub const fn short(tick: u64) -> u32 {
    tick as u32
}

impl Placement {
    /// An empty one that stands at a tick.
    pub fn new(base: u64) -> Placement {
        Placement { levels: Vec::new(), base, passed: 0, keys: 0 }
    }
    #[cold]
    fn make_levels(&mut self) {
        let level = || Level { wheel: ByteWheel::new(), occupancy: Occupancy::empty() };
        self.levels.resize_with(LEVELS, level);
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
    /// True when it can go to this tick and needs no new base.
    #[inline]
    pub fn reaches(&self, tick: u64) -> bool {
        tick.saturating_sub(self.base) < u64::from(LAST_SLOT)
    }

    /// Puts a timer's key where it comes up next: at its deadline when that is less than a level-0 turn away, else at the
    /// start of its slot, to be placed again from there. A timer that is due is ready. Gives the tick, for the timer's `at`.
    #[inline]
    pub fn place(&mut self, slot: u32, deadline: u64, ready: &mut Ready) -> u32 {
        let from_base = deadline.saturating_sub(self.base);
        if from_base <= u64::from(self.passed) {
            ready.push_back(Key { entry: slot, rest: () });
            return short(self.now());
        }
        // Timers behind the last slot wait in it: there the wheel takes a new base.
        let deadline = u32::try_from(from_base).unwrap_or(u32::MAX);
        let level = level(self.passed ^ deadline);
        let shift = level * 8;
        let at = deadline >> shift << shift;
        let place = (at >> shift) as u8;
        if self.levels.is_empty() {
            self.make_levels();
        }
        let level = &mut self.levels[level];
        level.occupancy.add(place, deadline);
        level.wheel.insert(place, slot, ());
        self.keys += 1;
        short(self.base).wrapping_add(at)
    }

    /// True when the key that comes up at `at`, here or ready, comes up no later than a (new) deadline: nothing needs placing.
    #[inline]
    pub fn comes_up_in_time(&mut self, at: u32, deadline: u64) -> bool {
        let at = at.wrapping_sub(short(self.base));
        if at == self.passed {
            return true; // Ready: it is looked at before anything else.
        }
        let from_base = deadline.saturating_sub(self.base);
        if from_base < u64::from(at) {
            return false;
        }
        let level = level(self.passed ^ at);
        if let (1.., Some(Level { occupancy, .. })) = (level, self.levels.get_mut(level)) {
            // The slot is occupied: this lowers its earliest deadline, or keeps it.
            let deadline = u32::try_from(from_base).unwrap_or(u32::MAX);
            occupancy.add((at >> (level * 8)) as u8, deadline);
        }
        true
    }

    /// The first occupied slot: its level, its number, and the tick from base at which it starts.
    #[inline]
    fn next_slot(&self) -> Option<(usize, u8, u32)> {
        // Each level covers what is left of one slot of the level above it, so the lowest level that has one is first.
        self.levels.iter().enumerate().find_map(|(level, Level { occupancy, .. })| {
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
        self.next_slot()
            .map(|(level, slot, _)| self.base + u64::from(self.levels[level].occupancy.earliest(slot)))
    }

    /// Goes to a tick that is within reach, with no occupied slot before it. Gives the keys of the slot that starts there.
    #[inline]
    pub fn go_to(&mut self, tick: u64) -> Vec<Key> {
        let target = tick.saturating_sub(self.base) as u32;
        if target <= self.passed {
            return Vec::new();
        }
        let next = self.next_slot();
        self.passed = target;
        match next {
            Some((level, slot, start)) if start == target => {
                let Level { wheel, occupancy } = &mut self.levels[level];
                wheel.advance(slot.wrapping_sub(1));
                let keys = wheel.tick().0.unwrap_or_default();
                occupancy.clear(slot);
                self.keys = self.keys.saturating_sub(keys.len());
                keys
            }
            _ => Vec::new(),
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
    fn ticks_that_differ_in_a_byte_are_a_level_apart() {
        for (difference, expected) in
            [(1, 0), (255, 0), (256, 1), (65_535, 1), (65_536, 2), (1 << 24, 3), (u32::MAX, 3)]
        {
            assert_eq!(level(difference), expected, "{difference}");
        }
    }
}
