//! The future of an operation with one completion.
use super::{
    Submitted,
    table::{Key, Phase, ended},
};
use crate::{
    core::Core,
    io::{Grant, Waiting},
};
use ringwheel_driver::{Completion, Operation};
use rustix::io::Errno;
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
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
    /// Waits for the disk's turn ([`crate::io`]).
    Waiting(Operation, Rc<Waiting>),
    /// May go, and found no room in the driver.
    Granted(Operation, Grant),
    InFlight(Key),
    Over,
}

impl Single {
    pub(crate) fn new(core: Rc<Core>, operation: Operation) -> Single {
        Single { core, state: State::New(operation) }
    }

    fn submit(&mut self, operation: Operation, grant: Option<Grant>, waker: &Waker) -> Poll<Completion> {
        match self.core.submit(operation, Phase::Single, waker) {
            Submitted::Accepted(key) => {
                if grant.is_some()
                    && let Some(slot) = self.core.operations.borrow_mut().get(key)
                {
                    slot.grant = grant;
                }
                self.state = State::InFlight(key);
                Poll::Pending
            }
            Submitted::Later(operation) => {
                self.state = match grant {
                    Some(grant) => State::Granted(operation, grant),
                    None => State::New(operation),
                };
                Poll::Pending
            }
            Submitted::Refused(operation, result) => {
                if let Some(grant) = grant {
                    self.core.leave_gate(grant, false);
                }
                Poll::Ready(Completion { operation: Some(operation), ..ended(result) })
            }
        }
    }
}

impl Future for Single {
    type Output = Completion;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completion> {
        let this = &mut *self;
        // First what most polls find: that needs no copy of the state, which holds a whole operation when it is new.
        if let State::InFlight(key) = this.state {
            let mut operations = this.core.operations.borrow_mut();
            let Some(slot) = operations.get(key) else {
                this.state = State::Over;
                return Poll::Ready(ended(-Errno::CANCELED.raw_os_error()));
            };
            if let Some(completion) = slot.done.take() {
                operations.free(key);
                this.state = State::Over;
                return Poll::Ready(completion);
            }
            let before = slot.waker.replace(context.waker().clone());
            drop(operations);
            drop(before);
            return Poll::Pending;
        }
        match std::mem::replace(&mut this.state, State::Over) {
            State::New(operation) => match this.core.ask_gate(&operation, context.waker()) {
                Ok(grant) => this.submit(operation, grant, context.waker()),
                Err(waiting) => {
                    this.state = State::Waiting(operation, waiting);
                    Poll::Pending
                }
            },
            State::Waiting(operation, waiting) => match waiting.poll(context.waker()) {
                Some(grant) => this.submit(operation, Some(grant), context.waker()),
                None => {
                    this.state = State::Waiting(operation, waiting);
                    Poll::Pending
                }
            },
            State::Granted(operation, grant) => this.submit(operation, Some(grant), context.waker()),
            State::InFlight(_) | State::Over => Poll::Ready(ended(-Errno::CANCELED.raw_os_error())),
        }
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::InFlight(key) => self.core.abandon(key),
            State::Waiting(_, waiting) => {
                if let Some(grant) = waiting.leave() {
                    self.core.leave_gate(grant, false);
                }
            }
            State::Granted(_, grant) => self.core.leave_gate(grant, false),
            State::New(_) | State::Over => {}
        }
    }
}
