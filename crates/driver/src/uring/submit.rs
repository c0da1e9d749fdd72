//! Life of a command, stage 3 of 6: submit. Before: crates/driver/src/driver.rs. After: crates/driver/src/uring/enter.rs.
//!
//! An operation moves into the slab, and an entry that points at what it owns goes into the submission queue. No call here
//! blocks; a full submission queue costs one extra system call, never an operation.
use super::{CANCEL, CLEAR_FILE, Capabilities, Entry, Place, Registered, Uring};
use crate::{
    Errno, Handle, Operation, RefusedReason, Ticket,
    handle::Registry,
    inflight::Key,
    limits::APART,
    memory::Source,
    op::{self, Aside},
    poll::pool::{Reason, Rejected, Work},
};
use io_uring::{opcode, squeue, types};
use rustix::io::Errno as E;

/// How an operation runs here.
pub(crate) enum Plan {
    /// As this entry; the slab names it.
    Entry(squeue::Entry),
    /// It ran: a system call that is cheaper than a trip through the ring.
    Done(i32),
    /// On the blocking pool.
    Pool(Work),
    /// On the pool for what waits for another process.
    Waits(Work),
    /// Not at all: an argument is out of range.
    Refuse(Errno),
}

/// What a plan depends on.
#[derive(Clone, Copy)]
pub(crate) struct Kit {
    pub(crate) capabilities: Capabilities,
    /// The arena is fixed buffer 0.
    pub(crate) arena_registered: bool,
    /// Buffer group for receives.
    pub(crate) buffer_group: Option<u16>,
    /// Which file table the slots of handles must belong to; compared, never followed.
    pub(crate) registry: *const Registry,
}

/// Turns an operation into what runs it. The same for the first time, a retry and arming again.
fn plan(operation: &mut Operation, aside: &mut Option<Box<Aside>>, kit: Kit) -> Plan {
    match operation {
        Operation::Nop => Plan::Entry(opcode::Nop::new().build()),
        Operation::Open(open) => op::file::uring::open(open, aside),
        Operation::Close(close) => op::file::uring::close(close),
        Operation::Read(read) => op::file::uring::read(read, kit),
        Operation::Write(write) => op::file::uring::write(write, kit),
        Operation::Sync(sync) => op::file::uring::sync(sync, kit),
        Operation::Truncate(truncate) => op::file::uring::truncate(truncate, kit),
        Operation::Stat(stat) => op::file::uring::stat(stat),
        Operation::Accept(accept) => op::socket::uring::accept(accept, kit),
        Operation::Receive(receive) => op::socket::uring::receive(receive, kit),
        Operation::Send(send) => op::socket::uring::send(send, kit),
        Operation::Connect(connect) => op::socket::uring::connect(connect, aside, kit),
        Operation::Ready(ready) => op::ready::uring::ready(ready, kit),
        Operation::Job(job) => op::job::uring::job(job),
    }
}

/// The descriptor of an entry, and the flag that says whether it is a slot of the file table.
#[inline]
pub(crate) fn descriptor(handle: &Handle, kit: Kit) -> (types::Fd, squeue::Flags) {
    use std::os::fd::AsRawFd;
    match handle.slot(kit.registry) {
        Some(slot) => (types::Fd(slot as i32), squeue::Flags::FIXED_FILE),
        None => (types::Fd(handle.as_raw_fd()), squeue::Flags::empty()),
    }
}

