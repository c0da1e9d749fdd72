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
    pub(super) const DIO_MEM_ALIGN: usize = 152;
    pub(super) const DIO_OFFSET_ALIGN: usize = 156;
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
    ask(file, c"", rustix::fs::AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::empty())
}

#[cfg(target_os = "linux")]
fn of_path(path: &CStr, follow: bool) -> rustix::io::Result<[u8; STATX]> {
    use rustix::fs::AtFlags;
    let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    ask(rustix::fs::CWD, path, flags, rustix::fs::StatxFlags::empty())
}

/// Metadata of the file at a path, in the form of [`super::Stat`]'s answer; of a symbolic link itself unless `follow`. One system call on
/// this thread, which waits for a disk when the kernel has not cached the file's inode.
///
/// # Errors
/// The errno of statx(2).
pub fn stat_path(path: &CStr, follow: bool) -> Result<[u8; STATX], Errno> {
    Ok(of_path(path, follow)?)
}

/// Metadata of an open file, as [`stat_path`]. With `alignment` also what direct I/O asks of memory and positions, where the kernel (6.1)
/// and the file system know it: the mask says so.
///
/// # Errors
/// The errno of statx(2).
pub fn stat_file(file: BorrowedFd<'_>, alignment: bool) -> Result<[u8; STATX], Errno> {
    #[cfg(target_os = "linux")]
    if alignment {
        return Ok(ask(file, c"", rustix::fs::AtFlags::EMPTY_PATH, rustix::fs::StatxFlags::DIOALIGN)?);
    }
    let _only_linux_has_it = alignment;
    Ok(of(file)?)
}

/// How many [`numbers`] there are.
pub const NUMBERS: usize = 14;

/// A `struct statx` as numbers: device, mode, links, user, group, device of a special file, block size, inode, bytes, blocks of 512 bytes;
/// then milliseconds since 1970: access, modification, change, birth. Of 64 bits a double keeps 53.
#[must_use]
pub fn numbers(stat: &[u8; STATX]) -> [f64; NUMBERS] {
    let u32_at = |at: usize| u32::from_ne_bytes(std::array::from_fn(|index| stat[at + index]));
    let u64_at = |at: usize| u64::from_ne_bytes(std::array::from_fn(|index| stat[at + index]));
    let number = |at| f64::from(u32_at(at));
    let wide = |at| u64_at(at) as f64;
    let device = |at| rustix::fs::makedev(u32_at(at) as _, u32_at(at + 4) as _) as f64;
    let ms = |at| u64_at(at) as i64 as f64 * 1e3 + number(at + 8) / 1e6;
    [
        device(offset::DEV),
        f64::from(u32_at(offset::MODE) & 0xffff), // The upper half is the reserve of struct statx.
        number(offset::NLINK),
        number(offset::UID),
        number(offset::GID),
        device(offset::RDEV),
        number(offset::BLKSIZE),
        wide(offset::INO),
        wide(offset::SIZE),
        wide(offset::BLOCKS),
        ms(offset::ATIME),
        ms(offset::MTIME),
        ms(offset::CTIME),
        ms(offset::BTIME),
    ]
}

#[cfg(target_os = "linux")]
fn ask(
    base: BorrowedFd<'_>,
    path: &CStr,
    flags: rustix::fs::AtFlags,
    more: rustix::fs::StatxFlags,
) -> rustix::io::Result<[u8; STATX]> {
    use rustix::fs::{StatxFlags, statat, statx};
    let stat = match statx(base, path, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME | more) {
        // So rustix says, too, where a sandbox denies it: old ones of containers do.
        Err(rustix::io::Errno::NOSYS) => return Ok(from_stat(&statat(base, path, flags)?)),
        stat => stat?,
    };
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
    bytes.put_u32(offset::DIO_MEM_ALIGN, stat.stx_dio_mem_align);
    bytes.put_u32(offset::DIO_OFFSET_ALIGN, stat.stx_dio_offset_align);
    Ok(bytes.0)
}

/// fstat(2) of an open file, in statx's form.
#[cfg(not(target_os = "linux"))]
pub(crate) fn of(file: BorrowedFd<'_>) -> rustix::io::Result<[u8; STATX]> {
    Ok(from_stat(&rustix::fs::fstat(file)?))
}

#[cfg(not(target_os = "linux"))]
fn of_path(path: &CStr, follow: bool) -> rustix::io::Result<[u8; STATX]> {
    Ok(from_stat(&if follow { rustix::fs::stat(path)? } else { rustix::fs::lstat(path)? }))
}

/// A `struct stat` in statx's form: without attributes, and with the time of change for that of birth, which its mask says, as libuv has it on Linux.
#[cfg_attr(
    target_os = "linux",
    expect(clippy::unnecessary_cast, reason = "the types differ between systems")
)]
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
    for place in [offset::CTIME, offset::BTIME] {
        bytes.put_time(place, stat.st_ctime as i64, stat.st_ctime_nsec as u32);
    }
    bytes.put_time(offset::MTIME, stat.st_mtime as i64, stat.st_mtime_nsec as u32);
    let device = |device: u64| (rustix::fs::major(device as _) as u32, rustix::fs::minor(device as _) as u32);
    let (major, minor) = device(stat.st_rdev as u64);
    bytes.put_device(offset::RDEV, major, minor);
    let (major, minor) = device(stat.st_dev as u64);
    bytes.put_device(offset::DEV, major, minor);
    bytes.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn stat_says_what_statx_says() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let mut wanted = numbers(&stat_file(std::os::fd::AsFd::as_fd(&file), false).unwrap());
        wanted[13] = wanted[12]; // It knows no time of birth.
        assert_eq!(numbers(&from_stat(&rustix::fs::fstat(&file).unwrap())), wanted);
    }

    #[test]
    fn numbers_are_those_of_the_structure() {
        let mut bytes = Bytes([0; STATX]);
        bytes.put_u32(offset::MODE, 0xffff_0000 | 0o100_644);
        bytes.put_u64(offset::SIZE, (1 << 53) - 1);
        bytes.put_device(offset::DEV, 0x1234, 0x56789);
        bytes.put_time(offset::ATIME, -2, 500_000_000);
        bytes.put_time(offset::BTIME, 1_700_000_000, 123_500_000);
        let numbers = numbers(&bytes.0);
        assert_eq!(numbers[0], rustix::fs::makedev(0x1234, 0x56789) as f64);
        assert_eq!((numbers[1], numbers[8]), (f64::from(0o100_644), 9_007_199_254_740_991.0));
        assert_eq!((numbers[10], numbers[13]), (-1500.0, 1_700_000_000_123.5));
    }
}
