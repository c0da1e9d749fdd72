//! Bounded channels between two executors, one end on each.
//!
//! [`bounded`] makes two ends that may move between threads. Each is connected on the executor that is to use it, and belongs to
//! it from then on. What is sent is there for the receiver at once; a receiver that waits is told at the end of the sender's
//! turn, once for all that the turn sent, and only a receiver whose executor sleeps costs a part of a system call (MSG_RING,
//! see [`crate::submit_to`]).
use super::{
    CapacityError, SendError, TryRecvError, TrySendError,
    bell::published,
    spsc::{CAPACITY_MAX, Consumer, Doors, Producer, Ring, Side, ring},
};
use crate::{
    SpawnError,
    core::Core,
    current,
    sync::raw::{Permits, Turn},
};
use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

/// A channel for at most `capacity` messages on the way (in `1..=16777216`), each moved into the ring and out of it.
///
/// # Errors
/// [`CapacityError`] when the capacity is out of range.
///
/// ```
/// use ringwheel_executor::{Executor, channel::shared, thread};
///
/// let (sender, receiver) = shared::bounded::<u64>(128)?;
/// let other = thread::start(Default::default(), move || async move {
///     let receiver = receiver.connect().unwrap();
///     let mut sum = 0;
///     while let Some(number) = receiver.recv().await {
///         sum += number;
///     }
///     sum // the sender has gone
/// })?;
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async move {
///     let sender = sender.connect().unwrap();
///     for number in 1..=1000 {
///         sender.send(number).await.unwrap();
///     }
/// })?;
/// assert_eq!(other.join()?, 500_500);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn bounded<T: Send + 'static>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), CapacityError> {
    if !(1..=CAPACITY_MAX).contains(&capacity) {
        return Err(CapacityError { capacity, max: CAPACITY_MAX });
    }
    let (producer, consumer) = ring(capacity);
    Ok((Sender { producer }, Receiver { consumer }))
}

/// The sending end before it is connected: `Send`. Dropping it closes the channel.
pub struct Sender<T: Send + 'static> {
    producer: Producer<T>,
}

/// The receiving end before it is connected: `Send`. Dropping it closes the channel, and drops what waits in it.
pub struct Receiver<T: Send + 'static> {
    consumer: Consumer<T>,
}

/// No executor is running on this thread, or it is shutting down. The end is back.
pub struct ConnectError<E> {
    /// The end.
    pub end: E,
    /// Why.
    pub reason: SpawnError,
}

impl<E> fmt::Debug for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectError({:?})", self.reason)
    }
}

impl<E> fmt::Display for ConnectError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<E> std::error::Error for ConnectError<E> {}

/// The part that both connected ends have: their place on an executor.
struct Seat<T: Send + 'static> {
    core: Rc<Core>,
    ring: Arc<Ring<T>>,
    side: Side,
    /// Its place among the executor's ends.
    key: usize,
    /// One task at a time waits for the other side; the others wait for that one, in order.
    turnstile: Permits,
}

impl<T: Send + 'static> Seat<T> {
    fn take(ring: &Arc<Ring<T>>, side: Side) -> Result<Seat<T>, SpawnError> {
        let core = current::get()?;
        let key = core.seat_end(ring.clone(), side).ok_or(SpawnError::Closed)?;
        Ok(Seat { core, ring: ring.clone(), side, key, turnstile: Permits::new(1) })
    }

    /// The other side has something new: told now, or once at the end of this turn.
    #[inline]
    fn tell_other(&self) {
        if self.core.submits_soon.get() {
            if self.ring.will_ring(self.side) {
                self.core.messages.borrow_mut().push((self.ring.clone(), self.side));
            }
        } else {
            published();
            self.ring.ring_other(self.side);
        }
    }

    fn other(&self) -> Side {
        match self.side {
            Side::Producer => Side::Consumer,
            Side::Consumer => Side::Producer,
        }
    }

    /// Whether the other end has gone, or the own executor has.
    fn is_closed(&self) -> bool {
        self.ring.is_gone(self.other()) || self.ring.is_gone(self.side)
    }

    /// Polls `look` with the promise that the task is woken when the other side has done something after it.
    fn poll_other<R>(&self, context: &Context<'_>, mut look: impl FnMut() -> Option<R>) -> Poll<R> {
        if let Some(found) = look() {
            return Poll::Ready(found);
        }
        let bell = self.ring.bell(self.side);
        bell.wait(context.waker());
        match look() {
            Some(found) => {
                bell.leave();
                Poll::Ready(found)
            }
            None => Poll::Pending,
        }
    }
}

