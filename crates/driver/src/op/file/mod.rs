//! File operations: what each one means, on every backend.
pub(crate) mod fifo;
pub(crate) mod poll;
pub(crate) mod statx;
#[cfg(target_os = "linux")]
pub(crate) mod uring;

pub use poll::{close, has_positions, may_wait};
pub use statx::{NUMBERS, numbers, stat_file, stat_path};

use crate::{
    Handle,
    memory::{Source, Target},
};
use std::ffi::CString;

/// openat2(2) relative to a directory, or to the working directory. Completion: `handle`, result 0.
#[derive(Debug)]
pub struct Open {
    /// The directory `path` is relative to; `None` is the working directory.
    pub directory: Option<Handle>,
    /// The path.
    pub path: CString,
    /// open(2) flags; O_CLOEXEC is always added.
    pub flags: i32,
    /// Mode for created files.
    pub mode: u32,
    /// openat2 RESOLVE_* bits. 0 means a plain open.
    pub resolve: u64,
}

/// Closes. With other clones of the handle alive it only drops this one. Result 0.
#[derive(Debug)]
pub struct Close {
    /// What to close.
    pub file: Handle,
}

/// pread(2): result = bytes read, 0 at the end. Short reads are the caller's to continue.
#[derive(Debug)]
pub struct Read {
    /// The file.
    pub file: Handle,
    /// Where the bytes go.
    pub target: Target,
    /// Byte offset in the file; `u64::MAX` uses and moves the file position.
    pub offset: u64,
}

/// pwrite(2): result = bytes written.
#[derive(Debug)]
pub struct Write {
    /// The file.
    pub file: Handle,
    /// Where the bytes come from.
    pub source: Source,
    /// Byte offset in the file; `u64::MAX` uses and moves the file position.
    pub offset: u64,
}

/// fsync(2), or fdatasync(2) when `data_only`. Result 0.
#[derive(Debug)]
pub struct Sync {
    /// The file.
    pub file: Handle,
    /// Skip metadata that is not needed to read the data back.
    pub data_only: bool,
}

/// ftruncate(2). Result 0.
#[derive(Debug)]
pub struct Truncate {
    /// The file.
    pub file: Handle,
    /// The new length in bytes.
    pub length: u64,
}

/// statx(2) of an open file (AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME): the 256-byte `struct statx` goes to `target`. Result 0.
#[derive(Debug)]
pub struct Stat {
    /// The file.
    pub file: Handle,
    /// At least 256 bytes.
    pub target: Target,
}
