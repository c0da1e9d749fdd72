//! File operations on the ring: one entry each, but for what is cheaper without one.
use super::{
    Close, Open, Read, Stat, Sync, Truncate, Write,
    fifo::{self, Opened},
    poll::{has_no_place, is_nonblocking, nature, nature_of},
};
use crate::{
    Handle, Operation,
    error::Errno,
    handle::Nature,
    limits::STATX,
    memory::{Source, Target},
    op::Aside,
    poll::{attempt::Attempt, pool::Work},
    uring::{Kit, Plan, descriptor},
};
use io_uring::{opcode, squeue, types};
use rustix::{
    fs::{OFlags, SeekFrom},
    io::Errno as E,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

/// The index of the arena among the fixed buffers: there is one.
const ARENA: u16 = 0;
const INVALID: Errno = Errno(E::INVAL.raw_os_error());
const NO_PLACE: Plan = Plan::Done(-E::SPIPE.raw_os_error());

/// How a file is opened, beside the operation's own fields.
#[derive(Debug, Default)]
pub(crate) struct Opening {
    how: types::OpenHow,
    way: Way,
    /// Where a thread that watches a FIFO leaves it.
    watched: Option<Opened>,
    /// What the file is, where it was looked at.
    pub(crate) nature: Option<Nature>,
}

/// How an open is tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    /// Without waiting for the other end of a FIFO: the ring may hand it to a worker, which others need.
    #[default]
    AtOnce,
    /// As it was asked for. Somebody holds a lease on the file, say.
    AsAsked,
    /// The same, for a FIFO without a reader: on a worker, for as long as it takes.
    Waiting,
}

/// What comes after an attempt to open.
pub(crate) enum Next {
    /// This result.
    Done(i32),
    /// Another attempt.
    Again,
    /// Another, which waits.
    Wait,
    /// A thread waits for the writer of a FIFO.
    Watch(Work),
}

/// openat2(2) when paths must be resolved in a certain way, else openat(2): a kernel without openat2 cannot do the former.
pub(crate) fn open(open: &Open, aside: &mut Option<Box<Aside>>) -> Plan {
    let directory = types::Fd(open.directory.as_ref().map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd));
    let path = open.path.as_ptr();
    let aside = aside.get_or_insert_with(|| Box::new(Aside::Open(Opening::default())));
    let Aside::Open(opening) = &mut **aside else { return Plan::Refuse(INVALID) };
    let asked = if opening.way == Way::AtOnce { open.flags_at_once() } else { open.flags };
    let flags = asked | libc::O_CLOEXEC;
    let worker = if opening.has_waited() { squeue::Flags::ASYNC } else { squeue::Flags::empty() };
    if open.resolve == 0 {
        let entry = opcode::OpenAt::new(directory, path).flags(flags).mode(open.mode).build();
        return Plan::Entry(entry.flags(worker));
    }
    // openat2 refuses a mode without a creating flag, and bits beyond 07777.
    let creates = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let mode = if creates { open.mode & 0o7777 } else { 0 };
    opening.how = types::OpenHow::new().flags(flags as u64).mode(mode.into()).resolve(open.resolve);
    let entry = opcode::OpenAt2::new(directory, path, std::ptr::from_ref(&opening.how)).build();
    Plan::Entry(entry.flags(worker))
}

impl Opening {
    /// Whether the last attempt was one that waits.
    pub(crate) fn has_waited(&self) -> bool {
        self.way == Way::Waiting
    }

