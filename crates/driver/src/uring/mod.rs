//! The io_uring backend: one ring of one thread. `setup` starts it, `submit` → `enter` → `complete` is an operation's way,
//! `shutdown` ends it. The words SQE and CQE live in this folder and in `op/*/uring.rs` only.
mod buffers;
mod complete;
mod enter;
mod lone;
mod probe;
mod ring_other;
mod setup;
mod shutdown;
mod submit;
#[cfg(test)]
mod tests;
mod waiting;

pub(crate) use probe::Capabilities;
pub(crate) use ring_other::Address;
pub(crate) use submit::{Kit, Plan, descriptor};

use crate::{
    Arena, Errno, Handle, Operation, Options, StartError, Waker,
    driver::{Host, Stats},
    error::remedy,
    handle::Registry,
    inflight::{Key, Slab},
    latency::{Latencies, Mark},
    limits::FIXED_FILES,
    memory::provided::ChunkPool,
    poll::pools::Pools,
};
use buffers::BufferRing;
use io_uring::{IoUring, cqueue, squeue};
use rustix::event::{EventfdFlags, eventfd};
use std::{
    collections::VecDeque,
    fmt,
    mem::{ManuallyDrop, MaybeUninit},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    rc::Rc,
    sync::Arc,
};

/// Completions taken from the ring at once.
const BATCH: usize = 32;

/// Results that need no kernel or came from elsewhere, waiting to be reaped.
type Local = VecDeque<(Key, i32)>;

/// One ring and all that its operations own.
pub(crate) struct Uring {
    /// Dropped by `shutdown`, after which nothing here is used.
    ring: ManuallyDrop<IoUring>,
    /// What is in flight, by the entry's `user_data`.
    slab: Slab<Entry>,
    /// Entries that found the submission queue full, in order.
    backlog: VecDeque<squeue::Entry>,
    /// Entries in the submission queue that the kernel has not taken.
    staged: usize,
    lone: lone::Lone,
    local: Local,
    /// How many of `local` may go out before the ring is looked at again, so that neither starves.
    local_credit: usize,
    /// Taken from the ring, not yet handed out: `batch[batch_next..batch_end]`.
    batch: [MaybeUninit<cqueue::Entry>; BATCH],
    batch_next: usize,
    batch_end: usize,
    /// Operations in flight, at most as many as the completion queue has entries (INV-4), and those that do not count against it.
    counted: usize,
    apart: usize,
    completion_entries: usize,
    /// `None` before the first receive, and where the kernel has no buffer rings: receiving waits for readiness then.
    buffers: Option<BufferRing>,
    /// Whether the ring of buffers has been asked for.
    buffers_asked: bool,
    /// Receives that found no chunk.
    paused: VecDeque<Key>,
    chunks: ChunkPool,
    arena: Arena,
    arena_registration: Registered,
    registry: Rc<Registry>,
    /// Whether the table of registered files has been asked for.
    files_asked: bool,
    /// Slots whose clearing is staged.
    cleared: Vec<u32>,
    capabilities: Capabilities,
    pool: Pools,
    waiting: waiting::Waiting,
    waker: Waker,
    eventfd: Arc<OwnedFd>,
    /// Readable after completions, once someone has asked for it (native host).
    told: Option<OwnedFd>,
    /// A multishot poll of the eventfd is armed (native host).
    wake_armed: bool,
    /// Whom messages to other rings are on the way to, with the descriptors that they name.
    rung: Vec<(Waker, Arc<OwnedFd>)>,
    host: Host,
    is_sqpoll: bool,
    closed: bool,
    features: Vec<&'static str>,
    notes: Vec<String>,
    stats: Stats,
    pub(crate) latencies: Latencies,
}

/// Whether the arena is known to the ring as fixed buffer 0. Registering pins its pages, so it waits for the first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registered {
    NotYet,
    Yes,
    Refused,
}

