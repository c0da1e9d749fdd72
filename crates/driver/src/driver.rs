//! The Driver contract, and the choice of its backend.
//!
//! One driver belongs to one thread (it is `!Send`); only its [`Waker`] may leave. Rules that both backends keep and
//! `contract.rs` tests:
//!
//! 1. `submit` moves the operation in; it runs no later than the next `enter`.
//! 2. Every accepted operation has exactly one final completion (`more == false`), also when it is cancelled (INV-4).
//! 3. The final completion gives the operation's memory back.
//! 4. An operation that yields a descriptor owns it until the completion is reaped; a completion nobody takes closes it (INV-7).
//! 5. `enter` is the only call that may block. `reap` never makes a blocking system call.
use crate::{Arena, Chunk, Errno, Operation};
use std::{marker::PhantomData, time::Duration};

/// Who calls the driver: decides how it parks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A thread of its own, which blocks in [`Driver::enter`].
    Native,
    /// A foreign event loop (libuv), which watches [`Driver::host_fd`] and calls `enter(Wait::No)`.
    Embedded,
}

/// Which backend runs the operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// io_uring.
    Uring,
    /// Readiness (epoll, kqueue) and a bounded blocking pool.
    Poll,
}

/// How [`Driver::start`] sets up. `Default` is what an embedded executor on Linux wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// `None` chooses io_uring when the kernel allows it, else poll. `Some` insists.
    pub kind: Option<DriverKind>,
    /// Who parks.
    pub host: Host,
    /// Submission entries, a power of two in `8..=32768`. Default 1024. Halved on ENOMEM down to 64.
    pub entries: u32,
    /// Completion entries; default 4 × `entries`. Tests set 8.
    pub completion_entries: Option<u32>,
    /// Bytes of the arena, a multiple of 4096, in `65536..=1 GiB`. Default 4 MiB (fits the usual 8 MiB RLIMIT_MEMLOCK).
    pub memory: usize,
    /// Provided receive buffers: a power of two in `8..=4096`. Default 256; small and LIFO so that they stay in cache.
    pub chunks: u16,
    /// Bytes of one provided buffer, in `512..=65536`. Default 4096.
    pub chunk_bytes: u32,
    /// Kernel submission thread. `None` (default) is off.
    pub sqpoll: Option<Sqpoll>,
    /// Threads of the blocking pool of this driver, in `1..=64`. Default 4; started on first use.
    pub pool_threads: u16,
}

/// Options of a kernel submission thread (IORING_SETUP_SQPOLL).
#[derive(Clone, Copy, Debug)]
pub struct Sqpoll {
    /// Milliseconds without work after which the kernel thread sleeps. Default 1.
    pub idle_ms: u32,
    /// The CPU to pin it to.
    pub cpu: Option<u32>,
    /// Start it even when fewer than 4 CPUs are usable.
    pub force: bool,
}

/// How long [`Driver::enter`] may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Submit and return.
    No,
    /// Until a completion, a wake, or the end of this time.
    For(Duration),
    /// Until a completion or a wake.
    Forever,
}

/// Names one operation in flight: slot and generation. A stale ticket is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub(crate) u64);

/// One result. `token` is the submitter's, untouched.
#[derive(Debug)]
pub struct Completion {
    /// What the submitter passed to [`Driver::submit`].
    pub token: u64,
    /// Zero or more: the result. Negative: minus an errno.
    pub result: i32,
    /// True for every completion of a multishot operation but its last.
    pub more: bool,
    /// Received bytes ([`Operation::Receive`] only). Dropping it gives the buffer back.
    pub chunk: Option<Chunk>,
    /// The descriptor that an accept or open produced; dropping it closes it.
    pub handle: Option<crate::Handle>,
    /// The operation itself, with its memory, when `more` is false.
    pub operation: Option<Operation>,
}

/// A submit that was not accepted. Nothing happened; the operation is back.
#[derive(Debug)]
pub struct Refused {
    /// The operation as it was given.
    pub operation: Operation,
    /// Why.
    pub reason: RefusedReason,
}

/// Why a submit was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// As many operations are in flight as the completion queue can hold. Reap, then try again.
    Full,
    /// The driver is shutting down.
    Closed,
    /// This backend or kernel cannot run the operation.
    Unsupported(Errno),
}

