//! What an operation in flight lends to a pool thread: its descriptor and the place of its memory (INV-1).
//!
//! The operation stays in the in-flight slab until the work reported its end; only addresses travel. The one file of this
//! backend, beside the registration in `sources.rs`, that has unsafe code.
use crate::{
    Handle, Operation,
    memory::{Source, Target},
};
use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

/// The descriptor and memory of one operation, as a pool thread sees them.
#[derive(Debug)]
pub(crate) struct Lent {
    fd: RawFd,
    /// The first byte or, of several ranges, the first entry of their list.
    start: *mut u8,
    /// How many bytes or, of several ranges, entries.
    length: usize,
    kind: Kind,
}

/// What an operation's memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Bytes to be read from.
    Source,
    /// Bytes to be written.
    Target,
    /// A list of ranges to be read from.
    Sources,
    /// A list of ranges to be written.
    Targets,
}

// SAFETY: a Lent is an address range and a number. Whoever makes one promises that both stay valid, whatever thread uses
// them, and that nobody else touches the range meanwhile (`Lent::new`).
unsafe impl Send for Lent {}

impl Lent {
    /// Lends what a file operation owns; `None` when it owns neither descriptor nor memory to lend.
    ///
    /// # Safety
    /// The operation must stay alive, and its memory untouched, until the work that got the `Lent` has ended or was dropped
    /// without having run. Moving the operation is fine: its memory lies on the heap or in the arena.
    pub(crate) unsafe fn new(operation: &mut Operation) -> Option<Lent> {
        match operation {
            Operation::Read(read) => Lent::target(&read.file, &mut read.target),
            Operation::Stat(stat) => Lent::target(&stat.file, &mut stat.target),
            Operation::Write(write) => Lent::source(&write.file, &write.source),
            Operation::Sync(sync) => Some(Lent::bare(&sync.file)),
            Operation::Truncate(truncate) => Some(Lent::bare(&truncate.file)),
            Operation::Open(open) => open.directory.as_ref().map(Lent::bare),
            _ => None,
        }
    }

    fn target(file: &Handle, target: &mut Target) -> Option<Lent> {
        let fd = file.as_raw_fd();
        if let Target::Vector(vector) = target {
            return Some(Lent::list(fd, vector.places(), Kind::Targets));
        }
        let (start, length) = target.destination()?;
        Some(Lent { fd, start, length: length as usize, kind: Kind::Target })
    }

    fn list(fd: RawFd, (places, count): (*const libc::iovec, u32), kind: Kind) -> Lent {
        Lent { fd, start: places.cast_mut().cast(), length: count as usize, kind }
    }

    fn source(file: &Handle, source: &Source) -> Option<Lent> {
        let fd = file.as_raw_fd();
        if let Source::Vector(vector) = source {
            return Some(Lent::list(fd, vector.places(), Kind::Sources));
        }
        let (start, length) = source.origin()?;
        Some(Lent { fd, start: start.cast_mut(), length: length as usize, kind: Kind::Source })
    }

    fn bare(file: &Handle) -> Lent {
        let start = std::ptr::NonNull::dangling().as_ptr();
        Lent { fd: file.as_raw_fd(), start, length: 0, kind: Kind::Source }
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `borrow_raw` needs a descriptor that stays open while it is borrowed.
        // Holds: the operation in the slab owns a clone of the handle until this work ended (`Lent::new`, INV-1).
        // Checked: tests/contract.rs, "handles may be dropped while their operation is in flight".
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }

    /// Where to write, and with it the descriptor to read from.
    pub(crate) fn room(&mut self) -> (BorrowedFd<'_>, &mut [MaybeUninit<u8>]) {
        assert_eq!(self.kind, Kind::Target, "only a Target lends room");
        // SAFETY: `borrow_raw` as in `fd`.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        // SAFETY: `from_raw_parts_mut` needs memory that is mapped, writable and in nobody else's hand.
        // Holds: `Target::destination` named it, the operation owns it (INV-1, INV-3), and `&mut self` makes this the only
        // slice; MaybeUninit makes no claim about its content.
        // Checked: tests/contract.rs reads into leases and vectors on the poll driver.
        let room = unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.length) };
        (fd, room)
    }

    /// What to read from.
    pub(crate) fn bytes(&self) -> &[u8] {
        assert_eq!(self.kind, Kind::Source, "only a Source lends bytes");
        // SAFETY: `from_raw_parts` needs initialised memory that nobody writes meanwhile.
        // Holds: `Source::origin` named a range of a lease (mapped zeroed), vector, shared bytes or chunk, all initialised,
        // and the operation owns it (INV-1, INV-3).
        // Checked: tests/contract.rs writes from each kind of source.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }

    /// Where to write, range after range, and with it the descriptor to read from.
    pub(crate) fn parts_mut(&mut self) -> (BorrowedFd<'_>, &mut [IoSliceMut<'_>]) {
        assert_eq!(self.kind, Kind::Targets, "only a Target of ranges lends them");
        // SAFETY: `borrow_raw` as in `fd`.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        // SAFETY: `from_raw_parts_mut` needs entries laid out as `IoSliceMut`, which on Unix is `iovec` by its documentation, in nobody else's
        // hand, as the bytes that each names: initialised, and in one of them only.
        // Holds: `Vector::places` named the list, whose bytes mmap zeroed and which do not overlap (memory/vector.rs); the operation owns the
        // vector, and nobody looks at it, until the work has ended (`Lent::new`, INV-1, INV-3); `&mut self` makes this the only slice.
        // Checked: contract/vectors.rs reads into ranges on the poll driver's pool.
        (fd, unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.length) })
    }

    /// What to read from, range after range.
    pub(crate) fn parts(&self) -> &[IoSlice<'_>] {
        assert_eq!(self.kind, Kind::Sources, "only a Source of ranges lends them");
        // SAFETY: as in `parts_mut`, for bytes that nobody writes meanwhile.
        // Holds: as there; the leases are in the operation's hand (INV-3).
        // Checked: contract/vectors.rs writes from ranges on the poll driver's pool.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.length) }
    }
}