/// One operation in flight.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) operation: Operation,
    pub(crate) token: u64,
    /// What the kernel reads besides the operation itself; boxed because it must not move.
    pub(crate) aside: Option<Box<crate::op::Aside>>,
    pub(crate) place: Place,
    pub(crate) cancelled: bool,
    /// Times it was submitted again after a passing error.
    pub(crate) retries: u8,
    /// Whether it is timed.
    pub(crate) mark: Mark,
}

/// Who will end an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The kernel, or the queues before it.
    Kernel,
    /// Nobody yet: a receive that waits for a chunk, an open that waits for a worker.
    Paused,
    /// The blocking pool.
    Pool,
    /// It ended: its result waits in `local`.
    Local,
}

/// `user_data` of entries that are not operations: this slot, and what it is in the generation's place.
const INTERNAL: u32 = u32::MAX;
const WAKE: u64 = 1 << 32 | INTERNAL as u64;
const CANCEL: u64 = 2 << 32 | INTERNAL as u64;
const CLEAR_FILE: u64 = 3 << 32 | INTERNAL as u64;
/// A message to another ring that did not get there.
const RING: u64 = 4 << 32 | INTERNAL as u64;
/// A message of another ring.
const RUNG: u64 = 5 << 32 | INTERNAL as u64;

impl Uring {
    pub(crate) fn start(options: &Options, arena: Arena, chunks: ChunkPool) -> Result<Uring, StartError> {
        Ok(Self::over(setup::start(options)?, options, arena, chunks))
    }

    /// Over a ring that works. What can be registered with it is, at its first use: a ring that never receives, say, has no buffers
    /// to pay for.
    fn over(started: setup::Started, options: &Options, arena: Arena, chunks: ChunkPool) -> Uring {
        let setup::Started { ring, eventfd, mut features, notes } = started;
        let capabilities = Capabilities::of(&ring);
        let named = [(capabilities.multishot, "multishot"), (capabilities.msg_ring, "msg-ring")];
        features.extend(named.into_iter().filter_map(|(on, name)| on.then_some(name)));
        let eventfd = Arc::new(eventfd);
        // SAFETY: needs the ring open until the waker is closed: `shutdown` closes that first, and both belong to this value.
        // Checked: tests/contract.rs, "a driver wakes another, whichever way that one sleeps".
        let waker = Waker::new(unsafe { ring_other::signal(&ring, &eventfd, options.host) });
        if options.host == Host::Embedded {
            waker.park_host(); // A wake before the first enter must show too.
        }
        let wake = waker.clone();
        let completion_entries = ring.params().cq_entries() as usize;
        Uring {
            slab: Slab::new(),
            backlog: VecDeque::new(),
            staged: 0,
            lone: lone::Lone::default(),
            local: Local::new(),
            local_credit: BATCH,
            batch: [const { MaybeUninit::uninit() }; BATCH],
            batch_next: 0,
            batch_end: 0,
            counted: 0,
            apart: 0,
            completion_entries,
            buffers: None,
            buffers_asked: false,
            paused: VecDeque::new(),
            chunks,
            arena,
            arena_registration: Registered::NotYet,
            registry: Rc::default(),
            files_asked: false,
            cleared: Vec::new(),
            capabilities,
            // Every job is an operation in flight, so the queue never needs more room than they have.
            pool: Pools::new(options.pool_threads, completion_entries, Box::new(move || wake.wake())),
            waiting: waiting::Waiting::default(),
            waker,
            eventfd,
            told: None,
            wake_armed: false,
            rung: Vec::new(),
            host: options.host,
            is_sqpoll: options.sqpoll.is_some(),
            closed: false,
            features,
            notes,
            stats: Stats::default(),
            latencies: Latencies::new(),
            ring: ManuallyDrop::new(ring),
        }
    }

    pub(crate) fn features(&self) -> &[&'static str] {
        &self.features
    }

    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(crate) fn adopt(&mut self, fd: OwnedFd) -> Handle {
        Handle::from_owned(fd)
    }