impl<T: Send + 'static> Drop for Seat<T> {
    fn drop(&mut self) {
        self.core.unseat_end(self.key);
    }
}

impl<T: Send + 'static> Sender<T> {
    /// Makes it this executor's.
    ///
    /// # Errors
    /// [`ConnectError`], with the end in it, outside of an executor.
    pub fn connect(self) -> Result<ConnectedSender<T>, ConnectError<Sender<T>>> {
        match Seat::take(self.producer.ring(), Side::Producer) {
            Ok(seat) => Ok(ConnectedSender { seat, producer: RefCell::new(self.producer) }),
            Err(reason) => Err(ConnectError { end: self, reason }),
        }
    }
}

impl<T: Send + 'static> Receiver<T> {
    /// Makes it this executor's.
    ///
    /// # Errors
    /// [`ConnectError`], with the end in it, outside of an executor.
    pub fn connect(self) -> Result<ConnectedReceiver<T>, ConnectError<Receiver<T>>> {
        match Seat::take(self.consumer.ring(), Side::Consumer) {
            Ok(seat) => Ok(ConnectedReceiver { seat, consumer: RefCell::new(self.consumer) }),
            Err(reason) => Err(ConnectError { end: self, reason }),
        }
    }
}

/// The sending end on its executor. Any number of its tasks may send. Dropping it, or the end of the executor, lets the receiver
/// take what was sent and then see the end.
pub struct ConnectedSender<T: Send + 'static> {
    seat: Seat<T>,
    /// Borrowed for a push or a pop, which run nothing foreign.
    producer: RefCell<Producer<T>>,
}

/// The receiving end on its executor. Any number of its tasks may receive. Dropping it, or the end of the executor, gives later
/// messages back to their sender.
pub struct ConnectedReceiver<T: Send + 'static> {
    seat: Seat<T>,
    consumer: RefCell<Consumer<T>>,
}

impl<T: Send + 'static> ConnectedSender<T> {
    fn push(&self, message: T) -> Result<(), TrySendError<T>> {
        if self.seat.is_closed() {
            return Err(TrySendError::Closed(message));
        }
        self.producer.borrow_mut().push(message).map_err(TrySendError::Full)?;
        self.seat.tell_other();
        Ok(())
    }

    /// Sends now.
    ///
    /// # Errors
    /// [`TrySendError`], with the message in it: no room (or others wait for it), or nobody to receive it.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        if self.seat.turnstile.free() == 0 {
            return Err(if self.is_closed() {
                TrySendError::Closed(message)
            } else {
                TrySendError::Full(message)
            });
        }
        self.push(message)
    }

    /// Sends, after waiting for room if need be; tasks that wait are served in the order of asking. Dropping the future drops
    /// the message with it, unless it was sent: it is never half sent.
    ///
    /// # Errors
    /// [`SendError`], with the message in it, when the receiver or its executor has gone.
    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        let mut back = match self.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(message)) => return Err(SendError(message)),
            Err(TrySendError::Full(message)) => Some(message),
        };
        let _turn = Turn::take(&self.seat.turnstile).await;
        poll_fn(|context| {
            self.seat.poll_other(context, || match self.push(back.take()?) {
                Ok(()) => Some(Ok(())),
                Err(TrySendError::Closed(message)) => Some(Err(SendError(message))),
                Err(TrySendError::Full(message)) => {
                    back = Some(message);
                    None
                }
            })
        })
        .await
    }

    /// Whether the receiver or its executor has gone: sending would give the message back.
    pub fn is_closed(&self) -> bool {
        self.seat.is_closed()
    }

    /// Messages on the way; out of date at once.
    pub fn len(&self) -> usize {
        self.seat.ring.len()
    }

    /// Whether no message is on the way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most that may be on the way.
    pub fn capacity(&self) -> usize {
        self.seat.ring.capacity()
    }
}

