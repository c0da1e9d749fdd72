//! Which slots of one level hold keys, and the earliest deadline behind each: how long the executor may sleep.

/// 256 slots of one level. All occupied slots lie ahead of the wheel's current one, so the first bit is the next event.
#[derive(Debug)]
pub struct Occupancy {
    bits: [u64; 4],
    earliest: [u32; 256],
}

impl Occupancy {
    /// Nothing occupied.
    pub const fn empty() -> Occupancy {
        Occupancy { bits: [0; 4], earliest: [0; 256] }
    }
    /// A key with this deadline went into the slot.
    #[inline]
    pub fn add(&mut self, slot: u8, deadline: u32) {
        let (word, bit) = (usize::from(slot) / 64, 1u64 << (slot % 64));
        let earliest = &mut self.earliest[usize::from(slot)];
        *earliest = if self.bits[word] & bit == 0 { deadline } else { deadline.min(*earliest) };
        self.bits[word] |= bit;
    }
    /// The slot was emptied.
    #[inline]
    pub fn clear(&mut self, slot: u8) {
        self.bits[usize::from(slot) / 64] &= !(1 << (slot % 64));
    }
    /// The first occupied slot.
    #[inline]
    pub fn first(&self) -> Option<u8> {
        let word = self.bits.iter().position(|word| *word != 0)?;
        Some((word * 64) as u8 + self.bits[word].trailing_zeros() as u8)
    }
    /// No key of an occupied slot has a deadline before this.
    #[inline]
    pub fn earliest(&self, slot: u8) -> u32 {
        self.earliest[usize::from(slot)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slot_is_found_at_every_place() {
        let mut occupancy = Occupancy::empty();
        assert_eq!(occupancy.first(), None);
        for slot in (0..=255).rev() {
            occupancy.add(slot, 7);
            assert_eq!(occupancy.first(), Some(slot));
        }
        for slot in 0..255 {
            occupancy.clear(slot);
            assert_eq!(occupancy.first(), Some(slot + 1));
        }
    }

    #[test]
    fn the_earliest_deadline_starts_afresh_when_a_slot_was_emptied() {
        let mut occupancy = Occupancy::empty();
        occupancy.add(9, 40);
        occupancy.add(9, 50);
        assert_eq!(occupancy.earliest(9), 40);
        occupancy.clear(9);
        occupancy.add(9, 60);
        assert_eq!(occupancy.earliest(9), 60);
    }
}
