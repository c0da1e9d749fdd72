//! Life of a command, stage 3 of 6: submit. Before: crates/executor/src/bridge/mod.rs. After: crates/driver/src/uring/submit.rs.
//!
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
pub use crate::options::{DriverKind, Host, Options, Sqpoll};
#[cfg(target_os = "linux")]
use crate::uring::Uring;
use crate::{
    Arena, Chunk, Errno, Handle, Latency, Operation, StartError, Waker, memory::provided::ChunkPool,
    poll::Poll,
};
use std::{
    fmt,
    marker::PhantomData,
    os::fd::{OwnedFd, RawFd},
    time::Duration,
};

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
    /// Wakes of other drivers that went along with an `enter` ([`Driver::wake_other`]).
    pub wakes_sent: u64,
}

/// What [`Driver::shutdown`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Operations drained after their cancel.
    pub drained: u32,
    /// Operations that did not end in time: their memory is leaked and counted, never freed (INV-1).
    pub leaked: u32,
}

/// One thread's way to the kernel. Dropping it does what [`Driver::shutdown`] does, with a deadline of one second.
#[derive(Debug)]
pub struct Driver {
    backend: Backend,
    _not_send: PhantomData<*const ()>,
}

/// Both backends have the same methods; `Driver` only chooses.
#[derive(Debug)]
enum Backend {
    #[cfg(target_os = "linux")]
    Uring(Box<Uring>),
    Poll(Box<Poll>),
}

/// Calls the same method on whichever backend it is.
macro_rules! dispatch {
    ($self:expr, $backend:ident => $call:expr) => {
        match $self {
            #[cfg(target_os = "linux")]
            Backend::Uring($backend) => $call,
            Backend::Poll($backend) => $call,
        }
    };
}

impl Driver {
    /// Starts a driver for the calling thread.
    ///
    /// Without [`Options::kind`] it is io_uring where the kernel allows it, else poll, and [`Driver::notes`] says why. With
    /// [`DriverKind::Poll`] not one io_uring system call is made: some sandboxes kill on the first.
    ///
    /// # Errors
    /// [`StartError::Option`] names an option out of its range; [`StartError::Denied`] says why io_uring, when insisted on,
    /// is not to be had; [`StartError::System`] is a refusal of memory, threads or descriptors.
    pub fn start(options: &Options) -> Result<Driver, StartError> {
        options.check()?;
        let map = |errno| StartError::System { what: "mapping the driver's memory", errno };
        let arena = Arena::new(options.memory).map_err(map)?;
        let chunks = ChunkPool::new(options.chunks, options.chunk_bytes).map_err(map)?;
        let (backend, notes) = match options.kind {
            Some(DriverKind::Poll) => (None, Vec::new()),
            kind => Self::start_uring(options, kind.is_some(), &arena, &chunks)?,
        };
        let backend = match backend {
            Some(backend) => backend,
            None => Backend::Poll(Box::new(Poll::start(options, arena, chunks, notes)?)),
        };
        Ok(Driver { backend, _not_send: PhantomData })
    }

