//! Sockets on the poll backend: one non-blocking call per attempt, and a bounded number of attempts per turn.
use super::{Accept, Connect, Receive, Send};
use crate::{
    limits::TRANSFER,
    memory::provided::{Chunk, ChunkPool},
    op::ready::poll::bits_now,
    poll::attempt::Attempt,
};
use rustix::{
    event::PollFlags,
    io::Errno,
    net::{RecvFlags, SendFlags},
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One accepted connection, or why there is none.
pub(crate) enum Accepted {
    /// A connection: non-blocking, close-on-exec.
    Connection(OwnedFd),
    /// Nothing to accept now.
    Nothing,
    /// That connection failed before it was accepted; the listener is well.
    Skipped,
    /// The listener's own error, or the process is out of descriptors or memory.
    Failed(Errno),
}

impl Accept {
    /// Accepts one connection. The listener must not block: [`unblock`] it first.
    pub(crate) fn attempt(&self) -> Accepted {
        match accept_one(self.listener.as_fd()) {
            Ok(fd) => Accepted::Connection(fd),
            Err(Errno::AGAIN) => Accepted::Nothing,
            // accept(2): errors of the new connection that Linux hands to accept, "treat them like EAGAIN by retrying".
            Err(
                Errno::INTR
                | Errno::CONNABORTED
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETDOWN
                | Errno::NETUNREACH,
            ) => Accepted::Skipped,
            Err(errno) => Accepted::Failed(errno),
        }
    }
}

#[cfg(not(target_vendor = "apple"))]
fn accept_one(listener: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, accept_with};
    accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Without accept4(2) the flags come one call later: a fork in between inherits the connection.
#[cfg(target_vendor = "apple")]
fn accept_one(listener: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    let fd = rustix::net::accept(listener)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    unblock(fd.as_fd())?;
    Ok(fd)
}

/// Makes a socket non-blocking: accept and connect have no flag for one call.
pub(crate) fn unblock(socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
    rustix::io::ioctl_fionbio(socket, true)
}

/// What one receive found.
pub(crate) enum Received {
    /// Bytes.
    Bytes(Chunk),
    /// The peer's end, or an error: the last completion's result.
    Ended(i32),
    /// Nothing now.
    Nothing,
    /// Every chunk is held by somebody.
    NoChunk,
}

impl Receive {
    /// Receives once into a free chunk.
    pub(crate) fn attempt(&self, chunks: &ChunkPool) -> Received {
        let Some(mut chunk) = chunks.take() else { return Received::NoChunk };
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recv(self.socket.as_fd(), &mut chunk[..], RecvFlags::DONTWAIT)
        });
        match received {
            Ok((0, _)) => Received::Ended(0),
            Ok((length, _)) => {
                chunk.truncate(length);
                Received::Bytes(chunk)
            }
            Err(Errno::AGAIN) => Received::Nothing,
            Err(errno) => Received::Ended(-errno.raw_os_error()),
        }
    }
}

/// Bytes that one send operation may move in one attempt before others have their turn.
const SEND_BYTES_PER_TURN: usize = 1 << 20;

impl Send {
    /// Sends on from `progress`, which it moves. Done with what was sent when all of it was, or when an error met part of it.
    pub(crate) fn attempt(&self, progress: &mut usize) -> Attempt {
        let bytes = self.source.bytes();
        let bytes = &bytes[..bytes.len().min(TRANSFER)];
        let limit = bytes.len().min(progress.saturating_add(SEND_BYTES_PER_TURN));
        loop {
            let more = self.more || limit < bytes.len();
            let piece = &bytes[*progress..limit];
            match rustix::io::retry_on_intr(|| send_some(self.socket.as_fd(), piece, more)) {
                Ok(sent) => *progress += sent,
                Err(Errno::AGAIN) => return Attempt::Wait,
                Err(errno) if *progress == 0 => return Attempt::failed(errno),
                Err(_) => return Attempt::moved(*progress),
            }
            if *progress >= bytes.len() {
                return Attempt::moved(*progress);
            }
            if *progress >= limit {
                return Attempt::Again;
            }
        }
    }
}

/// send(2) with MSG_DONTWAIT and without SIGPIPE, with MSG_MORE where the system has it. For the executor's inline sends too.
///
/// # Errors
/// The system's; EAGAIN when the socket takes nothing now.
#[cfg(not(target_vendor = "apple"))]
pub fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> rustix::io::Result<usize> {
    #[cfg(target_os = "linux")]
    let more = if more { SendFlags::MORE } else { SendFlags::empty() };
    #[cfg(not(target_os = "linux"))]
    let more = {
        let _a_hint_that_only_linux_takes = more;
        SendFlags::empty()
    };
    rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL | more)
}

/// send(2) with MSG_DONTWAIT. MSG_NOSIGNAL is a socket option here, and MSG_MORE does not exist.
#[cfg(target_vendor = "apple")]
pub fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], _more: bool) -> rustix::io::Result<usize> {
    rustix::net::sockopt::set_socket_nosigpipe(socket, true)?;
    rustix::net::send(socket, bytes, SendFlags::DONTWAIT)
}

impl Connect {
    /// Begins (`progress` 0) or looks whether it ended.
    pub(crate) fn attempt(&self, progress: &mut usize) -> Attempt {
        let socket = self.socket.as_fd();
        if *progress == 0 {
            if let Err(errno) = unblock(socket) {
                return Attempt::failed(errno);
            }
            return match rustix::net::connect(socket, &self.address) {
                Ok(()) => Attempt::Done(0),
                // Interrupted, it goes on in the background all the same.
                Err(Errno::INPROGRESS | Errno::INTR) => {
                    *progress = 1;
                    Attempt::Wait
                }
                Err(errno) => Attempt::failed(errno),
            };
        }
        match bits_now(socket, PollFlags::OUT) {
            Ok(bits) if bits.is_empty() => return Attempt::Wait,
            Ok(_) => {}
            Err(errno) => return Attempt::failed(errno),
        }
        if let Ok(Err(errno)) | Err(errno) = rustix::net::sockopt::socket_error(socket) {
            return Attempt::failed(errno);
        }
        // Linux takes the socket for connecting until connect is called again: a later call would succeed, not EISCONN.
        match rustix::net::connect(socket, &self.address) {
            Ok(()) | Err(Errno::ISCONN) => Attempt::Done(0),
            Err(Errno::INPROGRESS | Errno::ALREADY | Errno::INTR) => Attempt::Wait,
            Err(errno) => Attempt::failed(errno),
        }
    }
}
