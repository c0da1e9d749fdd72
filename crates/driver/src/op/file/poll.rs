//! Files on the poll backend: from the page cache at once where Linux can say that nothing blocks, else on a pool thread;
//! pipes and terminals by readiness.
use super::{
    Open, Read, Write,
    fifo::{self, Opened},
};
use crate::{
    Handle, Operation,
    handle::Nature,
    limits::TRANSFER,
    memory::{Source, Target, parts_within},
    op::{file::statx, ready::poll::bits_now},
    poll::{attempt::Attempt, lent::Lent, pool::Work},
};
use rustix::{
    event::PollFlags,
    fs::{CWD, FileType, Mode, OFlags},
    io::{Errno, retry_on_intr},
};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};

/// Closes, and says what dropping would keep to itself: that a network file system or a quota refuses what was written. Not
/// tried again when it fails: Linux has let go of the descriptor then, and the number may be another file's.
///
/// # Errors
/// What the system says.
pub fn close(fd: OwnedFd) -> rustix::io::Result<()> {
    // SAFETY: `try_close` needs a descriptor that is valid and used by nobody afterwards.
    // Holds: it was the last clone's and is moved in (INV-1); `into_raw_fd` gives up the ownership that would close it again.
    // Checked: __test__/fs/file-handle.spec.ts, "close tells what the system says", on both drivers.
    unsafe { rustix::io::try_close(fd.into_raw_fd()) }
}

/// Bytes of one read that is tried on the driver's thread: copying them from the page cache takes some 10 µs.
pub(crate) const INLINE_BYTES: usize = 64 * 1024;
/// Bytes that one attempt at a stream (pipe, terminal, /dev/zero) may move.
const STREAM_BYTES: usize = 256 * 1024;
/// What POLLOUT promises a *blocking* pipe: PIPE_BUF bytes. More could block.
const PIPE_BYTES: usize = 4096;

/// The result of an open that has to wait: for the other end of a FIFO, elsewhere than on the pool.
pub(crate) const WAITS: i32 = i32::MIN;

/// What an open file is, without asking a server that may hang.
#[cfg(target_os = "linux")]
pub(crate) fn kind(file: BorrowedFd<'_>) -> rustix::io::Result<FileType> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    match statx(file, c"", flags, StatxFlags::TYPE) {
        Ok(stat) => Ok(FileType::from_raw_mode(stat.stx_mode.into())),
        Err(Errno::NOSYS | Errno::PERM) => kind_by_stat(file),
        Err(errno) => Err(errno),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use kind_by_stat as kind;

fn kind_by_stat(file: BorrowedFd<'_>) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode as _))
}

/// How a descriptor is best read and written; asked once per handle.
pub(crate) fn nature(file: &Handle) -> Nature {
    let known = file.nature();
    if known != Nature::Unknown {
        return known;
    }
    let nature = match kind(file.as_fd()) {
        Ok(kind) => nature_of(kind, || is_direct(file)),
        Err(_) => Nature::Blocking, // The operation itself will meet the error.
    };
    file.set_nature(nature);
    nature
}

/// The same of what is such a file.
pub(crate) fn nature_of(kind: FileType, is_direct: impl Fn() -> bool) -> Nature {
    match kind {
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice => Nature::Stream,
        // An anonymous inode (eventfd, timerfd, inotify) has no type at all.
        FileType::Unknown => Nature::Stream,
        FileType::RegularFile | FileType::BlockDevice if !is_direct() => Nature::Cached,
        _ => Nature::Blocking,
    }
}

/// Whether reads and writes of it may wait for another process, or a person: a pipe, a socket, a device, unless it was opened with O_NONBLOCK.
pub fn may_wait(file: &Handle) -> bool {
    nature(file) == Nature::Stream && !is_nonblocking(file)
}

/// Whether pread(2) takes a position of this file. A pipe, a socket or a terminal has none; /dev/zero has. The ring does not ask: it reads
/// what comes, and waits for it. Where there is doubt this asks the system, by a read of no bytes.
pub fn has_positions(file: &Handle) -> bool {
    nature(file) != Nature::Stream || rustix::io::pread(file, &mut [0_u8; 0], 0) != Err(Errno::SPIPE)
}

/// Whether a transfer at this offset is pread(2)'s or pwrite(2)'s ESPIPE. At the file's own position, `u64::MAX`, none is.
#[inline]
pub(crate) fn has_no_place(file: &Handle, offset: u64) -> bool {
    offset != u64::MAX && !has_positions(file)
}

/// Whether a transfer has to end with EAGAIN rather than wait. Asked each time, as the kernel does: O_NONBLOCK belongs to the open file, and whoever
/// shares that may set it.
pub(crate) fn is_nonblocking(file: &Handle) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

/// O_DIRECT reads wait for the disk, whatever RWF_NOWAIT says.
#[cfg(target_os = "linux")]
fn is_direct(file: &Handle) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::DIRECT))
}