    /// io_uring, or the reason why not.
    #[cfg(target_os = "linux")]
    fn start_uring(
        options: &Options,
        insist: bool,
        arena: &Arena,
        chunks: &ChunkPool,
    ) -> Result<(Option<Backend>, Vec<String>), StartError> {
        match Uring::start(options, arena.clone(), chunks.clone()) {
            Ok(uring) => Ok((Some(Backend::Uring(Box::new(uring))), Vec::new())),
            Err(StartError::Denied(why)) if !insist => Ok((None, vec![why])),
            Err(error) => Err(error),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn start_uring(
        _: &Options,
        insist: bool,
        _: &Arena,
        _: &ChunkPool,
    ) -> Result<(Option<Backend>, Vec<String>), StartError> {
        let why = "io_uring is a Linux interface; use the poll driver here".to_owned();
        if insist { Err(StartError::Denied(why)) } else { Ok((None, vec![why])) }
    }

    /// Which backend it is.
    pub fn kind(&self) -> DriverKind {
        match self.backend {
            #[cfg(target_os = "linux")]
            Backend::Uring(_) => DriverKind::Uring,
            Backend::Poll(_) => DriverKind::Poll,
        }
    }

    /// The kernel features in use, as short names (`defer-taskrun`, `registered-buffers`, …).
    pub fn features(&self) -> &[&'static str] {
        dispatch!(&self.backend, backend => backend.features())
    }

    /// Registers with the kernel now what is otherwise registered at its first use: the arena at a transfer through a lease, the
    /// buffers at a receive, the table of files when one of them has been used some 16 times. Features or notes say how it went. The poll
    /// backend has nothing to register.
    pub fn register_memory(&mut self) {
        dispatch!(&mut self.backend, backend => backend.register_memory());
    }

    /// Why io_uring was not chosen, or what was given up on the way (memlock), one sentence each.
    pub fn notes(&self) -> &[String] {
        dispatch!(&self.backend, backend => backend.notes())
    }

    /// Takes an operation. `token` comes back with each of its completions.
    ///
    /// # Errors
    /// The operation comes back with the reason: [`RefusedReason`]. Nothing happened then.
    #[inline]
    pub fn submit(&mut self, mut operation: Operation, token: u64) -> Result<Ticket, Refused> {
        self.submit_from(&mut operation, token).map_err(|reason| Refused { operation, reason })
    }

    /// The same for an operation that lies somewhere else: it is moved from there, and a `Nop` left, only when it is accepted. That is one
    /// copy of its 80 bytes.
    ///
    /// # Errors
    /// [`RefusedReason`]; the operation is where it was.
    #[inline]
    pub fn submit_from(&mut self, operation: &mut Operation, token: u64) -> Result<Ticket, RefusedReason> {
        dispatch!(&mut self.backend, backend => backend.submit_from(operation, token))
    }

    /// Asks the kernel to end an operation early. It still completes once: with `-ECANCELED`, or with its result if it was faster.
    pub fn cancel(&mut self, ticket: Ticket) {
        dispatch!(&mut self.backend, backend => backend.cancel(ticket))
    }

    /// Submits everything staged with one system call, and waits as told. EINTR is not an error. It may return early, with
    /// nothing to reap.
    pub fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        dispatch!(&mut self.backend, backend => backend.enter(wait))
    }

    /// Hands at most `max` completions to `sink`, in the order the kernel made them. Returns how many.
    #[inline]
    pub fn reap(&mut self, max: usize, sink: impl FnMut(Completion)) -> usize {
        dispatch!(&mut self.backend, backend => backend.reap(max, sink))
    }

    /// True when `reap` would find something without `enter`.
    #[inline]
    pub fn has_completions(&mut self) -> bool {
        dispatch!(&mut self.backend, backend => backend.has_completions())
    }

    /// True when operations are staged that the kernel has not seen.
    #[inline]
    pub fn has_staged(&self) -> bool {
        dispatch!(&self.backend, backend => backend.has_staged())
    }

    /// Operations in flight (accepted, no final completion reaped).
    #[inline]
    pub fn in_flight(&self) -> usize {
        dispatch!(&self.backend, backend => backend.in_flight())
    }

    /// The registered memory.
    pub fn arena(&self) -> &Arena {
        dispatch!(&self.backend, backend => backend.arena())
    }

    /// Wraps a descriptor. A ring registers it once it is used often enough to pay for that.
    pub fn adopt(&mut self, fd: OwnedFd) -> Handle {
        dispatch!(&mut self.backend, backend => backend.adopt(fd))
    }

    /// The descriptor a host loop watches for readability.
    pub fn host_fd(&self) -> RawFd {
        dispatch!(&self.backend, backend => backend.host_fd())
    }

    /// An eventfd that completions make readable, for [`crate::preempt::Preempt::watch`]; what it told before is forgotten. `None`
    /// where there is none: the poll backend. The first call of a native driver registers it: from then on each batch of
    /// completions signals it, some 0.1 µs.
    pub fn completion_fd(&mut self) -> Option<RawFd> {
        match &mut self.backend {
            #[cfg(target_os = "linux")]
            Backend::Uring(uring) => uring.completion_fd(),
            Backend::Poll(_) => None,
        }
    }

    /// Resets the host fd after it was readable. Call it before `enter`, so that nothing that comes later is missed.
    pub fn acknowledge(&mut self) {
        dispatch!(&mut self.backend, backend => backend.acknowledge())
    }

    /// A way to wake this driver from other threads.
    pub fn waker(&self) -> Waker {
        dispatch!(&self.backend, backend => backend.waker())
    }

    /// Wakes another driver, as its [`Waker::wake`] would. Between two io_uring drivers of which the other sleeps in its
    /// ring, the wake goes along with this driver's next [`Driver::enter`], which must follow, and costs no system call of
    /// its own (IORING_OP_MSG_RING, Linux 5.18).
    pub fn wake_other(&mut self, other: &Waker) {
        dispatch!(&mut self.backend, backend => backend.wake_other(other))
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        dispatch!(&self.backend, backend => backend.stats())
    }

    /// How long operations took, by kind, from `submit` to their completion. One in 64 is timed: without a clock read for the others.
    pub fn latencies(&self) -> Vec<Latency> {
        dispatch!(&self.backend, backend => backend.latencies.summary())
    }

    /// Cancels all, drains to zero within `deadline`, leaks and counts what remains (INV-1). Completions that were not
    /// reaped are dropped, and with them the descriptors and memory they carry.
    pub fn shutdown(mut self, deadline: Duration) -> ShutdownReport {
        dispatch!(&mut self.backend, backend => backend.shutdown(deadline))
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusedReason::Full => {
                f.write_str("too many operations in flight; reap completions, then submit again")
            }
            RefusedReason::Closed => f.write_str("the driver is shutting down"),
            RefusedReason::Unsupported(errno) => write!(f, "the operation cannot run here: {errno}"),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Refused {}
