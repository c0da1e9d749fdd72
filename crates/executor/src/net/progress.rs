//! How far the peer has got: TCP_INFO's count of acknowledged bytes, which no library's structure reaches yet.
use super::Stream;

/// Where `tcpi_bytes_acked` stands in struct tcp_info (include/uapi/linux/tcp.h, since Linux 4.1), in words of 8 bytes.
#[cfg(target_os = "linux")]
const BYTES_ACKED: usize = 15;

impl Stream {
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