/// Counters since the start; plain numbers, cheap to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// System calls made by `enter`.
    pub enters: u64,
    /// Operations accepted.
    pub submitted: u64,
    /// Final completions reaped.
    pub completed: u64,
    /// Non-final completions reaped.
    pub multishot: u64,
    /// Times the completion queue overflowed and was flushed (INV-4).
    pub overflows: u64,
    /// Multishot operations armed again by the driver.
    pub rearmed: u64,
    /// Cancels asked for.
    pub cancels: u64,
    /// Results with an errno the operation's table does not know.
    pub unexpected: u64,
    /// Operations whose memory was leaked on purpose at shutdown (INV-1).
    pub leaked: u64,
    /// Operations in flight now.
    pub in_flight: u32,
    /// The most that ever were.
    pub in_flight_max: u32,
    /// Receives that found no provided buffer and were retried.
    pub no_chunk: u64,
}

/// What [`Driver::shutdown`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Operations drained after their cancel.
    pub drained: u32,
    /// Operations that did not end in time: their memory is leaked and counted, never freed (INV-1).
    pub leaked: u32,
}

/// Unparks the driver's thread from any thread. Cloneable, `Send + Sync`; harmless after the driver is gone.
#[derive(Clone, Debug)]
pub struct Waker {
    _owner_fills_this_in: (),
}

impl Waker {
    /// Makes the current or next `enter` return, or makes the host fd readable. Never blocks.
    pub fn wake(&self) {}
}

/// One thread's way to the kernel.
#[derive(Debug)]
pub struct Driver {
    _not_send: PhantomData<*const ()>,
}

#[expect(unused_variables, reason = "the seam: the driver's owner fills these bodies in")]
impl Driver {
    /// Starts a driver for the calling thread.
    pub fn start(options: &Options) -> Result<Driver, crate::StartError> {
        unimplemented!()
    }
    /// Which backend it is.
    pub fn kind(&self) -> DriverKind {
        unimplemented!()
    }
    /// The kernel features in use, as short names (`defer-taskrun`, `registered-buffers`, …).
    pub fn features(&self) -> &[&'static str] {
        unimplemented!()
    }
    /// Why io_uring was not chosen, or what was given up on the way (memlock), one sentence each.
    pub fn notes(&self) -> &[String] {
        unimplemented!()
    }
    /// Takes an operation. `token` comes back with each of its completions.
    pub fn submit(&mut self, operation: Operation, token: u64) -> Result<Ticket, Refused> {
        unimplemented!()
    }
    /// Asks the kernel to end an operation early. It still completes once: with `-ECANCELED`, or with its result if it was faster.
    pub fn cancel(&mut self, ticket: Ticket) {
        unimplemented!()
    }
    /// Submits everything staged with one system call, and waits as told. EINTR is not an error.
    pub fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        unimplemented!()
    }
    /// Hands at most `max` completions to `sink`, in the order the kernel made them. Returns how many.
    pub fn reap(&mut self, max: usize, sink: impl FnMut(Completion)) -> usize {
        unimplemented!()
    }
    /// True when `reap` would find something without `enter`.
    pub fn has_completions(&mut self) -> bool {
        unimplemented!()
    }
    /// True when operations are staged that the kernel has not seen.
    pub fn has_staged(&self) -> bool {
        unimplemented!()
    }
    /// Operations in flight (accepted, no final completion reaped).
    pub fn in_flight(&self) -> usize {
        unimplemented!()
    }
    /// The registered memory.
    pub fn arena(&self) -> &Arena {
        unimplemented!()
    }
    /// Wraps a descriptor, registered with the ring where there is room.
    pub fn adopt(&mut self, fd: std::os::fd::OwnedFd) -> crate::Handle {
        unimplemented!()
    }
    /// The descriptor a host loop watches for readability.
    pub fn host_fd(&self) -> std::os::fd::RawFd {
        unimplemented!()
    }
    /// Resets the host fd after it was readable.
    pub fn acknowledge(&mut self) {
        unimplemented!()
    }
    /// A way to wake this driver from other threads.
    pub fn waker(&self) -> Waker {
        unimplemented!()
    }
    /// Counters.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
    /// Cancels all, drains to zero within `deadline`, leaks and counts what remains (INV-1).
    pub fn shutdown(self, deadline: Duration) -> ShutdownReport {
        unimplemented!()
    }
}