/// Without RWF_NOWAIT every read of a file may block.
#[cfg(not(target_os = "linux"))]
fn is_direct(_file: &Handle) -> bool {
    true
}

impl Read {
    /// Reads from the page cache when all of it is there. `None`: a pool thread's work. `budget` is what is left of the
    /// bytes that this turn may copy.
    #[cfg(target_os = "linux")]
    pub(crate) fn attempt_cached(&mut self, budget: &mut usize) -> Option<Attempt> {
        let length = has_place(&mut self.target).then(|| self.target.room())?;
        if length > INLINE_BYTES.min(*budget) || self.offset == u64::MAX {
            return None;
        }
        *budget -= length;
        let result = match &mut self.target {
            Target::Lease(lease, range) => {
                read_cached(&self.file, &mut lease[range.start as usize..range.end as usize], self.offset)
            }
            Target::Piece(piece) => read_cached(&self.file, piece.bytes_mut(), self.offset),
            Target::Vec(vector) => {
                vector.clear();
                vector.resize(vector.capacity(), 0); // preadv2 takes initialised memory.
                read_cached(&self.file, &mut vector[..], self.offset)
            }
            Target::Vector(vector) => read_cached_parts(&self.file, vector.slices_mut(), length, self.offset),
        };
        match result {
            Ok(Some(bytes)) => {
                self.target.filled(bytes);
                Some(Attempt::moved(bytes))
            }
            Ok(None) => None,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                self.file.set_nature(Nature::Blocking);
                None
            }
            Err(errno) => Some(Attempt::failed(errno)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn attempt_cached(&mut self, _budget: &mut usize) -> Option<Attempt> {
        None
    }

    /// Reads what a stream has, or a device at a position; waits when it has nothing, unless it was opened with O_NONBLOCK.
    pub(crate) fn attempt_stream(&mut self) -> Attempt {
        match bits_now(self.file.as_fd(), PollFlags::IN) {
            Ok(bits) if bits.is_empty() && !is_nonblocking(&self.file) => return Attempt::Wait,
            Ok(_) => {}
            Err(errno) => return Attempt::failed(errno),
        }
        let (file, offset) = (self.file.as_fd(), self.offset);
        let one = |bytes: &mut [u8]| {
            let bytes_max = bytes.len().min(STREAM_BYTES);
            let bytes = &mut bytes[..bytes_max];
            retry_on_intr(|| match offset {
                u64::MAX => rustix::io::read(file, &mut *bytes),
                offset => rustix::io::pread(file, &mut *bytes, offset),
            })
        };
        let result = match &mut self.target {
            Target::Lease(lease, range) => one(&mut lease[range.start as usize..range.end as usize]),
            Target::Piece(piece) => one(piece.bytes_mut()),
            Target::Vec(vector) => {
                vector.clear();
                let room = vector.capacity().min(STREAM_BYTES);
                let spare = &mut vector.spare_capacity_mut()[..room];
                let result = retry_on_intr(|| {
                    Ok(match offset {
                        u64::MAX => rustix::io::read(file, &mut *spare)?.0.len(),
                        offset => rustix::io::pread(file, &mut *spare, offset)?.0.len(),
                    })
                });
                if let Ok(bytes) = result {
                    self.target.filled(bytes);
                }
                result
            }
            Target::Vector(vector) => {
                let slices = vector.slices_mut();
                match parts_within(slices.iter().map(|slice| slice.len()), STREAM_BYTES) {
                    // The first one alone is longer; or there is none, and nothing to read.
                    0 => one(slices.first_mut().map_or(&mut [][..], |first| &mut **first)),
                    count => retry_on_intr(|| match offset {
                        u64::MAX => rustix::io::readv(file, &mut slices[..count]),
                        offset => rustix::io::preadv(file, &mut slices[..count], offset),
                    }),
                }
            }
        };
        match result {
            Err(Errno::AGAIN) if !is_nonblocking(&self.file) => Attempt::Wait, // Another reader was faster.
            result => Attempt::of(result),
        }
    }
}

/// All bytes from the page cache, or up to the end of the file; `None` when some would have to come from the disk.
#[cfg(target_os = "linux")]
fn read_cached(file: &Handle, target: &mut [u8], offset: u64) -> rustix::io::Result<Option<usize>> {
    use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};
    let mut done = 0;
    while done < target.len() {
        let rest = &mut [IoSliceMut::new(&mut target[done..])];
        // A short read may be the end of the file or of what is cached; the next read tells: 0 or EAGAIN.
        match retry_on_intr(|| {
            preadv2(file, rest, offset.saturating_add(done as u64), ReadWriteFlags::NOWAIT)
        }) {
            Ok(0) => return Ok(Some(done)),
            Ok(bytes) => done += bytes,
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        }
    }
    Ok(Some(done))
}

/// The same into several ranges, of `length` bytes in all, by one call.
#[cfg(target_os = "linux")]
fn read_cached_parts(
    file: &Handle,
    parts: &mut [rustix::io::IoSliceMut<'_>],
    length: usize,
    offset: u64,
) -> rustix::io::Result<Option<usize>> {
    use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};
    let read = |parts: &mut [IoSliceMut<'_>], offset| match retry_on_intr(|| {
        preadv2(file, &mut *parts, offset, ReadWriteFlags::NOWAIT)
    }) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::AGAIN) => Ok(None),
        Err(errno) => Err(errno),
    };
    let Some(bytes) = read(parts, offset)? else { return Ok(None) };
    if bytes == length {
        return Ok(Some(bytes));
    }
    // It ended early: at the end of the file, where the next byte is none, or before what is not cached.
    let mut next = [0];
    let behind = read(&mut [IoSliceMut::new(&mut next)], offset.saturating_add(bytes as u64))?;
    Ok((behind == Some(0)).then_some(bytes))
}

