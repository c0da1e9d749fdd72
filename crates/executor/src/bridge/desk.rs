//! What a command becomes: an operation that owns all it needs, or an answer at once; and the answers' way back.
#[cfg(target_os = "linux")]
use super::now::{Bytes, Now, Written};
use super::{
    BridgeStats,
    batches::{self, Batches, Ended, Sent},
    calls::{CALL_TOKEN, Calls},
    files::Files,
    pending::{PendingTable, Running},
    shares::{Asker, Shares, Way},
    vectors::Vectors,
};
use crate::{
    Edge,
    io::{Adaptive, Grant},
    turn::CLIENT_TOKEN,
};
use ringwheel_command::{
    Action, CompletionWriter, FileId, LeaseRange, PendingId, Region, Reject, RejectCode, Request,
    layout::{OPENED_STREAM, PENDING_CAPACITY},
};
use ringwheel_driver::{
    Arena, Completion, Handle, LeaseId, Operation, RefusedReason,
    memory::{Source, Target},
    op::{
        file::{Close, Open, Read, Sync, Truncate, Write, has_positions, may_wait},
        ready::Ready,
    },
};
use std::collections::VecDeque;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;

const ECANCELED: i32 = 125;
const EMFILE: i32 = 24;
const ESPIPE: i32 = 29;

/// Everything but the command ring's reading end, which is borrowed while commands are handed in.
#[derive(Debug)]
pub(super) struct Desk {
    pub completions: CompletionWriter<Region>,
    pub arena: Arena,
    pub files: Files,
    pub pending: PendingTable,
    /// Opens that found the driver full.
    pub opens: VecDeque<(PendingId, Open)>,
    /// Answers that the completion ring has no room for; shown as JavaScript makes room (INV-4).
    pub waiting: VecDeque<(PendingId, i32, u32)>,
    /// Accepted and not answered yet: bounds `waiting`.
    pub unanswered: u32,
    pub closing: bool,
    /// Commands that are many reads.
    pub batches: Batches,
    /// Memory of vectored reads and writes.
    pub vectors: Vectors,
    /// Where reads and writes wait when submission is adaptive.
    pub shares: Option<Box<Shares>>,
    pub calls: Calls,
    #[cfg(target_os = "linux")]
    pub now: Now,
    pub stats: BridgeStats,
}

/// What became of a request.
pub(super) enum Outcome {
    /// It is on its way, or answered.
    Taken,
    /// There is no room: leave it in the ring.
    NoRoom,
    /// The time for it is over: leave it in the ring, and come back soon.
    NextTurn,
}

impl Desk {
    pub fn new(completions: CompletionWriter<Region>, arena: Arena, adaptive: Option<&Adaptive>) -> Desk {
        Desk {
            completions,
            arena,
            files: Files::default(),
            pending: PendingTable::default(),
            opens: VecDeque::new(),
            waiting: VecDeque::new(),
            unanswered: 0,
            closing: false,
            batches: Batches::default(),
            vectors: Vectors::default(),
            shares: adaptive.map(|adaptive| Box::new(Shares::new(adaptive))),
            calls: Calls::new(),
            #[cfg(target_os = "linux")]
            now: Now::new(),
            stats: BridgeStats::default(),
        }
    }

    /// True when one more command may be taken. A script that floods us is stopped here, at a million.
    pub fn has_room(&self) -> bool {
        self.unanswered < PENDING_CAPACITY
    }

    /// Answers a request that counts as unanswered. The ring may be full, or its index a lie: then the answer waits.
    pub fn answer(&mut self, pending: PendingId, result: i32, flags: u32) {
        self.unanswered -= 1;
        if !self.waiting.is_empty() || self.completions.reply(pending, result, flags).is_err() {
            self.waiting.push_back((pending, result, flags));
        }
    }