impl<T: Send + 'static> ConnectedReceiver<T> {
    fn pop(&self) -> Option<T> {
        let message = self.consumer.borrow_mut().pop()?;
        self.seat.tell_other();
        Some(message)
    }

    /// A message, or the end.
    fn look(&self) -> Option<Option<T>> {
        if let Some(message) = self.pop() {
            return Some(Some(message));
        }
        // What was sent before the end is there once the end is seen.
        self.seat.is_closed().then(|| self.pop())
    }

    /// Takes a message that is there.
    ///
    /// # Errors
    /// [`TryRecvError`]: none waits (or other tasks wait for the next), or none will come.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        if self.seat.turnstile.free() == 0 {
            return Err(TryRecvError::Empty);
        }
        match self.look() {
            Some(Some(message)) => Ok(message),
            Some(None) => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// The next message, in the order of sending; `None` when the sender or its executor has gone and everything was received.
    /// Tasks that wait are served in the order of asking. Dropping the future loses nothing.
    pub async fn recv(&self) -> Option<T> {
        match self.try_recv() {
            Ok(message) => return Some(message),
            Err(TryRecvError::Closed) => return None,
            Err(TryRecvError::Empty) => {}
        }
        let _turn = Turn::take(&self.seat.turnstile).await;
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// For the one task that has the turn.
    pub(super) fn poll_recv(&self, context: &Context<'_>) -> Poll<Option<T>> {
        self.seat.poll_other(context, || self.look())
    }

    /// Messages that wait; out of date at once.
    pub fn len(&self) -> usize {
        self.seat.ring.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most that may wait.
    pub fn capacity(&self) -> usize {
        self.seat.ring.capacity()
    }
}

macro_rules! plain_debug {
    ($($name:ident),+) => {$(
        impl<T: Send + 'static> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )+};
}
plain_debug!(Sender, Receiver, ConnectedSender, ConnectedReceiver);

/// The connected ends of one executor, and what its turn has to tell.
pub(crate) type Door = (Arc<dyn Doors>, Side);

/// The ends of an executor, by key.
#[derive(Default)]
pub(crate) struct Ends {
    ends: Vec<Option<Door>>,
    free: Vec<usize>,
    closed: bool,
}

impl Core {
    fn seat_end(&self, doors: Arc<dyn Doors>, side: Side) -> Option<usize> {
        let mut ends = self.ends.borrow_mut();
        if ends.closed {
            return None;
        }
        let key = ends.free.pop().unwrap_or(ends.ends.len());
        if key == ends.ends.len() {
            ends.ends.push(None);
        }
        ends.ends[key] = Some((doors, side));
        Some(key)
    }

    fn unseat_end(&self, key: usize) {
        let mut ends = self.ends.borrow_mut();
        let end = ends.ends.get_mut(key).and_then(Option::take);
        if end.is_some() {
            ends.free.push(key);
        }
        drop(ends);
        drop(end); // The last reference, perhaps, and with it messages: foreign code.
    }

    /// Tells the other sides what this turn has sent and received, with one fence for all.
    pub(crate) fn tell_others(&self) {
        if self.messages.borrow().is_empty() {
            return;
        }
        published();
        loop {
            let next = self.messages.borrow_mut().pop();
            let Some((doors, side)) = next else { return };
            doors.ring_other(side);
        }
    }

    /// The executor ends: the other sides see it, also of ends that somebody still holds.
    pub(crate) fn close_ends(&self) {
        self.tell_others();
        let mut ends = self.ends.borrow_mut();
        ends.closed = true;
        let all = std::mem::take(&mut ends.ends);
        drop(ends);
        for (doors, side) in all.into_iter().flatten() {
            doors.close(side);
            self.tasks.guarded(|| drop(doors));
        }
    }
}
