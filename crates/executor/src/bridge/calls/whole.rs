//! Whole files: reading one into memory, and copying one.
use super::{
    out::{Out, Step},
    parcel::{MAPPED_BYTES, Parcel},
};
use ringwheel_command::layout::SAFE_INTEGER_MAX;
use ringwheel_driver::op::file::close;
use rustix::{
    event::{self, PollFd, PollFlags, Timespec},
    fs::{self, CWD, FileType, Mode, OFlags, Stat},
    io::{self, Errno, Result},
};
use std::{
    ffi::CStr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// Bytes between two looks at whether the caller still wants them.
const CHUNK: usize = 1 << 20;
/// A longer file is read on the pool: copying these takes some 30 µs.
const READ_HERE_BYTES: u64 = 256 * 1024;
/// How often who waits for a pipe looks at whether the caller still wants it.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// The first room for a file that does not say how long it is, such as those in /proc.
const UNKNOWN_FIRST: usize = 16_384;
/// The most of such a file where the caller sets no limit: /dev/zero has no end.
const UNKNOWN_MOST: u64 = i32::MAX as u64;
const NO_LIMIT: u64 = SAFE_INTEGER_MAX;
/// Bytes copied at a time by the kernel, between two looks at whether the caller still wants them.
const COPY_CHUNK: usize = 16 << 20;

/// A longer file frees so many blocks when it is cut that this is left to the pool.
pub(super) const CUT_HERE_BYTES: i64 = 64 << 20;

/// COPYFILE_EXCL: the copy must not be there.
const COPY_EXCLUSIVE: u32 = 1;
/// COPYFILE_FICLONE: share the blocks where the file system can.
const COPY_CLONE: u32 = 2;
/// COPYFILE_FICLONE_FORCE: share them, or fail.
const COPY_CLONE_ONLY: u32 = 4;

/// What trying on JavaScript's thread came to.
pub(super) enum Tried {
    /// This.
    Done(i32),
    /// It would block, or is long: go on with this on the pool.
    Blocks(Option<OwnedFd>),
}

/// Reads a small file that is in the kernel's caches, without ever waiting for a disk or for another process.
#[cfg(target_os = "linux")]
pub(super) fn read_here(path: &CStr, flags: u32, limit: u64, out: &mut Out<'_>) -> Result<Tried> {
    use rustix::fs::ResolveFlags;
    let flags = OFlags::from_bits_retain(flags);
    if flags.intersects(OFlags::ACCMODE | OFlags::CREATE | OFlags::TRUNC | OFlags::DIRECT | OFlags::PATH) {
        return Ok(Tried::Blocks(None));
    }
    // A FIFO would wait for its other end: not with NONBLOCK.
    let cached = fs::openat2(
        CWD,
        path,
        flags | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
        ResolveFlags::CACHED,
    );
    let file = match cached {
        Ok(file) => file,
        Err(Errno::NOENT) => return out.at(Step::Open, Err(Errno::NOENT)),
        // Not cached, or no openat2 here: the plain open on the pool has the last word.
        Err(_) => return Ok(Tried::Blocks(None)),
    };
    let stat = out.at(Step::Read, fs::fstat(&file))?;
    let size = stat.st_size as u64;
    let wanted = out.room().len();
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Fifo && !flags.contains(OFlags::NONBLOCK) {
        return Err(out.is_stream(Some(file)));
    }
    let regular = kind == FileType::RegularFile;
    if !regular || size > READ_HERE_BYTES || size > limit {
        return Ok(Tried::Blocks(Some(file)));
    }
    if size > wanted as u64 {
        let mut parcel = Parcel::with_room(size as usize)?;
        return Ok(match read_cached(&file, parcel.room()) {
            Ok(read) if read as u64 == size => {
                parcel.set_length(read);
                Tried::Done(out.put_parcel(parcel))
            }
            _ => Tried::Blocks(Some(file)),
        });
    }
    let room = if size == 0 { &mut out.room()[..1.min(wanted)] } else { &mut out.room()[..size as usize] };
    match read_cached(&file, room) {
        Ok(read) if read as u64 == size => Ok(Tried::Done(read as i32)),
        _ => Ok(Tried::Blocks(Some(file))),
    }
}

/// Reads from the start of a file without waiting.
#[cfg(target_os = "linux")]
fn read_cached(file: &OwnedFd, room: &mut [u8]) -> Result<usize> {
    use std::io::IoSliceMut;
    match io::preadv2(file, &mut [IoSliceMut::new(&mut *room)], 0, io::ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP) if never_says(file) => io::pread(file, room, 0),
        read => read,
    }
}

