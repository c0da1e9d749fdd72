//! Ending the poll backend: cancel all, drain what pool threads still run, leak and count what they do not give back (INV-1).
use super::{Place, Poll};
use crate::{ShutdownReport, Wait};
use std::time::{Duration, Instant};

/// What dropping a driver without `shutdown` allows itself.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// How long idle pool threads may take to end: they have nothing left to do but be scheduled.
const THREADS_DEADLINE: Duration = Duration::from_millis(100);

impl Poll {
    pub(crate) fn shutdown(&mut self, deadline: Duration) -> ShutdownReport {
        if self.ended {
            return ShutdownReport::default();
        }
        self.ended = true;
        self.closed = true;
        let deadline = Instant::now().checked_add(deadline);
        let mut report = ShutdownReport::default();
        self.drop_completions(&mut report);
        report.drained = 0; // Those had ended before.
        for key in self.slots.keys() {
            self.cancel_key(key);
        }
        loop {
            self.collect_pool();
            self.drop_completions(&mut report);
            if self.slots.len() == 0 {
                break;
            }
            let wait = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break,
                Some(left) => Wait::For(left),
                None => Wait::Forever,
            };
            // Without a poller there is no way to wait: what is left is leaked like what came too late.
            if self.enter(wait).is_err() {
                break;
            }
        }
        self.leak_remaining(&mut report);
        // Idle threads end at once; a thread whose work was leaked is not waited for.
        let patience = if report.leaked == 0 { THREADS_DEADLINE } else { Duration::ZERO };
        self.pool.shutdown(Instant::now() + patience);
        self.waker.close();
        report
    }

    /// Dropping an operation may run foreign code: a closure's destructor. Its panic must not end the drain (INV-8).
    fn drop_completions(&mut self, report: &mut ShutdownReport) {
        while let Some(completion) = self.done.pop_front() {
            if !completion.more {
                self.final_done -= 1;
                self.stats.completed += 1;
                report.drained += 1;
            }
            super::pool::discard(completion);
        }
    }

    /// A pool thread may still write into these: their memory and descriptors are never given back.
    fn leak_remaining(&mut self, report: &mut ShutdownReport) {
        for key in self.slots.keys() {
            let Some(entry) = self.slots.remove(key) else { continue };
            debug_assert!(matches!(entry.place, Place::Pooled), "everything else could be cancelled");
            std::mem::forget(entry.operation);
            report.leaked += 1;
            self.stats.leaked += 1;
        }
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        self.shutdown(DROP_DEADLINE);
    }
}