    pub fn refuse(&mut self, reject: Reject) -> Outcome {
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

    pub fn run(&mut self, edge: &mut Edge<'_>, request: Request) -> Outcome {
        let Request { pending, action, queue } = request;
        if let Action::Cancel = action {
            self.cancel(edge, pending);
            return Outcome::Taken;
        }
        if !self.has_room() {
            return Outcome::NoRoom;
        }
        if let Action::Call { file, lease } = action {
            return self.call(edge, pending, file, lease);
        }
        self.calls.interrupted();
        if let Action::ReadMany { file, lease, table } = action {
            return match self.read_many(pending, queue, file, lease, table) {
                Ok(()) => {
                    // What finds no room is submitted when completions have made some.
                    let _all_sent = self.run_batches(edge);
                    Outcome::Taken
                }
                Err(code) => self.refuse(Reject { pending: Some(pending), code }),
            };
        }
        let operation = match self.operation(pending, action) {
            Ok(Some(operation)) => operation,
            Ok(None) => return Outcome::Taken,
            Err(code) => return self.refuse(Reject { pending: Some(pending), code }),
        };
        let Some(shares) = &mut self.shares else { return self.submit(edge, pending, operation, None) };
        match shares.ask(queue, Asker::Command(pending), operation) {
            Way::Now(operation, grant) => self.submit(edge, pending, operation, grant),
            Way::Later(place) => {
                self.pending.insert(pending, Running::Waiting(place));
                self.unanswered += 1;
                Outcome::Taken
            }
        }
    }

    /// True when reads or writes that waited may go.
    pub fn has_shared(&self) -> bool {
        self.shares.as_ref().is_some_and(|shares| shares.has_next())
    }

    /// Submits reads and writes whose turn it is. True when the driver had room for all of them.
    pub fn run_shared(&mut self, edge: &mut Edge<'_>) -> bool {
        while let Some((asker, operation, grant)) = self.shares.as_mut().and_then(|shares| shares.next()) {
            let token = match asker {
                Asker::Command(pending) => PendingTable::token(pending),
                Asker::Part { index, part } => batches::token(index, part),
            };
            if let Asker::Command(pending) = asker {
                self.pending.remove(pending);
            }
            match edge.driver.submit(operation, CLIENT_TOKEN | token) {
                Ok(ticket) => match asker {
                    Asker::Command(pending) => {
                        self.pending.insert(pending, Running::Operation(ticket));
                        if let Some(shares) = &mut self.shares {
                            shares.sent(pending, grant);
                        }
                    }
                    Asker::Part { index, part } => self.batches.sent(index, part, ticket, grant),
                },
                Err(refused) if refused.reason == RefusedReason::Full => {
                    if let Some(shares) = &mut self.shares {
                        shares.keep(asker, refused.operation, grant);
                    }
                    return false;
                }
                Err(refused) => {
                    if let Some(shares) = &mut self.shares {
                        shares.returned(grant);
                    }
                    self.not_shared(asker, refused.operation, refused.reason);
                }
            }
        }
        true
    }

    /// Ends what waited for its turn, and was refused then.
    fn not_shared(&mut self, asker: Asker, operation: Operation, reason: RefusedReason) {
        match (asker, reason) {
            (Asker::Command(pending), reason) => {
                self.take_back(operation);
                let result = match reason {
                    RefusedReason::Unsupported(errno) => -errno.0,
                    _ => RejectCode::Closed.result(),
                };
                self.answer(pending, result, 0);
            }
            (Asker::Part { index, part }, reason) => {
                let result = match reason {
                    RefusedReason::Unsupported(errno) => -errno.0,
                    _ => -ECANCELED,
                };
                let ended = self.batches.ended(index, part, result, Some(operation), true);
                self.end_batch(ended);
            }
        }
    }

    /// Turns a request into an operation that owns all it needs; `None` when it needs none.
    fn operation(&mut self, pending: PendingId, action: Action) -> Result<Option<Operation>, RejectCode> {
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
            Action::Readv { file, lease, position } => {
                let (file, vector) = (self.file(file)?, self.vector(lease)?);
                Operation::Read(Read { file, target: Target::Vector(vector), offset: position.offset() })
            }
            Action::Writev { file, lease, position } => {
                let (file, vector) = (self.file(file)?, self.vector(lease)?);
                Operation::Write(Write { file, source: Source::Vector(vector), offset: position.offset() })
            }
            Action::Sync { file } => Operation::Sync(Sync { file: self.file(file)?, data_only: false }),
            Action::Datasync { file } => Operation::Sync(Sync { file: self.file(file)?, data_only: true }),
            Action::Truncate { file, length } => {
                Operation::Truncate(Truncate { file: self.file(file)?, length })
            }
            Action::Ready { file, events } => Operation::Ready(Ready { file: self.file(file)?, events }),
            Action::Close { file } => {
                let file = self.files.remove(file).ok_or(RejectCode::StaleFile)?;
                Operation::Close(Close { file })
            }
            Action::ReadMany { .. } => return Err(RejectCode::Unsupported), // It is many operations, and was dealt with.
            Action::Nop => {
                self.unanswered += 1;
                self.answer(pending, 0, 0);
                return Ok(None);
            }
            Action::Cancel | Action::Call { .. } => return Ok(None), // Dealt with before anything was looked up.
        }))
    }

    /// Begins a batch of reads; nothing of it is submitted yet.
    fn read_many(
        &mut self,
        pending: PendingId,
        queue: u16,
        file: FileId,
        lease: LeaseRange,
        table: u32,
    ) -> Result<(), RejectCode> {
        if self.closing {
            return Err(RejectCode::Closed);
        }
        let file = self.file(file)?;
        if !has_positions(&file) {
            self.unanswered += 1;
            self.answer(pending, -ESPIPE, 0);
            return Ok(());
        }
        let (lease, range) = self.memory(lease)?;
        if range.start != 0 {
            self.arena.lend(lease);
            return Err(RejectCode::LeaseRange);
        }
        let index = self.batches.insert(pending, queue, file, lease, table).map_err(|(code, lease)| {
            self.arena.lend(lease);
            code
        })?;
        self.pending.insert(pending, Running::Batch(index));
        self.unanswered += 1;
        Ok(())
    }

    /// Submits reads of batches. True when the driver had room for all that may go.
    pub fn run_batches(&mut self, edge: &mut Edge<'_>) -> bool {
        loop {
            let shares = &mut self.shares;
            let submit = |operation: &mut Operation, queue, index, part| {
                let token = CLIENT_TOKEN | batches::token(index, part);
                let Some(shares) = shares else {
                    return edge.driver.submit_from(operation, token).map(Sent::Now);
                };
                let grant = match shares.ask(
                    queue,
                    Asker::Part { index, part },
                    std::mem::replace(operation, Operation::Nop),
                ) {
                    Way::Later(place) => return Ok(Sent::Later(place)),
                    Way::Now(granted, grant) => {
                        *operation = granted;
                        grant
                    }
                };
                match edge.driver.submit_from(operation, token) {
                    Ok(ticket) => Ok(Sent::Granted(ticket, grant)),
                    Err(reason) => {
                        shares.returned(grant);
                        Err(reason)
                    }
                }
            };
            let (index, part, result) = match self.batches.submit(submit) {
                Ok(()) => return true,
                Err((_, _, RefusedReason::Full)) => return false,
                Err((index, part, RefusedReason::Unsupported(errno))) => (index, part, -errno.0),
                Err((index, part, RefusedReason::Closed)) => (index, part, -ECANCELED),
            };
            let ended = self.batches.ended(index, part, result, None, false);
            self.end_batch(ended);
        }
    }

    /// Answers a batch that has ended.
    fn end_batch(&mut self, ended: Option<Ended>) {
        let Some(Ended { pending, lease, result }) = ended else { return };
        if let Some(lease) = lease {
            self.arena.lend(lease);
        }
        self.pending.remove(pending);
        self.answer(pending, result, 0);
    }

    fn submit(
        &mut self,
        edge: &mut Edge<'_>,
        pending: PendingId,
        mut operation: Operation,
        grant: Option<Grant>,
    ) -> Outcome {
        match edge.driver.submit_from(&mut operation, CLIENT_TOKEN | PendingTable::token(pending)) {
            Ok(ticket) => {
                self.pending.insert(pending, Running::Operation(ticket));
                self.unanswered += 1;
                if let Some(shares) = &mut self.shares {
                    shares.sent(pending, grant);
                }
                Outcome::Taken
            }
            Err(reason) => {
                if let Some(shares) = &mut self.shares {
                    shares.returned(grant);
                }
                match reason {
                    // A close has left the table of files already: drop it here, which closes the descriptor.
                    RefusedReason::Full if matches!(operation, Operation::Close(_)) => {
                        drop(operation);
                        self.unanswered += 1;
                        self.answer(pending, 0, 0);
                        Outcome::Taken
                    }
                    reason => {
                        self.take_back(operation);
                        self.not_submitted(pending, reason)
                    }
                }
            }
        }
    }

    /// What a command that the driver has not taken becomes.
    pub fn not_submitted(&mut self, pending: PendingId, reason: RefusedReason) -> Outcome {
        match reason {
            RefusedReason::Full => Outcome::NoRoom,
            RefusedReason::Closed => self.refuse(Reject { pending: Some(pending), code: RejectCode::Closed }),
            RefusedReason::Unsupported(errno) => {
                self.unanswered += 1;
                self.answer(pending, -errno.0, 0);
                Outcome::Taken
            }
        }
    }

    /// Submits an open, or queues it: at the front when it was there already.
    pub fn submit_open(
        &mut self,
        edge: &mut Edge<'_>,
        pending: PendingId,
        open: Open,
        again: bool,
    ) -> Outcome {
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
    pub fn retry_opens(&mut self, edge: &mut Edge<'_>) -> bool {
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
            Some(Running::Call(index)) => {
                if let Some(ticket) = self.calls.cancel(index) {
                    edge.driver.cancel(ticket);
                }
            }
            Some(Running::Batch(index)) => {
                let shares = &mut self.shares;
                let withdraw = |part, place| {
                    let asker = Asker::Part { index, part };
                    let shares = shares.as_mut()?;
                    shares.take(asker, place).or_else(|| shares.take_ready(asker))
                };
                let ended = self.batches.cancel(index, |ticket| edge.driver.cancel(ticket), withdraw);
                self.end_batch(ended);
            }
            Some(Running::Waiting(place)) => {
                if let Some(operation) =
                    self.shares.as_mut().and_then(|shares| shares.take(Asker::Command(pending), place))
                {
                    self.pending.remove(pending);
                    self.take_back(operation);
                    self.answer(pending, -ECANCELED, 0);
                }
            }
            None => {
                let asker = Asker::Command(pending);
                if let Some(operation) = self.shares.as_mut().and_then(|shares| shares.take_ready(asker)) {
                    self.take_back(operation);
                    self.answer(pending, -ECANCELED, 0);
                } else if let Some(index) = self.opens.iter().position(|(waiting, _)| *waiting == pending) {
                    self.opens.remove(index);
                    self.answer(pending, -ECANCELED, 0);
                }
            }
        }
    }

    pub fn complete(&mut self, completion: Completion) {
        let Completion { token, result, more, handle, operation, .. } = completion;
        if token & CALL_TOKEN != 0 {
            return self.call_ended(token as u32, result);
        }
        if let Some((index, part)) = batches::part_of(token) {
            if let Some(shares) = &mut self.shares
                && let Some(grant) = self.batches.take_grant(index, part)
            {
                shares.completed(grant);
            }
            let ended = self.batches.ended(index, part, result, operation, true);
            return self.end_batch(ended);
        }
        let pending = PendingTable::name(token);
        if let Some(operation) = operation {
            self.take_back(operation);
        }
        if more {
            return; // No command is multishot yet.
        }
        self.pending.remove(pending);
        if let Some(shares) = &mut self.shares {
            shares.ended(pending);
        }
        match handle {
            Some(handle) if result >= 0 => {
                let stream = if may_wait(&handle) { OPENED_STREAM } else { 0 };
                match self.files.insert(handle) {
                    Some(file) => self.answer(pending, file.slot as i32 | stream, file.generation),
                    None => self.answer(pending, -EMFILE, 0),
                }
            }
            _ => self.answer(pending, result, 0),
        }
    }

    /// Puts an operation's leases back into JavaScript's hand; drops the rest.
    fn take_back(&mut self, operation: Operation) {
        match operation {
            Operation::Read(Read { target: Target::Lease(lease, _), .. })
            | Operation::Write(Write { source: Source::Lease(lease, _), .. }) => {
                self.arena.lend(lease);
            }
            Operation::Read(Read { target: Target::Vector(vector), .. })
            | Operation::Write(Write { source: Source::Vector(vector), .. }) => self.give_back(vector),
            _ => {}
        }
    }

    /// Writes at once where that is nothing but a copy. Adaptive submission has its own say in what a disk gets.
    #[cfg(target_os = "linux")]
    pub fn write_now(&mut self, turn: u64, file: FileId, bytes: Bytes, position: Option<u64>) -> Written {
        if self.closing {
            return Written::Elsewhere;
        }
        if self.shares.is_some() {
            return Written::Never;
        }
        let Some((handle, plain)) = self.files.plain(file, |handle| self.calls.is_plain(handle)) else {
            return Written::Elsewhere;
        };
        if !plain {
            return Written::Never;
        }
        self.now.write(turn, handle.as_fd(), bytes, position, ringwheel_driver::preempt::now_ns)
    }

    pub fn file(&self, file: FileId) -> Result<Handle, RejectCode> {
        self.files.get(file).cloned().ok_or(RejectCode::StaleFile)
    }

    /// Takes a lease out of JavaScript's hand.
    pub fn memory(
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
