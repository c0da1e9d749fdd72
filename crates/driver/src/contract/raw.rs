//! What the cases cannot do through a library: signals, limits and memory of the process, and descriptors that are only numbers.
use rustix::{
    mm::{MapFlags, ProtFlags, mmap, munmap},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use std::{
    ffi::c_void,
    os::fd::{BorrowedFd, RawFd},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// A descriptor that lives as long as `owner`.
pub(super) fn borrow<T>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: `borrow_raw` needs an open descriptor. Holds: the cases pass a driver and its host's descriptor, which lives
    // as long as the driver, and the result borrows that.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Whether the number names an open descriptor.
pub(super) fn is_open(fd: RawFd) -> bool {
    // SAFETY: fcntl(F_GETFD) takes any number; one that is not open is EBADF.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Storms the calling thread with a signal whose handler does not restart system calls, while `work` runs.
pub(super) fn under_signals(work: impl FnOnce()) {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: an all-zero sigaction is a valid one (no flags, an empty mask).
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: `sigaction` needs a valid action; its handler does nothing, which is safe at any moment.
    let installed = unsafe { libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()) };
    assert_eq!(installed, 0);
    // SAFETY: `pthread_self` has no precondition.
    let thread = unsafe { libc::pthread_self() };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                // SAFETY: `pthread_kill` needs a live thread: it is the one that joins this scope.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
    });
}

/// Two pages of address space over a file of one: the second is there for nobody.
pub(super) struct TornPages(*mut c_void);

impl TornPages {
    fn length() -> usize {
        2 * rustix::param::page_size()
    }

    /// Maps a file of one page.
    pub(super) fn new(path: &Path) -> TornPages {
        let file = std::fs::File::open(path).expect("the file to map");
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: `mmap` with a null hint needs nothing: the kernel picks a free range, and no reference into it is made.
        let start = unsafe { mmap(std::ptr::null_mut(), Self::length(), protection, flags, &file, 0) };
        TornPages(start.expect("map two pages"))
    }

    /// Where they are in the process, and so in /proc/self/mem.
    pub(super) fn address(&self) -> u64 {
        self.0 as u64
    }
}

impl Drop for TornPages {
    fn drop(&mut self) {
        // SAFETY: `munmap` needs that nobody uses the range any more: it was reached through /proc/self/mem only, and what
        // reads that after the end gets an errno.
        let _ = unsafe { munmap(self.0, Self::length()) };
    }
}

/// A limit of file sizes for the whole process, until it is dropped.
pub(super) struct FileSizeLimit(Rlimit);

impl FileSizeLimit {
    pub(super) fn set(bytes: u64) -> FileSizeLimit {
        // SAFETY: `signal` with SIG_IGN installs no code; the default action of SIGXFSZ would end the process.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let before = getrlimit(Resource::Fsize);
        let limit = Rlimit { current: Some(bytes), maximum: before.maximum };
        setrlimit(Resource::Fsize, limit).expect("lower a soft limit");
        FileSizeLimit(before)
    }
}

impl Drop for FileSizeLimit {
    fn drop(&mut self) {
        setrlimit(Resource::Fsize, self.0).expect("raise a soft limit to what it was");
    }
}
