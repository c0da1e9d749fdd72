//! Writes at once, from JavaScript's own memory: of arrays that are so long that their copy into the arena costs more than a native call.
//!
//! Both copies, the one into the arena and the one into the page cache, hold a thread as long; so where a write is nothing but that second copy
//! it is made here, and the first is saved. That is true of a regular file on a local disk until the kernel makes writers wait, be it for a disk
//! that is behind or for a journal: then a slice takes long, and the next writes go through the ring, more of them each time that goes on.
use rustix::{
    fs::{AtFlags, OFlags, StatxFlags, fcntl_getfl, statx},
    io::Errno,
};
use std::{
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
};

/// What writes may take of one turn, in nanoseconds; one more slice begins while there is some left.
const BUDGET_NS: u64 = 500_000;
/// Bytes of one system call: long enough for large folios, and half a millisecond.
const SLICE: usize = 2 << 20;
/// A slice that takes longer has waited for something.
const SLOW_NS: u64 = 8_000_000;
/// Writes that go through the ring after the first slow slice; at most, after slow ones in a row.
const DETOURS_FIRST: u32 = 8;
const DETOURS_MAX: u32 = 1024;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// So many bytes are with the kernel, at least one.
    Bytes(u32),
    /// The first slice failed.
    Failed(Errno),
    /// Not a byte: this turn's time is over.
    NextTurn,
    /// Not a byte: this one is a command's work.
    Elsewhere,
    /// Not a byte: of this file all writes are.
    Never,
}

/// Memory that JavaScript has, for the time of one call.
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    start: NonNull<u8>,
    length: usize,
}

impl Bytes {
    /// # Safety
    /// The range must stay readable for as long as the value is used. Its bytes may change meanwhile: nothing but the kernel reads them.
    pub unsafe fn new(start: NonNull<u8>, length: usize) -> Bytes {
        Bytes { start, length }
    }
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Now {
    turn: u64,
    spent_ns: u64,
    detours: u32,
    penalty: u32,
    /// Writes of which at least a slice was made here.
    pub written: u64,
}

impl Now {
    pub fn new() -> Now {
        Now { turn: 0, spent_ns: 0, detours: 0, penalty: DETOURS_FIRST, written: 0 }
    }

    /// Writes as much as the turn has time for, at `position`, or where the file is. `clock` gives nanoseconds.
    pub fn write(
        &mut self,
        turn: u64,
        file: BorrowedFd<'_>,
        bytes: Bytes,
        position: Option<u64>,
        clock: impl Fn() -> u64,
    ) -> Written {
        if turn != self.turn {
            (self.turn, self.spent_ns) = (turn, 0);
        }
        if self.detours > 0 {
            self.detours -= 1;
            return Written::Elsewhere;
        }
        if self.spent_ns >= BUDGET_NS {
            return Written::NextTurn;
        }
        let mut done = 0;
        let mut last = clock();
        let failed = loop {
            let slice = SLICE.min(bytes.length - done);
            let result = write_slice(file, bytes, done, slice, position.map(|start| start + done as u64));
            let now = clock();
            let slow = self.took(now.saturating_sub(last));
            last = now;
            match result {
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(error) => break Some(error),
            }
            let short = result.is_ok_and(|count| count < slice);
            if done == bytes.length || short || slow || self.spent_ns >= BUDGET_NS {
                break None;
            }
        };
        match failed {
            _ if done > 0 => {
                self.written += 1;
                Written::Bytes(done as u32)
            }
            // Not ours to wait for.
            None | Some(Errno::AGAIN) => Written::Elsewhere,
            Some(error) => Written::Failed(error),
        }
    }

    /// A slice has ended. True when it was slow.
    fn took(&mut self, elapsed_ns: u64) -> bool {
        self.spent_ns += elapsed_ns;
        let slow = elapsed_ns > SLOW_NS;
        if slow {
            self.detours = self.penalty;
            self.penalty = (self.penalty * 2).min(DETOURS_MAX);
        } else {
            self.penalty = DETOURS_FIRST;
        }
        slow
    }
}

fn write_slice(
    file: BorrowedFd<'_>,
    bytes: Bytes,
    from: usize,
    length: usize,
    position: Option<u64>,
) -> Result<usize, Errno> {
    let descriptor = file.as_raw_fd();
    let offset = match position.map(libc::off_t::try_from) {
        Some(Err(_)) => return Err(Errno::FBIG),
        Some(Ok(at)) => Some(at),
        None => None,
    };
    // SAFETY: needs the result to be inside the range. Holds: the caller's `from` is below its length. Checked: the tests below.
    let start = unsafe { bytes.start.add(from) }.as_ptr().cast_const().cast();
    let result = match offset {
        // SAFETY: needs `length` readable bytes from there on. Holds: `Bytes::new`'s contract, and `from + length` is within its length; the
        // kernel has them only during the call, so that INV-2 asks for no lease. Checked: __test__/api/write-now.spec.ts.
        Some(at) => unsafe { libc::pwrite(descriptor, start, length, at) },
        // SAFETY: as above.
        None => unsafe { libc::write(descriptor, start, length) },
    };
    usize::try_from(result)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// True of a regular file whose writes end in the page cache. `remote` says of a mount's number whether its file system can hang.
pub(super) fn is_plain(file: BorrowedFd<'_>, remote: impl FnOnce(u64) -> bool) -> bool {
    const WAITS: OFlags = OFlags::DIRECT.union(OFlags::DSYNC).union(OFlags::SYNC);
    if fcntl_getfl(file).is_ok_and(|flags| flags.intersects(WAITS)) {
        return false;
    }
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let Ok(stat) = statx(file, c"", flags, StatxFlags::TYPE | StatxFlags::MNT_ID) else { return false };
    let regular = u32::from(stat.stx_mode) & libc::S_IFMT == libc::S_IFREG;
    regular && stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 && !remote(stat.stx_mnt_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, os::fd::AsFd};

    const MS: u64 = 1_000_000;

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("ringwheel-now-{name}-{}", std::process::id()))
    }

