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

/// What a failed attempt means for its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It passes: try again, a bounded number of times.
    Retry,
    /// The caller's to handle.
    Error,
    /// Not in the operation's table: reported like an error, and counted in [`crate::Stats::unexpected`].
    Unexpected,
}

/// The errno table of each operation. There is no catch-all but `Unexpected`.
#[cold]
pub(crate) fn verdict(operation: &crate::Operation, errno: i32) -> Verdict {
    use crate::Operation as O;
    use rustix::io::Errno as E;
    let errno = E::from_raw_os_error(errno);
    if errno == E::CANCELED {
        return Verdict::Error; // Ours to ask for, and anyone's to get.
    }
    if errno == E::INTR {
        // connect(2) goes on by itself after EINTR, and close(2) has closed: neither may run twice.
        return if matches!(operation, O::Connect(_) | O::Close(_)) {
            Verdict::Error
        } else {
            Verdict::Retry
        };
    }
    #[rustfmt::skip]
    let known = match operation {
        O::Nop => false,
        O::Open(_) => {
            if errno == E::AGAIN {
                return Verdict::Retry; // openat2: a rename raced with the resolution.
            }
            matches!(errno, E::ACCESS | E::BADF | E::BUSY | E::DQUOT | E::EXIST | E::FBIG | E::INVAL | E::ISDIR | E::LOOP
                | E::MFILE | E::NAMETOOLONG | E::NFILE | E::NODEV | E::NOENT | E::NOMEM | E::NOSPC | E::NOTDIR | E::NXIO
                | E::OPNOTSUPP | E::OVERFLOW | E::PERM | E::ROFS | E::TXTBSY | E::XDEV | E::TOOBIG | E::IO | E::STALE)
        }
        O::Close(_) => matches!(errno, E::IO | E::INTR | E::NOSPC | E::DQUOT),
        O::Read(_) => matches!(errno, E::AGAIN | E::BADF | E::INVAL | E::IO | E::ISDIR | E::NXIO | E::OVERFLOW | E::SPIPE
            | E::NOMEM | E::OPNOTSUPP | E::CONNRESET | E::NOTCONN | E::TIMEDOUT | E::NODATA | E::STALE | E::PERM),
        O::Write(_) => matches!(errno, E::AGAIN | E::BADF | E::DQUOT | E::FBIG | E::INVAL | E::IO | E::NOSPC | E::NXIO | E::PERM
            | E::PIPE | E::SPIPE | E::NOMEM | E::OPNOTSUPP | E::CONNRESET | E::NOTCONN | E::DESTADDRREQ | E::ROFS | E::STALE
            | E::TXTBSY | E::OVERFLOW),
        O::Sync(_) => matches!(errno, E::BADF | E::DQUOT | E::INVAL | E::IO | E::NOSPC | E::ROFS | E::STALE),
        O::Truncate(_) => matches!(errno, E::ACCESS | E::BADF | E::FBIG | E::INVAL | E::IO | E::NOSPC | E::DQUOT | E::PERM
            | E::ROFS | E::TXTBSY | E::STALE),
        O::Stat(_) => matches!(errno, E::BADF | E::IO | E::NOMEM | E::OVERFLOW | E::STALE | E::ACCESS),
        O::Accept(_) => {
            // accept(2): errors of the connection that was to be accepted say nothing of the next.
            if matches!(errno, E::AGAIN | E::CONNABORTED | E::HOSTDOWN | E::HOSTUNREACH | E::NETDOWN | E::NETUNREACH
                | E::NOPROTOOPT | E::PROTO) {
                return Verdict::Retry;
            }
            matches!(errno, E::BADF | E::INVAL | E::MFILE | E::NFILE | E::NOBUFS | E::NOMEM | E::NOTSOCK | E::OPNOTSUPP
                | E::PERM)
        }
        O::Receive(_) => matches!(errno, E::BADF | E::CONNREFUSED | E::CONNRESET | E::HOSTUNREACH | E::INVAL | E::IO
            | E::NETDOWN | E::NETUNREACH | E::NOMEM | E::NOTCONN | E::NOTSOCK | E::PIPE | E::TIMEDOUT),
        O::Send(_) => matches!(errno, E::BADF | E::CONNRESET | E::CONNREFUSED | E::DESTADDRREQ | E::HOSTUNREACH | E::INVAL | E::IO
            | E::MSGSIZE | E::NETDOWN | E::NETUNREACH | E::NOBUFS | E::NOMEM | E::NOTCONN | E::NOTSOCK | E::PIPE | E::TIMEDOUT),
        O::Connect(_) => matches!(errno, E::ACCESS | E::ADDRINUSE | E::ADDRNOTAVAIL | E::AFNOSUPPORT | E::ALREADY | E::BADF
            | E::CONNREFUSED | E::CONNRESET | E::HOSTUNREACH | E::INPROGRESS | E::INTR | E::INVAL | E::ISCONN | E::NETUNREACH
            | E::NETDOWN | E::NOTSOCK | E::PERM | E::PROTOTYPE | E::TIMEDOUT | E::AGAIN),
        O::Ready(_) => matches!(errno, E::BADF | E::NOMEM | E::PERM),
        O::Job(_) => true, // Its errno is whatever its closure says.
    };
    if known { Verdict::Error } else { Verdict::Unexpected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;
    use rustix::io::Errno as E;

    #[test]
    fn passing_known_and_unknown_errors_are_told_apart() {
        let nop = Operation::Nop;
        assert_eq!(verdict(&nop, E::INTR.raw_os_error()), Verdict::Retry);
        assert_eq!(verdict(&nop, E::CANCELED.raw_os_error()), Verdict::Error);
        assert_eq!(verdict(&nop, E::NOENT.raw_os_error()), Verdict::Unexpected);
        let open = std::fs::File::open("/dev/null").map(std::os::fd::OwnedFd::from).unwrap();
        let accept = Operation::Accept(crate::op::socket::Accept { listener: open.into() });
        assert_eq!(verdict(&accept, E::CONNABORTED.raw_os_error()), Verdict::Retry);
        assert_eq!(verdict(&accept, E::MFILE.raw_os_error()), Verdict::Error);
        assert_eq!(verdict(&accept, E::NOENT.raw_os_error()), Verdict::Unexpected);
    }

    #[test]
    fn every_start_error_says_what_to_do() {
        for errno in [E::MFILE, E::NFILE, E::NOMEM, E::AGAIN, E::PERM, E::NOSYS] {
            let error = StartError::System { what: "io_uring_setup", errno: errno.into() };
            assert!(error.to_string().starts_with("io_uring_setup failed: "), "{error}");
            assert!(!error.to_string().contains("manual page"), "{error}");
        }
    }
}
