//! Life of a command, stage 2 of 6: command ring. Before: crates/command/src/decode.rs. After: crates/executor/src/bridge/calls/mod.rs.
//!
//! The request block of a CALL: hostile bytes in, a [`Call`] or a [`RejectCode`] out. Never panics (property-tested, fuzzed).
//!
//! ```text
//!  0        4       8      12    16    20       24        28   32      40       48    64
//!  ┌────────┬───────┬──────┬─────┬─────┬────────┬─────────┬────┬───────┬────────┬─────┬──────────┬───┬───────────┬───┐
//!  │ number │ flags │ mode │ uid │ gid │ bytes₁ │ bytes₂  │ 0  │ f64 a │ f64 b  │ 0 0 │ path₁    │ ? │ path₂     │ ? │
//!  └────────┴───────┴──────┴─────┴─────┴────────┴─────────┴────┴───────┴────────┴─────┴──────────┴───┴───────────┴───┘
//! ```
//!
//! The byte behind each path is ours: it becomes the NUL that the kernel wants, in the one copy that is decoded (INV-5).
use crate::{layout::SAFE_INTEGER_MAX, reply::RejectCode};
use std::ffi::CStr;

/// Bytes of a block before its paths.
pub const BLOCK_HEADER: usize = 64;
/// The most bytes of a path: the kernel's PATH_MAX without its NUL. A longer one is ENAMETOOLONG before it is sent.
pub const PATH_BYTES: usize = 4095;
/// The most bytes of a block.
pub const BLOCK_MAX: usize = BLOCK_HEADER + 2 * (PATH_BYTES + 1);

/// Flag: what a symbolic link points to, not the link.
pub const CALL_FOLLOW: u32 = 1;
/// Flag: everything below, too.
pub const CALL_RECURSIVE: u32 = 2;
/// Flag: what is not there is no failure.
pub const CALL_FORCE: u32 = 4;
/// Flag: done when it is on the device.
pub const CALL_SYNC: u32 = 8;
/// A mode of FILE_ALLOCATE: blocks behind the file's end, where that makes the writes that follow cheaper, and else nothing.
pub const ALLOCATE_AHEAD: u32 = 257;
/// A mode of FILE_ALLOCATE: gives back what ALLOCATE_AHEAD has left behind the file's end.
pub const ALLOCATE_BACK: u32 = 258;
/// Flag: what direct I/O asks of transfers, too (STATX_DIOALIGN).
pub const CALL_ALIGNMENT: u32 = 16;

/// Where the fields of a block lie, in bytes.
pub mod field {
    /// u32: a [`CallNumber`](super::CallNumber).
    pub const NUMBER: usize = 0;
    /// u32: bits.
    pub const FLAGS: usize = 4;
    /// u32: permission bits, or what else the call says.
    pub const MODE: usize = 8;
    /// u32: user id; all ones leaves it as it is.
    pub const UID: usize = 12;
    /// u32: group id; all ones leaves it as it is.
    pub const GID: usize = 16;
    /// u32: bytes of the first path.
    pub const FIRST: usize = 20;
    /// u32: bytes of the second path.
    pub const SECOND: usize = 24;
    /// u32: must be 0.
    pub const ZERO: usize = 28;
    /// f64: a time in seconds, a length in bytes.
    pub const A: usize = 32;
    /// f64: a time in seconds, permission bits.
    pub const B: usize = 40;
    /// Two u64 that must be 0.
    pub const ZEROS: usize = 48;
}

macro_rules! numbers {
    ($($(#[doc = $about:literal])+ $name:ident = $number:literal, $script:literal, $paths:literal, $file:literal;)+) => {
        /// The closed list of calls. 0 is none, so that memory nobody wrote is rejected.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum CallNumber { $($(#[doc = $about])+ $name = $number,)+ }

        impl CallNumber {
            /// Every call with its name in TypeScript.
            pub const ALL: &'static [(CallNumber, &'static str)] = &[$((CallNumber::$name, $script),)+];

            /// The call with this number, if there is one.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<CallNumber> {
                Some(match number { $($number => CallNumber::$name,)+ _ => return None })
            }

            /// Paths that it takes.
            #[must_use]
            pub const fn paths(self) -> usize {
                match self { $(CallNumber::$name => $paths,)+ }
            }

            /// True when it is about the open file that the command names.
            #[must_use]
            pub const fn takes_file(self) -> bool {
                match self { $(CallNumber::$name => $file,)+ }
            }
        }
    };
}