    fn bytes_of(array: &[u8]) -> Bytes {
        // SAFETY: needs the array to live as long as the value. Holds: each test keeps it.
        unsafe { Bytes::new(NonNull::from(array).cast(), array.len()) }
    }

    /// A clock that goes on by so much at each look.
    fn ticking(step: u64) -> impl Fn() -> u64 {
        let now = Cell::new(0);
        move || now.replace(now.get() + step)
    }

    #[test]
    fn a_turn_has_its_budget_and_what_is_left_is_told() {
        let path = scratch("budget");
        let file = std::fs::File::create(&path).unwrap();
        let array: Vec<u8> = (0..4 * SLICE).map(|at| (at % 251) as u8).collect();
        let mut now = Now::new();
        let write = |now: &mut Now, turn, from: usize, step| {
            now.write(turn, file.as_fd(), bytes_of(&array[from..]), Some(from as u64), ticking(step))
        };
        assert_eq!(write(&mut now, 1, 0, BUDGET_NS / 2), Written::Bytes(2 * SLICE as u32));
        assert_eq!(write(&mut now, 1, 2 * SLICE, 1), Written::NextTurn);
        assert_eq!(write(&mut now, 2, 2 * SLICE, 1), Written::Bytes(2 * SLICE as u32));
        assert_eq!(now.written, 2);
        assert!(std::fs::read(&path).unwrap() == array);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn slow_slices_send_ever_more_writes_elsewhere_and_a_quick_one_forgives() {
        let path = scratch("slow");
        let file = std::fs::File::create(&path).unwrap();
        let array = vec![7; SLICE + 1];
        let mut now = Now::new();
        let mut write = |turn, step| now.write(turn, file.as_fd(), bytes_of(&array), Some(0), ticking(step));
        let mut turn = 0;
        for expected in [8, 16, 32, 64, 128, 256, 512, 1024, 1024] {
            turn += 1;
            assert_eq!(write(turn, SLOW_NS + 1), Written::Bytes(SLICE as u32), "a slow slice is the last");
            turn += 1;
            for _ in 0..expected {
                assert_eq!(write(turn, 1), Written::Elsewhere);
            }
        }
        assert_eq!(write(turn, MS / 10), Written::Bytes(SLICE as u32 + 1));
        turn += 1;
        assert_eq!(write(turn, SLOW_NS + 1), Written::Bytes(SLICE as u32));
        for _ in 0..DETOURS_FIRST {
            assert_eq!(write(turn + 1, 1), Written::Elsewhere);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn errors_and_what_comes_before_them_are_told() {
        let array = vec![1; 100];
        let mut now = Now::new();
        let read_only = std::fs::File::open("/proc/self/exe").unwrap();
        assert_eq!(
            now.write(1, read_only.as_fd(), bytes_of(&array), Some(0), ticking(1)),
            Written::Failed(Errno::BADF)
        );
        assert_eq!(
            now.write(1, read_only.as_fd(), bytes_of(&array), Some(u64::MAX), ticking(1)),
            Written::Failed(Errno::FBIG)
        );
        let path = scratch("position");
        let file = std::fs::File::create(&path).unwrap();
        for _ in 0..2 {
            assert_eq!(now.write(1, file.as_fd(), bytes_of(&array), None, ticking(1)), Written::Bytes(100));
        }
        assert_eq!(
            std::fs::metadata(&path).unwrap().len(),
            200,
            "without a position it goes on where it was"
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn only_regular_files_of_local_disks_are_plain() {
        let path = scratch("plain");
        let file = std::fs::File::create(&path).unwrap();
        assert!(is_plain(file.as_fd(), |_| false));
        assert!(!is_plain(file.as_fd(), |_| true));
        assert!(!is_plain(std::fs::File::open("/dev/null").unwrap().as_fd(), |_| false));
        assert!(!is_plain(std::fs::File::open("/proc").unwrap().as_fd(), |_| false));
        let (_read, write) = std::io::pipe().unwrap();
        assert!(!is_plain(write.as_fd(), |_| false));
        use std::os::unix::fs::OpenOptionsExt;
        let synced = std::fs::OpenOptions::new().write(true).custom_flags(libc::O_DSYNC).open(&path).unwrap();
        assert!(!is_plain(synced.as_fd(), |_| false));
        std::fs::remove_file(path).unwrap();
    }
}
