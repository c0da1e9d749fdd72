//! Errors of the kernel edge: errno as a type, the tables (operation, errno) → meaning, and why a driver did not start.
use std::fmt;

/// An errno, positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl Errno {
    /// The errno of a system call's error.
    pub(crate) fn of(error: &std::io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error()))
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Errno {
        Errno(errno.raw_os_error())
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> std::io::Error {
        std::io::Error::from_raw_os_error(errno.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {})", self.0, std::io::Error::from(*self))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::io::Error::from(*self))
    }
}

impl std::error::Error for Errno {}

/// Why [`crate::Driver::start`] failed. Each has the remedy in its `Display`.
#[derive(Debug)]
pub enum StartError {
    /// An option is out of range: name, value, allowed range.
    Option(String),
    /// io_uring was insisted on and is not to be had: what was tried, the errno, the remedy.
    Denied(String),
    /// The system refused memory or descriptors.
    System {
        /// What was attempted.
        what: &'static str,
        /// Its errno.
        errno: Errno,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Option(what) | StartError::Denied(what) => f.write_str(what),
            StartError::System { what, errno } => {
                write!(f, "{what} failed: {errno}; {}", remedy(*errno))
            }
        }
    }
}

impl std::error::Error for StartError {}

/// What to do about an errno at start.
pub(crate) fn remedy(errno: Errno) -> &'static str {
    use rustix::io::Errno as E;
    match E::from_raw_os_error(errno.0) {
        E::MFILE => "raise the limit of open files (ulimit -n)",
        E::NFILE => "the system-wide limit of open files is reached (sysctl fs.file-max)",
        E::NOMEM => "raise the limit of locked memory (ulimit -l), or ask for less memory or fewer entries",
        E::AGAIN => "raise the limit of threads (ulimit -u)",
        E::PERM | E::ACCESS => {
            "a container's seccomp profile or the sysctl kernel.io_uring_disabled denies io_uring: allow it, or use the poll driver"
        }
        E::NOSYS => "this kernel has no io_uring: use the poll driver, or Linux 5.15 or later",
        _ => "see the errno's manual page",
    }
}
