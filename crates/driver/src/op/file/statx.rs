//! Metadata as the 256 bytes of Linux's `struct statx`, on every system: what [`super::Stat`] leaves in its target.
use crate::{error::Errno, limits::STATX};
use std::{ffi::CStr, os::fd::BorrowedFd};

/// Byte offsets in `struct statx` (linux/stat.h; the layout is the kernel's promise to user space).
mod offset {
    pub(super) const MASK: usize = 0;
    pub(super) const BLKSIZE: usize = 4;
    pub(super) const ATTRIBUTES: usize = 8;
    pub(super) const NLINK: usize = 16;
    pub(super) const UID: usize = 20;
    pub(super) const GID: usize = 24;
    pub(super) const MODE: usize = 28;
    pub(super) const INO: usize = 32;
    pub(super) const SIZE: usize = 40;
    pub(super) const BLOCKS: usize = 48;
    pub(super) const ATTRIBUTES_MASK: usize = 56;
    pub(super) const ATIME: usize = 64;
    pub(super) const BTIME: usize = 80;
    pub(super) const CTIME: usize = 96;
    pub(super) const MTIME: usize = 112;
    pub(super) const RDEV: usize = 128;
    pub(super) const DEV: usize = 136;
    pub(super) const MNT_ID: usize = 144;
}

/// `struct statx` under construction.
struct Bytes([u8; STATX]);

impl Bytes {
    fn put<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) {
        self.0[offset..offset + N].copy_from_slice(&bytes);
    }
    fn put_u32(&mut self, offset: usize, value: u32) {
        self.put(offset, value.to_ne_bytes());
    }
    fn put_u64(&mut self, offset: usize, value: u64) {
        self.put(offset, value.to_ne_bytes());
    }
    fn put_time(&mut self, offset: usize, seconds: i64, nanoseconds: u32) {
        self.put(offset, seconds.to_ne_bytes());
        self.put_u32(offset + 8, nanoseconds);
    }
    fn put_device(&mut self, offset: usize, major: u32, minor: u32) {
        self.put_u32(offset, major);
        self.put_u32(offset + 4, minor);
    }
}

/// statx(2) of an open file. Costs one system call; it can wait for a network file system.
#[cfg(target_os = "linux")]
pub(crate) fn of(file: BorrowedFd<'_>) -> rustix::io::Result<[u8; STATX]> {
    ask(file, c"", rustix::fs::AtFlags::EMPTY_PATH)
}

#[cfg(target_os = "linux")]
fn of_path(path: &CStr, follow: bool) -> rustix::io::Result<[u8; STATX]> {
    use rustix::fs::AtFlags;
    ask(rustix::fs::CWD, path, if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW })
}

/// Metadata of the file at a path, in the form of [`super::Stat`]'s answer; of a symbolic link itself unless `follow`. One system call on
/// this thread, which waits for a disk when the kernel has not cached the file's inode.
///
/// # Errors
/// The errno of statx(2).
pub fn stat_path(path: &CStr, follow: bool) -> Result<[u8; STATX], Errno> {
    Ok(of_path(path, follow)?)
}

/// Metadata of an open file, as [`stat_path`].
///
/// # Errors
/// The errno of statx(2).
pub fn stat_file(file: BorrowedFd<'_>) -> Result<[u8; STATX], Errno> {
    Ok(of(file)?)
}

#[cfg(target_os = "linux")]
fn ask(base: BorrowedFd<'_>, path: &CStr, flags: rustix::fs::AtFlags) -> rustix::io::Result<[u8; STATX]> {
    use rustix::fs::{StatxFlags, statx};
    let stat = statx(base, path, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    let mut bytes = Bytes([0; STATX]);
    bytes.put_u32(offset::MASK, stat.stx_mask);
    bytes.put_u32(offset::BLKSIZE, stat.stx_blksize);
    bytes.put_u64(offset::ATTRIBUTES, stat.stx_attributes.bits());
    bytes.put_u32(offset::NLINK, stat.stx_nlink);
    bytes.put_u32(offset::UID, stat.stx_uid);
    bytes.put_u32(offset::GID, stat.stx_gid);
    bytes.put(offset::MODE, stat.stx_mode.to_ne_bytes());
    bytes.put_u64(offset::INO, stat.stx_ino);
    bytes.put_u64(offset::SIZE, stat.stx_size);
    bytes.put_u64(offset::BLOCKS, stat.stx_blocks);
    bytes.put_u64(offset::ATTRIBUTES_MASK, stat.stx_attributes_mask.bits());
    for (place, time) in [
        (offset::ATIME, stat.stx_atime),
        (offset::BTIME, stat.stx_btime),
        (offset::CTIME, stat.stx_ctime),
        (offset::MTIME, stat.stx_mtime),
    ] {
        bytes.put_time(place, time.tv_sec, time.tv_nsec);
    }
    bytes.put_device(offset::RDEV, stat.stx_rdev_major, stat.stx_rdev_minor);
    bytes.put_device(offset::DEV, stat.stx_dev_major, stat.stx_dev_minor);
    bytes.put_u64(offset::MNT_ID, stat.stx_mnt_id);
    Ok(bytes.0)
}

/// fstat(2) of an open file, in statx's form: without a birth time and attributes, which its mask says.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of(file: BorrowedFd<'_>) -> rustix::io::Result<[u8; STATX]> {
    Ok(from_stat(&rustix::fs::fstat(file)?))
}

#[cfg(not(target_os = "linux"))]
fn of_path(path: &CStr, follow: bool) -> rustix::io::Result<[u8; STATX]> {
    Ok(from_stat(&if follow { rustix::fs::stat(path)? } else { rustix::fs::lstat(path)? }))
}

#[cfg(not(target_os = "linux"))]
fn from_stat(stat: &rustix::fs::Stat) -> [u8; STATX] {
    /// STATX_BASIC_STATS of linux/stat.h.
    const BASIC_STATS: u32 = 0x7ff;
    let mut bytes = Bytes([0; STATX]);
    bytes.put_u32(offset::MASK, BASIC_STATS);
    bytes.put_u32(offset::BLKSIZE, stat.st_blksize as u32);
    bytes.put_u32(offset::NLINK, stat.st_nlink as u32);
    bytes.put_u32(offset::UID, stat.st_uid as u32);
    bytes.put_u32(offset::GID, stat.st_gid as u32);
    bytes.put(offset::MODE, (stat.st_mode as u16).to_ne_bytes());
    bytes.put_u64(offset::INO, stat.st_ino as u64);
    bytes.put_u64(offset::SIZE, stat.st_size as u64);
    bytes.put_u64(offset::BLOCKS, stat.st_blocks as u64);
    bytes.put_time(offset::ATIME, stat.st_atime as i64, stat.st_atime_nsec as u32);
    bytes.put_time(offset::CTIME, stat.st_ctime as i64, stat.st_ctime_nsec as u32);
    bytes.put_time(offset::MTIME, stat.st_mtime as i64, stat.st_mtime_nsec as u32);
    let device = |device: u64| (rustix::fs::major(device as _) as u32, rustix::fs::minor(device as _) as u32);
    let (major, minor) = device(stat.st_rdev as u64);
    bytes.put_device(offset::RDEV, major, minor);
    let (major, minor) = device(stat.st_dev as u64);
    bytes.put_device(offset::DEV, major, minor);
    bytes.0
}
