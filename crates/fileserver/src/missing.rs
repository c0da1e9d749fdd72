//! Names that led to nothing a moment ago, so that asking again costs no look at the disk.
//!
//! Clients choose these names, so: no memory is made for one (a table of fixed size, in which a name takes the place of another), they have
//! nothing in common with what is kept of files, and their hash has a secret of this core. A name is known by 64 bits of it: that two are
//! taken for one has a chance of 2⁻⁶⁴ a look, and comes to a 404 for as long as one is trusted.
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// Names remembered: 96 KiB.
const SLOTS: usize = 4096;

/// The names of one core.
#[derive(Debug)]
pub(crate) struct Missing {
    hasher: RandomState,
    /// Empty where nothing is remembered.
    slots: Box<[Option<(u64, Instant)>]>,
    trust: Duration,
}

impl Missing {
    /// Remembers each name for `trust`.
    pub(crate) fn new(trust: Duration) -> Missing {
        let slots = if trust.is_zero() { 0 } else { SLOTS };
        Missing { hasher: RandomState::new(), slots: vec![None; slots].into(), trust }
    }

    /// True when this key led to nothing less than the time of trust ago.
    pub(crate) fn knows(&self, key: &[u8], now: Instant) -> bool {
        if self.slots.is_empty() {
            return false;
        }
        let (hash, at) = self.place(key);
        self.slots[at]
            .is_some_and(|(known, when)| known == hash && now.saturating_duration_since(when) < self.trust)
    }

    /// Remembers that a key led to nothing.
    pub(crate) fn remember(&mut self, key: &[u8], now: Instant) {
        if !self.slots.is_empty() {
            let (hash, at) = self.place(key);
            self.slots[at] = Some((hash, now));
        }
    }

    fn place(&self, key: &[u8]) -> (u64, usize) {
        let hash = self.hasher.hash_one(key);
        (hash, (hash >> 32) as usize % self.slots.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_for_its_time_and_no_longer() {
        let (mut missing, now) = (Missing::new(Duration::from_secs(1)), Instant::now());
        missing.remember(b"/a", now);
        assert!(missing.knows(b"/a", now) && missing.knows(b"/a", now + Duration::from_millis(999)));
        assert!(!missing.knows(b"/a", now + Duration::from_secs(1)) && !missing.knows(b"/b", now));
    }

    #[test]
    fn a_flood_of_names_takes_no_memory_and_none_is_known_that_was_not_remembered() {
        let (mut missing, now) = (Missing::new(Duration::from_secs(1)), Instant::now());
        for name in 0..100_000u32 {
            missing.remember(&name.to_ne_bytes(), now);
        }
        let known = (0..100_000u32).filter(|name| missing.knows(&name.to_ne_bytes(), now)).count();
        assert!((SLOTS / 2..=SLOTS).contains(&known), "{known}");
        assert!((100_000..200_000u32).all(|name| !missing.knows(&name.to_ne_bytes(), now)));
    }

    #[test]
    fn no_time_of_trust_is_no_table() {
        let mut missing = Missing::new(Duration::ZERO);
        missing.remember(b"/a", Instant::now());
        assert!(missing.slots.is_empty() && !missing.knows(b"/a", Instant::now()));
    }
}
