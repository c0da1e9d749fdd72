//! The arrivals of an operation with many completions.
use super::{
    Submitted,
    table::{Arrival, Key, Phase},
};
use crate::core::Core;
use ringwheel_driver::Operation;
use rustix::io::Errno;
use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll},
};

/// A multishot operation, armed when first asked for an arrival. Dropping it asks for its end and disposes of what waits.
#[derive(Debug)]
pub(crate) struct Multishot {
    core: Rc<Core>,
    key: Cell<Option<Key>>,
}

impl Multishot {
    pub(crate) fn new(core: Rc<Core>) -> Multishot {
        Multishot { core, key: Cell::new(None) }
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// The next arrival; `operation` makes the operation when it must be armed. A negative result is an error that ended
    /// it, zero without chunk and handle the peer's end; asking again arms it again.
    pub(crate) fn poll_next(
        &self,
        context: &mut Context<'_>,
        operation: impl Fn() -> Operation,
    ) -> Poll<Arrival> {
        match self.poll_armed(context) {
            Poll::Ready(Some(arrival)) => return Poll::Ready(arrival),
            Poll::Ready(None) => {} // It was never armed, or it paused and everything that waited has been taken.
            Poll::Pending => return Poll::Pending,
        }
        match self.core.submit(&mut operation(), Phase::Multishot, context.waker()) {
            Submitted::Accepted(key) => self.key.set(Some(key)),
            Submitted::Later => {}
            Submitted::Refused(result) => return Poll::Ready(Arrival::end(result)),
        }
        Poll::Pending
    }

    /// Asks for its end, and for the next of what has arrived until then; `None` after the last.
    pub(crate) fn poll_rest(&self, context: &mut Context<'_>) -> Poll<Option<Arrival>> {
        if let Some(key) = self.key.get() {
            self.core.pause(key);
        }
        self.poll_armed(context)
    }

    /// `None` when it is not armed.
    fn poll_armed(&self, context: &mut Context<'_>) -> Poll<Option<Arrival>> {
        let Some(key) = self.key.get() else { return Poll::Ready(None) };
        let mut operations = self.core.operations.borrow_mut();
        let Some(slot) = operations.get(key) else {
            self.key.set(None);
            return Poll::Ready(None);
        };
        if let Some(arrival) = slot.arrivals.pop_front() {
            operations.held -= usize::from(arrival.holds_buffer());
            return Poll::Ready(Some(arrival));
        }
        if let Some(completion) = slot.done.take() {
            let result = completion.result;
            operations.free(key);
            drop(operations);
            self.key.set(None);
            let canceled = result == -Errno::CANCELED.raw_os_error();
            return Poll::Ready((!canceled).then(|| Arrival::end(result)));
        }
        let before = slot.waker.replace(context.waker().clone());
        drop(operations);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Multishot {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            self.core.abandon(key);
        }
    }
}
