//! Descriptors that were open before this program: what a service manager or a parent passed on by number.
use std::{
    io,
    os::fd::{FromRawFd, OwnedFd, RawFd},
};

/// A descriptor of our own for the open file behind `number`, with FD_CLOEXEC; one inline system call (fcntl(2), F_DUPFD_CLOEXEC). The
/// number stays open, and whoever has it may close it at any time. This is how numbers from outside (LISTEN_FDS of
/// sd_listen_fds(3)) become sockets for [`super::Listener::from_socket`].
///
/// # Errors
/// EBADF when nothing is open under that number, EMFILE.
///
/// ```
/// use std::os::fd::AsRawFd;
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let ours = ringwheel_executor::net::inherit(listener.as_raw_fd())?;
/// assert_ne!(ours.as_raw_fd(), listener.as_raw_fd());
/// assert!(ringwheel_executor::net::inherit(-1).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: needs nothing: fcntl reads two integers, and a number that is not open is EBADF. Holds: no memory is passed.
    // Checked: `inherited_numbers_become_descriptors_of_our_own`.
    let duplicate = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if duplicate < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: needs an open descriptor that nobody else owns. Holds: the kernel made it in the call above and nobody else has
    // its number. Checked: `inherited_numbers_become_descriptors_of_our_own`.
    Ok(unsafe { OwnedFd::from_raw_fd(duplicate) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn inherited_numbers_become_descriptors_of_our_own() {
        let (reader, mut writer) = io::pipe().unwrap();
        let ours = inherit(reader.as_raw_fd()).unwrap();
        assert_ne!(ours.as_raw_fd(), reader.as_raw_fd());
        drop(reader);
        io::Write::write_all(&mut writer, b"x").unwrap();
        let mut byte = [0];
        io::Read::read_exact(&mut io::PipeReader::from(ours), &mut byte).unwrap();
        assert_eq!(&byte, b"x");
        for none in [-1, i32::MIN, i32::MAX] {
            assert_eq!(inherit(none).unwrap_err().raw_os_error(), Some(libc::EBADF));
        }
    }
}
