//! Words of the header: whether pending work is to keep the process alive, whether it does, and when JavaScript's timers are due.
//!
//! Both sides run on one thread. JavaScript writes the first word when its count of pending work leaves or reaches zero;
//! the second word spares it the native call when the loop is held still.
use ringwheel_command::{
    Memory, Region,
    layout::{ALARM_WORD, HELD_WORD, KEEP_WORD},
};
use std::time::{Duration, Instant};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Keep {
    region: Region,
    /// The alarm counts from here.
    origin: Instant,
}

impl Keep {
    pub fn new(region: Region) -> Keep {
        Keep { region, origin: Instant::now() }
    }

    /// When JavaScript wants to be called for its timers. Any bits that are no such time mean never (INV-5).
    pub fn alarm(&self) -> Option<Instant> {
        let [bits] = self.region.read::<1>(ALARM_WORD);
        if bits == 0 {
            return None;
        }
        let since_start = Duration::try_from_secs_f64(f64::from_bits(bits) / 1e3).ok()?;
        self.origin.checked_add(since_start)
    }

    pub fn since_start(&self) -> Duration {
        self.origin.elapsed()
    }

    pub fn wanted(&self) -> bool {
        self.region.load_index(KEEP_WORD) != 0
    }

    pub fn set_held(&self, held: bool) {
        self.region.store_index(HELD_WORD, u32::from(held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringwheel_command::Geometry;

    #[test]
    fn an_alarm_is_a_time_or_never() {
        let keep = Keep::new(Region::owned(Geometry::DEFAULT));
        assert_eq!(keep.alarm(), None);
        for hostile in [f64::NAN, f64::INFINITY, -1.0, f64::MAX, -f64::MIN_POSITIVE] {
            keep.region.write(ALARM_WORD, [hostile.to_bits()]);
            assert_eq!(keep.alarm(), None, "{hostile}");
        }
        keep.region.write(ALARM_WORD, [1500.25f64.to_bits()]);
        assert_eq!(keep.alarm(), Some(keep.origin + Duration::from_micros(1_500_250)));
    }
}