/// The same for what is left of an open file. When it would block, the file stands where it stood before.
#[cfg(target_os = "linux")]
pub(super) fn read_rest_here(file: BorrowedFd<'_>, limit: u64, out: &mut Out<'_>) -> Result<Tried> {
    use std::io::IoSliceMut;
    /// At the file's own position, and move it.
    const CURRENT: u64 = u64::MAX;
    let stat = out.at(Step::Stat, fs::fstat(file))?;
    if waits(file, &stat) {
        return Err(out.is_stream(None));
    }
    let (size, wanted) = (stat.st_size as u64, out.room().len() as u64);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || size == 0 || size > wanted.min(limit)
    {
        return Ok(Tried::Blocks(None));
    }
    let room = &mut out.room()[..size as usize];
    let Ok(read) = io::preadv2(file, &mut [IoSliceMut::new(room)], CURRENT, io::ReadWriteFlags::NOWAIT)
    else {
        return Ok(Tried::Blocks(None));
    };
    if read as u64 == size || fs::tell(file)? >= size {
        return Ok(Tried::Done(read as i32));
    }
    fs::seek(file, fs::SeekFrom::Current(-(read as i64)))?;
    Ok(Tried::Blocks(None))
}

/// Elsewhere nothing says whether a read would block.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_rest_here(_file: BorrowedFd<'_>, _limit: u64, _out: &mut Out<'_>) -> Result<Tried> {
    Ok(Tried::Blocks(None))
}

/// True on file systems that cannot say whether a read would wait: those in memory, where none does, and overlayfs, which a container's
/// files are mostly on. There a read that has to wait makes the next of its kind go to the pool.
#[cfg(target_os = "linux")]
fn never_says(file: &OwnedFd) -> bool {
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58f6;
    const OVERLAYFS: u32 = 0x794c_7630;
    fs::fstatfs(file).is_ok_and(|stat| matches!(stat.f_type as u32, TMPFS | RAMFS | OVERLAYFS))
}

/// Elsewhere nothing says whether a read would block.
#[cfg(not(target_os = "linux"))]
pub(super) fn read_here(_path: &CStr, _flags: u32, _limit: u64, _out: &mut Out<'_>) -> Result<Tried> {
    Ok(Tried::Blocks(None))
}

/// open(2) of a FIFO or a device may wait, and a signal may end that: then again.
fn open(path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    io::retry_on_intr(|| fs::open(path, flags, mode))
}

/// Reads a file by path. `early` is the file, opened without waiting.
pub(super) fn read_path(
    path: &CStr,
    flags: u32,
    limit: u64,
    early: Option<OwnedFd>,
    cancelled: &AtomicBool,
    out: &mut Out<'_>,
) -> Result<i32> {
    let flags = OFlags::from_bits_retain(flags) | OFlags::CLOEXEC;
    let early = early.or_else(|| open_early(path, flags));
    let Some(early) = early else {
        // To be written, too, or made: the open itself may wait.
        if !flags.contains(OFlags::NONBLOCK) && kind_of(path) == Some(FileType::Fifo) {
            return Err(out.is_stream(None));
        }
        let file = out.at(Step::Open, open(path, flags, Mode::from_raw_mode(0o666)))?;
        return read_opened(file, limit, cancelled, out);
    };
    match fs::fstat(&early).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile) => read_rest(early.as_fd(), limit, cancelled, out),
        // It was opened without waiting for a writer, whom the first look waits for, then: poll(2) tells of no end before one has come.
        Ok(FileType::Fifo) if !flags.contains(OFlags::NONBLOCK) => Err(out.is_stream(Some(early))),
        // A device, which NONBLOCK changes: opened again, and kept until then, since somebody may have seen it.
        _ => {
            let file = out.at(Step::Open, open(path, flags, Mode::from_raw_mode(0o666)))?;
            drop(early);
            read_opened(file, limit, cancelled, out)
        }
    }
}

