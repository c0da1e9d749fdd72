//! A listening socket: one multishot accept, armed while someone waits for connections.
use super::{Stream, outcome};
use crate::{current, operation::Multishot};
use ringwheel_driver::{Handle, Operation, op::socket::Accept};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

/// Options of [`Listener::bind`].
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Let other sockets (of other executors) listen on the same address; the kernel spreads connections. Default false.
    pub reuse_port: bool,
    /// Connections the kernel may hold ready, in `1..=65535`. Default 1024. The system's own limit (somaxconn) applies.
    pub backlog: u32,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions { reuse_port: false, backlog: 1024 }
    }
}

/// A listening socket of TCP, or a Unix one that [`Listener::from_socket`] took. Dropping it closes it, and refuses what it has accepted and nobody took:
/// [`Listener::accept_rest`] goes before.
///
/// ```
/// use ringwheel_executor::{Executor, net::{ListenOptions, Listener, Stream}, spawn};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let listener = Listener::bind("127.0.0.1:0".parse()?, ListenOptions::default())?;
///     let client = spawn(Stream::connect(listener.local_address()?));
///     let accepted = listener.accept().await?;
///     assert_eq!(accepted.peer_address()?, client.await??.local_address()?);
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Listener {
    handle: Handle,
    arrivals: Multishot,
}

impl Listener {
    /// Binds and listens: a few inline system calls, no waiting. Port 0 lets the system choose one. SO_REUSEADDR is set.
    ///
    /// # Errors
    /// The system's (EADDRINUSE, EACCES, EADDRNOTAVAIL, …); `InvalidInput` for a backlog out of range; without a current
    /// executor, [`crate::SpawnError::NoExecutor`] inside an `io::Error`.
    pub fn bind(address: SocketAddr, options: ListenOptions) -> io::Result<Listener> {
        let core = current::get()?;
        if !(1..=65_535).contains(&options.backlog) {
            let text = format!("backlog is {}; it must be in 1..=65535", options.backlog);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(options.backlog.cast_signed())?;
        let handle = core.adopt(socket.into());
        Ok(Listener { handle, arrivals: Multishot::new(core) })
    }

    /// Takes a socket that listens already, for instance one that a service manager passed on; it is made non-blocking.
    ///
    /// # Errors
    /// The system's; without a current executor, [`crate::SpawnError::NoExecutor`] inside an `io::Error`.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
        Listener::from_socket(listener.into())
    }

    /// Takes a stream socket of any family that listens already, a Unix one too; it is made non-blocking. Listeners of several
    /// executors may have duplicates of one socket: each connection goes to one of them.
    ///
    /// # Errors
    /// ENOTSOCK for another kind of descriptor, `InvalidInput` for a socket that does not listen or has no connections; without a current
    /// executor, [`crate::SpawnError::NoExecutor`] inside an `io::Error`.
    pub fn from_socket(socket: OwnedFd) -> io::Result<Listener> {
        let core = current::get()?;
        let socket = Socket::from(socket);
        check_listening(&socket)?;
        socket.set_nonblocking(true)?;
        let handle = core.adopt(socket.into());
        Ok(Listener { handle, arrivals: Multishot::new(core) })
    }

    /// The next connection. One task at a time waits here: of two, only the later is woken. Dropping the future loses
    /// nothing. At most 128 connections wait inside the executor, the rest in the kernel's backlog.
    ///
    /// # Errors
    /// The system's, such as EMFILE; calling it again tries again. ECANCELED after shutdown.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let arrival = poll_fn(|context| {
                self.arrivals
                    .poll_next(context, || Operation::Accept(Accept { listener: self.handle.clone() }))
            })
            .await;
            outcome(arrival.result)?;
            if let Some(handle) = arrival.handle {
                return Ok(Stream::new(self.arrivals.core().clone(), handle));
            }
        }
    }

    /// Stops accepting. What the executor has accepted by then, and nobody took, comes one by one, then what waits in the kernel's backlog, then
    /// `None`: dropping the listener instead closes those connections on their clients. Who else has this socket gets those that come after:
    /// the kernel wakes one waiter for a connection, and it may have been this one, whose wait was just given up. To be called when no
    /// [`Listener::accept`] waits; calling that later listens again.
    pub async fn accept_rest(&self) -> Option<Stream> {
        while let Some(arrival) = poll_fn(|context| self.arrivals.poll_rest(context)).await {
            if let Some(handle) = arrival.handle {
                return Some(Stream::new(self.arrivals.core().clone(), handle));
            }
        }
        let socket = self.accept_now()?;
        let core = self.arrivals.core();
        Some(Stream::new(core.clone(), core.adopt(socket.into())))
    }

    /// A connection that waits in the backlog; one inline system call, and another for the connection's mode.
    fn accept_now(&self) -> Option<Socket> {
        loop {
            match SockRef::from(&self.handle).accept() {
                // One that could not be made non-blocking is closed, and the next one taken.
                Ok((socket, _)) => {
                    if socket.set_nonblocking(true).is_ok() {
                        return Some(socket);
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return None,
                },
            }
        }
    }

    /// The address it listens on, with the port the system chose.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        SockRef::from(&self.handle).local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

/// Checks that a descriptor is a stream socket after listen(2); two inline system calls. Where the system does not tell, whether it
/// listens is found by the first accept.
///
/// # Errors
/// ENOTSOCK for another kind of descriptor, `InvalidInput` for another kind of socket or one that does not listen.
///
/// ```
/// use ringwheel_executor::net::check_listening;
/// check_listening(&std::net::TcpListener::bind("127.0.0.1:0")?)?;
/// assert!(check_listening(&std::net::UdpSocket::bind("127.0.0.1:0")?).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn check_listening(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let wrong = if socket.r#type()? != Type::STREAM {
        "it is a socket without connections; a stream socket is needed"
    } else if !is_listening(&socket)? {
        "it is a socket that does not listen; call listen(2) before it is passed on"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_listening(socket: &Socket) -> io::Result<bool> {
    socket.is_listener()
}

/// Found by the first accept where the system does not tell.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn is_listening(_: &Socket) -> io::Result<bool> {
    Ok(true)
}
