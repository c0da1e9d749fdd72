//! What one non-blocking attempt at an operation came to.
use super::pool::Work;
use rustix::io::Errno;

/// The outcome of one attempt on the driver's thread.
pub(crate) enum Attempt {
    /// It ended with this result.
    Done(i32),
    /// Not now: try again when the descriptor has news.
    Wait,
    /// It moved its share of this turn and met no EAGAIN: try again next turn.
    Again,
    /// A receive without a free chunk: try again when one came back.
    NoChunk,
    /// It would block: a pool thread's work.
    Pool(Work),
}

impl Attempt {
    /// Ended with an errno.
    pub(crate) fn failed(errno: Errno) -> Attempt {
        Attempt::Done(-errno.raw_os_error())
    }

    /// Ended with a count of bytes, which `limits::TRANSFER` keeps within an i32.
    pub(crate) fn moved(bytes: usize) -> Attempt {
        debug_assert!(bytes <= crate::limits::TRANSFER);
        Attempt::Done(bytes as i32)
    }

    /// Ended as a system call did.
    pub(crate) fn of(result: rustix::io::Result<usize>) -> Attempt {
        match result {
            Ok(bytes) => Attempt::moved(bytes),
            Err(errno) => Attempt::failed(errno),
        }
    }
}
