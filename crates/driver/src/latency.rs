//! How long operations take, from `submit` to their completion: one in 64 is timed, so that the hot path reads no clock.
//!
//! Which ones is random within bounds, since a fixed step would meet the same place of every batch of 64. Receives and accepts,
//! which stay armed for hours, and what was cancelled are not timed.
use crate::{Distribution, Operation, Times};
use std::time::Instant;

/// Operations timed at once; more are not begun.
const MARKS: usize = 32;
/// From one timed operation to the next: this many to three times as many less one, 64 on average.
const STEP_MIN: u32 = 32;
const CANCELED: i32 = -rustix::io::Errno::CANCELED.raw_os_error();

/// The kinds that are timed, in the order of [`kind_of`].
const NAMES: [&str; 11] =
    ["open", "close", "read", "write", "sync", "truncate", "stat", "send", "connect", "ready", "job"];

/// Whether an operation in flight is timed, and where: 0 is no. Fits beside what its entry has anyway.
pub(crate) type Mark = u8;

/// Latencies of one kind of operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// `read`, `write`, `open`, `close`, `sync`, `truncate`, `stat`, `send`, `connect`, `ready` or `job`.
    pub operation: &'static str,
    /// How long those took that were timed, about one in 64.
    pub took: Distribution,
}

/// The histograms of one driver.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Operations until one is timed.
    left: u32,
    random: u32,
    /// When, and what kind.
    began: [Option<(Instant, usize)>; MARKS],
    kinds: [Times; NAMES.len()],
}

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies {
            left: 1,
            random: 0x9e37_79b9,
            began: [None; MARKS],
            kinds: [const { Times::new() }; NAMES.len()],
        }
    }

    /// An operation that is not multishot begins.
    #[inline]
    pub(crate) fn begin(&mut self, operation: &Operation) -> Mark {
        self.left -= 1;
        if self.left == 0 { self.begin_timed(operation) } else { 0 }
    }

    #[cold]
    fn begin_timed(&mut self, operation: &Operation) -> Mark {
        // Marsaglia's xorshift: enough for which one, and never 0.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.left = STEP_MIN + self.random % (2 * STEP_MIN + 1);
        let (Some(kind), Some(free)) = (kind_of(operation), self.began.iter().position(Option::is_none))
        else {
            return 0;
        };
        self.began[free] = Some((Instant::now(), kind));
        free as Mark + 1
    }

    /// It ended.
    #[inline]
    pub(crate) fn end(&mut self, mark: Mark, result: i32) {
        if mark != 0 {
            self.end_timed(mark, result);
        }
    }

    /// It was refused after all.
    pub(crate) fn forget(&mut self, mark: Mark) {
        self.end(mark, CANCELED);
    }

    #[cold]
    fn end_timed(&mut self, mark: Mark, result: i32) {
        let timed = self.began.get_mut(usize::from(mark) - 1).and_then(Option::take);
        let Some((began, kind)) = timed.filter(|_| result != CANCELED) else { return };
        self.kinds[kind].record(began.elapsed().as_nanos() as u64);
    }

    /// Of each kind that was timed at least once.
    pub(crate) fn summary(&self) -> Vec<Latency> {
        let timed = NAMES.iter().zip(&self.kinds).filter(|(_, times)| times.any());
        timed.map(|(operation, times)| Latency { operation, took: times.distribution() }).collect()
    }
}

/// The place of an operation's kind; none for those that are not timed.
fn kind_of(operation: &Operation) -> Option<usize> {
    Some(match operation {
        Operation::Open(_) => 0,
        Operation::Close(_) => 1,
        Operation::Read(_) => 2,
        Operation::Write(_) => 3,
        Operation::Sync(_) => 4,
        Operation::Truncate(_) => 5,
        Operation::Stat(_) => 6,
        Operation::Send(_) => 7,
        Operation::Connect(_) => 8,
        Operation::Ready(_) => 9,
        Operation::Job(_) => 10,
        Operation::Nop | Operation::Accept(_) | Operation::Receive(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::job::Job;
    use std::time::Duration;

    fn job() -> Operation {
        Operation::Job(Job { run: None, file: None, waits: false })
    }

    #[test]
    fn one_in_64_is_timed_and_never_at_the_same_step() {
        let mut latencies = Latencies::new();
        let mut steps = Vec::new();
        let mut since = 0;
        for _ in 0..64_000 {
            since += 1;
            let mark = latencies.begin(&job());
            latencies.end(mark, 0);
            if mark != 0 {
                steps.push(std::mem::take(&mut since));
            }
        }
        assert!((900..1100).contains(&steps.len()), "{}", steps.len());
        assert!(steps[1..].iter().all(|step| (32..=96).contains(step)));
        let steps_taken = steps.len() as u64 - 1;
        steps.sort_unstable();
        steps.dedup();
        assert!(steps.len() > 40, "they vary: {steps:?}");
        assert_eq!(latencies.summary()[0].took.samples, 1 + steps_taken);
    }

    #[test]
    fn more_at_once_than_there_are_marks_are_left_out() {
        let mut latencies = Latencies::new();
        let marks: Vec<_> =
            (0..64 * 100).map(|_| latencies.begin(&job())).filter(|mark| *mark != 0).collect();
        assert_eq!(marks.len(), MARKS);
        for mark in marks {
            latencies.end(mark, 0);
        }
        assert_eq!(latencies.summary()[0].took.samples, MARKS as u64);
    }

    #[test]
    fn the_summary_is_ordered_and_leaves_out_what_was_cancelled() {
        let mut latencies = Latencies::new();
        for index in 0..64 * 20 {
            let mark = latencies.begin(&job());
            if mark != 0 {
                std::thread::sleep(Duration::from_micros(100 + index));
            }
            latencies.end(mark, if index % 2 == 0 { 0 } else { -libc::ECANCELED });
        }
        let [latency] = &latencies.summary()[..] else { panic!("one kind") };
        assert_eq!(latency.operation, "job");
        let latency = &latency.took;
        assert!((1..20).contains(&latency.samples), "{latency:?}");
        assert!(latency.min >= Duration::from_micros(90), "{latency:?}");
        let ordered = [latency.min, latency.p50, latency.p90, latency.p99, latency.p999];
        assert!(ordered.is_sorted(), "{latency:?}");
        assert!(latency.mean >= latency.min && latency.mean <= latency.max, "{latency:?}");
    }
}
