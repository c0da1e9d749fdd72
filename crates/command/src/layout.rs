//! Where every shared byte lies. The one source of the layout: `cargo xtask layout` writes `lib/wire/layout.generated.ts` from it.
use std::mem::{align_of, offset_of, size_of};

/// Version of everything in this file. Raised with every change that the other side can see.
pub const LAYOUT_VERSION: u32 = 7;
/// First word of a region that Rust has attached: the letters `RWHL`.
pub const MAGIC: u32 = u32::from_le_bytes(*b"RWHL");

/// Entries of the command ring. A power of two; one turn's worth for the fastest writer measured, 256 KiB.
pub const COMMAND_CAPACITY: u32 = 4096;
/// Entries of the completion ring. A power of two.
pub const COMPLETION_CAPACITY: u32 = 4096;
/// What a write at once says beside bytes and errnos: nothing was written, and a command must do it.
pub const WRITE_ELSEWHERE: i32 = 0;
/// Nothing was written: a command must do it, and all others of this file.
pub const WRITE_NEVER: i32 = -100_000;
/// Nothing was written: there is time for it in the next turn.
pub const WRITE_NEXT_TURN: i32 = -100_001;
/// Nothing was written: the array has no such bytes any more.
pub const WRITE_GONE: i32 = -100_002;
/// Bytes of one command: one cache line.
pub const COMMAND_BYTES: usize = size_of::<Command>();
/// Bytes of one completion.
pub const COMPLETION_BYTES: usize = size_of::<Completion>();
/// `u64` words of one command.
pub const COMMAND_WORDS: usize = COMMAND_BYTES / 8;
/// `u64` words of one completion.
pub const COMPLETION_WORDS: usize = COMPLETION_BYTES / 8;

/// Pending slots that JavaScript may have: a command naming a slot at or above it is rejected. Bounds what the executor
/// allocates for a lying script; a million promises in flight is far above what any queue below can hold.
pub const PENDING_CAPACITY: u32 = 1 << 20;
/// In the result of an open: the file is a pipe, a socket or a device, of which reads and writes may wait for another process. The slot is the rest.
pub const OPENED_STREAM: i32 = 1 << 30;
/// Classes of task queues: as many as an executor has queues.
pub const CLASSES: u16 = 64;
/// The most bytes of one read or write: what Linux moves in one call (`MAX_RW_COUNT`), and it fits the `i32` result.
pub const LENGTH_MAX: u32 = 0x7fff_f000;
/// Bytes of `struct statx`, with which an answer to the calls STAT and FILE_STAT begins.
pub const STAT_BYTES: u32 = 256;
/// The largest position, length or time: `Number.MAX_SAFE_INTEGER`.
pub const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;
/// Position that means "at the file position, and move it".
pub const POSITION_CURRENT: f64 = -1.0;

/// The control words, each index on a cache line of its own so that the two sides never write the same line.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`], written by Rust when it attaches; JavaScript checks it.
    pub magic: u32,
    /// [`LAYOUT_VERSION`], written by Rust; JavaScript checks it.
    pub version: u32,
    /// Entries of the command ring, written by Rust, never read back by it.
    pub command_capacity: u32,
    /// Entries of the completion ring, written by Rust, never read back by it.
    pub completion_capacity: u32,
    reserved_line: [u32; 12],
    /// Next command that JavaScript will write. Written by JavaScript.
    pub command_tail: u32,
    command_tail_line: [u32; 15],
    /// Next command that Rust will read. Written by Rust.
    pub command_head: u32,
    command_head_line: [u32; 15],
    /// Next completion that Rust will write. Written by Rust.
    pub completion_tail: u32,
    completion_tail_line: [u32; 15],
    /// Next completion that JavaScript will read. Written by JavaScript.
    pub completion_head: u32,
    completion_head_line: [u32; 15],
    /// 1 while pending work is to keep the process alive. Written by JavaScript.
    pub keep: u32,
    keep_line: [u32; 15],
    /// 1 while the event loop is held, so that JavaScript asks only when it is not. Written by Rust.
    pub held: u32,
    held_line: [u32; 15],
    /// Task queues that have work that is ready. Written by JavaScript.
    pub queue_ready: u32,
    queue_ready_half: u32,
    /// 1 + the task queue whose slice runs; 0 outside of slices. Written by JavaScript as a slice begins, by Rust as it ends.
    pub queue_current: u32,
    queue_current_half: u32,
    /// Microseconds for which task queues may hold the loop in one turn. Written by JavaScript.
    pub queue_turn: u32,
    queue_turn_half: u32,
    /// When the slice began: nanoseconds of CLOCK_MONOTONIC. Written by Rust.
    pub slice_start: f64,
    /// Nanoseconds that the last slice took, its microtasks included. Written by Rust.
    pub slice_elapsed: f64,
    /// When JavaScript wants to be called for its timers: milliseconds since the executor's start, 0 for never. Written by
    /// JavaScript.
    pub alarm: f64,
    spare: [u64; 2],
}

