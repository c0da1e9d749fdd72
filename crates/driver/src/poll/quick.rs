//! Linux: waits on the poller's epoll descriptor with one system call.
//!
//! `Poller::wait` makes five each time: it sets a timerfd and registers that, waits, reads the notification's eventfd and
//! registers that again. Here it is asked only when there is a notification, which it has to clear, and for the last part
//! of a timeout, for which epoll_wait's milliseconds are too coarse.
use super::sources::News;
use crate::Errno;
use polling::Poller;
use rustix::{
    event::{
        Timespec,
        epoll::{self, EventFlags},
    },
    io::Errno as E,
};
use std::{
    fmt,
    os::fd::RawFd,
    time::{Duration, Instant},
};

/// The key of the poller's own descriptors: it refuses to register anything else under it.
const POLLER_KEY: u64 = usize::MAX as u64;

/// Descriptors with news that one call can tell of.
const EVENTS_MAX: usize = 1024;

/// Longest single wait: rustix hands milliseconds to the kernel as an i32.
const WAIT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// There were news, or there is no time left.
    Done,
    /// Ask the poller for at most so long.
    Wait(Option<Duration>),
}

/// Room for what the kernel tells.
pub(super) struct Quick {
    found: Vec<epoll::Event>,
}

impl fmt::Debug for Quick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quick").field("found", &self.found.len()).finish()
    }
}

impl Default for Quick {
    fn default() -> Quick {
        Quick { found: Vec::with_capacity(EVENTS_MAX) }
    }
}

impl Quick {
    pub(super) fn wait(
        &mut self,
        poller: &Poller,
        timeout: Option<Duration>,
        news: &mut Vec<News>,
    ) -> Result<Then, Errno> {
        let deadline = timeout.filter(|time| !time.is_zero()).map(|time| Instant::now() + time.min(WAIT_MAX));
        loop {
            let left = match deadline {
                Some(deadline) => Some(deadline.saturating_duration_since(Instant::now())),
                None => timeout, // Zero, or for ever.
            };
            // Whole milliseconds, rounded down: the poller's timerfd has the rest.
            let whole = left.map(|left| Duration::from_millis(left.as_millis() as u64));
            if deadline.is_some() && whole == Some(Duration::ZERO) {
                return Ok(Then::Wait(left));
            }
            let whole = whole.and_then(|whole| Timespec::try_from(whole).ok());
            self.found.clear();
            match epoll::wait(poller, rustix::buffer::spare_capacity(&mut self.found), whole.as_ref()) {
                Ok(0) if deadline.is_some() => {}
                Ok(_) => break,
                Err(E::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut notified = false;
        for event in &self.found {
            let (key, flags) = (event.data.u64(), event.flags);
            if key == POLLER_KEY {
                notified = true;
                continue;
            }
            let both = EventFlags::HUP | EventFlags::ERR;
            news.push(News {
                fd: key as RawFd,
                readable: flags.intersects(both | EventFlags::IN | EventFlags::PRI),
                writable: flags.intersects(both | EventFlags::OUT),
            });
        }
        Ok(if notified { Then::Wait(Some(Duration::ZERO)) } else { Then::Done })
    }
}
