//! The scheduler at work in an executor: reads and writes of files wait here for their grants.
use super::{Adaptive, AdaptiveStats, Class, Costs, Grant, Scheduler, work};
use crate::{core::Core, operation::Deferred, task};
use ringwheel_driver::{Operation, preempt::now_ns};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

/// One that waits, shared with the scheduler. When its future is dropped the grant it gets goes to the next.
#[derive(Debug)]
pub(crate) struct Waiting {
    grant: Cell<Option<Grant>>,
    /// Nobody waits any more.
    gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The gate of an executor.
#[derive(Debug)]
pub(crate) struct Gate {
    scheduler: RefCell<Scheduler<Rc<Waiting>>>,
    costs: Costs,
    /// The driver is gone: everything may go, and is refused there.
    closed: Cell<bool>,
}

impl Gate {
    pub(crate) fn new(adaptive: &Adaptive) -> Gate {
        Gate {
            scheduler: RefCell::new(Scheduler::new(adaptive.depth())),
            costs: adaptive.costs(),
            closed: Cell::new(false),
        }
    }

    pub(crate) fn stats(&self) -> AdaptiveStats {
        self.scheduler.borrow().stats()
    }

    /// A grant that was not used: the operation never reached the driver.
    pub(crate) fn returned(&self, grant: Grant) {
        self.scheduler.borrow_mut().returned(grant);
    }

    /// Granted work has ended. Runs no foreign code: whom to wake comes back through `wake`.
    pub(crate) fn completed(&self, grant: Grant, wake: impl FnMut(Waker)) {
        let now = now_ns();
        self.scheduler.borrow_mut().completed(grant, now);
        self.grant_more(now, wake);
    }

    /// Lets everybody go: the driver is gone, and tells them so.
    fn close(&self, wake: impl FnMut(Waker)) {
        self.closed.set(true);
        self.grant_more(now_ns(), wake);
    }

    /// Lets those go who may.
    pub(crate) fn grant_more(&self, now: u64, mut wake: impl FnMut(Waker)) {
        let mut scheduler = self.scheduler.borrow_mut();
        let closed = self.closed.get();
        while let Some((waiting, grant)) = if closed { scheduler.any(now) } else { scheduler.pick(now) } {
            if waiting.gone.get() {
                scheduler.returned(grant);
                continue;
            }
            waiting.grant.set(Some(grant));
            if let Some(waker) = waiting.waker.take() {
                wake(waker);
            }
        }
    }
}

impl Waiting {
    /// The grant, once it is there; else `waker` is called when it is.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<Grant> {
        let grant = self.grant.take();
        if grant.is_none() {
            let before = self.waker.replace(Some(waker.clone()));
            drop(before);
        }
        grant
    }

    /// Nobody waits any more. The grant that it had already comes back.
    pub(crate) fn leave(&self) -> Option<Grant> {
        self.gone.set(true);
        let waker = self.waker.take();
        drop(waker);
        self.grant.take()
    }
}

impl Core {
    /// Asks for leave to submit. `Ok(None)`: none is needed.
    pub(crate) fn ask_gate(
        &self,
        operation: &Operation,
        waker: &Waker,
    ) -> Result<Option<Grant>, Rc<Waiting>> {
        let Some(gate) = self.gate.as_ref().filter(|gate| !gate.closed.get()) else { return Ok(None) };
        let Some(work) = work(&gate.costs, operation) else { return Ok(None) };
        let queue = self.tasks.queues.at(self.tasks.current_queue());
        let class = Class {
            index: self.tasks.current_queue(),
            shares: queue.shares.get(),
            urgent: queue.latency.get() > 0,
        };
        let mut waiting = None;
        let asked = gate.scheduler.borrow_mut().ask(class, work, now_ns(), || {
            let new = Rc::new(Waiting {
                grant: Cell::new(None),
                gone: Cell::new(false),
                waker: RefCell::new(Some(waker.clone())),
            });
            waiting = Some(Rc::clone(&new));
            new
        });
        match (asked, waiting) {
            (Some(grant), _) => Ok(Some(grant)),
            (None, Some(waiting)) => Err(waiting),
            (None, None) => Ok(None),
        }
    }

    /// Ends the gate: those who wait are woken, and see that the driver is gone.
    pub(crate) fn close_gate(&self) {
        if let Some(gate) = &self.gate {
            gate.close(|waker| self.defer(Deferred::Wake(waker)));
            self.run_deferred();
        }
    }

    /// Granted work has ended; those who waited for its room are woken.
    pub(crate) fn leave_gate(&self, grant: Grant, used: bool) {
        let Some(gate) = &self.gate else { return };
        let wake = |waker: Waker| match task::handle_of(&waker) {
            Some(handle) => task::wake_handle(handle),
            None => self.defer(Deferred::Wake(waker)),
        };
        if used {
            gate.completed(grant, wake);
        } else {
            gate.returned(grant);
            gate.grant_more(now_ns(), wake);
        }
    }
}
