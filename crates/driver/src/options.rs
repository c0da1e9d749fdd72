//! How a driver starts: every option with its range and default, and the check that names what is out of it.
use crate::{StartError, limits};
use std::{fmt, ops::RangeInclusive};

/// Who calls the driver: decides how it parks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A thread of its own, which blocks in [`Driver::enter`](crate::Driver::enter).
    Native,
    /// A foreign event loop (libuv), which watches [`Driver::host_fd`](crate::Driver::host_fd) and calls `enter(Wait::No)`.
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

/// How [`Driver::start`](crate::Driver::start) sets up. `Default` is what an embedded executor on Linux wants.
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

impl Default for Options {
    fn default() -> Options {
        Options {
            kind: None,
            host: Host::Embedded,
            entries: 1024,
            completion_entries: None,
            memory: 4 << 20,
            chunks: 256,
            chunk_bytes: 4096,
            sqpoll: None,
            pool_threads: 4,
        }
    }
}

impl Options {
    /// Every value in its range, or a sentence that names the value, the range and the remedy.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        in_range("entries", self.entries, limits::ENTRIES)?;
        if !self.entries.is_power_of_two() {
            return Err(StartError::Option(format!(
                "entries is {}; it must be a power of two",
                self.entries
            )));
        }
        if let Some(entries) = self.completion_entries {
            in_range("completion_entries", entries, limits::COMPLETION_ENTRIES)?;
        }
        in_range("memory", self.memory, limits::MEMORY)?;
        if !self.memory.is_multiple_of(limits::PAGE) {
            return Err(StartError::Option(format!(
                "memory is {} bytes; it must be a multiple of {}",
                self.memory,
                limits::PAGE
            )));
        }
        in_range("chunks", self.chunks, limits::CHUNKS)?;
        if !self.chunks.is_power_of_two() {
            return Err(StartError::Option(format!("chunks is {}; it must be a power of two", self.chunks)));
        }
        in_range("chunk_bytes", self.chunk_bytes, limits::CHUNK_BYTES)?;
        in_range("pool_threads", self.pool_threads, limits::POOL_THREADS)?;
        if let Some(sqpoll) = self.sqpoll {
            in_range("sqpoll.idle_ms", sqpoll.idle_ms, limits::SQPOLL_IDLE_MS)?;
        }
        Ok(())
    }
}

fn in_range<T: PartialOrd + fmt::Display>(
    name: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), StartError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(StartError::Option(format!("{name} is {value}; allowed are {} to {}", range.start(), range.end())))
}
