//! Channels between tasks of one executor: no atomic instruction, no lock, no allocation for a message once warm.
use super::{CapacityError, SendError, TryRecvError, TrySendError};
use crate::{
    sync::{
        TryAcquireError,
        raw::{Permits, Turn},
    },
    task::quietly,
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
};

/// More than that would count past what permits can.
const CAPACITY_MAX: usize = usize::MAX >> 2;

struct Inner<T> {
    /// Borrowed for a push or a pop, which run nothing foreign.
    buffer: RefCell<VecDeque<T>>,
    /// Permits to send: closed when the last receiver has gone.
    room: Permits,
    /// Permits to receive, one for each message that is not promised to somebody: closed when the last sender has gone.
    items: Permits,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    capacity: usize,
}

/// A channel with room for `capacity` messages. Both ends may be cloned.
///
/// # Errors
/// [`CapacityError`] when it is 0.
///
/// ```
/// use ringwheel_executor::{Executor, channel::local, spawn};
///
/// let mut executor = Executor::start(Default::default())?;
/// let sum = executor.run(async {
///     let (sender, receiver) = local::bounded(4).unwrap();
///     spawn(async move {
///         for number in 1..=100 {
///             sender.send(number).await.unwrap(); // waits while four are on the way
///         }
///     });
///     let mut sum = 0;
///     while let Some(number) = receiver.recv().await {
///         sum += number;
///     }
///     sum
/// })?;
/// assert_eq!(sum, 5050);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bounded<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), CapacityError> {
    if !(1..=CAPACITY_MAX).contains(&capacity) {
        return Err(CapacityError { capacity, max: CAPACITY_MAX });
    }
    Ok(channel(capacity))
}

/// A channel that is never full: sending never waits, and what nobody receives grows.
///
/// ```
/// use ringwheel_executor::{Executor, channel::local, spawn};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let (sender, receiver) = local::unbounded();
///     let sum = spawn(async move {
///         let mut sum = 0;
///         while let Some(number) = receiver.recv().await {
///             sum += number;
///         }
///         sum
///     });
///     for number in 1..=100 {
///         sender.try_send(number)?; // there is always room
///     }
///     drop(sender);
///     assert_eq!(sum.await?, 5050);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(CAPACITY_MAX)
}

fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let inner = Rc::new(Inner {
        buffer: RefCell::new(VecDeque::new()),
        room: Permits::new(capacity),
        items: Permits::new(0),
        senders: Cell::new(1),
        receivers: Cell::new(1),
        capacity,
    });
    (Sender { inner: inner.clone() }, Receiver { inner })
}

impl<T> Inner<T> {
    /// With a permit for it.
    fn push(&self, message: T) {
        self.buffer.borrow_mut().push_back(message);
        self.items.give(1);
    }

    /// With a permit for it.
    fn pop(&self) -> Option<T> {
        let message = self.buffer.borrow_mut().pop_front();
        debug_assert!(message.is_some(), "there is a message for every permit");
        self.room.give(1);
        message
    }

    /// What is left after the last sender has gone, unless it is promised to a receiver that has not run since.
    fn pop_last(&self) -> Option<T> {
        if self.items.take_of_closed(1) { self.pop() } else { None }
    }
}

/// The sending end. When the last is dropped, receivers take what waits and then see the end.
pub struct Sender<T> {
    inner: Rc<Inner<T>>,
}

/// The receiving end. When the last is dropped, what waits is dropped, and later messages come back to their sender.
pub struct Receiver<T> {
    inner: Rc<Inner<T>>,
}

impl<T> Sender<T> {
    /// Sends, after waiting for room if need be, in the order of asking. Dropping the future drops the message with it, unless it
    /// was sent.
    ///
    /// # Errors
    /// [`SendError`], with the message in it, when the last receiver has gone.
    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        match Turn::take(&self.inner.room).await {
            // A receiver may have gone after it made room and before this ran.
            Some(turn) if !self.inner.room.is_closed() => {
                turn.keep();
                self.inner.push(message);
                Ok(())
            }
            Some(_) | None => Err(SendError(message)),
        }
    }

    /// Sends now.
    ///
    /// # Errors
    /// [`TrySendError`], with the message in it: no room, or nobody to receive it.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match self.inner.room.try_take(1) {
            Ok(()) => {
                self.inner.push(message);
                Ok(())
            }
            Err(TryAcquireError::NoPermits) => Err(TrySendError::Full(message)),
            Err(TryAcquireError::Closed) => Err(TrySendError::Closed(message)),
        }
    }

    /// Whether the last receiver has gone.
    pub fn is_closed(&self) -> bool {
        self.inner.room.is_closed()
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.inner.buffer.borrow().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many may wait; `None` for an unbounded channel.
    pub fn capacity(&self) -> Option<usize> {
        Some(self.inner.capacity).filter(|capacity| *capacity < CAPACITY_MAX)
    }
}

impl<T> Receiver<T> {
    /// The next message; `None` when the last sender has gone and everything was received. In the order of asking. Dropping the
    /// future loses nothing.
    pub async fn recv(&self) -> Option<T> {
        match Turn::take(&self.inner.items).await {
            Some(turn) => {
                turn.keep();
                self.inner.pop()
            }
            None => self.inner.pop_last(),
        }
    }

    /// Takes a message that waits.
    ///
    /// # Errors
    /// [`TryRecvError`]: none is there, or none will come.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.inner.items.try_take(1) {
            Ok(()) => self.inner.pop().ok_or(TryRecvError::Empty),
            Err(TryAcquireError::NoPermits) => Err(TryRecvError::Empty),
            Err(TryAcquireError::Closed) => self.inner.pop_last().ok_or(TryRecvError::Closed),
        }
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.inner.buffer.borrow().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.inner.senders.set(self.inner.senders.get() + 1);
        Sender { inner: self.inner.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.inner.receivers.set(self.inner.receivers.get() + 1);
        Receiver { inner: self.inner.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.inner.senders.get() - 1;
        self.inner.senders.set(left);
        if left == 0 {
            self.inner.items.close();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.inner.receivers.get() - 1;
        self.inner.receivers.set(left);
        if left == 0 {
            self.inner.room.close();
            let messages = self.inner.buffer.take();
            for message in messages {
                quietly(move || drop(message));
            }
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