/// Reads a file that was opened as it was asked for.
fn read_opened(file: OwnedFd, limit: u64, cancelled: &AtomicBool, out: &mut Out<'_>) -> Result<i32> {
    let stat = out.at(Step::Read, fs::fstat(&file))?;
    if waits(file.as_fd(), &stat) {
        return Err(out.is_stream(Some(file)));
    }
    read_rest(file.as_fd(), limit, cancelled, out)
}

/// Whether reading it may wait for what another program or a person writes.
fn waits(file: BorrowedFd<'_>, stat: &Stat) -> bool {
    is_stream(FileType::from_raw_mode(stat.st_mode))
        && fs::fcntl_getfl(file).is_ok_and(|flags| !flags.contains(OFlags::NONBLOCK))
}

fn is_stream(kind: FileType) -> bool {
    matches!(kind, FileType::Fifo | FileType::Socket | FileType::CharacterDevice)
}

/// What there is at a path.
fn kind_of(path: &CStr) -> Option<FileType> {
    fs::stat(path).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// Whether a copy from or to this path may wait for another process.
pub(super) fn leads_to_stream(path: &CStr) -> bool {
    kind_of(path).is_some_and(is_stream)
}

/// Opens what is only read without waiting for the other end of a FIFO: nobody could end that wait.
fn open_early(path: &CStr, flags: OFlags) -> Option<OwnedFd> {
    let waits = OFlags::ACCMODE | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK;
    if flags.intersects(waits) {
        return None;
    }
    // What fails, fails again in the plain open, which has the last word.
    fs::open(path, flags | OFlags::NONBLOCK, Mode::empty()).ok()
}

/// Reads what is left of an open file that is no stream: as many bytes as it says it has, or to the end when it does not say, as Node does.
pub(super) fn read_rest(
    file: BorrowedFd<'_>,
    limit: u64,
    cancelled: &AtomicBool,
    out: &mut Out<'_>,
) -> Result<i32> {
    let stat: Stat = out.at(Step::Stat, fs::fstat(file))?;
    if waits(file, &stat) {
        return Err(out.is_stream(None));
    }
    let says = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size > 0;
    if !says {
        return read_to_end(file, limit, cancelled, out);
    }
    let size = stat.st_size as u64;
    if size > limit {
        return Err(out.too_large(size));
    }
    let size = usize::try_from(size).map_err(|_| Errno::NOMEM)?;
    if size <= out.room().len() {
        let read = fill(file, &mut out.room()[..size], cancelled);
        out.used = out.at(Step::Read, read)?;
        return Ok(out.used as i32);
    }
    if size < MAPPED_BYTES {
        let mut bytes = out.spare.take(size).unwrap_or_default();
        bytes.try_reserve_exact(size).map_err(|_| Errno::NOMEM)?;
        out.at(Step::Read, append(file, &mut bytes, size, cancelled))?;
        let home = out.spare.home();
        return Ok(out.put_parcel(Parcel::from(bytes).at_home(home)));
    }
    let mut parcel = Parcel::with_room(size)?;
    out.at(Step::Read, parcel.fill(size, |room| fill(file, room, cancelled)))?;
    Ok(out.put_parcel(parcel))
}

/// Reads into memory that nobody has touched yet, until there are `size` bytes or the file ends.
fn append(file: BorrowedFd<'_>, bytes: &mut Vec<u8>, size: usize, cancelled: &AtomicBool) -> Result<()> {
    while bytes.len() < size {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Errno::CANCELED);
        }
        match io::read(file, rustix::buffer::spare_capacity(bytes)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(size);
    Ok(())
}

/// Reads until the memory is full or the file ends.
fn fill(file: BorrowedFd<'_>, room: &mut [u8], cancelled: &AtomicBool) -> Result<usize> {
    let mut done = 0;
    while done < room.len() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Errno::CANCELED);
        }
        let end = room.len().min(done + CHUNK);
        match io::read(file, &mut room[done..end]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Waits until there is something to read, or an end, and looks now and then whether the caller still wants it: a read that has begun could
/// not be ended, and would take from the pipe what comes for the next reader.
fn wait_readable(file: BorrowedFd<'_>, cancelled: &AtomicBool) -> Result<()> {
    loop {
        let mut files = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
        let ready = event::poll(&mut files, Some(&LOOK));
        if cancelled.load(Ordering::Relaxed) {
            return Err(Errno::CANCELED);
        }
        match ready {
            Ok(0) | Err(Errno::INTR) => {}
            // What cannot be polled says in the read what is wrong with it.
            _ => return Ok(()),
        }
    }
}

/// Reads what does not say how long it is.
fn read_to_end(file: BorrowedFd<'_>, limit: u64, cancelled: &AtomicBool, out: &mut Out<'_>) -> Result<i32> {
    let limit = if limit == NO_LIMIT { UNKNOWN_MOST } else { limit };
    let mut bytes: Vec<u8> = Vec::with_capacity(UNKNOWN_FIRST);
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Errno::CANCELED);
        }
        if bytes.len() as u64 > limit {
            return Err(out.too_large(bytes.len() as u64));
        }
        if bytes.capacity() == bytes.len() {
            bytes.try_reserve(bytes.len()).map_err(|_| Errno::NOMEM)?;
        }
        match io::read(file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return out.at(Step::Read, Err(error)),
        }
    }
    Ok(out.put_vec(bytes))
}

