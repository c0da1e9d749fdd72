//! Life of a command, stage 2 of 6: command ring. Before: crates/command/src/ring.rs. After: crates/executor/src/bridge/mod.rs.
//!
//! 64 hostile bytes in, a [`Request`] or a [`Reject`] out. Never panics (property-tested, fuzzed). What is checked here is
//! what the bytes alone can tell; whether a slot exists and its generation is right is the owner's of that table to say.
use crate::{
    call::{BLOCK_HEADER, BLOCK_MAX},
    layout::{
        CLASSES, COMMAND_WORDS, Command, LENGTH_MAX, PENDING_CAPACITY, POSITION_CURRENT, SAFE_INTEGER_MAX,
    },
    opcode::Opcode,
    reply::{Reject, RejectCode},
    ring::{Batch, Memory},
};

/// Names a promise in JavaScript's pending table. Opaque to Rust but for its range: `slot` < 2^20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PendingId {
    /// Index in the table.
    pub slot: u32,
    /// Bumped whenever the slot is used again.
    pub generation: u32,
}

/// Names an open file. Unchecked: the table of files says whether it is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Index in the table.
    pub slot: u32,
    /// Bumped at every close.
    pub generation: u32,
}

/// Names bytes of a lease. `offset + length` does not overflow; the arena says whether the lease is stale or too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseRange {
    /// Index in the lease table.
    pub slot: u32,
    /// Bumped at every release.
    pub generation: u32,
    /// First byte.
    pub offset: u32,
    /// Bytes, at most [`LENGTH_MAX`].
    pub length: u32,
}

/// Where a read or write happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// At this byte, at most 2^53 − 1. The file position does not move.
    At(u64),
    /// At the file position, which moves.
    Current,
}

impl Position {
    /// As the driver wants it: the byte offset, `u64::MAX` for the file position.
    #[must_use]
    pub const fn offset(self) -> u64 {
        match self {
            Position::At(offset) => offset,
            Position::Current => u64::MAX,
        }
    }
}

/// A command whose every byte was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The promise that the completion settles. For [`Action::Cancel`]: the promise whose command is to end.
    pub pending: PendingId,
    /// Class of the task queue that asks, below [`CLASSES`].
    pub queue: u16,
    /// What to do.
    pub action: Action,
}

/// What to do. See [`Opcode`] for each.
#[expect(missing_docs, reason = "the fields are the arguments that `Opcode` documents, by their types")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Complete with 0.
    Nop,
    /// Read into a lease.
    Read { file: FileId, lease: LeaseRange, position: Position },
    /// Write from a lease.
    Write { file: FileId, lease: LeaseRange, position: Position },
    /// fsync(2).
    Sync { file: FileId },
    /// fdatasync(2).
    Datasync { file: FileId },
    /// ftruncate(2); `length` is at most 2^53 − 1.
    Truncate { file: FileId, length: u64 },
    /// Read the ranges of the table that starts at this byte of the lease, which decides everything else.
    ReadMany { file: FileId, lease: LeaseRange, table: u32 },
    /// Read into the parts that the table at the start of the lease names, which decides everything else.
    Readv { file: FileId, lease: LeaseRange, position: Position },
    /// Write from such parts.
    Writev { file: FileId, lease: LeaseRange, position: Position },
    /// Wait until the file can be read, or written.
    Ready { file: FileId, events: u32 },
    /// Close the file.
    Close { file: FileId },
    /// Run what the block in the lease says; its `length` bytes, of which nothing is known yet. [`crate::call`] decodes them.
    Call { file: FileId, lease: LeaseRange },
    /// End the command of [`Request::pending`] early. Has no completion of its own.
    Cancel,
}

