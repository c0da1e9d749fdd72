//! What the driver can do: one folder per family, `mod.rs` = what it means, `uring.rs` = the SQE, `poll.rs` = the fallback.
//!
//! The enum is closed on purpose: every backend matches on all of it, so an operation without a backend does not compile.
pub mod file;
pub mod job;
pub mod ready;
pub mod socket;

use crate::Handle;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// One operation with everything it owns.
#[derive(Debug)]
pub enum Operation {
    /// Completes with 0. For self-checks and tests.
    Nop,
    /// Opens a file. See [`file::Open`].
    Open(file::Open),
    /// Closes a handle when it is the last one. See [`file::Close`].
    Close(file::Close),
    /// Reads at an offset. See [`file::Read`].
    Read(file::Read),
    /// Writes at an offset. See [`file::Write`].
    Write(file::Write),
    /// fsync or fdatasync. See [`file::Sync`].
    Sync(file::Sync),
    /// Sets a file's length. See [`file::Truncate`].
    Truncate(file::Truncate),
    /// Metadata into memory. See [`file::Stat`].
    Stat(file::Stat),
    /// Accepts connections, multishot. See [`socket::Accept`].
    Accept(socket::Accept),
    /// Receives into provided buffers, multishot. See [`socket::Receive`].
    Receive(socket::Receive),
    /// Sends bytes. See [`socket::Send`].
    Send(socket::Send),
    /// Connects a socket. See [`socket::Connect`].
    Connect(socket::Connect),
    /// Waits for readiness, one shot. See [`ready::Ready`].
    Ready(ready::Ready),
    /// Runs a closure on the blocking pool. See [`job::Job`].
    Job(job::Job),
}

impl Operation {
    /// Moves it away and leaves a `Nop`.
    #[inline]
    pub(crate) fn take(&mut self) -> Operation {
        std::mem::replace(self, Operation::Nop)
    }

    /// True for a read or write at the file's own position.
    #[inline]
    pub(crate) fn is_at_position(&self) -> bool {
        matches!(
            self,
            Operation::Read(file::Read { offset: u64::MAX, .. })
                | Operation::Write(file::Write { offset: u64::MAX, .. })
        )
    }

    /// True for operations with many completions.
    #[inline]
    pub fn is_multishot(&self) -> bool {
        matches!(self, Operation::Accept(_) | Operation::Receive(_))
    }

    /// True for what may wait for ever and has no memory: it does not count against the completion queue, so that others find room beside it.
    #[inline]
    pub(crate) fn counts_apart(&self) -> bool {
        self.is_multishot() || matches!(self, Operation::Ready(_))
    }
}

/// What an entry of the ring points at besides the operation's own memory. Lies in the slab beside it (INV-1).
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) enum Aside {
    /// How a file is opened.
    Open(file::uring::Opening),
    /// A peer's address.
    Address(socket2::SockAddr),
}

/// Turns the kernel's result into the completion's: result, descriptor, and the operation with its memory.
#[inline]
pub(crate) fn finish(operation: &mut Operation, result: i32) -> (i32, Option<Handle>) {
    match operation {
        Operation::Read(read) if result >= 0 => read.target.filled(result as usize),
        Operation::Open(_) if result >= 0 => return (0, Some(opened(result))),
        Operation::Close(_) => {
            *operation = close(operation.take(), result);
        }
        _ => {}
    }
    (result, None)
}

/// A handle whose descriptor the kernel closed must not close it again, so what comes back is a `Nop`. It did unless it never ran: close(2) releases the
/// descriptor also when it reports an error.
fn close(operation: Operation, result: i32) -> Operation {
    let canceled = -rustix::io::Errno::CANCELED.raw_os_error();
    match operation {
        Operation::Close(close) if result != canceled => {
            close.file.forget_closed();
            Operation::Nop
        }
        other => other,
    }
}

/// The descriptor that an operation completed with.
pub(crate) fn opened(fd: RawFd) -> Handle {
    // SAFETY: `from_raw_fd` needs an open descriptor that nobody else owns: the kernel made it for this completion, which is
    // handled once (INV-7). Checked: tests/leaks.rs.
    Handle::from_owned(unsafe { OwnedFd::from_raw_fd(fd) })
}
