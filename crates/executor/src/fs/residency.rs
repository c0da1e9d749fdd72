//! Is it in the page cache? cachestat(2) knows, but tells only those who own the file or may write it; then samples are read
//! with RWF_NOWAIT, which tells everybody.
#[cfg(target_os = "linux")]
use rustix::io::{Errno, ReadWriteFlags};
#[cfg(target_os = "linux")]
use std::{
    io::IoSliceMut,
    os::fd::{AsFd, AsRawFd},
};

/// Pages looked at when only samples are to be had, first and last among them: 8 system calls of 0.3 µs.
#[cfg(target_os = "linux")]
const SAMPLES: u64 = 8;

/// Bytes of one announcement: the kernel reads no more of it than the disk takes in one request, or than it reads ahead.
#[cfg(target_os = "linux")]
const ANNOUNCED: u64 = 512 << 10;

/// cachestat(2)'s number; the same on every architecture, as for all system calls since 5.x.
#[cfg(target_os = "linux")]
const CACHESTAT: libc::c_long = 451;

#[cfg(target_os = "linux")]
#[repr(C)]
struct Range {
    offset: u64,
    length: u64,
}

#[cfg(target_os = "linux")]
#[repr(C)]
#[derive(Default)]
struct Counts {
    cached: u64,
    _dirty: u64,
    _writeback: u64,
    _evicted: u64,
    _recently_evicted: u64,
}

/// Whether all of the range is cached; false when it cannot be told. An empty range is.
#[cfg(target_os = "linux")]
pub(super) fn is_resident(file: impl AsFd, offset: u64, length: u64) -> bool {
    if length == 0 {
        return true;
    }
    let Some(last) = offset.checked_add(length - 1) else { return false };
    let page = rustix::param::page_size() as u64;
    match cached_pages(&file, offset, length) {
        Ok(cached) => cached > last / page - offset / page,
        Err(_) => late(&file, offset, length).is_none(),
    }
}

/// A byte of the range that would have to be waited for: the last of the samples of which that is so.
#[cfg(target_os = "linux")]
pub(super) fn late(file: impl AsFd, offset: u64, length: u64) -> Option<u64> {
    let last = offset.checked_add(length.checked_sub(1)?)?;
    // In this order of operations it cannot overflow for ranges below 2 EiB, which no file has.
    let sample = |index| offset + (length - 1) / (SAMPLES - 1) * index;
    std::iter::once(last).chain((0..SAMPLES).rev().map(sample)).find(|at| !is_byte_resident(&file, *at))
}

/// Has the system begin to read the range, as far as it goes in one go: what a read would begin, so it waits no longer than that.
/// False when it does not take it.
#[cfg(target_os = "linux")]
pub(super) fn announce(file: impl AsFd, offset: u64, length: u64) -> bool {
    let mut at = offset;
    let mut left = length;
    while let Some(piece) = std::num::NonZeroU64::new(left.min(ANNOUNCED)) {
        if rustix::fs::fadvise(&file, at, Some(piece), rustix::fs::Advice::WillNeed).is_err() {
            return false;
        }
        at = at.saturating_add(piece.get());
        left -= piece.get();
    }
    true
}

/// EPERM for other people's files, ENOSYS before Linux 6.5, EOPNOTSUPP for hugetlbfs.
#[cfg(target_os = "linux")]
fn cached_pages(file: &impl AsFd, offset: u64, length: u64) -> Result<u64, Errno> {
    let range = Range { offset, length };
    let mut counts = Counts::default();
    // SAFETY: needs the two structs in the kernel's layout (five and two u64, include/uapi/linux/mman.h) and valid for the
    // call. Holds: they are on this stack, and the call keeps neither. Checked: `cachestat_counts_pages` below.
    let result = unsafe {
        libc::syscall(CACHESTAT, file.as_fd().as_raw_fd(), &raw const range, &raw mut counts, 0_u32)
    };
    if result == 0 {
        Ok(counts.cached)
    } else {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }
}

/// EAGAIN says that it would have to be read; any other error that nobody can say, and no byte that the file ends before it.
#[cfg(target_os = "linux")]
fn is_byte_resident(file: &impl AsFd, offset: u64) -> bool {
    let mut byte = [0];
    rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) == Ok(1)
}

/// Nobody tells here.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_resident(_: impl std::os::fd::AsFd, _: u64, length: u64) -> bool {
    length == 0
}

/// Nobody listens here.
#[cfg(not(target_os = "linux"))]
pub(super) fn announce(_: impl std::os::fd::AsFd, _: u64, _: u64) -> bool {
    false
}

/// Nobody tells here.
#[cfg(not(target_os = "linux"))]
pub(super) fn late(_: impl std::os::fd::AsFd, _: u64, _: u64) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Write;

    #[expect(clippy::unwrap_used, reason = "a test's fixture; the exemption covers only its test functions")]
    fn file(pages: usize) -> std::fs::File {
        let path = std::env::temp_dir().join(format!("ringwheel-residency-{}-{pages}", std::process::id()));
        let mut file =
            std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all(&vec![7; pages * rustix::param::page_size()]).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    #[test]
    fn cachestat_counts_pages() {
        let file = file(8);
        match cached_pages(&file, 0, 8 * rustix::param::page_size() as u64) {
            Ok(cached) => assert_eq!(cached, 8),
            Err(errno) => {
                use std::io::Write;
                let _ = writeln!(std::io::stderr(), "skip: cachestat_counts_pages: {errno}");
            }
        }
    }

    #[test]
    fn what_was_just_written_is_resident_by_either_way_of_asking() {
        let file = file(9);
        let size = 9 * rustix::param::page_size() as u64;
        assert!(is_resident(&file, 0, size));
        assert!(is_resident(&file, 1, size - 2));
        assert!(is_resident(&file, 0, 0));
        assert!((0..9).all(|page| is_byte_resident(&file, page * rustix::param::page_size() as u64)));
        assert!(!is_resident(&file, u64::MAX, 2));
    }

    #[test]
    fn what_was_dropped_from_the_cache_is_not_resident() {
        let file = file(64);
        let size = 64 * rustix::param::page_size() as u64;
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        if cached_pages(&file, 0, size) == Ok(64) {
            use std::io::Write;
            let _ = writeln!(
                std::io::stderr(),
                "skip: what_was_dropped_from_the_cache_is_not_resident: this file system keeps it"
            );
            return;
        }
        assert!(!is_resident(&file, 0, size));
        let found = late(&file, 0, size);
        assert!(found.is_some_and(|at| at < size), "{found:?}");
        assert!(announce(&file, 0, size));
    }

    #[test]
    fn what_lies_behind_the_end_is_late_and_an_empty_range_is_not() {
        let file = file(2);
        let size = 2 * rustix::param::page_size() as u64;
        assert_eq!(late(&file, 0, size), None);
        assert_eq!(late(&file, 0, size + 1), Some(size));
        assert_eq!(late(&file, 0, 0), None);
        assert_eq!(late(&file, u64::MAX, 2), None);
        assert!(announce(&file, 0, 0));
    }
}
