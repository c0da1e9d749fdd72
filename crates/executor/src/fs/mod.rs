//! Files on the executor: opening beneath a directory, reading and writing at offsets, metadata, page-cache residency.
use crate::{Source, Target};
use std::{ffi::CStr, io, marker::PhantomData, path::Path};

/// An open directory that paths are opened beneath.
#[derive(Debug)]
pub struct Directory {
    _not_send: PhantomData<*const ()>,
}

#[expect(unused_variables, reason = "the seam: filled in within the hour")]
impl Directory {
    /// Opens a directory; one inline system call.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Directory> {
        unimplemented!()
    }
    /// Opens `path` beneath this directory; `..`, absolute paths and symbolic links that lead out fail with EXDEV.
    /// One inline openat2(2) with RESOLVE_BENEATH, on the calling thread. `flags` are open(2)'s; O_CLOEXEC is added.
    pub fn open_beneath(&self, path: &CStr, flags: i32) -> io::Result<File> {
        unimplemented!()
    }
}

/// What kind of thing a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: socket, device, FIFO, symbolic link.
    Other,
}

/// What statx(2) says about an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Bytes.
    pub size: u64,
    /// Modification time: seconds since 1970.
    pub modified_seconds: i64,
    /// Modification time: nanoseconds within the second.
    pub modified_nanoseconds: u32,
    /// Inode number.
    pub inode: u64,
    /// Device, major and minor.
    pub device: (u32, u32),
    /// File, directory or other.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
}

/// An open file. Dropping it closes it once no operation uses it.
#[derive(Debug)]
pub struct File {
    _not_send: PhantomData<*const ()>,
}

#[expect(unused_variables, reason = "the seam: filled in within the hour")]
impl File {
    /// Opens a file. `flags` are open(2)'s; created files get mode 0o666 less the umask.
    pub async fn open(path: impl AsRef<Path>, flags: i32) -> io::Result<File> {
        unimplemented!()
    }
    /// Reads at an offset: bytes read, 0 at the end; the target comes back.
    pub async fn read_at(&self, target: Target, offset: u64) -> (io::Result<usize>, Target) {
        unimplemented!()
    }
    /// Writes at an offset: bytes written; the source comes back.
    pub async fn write_at(&self, source: Source, offset: u64) -> (io::Result<usize>, Source) {
        unimplemented!()
    }
    /// Size, times, identity: one inline statx(2).
    pub fn metadata(&self) -> io::Result<Metadata> {
        unimplemented!()
    }
    /// Whether the range is in the page cache, as far as the kernel tells.
    pub fn is_resident(&self, offset: u64, length: u64) -> bool {
        unimplemented!()
    }
    /// Brings the range into the page cache by reading it through the ring. Bytes read.
    pub async fn prefetch(&self, offset: u64, length: u64) -> io::Result<u64> {
        unimplemented!()
    }
    /// fsync(2).
    pub async fn sync(&self) -> io::Result<()> {
        unimplemented!()
    }
    /// fdatasync(2).
    pub async fn datasync(&self) -> io::Result<()> {
        unimplemented!()
    }
    /// ftruncate(2).
    pub async fn truncate(&self, length: u64) -> io::Result<()> {
        unimplemented!()
    }
}
