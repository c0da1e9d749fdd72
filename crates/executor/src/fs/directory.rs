//! A directory that paths are opened beneath, and never outside of it.
use super::{
    File,
    beneath::{LINKS_MAX, walk},
    c_path,
};
use crate::current;
use rustix::fs::{CWD, Mode, OFlags};
use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// Times a path is tried when the kernel says EAGAIN: a rename raced with the look-up and it cannot tell whether the path
/// left the directory. Each is a whole look-up, so someone who renames in a loop cannot hold the core.
const TRIES: u32 = 16;

/// Which symbolic links a path that is opened beneath a directory may go through. The directory's own path is not meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// Those that stay beneath the directory, wherever they are. Default.
    #[default]
    Inside,
    /// None.
    Deny,
    /// All, also those that lead out: whoever can make a link beneath the directory can have every file opened that the process may open.
    Follow,
}

/// An open directory. Dropping it closes it.
///
/// ```
/// use ringwheel_executor::{Executor, Target, fs::Directory};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let here = Directory::open(".")?;
///     let file = here.open_beneath(c"Cargo.toml", libc::O_RDONLY)?;
///     let (read, _target) = file.read_at(Target::Vec(Vec::with_capacity(9)), 0).await;
///     assert_eq!(read?, 9);
///     let out = here.open_beneath(c"../Cargo.toml", libc::O_RDONLY);
///     assert_eq!(out.unwrap_err().raw_os_error(), Some(libc::EXDEV));
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    links: Links,
}

impl Directory {
    /// Opens a directory; one inline system call.
    ///
    /// # Errors
    /// The system's: ENOENT, ENOTDIR, EACCES, …
    pub fn open(path: impl AsRef<Path>) -> io::Result<Directory> {
        let path = c_path(path.as_ref())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Directory { fd: rustix::fs::openat(CWD, &path, flags, Mode::empty())?, links: Links::default() })
    }

    /// The same directory, beneath which links are treated so.
    #[must_use]
    pub fn with_links(self, links: Links) -> Directory {
        Directory { links, ..self }
    }

    /// The same directory once more, for another thread.
    ///
    /// # Errors
    /// The system's: EMFILE.
    pub fn try_clone(&self) -> io::Result<Directory> {
        Ok(Directory { fd: self.fd.try_clone()?, links: self.links })
    }

    /// [`Directory::open_beneath`] without an executor: works on any thread, and the descriptor is the caller's.
    ///
    /// # Errors
    /// Those of [`Directory::open_beneath`].
    pub fn descriptor_beneath(&self, path: &CStr, flags: i32) -> io::Result<OwnedFd> {
        let flags = OFlags::from_bits_retain(flags.cast_unsigned()) | OFlags::CLOEXEC;
        if self.links == Links::Follow && leads_out(path) {
            return Err(rustix::io::Errno::XDEV.into());
        }
        open_beneath(&self.fd, path, flags, self.links)
    }

    /// Opens `path` beneath this directory: openat2(2) with RESOLVE_BENEATH, inline, since a look-up in the kernel's cache is
    /// cheaper than handing it to the ring. `flags` are open(2)'s, O_CLOEXEC is added; give O_NONBLOCK unless you know
    /// that the path names no FIFO. Created files get mode 0o666 less the umask. Where there is no openat2 (other systems, Linux before
    /// 5.6, sandboxes that deny it) the path is walked a component at a time, two system calls each, with the same answers.
    ///
    /// # Errors
    /// EXDEV for `..`, absolute paths and symbolic links that lead out; ELOOP for links where there may be none; ENOENT, EACCES, ENAMETOOLONG, …;
    /// EAGAIN when renames raced with it 16 times in a row.
    pub fn open_beneath(&self, path: &CStr, flags: i32) -> io::Result<File> {
        let core = current::get()?;
        let handle = core.adopt(self.descriptor_beneath(path, flags)?);
        Ok(File::new(core, handle))
    }
}

/// By its own text, where links may lead anywhere.
fn leads_out(path: &CStr) -> bool {
    let path = path.to_bytes();
    path.starts_with(b"/") || path.split(|byte| *byte == b'/').any(|name| name == b"..")
}

#[cfg(target_os = "linux")]
fn open_beneath(directory: &OwnedFd, path: &CStr, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
    use rustix::{fs::ResolveFlags, io::Errno};
    use std::sync::atomic::{AtomicBool, Ordering};
    /// The kernel has said that it has no openat2: it is not asked again.
    static MISSING: AtomicBool = AtomicBool::new(false);

    let mode = mode_of(flags);
    let mut tries = 0;
    while !MISSING.load(Ordering::Relaxed) {
        // What is in /proc/self/fd is no link that anybody made.
        let resolve = ResolveFlags::NO_MAGICLINKS
            | match links {
                Links::Inside => ResolveFlags::BENEATH,
                Links::Deny => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
                Links::Follow => ResolveFlags::empty(),
            };
        match rustix::fs::openat2(directory, path, flags, mode, resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            Err(Errno::NOSYS) => MISSING.store(true, Ordering::Relaxed),
            // A sandbox says so (Docker before 20.10), or the file has a reason that the walk meets too.
            Err(Errno::PERM) => break,
            result => return Ok(result?),
        }
    }
    without_openat2(directory, path, flags, mode, links)
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(directory: &OwnedFd, path: &CStr, flags: OFlags, links: Links) -> io::Result<OwnedFd> {
    let _ = TRIES;
    without_openat2(directory, path, flags, mode_of(flags), links)
}

fn without_openat2(
    directory: &OwnedFd,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    links: Links,
) -> io::Result<OwnedFd> {
    Ok(match links {
        Links::Follow => rustix::fs::openat(directory, path, flags, mode)?,
        Links::Inside => walk(directory.as_fd(), path, flags, mode, LINKS_MAX)?,
        Links::Deny => walk(directory.as_fd(), path, flags, mode, 0)?,
    })
}

/// openat2 is strict: it refuses a mode unless a file may be created.
fn mode_of(flags: OFlags) -> Mode {
    #[cfg(target_os = "linux")]
    let creates = flags.intersects(OFlags::CREATE | OFlags::TMPFILE.difference(OFlags::DIRECTORY));
    #[cfg(not(target_os = "linux"))]
    let creates = flags.intersects(OFlags::CREATE);
    if creates { Mode::from_raw_mode(0o666) } else { Mode::empty() }
}
