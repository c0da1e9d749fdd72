//! Life of a command, stage 3 of 6: submit. Before: crates/command/src/decode.rs. After: crates/driver/src/driver.rs.
//!
//! The JavaScript client's side of a turn: reads commands, checks what they name against the tables of files and leases,
//! submits operations; takes their completions and fired timers, and writes them to the completion ring. Nothing here
//! trusts a byte of the shared memory (INV-5), and nothing a script does makes it panic, block or lose a completion.
mod files;
mod keep;
mod pending;

use crate::{Client, Edge, turn::CLIENT_TOKEN};
use files::Files;
use keep::Keep;
use pending::{PendingTable, Running};
use ringwheel_command::{
    Action, CommandReader, CompletionWriter, FileId, LeaseRange, PendingId, Region, Reject, RejectCode,
    Request, RingError, Rings, layout::PENDING_CAPACITY,
};
use ringwheel_driver::{
    Arena, Completion, Handle, LeaseId, Operation, RefusedReason,
    memory::{LeaseError, NoMemory, Source, Target},
    op::file::{Close, Open, Read, Stat, Sync, Truncate, Write},
};
use std::{collections::VecDeque, ffi::CString, os::fd::AsRawFd, time::Duration};

const ECANCELED: i32 = 125;
const EMFILE: i32 = 24;

/// Longest sleep that the wheel is asked for: 139 years, so that no clock arithmetic overflows.
const SLEEP_MAX_MS: u64 = 1 << 42;

/// Commands read in one turn: the whole ring once, so a script that writes while we read cannot hold the turn.
const COMMANDS_MAX: usize = 4096;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeStats {
    /// Commands read.
    pub commands: u64,
    /// Commands refused because they made no sense or named something stale.
    pub rejects: u64,
    /// Times a command was left in the ring because the driver or the completion ring had no room.
    pub backpressure: u64,
}

/// The client of an embedded executor. One per environment.
#[derive(Debug)]
pub struct Bridge {
    commands: CommandReader<Region>,
    desk: Desk,
    keep: Keep,
    corrupt: Option<RingError>,
}

/// Everything but the command ring's reading end, which is borrowed while commands are handed in.
#[derive(Debug)]
struct Desk {
    completions: CompletionWriter<Region>,
    arena: Arena,
    files: Files,
    pending: PendingTable,
    /// Opens that found the driver full.
    opens: VecDeque<(PendingId, Open)>,
    /// Answers that the completion ring has no room for; shown as JavaScript makes room (INV-4).
    waiting: VecDeque<(PendingId, i32, u32)>,
    /// Accepted and not answered yet: bounds `waiting`.
    unanswered: u32,
    closing: bool,
    stats: BridgeStats,
}

/// What became of a request.
enum Outcome {
    /// It is on its way, or answered.
    Taken,
    /// There is no room: leave it in the ring.
    NoRoom,
}

impl Bridge {
    /// Serves the rings of `region` with the memory of `arena`.
    pub fn new(region: Region, arena: Arena) -> Bridge {
        let Rings { commands, completions } = region.rings();
        let desk = Desk {
            completions,
            arena,
            files: Files::default(),
            pending: PendingTable::default(),
            opens: VecDeque::new(),
            waiting: VecDeque::new(),
            unanswered: 0,
            closing: false,
            stats: BridgeStats::default(),
        };
        Bridge { commands, desk, keep: Keep::new(region), corrupt: None }
    }

    /// Shows new completions to JavaScript, as many as the ring has room for. Returns how many there are: above 0, call
    /// JavaScript, then publish again.
    pub fn publish(&mut self) -> u32 {
        while let Some((pending, result, flags)) = self.desk.waiting.pop_front() {
            if self.desk.completions.reply(pending, result, flags).is_err() {
                self.desk.waiting.push_front((pending, result, flags));
                break;
            }
        }
        self.desk.completions.publish()
    }

    /// True when commands or opens wait to be handed in.
    pub fn has_commands(&self) -> bool {
        self.corrupt.is_none() && (self.commands.has_entries() || !self.desk.opens.is_empty())
    }

    /// True while JavaScript says that pending work is to keep the process alive.
    pub fn wants_keeping(&self) -> bool {
        self.keep.wanted()
    }

    /// Tells JavaScript whether the event loop is held, so that it asks again only when it is not.
    pub fn set_held(&self, held: bool) {
        self.keep.set_held(held);
    }

