//! What the channels wait with.
pub(crate) use super::semaphore::Permits;
use super::waiters::Ticket;
use std::future::poll_fn;

/// One permit, awaited and held by reference.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    from: &'a Permits,
}

impl<'a> Turn<'a> {
    /// Waits for it; `None` when the permits are closed.
    pub(crate) async fn take(from: &'a Permits) -> Option<Turn<'a>> {
        struct Taking<'a>(&'a Permits, Option<Ticket>);
        impl Drop for Taking<'_> {
            fn drop(&mut self) {
                self.0.leave(self.1.take(), 1);
            }
        }
        let mut taking = Taking(from, None);
        poll_fn(|context| taking.0.poll_take(&mut taking.1, 1, context)).await.ok()?;
        Some(Turn { from })
    }

    /// Keeps the permit: it is given back otherwise.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.from.give(1);
    }
}