numbers! {
    /// access(2). Mode: what to ask for. Result: 0.
    Access = 1, "ACCESS", 1, false;
    /// statx(2). Flags: FOLLOW. Answer: the 256 bytes of `struct statx`, then the numbers of Node's `Stats` in its order, as doubles.
    Stat = 2, "STAT", 1, false;
    /// statx(2) of an open file. Flags: ALIGNMENT. Answer as for `Stat`.
    FileStat = 3, "FILE_STAT", 0, true;
    /// statfs(2). Answer: type, block size, blocks, free, available, files, free files: seven u64.
    StatFs = 4, "STATFS", 1, false;
    /// mkdir(2). Mode. Result: 0.
    MakeDirectory = 5, "MKDIR", 1, false;
    /// mkdir(2) of it and of what is missing above. Mode. Answer: the path of the first one made, nothing when all were there.
    MakeDirectories = 6, "MKDIR_ALL", 1, false;
    /// unlink(2). Result: 0.
    Unlink = 7, "UNLINK", 1, false;
    /// rmdir(2). Result: 0.
    RemoveDirectory = 8, "RMDIR", 1, false;
    /// Removes a file, or with RECURSIVE a directory and all below it. Flags: RECURSIVE, FORCE. Result: 0.
    Remove = 9, "REMOVE", 1, false;
    /// rename(2), from the first path to the second. Result: 0.
    Rename = 10, "RENAME", 2, false;
    /// link(2): the second path names the first one's file. Result: 0.
    Link = 11, "LINK", 2, false;
    /// symlink(2): the second path becomes a link that says the first. Result: 0.
    SymbolicLink = 12, "SYMLINK", 2, false;
    /// readlink(2). Answer: the target's bytes.
    ReadLink = 13, "READLINK", 1, false;
    /// realpath(3). Answer: the path's bytes.
    RealPath = 14, "REALPATH", 1, false;
    /// mkdtemp(3): the path and six letters of its own choice. Answer: the path's bytes.
    MakeTemporary = 15, "MKDTEMP", 1, false;
    /// chmod(2). Mode. Result: 0.
    ChangeMode = 16, "CHMOD", 1, false;
    /// fchmod(2). Mode. Result: 0.
    FileChangeMode = 17, "FILE_CHMOD", 0, true;
    /// chown(2) or, without FOLLOW, lchown(2). Uid, gid. Result: 0.
    ChangeOwner = 18, "CHOWN", 1, false;
    /// fchown(2). Uid, gid. Result: 0.
    FileChangeOwner = 19, "FILE_CHOWN", 0, true;
    /// utimensat(2). Flags: FOLLOW. a, b: access and change time in seconds, cut to microseconds as libuv does. Result: 0.
    SetTimes = 20, "UTIMES", 1, false;
    /// futimens(2). As `SetTimes`. Result: 0.
    FileSetTimes = 21, "FILE_UTIMES", 0, true;
    /// open(2) for writing, ftruncate(2), close(2). a: bytes. Result: 0.
    Truncate = 22, "TRUNCATE_PATH", 1, false;
    /// Copies a file's content and mode. Mode: COPYFILE_ bits (1 EXCL, 2 FICLONE, 4 FICLONE_FORCE). Result: 0.
    Copy = 23, "COPY", 2, false;
    /// The names in a directory. Flags: RECURSIVE; FOLLOW: links that lead to directories, and names as paths below the first. Answer: packed entries (crates/executor/src/bridge/calls/entries.rs).
    List = 24, "LIST", 1, false;
    /// The next names of an open directory. Answer: packed entries, none at the end.
    FileEntries = 25, "FILE_ENTRIES", 0, true;
    /// A whole file. Mode: open(2) flags. a: the most bytes. Answer: the bytes.
    ReadFile = 26, "READ_FILE", 1, false;
    /// What is left of an open file, from its position. a: the most bytes. Answer: the bytes.
    FileReadRest = 27, "FILE_READ_REST", 0, true;
    /// Opens, writes and closes a file. Mode: open(2) flags; a: bytes, which lie in the lease behind the block; b: permission bits of a
    /// file that is made. Flags: SYNC. Result: 0.
    WriteFile = 28, "WRITE_FILE", 1, false;
    /// fallocate(2) of an open file. Mode: FALLOC_FL_ bits: 0, 1 (KEEP_SIZE) or 3 (KEEP_SIZE and PUNCH_HOLE). a: byte position; b: bytes, from 1.
    /// Result: 0.
    FileAllocate = 29, "FILE_ALLOCATE", 0, true;
    /// posix_fadvise(2) of an open file. Mode: normal, random, sequential, willneed, dontneed, noreuse, from 0 on. a: byte position; b: bytes, 0 to the
    /// end. Result: 0.
    FileAdvise = 30, "FILE_ADVISE", 0, true;
}

