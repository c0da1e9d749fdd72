//! Readiness on the poll backend: poll(2) without waiting says the exact bits; the poller says when to ask again.
use super::Ready;
use crate::poll::attempt::Attempt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd, BorrowedFd};

/// The bits that are set now, without waiting.
pub(crate) fn bits_now(fd: BorrowedFd<'_>, events: PollFlags) -> rustix::io::Result<PollFlags> {
    let mut fds = [PollFd::from_borrowed_fd(fd, events)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
    Ok(fds[0].revents())
}

impl Ready {
    /// POLLIN, POLLOUT and their kin, as poll(2) knows them.
    pub(crate) fn flags(&self) -> PollFlags {
        PollFlags::from_bits_truncate(self.events as _)
    }

    /// Asks once.
    pub(crate) fn attempt(&self) -> Attempt {
        match bits_now(self.file.as_fd(), self.flags()) {
            Ok(bits) if bits.is_empty() => Attempt::Wait,
            Ok(bits) => Attempt::Done(i32::from(bits.bits())),
            Err(errno) => Attempt::failed(errno),
        }
    }
}
