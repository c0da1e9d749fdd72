//! A descriptor with its registration, shared by those who use it; the last clone closes it.
use crate::limits::REGISTER_AT_USE;
use std::{
    cell::{Cell, RefCell},
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd},
    rc::Rc,
};

/// A counted descriptor. Operations hold a clone, so it cannot be closed under the kernel's feet (INV-1).
/// Cloning costs one non-atomic increment. Belongs to its driver's thread.
///
/// A handle that a driver uses often is registered with its ring, which spares the kernel a look-up per operation. The
/// registration ends with the last clone: the slot is cleared at the driver's next `enter`, and only then does the kernel
/// let go of the file.
#[derive(Clone)]
pub struct Handle {
    inner: Rc<Descriptor>,
}

struct Descriptor {
    /// `None` only while the descriptor is taken out of its last handle.
    fd: Option<OwnedFd>,
    /// The slot in the ring's file table.
    registration: RefCell<Option<Registration>>,
    /// `registration`'s slot again, or [`UNREGISTERED`]: read on the hot path.
    slot: Cell<u32>,
    /// Whose slot it is; compared, never followed.
    registry: Cell<*const Registry>,
    uses: Cell<u32>,
    nature: Cell<Nature>,
    /// While operations at the file's own position are in flight: how many, and where it is to be when all that have ended are counted.
    moving: Cell<u32>,
    position: Cell<u64>,
}

/// How the poll backend reads and writes a descriptor; asked once per handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Not asked yet.
    Unknown,
    /// A file whose cached pages can be read without blocking.
    Cached,
    /// A file that only a pool thread may touch: O_DIRECT, a file system without RWF_NOWAIT, a directory.
    Blocking,
    /// A pipe, socket or terminal: readiness says when.
    Stream,
}

const UNREGISTERED: u32 = u32::MAX;

/// A slot in a ring's file table. Dropping it queues the slot's clearing.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Rc<Registry>,
    slot: u32,
}

/// The ring's table of registered files: which slots are free, and which are to be cleared at the next enter.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    free: RefCell<Vec<u32>>,
    retired: RefCell<Vec<u32>>,
}

impl Registry {
    /// From now on there are this many slots. Called once.
    pub(crate) fn open(&self, slots: u32) {
        *self.free.borrow_mut() = (0..slots).rev().collect();
    }

    /// Reserves a slot, if there is one.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Registration> {
        let slot = self.free.borrow_mut().pop()?;
        Some(Registration { registry: Rc::clone(self), slot })
    }

    /// True when slots wait to be cleared.
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.borrow().is_empty()
    }

    /// Takes one slot that is to be cleared.
    pub(crate) fn next_retired(&self) -> Option<u32> {
        self.retired.borrow_mut().pop()
    }

    /// Gives a cleared slot back.
    pub(crate) fn cleared(&self, slot: u32) {
        self.free.borrow_mut().push(slot);
    }
}

impl Registration {
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.retired.borrow_mut().push(self.slot);
    }
}

impl Handle {
    /// Wraps a descriptor without registering it. Dropping the last clone closes it.
    pub fn from_owned(fd: OwnedFd) -> Handle {
        let inner = Descriptor {
            fd: Some(fd),
            registration: RefCell::new(None),
            slot: Cell::new(UNREGISTERED),
            registry: Cell::new(std::ptr::null()),
            uses: Cell::new(0),
            nature: Cell::new(Nature::Unknown),
            moving: Cell::new(0),
            position: Cell::new(0),
        };
        Handle { inner: Rc::new(inner) }
    }

    /// The descriptor itself, unless other clones are alive (then the handle comes back). An operation in flight holds a clone.
    pub fn try_into_owned(self) -> Result<OwnedFd, Handle> {
        let mut inner = Rc::try_unwrap(self.inner).map_err(|inner| Handle { inner })?;
        Ok(inner.fd.take().expect("only this function and close take it, and both own the last clone"))
    }

    /// True when this is the last clone.
    pub fn is_unique(&self) -> bool {
        Rc::strong_count(&self.inner) == 1
    }

