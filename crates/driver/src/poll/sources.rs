//! Descriptors that operations wait on: who waits, in which order, and the poller that says when to try again.
//!
//! A descriptor is registered once, for both directions and edge-triggered, when its first operation has to wait, and
//! removed with its last: no system call per event. Edge-triggered, because the poller always asks for urgent data and
//! hang-ups too, and a level that nobody consumes (one byte of TCP urgent data) would make every wait return at once.
//! The price: whoever waits must have met EAGAIN first, and who stops before EAGAIN must come back on its own (`again`).
#[cfg(target_os = "linux")]
use super::quick::{Quick, Then};
use crate::{Errno, inflight::Key};
use polling::{Event, Events, PollMode, Poller};
use std::{
    collections::VecDeque,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
    time::Duration,
};

/// A direction of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Accept, receive, read.
    Read,
    /// Send, connect, write.
    Write,
}

/// One operation that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) key: Key,
    /// It moves bytes, so those behind it must not overtake; `Ready` only looks.
    pub(super) ordered: bool,
}

#[derive(Debug, Default)]
struct Source {
    readers: VecDeque<Waiter>,
    writers: VecDeque<Waiter>,
    registered: bool,
    read_again: bool,
    write_again: bool,
}

/// A descriptor with news.
#[derive(Clone, Copy, Debug)]
pub(super) struct News {
    pub(super) fd: RawFd,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

/// All descriptors that operations wait on.
#[derive(Debug)]
pub(super) struct Sources {
    poller: Arc<Poller>,
    events: Events,
    #[cfg(target_os = "linux")]
    quick: Quick,
    /// Indexed by descriptor: they are small and dense. Entries keep their queues' memory.
    table: Vec<Source>,
    registered: usize,
    /// Descriptors whose operations used up their share of a turn before they met EAGAIN.
    again: VecDeque<(RawFd, Side)>,
}

impl Source {
    fn side(&mut self, side: Side) -> &mut VecDeque<Waiter> {
        match side {
            Side::Read => &mut self.readers,
            Side::Write => &mut self.writers,
        }
    }

    fn again(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Read => &mut self.read_again,
            Side::Write => &mut self.write_again,
        }
    }
}

impl Sources {
    pub(super) fn new(poller: Arc<Poller>) -> Sources {
        Sources {
            poller,
            events: Events::new(),
            #[cfg(target_os = "linux")]
            quick: Quick::default(),
            table: Vec::new(),
            registered: 0,
            again: VecDeque::new(),
        }
    }

    /// True when nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.registered == 0
    }

    /// True when an operation that moves bytes waits on that side: later ones queue behind it.
    pub(super) fn has_ordered(&self, fd: RawFd, side: Side) -> bool {
        let Some(source) = self.table.get(fd as usize) else { return false };
        let waiters = if side == Side::Read { &source.readers } else { &source.writers };
        waiters.iter().any(|waiter| waiter.ordered)
    }

    /// Lets an operation wait. The caller keeps its handle alive until [`Sources::leave`].
    pub(super) fn join(&mut self, fd: BorrowedFd<'_>, side: Side, waiter: Waiter) -> Result<(), Errno> {
        let index = fd.as_raw_fd() as usize;
        if index >= self.table.len() {
            self.table.resize_with(index + 1, Source::default);
        }
        if !self.table[index].registered {
            self.register(fd)?;
            self.table[index].registered = true;
            self.registered += 1;
        }
        self.table[index].side(side).push_back(waiter);
        Ok(())
    }

    fn register(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let interest = Event::all(fd.as_raw_fd() as usize);
        // SAFETY: `add_with_mode` needs the descriptor to be deleted from the poller before it is closed.
        // Holds: each waiting operation owns a clone of its handle in the slab, and `leave` of the last one deletes the
        // registration before that clone can be dropped (INV-1).
        // Checked: tests/contract.rs, "a descriptor's number may be used again".
        let added = unsafe { self.poller.add_with_mode(fd.as_raw_fd(), interest, PollMode::Edge) };
        match added {
            // Somebody closed the number behind our back and the old file lives on under a duplicate: take it over.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::EXIST.raw_os_error()) => {
                self.poller.modify_with_mode(fd, interest, PollMode::Edge)
            }
            other => other,
        }
        .map_err(|error| Errno::of(&error))
    }

    /// Takes an operation off its descriptor, and the descriptor off the poller when nobody else waits.
    pub(super) fn leave(&mut self, fd: BorrowedFd<'_>, key: Key) {
        let Some(source) = self.table.get_mut(fd.as_raw_fd() as usize) else { return };
        for waiters in [&mut source.readers, &mut source.writers] {
            // Who leaves is mostly the first.
            if let Some(index) = waiters.iter().position(|waiter| waiter.key == key) {
                waiters.remove(index);
            }
        }
        if source.registered && source.readers.is_empty() && source.writers.is_empty() {
            source.registered = false;
            self.registered -= 1;
            // It cannot fail but for a descriptor that the poller no longer knows, which is what we want.
            let _ = self.poller.delete(fd);
        }
    }

    /// The `index`th operation that waits on that side.
    pub(super) fn waiter(&mut self, fd: RawFd, side: Side, index: usize) -> Option<Waiter> {
        self.table.get_mut(fd as usize)?.side(side).get(index).copied()
    }

    /// Notes that an operation stopped before EAGAIN: its side must be tried again without an event.
    pub(super) fn try_again(&mut self, fd: RawFd, side: Side) {
        let Some(source) = self.table.get_mut(fd as usize) else { return };
        if !std::mem::replace(source.again(side), true) {
            self.again.push_back((fd, side));
        }
    }

    /// True when a side must be tried again.
    pub(super) fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// How many sides must be tried again now.
    pub(super) fn again_count(&self) -> usize {
        self.again.len()
    }

    /// The next side that must be tried again.
    pub(super) fn next_again(&mut self) -> Option<(RawFd, Side)> {
        let (fd, side) = self.again.pop_front()?;
        if let Some(source) = self.table.get_mut(fd as usize) {
            *source.again(side) = false;
        }
        Some((fd, side))
    }

    /// Waits for news, at most so long, and appends them. EINTR is waited out by the poller.
    pub(super) fn wait(&mut self, timeout: Option<Duration>, news: &mut Vec<News>) -> Result<(), Errno> {
        #[cfg(target_os = "linux")]
        let timeout = match self.quick.wait(&self.poller, timeout, news)? {
            Then::Done => return Ok(()),
            Then::Wait(left) => left,
        };
        self.events.clear();
        self.poller.wait(&mut self.events, timeout).map_err(|error| Errno::of(&error))?;
        news.extend(self.events.iter().map(|event| News {
            fd: event.key as RawFd,
            readable: event.readable,
            writable: event.writable,
        }));
        Ok(())
    }

    /// The poller's own descriptor: readable when `wait` would find something.
    pub(super) fn poller_fd(&self) -> RawFd {
        self.poller.as_raw_fd()
    }
}
