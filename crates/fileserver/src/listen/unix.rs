//! Unix sockets: a path is taken over from a server that is gone, never from one that listens, and given back at the end.
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// A path that this server has bound: dropping it removes the path, unless somebody else has it by now.
#[derive(Debug)]
pub(super) struct OwnPath {
    path: PathBuf,
    identity: (u64, u64),
    /// Somebody else serves what was bound here, and will remove it.
    left: bool,
    /// Keeps the inode from being given to somebody else's socket as long as it is compared.
    _socket: Socket,
}

impl OwnPath {
    /// Of a socket that was bound to that path.
    pub(super) fn of_bound(path: &Path, socket: &Socket) -> io::Result<OwnPath> {
        let identity = identity_of(path)?;
        Ok(OwnPath { path: path.to_owned(), identity, left: false, _socket: socket.try_clone()? })
    }

    /// Whether it goes with this, or stays.
    pub(super) fn keep(mut self, own: bool) -> OwnPath {
        self.left = !own;
        self
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        if !self.left && identity_of(&self.path).is_ok_and(|identity| identity == self.identity) {
            drop(fs::remove_file(&self.path)); // A path that cannot be removed is stale, and the next server takes it over.
        }
    }
}

fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Binds and listens. Without `mode` the umask decides who may connect.
pub(super) fn bind(path: &Path, mode: Option<u32>, backlog: i32) -> io::Result<(Socket, OwnPath)> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Of two servers that start at once, only one may find the other's path stale.
    let _turn = take_turn(path);
    match socket.bind(&address) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {
            remove_stale(path, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    // From here on the path is ours, also when something fails.
    let own = OwnPath::of_bound(path, &socket)?;
    if let Some(mode) = mode {
        // Before listen(2) nobody can connect, so there is no moment with another mode.
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    Ok((socket, own))
}

/// Holds a lock on the directory for the time of a bind. Others may hold it for reasons of their own: after a second without.
fn take_turn(path: &Path) -> Option<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = File::open(parent).ok()?;
    for _ in 0..100 {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(Errno::WOULDBLOCK | Errno::INTR) => thread::sleep(Duration::from_millis(10)),
            Err(_) => return None,
        }
    }
    None
}

/// How long a server that was killed may still seem to listen: the kernel takes its rings down behind its back.
const TAKEN_DOWN: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(500),
];

/// Removes a socket on which nobody listens.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else under that path"));
    }
    for wait in TAKEN_DOWN {
        let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A listener whose queue is full would block us, and is no stale one.
        probe.set_nonblocking(true)?;
        match probe.connect(address) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::CONNREFUSED) => {
                return fs::remove_file(path);
            }
            // A socket of datagrams, or one that we may not connect to: somebody's.
            Err(_) => break,
            Ok(()) => thread::sleep(wait),
        }
    }
    Err(Errno::ADDRINUSE.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("ringwheel-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_path_is_taken_from_nobody_who_listens_and_given_back_at_the_end() {
        let directory = directory("unix");
        let path = directory.join("socket");
        drop(UnixListener::bind(&path).unwrap()); // Gone without a word, as after a crash.
        let (socket, own) = bind(&path, Some(0o600), 8).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        let busy = bind(&path, None, 8).unwrap_err();
        assert_eq!(Errno::from_io_error(&busy), Some(Errno::ADDRINUSE));
        UnixStream::connect(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let (again, second) = bind(&path, None, 8).unwrap();
        drop((socket, own));
        UnixStream::connect(&path).expect("the first one leaves the second one's path alone");
        drop((again, second));
        assert!(!path.exists());
        let (socket, own) = bind(&path, None, 8).unwrap();
        let next = OwnPath::of_bound(&path, &socket).unwrap();
        let own = own.keep(false);
        drop(own);
        UnixStream::connect(&path).expect("it was left to the next one");
        drop((socket, next));
        assert!(!path.exists(), "which removes it");
        fs::write(&path, "a file").unwrap();
        assert_eq!(bind(&path, None, 8).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"a file");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn of_many_that_start_on_a_stale_path_one_gets_it() {
        let directory = directory("unix-race");
        // Each loser asks for a second, and leaves up to five connections in the queue of the one that listens.
        for round in 0..2 {
            let path = directory.join(format!("socket{round}"));
            drop(UnixListener::bind(&path).unwrap());
            let bound: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| bind(&path, None, 128))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(bound.iter().filter(|each| each.is_ok()).count(), 1);
            UnixStream::connect(&path).unwrap();
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
