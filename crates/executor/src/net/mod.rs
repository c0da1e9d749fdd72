//! TCP on the executor: listening, receiving into provided buffers, sending, and files to sockets.
use crate::{Chunk, Source, fs};
use std::{io, marker::PhantomData, net::SocketAddr};

pub use std::net::Shutdown;

/// Options of [`Listener::bind`].
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Let other sockets (of other executors) listen on the same address; the kernel spreads connections. Default false.
    pub reuse_port: bool,
    /// Connections the kernel may hold ready, in `1..=65535`. Default 1024.
    pub backlog: u32,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions { reuse_port: false, backlog: 1024 }
    }
}

/// A listening TCP socket. Dropping it closes it.
#[derive(Debug)]
pub struct Listener {
    _not_send: PhantomData<*const ()>,
}

#[expect(unused_variables, reason = "the seam: filled in within the hour")]
impl Listener {
    /// Binds and listens; no waiting.
    pub fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Listener> {
        unimplemented!()
    }
    /// The next connection.
    pub async fn accept(&self) -> io::Result<Stream> {
        unimplemented!()
    }
    /// The address it listens on, with the port the system chose.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        unimplemented!()
    }
}

/// A connected TCP socket. Dropping it closes it.
#[derive(Debug)]
pub struct Stream {
    _not_send: PhantomData<*const ()>,
}

#[expect(unused_variables, reason = "the seam: filled in within the hour")]
impl Stream {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> io::Result<Stream> {
        unimplemented!()
    }
    /// The next bytes; `None` when the peer has ended. Dropping the future loses nothing.
    pub async fn receive(&self) -> io::Result<Option<Chunk>> {
        unimplemented!()
    }
    /// Sends the whole source, or fails. `more` tells the kernel that more follows at once.
    pub async fn send(&self, source: Source, more: bool) -> (io::Result<usize>, Source) {
        unimplemented!()
    }
    /// Sends a file's range from the page cache. Fewer bytes than asked: the file is shorter than that.
    pub async fn send_file(&self, file: &fs::File, offset: u64, length: u64) -> io::Result<u64> {
        unimplemented!()
    }
    /// Ends one or both directions.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        unimplemented!()
    }
    /// Turns Nagle's algorithm off (true) or on.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        unimplemented!()
    }
    /// The peer's address.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        unimplemented!()
    }
}
