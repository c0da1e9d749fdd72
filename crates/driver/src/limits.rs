//! Every capacity, and the compile-time relations between them.

/// The kernel's page, and the alignment of leases of that size and more (O_DIRECT wants it).
pub const PAGE: usize = 4096;
/// The alignment of leases smaller than [`PAGE`]: one cache line.
pub const LINE: usize = 64;

/// Fewest and most submission entries.
pub const ENTRIES: std::ops::RangeInclusive<u32> = 8..=32_768;
/// Below this, ENOMEM is no longer answered by halving the ring.
pub const ENTRIES_FLOOR: u32 = 64;
/// Fewest and most completion entries.
pub const COMPLETION_ENTRIES: std::ops::RangeInclusive<u32> = 8..=65_536;
/// Fewest and most bytes of the arena.
pub const MEMORY: std::ops::RangeInclusive<usize> = 65_536..=1 << 30;
/// Fewest and most provided buffers.
pub const CHUNKS: std::ops::RangeInclusive<u16> = 8..=4096;
/// Fewest and most bytes of a provided buffer.
pub const CHUNK_BYTES: std::ops::RangeInclusive<u32> = 512..=65_536;
/// Fewest and most threads of the blocking pool.
pub const POOL_THREADS: std::ops::RangeInclusive<u16> = 1..=64;
/// Threads, or workers of the ring's, for what waits for another process: opens of FIFOs, and copies of what is no file. More of these wait their turn,
/// and nothing else waits behind them.
pub const WAITING: u16 = 64;
/// Of these, how many that were given up and cannot be interrupted have another thread in their place.
pub const GIVEN_UP: usize = 192;
/// Longest idle time of a kernel submission thread, in milliseconds.
pub const SQPOLL_IDLE_MS: std::ops::RangeInclusive<u32> = 1..=60_000;
/// A kernel submission thread needs a core of its own: below this many usable CPUs it is refused unless forced.
pub const SQPOLL_CPUS: usize = 4;

/// The most bytes one read or write moves: what Linux itself allows (`MAX_RW_COUNT`).
pub const TRANSFER: usize = 0x7fff_f000;
/// The most ranges of one vectored read or write: Linux's IOV_MAX.
pub const PARTS: usize = 1024;
/// Operations in flight at most that wait for the world without memory, multishot ones and `Ready`: they do not count against the completion queue.
pub const APART: usize = 65_536;
/// Slots of the registered file table at most; fewer where RLIMIT_NOFILE is lower.
pub const FIXED_FILES: u32 = 1024;
/// A descriptor is registered at this use: registering costs a system call, which a short-lived one never earns back.
pub const REGISTER_AT_USE: u32 = 16;
/// Bytes of `struct statx`.
pub const STATX: usize = 256;

const _: () = assert!(PAGE.is_power_of_two());
const _: () = assert!(LINE.is_power_of_two());
const _: () = assert!((*MEMORY.start()).is_multiple_of(PAGE));
const _: () = assert!(*MEMORY.end() <= u32::MAX as usize, "lease offsets are u32");
const _: () = assert!((*CHUNKS.end()).is_power_of_two());
const _: () = assert!(*CHUNKS.end() <= 32_768, "the kernel's bound for a buffer ring");
const _: () = assert!(*ENTRIES.end() <= *COMPLETION_ENTRIES.end());
const _: () = assert!(APART + (*COMPLETION_ENTRIES.end() as usize) < u32::MAX as usize, "slots are u32");
const _: () = assert!(TRANSFER <= i32::MAX as usize, "results are i32");
