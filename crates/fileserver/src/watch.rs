//! Deadlines of connections without a timer each: a connection writes its deadline into a cell, one patrol per core looks.
//!
//! ```text
//!              first byte of a head          head complete
//!   IDLE ───────────────────────────▶ HEAD ──────────────▶ SEND ──▶ IDLE …      LINGER: refused, waiting for the peer's end
//!    │ idle_timeout: closed             │ header_timeout: 408   │ send_timeout: cut      │ 2 s: closed
//! ```
//! Setting a deadline is two stores. The patrol comes by every eighth of the shortest timeout, so a timeout is late by at
//! most that, and never early. A connection that has been sending since the patrol's last round is asked how many bytes its
//! peer has acknowledged (one system call): as long as that grows it has its full time again, however slow it is.
use crate::{options::Limits, post::Post};
use ringwheel_executor::{
    net::{Shutdown, Stream},
    time,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

/// How long a head that has begun may still take once the server drains.
const DRAIN_HEAD: Duration = Duration::from_secs(3);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting for the first byte of a request.
    Idle,
    /// Waiting for the rest of a head, or of a body that is thrown away.
    Head,
    /// Making or sending a response.
    Send,
    /// A handler has the request.
    Route,
    /// Finished but for the peer's end.
    Linger,
}

/// One connection as the patrol sees it.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) stream: Stream,
    phase: Cell<Phase>,
    deadline: Cell<Instant>,
    expired: Cell<bool>,
    place: Cell<usize>,
    /// Bytes that the peer had acknowledged when the patrol last looked.
    acknowledged: Cell<Option<u64>>,
}

impl Watch {
    /// Enters a phase that must end by `deadline`.
    #[inline]
    pub(crate) fn enter(&self, phase: Phase, deadline: Instant) {
        self.phase.set(phase);
        self.deadline.set(deadline);
    }

    /// The current phase.
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// True once the patrol has ended a phase.
    pub(crate) fn is_expired(&self) -> bool {
        self.expired.get()
    }

    /// A send that lasts: gives it its full time again when the peer has taken bytes since the last look.
    fn look(&self, now: Instant, limits: &Limits, interval: Duration) {
        // What began since the last round will be looked at in the next.
        if self.phase.get() != Phase::Send || self.deadline.get() + interval > now + limits.send_timeout {
            return;
        }
        let acknowledged = self.stream.acknowledged();
        if acknowledged.is_some() && acknowledged != self.acknowledged.replace(acknowledged) {
            self.deadline.set(now + limits.send_timeout);
        }
    }

    fn expire(&self) {
        self.expired.set(true);
        // A head that came too slowly still gets its 408, so only reading ends. An error means that the peer is gone
        // already, which ends the connection as well.
        let how = if self.phase.get() == Phase::Head { Shutdown::Read } else { Shutdown::Both };
        drop(self.stream.shutdown(how));
        self.deadline.set(self.deadline.get() + Duration::from_secs(2));
        self.phase.set(Phase::Linger);
    }
}

/// All connections of a core.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    places: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
    count: Cell<usize>,
}

impl Watches {
    /// Adds a connection, idle until `deadline`.
    pub(crate) fn add(&self, stream: Stream, deadline: Instant) -> Rc<Watch> {
        let watch = Rc::new(Watch {
            stream,
            phase: Cell::new(Phase::Idle),
            deadline: Cell::new(deadline),
            expired: Cell::new(false),
            place: Cell::new(0),
            acknowledged: Cell::new(None),
        });
        let mut places = self.places.borrow_mut();
        match self.free.borrow_mut().pop() {
            Some(place) => {
                watch.place.set(place);
                places[place] = Some(Rc::clone(&watch));
            }
            None => {
                watch.place.set(places.len());
                places.push(Some(Rc::clone(&watch)));
            }
        }
        self.count.set(self.count.get() + 1);
        watch
    }

    /// Removes a connection.
    pub(crate) fn remove(&self, watch: &Watch) {
        let place = watch.place.get();
        if let Some(found) = self.places.borrow_mut().get_mut(place).and_then(Option::take) {
            debug_assert_eq!(found.place.get(), place);
            self.free.borrow_mut().push(place);
            self.count.set(self.count.get() - 1);
        }
    }

    /// Connections open.
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// For a drain: ends every connection that waits for a request, and gives half-sent heads little time, so that silent
    /// clients cannot hold the drain until its deadline.
    pub(crate) fn close_idle(&self, now: Instant) {
        self.for_each(|watch| match watch.phase() {
            Phase::Idle => drop(watch.stream.shutdown(Shutdown::Both)),
            Phase::Head => watch.deadline.set(watch.deadline.get().min(now + DRAIN_HEAD)),
            Phase::Send | Phase::Route | Phase::Linger => {}
        });
    }

    /// Ends every connection.
    pub(crate) fn cut_all(&self) {
        self.for_each(|watch| drop(watch.stream.shutdown(Shutdown::Both)));
    }

    fn expire(&self, now: Instant, limits: &Limits, interval: Duration) -> u64 {
        let mut expired = 0;
        self.for_each(|watch| {
            watch.look(now, limits, interval);
            if watch.deadline.get() <= now {
                expired += u64::from(watch.phase() != Phase::Linger);
                watch.expire();
            }
        });
        expired
    }

    fn for_each(&self, mut work: impl FnMut(&Watch)) {
        // Shutting a stream down runs no task, so nothing re-enters while `places` is borrowed.
        for watch in self.places.borrow().iter().flatten() {
            work(watch);
        }
    }
}

/// How often the patrol comes by.
fn patrol_interval(limits: &Limits) -> Duration {
    let shortest = limits.header_timeout.min(limits.idle_timeout).min(limits.send_timeout);
    (shortest / 8).clamp(Duration::from_millis(2), Duration::from_secs(1))
}

/// Looks at every connection's deadline until no connection is left; the next accepted one starts it again, so an idle
/// server sleeps.
pub(crate) async fn patrol(post: &Post) {
    while post.watches.count() > 0
        && let Some(core) = post.newest()
    {
        let limits = &core.options.limits;
        let interval = patrol_interval(limits);
        time::sleep(interval).await;
        let counters = post.counters();
        counters.timeouts.add(post.watches.expire(time::now(), limits, interval));
        counters.publish_executor(post.start);
    }
}
