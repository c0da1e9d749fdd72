//! What a file is: one inline statx(2), which costs half of what the ring would charge for handing it to a worker.
use rustix::fs::FileType;
use std::{io, os::fd::AsFd};

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

impl Kind {
    fn of(mode: u32) -> Kind {
        match FileType::from_raw_mode(mode as rustix::fs::RawMode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        }
    }
}

/// What the system says about an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Bytes.
    pub size: u64,
    /// Modification time: seconds since 1970.
    pub modified_seconds: i64,
    /// Modification time: nanoseconds within the second.
    pub modified_nanoseconds: u32,
    /// Time of the last change of content or metadata, which nobody can set back: seconds since 1970.
    pub changed_seconds: i64,
    /// The same: nanoseconds within the second.
    pub changed_nanoseconds: u32,
    /// Inode number.
    pub inode: u64,
    /// Device, major and minor.
    pub device: (u32, u32),
    /// File, directory or other.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
}

#[cfg(target_os = "linux")]
pub(super) fn of(file: impl AsFd) -> io::Result<Metadata> {
    use rustix::fs::{AtFlags, StatxFlags};
    let stat = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    Ok(Metadata {
        size: stat.stx_size,
        modified_seconds: stat.stx_mtime.tv_sec,
        modified_nanoseconds: stat.stx_mtime.tv_nsec,
        changed_seconds: stat.stx_ctime.tv_sec,
        changed_nanoseconds: stat.stx_ctime.tv_nsec,
        inode: stat.stx_ino,
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        kind: Kind::of(u32::from(stat.stx_mode)),
        mode: u32::from(stat.stx_mode) & 0o7777,
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(file: impl AsFd) -> io::Result<Metadata> {
    let stat = rustix::fs::fstat(file)?;
    let device = stat.st_dev as u64;
    Ok(Metadata {
        size: stat.st_size as u64,
        modified_seconds: stat.st_mtime as i64,
        modified_nanoseconds: stat.st_mtime_nsec as u32,
        changed_seconds: stat.st_ctime as i64,
        changed_nanoseconds: stat.st_ctime_nsec as u32,
        inode: stat.st_ino as u64,
        device: (rustix::fs::major(device as rustix::fs::Dev), rustix::fs::minor(device as rustix::fs::Dev)),
        kind: Kind::of(u32::from(stat.st_mode)),
        mode: u32::from(stat.st_mode) & 0o7777,
    })
}