/// Word of the region whose low half is [`Header::keep`].
pub const KEEP_WORD: usize = offset_of!(Header, keep) / 8;
/// Word of the region whose low half is [`Header::held`].
pub const HELD_WORD: usize = offset_of!(Header, held) / 8;
/// Word of the region that is [`Header::alarm`].
pub const ALARM_WORD: usize = offset_of!(Header, alarm) / 8;

/// Word of the region whose low half is [`Header::queue_ready`].
pub const QUEUE_READY_WORD: usize = offset_of!(Header, queue_ready) / 8;
/// Word of the region whose low half is [`Header::queue_current`].
pub const QUEUE_CURRENT_WORD: usize = offset_of!(Header, queue_current) / 8;
/// Word of the region whose low half is [`Header::queue_turn`].
pub const QUEUE_TURN_WORD: usize = offset_of!(Header, queue_turn) / 8;
/// Word of [`Header::slice_start`].
pub const SLICE_START_WORD: usize = offset_of!(Header, slice_start) / 8;
/// Word of [`Header::slice_elapsed`].
pub const SLICE_ELAPSED_WORD: usize = offset_of!(Header, slice_elapsed) / 8;

/// What JavaScript asks for. Fields that an opcode does not use are not read; `zero` and `zeros` must be 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Command {
    /// An [`Opcode`](crate::Opcode).
    pub opcode: u8,
    /// Must be 0: no flag is defined yet.
    pub flags: u8,
    /// Class of the task queue that asks, below [`CLASSES`]: by whose shares a read or write gets to the disk. 0: the default queue.
    pub queue: u16,
    /// Slot in JavaScript's pending table, below [`PENDING_CAPACITY`]; comes back in the completion.
    pub pending_slot: u32,
    /// Generation of that slot; comes back in the completion.
    pub pending_generation: u32,
    /// Slot of the file.
    pub file_slot: u32,
    /// Generation of that slot.
    pub file_generation: u32,
    /// Slot of the lease.
    pub lease_slot: u32,
    /// Generation of that slot.
    pub lease_generation: u32,
    /// First byte of the lease to use.
    pub lease_offset: u32,
    /// Bytes to use, at most [`LENGTH_MAX`].
    pub length: u32,
    /// Must be 0.
    pub zero: u32,
    /// Byte position, new length or milliseconds, by opcode.
    pub operand: f64,
    /// Must be 0.
    pub zeros: [u64; 2],
}

/// What Rust answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Completion {
    /// As in the command.
    pub pending_slot: u32,
    /// As in the command.
    pub pending_generation: u32,
    /// ≥ 0: the result; −1…−4095: minus an errno; at or below −100000: a [`RejectCode`](crate::RejectCode).
    pub result: i32,
    /// A file's generation, a parcel's number or a step, by opcode; else 0.
    pub flags: u32,
}

/// Number of entries of each ring, and where that puts everything. Kept in Rust, never read from shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    command_capacity: u32,
    completion_capacity: u32,
}

impl Geometry {
    /// What the generated TypeScript expects.
    pub const DEFAULT: Geometry = Geometry::new(COMMAND_CAPACITY, COMPLETION_CAPACITY);

