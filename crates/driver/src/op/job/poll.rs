//! Jobs on the poll backend: the closure is the pool's work as it is.
use super::Job;
use crate::poll::pool::Work;

impl Job {
    /// Takes the closure for the pool; `None` when the job ran before.
    pub(crate) fn take(&mut self) -> Option<Work> {
        self.run.take()
    }

    /// Gives a closure back that never ran.
    pub(crate) fn put_back(&mut self, work: Work) {
        self.run = Some(work);
    }
}
