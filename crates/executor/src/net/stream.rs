//! A connected socket: multishot receive into provided buffers, sends that finish, and shutdown.
use super::{Shutdown, outcome};
use crate::{
    Chunk, Source,
    core::Core,
    current,
    operation::{Multishot, Single},
};
use ringwheel_driver::{
    Handle, Operation,
    op::socket::{Connect, Receive, Send, send_some},
};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{cell::Cell, future::poll_fn, io, net::SocketAddr, os::fd::AsFd, rc::Rc};

/// A connected TCP socket. Dropping it closes it, as soon as the operations that use it have ended (they are cancelled).
/// All methods take `&self`: one task may receive while another sends.
///
/// ```
/// use ringwheel_executor::{Executor, Source, net::{Listener, Shutdown, Stream}, spawn};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let listener = Listener::bind("127.0.0.1:0".parse()?, Default::default())?;
///     let address = listener.local_address()?;
///     let client = spawn(async move {
///         let stream = Stream::connect(address).await?;
///         stream.send(Source::Vec(b"ring".to_vec(), 0..4), false).await.0?;
///         stream.shutdown(Shutdown::Write)?;
///         std::io::Result::Ok(())
///     });
///     let stream = listener.accept().await?;
///     let mut received = Vec::new();
///     while let Some(chunk) = stream.receive().await? {
///         received.extend_from_slice(&chunk);
///     }
///     assert_eq!(received, b"ring");
///     client.await??;
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    pub(super) handle: Handle,
    arrivals: Multishot,
    ended: Cell<bool>,
    sent: Cell<u64>,
}

impl Stream {
    pub(crate) fn new(core: Rc<Core>, handle: Handle) -> Stream {
        Stream { handle, arrivals: Multishot::new(core), ended: Cell::new(false), sent: Cell::new(0) }
    }

    pub(super) fn core(&self) -> Rc<Core> {
        self.arrivals.core().clone()
    }

    /// Connects. Dropping the future gives up.
    ///
    /// # Errors
    /// The system's: ECONNREFUSED, ENETUNREACH, ETIMEDOUT, …
    pub async fn connect(address: SocketAddr) -> io::Result<Stream> {
        let core = current::get()?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        let handle = core.adopt(socket.into());
        let operation = Operation::Connect(Connect { socket: handle.clone(), address });
        let completion = Single::new(core.clone(), operation).await;
        outcome(completion.result)?;
        Ok(Stream::new(core, handle))
    }

    /// The next bytes, in the buffer that the kernel put them in; `None` when the peer has ended, then and ever after.
    ///
    /// Drop the chunk soon, or [`Chunk::detach`] it: its buffer is one of the executor's few hundred. What arrives while nobody
    /// receives waits in at most 8 buffers, and in none while half of all are held by such streams (it is copied then); the
    /// receive pauses, and TCP holds the peer up.
    /// Dropping the future loses nothing. One task at a time waits here.
    ///
    /// # Errors
    /// The system's, such as ECONNRESET. ECANCELED after shutdown of the executor.
    pub async fn receive(&self) -> io::Result<Option<Chunk>> {
        if self.ended.get() {
            return Ok(None);
        }
        let arrival = poll_fn(|context| {
            self.arrivals.poll_next(context, || Operation::Receive(Receive { socket: self.handle.clone() }))
        })
        .await;
        outcome(arrival.result)?;
        match arrival.chunk {
            Some(chunk) if !chunk.is_empty() => Ok(Some(chunk)),
            _ => {
                self.ended.set(true);
                Ok(None)
            }
        }
    }

    /// Sends the whole source, or fails; the source comes back with the range that was not sent. `more` tells the kernel
    /// that more follows at once (MSG_MORE): it then may wait to fill a packet. Dropping the future leaves open how much
    /// was sent.
    ///
    /// # Errors
    /// The system's: EPIPE and ECONNRESET when the peer is gone. EINVAL for a range outside of the source.
    pub async fn send(&self, source: Source, more: bool) -> (io::Result<usize>, Source) {
        let mut source = source;
        let mut sent = 0;
        while remaining(&source) > 0 {
            let operation = Operation::Send(Send { socket: self.handle.clone(), source, more });
            let completion = Single::new(self.core(), operation).await;
            source = match completion.operation {
                Some(Operation::Send(send)) => send.source,
                // The executor shut down under the operation and keeps its memory (INV-1).
                _ => Source::Vec(Vec::new(), 0..0),
            };
            match outcome(completion.result) {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), source),
                Ok(count) => {
                    sent += count;
                    self.count_sent(count as u64);
                    advance(&mut source, count);
                }
                Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
                Err(error) => return (Err(error), source),
            }
        }
        (Ok(sent), source)
    }

    /// Sends what the socket takes at once; one inline system call (send(2) with MSG_DONTWAIT), nothing is kept. Returns how
    /// many bytes went, 0 when there is no room. For a head that an inline [`Stream::send_file`] follows: a send through the
    /// ring would cost that response a turn. Sends through the ring and this one must not overlap.
    ///
    /// # Errors
    /// The system's: EPIPE and ECONNRESET when the peer is gone.
    pub fn send_now(&self, bytes: &[u8], more: bool) -> io::Result<usize> {
        match rustix::io::retry_on_intr(|| send_some(self.handle.as_fd(), bytes, more)) {
            Ok(count) => {
                self.count_sent(count as u64);
                Ok(count)
            }
            Err(Errno::AGAIN) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Bytes that the system has taken since the connection began, also of sends that failed later; no system call.
    pub fn sent(&self) -> u64 {
        self.sent.get()
    }

    pub(super) fn count_sent(&self, count: u64) {
        self.sent.set(self.sent.get() + count);
    }

    /// Ends one or both directions; one inline system call. A pending receive then gives `None`, a pending send EPIPE.
    ///
    /// # Errors
    /// ENOTCONN when the peer was faster.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        SockRef::from(&self.handle).shutdown(how)
    }

    /// Turns Nagle's algorithm off (true) or on; one inline system call.
    ///
    /// # Errors
    /// The system's.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        SockRef::from(&self.handle).set_tcp_nodelay(on)
    }

    /// The peer's address; one inline system call.
    ///
    /// # Errors
    /// ENOTCONN when the peer is gone.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(&self.handle).peer_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// This side's address; one inline system call.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(&self.handle).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

/// Bytes that a source still holds.
fn remaining(source: &Source) -> usize {
    match source {
        Source::Lease(_, range) => range.len(),
        Source::Vec(_, range) | Source::Shared(_, range) | Source::Chunk(_, range) => range.len(),
        Source::Vector(vector) => vector.len(),
    }
}

/// Moves the start of a source's range.
fn advance(source: &mut Source, count: usize) {
    match source {
        Source::Lease(_, range) => {
            range.start = u32::try_from(count)
                .map_or(range.end, |count| range.start.saturating_add(count))
                .min(range.end);
        }
        Source::Vec(_, range) | Source::Shared(_, range) | Source::Chunk(_, range) => {
            range.start = range.start.saturating_add(count).min(range.end);
        }
        Source::Vector(_) => {} // Sends refuse it, so none of it was ever sent.
    }
}