    /// Set once the shared memory cannot be true any more: shut the executor down.
    pub fn corrupt(&self) -> Option<RingError> {
        self.corrupt
    }

    /// Answers further commands with [`RejectCode::Closed`].
    pub fn refuse_from_now_on(&mut self) {
        self.desk.closing = true;
    }

    /// Opens a file; the completion's result is the file's slot, its flags the generation.
    ///
    /// # Errors
    /// The reject to raise in the caller: closed, a pending slot out of range, or more opens than completions fit.
    pub fn open(&mut self, edge: &mut Edge<'_>, pending: PendingId, open: Open) -> Result<(), RejectCode> {
        let desk = &mut self.desk;
        if desk.closing {
            return Err(RejectCode::Closed);
        }
        if pending.slot >= PENDING_CAPACITY || !desk.has_room() {
            return Err(RejectCode::Pending);
        }
        desk.unanswered += 1;
        if let Outcome::NoRoom = desk.submit_open(edge, pending, open, false) {
            desk.stats.backpressure += 1;
        }
        Ok(())
    }

    /// The descriptor behind a file, for looking only.
    pub fn file_descriptor(&self, file: FileId) -> Option<i32> {
        self.desk.files.get(file).map(|handle| handle.as_raw_fd())
    }

    /// Drops a file that JavaScript can name no more. True when it was open.
    pub fn forget(&mut self, file: FileId) -> bool {
        self.desk.files.remove(file).is_some()
    }

    /// Files open now.
    pub fn files(&self) -> usize {
        self.desk.files.len()
    }

    /// Leases memory into JavaScript's hand. Returns its name and where it starts in the arena.
    ///
    /// # Errors
    /// [`NoMemory`] when no range as long is free.
    pub fn lease(&mut self, bytes: usize) -> Result<(LeaseId, usize), NoMemory> {
        let lease = self.desk.arena.lease(bytes)?;
        let offset = lease.offset();
        Ok((self.desk.arena.lend(lease), offset))
    }

    /// Frees a lease that is in JavaScript's hand.
    ///
    /// # Errors
    /// [`LeaseError`] when it is stale or an operation has it.
    pub fn release(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        self.desk.arena.release(lease)
    }

    /// Lets `work` see where a lease starts in the arena, and its bytes: for hosts where JavaScript cannot see the arena.
    ///
    /// # Errors
    /// [`LeaseError`] when it is stale or an operation has it.
    pub fn with_lease<R>(
        &mut self,
        id: LeaseId,
        work: impl FnOnce(usize, &mut [u8]) -> R,
    ) -> Result<R, LeaseError> {
        let mut lease = self.desk.arena.take(id)?;
        let result = work(lease.offset(), &mut lease);
        self.desk.arena.lend(lease);
        Ok(result)
    }

    /// The memory that leases are ranges of.
    pub fn arena(&self) -> &Arena {
        &self.desk.arena
    }

    /// Counters.
    pub fn stats(&self) -> BridgeStats {
        self.desk.stats
    }
}

impl Client for Bridge {
    fn commands(&mut self, edge: &mut Edge<'_>) -> bool {
        let desk = &mut self.desk;
        if !desk.retry_opens(edge) || self.corrupt.is_some() {
            return false;
        }
        let mut batch = match self.commands.batch() {
            Ok(batch) => batch,
            Err(error) => {
                self.corrupt = Some(error);
                return false;
            }
        };
        for _ in 0..COMMANDS_MAX {
            let Some(next) = batch.request() else { return false };
            let outcome = match next {
                Ok(request) => desk.run(edge, request),
                Err(reject) => desk.refuse(reject),
            };
            match outcome {
                Outcome::Taken => {
                    desk.stats.commands += 1;
                    batch.advance();
                }
                // A completion makes room, and its turn reads on: nothing is gained by spinning until then.
                Outcome::NoRoom => {
                    desk.stats.backpressure += 1;
                    return false;
                }
            }
        }
        !batch.is_empty()
    }

    fn timer(&mut self, timer: u64) {
        let pending = PendingTable::name(timer);
        self.desk.pending.remove(pending);
        self.desk.answer(pending, 0, 0);
    }

    fn completion(&mut self, completion: Completion) {
        self.desk.complete(completion);
    }
}