impl Write {
    /// Writes what a stream takes without blocking, or a device at a position; waits when it takes nothing, unless it was opened with O_NONBLOCK.
    pub(crate) fn attempt_stream(&self) -> Attempt {
        let (file, offset) = (self.file.as_fd(), self.offset);
        let waits = !is_nonblocking(&self.file);
        match bits_now(file, PollFlags::OUT) {
            Ok(bits) if waits && bits.is_empty() => return Attempt::Wait,
            Ok(_) => {}
            Err(errno) => return Attempt::failed(errno),
        }
        let bytes_max = if waits { PIPE_BYTES } else { STREAM_BYTES };
        let one = |bytes: &[u8]| {
            let piece = &bytes[..bytes.len().min(bytes_max)];
            retry_on_intr(|| match offset {
                u64::MAX => rustix::io::write(file, piece),
                offset => rustix::io::pwrite(file, piece, offset),
            })
        };
        let result = match &self.source {
            Source::Vector(vector) => {
                let slices = vector.slices();
                match parts_within(slices.iter().map(|slice| slice.len()), bytes_max) {
                    0 => one(slices.first().map_or(&[], |first| first)),
                    count => retry_on_intr(|| match offset {
                        u64::MAX => rustix::io::writev(file, &slices[..count]),
                        offset => rustix::io::pwritev(file, &slices[..count], offset),
                    }),
                }
            }
            source => one(source.bytes()),
        };
        match result {
            Err(Errno::AGAIN) if waits => Attempt::Wait,
            result => Attempt::of(result),
        }
    }
}