    /// Ring sizes for tests: powers of two in `1..=2^20`. Panics on any other value, at compile time in a constant.
    #[must_use]
    pub const fn new(command_capacity: u32, completion_capacity: u32) -> Geometry {
        assert!(command_capacity.is_power_of_two());
        assert!(command_capacity <= 1 << 20);
        assert!(completion_capacity.is_power_of_two());
        assert!(completion_capacity <= 1 << 20);
        Geometry { command_capacity, completion_capacity }
    }
    /// The command ring.
    #[must_use]
    pub const fn commands(self) -> Span {
        Span {
            tail_word: offset_of!(Header, command_tail) / 8,
            head_word: offset_of!(Header, command_head) / 8,
            first_word: size_of::<Header>() / 8,
            capacity: self.command_capacity,
        }
    }
    /// The completion ring.
    #[must_use]
    pub const fn completions(self) -> Span {
        Span {
            tail_word: offset_of!(Header, completion_tail) / 8,
            head_word: offset_of!(Header, completion_head) / 8,
            first_word: size_of::<Header>() / 8 + self.command_capacity as usize * COMMAND_WORDS,
            capacity: self.completion_capacity,
        }
    }
    /// Bytes of the whole region.
    #[must_use]
    pub const fn bytes(self) -> usize {
        size_of::<Header>()
            + self.command_capacity as usize * COMMAND_BYTES
            + self.completion_capacity as usize * COMPLETION_BYTES
    }
}

/// Where one ring lies, in `u64` words from the start of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Word whose low half is the producer's index.
    pub tail_word: usize,
    /// Word whose low half is the consumer's index.
    pub head_word: usize,
    /// First word of entry 0.
    pub first_word: usize,
    /// Entries, a power of two.
    pub capacity: u32,
}

/// The `u32` at a byte offset of an entry's words.
const fn u32_at(words: &[u64; COMMAND_WORDS], offset: usize) -> u32 {
    (words[offset / 8] >> (offset % 8 * 8)) as u32
}

