//! Who waits, in order: a list threaded through a vector, so that joining and leaving it allocates nothing once it has grown.
//!
//! Every method is a leaf: wakers are cloned before and woken or dropped after, never while the list is borrowed.
use std::{cell::RefCell, task::Waker};

const NONE: u32 = u32::MAX;

/// One who waits. Given back exactly once, to [`Waiters::leave`] or by a [`Waiters::look`] that says anything but `Waiting`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

/// What became of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Waiting,
    Served,
    /// What it waited for was closed.
    Refused,
}

#[derive(Debug)]
struct Entry {
    fate: Fate,
    waker: Option<Waker>,
    /// How much it wants.
    want: usize,
    before: u32,
    after: u32,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    first: u32,
    last: u32,
    /// The first of the unused entries, linked by `after`.
    free: u32,
}

/// The list.
#[derive(Debug)]
pub(crate) struct Waiters {
    inner: RefCell<Inner>,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters { inner: RefCell::new(Inner { entries: Vec::new(), first: NONE, last: NONE, free: NONE }) }
    }
}

impl Inner {
    fn unlink(&mut self, index: u32) {
        let (before, after) = {
            let entry = &self.entries[index as usize];
            (entry.before, entry.after)
        };
        match before {
            NONE => self.first = after,
            before => self.entries[before as usize].after = after,
        }
        match after {
            NONE => self.last = before,
            after => self.entries[after as usize].before = before,
        }
    }

    fn release(&mut self, index: u32) -> Option<Waker> {
        let free = self.free;
        self.free = index;
        let entry = &mut self.entries[index as usize];
        entry.after = free;
        entry.waker.take()
    }
}

impl Waiters {
    pub(crate) fn is_empty(&self) -> bool {
        self.inner.borrow().first == NONE
    }

    /// How much the first one wants.
    pub(crate) fn first_wants(&self) -> Option<usize> {
        let inner = self.inner.borrow();
        inner.entries.get(inner.first as usize).map(|entry| entry.want)
    }

    /// Joins at the end.
    pub(crate) fn join(&self, waker: Waker, want: usize) -> Ticket {
        let mut inner = self.inner.borrow_mut();
        let before = inner.last;
        let entry = Entry { fate: Fate::Waiting, waker: Some(waker), want, before, after: NONE };
        let index = match inner.free {
            NONE => {
                inner.entries.push(entry);
                inner.entries.len() as u32 - 1
            }
            index => {
                inner.free = inner.entries[index as usize].after;
                inner.entries[index as usize] = entry;
                index
            }
        };
        match before {
            NONE => inner.first = index,
            before => inner.entries[before as usize].after = index,
        }
        inner.last = index;
        Ticket(index)
    }

    /// What became of a ticket; while it waits, `waker` is the one to wake. The second is to be dropped by the caller.
    pub(crate) fn look(&self, ticket: &Ticket, waker: Waker) -> (Fate, Option<Waker>) {
        let mut inner = self.inner.borrow_mut();
        let entry = &mut inner.entries[ticket.0 as usize];
        match entry.fate {
            Fate::Waiting => (Fate::Waiting, entry.waker.replace(waker)),
            fate => {
                let rest = inner.release(ticket.0);
                debug_assert!(rest.is_none(), "it was woken");
                (fate, Some(waker))
            }
        }
    }

    /// Stops waiting. What had become of it by then, and a waker for the caller to drop.
    pub(crate) fn leave(&self, ticket: Ticket) -> (Fate, Option<Waker>) {
        let mut inner = self.inner.borrow_mut();
        let fate = inner.entries[ticket.0 as usize].fate;
        if fate == Fate::Waiting {
            inner.unlink(ticket.0);
        }
        (fate, inner.release(ticket.0))
    }

    /// Serves or refuses the first one: its waker, for the caller to wake.
    pub(crate) fn settle_first(&self, fate: Fate) -> Option<Waker> {
        let mut inner = self.inner.borrow_mut();
        let index = inner.first;
        let entry = inner.entries.get_mut(index as usize)?;
        entry.fate = fate;
        let waker = entry.waker.take();
        inner.unlink(index);
        waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(waiters: &Waiters, want: usize) -> Ticket {
        waiters.join(Waker::noop().clone(), want)
    }

    #[test]
    fn they_are_served_in_order_wherever_one_leaves() {
        for leaver in 0..3 {
            let waiters = Waiters::default();
            let mut tickets: Vec<Option<Ticket>> = (0..3).map(|want| Some(join(&waiters, want))).collect();
            let left = tickets[leaver].take().map(|ticket| waiters.leave(ticket).0);
            assert_eq!(left, Some(Fate::Waiting));
            for (want, ticket) in tickets.iter().enumerate() {
                let Some(ticket) = ticket else { continue };
                assert_eq!(waiters.first_wants(), Some(want));
                assert!(waiters.settle_first(Fate::Served).is_some());
                assert_eq!(waiters.look(ticket, Waker::noop().clone()).0, Fate::Served);
            }
            assert!(waiters.is_empty());
            assert!(waiters.settle_first(Fate::Served).is_none());
        }
    }

    #[test]
    fn entries_are_used_again() {
        let waiters = Waiters::default();
        for _ in 0..100 {
            let (first, second) = (join(&waiters, 1), join(&waiters, 1));
            waiters.settle_first(Fate::Refused);
            assert_eq!(waiters.leave(first).0, Fate::Refused);
            assert_eq!(waiters.look(&second, Waker::noop().clone()).0, Fate::Waiting);
            waiters.leave(second);
        }
        assert_eq!(waiters.inner.borrow().entries.len(), 2);
    }
}
