//! When room is given out: at once, or several operations' worth together.
//!
//! A disk that ends one operation at a time would have each successor go alone, with a system call and a notification of its own.
//! Waiting for a few more ends to go together costs time, of which this is allowed a sixteenth of what an operation takes anyway:
//!
//! ```text
//!   L ← L + (l − L) / 64            completion latency l, as each operation ends
//!   T ← T + (t − T) / 64            time t between two arrivals; the arrival rate is λ = 1 / T
//!   B = λ · L / 16                  arrivals in a sixteenth of a latency, within 1..=64
//! ```
//!
//! Room is given out when `B` operations have ended since the last time, or nothing is with the disk. By Little's law `λ · L` is how many
//! are with the disk, so a batch is a sixteenth of those, and with fewer than 32 there is no wait at all. No timer is needed:
//! as long as something is with the disk, something will end. Latency classes, and work that finds room as it arrives, do not wait.

/// The part of a latency that may be waited for: one in so many.
const PART: u64 = 16;
/// Operations of a batch, at most.
const MOST: u64 = 64;
/// Averages forget this part with each value: one in so many.
const FORGET: u64 = 64;

/// The controller of the flush.
#[derive(Debug, Default)]
pub struct Flush {
    latency: u64,
    between: u64,
    arrived: Option<u64>,
    ended: u64,
}

impl Flush {
    /// An operation was asked for.
    pub fn arrives(&mut self, now: u64) {
        if let Some(before) = self.arrived.replace(now) {
            follow(&mut self.between, now.saturating_sub(before));
        }
    }

    /// An operation ended that took `latency` nanoseconds.
    pub fn ends(&mut self, latency: u64) {
        follow(&mut self.latency, latency);
        self.ended += 1;
    }

    /// Operations that are let go together now.
    pub fn batch(&self) -> u64 {
        // In 1024ths of a nanosecond both: the quotient is as it is.
        (self.latency / self.between.max(1) / PART).clamp(1, MOST)
    }

    /// Whether room may be given out.
    pub fn is_due(&self) -> bool {
        self.ended >= self.batch()
    }

    /// It was given out.
    pub fn flushed(&mut self) {
        self.ended = 0;
    }

    /// The average completion latency, nanoseconds.
    pub fn latency(&self) -> u64 {
        self.latency >> 10
    }
}

/// Moves an average, in 1024ths, towards a value; the first one is taken whole.
fn follow(average: &mut u64, value: u64) {
    let value = value.min(1 << 50) << 10;
    *average = if *average == 0 { value } else { *average - *average / FORGET + value / FORGET };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(between: u64, latency: u64) -> u64 {
        let mut flush = Flush::default();
        for arrival in 0..1000 {
            flush.arrives(arrival * between);
            flush.ends(latency);
        }
        flush.batch()
    }

    #[test]
    fn a_batch_is_what_arrives_in_a_sixteenth_of_a_latency() {
        assert_eq!(after(10_000, 1_280_000), 8, "128 with the disk");
        assert_eq!(after(10_000, 300_000), 1, "30 with the disk");
        assert_eq!(after(10_000_000, 100_000), 1, "less than one");
        assert_eq!(after(100, 1_000_000_000), MOST);
    }

    #[test]
    fn it_follows_latency_and_arrivals_in_both_directions() {
        let mut flush = Flush::default();
        let mut now = 0;
        for (between, latency, batch) in
            [(10_000, 1_600_000, 10), (10_000, 100_000, 1), (1000, 800_000, 50), (40_000, 800_000, 1)]
        {
            for _ in 0..2000 {
                now += between;
                flush.arrives(now);
                flush.ends(latency);
            }
            assert!(flush.batch().abs_diff(batch) <= 1, "{between}, {latency}: {}", flush.batch());
        }
    }

    #[test]
    fn any_clock_is_survived() {
        let mut flush = Flush::default();
        for now in [u64::MAX, 0, 7, u64::MAX, 1] {
            flush.arrives(now);
            flush.ends(now);
            assert!((1..=MOST).contains(&flush.batch()));
        }
    }
}
