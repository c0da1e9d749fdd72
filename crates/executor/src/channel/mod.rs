//! Everything that goes from one task to another, on one core or across cores.
//!
//! [`local`] joins tasks of one executor, [`shared`] two executors, [`mesh`] many; [`submit`] runs work on another executor.
pub(crate) mod bell;
pub(crate) mod inbox;
pub mod local;
pub mod mesh;
pub mod shared;
mod spsc;
pub mod submit;

use std::fmt;

/// The other end has gone, or its executor has. The message is back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why a message was not taken at once. It is back.
///
/// ```
/// use ringwheel_executor::{Executor, channel::{TrySendError, local}};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let (sender, receiver) = local::bounded(1)?;
///     sender.try_send("one")?;
///     assert!(matches!(sender.try_send("two"), Err(TrySendError::Full("two"))));
///     drop(receiver);
///     assert!(matches!(sender.try_send("two"), Err(TrySendError::Closed("two"))));
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// As many messages wait as there is room for.
    Full(T),
    /// The other end has gone, or its executor has.
    Closed(T),
}

impl<T> TrySendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(message) | TrySendError::Closed(message) => message,
        }
    }
}

/// Why there was no message.
///
/// ```
/// use ringwheel_executor::channel::{TryRecvError, local};
///
/// let (sender, receiver) = local::bounded::<u32>(1)?;
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// drop(sender);
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// None waits.
    Empty,
    /// None waits, and none will come: the other end has gone.
    Closed,
}

/// A capacity out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityError {
    /// What was asked for.
    pub capacity: usize,
    /// The most that there can be.
    pub max: usize,
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR_RINGWHEEL_CLOSED: the receiver, or its executor, has gone")
    }
}

impl<T> std::error::Error for SendError<T> {}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "ERR_RINGWHEEL_FULL: the channel is full; await send instead",
            TrySendError::Closed(_) => "ERR_RINGWHEEL_CLOSED: the receiver, or its executor, has gone",
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "ERR_RINGWHEEL_EMPTY: no message waits; await recv instead",
            TryRecvError::Closed => "ERR_RINGWHEEL_CLOSED: the sender, or its executor, has gone",
        })
    }
}

impl std::error::Error for TryRecvError {}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CapacityError { capacity, max } = self;
        write!(f, "ERR_RINGWHEEL_INVALID_OPTION: capacity is {capacity}; it must be in 1..={max}")
    }
}

impl std::error::Error for CapacityError {}
