//! Operations in flight as the executor sees them: token → who waits, what came. And the two futures over it.
//!
//! ```text
//!  Single:     New ──submit──▶ in flight ──final completion──▶ done ──poll──▶ slot free
//!                                  └─ dropped ─▶ abandoned, cancel asked ──final──▶ result disposed of (INV-7), slot free
//!  Multishot:  submit ─▶ in flight ─▶ arrivals queue up ─▶ taken one by one
//!                          └─ too many queued ─▶ cancel (a pause); armed again when they are taken
//! ```
//!
//! `settle` runs while the driver is borrowed for `reap`. So it runs no foreign code: it wakes our own tasks (which only
//! queues them) and leaves everything else (foreign wakers, destructors, cancels) in `deferred` for right after.
mod multishot;
mod single;
mod table;

pub(crate) use multishot::Multishot;
pub(crate) use single::Single;
pub(crate) use table::{Deferred, Operations};

use crate::{core::Core, task};
use ringwheel_driver::{Completion, Operation, Ticket, driver::RefusedReason};
use rustix::io::Errno;
use std::{cell::RefCell, task::Waker};
use table::{After, Key, Phase};

/// The lists that `Core` keeps for this file.
pub(crate) type DeferredList = RefCell<Vec<Deferred>>;

/// What became of a submit.
enum Submitted {
    Accepted(Key),
    /// No room: the waker is called when there may be.
    Later,
    Refused(i32),
}

impl Core {
    /// Moves the operation away when it is accepted.
    #[inline]
    fn submit(&self, operation: &mut Operation, phase: Phase, waker: &Waker) -> Submitted {
        let Ok(mut driver) = self.driver.try_borrow_mut() else {
            // Polled from inside a client's callback, while the client has the driver: try again in the next turn.
            waker.wake_by_ref();
            return Submitted::Later;
        };
        let Some(driver) = &mut *driver else {
            return Submitted::Refused(-Errno::CANCELED.raw_os_error());
        };
        let key = self.operations.borrow_mut().reserve(phase, waker.clone());
        match driver.submit_from(operation, key.token()) {
            Ok(ticket) => {
                if let Some(slot) = self.operations.borrow_mut().get(key) {
                    slot.ticket = Some(ticket);
                }
                Submitted::Accepted(key)
            }
            Err(reason) => self.refused(key, reason, waker),
        }
    }

    #[cold]
    fn refused(&self, key: Key, reason: RefusedReason, waker: &Waker) -> Submitted {
        let unused = self.operations.borrow_mut().free(key);
        drop(unused);
        match reason {
            RefusedReason::Full => {
                self.retry_later(waker);
                Submitted::Later
            }
            RefusedReason::Closed => Submitted::Refused(-Errno::CANCELED.raw_os_error()),
            RefusedReason::Unsupported(errno) => Submitted::Refused(-errno.0),
        }
    }

    fn retry_later(&self, waker: &Waker) {
        let mut waiting = self.waiting_for_room.borrow_mut();
        if !waiting.back().is_some_and(|last| last.will_wake(waker)) {
            waiting.push_back(waker.clone());
        }
    }

    /// Takes a completion of the executor's own. Called inside `reap`: runs no foreign code. A completion is 150 bytes, so the
    /// usual kind goes into its slot with one copy.
    #[inline]
    pub(crate) fn settle(&self, completion: Completion) {
        let settled = self.operations.borrow_mut().settle_single(completion);
        match settled {
            Ok(waker) => self.wake_or_defer(waker),
            Err(completion) => self.settle_other(completion),
        }
    }

    #[inline]
    fn wake_or_defer(&self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match task::handle_of(&waker) {
            Some(handle) => task::wake_handle(handle),
            None => self.defer(Deferred::Wake(waker)),
        }
    }

    #[inline(never)]
    fn settle_other(&self, completion: Completion) {
        let After { wake, dispose, cancel, grant } = self.operations.borrow_mut().settle(completion);
        self.wake_or_defer(wake);
        if let Some(grant) = grant {
            self.leave_gate(grant, true);
        }
        if let Some(completion) = dispose {
            self.defer(Deferred::Dispose(completion));
        }
        if let Some(ticket) = cancel {
            self.defer(Deferred::Cancel(ticket));
        }
    }

    pub(crate) fn defer(&self, what: Deferred) {
        self.deferred.borrow_mut().push(what);
    }

    /// Does what `settle` and destructors left, with the driver free.
    pub(crate) fn run_deferred(&self) {
        loop {
            let next = self.deferred.borrow_mut().pop();
            match next {
                None => return,
                Some(Deferred::Wake(waker)) => self.tasks.wake_any(waker),
                Some(Deferred::Dispose(completion)) => self.tasks.guarded(|| drop(completion)),
                Some(Deferred::DisposeEnded(ended)) => self.tasks.guarded(|| drop(ended)),
                Some(Deferred::DisposeArrivals(arrivals)) => self.tasks.guarded(|| drop(arrivals)),
                Some(Deferred::Cancel(ticket)) => {
                    if let Ok(mut driver) = self.driver.try_borrow_mut()
                        && let Some(driver) = &mut *driver
                    {
                        driver.cancel(ticket);
                    }
                }
            }
        }
    }

    /// Ends what was in flight when the driver went: those who hold its futures see ECANCELED.
    pub(crate) fn close_operations(&self) {
        self.close_gate();
        let wakers = self.operations.borrow_mut().close();
        for waker in wakers {
            self.tasks.wake_any(waker);
        }
    }

    /// Wakes as many of those whose submit found no room as there is room for now, first come first; all of them when
    /// nothing is in flight, since some that were woken may have gone without using their room.
    pub(crate) fn wake_waiting_for_room(&self, room: usize) {
        if self.waiting_for_room.borrow().is_empty() {
            return;
        }
        let idle = self
            .driver
            .try_borrow()
            .is_ok_and(|driver| driver.as_ref().is_none_or(|driver| driver.in_flight() == 0));
        let mut left = if idle { usize::MAX } else { room };
        while left > 0
            && let Some(waker) = { self.waiting_for_room.borrow_mut().pop_front() }
        {
            self.tasks.wake_any(waker);
            left -= 1;
        }
    }

    fn abandon(&self, key: Key) {
        let left = self.operations.borrow_mut().abandon(key);
        for what in left.into_iter().flatten() {
            match what {
                Deferred::Cancel(ticket) => self.cancel(ticket),
                other => drop(other),
            }
        }
    }

    /// Asks for the end of a multishot, whose arrivals stay.
    fn pause(&self, key: Key) {
        let ticket = self.operations.borrow_mut().pause(key);
        if let Some(ticket) = ticket {
            self.cancel(ticket);
        }
    }

    fn cancel(&self, ticket: Ticket) {
        match self.driver.try_borrow_mut() {
            Ok(mut driver) => {
                if let Some(driver) = &mut *driver {
                    driver.cancel(ticket);
                }
            }
            Err(_) => self.defer(Deferred::Cancel(ticket)),
        }
    }
}