/// The pool's work for a file operation; `None` for one that no pool thread runs. `lent` is what the operation lends.
pub(crate) fn work(
    operation: &mut Operation,
    lent: Option<Lent>,
    opened: &mut Option<Opened>,
) -> Option<Work> {
    Some(match operation {
        Operation::Open(open) => {
            let cell = Opened::default();
            *opened = Some(cell.clone());
            open.work(lent, cell, false)
        }
        // The last clone closes on the pool: close(2) may flush over a network or free a large deleted file.
        Operation::Close(_) => match std::mem::replace(operation, Operation::Nop) {
            Operation::Close(operation) => match operation.file.try_into_owned() {
                Ok(fd) => Box::new(move || close(fd).map_or_else(|error| -error.raw_os_error(), |()| 0)),
                Err(others) => {
                    drop(others);
                    return None;
                }
            },
            _ => return None,
        },
        Operation::Read(Read { target: Target::Vector(_), offset, .. }) => {
            on_pool(lent?, *offset, |lent, offset| {
                let (fd, parts) = lent.parts_mut();
                match offset {
                    u64::MAX => rustix::io::readv(fd, parts),
                    offset => rustix::io::preadv(fd, parts, offset),
                }
            })
        }
        Operation::Write(Write { source: Source::Vector(_), offset, .. }) => {
            on_pool(lent?, *offset, |lent, offset| match offset {
                u64::MAX => rustix::io::writev(lent.fd(), lent.parts()),
                offset => rustix::io::pwritev(lent.fd(), lent.parts(), offset),
            })
        }
        Operation::Read(read) => on_pool(lent?, read.offset, |lent, offset| {
            let (fd, room) = lent.room();
            let bytes = match offset {
                u64::MAX => rustix::io::read(fd, room)?.0.len(),
                offset => rustix::io::pread(fd, room, offset)?.0.len(),
            };
            Ok(bytes)
        }),
        Operation::Write(write) => on_pool(lent?, write.offset, |lent, offset| match offset {
            u64::MAX => rustix::io::write(lent.fd(), lent.bytes()),
            offset => rustix::io::pwrite(lent.fd(), lent.bytes(), offset),
        }),
        Operation::Sync(sync) => on_pool(lent?, u64::from(sync.data_only), |lent, data_only| {
            flush(lent.fd(), data_only != 0)?;
            Ok(0)
        }),
        Operation::Truncate(truncate) => on_pool(lent?, truncate.length, |lent, length| {
            rustix::fs::ftruncate(lent.fd(), length)?;
            Ok(0)
        }),
        Operation::Stat(_) => on_pool(lent?, 0, |lent, _| {
            let bytes = statx::of(lent.fd())?;
            let (_, room) = lent.room();
            for (place, byte) in room.iter_mut().zip(bytes) {
                place.write(byte);
            }
            Ok(0)
        }),
        _ => return None,
    })
}

fn on_pool(
    mut lent: Lent,
    argument: u64,
    call: impl Fn(&mut Lent, u64) -> rustix::io::Result<usize> + Send + 'static,
) -> Work {
    Box::new(move || match retry_on_intr(|| call(&mut lent, argument)) {
        Ok(bytes) => bytes.min(TRANSFER) as i32,
        Err(errno) => -errno.raw_os_error(),
    })
}

