//! How fast a connection is sent to: bytes are owed for after they went, and who owes waits on the wheel.
use std::time::{Duration, Instant};

/// The speed of one connection.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Bytes a second.
    rate: u64,
    /// Bytes that may go at once; below zero: that are owed.
    balance: i64,
    at: Instant,
}

impl Pace {
    /// The speed of a new connection; none where `rate` is 0.
    pub(crate) fn of(rate: u64, free: u64, now: Instant) -> Option<Pace> {
        (rate > 0).then(|| Pace::new(rate, free, now))
    }

    /// Bytes a second.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// `free` bytes go at full speed.
    fn new(rate: u64, free: u64, now: Instant) -> Pace {
        Pace { rate, balance: i64::try_from(free).unwrap_or(i64::MAX), at: now }
    }

    /// Bytes to send at once: a quarter of a second's.
    pub(crate) fn piece(&self) -> u64 {
        (self.rate / 4).max(1)
    }

    /// How long to wait before the next bytes.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        let earned = u128::from(self.rate) * passed.as_nanos() / 1_000_000_000;
        // Nobody saves up for more than a piece by keeping still.
        let most = self.balance.max(i64::try_from(self.piece()).unwrap_or(i64::MAX));
        self.balance = self.balance.saturating_add(i64::try_from(earned).unwrap_or(i64::MAX)).min(most);
        match u64::try_from(-self.balance) {
            Ok(owed) if owed > 0 => Duration::from_secs_f64(owed as f64 / self.rate as f64),
            _ => Duration::ZERO,
        }
    }

    /// These bytes went.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.balance = self.balance.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_is_waited_for_and_stillness_earns_a_piece_at_most() {
        let start = Instant::now();
        let mut pace = Pace::new(1000, 500, start);
        assert_eq!(pace.wait(start), Duration::ZERO);
        pace.spend(1500);
        assert_eq!(pace.wait(start), Duration::from_secs(1));
        assert_eq!(pace.wait(start + Duration::from_millis(400)), Duration::from_millis(600));
        assert_eq!(pace.wait(start + Duration::from_secs(100)), Duration::ZERO);
        pace.spend(1250);
        assert_eq!(pace.wait(start + Duration::from_secs(100)), Duration::from_secs(1));
    }
}
