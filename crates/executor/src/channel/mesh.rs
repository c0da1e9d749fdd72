//! Channels between many executors: each to each, or each of some to each of others.
//!
//! A [`MeshBuilder`] goes to every executor; each joins, in the role it has, and all go on when the last has come.
use super::{
    CapacityError, SendError, TrySendError,
    shared::{ConnectedReceiver, ConnectedSender, Receiver, Sender, bounded},
};
use crate::{
    SpawnError,
    sync::raw::{Permits, Turn},
    task::wake_soon,
};
use std::{
    cell::Cell,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Peers that one mesh may have: it has as many channels as the square of that.
const PEERS_MAX: usize = 1024;

/// What an executor does in a partial mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends to every consumer.
    Producer,
    /// Receives from every producer.
    Consumer,
    /// Both.
    Both,
}

/// Makes a mesh; clones go to the executors that are to be in it.
///
/// ```
/// use ringwheel_executor::{channel::mesh::{MeshBuilder, Role}, thread};
///
/// let mesh = MeshBuilder::new(3, 16)?;
/// let members: Vec<_> = (0..3)
///     .map(|_| {
///         let mesh = mesh.clone();
///         thread::start(Default::default(), move || async move {
///             let mesh = mesh.join(Role::Both).await.unwrap();
///             for peer in mesh.consumers() {
///                 mesh.send_to(peer, mesh.id() as u64).await.unwrap();
///             }
///             let mut sum = 0;
///             for _ in mesh.producers() {
///                 let (from, number) = mesh.recv().await.unwrap();
///                 assert_eq!(from as u64, number);
///                 sum += number;
///             }
///             sum
///         })
///     })
///     .collect::<Result<_, _>>()?;
/// for member in members {
///     assert!((1..=3).contains(&member.join()?)); // 0 + 1 + 2, less its own
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MeshBuilder<T: Send + 'static> {
    shared: Arc<Shared<T>>,
}

struct Shared<T: Send + 'static> {
    peers: usize,
    capacity: usize,
    state: Mutex<State<T>>,
}

struct State<T: Send + 'static> {
    /// Those who have come, in order.
    here: Vec<Joiner<T>>,
    next: u64,
    complete: bool,
}

struct Joiner<T: Send + 'static> {
    number: u64,
    role: Role,
    waker: Option<Waker>,
    parts: Option<Parts<T>>,
}

/// What a member gets, by peer.
struct Parts<T: Send + 'static> {
    id: usize,
    senders: Vec<Option<Sender<T>>>,
    receivers: Vec<Option<Receiver<T>>>,
}

/// Why an executor is not in a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeshError {
    /// As many as the mesh is for have joined already.
    Complete {
        /// That many.
        peers: usize,
    },
    /// A number of peers out of its range.
    Peers {
        /// What was asked for.
        peers: usize,
        /// The most that there can be.
        max: usize,
    },
    /// A capacity out of its range.
    Capacity(CapacityError),
    /// No executor runs on this thread, or it is shutting down.
    Executor(SpawnError),
}

impl fmt::Display for MeshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MeshError::Complete { peers } => {
                write!(f, "ERR_RINGWHEEL_FULL: all {peers} peers of this mesh have joined already")
            }
            MeshError::Peers { peers, max } => {
                write!(f, "ERR_RINGWHEEL_INVALID_OPTION: peers is {peers}; it must be in 1..={max}")
            }
            MeshError::Capacity(error) => error.fmt(f),
            MeshError::Executor(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MeshError {}

impl<T: Send + 'static> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + 'static> MeshBuilder<T> {
    /// A mesh of `peers` executors (in `1..=1024`), with room for `capacity` messages on each of its channels.
    ///
    /// # Errors
    /// [`MeshError::Peers`] and [`MeshError::Capacity`] name the value and its range.
    pub fn new(peers: usize, capacity: usize) -> Result<MeshBuilder<T>, MeshError> {
        if !(1..=PEERS_MAX).contains(&peers) {
            return Err(MeshError::Peers { peers, max: PEERS_MAX });
        }
        bounded::<()>(capacity).map_err(MeshError::Capacity)?;
        let state = State { here: Vec::new(), next: 0, complete: false };
        Ok(MeshBuilder { shared: Arc::new(Shared { peers, capacity, state: Mutex::new(state) }) })
    }

    /// Joins as a member, and completes when all have joined. In a full mesh every role is [`Role::Both`]. Dropping the future
    /// before that gives the place back.
    ///
    /// # Errors
    /// [`MeshError::Complete`] for one too many; [`MeshError::Executor`] outside of an executor.
    pub async fn join(self, role: Role) -> Result<Mesh<T>, MeshError> {
        let number = {
            let mut state = self.shared.state();
            if state.complete {
                return Err(MeshError::Complete { peers: self.shared.peers });
            }
            let number = state.next;
            state.next += 1;
            state.here.push(Joiner { number, role, waker: None, parts: None });
            number
        };
        let parts = Joining { shared: &self.shared, number }.await?;
        Mesh::connect(parts)
    }
}

impl<T: Send + 'static> Clone for MeshBuilder<T> {
    fn clone(&self) -> MeshBuilder<T> {
        MeshBuilder { shared: self.shared.clone() }
    }
}

/// Has come, and waits for the others.
struct Joining<'a, T: Send + 'static> {
    shared: &'a Shared<T>,
    number: u64,
}

