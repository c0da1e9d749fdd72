//! Socket operations: what each one means, on every backend.
pub(crate) mod poll;
#[cfg(target_os = "linux")]
pub(crate) mod uring;

use crate::{Handle, memory::Source};
pub use poll::send_some;

/// accept4(2) with SOCK_CLOEXEC, multishot: a completion per connection with its `handle` and `more`. The driver arms it
/// again after an overflow; it ends on cancel or on an error that is not about one connection.
#[derive(Debug)]
pub struct Accept {
    /// A listening socket.
    pub listener: Handle,
}

/// recv(2) into provided buffers, multishot: a completion per arrival with its `chunk` and `more`; result 0 (final) is the
/// peer's end. Running out of buffers pauses it, never ends it: the driver arms it again when one came back.
#[derive(Debug)]
pub struct Receive {
    /// A connected socket.
    pub socket: Handle,
}

/// send(2) with MSG_NOSIGNAL of all bytes (MSG_WAITALL where the kernel has it). Result = bytes sent; the caller continues a short send.
#[derive(Debug)]
pub struct Send {
    /// A connected socket.
    pub socket: Handle,
    /// What to send.
    pub source: Source,
    /// More bytes follow at once (MSG_MORE).
    pub more: bool,
}

/// connect(2). Result 0.
#[derive(Debug)]
pub struct Connect {
    /// An unconnected socket.
    pub socket: Handle,
    /// The peer.
    pub address: std::net::SocketAddr,
}
