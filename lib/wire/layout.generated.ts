// The layout of the memory shared with Rust. Generated from crates/command by `cargo xtask layout`; do not edit.
//
// `…_WORD` is an index in a Uint32Array (Int32Array for results), `…_DOUBLE` one in a Float64Array.
// Names with an entry in front (`COMMAND_LENGTH_WORD`) count from the start of that entry.

/** Raised with every change that the other side can see. */
export const LAYOUT_VERSION = 7;
/** First word of a region that Rust has attached. */
export const LAYOUT_MAGIC = 1279809362;
/** Bytes of the whole SharedArrayBuffer. */
export const REGION_BYTES = 328192;
/** Entries of the command ring, a power of two. */
export const COMMAND_CAPACITY = 4096;
/** Entries of the completion ring, a power of two. */
export const COMPLETION_CAPACITY = 4096;
/** Pending slots must be below this; Rust rejects others unanswered. */
export const PENDING_CAPACITY = 1048576;
/** The most bytes of one read or write. */
export const LENGTH_MAX = 2147479552;
/** Bytes that STAT writes; the numbers in a call's answer begin behind as many. */
export const STAT_BYTES = 256;
/** Position that means: at the file position, and move it. */
export const POSITION_CURRENT = -1;
/** Ranges of one READ_MANY at most. */
export const RANGES_MAX = 1023;
/** Bytes of its table before the ranges. */
export const RANGES_HEAD_BYTES = 16;
/** Bytes of one range of its table. */
export const RANGE_BYTES = 16;
/** Parts of one READV or WRITEV at most. */
export const PARTS_MAX = 1024;
/** Bytes of its table before the parts. */
export const PARTS_HEAD_BYTES = 16;
/** Bytes of one part of its table. */
export const PART_BYTES = 16;

// Header.
/** Holds LAYOUT_MAGIC once Rust has attached. */
export const MAGIC_WORD = 0;
/** Holds LAYOUT_VERSION once Rust has attached. */
export const VERSION_WORD = 1;
/** Next command that JavaScript will write. Ours. */
export const COMMAND_TAIL_WORD = 16;
/** Next command that Rust will read. Rust's. */
export const COMMAND_HEAD_WORD = 32;
/** Next completion that Rust will write. Rust's. */
export const COMPLETION_TAIL_WORD = 48;
/** Next completion that JavaScript will read. Ours. */
export const COMPLETION_HEAD_WORD = 64;
/** 1 while pending work is to keep the process alive. Ours. */
export const KEEP_WORD = 80;
/** 1 while the event loop is held. Rust's. */
export const HELD_WORD = 96;
/** 1 while a task queue has work that is ready. Ours. */
export const QUEUE_READY_WORD = 112;
/** 1 + the task queue whose slice runs, 0 outside of slices. Ours as it begins, Rust's as it ends. */
export const QUEUE_CURRENT_WORD = 114;
/** Microseconds for which task queues may hold the loop in one turn. Ours. */
export const QUEUE_TURN_WORD = 116;
/** When the slice began, nanoseconds of CLOCK_MONOTONIC. Rust's. */
export const SLICE_START_DOUBLE = 59;
/** Nanoseconds that the last slice took. Rust's. */
export const SLICE_ELAPSED_DOUBLE = 60;
/** When to call for timers, in milliseconds since the executor's start; 0 for never. Ours. */
export const ALARM_DOUBLE = 61;

