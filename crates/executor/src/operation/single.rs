//! The future of an operation with one completion.
use super::{
    Submitted,
    table::{Key, Phase, ended},
};
use crate::core::Core;
use ringwheel_driver::{Completion, Operation};
use rustix::io::Errno;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// One operation with one completion. Dropping it asks for its end; a late result is disposed of (INV-7).
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct Single {
    core: Rc<Core>,
    state: State,
}

#[derive(Debug)]
enum State {
    New(Operation),
    InFlight(Key),
    Over,
}

impl Single {
    pub(crate) fn new(core: Rc<Core>, operation: Operation) -> Single {
        Single { core, state: State::New(operation) }
    }
}

impl Future for Single {
    type Output = Completion;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completion> {
        let this = &mut *self;
        match std::mem::replace(&mut this.state, State::Over) {
            State::New(operation) => match this.core.submit(operation, Phase::Single, context.waker()) {
                Submitted::Accepted(key) => {
                    this.state = State::InFlight(key);
                    Poll::Pending
                }
                Submitted::Later(operation) => {
                    this.state = State::New(operation);
                    Poll::Pending
                }
                Submitted::Refused(operation, result) => {
                    Poll::Ready(Completion { operation: Some(operation), ..ended(result) })
                }
            },
            State::InFlight(key) => {
                let mut operations = this.core.operations.borrow_mut();
                let Some(slot) = operations.get(key) else {
                    return Poll::Ready(ended(-Errno::CANCELED.raw_os_error()));
                };
                if let Some(completion) = slot.done.take() {
                    operations.free(key);
                    return Poll::Ready(completion);
                }
                let before = slot.waker.replace(context.waker().clone());
                drop(operations);
                drop(before);
                this.state = State::InFlight(key);
                Poll::Pending
            }
            State::Over => Poll::Ready(ended(-Errno::CANCELED.raw_os_error())),
        }
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if let State::InFlight(key) = self.state {
            self.core.abandon(key);
        }
    }
}