    /// What comes after an attempt. `wanted`: it was not cancelled. Costs two system calls of what was opened without waiting.
    pub(crate) fn next(&mut self, open: &Open, result: i32, wanted: bool) -> Next {
        if self.way != Way::AtOnce || !fifo::may_wait(open.flags) {
            return Next::Done(result);
        }
        if result >= 0 {
            // SAFETY: `from_raw_fd` needs an open descriptor that nobody else owns: the kernel made it for this completion (INV-7).
            let file = unsafe { OwnedFd::from_raw_fd(result) };
            if !fifo::reads(open.flags) {
                fifo::let_wait(file.as_fd(), open.flags);
            } else {
                let (waits, kind) = fifo::waits(file.as_fd(), open.flags);
                self.nature = kind.map(|kind| nature_of(kind, || open.flags & libc::O_DIRECT != 0));
                if waits {
                    if !wanted {
                        return Next::Done(-E::CANCELED.raw_os_error());
                    }
                    let opened = self.watched.insert(Opened::default());
                    return Next::Watch(fifo::watch(file, open.flags, opened.clone()));
                }
            }
            return Next::Done(file.into_raw_fd());
        }
        match E::from_raw_os_error(-result) {
            E::NXIO if fifo::reads(open.flags) => Next::Done(result),
            E::NXIO | E::AGAIN if !wanted => Next::Done(-E::CANCELED.raw_os_error()),
            E::NXIO => {
                self.way = Way::Waiting;
                Next::Wait
            }
            E::AGAIN => {
                self.way = Way::AsAsked;
                Next::Again
            }
            _ => Next::Done(result),
        }
    }

    /// The thread that watched a FIFO has ended so: the result, as the kernel gives it of an open.
    pub(crate) fn watched(&mut self, result: i32) -> i32 {
        let file = self.watched.take().and_then(|opened| opened.take());
        file.filter(|_| result >= 0).map_or(result, IntoRawFd::into_raw_fd)
    }

    /// A thread that watches is to end.
    pub(crate) fn give_up(&self) {
        if let Some(opened) = &self.watched {
            opened.give_up();
        }
    }
}

/// Really closes through the last handle only; others go on using the file.
pub(crate) fn close(close: &Close) -> Plan {
    if !close.file.is_unique() {
        return Plan::Done(0);
    }
    // The ring's table holds the file too: its slot is cleared at the same enter.
    close.file.unregister();
    Plan::Entry(opcode::Close::new(types::Fd(close.file.as_raw_fd())).build())
}

/// Whether who opened a stream did so with O_NONBLOCK. The ring waits for those, too (io_rw_init_file in Linux 6.18's rw.c).
#[inline]
fn must_not_wait(file: &Handle) -> bool {
    nature(file) == Nature::Stream && is_nonblocking(file)
}

#[cold]
fn at_once(attempt: Attempt) -> Plan {
    match attempt {
        Attempt::Done(result) => Plan::Done(result),
        _ => Plan::Done(-E::AGAIN.raw_os_error()), // Somebody took O_NONBLOCK back in between.
    }
}

#[inline]
pub(crate) fn read(read: &mut Read, kit: Kit) -> Plan {
    if has_no_place(&read.file, read.offset) {
        return NO_PLACE;
    }
    if must_not_wait(&read.file) {
        return at_once(read.attempt_stream());
    }
    if let Target::Vector(vector) = &read.target {
        let ((places, count), (fd, flags)) = (vector.places(), descriptor(&read.file, kit));
        return Plan::Entry(opcode::Readv::new(fd, places, count).offset(read.offset).build().flags(flags));
    }
    let Some((pointer, length)) = read.target.destination() else { return Plan::Refuse(INVALID) };
    let (fd, flags) = descriptor(&read.file, kit);
    let fixed = kit.arena_registered && length > 0 && read.target.is_registered();
    let entry = if fixed {
        opcode::ReadFixed::new(fd, pointer, length, ARENA).offset(read.offset).build()
    } else {
        opcode::Read::new(fd, pointer, length).offset(read.offset).build()
    };
    Plan::Entry(entry.flags(flags))
}

#[inline]
pub(crate) fn write(write: &Write, kit: Kit) -> Plan {
    if has_no_place(&write.file, write.offset) {
        return NO_PLACE;
    }
    if must_not_wait(&write.file) {
        return at_once(write.attempt_stream());
    }
    if let Source::Vector(vector) = &write.source {
        let ((places, count), (fd, flags)) = (vector.places(), descriptor(&write.file, kit));
        return Plan::Entry(opcode::Writev::new(fd, places, count).offset(write.offset).build().flags(flags));
    }
    let Some((pointer, length)) = write.source.origin() else { return Plan::Refuse(INVALID) };
    let (fd, flags) = descriptor(&write.file, kit);
    let fixed = kit.arena_registered && length > 0 && matches!(write.source, Source::Lease(..));
    let entry = if fixed {
        opcode::WriteFixed::new(fd, pointer, length, ARENA).offset(write.offset).build()
    } else {
        opcode::Write::new(fd, pointer, length).offset(write.offset).build()
    };
    Plan::Entry(entry.flags(flags))
}