// Commands.
/** First word of command 0. */
export const COMMANDS_WORD = 128;
/** Words of one command. */
export const COMMAND_WORDS = 16;
/** Opcode in bits 0–7, flags (0) in 8–15, queue (0) in 16–31. */
export const COMMAND_OPCODE_WORD = 0;
/** Slot in the pending table. */
export const COMMAND_PENDING_SLOT_WORD = 1;
/** Generation of that slot. */
export const COMMAND_PENDING_GENERATION_WORD = 2;
/** Slot of the file. */
export const COMMAND_FILE_SLOT_WORD = 3;
/** Generation of that slot. */
export const COMMAND_FILE_GENERATION_WORD = 4;
/** Slot of the lease. */
export const COMMAND_LEASE_SLOT_WORD = 5;
/** Generation of that slot. */
export const COMMAND_LEASE_GENERATION_WORD = 6;
/** First byte of the lease to use. */
export const COMMAND_LEASE_OFFSET_WORD = 7;
/** Bytes to use. */
export const COMMAND_LENGTH_WORD = 8;
/** Must stay 0. */
export const COMMAND_ZERO_WORD = 9;
/** Byte position, new length or milliseconds, by opcode. The 16 bytes behind it must stay 0. */
export const COMMAND_OPERAND_DOUBLE = 5;

// Completions.
/** First word of completion 0. */
export const COMPLETIONS_WORD = 65664;
/** Words of one completion. */
export const COMPLETION_WORDS = 4;
/** As in the command. */
export const COMPLETION_PENDING_SLOT_WORD = 0;
/** As in the command. */
export const COMPLETION_PENDING_GENERATION_WORD = 1;
/** Signed. ≥ 0 the result, −1…−4095 minus an errno. */
export const COMPLETION_RESULT_WORD = 2;
/** 0 until results are multishot. */
export const COMPLETION_FLAGS_WORD = 3;

// What a write at once says beside bytes and errnos.
/** A command must do it. */
export const WRITE_ELSEWHERE = 0;
/** A command must do it, and all others of this file. */
export const WRITE_NEVER = -100000;
/** There is time for it in the next turn. */
export const WRITE_NEXT_TURN = -100001;
/** The array has no such bytes any more. */
export const WRITE_GONE = -100002;

// Opcodes. crates/command/src/opcode.rs says what each takes and gives.
export const OPCODE_NOP = 1;
export const OPCODE_READ = 2;
export const OPCODE_WRITE = 3;
export const OPCODE_SYNC = 4;
export const OPCODE_DATASYNC = 5;
export const OPCODE_TRUNCATE = 6;
export const OPCODE_CLOSE = 8;
export const OPCODE_CANCEL = 10;
export const OPCODE_CALL = 11;
export const OPCODE_READ_MANY = 12;
export const OPCODE_READV = 13;
export const OPCODE_WRITEV = 14;
export const OPCODE_READY = 15;
/** Opcode number → name; empty where no opcode has the number. */
export const OPCODE_NAMES = ['', 'nop', 'read', 'write', 'sync', 'datasync', 'truncate', '', 'close', '', 'cancel', 'call', 'read_many', 'readv', 'writev', 'ready'] as const;

