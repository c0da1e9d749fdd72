//! Opening a FIFO: open(2) waits for the other end, which may never come. Nothing that others need waits with it.
//!
//! ```text
//!  to read    O_NONBLOCK opens it at once, and lets writers in as open(2) does while it waits. Then a thread of the pool for what waits watches
//!             for a writer: one that is there, that has written, or that has come and gone.
//!  to write   ENXIO: no reader yet. Only open(2) itself lets readers in: it runs on a worker of the ring's, of which there is one more for each of
//!             these, or on a thread of that pool.
//! ```
use super::Open;
#[cfg(target_os = "linux")]
use crate::{op::ready::poll::bits_now, poll::pool::Work};
use rustix::{
    fs::{AtFlags, CWD, FileType, OFlags},
    io::{Errno, Result},
};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Longest time between two looks at whether a writer is there that says nothing, or whether the open is still wanted.
#[cfg(target_os = "linux")]
const LOOK_MS: i64 = 20;

/// Where an open on a thread leaves its descriptor. Whoever drops the last clone closes what nobody took (INV-7).
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    file: Mutex<Option<OwnedFd>>,
    given_up: AtomicBool,
}

impl Opened {
    /// Leaves a descriptor.
    pub(crate) fn put(&self, file: OwnedFd) {
        *self.shared.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    /// Takes the descriptor out.
    pub(crate) fn take(&self) -> Option<OwnedFd> {
        self.shared.file.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Nobody wants it any more: who waits for a writer ends.
    pub(crate) fn give_up(&self) {
        self.shared.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub(crate) fn is_given_up(&self) -> bool {
        self.shared.given_up.load(Ordering::Relaxed)
    }
}

/// Flags of an open that waits, should there be a FIFO at its path.
pub(crate) fn may_wait(flags: i32) -> bool {
    const NEVER: i32 = libc::O_NONBLOCK | libc::O_DIRECTORY | NO_FILE;
    #[cfg(target_os = "linux")]
    const NO_FILE: i32 = libc::O_PATH;
    #[cfg(not(target_os = "linux"))]
    const NO_FILE: i32 = 0;
    flags & NEVER == 0 && flags & libc::O_ACCMODE != libc::O_RDWR
}

/// Of those: whether it is opened to be read.
pub(crate) fn reads(flags: i32) -> bool {
    flags & libc::O_ACCMODE == libc::O_RDONLY
}

/// Whether there is one at an open's path. May wait for a disk.
pub(crate) fn leads_to_fifo(directory: Option<BorrowedFd<'_>>, open: &std::ffi::CStr, flags: i32) -> bool {
    let links = if flags & libc::O_NOFOLLOW == 0 { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    rustix::fs::statat(directory.unwrap_or(CWD), open, links)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode as _) == FileType::Fifo)
}

/// Takes back an O_NONBLOCK that was ours: `flags` are the caller's.
pub(crate) fn let_wait(file: BorrowedFd<'_>, flags: i32) {
    // What else F_SETFL sets is what the file was opened with. It cannot fail for an open file.
    let _ = rustix::fs::fcntl_setfl(file, OFlags::from_bits_retain(flags as _));
}

/// Whether a FIFO that was opened to be read, with O_NONBLOCK, has a writer, or has had one since.
#[cfg(target_os = "linux")]
pub(crate) fn has_writer(file: BorrowedFd<'_>) -> Result<bool> {
    use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
    // Bytes, or the end that one left: without one since the open there is none (pipe_poll in Linux's pipe.c).
    if !bits_now(file, rustix::event::PollFlags::IN)?.is_empty() {
        return Ok(true);
    }
    // Of an empty pipe tee(2) moves nothing where nobody writes, and would have to wait where somebody may.
    let (_read, write) = match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
        Ok(pipe) => pipe,
        Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => return Ok(false), // The next look may have more luck.
        Err(errno) => return Err(errno),
    };
    match rustix::io::retry_on_intr(|| tee(file, &write, 1, SpliceFlags::NONBLOCK)) {
        Ok(bytes) => Ok(bytes > 0),
        Err(Errno::AGAIN) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// Whether a FIFO that was opened to be read, with an O_NONBLOCK of ours, has to wait for a writer; else that is taken back. And what the file is, if that
/// is known.
#[cfg(target_os = "linux")]
pub(crate) fn waits(file: BorrowedFd<'_>, flags: i32) -> (bool, Option<FileType>) {
    let kind = super::poll::kind(file).ok();
    let waits = kind == Some(FileType::Fifo) && has_writer(file) == Ok(false);
    if !waits {
        let_wait(file, flags);
    }
    (waits, kind)
}

/// Elsewhere none is opened so.
#[cfg(not(target_os = "linux"))]
pub(crate) fn waits(_file: BorrowedFd<'_>, _flags: i32) -> (bool, Option<FileType>) {
    (false, None)
}

/// Waits for a writer of a FIFO that was opened to be read, and leaves it in `opened`.
#[cfg(target_os = "linux")]
pub(crate) fn watch(file: OwnedFd, flags: i32, opened: Opened) -> Work {
    Box::new(move || match wait_for_writer(file.as_fd(), &opened) {
        Ok(()) => {
            let_wait(file.as_fd(), flags);
            opened.put(file);
            0
        }
        Err(errno) => -errno.raw_os_error(),
    })
}

#[cfg(target_os = "linux")]
fn wait_for_writer(file: BorrowedFd<'_>, opened: &Opened) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut pause_ms = 1;
    loop {
        if opened.is_given_up() {
            return Err(Errno::CANCELED);
        }
        if has_writer(file)? {
            return Ok(());
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: pause_ms * 1_000_000 };
        match poll(&mut [PollFd::from_borrowed_fd(file, PollFlags::IN)], Some(&pause)) {
            Ok(_) | Err(Errno::INTR) => pause_ms = (pause_ms * 2).min(LOOK_MS),
            Err(errno) => return Err(errno),
        }
    }
}

impl Open {
    /// Open(2)'s flags without its waiting.
    pub(crate) fn flags_at_once(&self) -> i32 {
        if may_wait(self.flags) { self.flags | libc::O_NONBLOCK } else { self.flags }
    }
}
