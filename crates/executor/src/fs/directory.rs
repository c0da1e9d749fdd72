//! A directory that paths are opened beneath, and never outside of it.
use super::{File, c_path};
use crate::current;
use rustix::fs::{CWD, Mode, OFlags};
use std::{ffi::CStr, io, os::fd::OwnedFd, path::Path};

/// Times a path is tried when the kernel says EAGAIN: a rename raced with the look-up and it cannot tell whether the path
/// left the directory. Each is a whole look-up, so someone who renames in a loop cannot hold the core.
const TRIES: u32 = 16;

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
}

impl Directory {
    /// Opens a directory; one inline system call.
    ///
    /// # Errors
    /// The system's: ENOENT, ENOTDIR, EACCES, …
    pub fn open(path: impl AsRef<Path>) -> io::Result<Directory> {
        let path = c_path(path.as_ref())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Directory { fd: rustix::fs::openat(CWD, &path, flags, Mode::empty())? })
    }

    /// Opens `path` beneath this directory: openat2(2) with RESOLVE_BENEATH, inline, since a look-up in the kernel's cache is
    /// cheaper than handing it to the ring. `flags` are open(2)'s, O_CLOEXEC is added; give O_NONBLOCK unless you know
    /// that the path names no FIFO. Created files get mode 0o666 less the umask.
    ///
    /// # Errors
    /// EXDEV for `..`, absolute paths and symbolic links that lead out; ENOENT, EACCES, ELOOP, ENAMETOOLONG, …; EAGAIN when
    /// renames raced with it 16 times in a row. ENOSYS on kernels before 5.6.
    pub fn open_beneath(&self, path: &CStr, flags: i32) -> io::Result<File> {
        let core = current::get()?;
        let fd =
            open_beneath(&self.fd, path, OFlags::from_bits_retain(flags.cast_unsigned()) | OFlags::CLOEXEC)?;
        let handle = core.adopt(fd);
        Ok(File::new(core, handle))
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(directory: &OwnedFd, path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    use rustix::{fs::ResolveFlags, io::Errno};
    // openat2 is strict: it refuses a mode unless a file may be created.
    let creates = flags.intersects(OFlags::CREATE | OFlags::TMPFILE);
    let mode = if creates { Mode::from_raw_mode(0o666) } else { Mode::empty() };
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(
            directory,
            path,
            flags,
            mode,
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        ) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            result => return Ok(result?),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(_: &OwnedFd, _: &CStr, _: OFlags) -> io::Result<OwnedFd> {
    let _ = TRIES;
    Err(io::Error::new(io::ErrorKind::Unsupported, "opening beneath a directory needs Linux's openat2(2)"))
}