// Calls. crates/command/src/call.rs says what each takes and gives, and draws the block.
export const CALL_ACCESS = 1;
export const CALL_STAT = 2;
export const CALL_FILE_STAT = 3;
export const CALL_STATFS = 4;
export const CALL_MKDIR = 5;
export const CALL_MKDIR_ALL = 6;
export const CALL_UNLINK = 7;
export const CALL_RMDIR = 8;
export const CALL_REMOVE = 9;
export const CALL_RENAME = 10;
export const CALL_LINK = 11;
export const CALL_SYMLINK = 12;
export const CALL_READLINK = 13;
export const CALL_REALPATH = 14;
export const CALL_MKDTEMP = 15;
export const CALL_CHMOD = 16;
export const CALL_FILE_CHMOD = 17;
export const CALL_CHOWN = 18;
export const CALL_FILE_CHOWN = 19;
export const CALL_UTIMES = 20;
export const CALL_FILE_UTIMES = 21;
export const CALL_TRUNCATE_PATH = 22;
export const CALL_COPY = 23;
export const CALL_LIST = 24;
export const CALL_FILE_ENTRIES = 25;
export const CALL_READ_FILE = 26;
export const CALL_FILE_READ_REST = 27;
export const CALL_WRITE_FILE = 28;
export const CALL_FILE_ALLOCATE = 29;
export const CALL_FILE_ADVISE = 30;
export const CALL_FLAG_FOLLOW = 1;
export const CALL_FLAG_RECURSIVE = 2;
export const CALL_FLAG_FORCE = 4;
export const CALL_FLAG_SYNC = 8;
export const CALL_FLAG_ALIGNMENT = 16;
export const ALLOCATE_AHEAD = 257;
export const ALLOCATE_BACK = 258;
/** In an open's result, beside the slot: reads and writes may wait for another process. */
export const OPENED_STREAM = 1073741824;
/** Bytes of a block before its paths. */
export const BLOCK_HEADER = 64;
/** The most bytes of a path. */
export const PATH_BYTES = 4095;
/** A CALL_ number. */
export const BLOCK_NUMBER_WORD = 0;
/** CALL_FLAG_ bits. */
export const BLOCK_FLAGS_WORD = 1;
/** Permission bits, or what else the call says. */
export const BLOCK_MODE_WORD = 2;
/** User id. */
export const BLOCK_UID_WORD = 3;
/** Group id. */
export const BLOCK_GID_WORD = 4;
/** Bytes of the first path. */
export const BLOCK_FIRST_WORD = 5;
/** Bytes of the second path. */
export const BLOCK_SECOND_WORD = 6;
/** Must be 0. */
export const BLOCK_ZERO_WORD = 7;
/** Four words that must be 0. */
export const BLOCK_ZEROS_WORD = 12;
/** A time in seconds, or bytes. */
export const BLOCK_A_DOUBLE = 4;
/** A time in seconds, or permission bits. */
export const BLOCK_B_DOUBLE = 5;

// Rejects: results of commands that were never run.
/** Results at or below this are rejects. */
export const REJECT_CEILING = -100000;
export const REJECT_OPCODE = -100001;
export const REJECT_FLAGS = -100002;
export const REJECT_QUEUE = -100003;
export const REJECT_PENDING = -100004;
export const REJECT_RESERVED = -100005;
export const REJECT_LENGTH = -100006;
export const REJECT_POSITION = -100007;
export const REJECT_LEASE_RANGE = -100009;
export const REJECT_STALE_FILE = -100010;
export const REJECT_STALE_LEASE = -100011;
export const REJECT_UNSUPPORTED = -100012;
export const REJECT_CLOSED = -100013;
export const REJECT_CALL = -100014;
export const REJECT_BLOCK = -100015;
export const REJECT_PATH = -100016;
/** Reject code → name and sentence. */
export const REJECTS: ReadonlyMap<number, readonly [name: string, message: string]> = new Map([
  [-100001, ['OPCODE', 'the command has no known opcode']],
  [-100002, ['FLAGS', 'the command has a flag that is not defined']],
  [-100003, ['QUEUE', 'the command names a queue that does not exist']],
  [-100004, ['PENDING', 'the pending slot is not below 1048576']],
  [-100005, ['RESERVED', 'a reserved byte of the command is not 0']],
  [-100006, ['LENGTH', 'the length must be at most 2147479552 bytes, and at least 256 for stat']],
  [-100007, ['POSITION', 'the position or length must be an integer from 0 to 9007199254740991']],
  [-100009, ['LEASE_RANGE', 'offset + length must lie inside the lease']],
  [-100010, ['STALE_FILE', 'the file is closed; open it again']],
  [-100011, ['STALE_LEASE', 'the lease was released or is in use by another operation']],
  [-100012, ['UNSUPPORTED', 'this driver cannot run the operation']],
  [-100013, ['CLOSED', 'the executor is closed; start another']],
  [-100014, ['CALL', 'the request block has no known call']],
  [-100015, ['BLOCK', 'the request block has another length than its fields say, or a number out of range']],
  [-100016, ['PATH', 'a path must have no NUL and at most 4095 bytes']],
]);