impl<T: Send + 'static> Future for Joining<'_, T> {
    type Output = Result<Parts<T>, MeshError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker().clone();
        let mut state = self.shared.state();
        let mut wakers = Vec::new();
        if !state.complete && state.here.len() == self.shared.peers {
            if let Err(error) = connect_all(&mut state.here, self.shared.capacity) {
                return Poll::Ready(Err(MeshError::Capacity(error)));
            }
            state.complete = true;
            wakers.extend(state.here.iter_mut().filter_map(|joiner| joiner.waker.take()));
        }
        let Some(mine) = state.here.iter_mut().find(|joiner| joiner.number == self.number) else {
            return Poll::Ready(Err(MeshError::Complete { peers: self.shared.peers }));
        };
        let parts = mine.parts.take();
        let former = if parts.is_none() { mine.waker.replace(waker) } else { None };
        drop(state);
        drop(former);
        wakers.into_iter().for_each(wake_soon);
        parts.map_or(Poll::Pending, |parts| Poll::Ready(Ok(parts)))
    }
}

impl<T: Send + 'static> Drop for Joining<'_, T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let index = state.here.iter().position(|joiner| joiner.number == self.number);
        let gone = index.map(|index| state.here.remove(index));
        drop(state);
        drop(gone); // Its ends, if it had some: the others see that they are closed.
    }
}

/// Makes all channels, and deals them out.
fn connect_all<T: Send + 'static>(here: &mut [Joiner<T>], capacity: usize) -> Result<(), CapacityError> {
    let peers = here.len();
    let empty = |id| Parts {
        id,
        senders: (0..peers).map(|_| None).collect(),
        receivers: (0..peers).map(|_| None).collect(),
    };
    let mut parts: Vec<Parts<T>> = (0..peers).map(empty).collect();
    for from in 0..peers {
        for to in (0..peers).filter(|to| *to != from) {
            if here[from].role != Role::Consumer && here[to].role != Role::Producer {
                let (sender, receiver) = bounded(capacity)?;
                parts[from].senders[to] = Some(sender);
                parts[to].receivers[from] = Some(receiver);
            }
        }
    }
    for (joiner, parts) in here.iter_mut().zip(parts) {
        joiner.parts = Some(parts);
    }
    Ok(())
}

/// One executor's place in a mesh.
pub struct Mesh<T: Send + 'static> {
    id: usize,
    senders: Vec<Option<ConnectedSender<T>>>,
    receivers: Vec<Option<ConnectedReceiver<T>>>,
    /// Whose turn it is to be received from first: nobody starves.
    next: Cell<usize>,
    turnstile: Permits,
}

impl<T: Send + 'static> Mesh<T> {
    fn connect(parts: Parts<T>) -> Result<Mesh<T>, MeshError> {
        let senders = parts.senders.into_iter().map(|end| end.map(Sender::connect).transpose());
        let senders = senders.collect::<Result<_, _>>().map_err(|error| MeshError::Executor(error.reason))?;
        let receivers = parts.receivers.into_iter().map(|end| end.map(Receiver::connect).transpose());
        let receivers =
            receivers.collect::<Result<_, _>>().map_err(|error| MeshError::Executor(error.reason))?;
        Ok(Mesh { id: parts.id, senders, receivers, next: Cell::new(0), turnstile: Permits::new(1) })
    }

    /// This member's number: in the order of joining, from 0.
    pub fn id(&self) -> usize {
        self.id
    }

    /// How many members there are.
    pub fn peers(&self) -> usize {
        self.senders.len()
    }

    /// Whom this one may send to.
    pub fn consumers(&self) -> impl Iterator<Item = usize> + '_ {
        self.senders.iter().enumerate().filter_map(|(peer, end)| end.as_ref().map(|_| peer))
    }

    /// Whom this one may receive from.
    pub fn producers(&self) -> impl Iterator<Item = usize> + '_ {
        self.receivers.iter().enumerate().filter_map(|(peer, end)| end.as_ref().map(|_| peer))
    }

    /// Sends to a peer: as [`ConnectedSender::send`].
    ///
    /// # Errors
    /// [`SendError`], with the message in it, when that peer has gone, is no consumer, is this one, or is none at all.
    pub async fn send_to(&self, peer: usize, message: T) -> Result<(), SendError<T>> {
        match self.senders.get(peer) {
            Some(Some(sender)) => sender.send(message).await,
            Some(None) | None => Err(SendError(message)),
        }
    }

    /// Sends to a peer now: as [`ConnectedSender::try_send`].
    ///
    /// # Errors
    /// [`TrySendError`], with the message in it; `Closed` also when there is no channel to that peer.
    pub fn try_send_to(&self, peer: usize, message: T) -> Result<(), TrySendError<T>> {
        match self.senders.get(peer) {
            Some(Some(sender)) => sender.try_send(message),
            Some(None) | None => Err(TrySendError::Closed(message)),
        }
    }

    /// The next message of any peer, with its number; peers that have some take turns. `None` when all of them have gone.
    /// Dropping the future loses nothing.
    pub async fn recv(&self) -> Option<(usize, T)> {
        let _turn = Turn::take(&self.turnstile).await;
        poll_fn(|context| {
            let (mut open, first) = (false, self.next.get());
            for offset in 0..self.receivers.len() {
                let peer = (first + offset) % self.receivers.len();
                let Some(receiver) = &self.receivers[peer] else { continue };
                match receiver.poll_recv(context) {
                    Poll::Ready(Some(message)) => {
                        self.next.set(peer + 1);
                        return Poll::Ready(Some((peer, message)));
                    }
                    Poll::Ready(None) => {}
                    Poll::Pending => open = true,
                }
            }
            if open { Poll::Pending } else { Poll::Ready(None) }
        })
        .await
    }
}

impl<T: Send + 'static> fmt::Debug for MeshBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshBuilder").field("peers", &self.shared.peers).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> fmt::Debug for Mesh<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh").field("id", &self.id).field("peers", &self.peers()).finish_non_exhaustive()
    }
}