impl Uring {
    #[inline]
    pub(crate) fn submit_from(
        &mut self,
        operation: &mut Operation,
        token: u64,
    ) -> Result<Ticket, RefusedReason> {
        let full = match operation.counts_apart() {
            true => self.apart >= APART,
            false => self.counted >= self.completion_entries,
        };
        if full || self.closed {
            return Err(if self.closed { RefusedReason::Closed } else { RefusedReason::Full });
        }
        self.count_use(operation);
        if self.counted == 0
            && let Operation::Read(read) = operation
            && self.holds_back(read)
        {
            let key = self.admit(operation, token, None, Place::Kernel);
            self.lone.key = Some(key);
            return Ok(Ticket(key));
        }
        if self.lone.key.is_some() {
            self.join_lone();
        }
        let mut aside = None;
        let place_and_result = match plan(operation, &mut aside, self.kit()) {
            Plan::Entry(entry) => {
                if operation.is_at_position() {
                    op::file::uring::begin_move(operation);
                }
                let key = self.admit(operation, token, aside, Place::Kernel);
                self.push(entry.user_data(key));
                return Ok(Ticket(key));
            }
            Plan::Done(result) => Ok(result),
            Plan::Pool(work) => Err((work, false)),
            Plan::Waits(work) => Err((work, true)),
            Plan::Refuse(errno) => return Err(RefusedReason::Unsupported(errno)),
        };
        match place_and_result {
            Ok(result) => {
                let key = self.admit(operation, token, aside, Place::Local);
                self.local.push_back((key, result));
                Ok(Ticket(key))
            }
            Err((work, waits)) => self.submit_to_pool(operation, token, work, waits),
        }
    }