/// What a whole file is written with.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub path: &'a CStr,
    /// open(2) flags.
    pub flags: u32,
    /// Permission bits of a file that is made.
    pub mode: u32,
    pub sync: bool,
    pub data: &'a [u8],
}

/// Writes a file on JavaScript's thread, when it is a regular one or new, and no long one is cut: into the kernel's caches.
pub(super) fn write_here(writing: Writing<'_>, out: &mut Out<'_>) -> Result<Tried> {
    let flags = OFlags::from_bits_retain(writing.flags as _);
    if writing.sync || flags.intersects(OFlags::SYNC | OFlags::DSYNC) {
        return Ok(Tried::Blocks(None));
    }
    match fs::stat(writing.path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            if stat.st_size > CUT_HERE_BYTES && flags.contains(OFlags::TRUNC) {
                return Ok(Tried::Blocks(None));
            }
        }
        Err(Errno::NOENT) => {}
        Ok(stat) if is_stream(FileType::from_raw_mode(stat.st_mode)) => return Err(out.is_stream(None)),
        // A directory tells its own error.
        _ => return Ok(Tried::Blocks(None)),
    }
    write_no_stream(writing, out).map(Tried::Done)
}

/// Opens, writes and closes a file.
pub(super) fn write_whole(writing: Writing<'_>, out: &mut Out<'_>) -> Result<i32> {
    if kind_of(writing.path).is_some_and(is_stream) {
        return Err(out.is_stream(None));
    }
    write_no_stream(writing, out)
}

fn write_no_stream(writing: Writing<'_>, out: &mut Out<'_>) -> Result<i32> {
    let flags = OFlags::from_bits_retain(writing.flags as _) | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(writing.mode as _);
    let file = out.at(Step::Open, open(writing.path, flags, mode))?;
    let mut written = out.at(Step::Write, write_all(&file, writing.data));
    if written.is_ok() && writing.sync {
        written = out.at(Step::Sync, fs::fsync(&file));
    }
    // A network file system or a quota may refuse only now what was written.
    let closed = close(file);
    if written.is_err() {
        out.closed(closed);
        return written.map(|()| 0);
    }
    out.at(Step::Close, closed).map(|()| 0)
}