/// A block whose every byte was checked. Paths have no NUL inside and at most [`PATH_BYTES`]; an empty one is ENOENT to the kernel.
#[expect(missing_docs, reason = "the fields are the arguments that `CallNumber` documents")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call<'a> {
    Access { path: &'a CStr, mode: u32 },
    Stat { path: &'a CStr, follow: bool },
    FileStat { alignment: bool },
    StatFs { path: &'a CStr },
    MakeDirectory { path: &'a CStr, mode: u32 },
    MakeDirectories { path: &'a CStr, mode: u32 },
    Unlink { path: &'a CStr },
    RemoveDirectory { path: &'a CStr },
    Remove { path: &'a CStr, recursive: bool, force: bool },
    Rename { from: &'a CStr, to: &'a CStr },
    Link { from: &'a CStr, to: &'a CStr },
    SymbolicLink { target: &'a CStr, path: &'a CStr },
    ReadLink { path: &'a CStr },
    RealPath { path: &'a CStr },
    MakeTemporary { prefix: &'a CStr },
    ChangeMode { path: &'a CStr, mode: u32 },
    FileChangeMode { mode: u32 },
    ChangeOwner { path: &'a CStr, owner: Owner, follow: bool },
    FileChangeOwner { owner: Owner },
    SetTimes { path: &'a CStr, times: Times, follow: bool },
    FileSetTimes { times: Times },
    Truncate { path: &'a CStr, length: u64 },
    Copy { from: &'a CStr, to: &'a CStr, mode: u32 },
    List { path: &'a CStr, recursive: bool, follow: bool },
    FileEntries,
    ReadFile { path: &'a CStr, flags: u32, limit: u64 },
    FileReadRest { limit: u64 },
    WriteFile { path: &'a CStr, flags: u32, mode: u32, bytes: u64, sync: bool },
    FileAllocate { mode: u32, position: u64, length: u64 },
    FileAdvise { advice: u32, position: u64, length: u64 },
}

/// Whom a file is to belong to; `None` leaves that as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
}

/// Times in seconds since 1970; finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Of the last access.
    pub access: f64,
    /// Of the last change.
    pub change: f64,
}

/// The number of a block and the rest of its fields, as they lie there.
struct Fields<'a> {
    block: &'a [u8],
}

impl Fields<'_> {
    fn word(&self, at: usize) -> u32 {
        // In bounds: `decode` compared the length with the header's.
        self.block.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }
    fn wide(&self, at: usize) -> u64 {
        u64::from(self.word(at + 4)) << 32 | u64::from(self.word(at))
    }
    fn double(&self, at: usize) -> f64 {
        f64::from_bits(self.wide(at))
    }
    fn id(&self, at: usize) -> Option<u32> {
        Some(self.word(at)).filter(|id| *id != u32::MAX)
    }
}

/// Which call a block asks for, before anything else of it is looked at.
#[must_use]
pub fn number(block: &[u8]) -> Option<CallNumber> {
    CallNumber::from_number(Fields { block }.word(field::NUMBER))
}

/// Checks every byte of a block, a local copy of what JavaScript wrote, and writes the NULs behind its paths.
///
/// # Errors
/// The [`RejectCode`] of the first rule broken. Cost: one look at each byte of the paths, no allocation.
pub fn decode(block: &mut [u8]) -> Result<Call<'_>, RejectCode> {
    if block.len() < BLOCK_HEADER || block.len() > BLOCK_MAX {
        return Err(RejectCode::Block);
    }
    let fields = Fields { block };
    let number = number(block).ok_or(RejectCode::Call)?;
    let flags = fields.word(field::FLAGS);
    if flags & !allowed_flags(number) != 0 {
        return Err(RejectCode::Flags);
    }
    if fields.word(field::ZERO) != 0 || fields.wide(field::ZEROS) != 0 || fields.wide(field::ZEROS + 8) != 0 {
        return Err(RejectCode::Reserved);
    }
    let lengths = [fields.word(field::FIRST) as usize, fields.word(field::SECOND) as usize];
    if lengths[number.paths()..].iter().any(|length| *length != 0) {
        return Err(RejectCode::Block);
    }
    let lengths = &lengths[..number.paths()];
    if lengths.iter().any(|length| *length > PATH_BYTES) {
        return Err(RejectCode::Path);
    }
    let whole = BLOCK_HEADER + lengths.iter().map(|length| length + 1).sum::<usize>();
    if block.len() != whole {
        return Err(RejectCode::Block);
    }
    let (mode, owner) =
        (fields.word(field::MODE), Owner { uid: fields.id(field::UID), gid: fields.id(field::GID) });
    let (a, b) = (fields.double(field::A), fields.double(field::B));
    let times = || {
        let times = Times { access: a, change: b };
        (a.is_finite() && b.is_finite()).then_some(times).ok_or(RejectCode::Block)
    };
    let bytes = || safe_integer(a).ok_or(RejectCode::Position);
    let [first, second] = paths(block, lengths)?;
    let (follow, recursive, force) =
        (flags & CALL_FOLLOW != 0, flags & CALL_RECURSIVE != 0, flags & CALL_FORCE != 0);
    Ok(match number {
        CallNumber::Access => Call::Access { path: first, mode },
        CallNumber::Stat => Call::Stat { path: first, follow },
        CallNumber::FileStat => Call::FileStat { alignment: flags & CALL_ALIGNMENT != 0 },
        CallNumber::StatFs => Call::StatFs { path: first },
        CallNumber::MakeDirectory => Call::MakeDirectory { path: first, mode },
        CallNumber::MakeDirectories => Call::MakeDirectories { path: first, mode },
        CallNumber::Unlink => Call::Unlink { path: first },
        CallNumber::RemoveDirectory => Call::RemoveDirectory { path: first },
        CallNumber::Remove => Call::Remove { path: first, recursive, force },
        CallNumber::Rename => Call::Rename { from: first, to: second },
        CallNumber::Link => Call::Link { from: first, to: second },
        CallNumber::SymbolicLink => Call::SymbolicLink { target: first, path: second },
        CallNumber::ReadLink => Call::ReadLink { path: first },
        CallNumber::RealPath => Call::RealPath { path: first },
        CallNumber::MakeTemporary => Call::MakeTemporary { prefix: first },
        CallNumber::ChangeMode => Call::ChangeMode { path: first, mode },
        CallNumber::FileChangeMode => Call::FileChangeMode { mode },
        CallNumber::ChangeOwner => Call::ChangeOwner { path: first, owner, follow },
        CallNumber::FileChangeOwner => Call::FileChangeOwner { owner },
        CallNumber::SetTimes => Call::SetTimes { path: first, times: times()?, follow },
        CallNumber::FileSetTimes => Call::FileSetTimes { times: times()? },
        CallNumber::Truncate => Call::Truncate { path: first, length: bytes()? },
        CallNumber::Copy => Call::Copy { from: first, to: second, mode },
        CallNumber::List => Call::List { path: first, recursive, follow },
        CallNumber::FileEntries => Call::FileEntries,
        CallNumber::ReadFile => Call::ReadFile { path: first, flags: mode, limit: bytes()? },
        CallNumber::FileReadRest => Call::FileReadRest { limit: bytes()? },
        CallNumber::WriteFile => {
            let open = mode;
            let mode = safe_integer(b).and_then(|mode| u32::try_from(mode).ok()).ok_or(RejectCode::Block)?;
            let sync = flags & CALL_SYNC != 0;
            Call::WriteFile { path: first, flags: open, mode, bytes: bytes()?, sync }
        }
        CallNumber::FileAllocate => {
            let length = safe_integer(b).filter(|length| *length > 0).ok_or(RejectCode::Position)?;
            if !matches!(mode, 0 | 1 | 3 | ALLOCATE_AHEAD | ALLOCATE_BACK) {
                return Err(RejectCode::Block);
            }
            Call::FileAllocate { mode, position: bytes()?, length }
        }
        CallNumber::FileAdvise => {
            if mode > 5 {
                return Err(RejectCode::Block);
            }
            let length = safe_integer(b).ok_or(RejectCode::Position)?;
            Call::FileAdvise { advice: mode, position: bytes()?, length }
        }
    })
}

const fn allowed_flags(number: CallNumber) -> u32 {
    match number {
        CallNumber::Stat | CallNumber::ChangeOwner | CallNumber::SetTimes => CALL_FOLLOW,
        CallNumber::Remove => CALL_RECURSIVE | CALL_FORCE,
        CallNumber::List => CALL_RECURSIVE | CALL_FOLLOW,
        CallNumber::WriteFile => CALL_SYNC,
        CallNumber::FileStat => CALL_ALIGNMENT,
        _ => 0,
    }
}

/// The paths, which end where `decode` has made sure that the block ends.
fn paths<'a>(block: &'a mut [u8], lengths: &[usize]) -> Result<[&'a CStr; 2], RejectCode> {
    let mut found = [c""; 2];
    let (_, mut rest) = block.split_at_mut(BLOCK_HEADER);
    for (place, length) in found.iter_mut().zip(lengths) {
        let (path, behind) = rest.split_at_mut_checked(length + 1).ok_or(RejectCode::Block)?;
        path[*length] = 0;
        *place = CStr::from_bytes_with_nul(path).map_err(|_| RejectCode::Path)?;
        rest = behind;
    }
    Ok(found)
}

/// The integer that a double is, when it is one in `0..2^53`.
fn safe_integer(operand: f64) -> Option<u64> {
    let inside = (0.0..=SAFE_INTEGER_MAX as f64).contains(&operand);
    (inside && operand.fract() == 0.0).then_some(operand as u64)
}
