//! Errors of the kernel edge: errno as a type, the tables (operation, errno) → meaning, and why a driver did not start.

/// An errno, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

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
