//! The Date header, made once a second, and HTTP dates to and from seconds.
//!
//! The fast path never asks the system for the time: the executor's cached turn time tells when the second is over, and
//! only then is the wall clock read again.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_BYTES: usize = 29;

/// Seconds since 1970 as an IMF-fixdate. Outside of the years 1970 to 9999 it is clamped (a file may carry any mtime).
///
/// ```
/// # use ringwheel_fileserver::http::date::format;
/// assert_eq!(&format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
pub fn format(seconds: i64) -> [u8; DATE_BYTES] {
    const LAST: u64 = 253_402_300_799; // 9999-12-31T23:59:59Z, the last that fits four digits.
    let seconds = u64::try_from(seconds).unwrap_or(0).min(LAST);
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    let mut bytes = [b' '; DATE_BYTES];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    bytes
}

/// The seconds of an HTTP date in any of the three forms of RFC 9110 section 5.6.7; `None` when it is not one.
pub fn parse(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let time = httpdate::parse_http_date(text).ok()?;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok()
}

/// The wall clock at second resolution, driven by the executor's monotonic turn time.
#[derive(Debug)]
pub struct DateClock {
    second: i64,
    text: [u8; DATE_BYTES],
    next: Instant,
}

impl DateClock {
    /// Reads the wall clock. `now` is the executor's cached time.
    pub fn start(now: Instant) -> DateClock {
        let mut clock = DateClock { second: 0, text: [b' '; DATE_BYTES], next: now };
        clock.refresh(now);
        clock
    }

    /// Moves on to `now`. Reads the wall clock only when its second is over, so at most once a second.
    #[inline]
    pub fn advance(&mut self, now: Instant) {
        if now >= self.next {
            self.refresh(now);
        }
    }

    #[cold]
    fn refresh(&mut self, now: Instant) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.second = i64::try_from(wall.as_secs()).unwrap_or(0);
        self.text = format(self.second);
        let rest =
            Duration::from_secs(1).saturating_sub(Duration::from_nanos(u64::from(wall.subsec_nanos())));
        self.next = now + rest;
    }

    /// Milliseconds of the second at `now`.
    pub fn millisecond(&self, now: Instant) -> u16 {
        let rest = self.next.saturating_duration_since(now).as_millis().min(999);
        999 - rest as u16
    }

    /// Seconds since 1970.
    #[inline]
    pub fn second(&self) -> i64 {
        self.second
    }

    /// That second as an IMF-fixdate.
    #[inline]
    pub fn text(&self) -> &[u8; DATE_BYTES] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_survives_the_round_trip() {
        for second in [0, 1, 784_111_777, 1_800_000_000, 253_402_300_799] {
            assert_eq!(parse(&format(second)), Some(second));
        }
    }

    #[test]
    fn dates_before_1970_and_after_9999_are_clamped_and_never_panic() {
        assert_eq!(format(i64::MIN), format(0));
        assert_eq!(format(i64::MAX), format(253_402_300_799));
    }

    #[test]
    fn the_obsolete_forms_are_understood_and_nonsense_is_not() {
        assert_eq!(parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse(b"Sun Nov  6 08:49:37 1994"), Some(784_111_777));
        for bad in [&b""[..], b"tomorrow", b"Sun, 06 Nov 1994 08:49:37 PST", b"\xff", b"0"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn the_clock_reads_the_wall_only_when_its_second_is_over() {
        let start = Instant::now();
        let mut clock = DateClock::start(start);
        clock.second = 42; // A sentinel that a re-read would overwrite.
        clock.advance(start);
        assert_eq!(clock.second(), 42);
        clock.advance(start + Duration::from_millis(1001));
        assert_ne!(clock.second(), 42);
        assert_eq!(parse(clock.text()), Some(clock.second()));
    }
}
