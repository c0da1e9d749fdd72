//! The future of an operation with one completion.
use super::{
    Submitted,
    table::{Ended, Key, Phase, ended},
};
use crate::{
    core::Core,
    io::{Grant, Waiting},
};
use ringwheel_driver::Operation;
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
    /// Not with the driver yet.
    New(Operation, Leave),
    InFlight(Key),
    Over,
}

/// Whether it may go to the disk ([`crate::io`]).
#[derive(Debug)]
enum Leave {
    Unasked,
    Waiting(Rc<Waiting>),
    /// It may, with a grant where one is needed; without, it found no room in the driver.
    Given(Option<Grant>),
}

impl Single {
    pub(crate) fn new(core: Rc<Core>, operation: Operation) -> Single {
        Single { core, state: State::New(operation, Leave::Unasked) }
    }

    /// Hands it to the driver, once it may go.
    #[inline]
    fn submit(&mut self, waker: &Waker) -> Poll<Ended> {
        let State::New(operation, leave) = &mut self.state else {
            return Poll::Ready(ended(-Errno::CANCELED.raw_os_error()));
        };
        if !matches!(leave, Leave::Given(_)) && !leave.ask(&self.core, operation, waker) {
            return Poll::Pending;
        }
        match self.core.submit(operation, Phase::Single, waker) {
            Submitted::Accepted(key) => {
                if let Some(grant) = leave.grant()
                    && let Some(slot) = self.core.operations.borrow_mut().get(key)
                {
                    slot.grant = Some(grant);
                }
                self.state = State::InFlight(key);
                Poll::Pending
            }
            Submitted::Later => Poll::Pending,
            Submitted::Refused(result) => {
                if let Some(grant) = leave.grant() {
                    self.core.leave_gate(grant, false);
                }
                let operation = match std::mem::replace(&mut self.state, State::Over) {
                    State::New(operation, _) => Some(operation),
                    State::InFlight(_) | State::Over => None,
                };
                Poll::Ready(Ended { operation, ..ended(result) })
            }
        }
    }
}

impl Leave {
    /// Asks for it, or looks whether it came. False: not yet, and `waker` will be called.
    fn ask(&mut self, core: &Core, operation: &Operation, waker: &Waker) -> bool {
        let asked = match self {
            Leave::Unasked => core.ask_gate(operation, waker),
            Leave::Waiting(waiting) => waiting.poll(waker).map(Some).ok_or_else(|| Rc::clone(waiting)),
            Leave::Given(_) => return true,
        };
        let may = asked.is_ok();
        *self = asked.map_or_else(Leave::Waiting, Leave::Given);
        may
    }

    /// What it holds, to be used or given back.
    fn grant(&mut self) -> Option<Grant> {
        match self {
            Leave::Unasked => None,
            Leave::Waiting(waiting) => waiting.leave(),
            Leave::Given(grant) => grant.take(),
        }
    }
}

impl Future for Single {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        let State::InFlight(key) = this.state else { return this.submit(context.waker()) };
        let mut operations = this.core.operations.borrow_mut();
        let Some(slot) = operations.get(key) else {
            this.state = State::Over;
            return Poll::Ready(ended(-Errno::CANCELED.raw_os_error()));
        };
        if let Some(ended) = slot.done.take() {
            operations.free(key);
            this.state = State::Over;
            return Poll::Ready(ended);
        }
        let before = slot.waker.replace(context.waker().clone());
        drop(operations);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        match &mut self.state {
            State::Over => {}
            State::InFlight(key) => self.core.abandon(*key),
            State::New(_, leave) => {
                if let Some(grant) = leave.grant() {
                    self.core.leave_gate(grant, false);
                }
            }
        }
    }
}
