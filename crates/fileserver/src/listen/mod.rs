//! Where a server listens: one address of its own (TCP, or a Unix socket), or sockets that listen already. Pipeline step 0.
//!
//! All of them are open before the first core starts, so that a start fails as a whole, and so that the next process can be given them.
mod unix;

use unix::OwnPath;

use crate::{error::StartError, options::Options};
use ringwheel_executor::net;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

/// Connections the kernel may hold ready on each socket; the kernel caps it at net.core.somaxconn.
pub(crate) const BACKLOG: i32 = 4096;

/// Where a server can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP, with the port that the system chose where 0 was asked for.
    Tcp(SocketAddr),
    /// The path of a Unix socket; empty for one that was passed on without a name.
    Unix(PathBuf),
}

/// `127.0.0.1:8080`, or `unix:/run/site.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What can be said before anything is opened: whether the host has an address.
pub(crate) fn check(options: &Options) -> Result<(), StartError> {
    if options.unix.is_some() || !options.fds.is_empty() {
        return Ok(());
    }
    resolve(&options.host, options.port).map(drop)
}

/// The sockets of one server, each with its address.
#[derive(Debug)]
pub(crate) struct Sockets {
    open: Vec<(Address, Socket)>,
    /// Ours to remove when the server closes.
    path: Option<OwnPath>,
}

impl Sockets {
    /// Opens what the options ask for, for as many cores. `handed` are the sockets of the server before this one, which that one has opened for
    /// the same options: they are taken instead, and with them the path of a Unix socket.
    pub(crate) fn open(options: &Options, cores: usize, handed: &[RawFd]) -> Result<Sockets, StartError> {
        let numbers = if handed.is_empty() { &options.fds } else { handed };
        let fail = |path: &Path, error| StartError::Unix { path: path.to_owned(), error };
        if !numbers.is_empty() {
            let inherited =
                |fd: &i32| inherit(*fd).map_err(|error| StartError::Descriptor { fd: *fd, error });
            let open = numbers.iter().map(inherited).collect::<Result<Vec<_>, _>>()?;
            let path = match (&options.unix, open.first()) {
                (Some(unix), Some((_, socket))) => {
                    let own =
                        OwnPath::of_bound(&unix.path, socket).map_err(|error| fail(&unix.path, error))?;
                    // Until this server serves, the path is that of the one before it.
                    Some(own.keep(handed.is_empty()))
                }
                _ => None,
            };
            return Ok(Sockets { open, path });
        }
        if let Some(unix) = &options.unix {
            let fail = |error| fail(&unix.path, error);
            let (socket, path) = unix::bind(&unix.path, unix.mode, BACKLOG).map_err(fail)?;
            return Ok(Sockets { open: vec![(Address::Unix(unix.path.clone()), socket)], path: Some(path) });
        }
        let address = resolve(&options.host, options.port)?;
        let open = tcp(address, cores).map_err(|error| StartError::Bind { address, error })?;
        Ok(Sockets { open, path: None })
    }

    /// The distinct addresses, in order.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        let mut addresses: Vec<Address> = Vec::new();
        for (address, _) in &self.open {
            if !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// Duplicates of the sockets that a core accepts from. Sockets that share an address (SO_REUSEPORT) are dealt out; a core goes without
    /// none of the addresses, and no socket without a core: what the kernel has queued on it would be lost.
    pub(crate) fn of_core(&self, core: usize, cores: usize) -> io::Result<Vec<OwnedFd>> {
        let mut mine = Vec::new();
        for address in self.addresses() {
            let group: Vec<&Socket> =
                self.open.iter().filter(|(each, _)| *each == address).map(|(_, socket)| socket).collect();
            for (index, socket) in group.iter().enumerate() {
                if is_dealt_to(core, cores, index, group.len()) {
                    mine.push(socket.try_clone()?.into());
                }
            }
        }
        Ok(mine)
    }

    /// The numbers of all of them, to be passed on to another process.
    pub(crate) fn numbers(&self) -> Vec<RawFd> {
        self.open.iter().map(|(_, socket)| socket.as_raw_fd()).collect()
    }

    /// Whether the path of a Unix socket goes when these are closed, or stays, since somebody else accepts from it.
    pub(crate) fn own_path(&mut self, own: bool) {
        self.path = self.path.take().map(|path| path.keep(own));
    }
}

/// True when a core accepts from a socket, the `index`-th of `sockets` at one address.
fn is_dealt_to(core: usize, cores: usize, index: usize, sockets: usize) -> bool {
    core % sockets == index || index % cores == core
}

/// One socket for each core, all at one address.
fn tcp(address: SocketAddr, cores: usize) -> io::Result<Vec<(Address, Socket)>> {
    if cores > 1 {
        probe(address)?;
    }
    let mut open: Vec<(Address, Socket)> = Vec::with_capacity(cores);
    let mut address = address;
    for _ in 0..cores {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(cores > 1)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        // The first takes the port; the others join it.
        address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        open.push((Address::Tcp(address), socket));
    }
    Ok(open)
}

/// Finds a busy port before the cores share it with SO_REUSEPORT, which would share it with another server of this user without a word.
fn probe(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // As the cores do: connections of an earlier server in TIME_WAIT are no obstacle.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

/// A socket of our own for a number that somebody passed on.
fn inherit(fd: i32) -> io::Result<(Address, Socket)> {
    let socket = Socket::from(net::inherit(fd)?);
    net::check_listening(&socket)?;
    let address = socket.local_addr()?;
    let address = match address.as_socket() {
        Some(address) => Address::Tcp(address),
        None if address.is_unix() => {
            Address::Unix(address.as_pathname().map(ToOwned::to_owned).unwrap_or_default())
        }
        None => {
            let wrong = "it is neither a TCP socket nor a Unix one";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong));
        }
    };
    Ok((address, socket))
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, StartError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let fail = |error: io::Error| StartError::Host { host: host.to_owned(), error };
    let mut found = (bare, port).to_socket_addrs().map_err(fail)?;
    found.next().ok_or_else(|| fail(io::ErrorKind::NotFound.into()))
}

/// The first TCP address, or none (0.0.0.0:0).
pub(crate) fn first_tcp(addresses: &[Address]) -> SocketAddr {
    let tcp = addresses.iter().find_map(|address| match address {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) => None,
    });
    tcp.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_has_a_socket_of_each_address_and_every_socket_a_core() {
        for cores in 1..9 {
            for sockets in 1..9 {
                let dealt = |core, index| is_dealt_to(core, cores, index, sockets);
                assert!((0..cores).all(|core| (0..sockets).any(|index| dealt(core, index))));
                assert!((0..sockets).all(|index| (0..cores).any(|core| dealt(core, index))));
                let pairs = (0..cores).flat_map(|core| (0..sockets).map(move |index| (core, index)));
                let count = pairs.filter(|(core, index)| dealt(*core, *index)).count();
                assert_eq!(count, cores.max(sockets), "and nobody waits where another would do");
            }
        }
    }
}
