//! From a file to a socket: sendfile(2) on the executor's own thread, because a splice on the ring is always handed to a
//! kernel worker, and costs more than the copy it saves.
use super::{Stream, outcome};
use crate::{
    Source, Target,
    fs::{self, File},
    operation::Single,
    task::yield_now,
};
use ringwheel_driver::{Operation, op::ready::Ready};
use std::io;

/// Bytes after which other tasks have their turn: about 100 µs of copying.
const SLICE: u64 = 1 << 20;
/// Bytes of one read when sendfile cannot read the file.
const COPY: usize = 64 << 10;
/// poll(2)'s POLLOUT, the same on every platform.
const WRITABLE: u32 = 4;

impl Stream {
    /// Sends a file's range. Returns how many bytes went; fewer than `length` only when the file is shorter than it was: then
    /// what was promised to the peer cannot be kept, so close the connection.
    ///
    /// The system call blocks on what is not in the page cache: ask [`File::is_resident`] and use [`File::prefetch`]. After
    /// each MiB the other ready tasks run. Dropping the future leaves open how much was sent. A process that wants to
    /// survive a peer's reset must ignore SIGPIPE, as Rust's and Node's start-up code does.
    ///
    /// # Errors
    /// The system's: EPIPE and ECONNRESET when the peer is gone, EIO from the file.
    pub async fn send_file(&self, file: &fs::File, offset: u64, length: u64) -> io::Result<u64> {
        self.send_file_unless(file, offset, length, || Ok(())).await
    }

    /// As [`send_file`](Self::send_file), with a last look at the file: `look` is called ahead of each system call that may take all that
    /// is left, and its error ends the transfer there. So the range is never sent to its end behind a change that was made before that call.
    ///
    /// # Errors
    /// Those of `send_file`, and `look`'s.
    pub async fn send_file_unless(
        &self,
        file: &fs::File,
        offset: u64,
        length: u64,
        mut look: impl FnMut() -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut sent = 0;
        let mut slice = 0;
        while sent < length {
            let count = (length - sent).min(SLICE - slice);
            if sent + count == length {
                look()?;
            }
            let is_full = match sendfile(self, file, offset.saturating_add(sent), count) {
                Ok(0) => break,
                Ok(taken) => {
                    self.count_sent(taken);
                    sent += taken;
                    slice += taken;
                    // Or the file ends, which the call after the wait finds: another one now would only be refused, after it had
                    // looked up the pages.
                    taken < count
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
                Err(error) if sent == 0 && error.kind() == io::ErrorKind::InvalidInput => {
                    return self.copy_file(file, offset, length, look).await;
                }
                Err(error) => return Err(error),
            };
            if is_full {
                let ready = Ready { file: self.handle.clone(), events: WRITABLE };
                outcome(Single::new(self.core(), Operation::Ready(ready)).await.result)?;
                slice = 0;
            } else if slice >= SLICE {
                slice = 0;
                yield_now().await;
            }
        }
        Ok(sent)
    }

    /// For files that sendfile(2) refuses (EINVAL: no page cache behind them), and platforms without it.
    async fn copy_file(
        &self,
        file: &File,
        offset: u64,
        length: u64,
        mut look: impl FnMut() -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut buffer = Vec::with_capacity(COPY);
        let mut sent = 0;
        while sent < length {
            buffer.clear();
            let (read, target) = file.read_at(Target::Vec(buffer), offset.saturating_add(sent)).await;
            let count = (read? as u64).min(length - sent);
            if count == 0 {
                break;
            }
            let Target::Vec(bytes) = target else { return Err(io::ErrorKind::Other.into()) };
            if sent + count == length {
                look()?;
            }
            let (result, source) =
                self.send(Source::Vec(bytes, 0..count as usize), sent + count < length).await;
            result?;
            sent += count;
            let Source::Vec(bytes, _) = source else { return Err(io::ErrorKind::Other.into()) };
            buffer = bytes;
        }
        Ok(sent)
    }
}

#[cfg(target_os = "linux")]
fn sendfile(stream: &Stream, file: &File, offset: u64, count: u64) -> io::Result<u64> {
    let mut offset = offset;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Ok(rustix::fs::sendfile(&stream.handle, &file.handle, Some(&mut offset), count)? as u64)
}

#[cfg(not(target_os = "linux"))]
fn sendfile(_: &Stream, _: &File, _: u64, _: u64) -> io::Result<u64> {
    Err(io::ErrorKind::InvalidInput.into())
}