/// The two halves of a word, the one at the lower address first.
const fn pair(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

impl Command {
    /// All zeros; opcode 0 is no opcode, so fresh memory decodes to a reject.
    pub const ZERO: Command = Command::from_words([0; COMMAND_WORDS]);

    /// Reads the fields out of an entry's words. Total: every bit pattern gives a value.
    #[must_use]
    pub const fn from_words(words: [u64; COMMAND_WORDS]) -> Command {
        Command {
            opcode: words[0] as u8,
            flags: (words[0] >> 8) as u8,
            queue: (words[0] >> 16) as u16,
            pending_slot: u32_at(&words, offset_of!(Command, pending_slot)),
            pending_generation: u32_at(&words, offset_of!(Command, pending_generation)),
            file_slot: u32_at(&words, offset_of!(Command, file_slot)),
            file_generation: u32_at(&words, offset_of!(Command, file_generation)),
            lease_slot: u32_at(&words, offset_of!(Command, lease_slot)),
            lease_generation: u32_at(&words, offset_of!(Command, lease_generation)),
            lease_offset: u32_at(&words, offset_of!(Command, lease_offset)),
            length: u32_at(&words, offset_of!(Command, length)),
            zero: u32_at(&words, offset_of!(Command, zero)),
            operand: f64::from_bits(words[offset_of!(Command, operand) / 8]),
            zeros: [words[6], words[7]],
        }
    }
    /// The inverse of [`Command::from_words`].
    #[must_use]
    pub const fn to_words(&self) -> [u64; COMMAND_WORDS] {
        let first = self.opcode as u32 | (self.flags as u32) << 8 | (self.queue as u32) << 16;
        [
            pair(first, self.pending_slot),
            pair(self.pending_generation, self.file_slot),
            pair(self.file_generation, self.lease_slot),
            pair(self.lease_generation, self.lease_offset),
            pair(self.length, self.zero),
            self.operand.to_bits(),
            self.zeros[0],
            self.zeros[1],
        ]
    }
}

impl Completion {
    /// Reads the fields out of an entry's words.
    #[must_use]
    pub const fn from_words(words: [u64; COMPLETION_WORDS]) -> Completion {
        Completion {
            pending_slot: words[0] as u32,
            pending_generation: (words[0] >> 32) as u32,
            result: words[1] as u32 as i32,
            flags: (words[1] >> 32) as u32,
        }
    }
    /// The inverse of [`Completion::from_words`].
    #[must_use]
    pub const fn to_words(&self) -> [u64; COMPLETION_WORDS] {
        [pair(self.pending_slot, self.pending_generation), pair(self.result as u32, self.flags)]
    }
}

// Typed arrays use the machine's byte order and the shifts above the little one: they agree on every supported target.
const _: () = assert!(cfg!(target_endian = "little"));
const _: () = assert!(size_of::<Header>() == 512);
const _: () = assert!(size_of::<Command>() == 64);
const _: () = assert!(size_of::<Completion>() == 16);
const _: () = assert!(align_of::<Command>() == 8);
const _: () = assert!(align_of::<Completion>() == 4);
const _: () = assert!(offset_of!(Header, command_tail) == 64);
const _: () = assert!(offset_of!(Header, command_head) == 128);
const _: () = assert!(offset_of!(Header, completion_tail) == 192);
const _: () = assert!(offset_of!(Header, completion_head) == 256);
const _: () = assert!(offset_of!(Header, keep) == 320);
const _: () = assert!(offset_of!(Header, held) == 384);
const _: () = assert!(offset_of!(Header, queue_ready) == 448);
const _: () = assert!(offset_of!(Header, queue_current) == 456);
const _: () = assert!(offset_of!(Header, queue_turn) == 464);
const _: () = assert!(offset_of!(Header, slice_start) == 472);
const _: () = assert!(offset_of!(Header, slice_elapsed) == 480);
const _: () = assert!(offset_of!(Header, alarm) == 488);
const _: () = assert!(offset_of!(Command, opcode) == 0);
const _: () = assert!(offset_of!(Command, flags) == 1);
const _: () = assert!(offset_of!(Command, queue) == 2);
const _: () = assert!(offset_of!(Command, pending_slot) == 4);
const _: () = assert!(offset_of!(Command, pending_generation) == 8);
const _: () = assert!(offset_of!(Command, file_slot) == 12);
const _: () = assert!(offset_of!(Command, file_generation) == 16);
const _: () = assert!(offset_of!(Command, lease_slot) == 20);
const _: () = assert!(offset_of!(Command, lease_generation) == 24);
const _: () = assert!(offset_of!(Command, lease_offset) == 28);
const _: () = assert!(offset_of!(Command, length) == 32);
const _: () = assert!(offset_of!(Command, zero) == 36);
const _: () = assert!(offset_of!(Command, operand) == 40);
const _: () = assert!(offset_of!(Command, zeros) == 48);
const _: () = assert!(offset_of!(Completion, pending_slot) == 0);
const _: () = assert!(offset_of!(Completion, pending_generation) == 4);
const _: () = assert!(offset_of!(Completion, result) == 8);
const _: () = assert!(offset_of!(Completion, flags) == 12);
const _: () = assert!(Geometry::DEFAULT.bytes() == 512 + 4096 * 64 + 4096 * 16);
const _: () = assert!(LENGTH_MAX <= i32::MAX as u32);
const _: () = assert!(STAT_BYTES <= LENGTH_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_command_survives_the_words(words in any::<[u64; COMMAND_WORDS]>()) {
            prop_assert_eq!(Command::from_words(words).to_words(), words);
        }

        #[test]
        fn any_completion_survives_the_words(words in any::<[u64; COMPLETION_WORDS]>()) {
            prop_assert_eq!(Completion::from_words(words).to_words(), words);
        }
    }

    #[test]
    fn the_rings_do_not_overlap() {
        for geometry in [Geometry::DEFAULT, Geometry::new(1, 1), Geometry::new(8, 2)] {
            let (commands, completions) = (geometry.commands(), geometry.completions());
            assert_eq!(commands.first_word * 8, size_of::<Header>());
            assert_eq!(
                completions.first_word,
                commands.first_word + commands.capacity as usize * COMMAND_WORDS
            );
            let end = completions.first_word + completions.capacity as usize * COMPLETION_WORDS;
            assert_eq!(end * 8, geometry.bytes());
        }
    }
}
