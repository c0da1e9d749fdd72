//! Monotonic time as a value: how durations become ticks so that no timer is early.
use std::time::Duration;

/// The tick of a deadline: milliseconds since the origin, rounded up. Saturates at `u64::MAX`, which never comes.
#[must_use]
pub fn deadline_tick(since_origin: Duration) -> u64 {
    let rest = u64::from(!since_origin.subsec_nanos().is_multiple_of(1_000_000));
    now_tick(since_origin).saturating_add(rest)
}

/// The tick of now: whole milliseconds since the origin. Saturates at `u64::MAX`.
#[must_use]
pub fn now_tick(since_origin: Duration) -> u64 {
    let milliseconds = u64::from(since_origin.subsec_millis());
    since_origin.as_secs().saturating_mul(1000).saturating_add(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_round_up_and_now_rounds_down() {
        for (nanos, up, down) in [
            (0, 0, 0),
            (1, 1, 0),
            (999_999, 1, 0),
            (1_000_000, 1, 1),
            (1_000_001, 2, 1),
            (2_999_999_999, 3000, 2999),
        ] {
            let time = Duration::from_nanos(nanos);
            assert_eq!((deadline_tick(time), now_tick(time)), (up, down), "{nanos} ns");
        }
        assert_eq!((deadline_tick(Duration::MAX), now_tick(Duration::MAX)), (u64::MAX, u64::MAX));
    }
}
