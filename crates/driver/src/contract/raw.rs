//! What the cases cannot do through a library: signals to one thread, and descriptors that are only numbers.
use std::{
    os::fd::{BorrowedFd, RawFd},
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