/// Checks every byte of a command.
///
/// # Errors
/// [`Reject`] says which rule was broken and which promise to tell. Cost: a few compares, no allocation.
pub fn decode(command: &Command) -> Result<Request, Reject> {
    let pending = PendingId { slot: command.pending_slot, generation: command.pending_generation };
    let opcode = Opcode::from_number(command.opcode);
    // A broken CANCEL must not settle the promise it names: that one's own command still will.
    let answer = (opcode != Some(Opcode::Cancel)).then_some(pending);
    let reject = |code| Reject { pending: answer, code };
    if pending.slot >= PENDING_CAPACITY {
        return Err(Reject { pending: None, code: RejectCode::Pending });
    }
    let opcode = opcode.ok_or(reject(RejectCode::Opcode))?;
    if command.flags != 0 {
        return Err(reject(RejectCode::Flags));
    }
    if command.queue >= CLASSES {
        return Err(reject(RejectCode::Queue));
    }
    if command.zero != 0 || command.zeros != [0, 0] {
        return Err(reject(RejectCode::Reserved));
    }
    let file = FileId { slot: command.file_slot, generation: command.file_generation };
    let action = match opcode {
        Opcode::Nop => Action::Nop,
        Opcode::Read => Action::Read {
            file,
            lease: lease(command).map_err(reject)?,
            position: position_of(command.operand).map_err(reject)?,
        },
        Opcode::Write => Action::Write {
            file,
            lease: lease(command).map_err(reject)?,
            position: position_of(command.operand).map_err(reject)?,
        },
        Opcode::Sync => Action::Sync { file },
        Opcode::Datasync => Action::Datasync { file },
        Opcode::Truncate => {
            let length = safe_integer(command.operand).ok_or(reject(RejectCode::Position))?;
            Action::Truncate { file, length }
        }
        Opcode::ReadMany => {
            let lease = lease(command).map_err(reject)?;
            let table = safe_integer(command.operand).and_then(|table| u32::try_from(table).ok());
            Action::ReadMany { file, lease, table: table.ok_or(reject(RejectCode::LeaseRange))? }
        }
        Opcode::Readv | Opcode::Writev => {
            let (lease, position) =
                (lease(command).map_err(reject)?, position_of(command.operand).map_err(reject)?);
            if lease.offset != 0 {
                return Err(reject(RejectCode::LeaseRange));
            }
            match opcode {
                Opcode::Readv => Action::Readv { file, lease, position },
                _ => Action::Writev { file, lease, position },
            }
        }
        Opcode::Ready => {
            let events = safe_integer(command.operand).filter(|events| matches!(events, 1 | 4));
            Action::Ready { file, events: events.ok_or(reject(RejectCode::Position))? as u32 }
        }
        Opcode::Close => Action::Close { file },
        Opcode::Call => {
            let lease = lease(command).map_err(reject)?;
            if !(BLOCK_HEADER..=BLOCK_MAX).contains(&(lease.length as usize)) {
                return Err(reject(RejectCode::Block));
            }
            Action::Call { file, lease }
        }
        Opcode::Cancel => Action::Cancel,
    };
    Ok(Request { pending, queue: command.queue, action })
}

/// The lease's range, within what 32 bits and one system call can carry.
fn lease(command: &Command) -> Result<LeaseRange, RejectCode> {
    let Command { lease_slot: slot, lease_generation: generation, lease_offset: offset, length, .. } =
        *command;
    if length > LENGTH_MAX {
        return Err(RejectCode::Length);
    }
    if offset.checked_add(length).is_none() {
        return Err(RejectCode::LeaseRange);
    }
    Ok(LeaseRange { slot, generation, offset, length })
}

/// A byte position, or −1 for the file position.
pub(crate) fn position_of(operand: f64) -> Result<Position, RejectCode> {
    if operand == POSITION_CURRENT {
        return Ok(Position::Current);
    }
    safe_integer(operand).map(Position::At).ok_or(RejectCode::Position)
}

/// The integer that a double is, when it is one in `0..2^53`. NaN, infinities, fractions and negatives are not; −0 is 0.
fn safe_integer(operand: f64) -> Option<u64> {
    let inside = (0.0..=SAFE_INTEGER_MAX as f64).contains(&operand);
    (inside && operand.fract() == 0.0).then_some(operand as u64)
}

impl<M: Memory> Batch<'_, M, COMMAND_WORDS> {
    /// Decodes the next command from one copy of its bytes (INV-5). It stays in the ring until [`Batch::advance`], so a
    /// driver that has no room leaves it there: backpressure. `None` at the end of the batch.
    #[inline]
    pub fn request(&self) -> Option<Result<Request, Reject>> {
        self.peek().map(|words| decode(&Command::from_words(words)))
    }
}
