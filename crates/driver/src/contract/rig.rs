//! What cases stand on: starting drivers, driving them as their host would, and the descriptors they work with.
use super::raw::borrow;
use crate::{
    Completion, Driver, Handle, Host, Lease, Operation, Options, Refused, Ticket, Wait,
    memory::{Source, Target},
    op::file::Open,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    ffi::CString,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// Nothing in a case takes this long unless it hangs.
pub(super) const LONG: Duration = Duration::from_secs(20);
/// Long enough to see that nothing happens.
pub(super) const SHORT: Duration = Duration::from_millis(30);

/// Why a case cannot be tried on a rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skip(pub &'static str);

/// A kind of driver to try the cases on.
#[derive(Clone, Debug)]
pub struct Rig {
    /// Its name in reports.
    pub name: &'static str,
    /// How its drivers start.
    pub options: Options,
}

impl Rig {
    /// Starts a driver.
    pub(super) fn start(&self) -> Drive {
        self.start_with(|_| {})
    }

    /// Starts a driver with other options than the rig's.
    pub(super) fn start_with(&self, change: impl FnOnce(&mut Options)) -> Drive {
        let mut options = self.options.clone();
        change(&mut options);
        let driver = Driver::start(&options).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(Some(driver.kind()), self.options.kind, "the driver that was asked for");
        Drive { driver, host: options.host, seen: Vec::new(), next: 1 }
    }

    /// How many single-shot operations may be in flight.
    pub(super) fn limit(&self) -> usize {
        self.options.completion_entries.unwrap_or(self.options.entries * 4) as usize
    }
}

/// A driver, driven as its host would.
#[derive(Debug)]
pub struct Drive {
    /// The driver.
    pub driver: Driver,
    host: Host,
    /// Completions that nobody asked for yet, in order.
    pub(super) seen: Vec<Completion>,
    next: u64,
}

impl Drive {
    /// Submits under a fresh token.
    pub(super) fn submit(&mut self, operation: impl Into<Operation>) -> (Ticket, u64) {
        let token = self.next;
        self.next += 1;
        match self.driver.submit(operation.into(), token) {
            Ok(ticket) => (ticket, token),
            Err(Refused { operation, reason }) => panic!("{operation:?} was refused: {reason:?}"),
        }
    }

    /// One turn, as the host does it: blocked in `enter`, or by watching the host's descriptor. May return early.
    pub(super) fn turn(&mut self, timeout: Duration) {
        match self.host {
            Host::Native => {
                let wait = if self.driver.has_completions() { Wait::No } else { Wait::For(timeout) };
                self.driver.enter(wait).expect("enter");
            }
            Host::Embedded => {
                self.driver.enter(Wait::No).expect("enter");
                if !self.driver.has_completions() && !self.driver.has_staged() {
                    if readable(self.host_fd(), timeout) {
                        self.driver.acknowledge();
                    }
                    self.driver.enter(Wait::No).expect("enter");
                }
            }
        }
        let seen = &mut self.seen;
        while self.driver.reap(64, |completion| seen.push(completion)) > 0 {}
    }

    /// The host's descriptor.
    pub(super) fn host_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.driver, self.driver.host_fd())
    }

    /// Turns until `enough`, or fails the case.
    pub(super) fn until(&mut self, what: &str, mut enough: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !enough(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {LONG:?} for {what}; {:?}; seen {:?}", self.driver, self.seen);
            self.turn(left);
        }
    }

    /// Waits for the next completion with that token.
    pub(super) fn next(&mut self, token: u64) -> Completion {
        self.until("a completion", |drive| drive.seen.iter().any(|completion| completion.token == token));
        let index = self.seen.iter().position(|completion| completion.token == token);
        self.seen.remove(index.expect("`until` found it"))
    }

    /// Waits for the final completion with that token, and drops those before it.
    pub(super) fn last(&mut self, token: u64) -> Completion {
        loop {
            let completion = self.next(token);
            if !completion.more {
                return completion;
            }
        }
    }

    /// Runs one single-shot operation to its end.
    pub(super) fn run(&mut self, operation: impl Into<Operation>) -> Completion {
        let (_, token) = self.submit(operation);
        let completion = self.next(token);
        assert!(!completion.more, "a single-shot operation has one completion");
        completion
    }

    /// Runs one single-shot operation and returns its result.
    pub(super) fn result(&mut self, operation: impl Into<Operation>) -> i32 {
        self.run(operation).result
    }

    /// Turns for a while and asserts that nothing completes.
    pub(super) fn nothing_happens(&mut self) {
        let deadline = Instant::now() + SHORT;
        while Instant::now() < deadline {
            self.turn(SHORT / 3);
        }
        assert!(self.seen.is_empty(), "nothing should have happened: {:?}", self.seen);
    }

    /// Leases memory.
    pub(super) fn lease(&self, bytes: usize) -> Lease {
        self.driver.arena().lease(bytes).expect("room in the arena")
    }

    /// Opens a file through the driver.
    pub(super) fn open(&mut self, path: &Path, flags: i32) -> Handle {
        let completion = self.run(open(path, flags));
        assert_eq!(completion.result, 0, "open {path:?}");
        completion.handle.expect("a successful open has a handle")
    }

    /// A connected pair: the driver's end and a plain one.
    pub(super) fn tcp(&mut self) -> (Handle, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let plain = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (ours, _) = listener.accept().expect("accept");
        (self.driver.adopt(ours.into()), plain)
    }

    /// A pipe: the driver's reading end, a plain writing end.
    pub(super) fn pipe(&mut self) -> (Handle, OwnedFd) {
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        (self.driver.adopt(reader), writer)
    }
}

