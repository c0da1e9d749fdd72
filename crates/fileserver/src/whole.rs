//! Small files read whole (passwords, certificates, keys): regular ones alone, so that a FIFO or a device holds nobody up.
use rustix::fs::{Mode, OFlags, open};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The bytes of a file, at most `max` and one more, which tells that there are more.
pub(crate) fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