    /// Asks for the end of an operation. A stale ticket is harmless.
    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.stats.cancels += 1;
        self.join_lone();
        let key = ticket.0;
        let Some(entry) = self.slab.get_mut(key) else { return };
        if std::mem::replace(&mut entry.cancelled, true) {
            return;
        }
        match entry.place {
            Place::Kernel => {
                let silent = if self.capabilities.skip_success {
                    squeue::Flags::SKIP_SUCCESS
                } else {
                    squeue::Flags::empty()
                };
                self.push(opcode::AsyncCancel::new(key).build().flags(silent).user_data(CANCEL));
            }
            Place::Paused => self.end_locally(key, -E::CANCELED.raw_os_error()),
            Place::Pool => {
                if let Some(work) = self.pool.cancel(key) {
                    if let Operation::Job(job) = &mut entry.operation {
                        job.run = Some(work);
                    }
                    self.end_locally(key, -E::CANCELED.raw_os_error());
                } else if let Some(Aside::Open(opening)) = entry.aside.as_deref() {
                    opening.give_up();
                }
            }
            Place::Local => {}
        }
    }

    /// Gives an operation a result that no kernel queue will bring.
    pub(super) fn end_locally(&mut self, key: Key, result: i32) {
        if let Some(entry) = self.slab.get_mut(key) {
            entry.place = Place::Local;
            self.local.push_back((key, result));
        }
    }

    /// Submits an operation of the slab again.
    pub(super) fn arm(&mut self, key: Key) {
        let kit = self.kit();
        let Some(entry) = self.slab.get_mut(key) else { return };
        entry.place = Place::Kernel;
        match plan(&mut entry.operation, &mut entry.aside, kit) {
            Plan::Entry(sqe) => self.push(sqe.user_data(key)),
            Plan::Done(result) => self.end_locally(key, result),
            // Neither can come: only operations that ran as an entry before are armed again.
            Plan::Pool(_) | Plan::Waits(_) => self.end_locally(key, -E::INVAL.raw_os_error()),
            Plan::Refuse(errno) => self.end_locally(key, -errno.0),
        }
    }

    /// Puts an entry into the submission queue, behind all that came before it.
    #[inline]
    pub(super) fn push(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() || !self.try_push(&entry) {
            self.push_to_full(entry);
        }
    }

    #[cold]
    fn push_to_full(&mut self, entry: squeue::Entry) {
        self.backlog.push_back(entry);
        self.submit_staged();
        self.push_backlog();
    }

    /// Moves what waited for room into the queue.
    pub(super) fn push_backlog(&mut self) {
        while let Some(entry) = self.backlog.pop_front() {
            if !self.try_push(&entry) {
                self.backlog.push_front(entry);
                return;
            }
        }
    }

    #[inline]
    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: `push` needs every pointer in the entry valid until its final completion.
        // Holds: they point into what the operation or its `aside` owns on the heap or in a mapping, and both lie in the slab,
        // which lets go of them in `Uring::finish` alone (INV-1); the entries of `cancel` and `clear_files` hold none.
        // Checked: tests/shutdown_inflight.rs.
        let pushed = unsafe { self.ring.submission().push(entry) }.is_ok();
        self.staged += usize::from(pushed);
        pushed
    }

    /// Clears the slots of descriptors that nobody uses any more; only then does the kernel let go of the files.
    pub(super) fn clear_files(&mut self) {
        while let Some(slot) = self.registry.next_retired() {
            let silent = if self.capabilities.skip_success {
                squeue::Flags::SKIP_SUCCESS
            } else {
                squeue::Flags::empty()
            };
            self.push(opcode::Close::new(types::Fixed(slot)).build().flags(silent).user_data(CLEAR_FILE));
            // Entries run in order, so whoever registers a file here does so after the clearing ran: see `register_file`.
            self.cleared.push(slot);
        }
    }

    /// Moves it into the slab.
    #[inline]
    fn admit(
        &mut self,
        operation: &mut Operation,
        token: u64,
        aside: Option<Box<Aside>>,
        place: Place,
    ) -> Key {
        *if operation.counts_apart() { &mut self.apart } else { &mut self.counted } += 1;
        let mark = if operation.is_multishot() { 0 } else { self.latencies.begin(operation) };
        self.stats.submitted += 1;
        let operation = operation.take();
        let key =
            self.slab.insert(Entry { operation, token, aside, place, cancelled: false, retries: 0, mark });
        self.stats.in_flight_max = self.stats.in_flight_max.max(self.slab.len() as u32);
        key
    }

    #[cold]
    fn submit_to_pool(
        &mut self,
        operation: &mut Operation,
        token: u64,
        work: Work,
        waits: bool,
    ) -> Result<Ticket, RefusedReason> {
        let key = self.admit(operation, token, None, Place::Pool);
        let Err(Rejected { work, reason }) = self.pool.submit(key, work, waits) else {
            return Ok(Ticket(key));
        };
        // As if it had never been admitted.
        self.counted -= 1;
        self.stats.submitted -= 1;
        if let Some(entry) = self.slab.remove(key) {
            self.latencies.forget(entry.mark);
            *operation = entry.operation;
        }
        if let Operation::Job(job) = operation {
            job.run = Some(work);
        }
        Err(match reason {
            Reason::Full => RefusedReason::Full,
            Reason::Closed => RefusedReason::Closed,
            Reason::NoThread(errno) => RefusedReason::Unsupported(Errno(errno)),
        })
    }

    #[inline]
    fn kit(&self) -> Kit {
        Kit {
            capabilities: self.capabilities,
            arena_registered: self.arena_registration == Registered::Yes,
            buffer_group: self.buffers.as_ref().map(|_| super::buffers::GROUP),
            registry: std::rc::Rc::as_ptr(&self.registry),
        }
    }

    /// Registers what is used: the arena at the first transfer through a lease, buffers at the first receive, a descriptor once it is
    /// used often enough.
    #[inline]
    fn count_use(&mut self, operation: &Operation) {
        let (handle, leased) = match operation {
            Operation::Read(read) => (&read.file, read.target.is_registered()),
            Operation::Write(write) => (&write.file, matches!(write.source, Source::Lease(..))),
            Operation::Send(send) => (&send.socket, false),
            Operation::Receive(_) if !self.buffers_asked => return self.register_buffers(),
            _ => return,
        };
        if leased && self.arena_registration == Registered::NotYet {
            self.register_arena();
        }
        if handle.count_use() {
            self.register_file(handle);
        }
    }
}