/// Waits until a descriptor is readable.
pub(super) fn readable(fd: BorrowedFd<'_>, timeout: Duration) -> bool {
    let timeout = Timespec::try_from(timeout).expect("a short time");
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))).expect("poll") > 0
}

/// An open relative to the working directory.
pub(super) fn open(path: &Path, flags: i32) -> Open {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero bytes in a test's path");
    Open { directory: None, path, flags, mode: 0o644, resolve: 0 }
}

/// A vector to read into.
pub(super) fn room(bytes: usize) -> Target {
    Target::Vec(Vec::with_capacity(bytes))
}

/// Bytes to write.
pub(super) fn source(bytes: &[u8]) -> Source {
    Source::Shared(Rc::from(bytes), 0..bytes.len())
}

/// The vector that an operation gave back.
pub(super) fn bytes_of(completion: Completion) -> Vec<u8> {
    match completion.operation {
        Some(Operation::Read(read)) => read.target.bytes().to_vec(),
        other => panic!("a read gives its memory back, not {other:?}"),
    }
}

/// Bytes that differ everywhere: position-dependent, no short period.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// Descriptors that are open in this process.
pub(super) fn open_descriptors() -> usize {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    std::fs::read_dir(folder).expect("the list of descriptors").count()
}

/// A listening socket on a free port.
pub(super) fn listener() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let address = listener.local_addr().expect("address");
    (listener.into(), address)
}

/// A folder of its own for each case, removed with it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringwheel-contract-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).expect("a folder for the case");
        Scratch(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and returns its path.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("write the case's file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What remains is in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Turns operations' structs into operations, so that cases read well.
macro_rules! into_operation {
    ($($kind:ident($type:ty)),+ $(,)?) => {
        $(impl From<$type> for Operation {
            fn from(operation: $type) -> Operation {
                Operation::$kind(operation)
            }
        })+
    };
}

into_operation! {
    Open(crate::op::file::Open), Close(crate::op::file::Close), Read(crate::op::file::Read),
    Write(crate::op::file::Write), Sync(crate::op::file::Sync), Truncate(crate::op::file::Truncate),
    Stat(crate::op::file::Stat), Accept(crate::op::socket::Accept), Receive(crate::op::socket::Receive),
    Send(crate::op::socket::Send), Connect(crate::op::socket::Connect), Ready(crate::op::ready::Ready),
    Job(crate::op::job::Job),
}