impl Desk {
    /// True when one more command may be taken. A script that floods us is stopped here, at a million.
    fn has_room(&self) -> bool {
        self.unanswered < PENDING_CAPACITY
    }

    /// Answers a request that counts as unanswered. The ring may be full, or its index a lie: then the answer waits.
    fn answer(&mut self, pending: PendingId, result: i32, flags: u32) {
        self.unanswered -= 1;
        if !self.waiting.is_empty() || self.completions.reply(pending, result, flags).is_err() {
            self.waiting.push_back((pending, result, flags));
        }
    }

    fn refuse(&mut self, reject: Reject) -> Outcome {
        if self.waiting.len() as u32 >= PENDING_CAPACITY {
            return Outcome::NoRoom;
        }
        self.stats.rejects += 1;
        if let Some(pending) = reject.pending {
            self.unanswered += 1;
            self.answer(pending, reject.code.result(), 0);
        }
        Outcome::Taken
    }

    fn run(&mut self, edge: &mut Edge<'_>, request: Request) -> Outcome {
        let Request { pending, action, .. } = request;
        if let Action::Cancel = action {
            self.cancel(edge, pending);
            return Outcome::Taken;
        }
        if !self.has_room() {
            return Outcome::NoRoom;
        }
        let operation = match self.operation(edge, pending, action) {
            Ok(Some(operation)) => operation,
            Ok(None) => return Outcome::Taken,
            Err(code) => return self.refuse(Reject { pending: Some(pending), code }),
        };
        self.submit(edge, pending, operation)
    }

    /// Turns a request into an operation that owns all it needs; `None` when it needs none.
    fn operation(
        &mut self,
        edge: &mut Edge<'_>,
        pending: PendingId,
        action: Action,
    ) -> Result<Option<Operation>, RejectCode> {
        if self.closing {
            return Err(RejectCode::Closed);
        }
        Ok(Some(match action {
            Action::Read { file, lease, position } => {
                let file = self.file(file)?;
                let (lease, range) = self.memory(lease)?;
                Operation::Read(Read { file, target: Target::Lease(lease, range), offset: position.offset() })
            }
            Action::Write { file, lease, position } => {
                let file = self.file(file)?;
                let (lease, range) = self.memory(lease)?;
                Operation::Write(Write {
                    file,
                    source: Source::Lease(lease, range),
                    offset: position.offset(),
                })
            }
            Action::Sync { file } => Operation::Sync(Sync { file: self.file(file)?, data_only: false }),
            Action::Datasync { file } => Operation::Sync(Sync { file: self.file(file)?, data_only: true }),
            Action::Truncate { file, length } => {
                Operation::Truncate(Truncate { file: self.file(file)?, length })
            }
            Action::Stat { file, lease } => {
                let file = self.file(file)?;
                let (lease, range) = self.memory(lease)?;
                Operation::Stat(Stat { file, target: Target::Lease(lease, range) })
            }
            Action::Close { file } => {
                let file = self.files.remove(file).ok_or(RejectCode::StaleFile)?;
                Operation::Close(Close { file })
            }
            Action::Sleep { milliseconds } => {
                let deadline = edge.now() + Duration::from_millis(milliseconds.min(SLEEP_MAX_MS));
                let key = edge.insert_timer(deadline, PendingTable::token(pending));
                self.pending.insert(pending, Running::Timer(key));
                self.unanswered += 1;
                return Ok(None);
            }
            Action::Nop => {
                self.unanswered += 1;
                self.answer(pending, 0, 0);
                return Ok(None);
            }
            Action::Cancel => return Ok(None), // Dealt with before anything was looked up.
        }))
    }

    fn submit(&mut self, edge: &mut Edge<'_>, pending: PendingId, operation: Operation) -> Outcome {
        match edge.driver.submit(operation, CLIENT_TOKEN | PendingTable::token(pending)) {
            Ok(ticket) => {
                self.pending.insert(pending, Running::Operation(ticket));
                self.unanswered += 1;
                Outcome::Taken
            }
            Err(refused) => {
                let closing = matches!(refused.operation, Operation::Close(_));
                match refused.reason {
                    // A close has left the table of files already: drop it here, which closes the descriptor.
                    RefusedReason::Full if closing => {
                        drop(refused.operation);
                        self.unanswered += 1;
                        self.answer(pending, 0, 0);
                        Outcome::Taken
                    }
                    reason => {
                        self.take_back(refused.operation);
                        match reason {
                            RefusedReason::Full => Outcome::NoRoom,
                            RefusedReason::Closed => {
                                self.refuse(Reject { pending: Some(pending), code: RejectCode::Closed })
                            }
                            RefusedReason::Unsupported(errno) => {
                                self.unanswered += 1;
                                self.answer(pending, -errno.0, 0);
                                Outcome::Taken
                            }
                        }
                    }
                }
            }
        }
    }