/// The file of a transfer at its own position, where it has one, and how many bytes were asked for.
fn positioned(operation: &Operation) -> Option<(&Handle, usize)> {
    let (file, length) = match operation {
        Operation::Read(Read { file, target, offset: u64::MAX }) => (file, target.room()),
        Operation::Write(Write { file, source, offset: u64::MAX }) => (file, source.len()),
        _ => return None,
    };
    (nature(file) != Nature::Stream).then_some((file, length))
}

/// A transfer at the file's own position goes to the ring: see [`end_move`].
#[cold]
pub(crate) fn begin_move(operation: &Operation) {
    if let Some((file, _)) = positioned(operation) {
        file.begin_move(|| rustix::fs::tell(file).unwrap_or(0));
    }
}

/// A transfer at the file's own position has ended. The kernel tries again by itself when it has moved less than all; when that ends with an error (a full
/// disk, RLIMIT_FSIZE, a bad block), the result is what was moved before, but the position stays where it was (io_kiocb_done in Linux 6.18's rw.c),
/// and the next write would go over these bytes. So it is put right here. What is appended needs no position.
#[cold]
pub(crate) fn end_move(operation: &Operation, result: i32) {
    let Some((file, length)) = positioned(operation) else { return };
    let bytes = u64::try_from(result).unwrap_or(0);
    let (start, end) = file.end_move(bytes);
    if bytes == 0 || bytes >= length as u64 {
        return;
    }
    let unmoved = rustix::fs::tell(file) == Ok(start);
    let appends = || rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::APPEND));
    if unmoved && !appends() {
        let _where_it_cannot_be_set_it_is_none = rustix::fs::seek(file, SeekFrom::Start(end));
    }
}

pub(crate) fn sync(sync: &Sync, kit: Kit) -> Plan {
    let (fd, flags) = descriptor(&sync.file, kit);
    let kind = if sync.data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
    Plan::Entry(opcode::Fsync::new(fd).flags(kind).build().flags(flags))
}

/// ftruncate(2), on the pool where the ring does not have it.
pub(crate) fn truncate(truncate: &Truncate, kit: Kit) -> Plan {
    if i64::try_from(truncate.length).is_err() {
        return Plan::Refuse(INVALID);
    }
    let (fd, flags) = descriptor(&truncate.file, kit);
    if kit.capabilities.ftruncate {
        return Plan::Entry(opcode::Ftruncate::new(fd, truncate.length).build().flags(flags));
    }
    let (fd, length) = (truncate.file.as_raw_fd(), truncate.length);
    Plan::Pool(Box::new(move || {
        // SAFETY: `borrow_raw` needs the descriptor open for the borrow: the operation in the slab holds its handle until the
        // pool has reported, and shutdown leaks it when the pool does not (INV-1).
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        rustix::fs::ftruncate(fd, length).map_or_else(|errno| -errno.raw_os_error(), |()| 0)
    }))
}

/// statx(2) at once: 1.5 µs, where the ring hands it to a worker thread and takes 2.7 µs. It asks the file's own inode,
/// which an open file keeps in memory; a network file system may answer slowly.
pub(crate) fn stat(stat: &mut Stat) -> Plan {
    let Some((pointer, length)) = stat.target.destination() else { return Plan::Refuse(INVALID) };
    if (length as usize) < STATX {
        return Plan::Refuse(INVALID);
    }
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    // SAFETY: `statx` needs an open descriptor, a C string, and STATX writable bytes at any alignment (the kernel copies).
    // Holds: the operation owns the handle and the target, whose length is checked above.
    // Checked: the contract suite's stat.
    let result = unsafe {
        libc::statx(
            stat.file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            mask,
            pointer.cast::<libc::statx>(),
        )
    };
    if result == 0 {
        stat.target.filled(STATX);
        return Plan::Done(0);
    }
    Plan::Done(-std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
const _: () = assert!(size_of::<libc::statx>() == STATX);
