//! Life of a command, stage 5 of 6: completion. Before: crates/driver/src/uring/complete.rs. After: lib/ring/completion-reader.ts.
//!
//! The producer side of the completion ring, and the codes for commands that never became operations.
use crate::{
    decode::PendingId,
    layout::{COMPLETION_WORDS, Completion, Span},
    ring::{Memory, Producer, RingError},
};

/// Writes completions. A full ring is backpressure: ask [`CompletionWriter::free`] before taking work whose answer must fit.
#[derive(Debug)]
pub struct CompletionWriter<M> {
    ring: Producer<M, COMPLETION_WORDS>,
}

impl<M: Memory> CompletionWriter<M> {
    /// Writes from the start of a fresh (zeroed) ring.
    pub fn new(memory: M, span: Span) -> Self {
        CompletionWriter { ring: Producer::new(memory, span) }
    }
    /// Writes one completion; JavaScript sees it after [`CompletionWriter::publish`].
    ///
    /// # Errors
    /// [`RingError::Full`]: nothing was written, keep it and try again. [`RingError::Corrupt`]: close the executor.
    #[inline]
    pub fn reply(&mut self, pending: PendingId, result: i32, flags: u32) -> Result<(), RingError> {
        let PendingId { slot: pending_slot, generation: pending_generation } = pending;
        self.ring.push(Completion { pending_slot, pending_generation, result, flags }.to_words())
    }
    /// Answers a rejected command; one that names no promise is dropped (count it).
    ///
    /// # Errors
    /// As [`CompletionWriter::reply`].
    pub fn reject(&mut self, reject: Reject) -> Result<(), RingError> {
        match reject.pending {
            Some(pending) => self.reply(pending, reject.code.result(), 0),
            None => Ok(()),
        }
    }
    /// Completions that fit now.
    ///
    /// # Errors
    /// [`RingError::Corrupt`] when JavaScript's index cannot be true.
    pub fn free(&mut self) -> Result<u32, RingError> {
        self.ring.free()
    }
    /// Shows everything written so far to JavaScript: once a turn. Returns how many are new.
    pub fn publish(&mut self) -> u32 {
        self.ring.publish()
    }
}

/// A command that was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The promise to tell. `None` when the command names none that may be settled.
    pub pending: Option<PendingId>,
    /// Why.
    pub code: RejectCode,
}

/// Why a command was not run. Its number is the completion's result, in a range that no errno reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum RejectCode {
    /// No opcode has this number.
    Opcode = -100_001,
    /// A flag that is not defined is set.
    Flags = -100_002,
    /// No queue has this number.
    Queue = -100_003,
    /// The pending slot is 2^20 or above. Never answered.
    Pending = -100_004,
    /// A reserved byte is not 0.
    Reserved = -100_005,
    /// The length is above 2^31 − 4096, or below 256 for STAT.
    Length = -100_006,
    /// The position or file length is not an integer in 0..2^53 (or −1 where the file position is allowed).
    Position = -100_007,
    /// The range does not lie inside the lease.
    LeaseRange = -100_009,
    /// The file is closed, or never was.
    StaleFile = -100_010,
    /// The lease was released, or is in an operation's hand (INV-3).
    StaleLease = -100_011,
    /// This driver cannot run the operation.
    Unsupported = -100_012,
    /// The executor is closing.
    Closed = -100_013,
    /// No call has this number.
    Call = -100_014,
    /// The request block's length is not what its fields say, or one of its numbers is out of range.
    Block = -100_015,
    /// A path has a NUL inside or more than 4095 bytes.
    Path = -100_016,
}

impl RejectCode {
    /// Every code with its name and its sentence for TypeScript, in the order of their numbers, of which one is not used any more.
    pub const ALL: [(RejectCode, &'static str, &'static str); 15] = [
        (RejectCode::Opcode, "OPCODE", "the command has no known opcode"),
        (RejectCode::Flags, "FLAGS", "the command has a flag that is not defined"),
        (RejectCode::Queue, "QUEUE", "the command names a queue that does not exist"),
        (RejectCode::Pending, "PENDING", "the pending slot is not below 1048576"),
        (RejectCode::Reserved, "RESERVED", "a reserved byte of the command is not 0"),
        (
            RejectCode::Length,
            "LENGTH",
            "the length must be at most 2147479552 bytes, and at least 256 for stat",
        ),
        (
            RejectCode::Position,
            "POSITION",
            "the position or length must be an integer from 0 to 9007199254740991",
        ),
        (RejectCode::LeaseRange, "LEASE_RANGE", "offset + length must lie inside the lease"),
        (RejectCode::StaleFile, "STALE_FILE", "the file is closed; open it again"),
        (RejectCode::StaleLease, "STALE_LEASE", "the lease was released or is in use by another operation"),
        (RejectCode::Unsupported, "UNSUPPORTED", "this driver cannot run the operation"),
        (RejectCode::Closed, "CLOSED", "the executor is closed; start another"),
        (RejectCode::Call, "CALL", "the request block has no known call"),
        (
            RejectCode::Block,
            "BLOCK",
            "the request block has another length than its fields say, or a number out of range",
        ),
        (RejectCode::Path, "PATH", "a path must have no NUL and at most 4095 bytes"),
    ];

    /// The completion's result.
    #[must_use]
    pub const fn result(self) -> i32 {
        self as i32
    }
}

/// Results at or below this number are rejects.
pub const REJECT_CEILING: i32 = -100_000;

const _: () = {
    let mut last = REJECT_CEILING;
    let mut index = 0;
    while index < RejectCode::ALL.len() {
        assert!(RejectCode::ALL[index].0.result() < last);
        last = RejectCode::ALL[index].0.result();
        index += 1;
    }
};
