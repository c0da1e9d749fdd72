//! How far the peer has got, and whether it is there at all: TCP_INFO's count of acknowledged bytes, which no library's structure reaches
//! yet, and poll(2).
use super::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What the socket knows of its peer, whatever has come from it and not been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Nothing speaks against it.
    There,
    /// It sends no more. Whether it still reads only a send can tell.
    Ended,
    /// The connection is no more: it was reset, or has timed out.
    Gone,
}

/// Where `tcpi_bytes_acked` stands in struct tcp_info (include/uapi/linux/tcp.h, since Linux 4.1), in words of 8 bytes.
#[cfg(target_os = "linux")]
const BYTES_ACKED: usize = 15;

impl Stream {
    /// Looks at the peer without receiving anything, for who does not receive for a while; one inline system call (poll(2) without a wait).
    pub fn peer(&self) -> Peer {
        #[cfg(target_os = "linux")]
        let ended = PollFlags::RDHUP;
        #[cfg(not(target_os = "linux"))]
        let ended = PollFlags::empty();
        let mut sockets = [PollFd::new(&self.handle, ended)];
        if poll(&mut sockets, Some(&Timespec::default())).is_err() {
            return Peer::There; // A signal, or no memory: the next look tells.
        }
        let found = sockets[0].revents();
        if found.intersects(PollFlags::ERR | PollFlags::HUP) {
            Peer::Gone
        } else if found.intersects(ended) {
            Peer::Ended
        } else {
            Peer::There
        }
    }

    /// Bytes that the peer's system has acknowledged since the connection began; one inline system call (getsockopt(2) of
    /// TCP_INFO). It grows while a peer reads, however slowly, and stands still when it does not. `None` where the system
    /// does not tell: other platforms, other sockets than TCP.
    #[cfg(target_os = "linux")]
    pub fn acknowledged(&self) -> Option<u64> {
        use std::os::fd::{AsFd, AsRawFd};
        let mut words = [0_u64; BYTES_ACKED + 1];
        let bytes = std::mem::size_of_val(&words);
        let mut length = libc::socklen_t::try_from(bytes).ok()?;
        // SAFETY: needs memory of `length` bytes that is valid for the call. Holds: both are on this stack, any bytes are
        // valid words, and the kernel writes at most `length`. Checked: `acknowledged_bytes_grow_as_the_peer_takes_them`.
        let result = unsafe {
            libc::getsockopt(
                self.handle.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                words.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        // A kernel that knows fewer fields gives fewer bytes.
        (result == 0 && length as usize == bytes).then_some(words[BYTES_ACKED])
    }

    /// Bytes that the peer's system has acknowledged; not told on this platform.
    #[cfg(not(target_os = "linux"))]
    pub fn acknowledged(&self) -> Option<u64> {
        None
    }
}