#[cfg(not(target_vendor = "apple"))]
fn flush(file: BorrowedFd<'_>, data_only: bool) -> rustix::io::Result<()> {
    if data_only { rustix::fs::fdatasync(file) } else { rustix::fs::fsync(file) }
}

/// There fsync(2) leaves the bytes in the drive's cache.
#[cfg(target_vendor = "apple")]
fn flush(file: BorrowedFd<'_>, _data_only: bool) -> rustix::io::Result<()> {
    rustix::fs::fcntl_fullfsync(file)
}

impl Open {
    /// Opens, and leaves the file in `opened`. [`WAITS`] where that waits for the other end of a FIFO, unless it `may_wait`: a reader's file is left
    /// there then, too.
    pub(crate) fn work(&self, directory: Option<Lent>, opened: Opened, may_wait: bool) -> Work {
        let (path, resolve, flags, mode) = (self.path.clone(), self.resolve, self.flags, self.mode);
        let may_wait = may_wait || !fifo::may_wait(flags);
        Box::new(move || {
            let directory = directory.as_ref().map(Lent::fd);
            let open = |flags: i32| {
                let flags = OFlags::from_bits_retain(flags as _) | OFlags::CLOEXEC;
                let (directory, mode) = (directory.unwrap_or(CWD), Mode::from_raw_mode(mode as _));
                match resolve {
                    0 => retry_on_intr(|| rustix::fs::openat(directory, path.as_c_str(), flags, mode)),
                    bits => open_resolved(directory, &path, flags, mode, bits),
                }
            };
            let waits = !may_wait && fifo::leads_to_fifo(directory, &path, flags);
            if waits && !(cfg!(target_os = "linux") && fifo::reads(flags)) {
                return WAITS;
            }
            match open(if waits { flags | libc::O_NONBLOCK } else { flags }) {
                Ok(fd) => {
                    let waits = waits && fifo::waits(fd.as_fd(), flags).0;
                    opened.put(fd);
                    if waits { WAITS } else { 0 }
                }
                Err(errno) => -errno.raw_os_error(),
            }
        })
    }
}

/// openat2(2) answers EAGAIN when a rename raced with its walk: "retry".
#[cfg(target_os = "linux")]
fn open_resolved(
    directory: BorrowedFd<'_>,
    path: &std::ffi::CStr,
    flags: OFlags,
    mode: Mode,
    resolve: u64,
) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    const ATTEMPTS: usize = 64;
    let resolve = ResolveFlags::from_bits_retain(resolve);
    let mut result = Err(Errno::AGAIN);
    for _ in 0..ATTEMPTS {
        result = openat2(directory, path, flags, mode, resolve);
        if !matches!(result, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
    }
    result
}

/// Only Linux can confine a path walk: refusing is safe, opening without it would not be.
#[cfg(not(target_os = "linux"))]
fn open_resolved(
    _directory: BorrowedFd<'_>,
    _path: &std::ffi::CStr,
    _flags: OFlags,
    _mode: Mode,
    _resolve: u64,
) -> rustix::io::Result<OwnedFd> {
    Err(Errno::OPNOTSUPP)
}

/// Whether a read's memory is in its place.
pub(crate) fn has_place(target: &mut Target) -> bool {
    matches!(target, Target::Vector(_)) || target.destination().is_some()
}

/// Whether both ends of an operation's memory are in their place: what `submit` asks before it takes one.
pub(crate) fn is_valid(operation: &mut Operation) -> bool {
    let target = |target: &mut Target| target.destination().map(|(_, length)| length as usize);
    let source = |source: &Source| source.origin().is_some();
    match operation {
        Operation::Read(read) => has_place(&mut read.target),
        Operation::Stat(stat) => target(&mut stat.target).is_some_and(|room| room >= crate::limits::STATX),
        Operation::Write(write) => matches!(write.source, Source::Vector(_)) || source(&write.source),
        Operation::Send(send) => source(&send.source),
        _ => true,
    }
}