    pub(crate) fn host_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }

    pub(crate) fn completion_fd(&mut self) -> Option<RawFd> {
        if self.host == Host::Embedded {
            return Some(self.eventfd.as_raw_fd()); // Registered; its host reads it.
        }
        if self.told.is_none() {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let told = eventfd(0, flags).ok()?;
            self.ring.submitter().register_eventfd(told.as_raw_fd()).ok()?;
            self.told = Some(told);
        }
        let told = self.told.as_ref()?;
        // EAGAIN: nothing to forget.
        let _ = rustix::io::read(told, &mut [0; 8]);
        Some(told.as_raw_fd())
    }

    pub(crate) fn acknowledge(&mut self) {
        self.waker.unpark();
        // EAGAIN: it was not readable, which is as good.
        let _ = rustix::io::read(&*self.eventfd, &mut [0; 8]);
        // A turn with nothing to submit or collect does not enter, and its host sleeps again all the same.
        if self.host == Host::Embedded {
            self.waker.park_host();
        }
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { in_flight: self.slab.len() as u32, ..self.stats }
    }

    /// Registers all that can be, unless that was tried already.
    pub(crate) fn register_memory(&mut self) {
        if self.arena_registration == Registered::NotYet {
            self.register_arena();
        }
        if !self.buffers_asked {
            self.register_buffers();
        }
        if !self.files_asked {
            self.register_file_table();
        }
    }

    /// Registers the ring of buffers for receiving, once; notes why there is none.
    #[cold]
    fn register_buffers(&mut self) {
        self.buffers_asked = true;
        let ring = &self.ring;
        let chunks = &self.chunks;
        let why = match self.capabilities.multishot.then(|| BufferRing::register(ring, chunks.clone())) {
            Some(Ok(buffers)) => {
                self.buffers = Some(buffers);
                self.features.push("buffer-ring");
                return;
            }
            Some(Err(errno)) => format!("{errno}; {}", remedy(errno)),
            None => "Linux 6.0 has them".to_owned(),
        };
        self.notes.push(format!(
            "no provided-buffer ring, so receiving takes a readiness check per arrival: {why}"
        ));
    }

    /// An empty table of registered files, once; as large as the limit of open files allows.
    #[cold]
    fn register_file_table(&mut self) {
        self.files_asked = true;
        let mut slots = FIXED_FILES;
        while slots >= 8 {
            if self.ring.submitter().register_files_sparse(slots).is_ok() {
                self.registry.open(slots);
                self.features.push("registered-files");
                return;
            }
            slots /= 4;
        }
    }

    /// Registers the arena as fixed buffer 0, once.
    #[cold]
    fn register_arena(&mut self) {
        let memory = self.arena.memory();
        let whole = libc::iovec { iov_base: memory.start().as_ptr().cast(), iov_len: memory.length() };
        // SAFETY: `register_buffers` needs the memory valid until the ring is gone.
        // Holds: `self.arena` keeps it mapped, and `shutdown` drops the ring first or leaks both (INV-1).
        // Checked: tests/shutdown_inflight.rs.
        match unsafe { self.ring.submitter().register_buffers(&[whole]) } {
            Ok(()) => {
                self.arena_registration = Registered::Yes;
                self.features.push("registered-buffers");
            }
            Err(error) => {
                self.arena_registration = Registered::Refused;
                self.notes.push(format!(
                    "the arena of {} bytes is not registered: {}; raise the limit of locked memory (ulimit -l) or ask for less memory",
                    memory.length(),
                    Errno::of(&error)
                ));
            }
        }
    }

    /// Registers a descriptor that is used often. Where there is no slot it stays as it is.
    #[cold]
    fn register_file(&mut self, handle: &Handle) {
        if !self.files_asked {
            self.register_file_table();
        }
        let Some(registration) = self.registry.take() else { return };
        let fds = [handle.as_raw_fd()];
        if self.ring.submitter().register_files_update(registration.slot(), &fds).is_ok() {
            handle.set_registration(registration);
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("features", &self.features)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