    /// The slot in that ring's file table. `None` also for a handle that another driver registered: its slot would name
    /// somebody else's file here.
    #[inline]
    pub(crate) fn slot(&self, registry: *const Registry) -> Option<u32> {
        let slot = self.inner.slot.get();
        // The registration keeps its registry alive, so an equal address is the same registry.
        (slot != UNREGISTERED && self.inner.registry.get() == registry).then_some(slot)
    }

    /// Counts one use. True once: at the use where registering begins to pay.
    #[inline]
    pub(crate) fn count_use(&self) -> bool {
        let uses = self.inner.uses.get();
        self.inner.uses.set(uses.wrapping_add(1));
        uses == REGISTER_AT_USE
    }

    /// What was found out about the descriptor.
    #[inline]
    pub(crate) fn nature(&self) -> Nature {
        self.inner.nature.get()
    }

    /// Notes what was found out about the descriptor.
    pub(crate) fn set_nature(&self, nature: Nature) {
        self.inner.nature.set(nature);
    }

    /// An operation at the file's own position begins; `position` is asked when it is the only one.
    pub(crate) fn begin_move(&self, position: impl FnOnce() -> u64) {
        let Descriptor { moving, position: place, .. } = &*self.inner;
        if moving.get() == 0 {
            place.set(position());
        }
        moving.set(moving.get() + 1);
    }

    /// One has ended that moved so many bytes. Returns where it began, and where the position is to be.
    pub(crate) fn end_move(&self, bytes: u64) -> (u64, u64) {
        let Descriptor { moving, position, .. } = &*self.inner;
        moving.set(moving.get().saturating_sub(1));
        let start = position.get();
        position.set(start.saturating_add(bytes));
        (start, position.get())
    }

    /// Notes that the ring knows the descriptor under a slot.
    pub(crate) fn set_registration(&self, registration: Registration) {
        self.inner.slot.set(registration.slot());
        self.inner.registry.set(Rc::as_ptr(&registration.registry));
        *self.inner.registration.borrow_mut() = Some(registration);
    }

    /// Ends the registration now, so that closing the descriptor really closes the file.
    pub(crate) fn unregister(&self) {
        self.inner.slot.set(UNREGISTERED);
        *self.inner.registration.borrow_mut() = None;
    }

    /// Forgets the descriptor after the kernel closed it. Does nothing when other clones are alive.
    pub(crate) fn forget_closed(self) {
        if let Ok(fd) = self.try_into_owned() {
            let _closed_by_the_kernel: RawFd = fd.into_raw_fd();
        }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_ref().expect("taken only from the last clone, which is gone then").as_fd()
    }
}

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl From<OwnedFd> for Handle {
    fn from(fd: OwnedFd) -> Handle {
        Handle::from_owned(fd)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("fd", &self.inner.fd).field("slot", &self.inner.slot.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn the_descriptor_comes_out_of_the_last_clone_only() {
        let handle = Handle::from_owned(open());
        let clone = handle.clone();
        let handle = handle.try_into_owned().unwrap_err();
        drop(clone);
        assert!(handle.is_unique());
        let fd = handle.try_into_owned().unwrap();
        assert!(rustix::io::fcntl_getfd(&fd).is_ok(), "it is still open");
    }

    #[test]
    fn a_registration_is_retired_with_the_last_clone() {
        let registry = Rc::new(Registry::default());
        registry.open(2);
        let handle = Handle::from_owned(open());
        handle.set_registration(registry.take().unwrap());
        assert_eq!(handle.slot(Rc::as_ptr(&registry)), Some(0));
        let other = Rc::new(Registry::default());
        other.open(2);
        assert_eq!(handle.slot(Rc::as_ptr(&other)), None, "another ring's table");
        let clone = handle.clone();
        drop(handle);
        assert!(!registry.has_retired());
        drop(clone);
        assert_eq!(registry.next_retired(), Some(0));
        let second = registry.take().unwrap();
        assert_eq!(second.slot(), 1, "a slot is not given out before it is cleared");
        assert!(registry.take().is_none());
        registry.cleared(0);
        assert_eq!(registry.take().unwrap().slot(), 0);
    }

    #[test]
    fn registering_begins_to_pay_once() {
        let handle = Handle::from_owned(open());
        let times = (0..1000).filter(|_| handle.count_use()).count();
        assert_eq!(times, 1);
    }
}
