//! Step 4 of a turn when there are several queues: slices of one queue after the other until the quota of the turn is over.
//!
//! ```text
//!  pick the next queue ──▶ its slice: polls until it is empty, the word is raised, or a latency class wakes ──▶ charge it
//!        ▲                                                                                                      │
//!        └──────────────────────────── time and polls are left, nobody was preempted ───────────────────────────┘
//! ```
//!
//! The clock is read once a slice. Where there is no preemption, the polls of a slice are bounded by what they cost before.
use super::{queues::State, run::Tasks};
use ringwheel_driver::preempt::{Preempt, now_ns};

/// How one step goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace<'a> {
    pub(crate) polls_max: u32,
    /// Nanoseconds that the step may take.
    pub(crate) quota: u64,
    pub(crate) preempt: Option<&'a Preempt>,
    /// When the next timer is due, of `now_ns`'s clock; asked for only when there is a latency class.
    pub(crate) timer: Option<u64>,
}

/// A timer does not cut a slice shorter than that: with many timers, slices would be nothing but beginnings.
const SHORTEST: u64 = 100_000;

impl Tasks {
    /// Polls ready tasks, fairly. `before_long` is asked to watch for completions when a slice may be long. Never unwinds.
    pub(crate) fn run_fairly(&self, pace: Pace<'_>, before_long: impl Fn(&Preempt)) {
        let queues = &self.queues;
        let mut now = now_ns();
        let mut left = pace.polls_max;
        let mut span = pace.quota;
        let tightest = queues.tightest.get();
        if tightest > 0 {
            // Half of the bound for what runs when the latency class becomes ready, half for its own way.
            span = span.min(tightest / 2);
            if let Some(timer) = pace.timer {
                span = span.min(timer.saturating_sub(now).max(SHORTEST));
            }
        }
        let end = now.saturating_add(span);
        self.preempted.set(false);
        while left > 0 {
            let ready = queues.ready.get() | u64::from(self.is_active_ready()) << self.active.get();
            let Some(index) = queues.pick(ready, pace.quota) else { break };
            self.activate(index);
            self.open_list();
            let queue = queues.at(index);
            let timed = queue.times.begin(now);
            let contended = tightest > 0 || queues.ready.get() != 0;
            let (polls, watch) = match pace.preempt {
                Some(preempt) if contended => {
                    preempt.begin(end);
                    if tightest > 0 && queue.latency.get() == 0 && queue.slice.get() >= SHORTEST / 2 {
                        before_long(preempt);
                    }
                    (left, Some(preempt))
                }
                Some(preempt) => {
                    preempt.begin_lazily(Some(end));
                    (left, None)
                }
                None => (bounded(end - now, queue.poll.get(), left), None),
            };
            self.watched.set(watch.is_some());
            let used = self.run_slice(polls, watch);
            let then = now_ns();
            queue.charge(then.saturating_sub(now), used);
            if timed {
                queue.times.end(then.saturating_sub(now));
            }
            if self.is_active_ready() {
                queue.times.ready(|| then);
            }
            if queue.state.get() == State::Leaving && queue.live.get() == 0 {
                self.activate(super::queues::DEFAULT);
                self.free_queue(index);
            }
            now = then;
            left -= used;
            if self.preempted.get() || now >= end {
                break;
            }
        }
        self.watched.set(false);
        self.activate(super::queues::DEFAULT);
        self.close_list();
    }
}

/// As many polls as fit into `time`, going by what one costs.
fn bounded(time: u64, poll: u64, left: u32) -> u32 {
    if poll == 0 {
        return 1;
    }
    u32::try_from(time / poll).unwrap_or(u32::MAX).clamp(1, left)
}

#[cfg(test)]
mod tests {
    use super::bounded;

    #[test]
    fn a_slice_without_preemption_is_bounded_by_what_polls_cost() {
        assert_eq!(bounded(1_000_000, 0, 256), 1, "nothing is known yet");
        assert_eq!(bounded(1_000_000, 100_000, 256), 10);
        assert_eq!(bounded(1_000_000, 5_000_000, 256), 1);
        assert_eq!(bounded(1_000_000, 1, 256), 256);
    }
}