fn write_all(file: &OwnedFd, mut rest: &[u8]) -> Result<()> {
    while !rest.is_empty() {
        match io::write(file, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Copies content and mode of a file, as libuv's copyfile: a copy that fails is removed. Not a device or a FIFO, which libuv removes, too: none was
/// made here, and root's would be the system's.
pub(super) fn copy(from: &CStr, to: &CStr, mode: u32, cancelled: &AtomicBool) -> Result<i32> {
    let source = open_source(from, cancelled)?;
    let stat = fs::fstat(&source)?;
    let permissions = Mode::from_raw_mode(stat.st_mode);
    let exclusive = mode & COPY_EXCLUSIVE != 0;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let flags = if exclusive { flags | OFlags::EXCL } else { flags };
    let target = open(to, flags, permissions)?;
    let written = fs::fstat(&target)?;
    if (written.st_dev, written.st_ino) == (stat.st_dev, stat.st_ino) {
        return Ok(0);
    }
    let copied = copy_into(&source, &target, permissions, mode, exclusive, cancelled);
    if copied.is_err() && FileType::from_raw_mode(written.st_mode) == FileType::RegularFile {
        drop(target);
        let _the_first_error_counts = fs::unlink(to);
    }
    copied.map(|()| 0)
}

/// Opens what is copied. Of a FIFO the first bytes are waited for, or its end, so that the wait can be given up.
fn open_source(from: &CStr, cancelled: &AtomicBool) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    if kind_of(from) != Some(FileType::Fifo) {
        return open(from, flags, Mode::empty());
    }
    let source = open(from, flags | OFlags::NONBLOCK, Mode::empty())?;
    wait_readable(source.as_fd(), cancelled)?;
    fs::fcntl_setfl(&source, flags)?;
    Ok(source)
}

fn copy_into(
    source: &OwnedFd,
    target: &OwnedFd,
    permissions: Mode,
    mode: u32,
    exclusive: bool,
    cancelled: &AtomicBool,
) -> Result<()> {
    if !exclusive {
        fs::ftruncate(target, 0)?;
    }
    fs::fchmod(target, permissions)?;
    if mode & (COPY_CLONE | COPY_CLONE_ONLY) != 0 {
        match share_blocks(target, source) {
            Ok(()) => return Ok(()),
            Err(error) if mode & COPY_CLONE_ONLY != 0 => return Err(error),
            Err(_) => {}
        }
    }
    copy_bytes(source, target, cancelled)
}

#[cfg(target_os = "linux")]
fn share_blocks(target: &OwnedFd, source: &OwnedFd) -> Result<()> {
    fs::ioctl_ficlone(target, source)
}

#[cfg(not(target_os = "linux"))]
fn share_blocks(_target: &OwnedFd, _source: &OwnedFd) -> Result<()> {
    Err(Errno::NOTSUP)
}

/// In the kernel where it can; where it says that it cannot, or copies nothing (files of /proc), by reading and writing.
fn copy_bytes(source: &OwnedFd, target: &OwnedFd, cancelled: &AtomicBool) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        let mut done = 0u64;
        loop {
            if cancelled.load(Ordering::Relaxed) {
                return Err(Errno::CANCELED);
            }
            match fs::copy_file_range(source, None, target, None, COPY_CHUNK) {
                Ok(0) if done > 0 => return Ok(()),
                Ok(0) => break,
                Ok(copied) => done += copied as u64,
                Err(Errno::INTR) => {}
                Err(_) if done == 0 => break,
                Err(error) => return Err(error),
            }
        }
    }
    let mut buffer = vec![0; CHUNK];
    let waits = fs::fstat(source).is_ok_and(|stat| is_stream(FileType::from_raw_mode(stat.st_mode)));
    loop {
        if waits {
            wait_readable(source.as_fd(), cancelled)?;
        }
        if cancelled.load(Ordering::Relaxed) {
            return Err(Errno::CANCELED);
        }
        let read = match io::read(source, &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        write_all(target, &buffer[..read])?;
    }
}