    /// Submits an open, or queues it: at the front when it was there already.
    fn submit_open(&mut self, edge: &mut Edge<'_>, pending: PendingId, open: Open, again: bool) -> Outcome {
        let token = CLIENT_TOKEN | PendingTable::token(pending);
        match edge.driver.submit(Operation::Open(open), token) {
            Ok(ticket) => {
                self.pending.insert(pending, Running::Operation(ticket));
                return Outcome::Taken;
            }
            Err(refused) => match (refused.reason, refused.operation) {
                (RefusedReason::Full, Operation::Open(open)) => {
                    if again {
                        self.opens.push_front((pending, open));
                    } else {
                        self.opens.push_back((pending, open));
                    }
                    return Outcome::NoRoom;
                }
                (RefusedReason::Unsupported(errno), _) => self.answer(pending, -errno.0, 0),
                _ => self.answer(pending, RejectCode::Closed.result(), 0),
            },
        }
        Outcome::Taken
    }

    /// True when no open waits any more.
    fn retry_opens(&mut self, edge: &mut Edge<'_>) -> bool {
        while let Some((pending, open)) = self.opens.pop_front() {
            if let Outcome::NoRoom = self.submit_open(edge, pending, open, true) {
                return false;
            }
        }
        true
    }

    fn cancel(&mut self, edge: &mut Edge<'_>, pending: PendingId) {
        match self.pending.get(pending) {
            Some(Running::Operation(ticket)) => edge.driver.cancel(ticket),
            Some(Running::Timer(key)) => {
                if edge.cancel_timer(key) {
                    self.pending.remove(pending);
                    self.answer(pending, -ECANCELED, 0);
                }
            }
            None => {
                if let Some(index) = self.opens.iter().position(|(waiting, _)| *waiting == pending) {
                    self.opens.remove(index);
                    self.answer(pending, -ECANCELED, 0);
                }
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        let Completion { token, result, more, handle, operation, .. } = completion;
        let pending = PendingTable::name(token);
        if let Some(operation) = operation {
            self.take_back(operation);
        }
        if more {
            return; // No command is multishot yet.
        }
        self.pending.remove(pending);
        match handle {
            Some(handle) if result >= 0 => match self.files.insert(handle) {
                Some(file) => self.answer(pending, file.slot as i32, file.generation),
                None => self.answer(pending, -EMFILE, 0),
            },
            _ => self.answer(pending, result, 0),
        }
    }

    /// Puts an operation's lease back into JavaScript's hand; drops the rest.
    fn take_back(&mut self, operation: Operation) {
        match operation {
            Operation::Read(Read { target: Target::Lease(lease, _), .. })
            | Operation::Stat(Stat { target: Target::Lease(lease, _), .. })
            | Operation::Write(Write { source: Source::Lease(lease, _), .. }) => {
                self.arena.lend(lease);
            }
            _ => {}
        }
    }

    fn file(&self, file: FileId) -> Result<Handle, RejectCode> {
        self.files.get(file).cloned().ok_or(RejectCode::StaleFile)
    }

    /// Takes a lease out of JavaScript's hand.
    fn memory(
        &self,
        range: LeaseRange,
    ) -> Result<(ringwheel_driver::Lease, std::ops::Range<u32>), RejectCode> {
        let id = LeaseId { slot: range.slot, generation: range.generation };
        let lease = self.arena.take(id).map_err(|_| RejectCode::StaleLease)?;
        let end = range.offset + range.length; // `decode` checked that this does not overflow.
        if end as usize > lease.len() {
            self.arena.lend(lease);
            return Err(RejectCode::LeaseRange);
        }
        Ok((lease, range.offset..end))
    }
}

/// The open that `File.open` asks for: a plain open(2) relative to the working directory.
pub fn plain_open(path: CString, flags: i32, mode: u32) -> Open {
    Open { directory: None, path, flags, mode, resolve: 0 }
}
