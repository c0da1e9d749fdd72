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
        loop {
            let Some(key) = self.key.get() else {
                return match self.core.submit(&mut operation(), Phase::Multishot, context.waker()) {
                    Submitted::Accepted(key) => {
                        self.key.set(Some(key));
                        Poll::Pending
                    }
                    Submitted::Later => Poll::Pending,
                    Submitted::Refused(result) => Poll::Ready(Arrival::end(result)),
                };
            };
            let mut operations = self.core.operations.borrow_mut();
            let Some(slot) = operations.get(key) else {
                self.key.set(None);
                continue;
            };
            if let Some(arrival) = slot.arrivals.pop_front() {
                operations.held -= usize::from(arrival.holds_buffer());
                return Poll::Ready(arrival);
            }
            if let Some(completion) = slot.done.take() {
                let result = completion.result;
                operations.free(key);
                drop(operations);
                self.key.set(None);
                if result == -Errno::CANCELED.raw_os_error() {
                    continue; // It paused, and everything that waited has been taken.
                }
                return Poll::Ready(Arrival::end(result));
            }
            let before = slot.waker.replace(context.waker().clone());
            drop(operations);
            drop(before);
            return Poll::Pending;
        }
    }
}

impl Drop for Multishot {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            self.core.abandon(key);
        }
    }
}
