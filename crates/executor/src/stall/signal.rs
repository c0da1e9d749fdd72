//! The stack of another thread: SIGURG makes it walk its own and leave the addresses here; the watchdog finds the names.
//!
//! SIGURG is what Go's runtime uses for the same: its default is to be ignored, so it hurts nobody who gets it by mistake. A program that has a
//! handler of its own keeps it, and there is no stack then. The walk allocates nothing and takes no lock of ours; the
//! unwinder asks the loader for tables (`_dl_find_object` takes no lock; before glibc 2.35 it is a lock that this thread may take twice).
use std::{
    fmt,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Frames that are kept.
const FRAMES: usize = 64;
/// A thread that does not answer in this time is stuck in the kernel, or has not got a CPU for as long.
const PATIENCE: Duration = Duration::from_millis(100);

const NOTHING: u32 = 0;
const ASKED: u32 = 1;
const WALKING: u32 = 2;
const WALKED: u32 = 3;

/// The one walk at a time, asked for by the one watchdog.
static STATE: AtomicU32 = AtomicU32::new(NOTHING);
static COUNT: AtomicUsize = AtomicUsize::new(0);
static ADDRESSES: [AtomicUsize; FRAMES] = [const { AtomicUsize::new(0) }; FRAMES];
/// Whether the handler is ours.
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// One place on a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Of the instruction.
    pub address: usize,
    /// The function's name, demangled, where the binary has it.
    pub function: Option<String>,
    /// The source file and line, where the binary says.
    pub place: Option<(PathBuf, u32)>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => f.write_str(function)?,
            None => write!(f, "{:#x}", self.address)?,
        }
        match &self.place {
            Some((file, line)) => write!(f, " ({}:{line})", file.display()),
            None => Ok(()),
        }
    }
}

/// A thread that can be asked for its stack, while it lives.
pub(super) struct Thread(libc::pthread_t);

impl Thread {
    pub(super) fn current() -> Thread {
        // SAFETY: `pthread_self` has no precondition.
        Thread(unsafe { libc::pthread_self() })
    }

    /// The addresses of what it is doing, innermost first. Call it while the thread certainly lives, and from one thread only: both hold under the watchdog's lock.
    pub(super) fn stack(&self) -> Vec<usize> {
        if INSTALLED.get() != Some(&true) {
            return Vec::new();
        }
        STATE.store(ASKED, Ordering::Release);
        // SAFETY: `pthread_kill` needs a thread that has not ended: a watched one first takes the lock that our caller holds (`Watch::drop`).
        // Checked: tests/stall.rs, which ends threads under watch.
        if unsafe { libc::pthread_kill(self.0, libc::SIGURG) } != 0 {
            STATE.store(NOTHING, Ordering::Release);
            return Vec::new();
        }
        let end = Instant::now() + PATIENCE;
        while STATE.load(Ordering::Acquire) != WALKED {
            if Instant::now() > end
                && STATE.compare_exchange(ASKED, NOTHING, Ordering::AcqRel, Ordering::Acquire).is_ok()
            {
                return Vec::new();
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        let count = COUNT.load(Ordering::Relaxed).min(FRAMES);
        let addresses = ADDRESSES[..count].iter().map(|address| address.load(Ordering::Relaxed)).collect();
        STATE.store(NOTHING, Ordering::Release);
        addresses
    }
}

/// Takes SIGURG, once, unless somebody has it.
pub(super) fn install() {
    INSTALLED.get_or_init(|| {
        // The first walk of a process sets up the unwinder: not in a handler.
        backtrace::trace(|_| false);
        // SAFETY: an all-zero sigaction is a valid one: the default action, no flags.
        let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
        let mut before = ours;
        // SAFETY: `sigaction` without a new action only asks.
        if unsafe { libc::sigaction(libc::SIGURG, std::ptr::null(), &mut before) } != 0
            || (before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN)
        {
            return false;
        }
        ours.sa_sigaction = walk as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // An interrupted system call goes on; a thread with a small stack and an alternative one uses that.
        ours.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        // SAFETY: needs a handler that is safe at any moment. Holds: `walk` touches atomics, and walks the stack without memory of its own.
        // Checked: tests/stall.rs.
        unsafe { libc::sigaction(libc::SIGURG, &ours, std::ptr::null_mut()) == 0 }
    });
}

extern "C" fn walk(_: libc::c_int) {
    if STATE.compare_exchange(ASKED, WALKING, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return;
    }
    let errno = errno::get();
    let mut count = 0;
    let each = |frame: &backtrace::Frame| {
        ADDRESSES[count].store(frame.ip() as usize, Ordering::Relaxed);
        count += 1;
        count < FRAMES
    };
    // SAFETY: `trace_unsynchronized` needs that no other thread uses the crate's state for symbols: walking uses none.
    unsafe { backtrace::trace_unsynchronized(each) };
    COUNT.store(count, Ordering::Relaxed);
    errno::set(errno);
    STATE.store(WALKED, Ordering::Release);
}

/// What the interrupted code may be about to read.
mod errno {
    #[cfg(target_os = "linux")]
    use libc::__errno_location as place;
    #[cfg(target_vendor = "apple")]
    use libc::__error as place;

    pub(super) fn get() -> i32 {
        // SAFETY: has no precondition.
        let place = unsafe { place() };
        // SAFETY: it points at this thread's own errno.
        unsafe { *place }
    }

    pub(super) fn set(value: i32) {
        // SAFETY: has no precondition.
        let place = unsafe { place() };
        // SAFETY: as above.
        unsafe { *place = value }
    }
}

/// Finds names, and leaves out the handler and the kernel's trampoline above what was interrupted.
pub(super) fn named(addresses: &[usize]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for address in addresses {
        let mut found = false;
        backtrace::resolve(*address as *mut std::ffi::c_void, |symbol| {
            found = true;
            frames.push(Frame {
                address: *address,
                function: symbol.name().map(|name| format!("{name:#}")),
                place: symbol.filename().map(ToOwned::to_owned).zip(symbol.lineno()),
            });
        });
        if !found {
            frames.push(Frame { address: *address, function: None, place: None });
        }
    }
    let is_ours = |frame: &Frame| {
        frame
            .function
            .as_deref()
            .is_some_and(|name| name.contains("stall::signal::walk") || name.contains("restore_rt"))
    };
    match frames.iter().rposition(is_ours) {
        Some(last) => frames.split_off(last + 1),
        None => frames,
    }
}
