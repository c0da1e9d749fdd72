//! The arena: one mapping, cut into leases. A lease is in one hand: JavaScript, an operation, or free (INV-3).
use super::{lines::Lines, mapping::Mapping, pages::Pages};
use crate::{
    error::Errno,
    limits::{LINE, PAGE},
};
use std::{
    cell::RefCell,
    fmt,
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
};

/// One mmap, registered with the ring where the limits allow. The only allocator of leases. Cloning shares it; it belongs
/// to its driver's thread. The memory outlives the driver as long as a lease or a clone of [`Arena::memory`] does.
///
/// ```
/// use ringwheel_driver::{Driver, Options};
///
/// let driver = Driver::start(&Options::default())?;
/// let mut lease = driver.arena().lease(4096).expect("room");
/// lease[..5].copy_from_slice(b"hello");
/// let id = driver.arena().lend(lease); // now JavaScript's
/// let lease = driver.arena().take(id).expect("in JavaScript's hand");
/// assert_eq!(&lease[..5], b"hello");
/// # Ok::<(), ringwheel_driver::StartError>(())
/// ```
#[derive(Clone)]
pub struct Arena {
    inner: Rc<Inner>,
}

struct Inner {
    memory: Arc<Mapping>,
    table: RefCell<Table>,
}

struct Table {
    pages: Pages,
    lines: Lines,
    entries: Vec<Entry>,
    /// The first free entry; the rest follow through `Entry::offset`.
    free: u32,
    leased: u32,
}

#[derive(Clone, Copy)]
struct Entry {
    generation: u32,
    offset: u32,
    length: u32,
    hand: Hand,
}

/// Who holds a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    Free,
    /// A [`Lease`] value: an operation, or code about to submit one.
    Operation,
    /// A [`LeaseId`]: JavaScript.
    JavaScript,
}

const NONE: u32 = u32::MAX;

/// Names a lease to a distrusted caller: slot and generation, checked at every transition (INV-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// Index in the lease table.
    pub slot: u32,
    /// Bumped at every release.
    pub generation: u32,
}

/// Why a [`LeaseId`] was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseError {
    /// No such lease: it was released, or the id was never given out.
    Stale,
    /// An operation holds it. Wait for that operation's completion.
    Busy,
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeaseError::Stale => "the lease was released; take a new one",
            LeaseError::Busy => "an operation still uses the lease; wait for it to end",
        })
    }
}

impl std::error::Error for LeaseError {}

/// The arena has no room for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory {
    /// Bytes asked for.
    pub requested: usize,
    /// Bytes of the largest lease that would succeed now (rounded down to pages).
    pub largest: usize,
    /// Bytes of the arena.
    pub total: usize,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no room for a lease of {} bytes: the largest free range of the {}-byte arena is {} bytes; release leases or start with a larger `memory`",
            self.requested, self.total, self.largest
        )
    }
}

impl std::error::Error for NoMemory {}

impl Arena {
    /// Maps `bytes`, a multiple of the page.
    pub(crate) fn new(bytes: usize) -> Result<Arena, Errno> {
        let memory = Mapping::new(bytes)?;
        let pages = (memory.length() / PAGE) as u32;
        let table = Table {
            pages: Pages::new(pages),
            lines: Lines::new(pages),
            entries: Vec::new(),
            free: NONE,
            leased: 0,
        };
        Ok(Arena { inner: Rc::new(Inner { memory: Arc::new(memory), table: RefCell::new(table) }) })
    }

    /// Leases `bytes`: aligned to 4096 from that size on, to 64 below it. The content is whatever was there: zeros at first,
    /// an earlier lease's bytes later. Bounded steps, no system call.
    pub fn lease(&self, bytes: usize) -> Result<Lease, NoMemory> {
        let mut table = self.inner.table.borrow_mut();
        let Some(offset) = table.allocate(bytes) else {
            let largest = table.pages.longest() as usize * PAGE;
            return Err(NoMemory { requested: bytes, largest, total: self.inner.memory.length() });
        };
        let length = bytes as u32;
        let slot = table.enter(offset, length);
        Ok(Lease { inner: Rc::clone(&self.inner), slot, offset, length })
    }

    /// Puts a lease into JavaScript's hand. The id stays the same for as long as the lease lives.
    #[inline]
    pub fn lend(&self, lease: Lease) -> LeaseId {
        assert!(Rc::ptr_eq(&self.inner, &lease.inner), "the lease is of this arena");
        let mut table = self.inner.table.borrow_mut();
        let entry = &mut table.entries[lease.slot as usize];
        debug_assert_eq!(entry.hand, Hand::Operation);
        entry.hand = Hand::JavaScript;
        let id = LeaseId { slot: lease.slot, generation: entry.generation };
        drop(table);
        lease.pass_on();
        id
    }

    /// Takes a lease out of JavaScript's hand, for an operation. Give it back with [`Arena::lend`].
    #[inline]
    pub fn take(&self, id: LeaseId) -> Result<Lease, LeaseError> {
        let mut table = self.inner.table.borrow_mut();
        let entry = table.entries.get_mut(id.slot as usize).ok_or(LeaseError::Stale)?;
        if entry.generation != id.generation {
            return Err(LeaseError::Stale);
        }
        match entry.hand {
            Hand::Free => Err(LeaseError::Stale),
            Hand::Operation => Err(LeaseError::Busy),
            Hand::JavaScript => {
                entry.hand = Hand::Operation;
                let (offset, length) = (entry.offset, entry.length);
                Ok(Lease { inner: Rc::clone(&self.inner), slot: id.slot, offset, length })
            }
        }
    }

    /// Frees a lease that is in JavaScript's hand.
    pub fn release(&self, id: LeaseId) -> Result<(), LeaseError> {
        self.take(id).map(drop)
    }

    /// The memory under all leases. A clone keeps it mapped: hold one for as long as a foreign ArrayBuffer shows it.
    pub fn memory(&self) -> &Arc<Mapping> {
        &self.inner.memory
    }

    /// Bytes of the arena.
    pub fn total(&self) -> usize {
        self.inner.memory.length()
    }

    /// Bytes in pages that no lease touches.
    pub fn free_bytes(&self) -> usize {
        self.inner.table.borrow().pages.free_pages() as usize * PAGE
    }

    /// Leases in JavaScript's or an operation's hand.
    pub fn leases(&self) -> usize {
        self.inner.table.borrow().leased as usize
    }
}

impl Table {
    fn allocate(&mut self, bytes: usize) -> Option<u32> {
        if bytes < PAGE {
            return self.lines.allocate(bytes, &mut self.pages);
        }
        let pages = u32::try_from(bytes.div_ceil(PAGE)).ok()?;
        Some(self.pages.allocate(pages)? * PAGE as u32)
    }

    fn enter(&mut self, offset: u32, length: u32) -> u32 {
        self.leased += 1;
        let hand = Hand::Operation;
        if self.free == NONE {
            self.entries.push(Entry { generation: 1, offset, length, hand });
            return self.entries.len() as u32 - 1;
        }
        let slot = self.free;
        let entry = &mut self.entries[slot as usize];
        self.free = entry.offset;
        *entry = Entry { generation: entry.generation, offset, length, hand };
        slot
    }

    fn leave(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        assert_eq!(entry.hand, Hand::Operation, "only a Lease value is dropped");
        let (offset, length) = (entry.offset, entry.length as usize);
        *entry = Entry {
            generation: entry.generation.wrapping_add(1),
            offset: self.free,
            length: 0,
            hand: Hand::Free,
        };
        self.free = slot;
        self.leased -= 1;
        if length < PAGE {
            self.lines.release(offset, length, &mut self.pages);
        } else {
            self.pages.release(offset / PAGE as u32);
        }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("total", &self.total())
            .field("free", &self.free_bytes())
            .field("leases", &self.leases())
            .finish()
    }
}

/// A range of the arena in one hand: the holder of this value. Moving it into an operation is the transition of INV-3.
/// Not `Clone`. Dropping it frees the range. Derefs to its bytes.
///
/// JavaScript may have kept a view of these bytes from an earlier [`Arena::lend`] and write to them on this same thread
/// between two calls into Rust; so nothing checked in them stays checked (INV-5), and nothing but bytes is kept in them.
pub struct Lease {
    inner: Rc<Inner>,
    slot: u32,
    offset: u32,
    length: u32,
}

impl Lease {
    /// Bytes, as asked for.
    #[expect(clippy::len_without_is_empty, reason = "the slice it derefs to has it")]
    #[inline]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Where it starts in [`Arena::memory`].
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset as usize
    }

    /// Address of the byte at `offset`, which is at most the length.
    #[inline]
    pub(crate) fn pointer_at(&self, offset: u32) -> *mut u8 {
        debug_assert!(offset <= self.length);
        self.inner.memory.start().as_ptr().wrapping_add(self.offset as usize + offset as usize)
    }

    /// Lets go of the value without freeing the range: it is in JavaScript's hand now.
    fn pass_on(self) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `read` needs a valid value that is not used again: `this` is never dropped nor touched after this line.
        // Checked: arena tests (the Rc count falls to one when everything was given back).
        drop(unsafe { std::ptr::read(&raw const this.inner) });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.inner.table.borrow_mut().leave(self.slot);
    }
}

impl Deref for Lease {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `from_raw_parts` needs `length` initialised bytes that nobody writes meanwhile.
        // Holds: the allocator gave this range to this value alone (INV-3), mmap zeroed it, the Arc keeps it mapped.
        // Checked: the property test below (no two leases overlap).
        unsafe { std::slice::from_raw_parts(self.pointer_at(0), self.len()) }
    }
}

impl DerefMut for Lease {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.pointer_at(0), self.len()) }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("slot", &self.slot)
            .field("offset", &self.offset)
            .field("length", &self.length)
            .finish()
    }
}

const _: () = assert!(LINE.is_power_of_two() && LINE >= 64, "a lease never shares a cache line with another");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arena() -> Arena {
        Arena::new(65_536).unwrap()
    }

    #[test]
    fn an_id_works_in_one_hand_only() {
        let arena = arena();
        let id = arena.lend(arena.lease(100).unwrap());
        let lease = arena.take(id).unwrap();
        assert_eq!(arena.take(id).unwrap_err(), LeaseError::Busy);
        assert_eq!(arena.release(id), Err(LeaseError::Busy));
        assert_eq!(arena.lend(lease), id);
        arena.release(id).unwrap();
        assert_eq!(arena.take(id).unwrap_err(), LeaseError::Stale);
        let next = arena.lend(arena.lease(100).unwrap());
        assert_eq!(next.slot, id.slot);
        assert_eq!(arena.release(id), Err(LeaseError::Stale), "the next user of the slot is not hurt");
        assert_eq!(arena.leases(), 1);
        for id in [LeaseId { slot: 99, generation: 0 }, LeaseId { slot: u32::MAX, generation: u32::MAX }] {
            assert_eq!(arena.take(id).unwrap_err(), LeaseError::Stale);
        }
    }

    #[test]
    fn a_refusal_names_the_limit() {
        let arena = arena();
        let _lease = arena.lease(40_960).unwrap();
        let refused = arena.lease(30_000).unwrap_err();
        assert_eq!(refused, NoMemory { requested: 30_000, largest: 24_576, total: 65_536 });
        assert!(refused.to_string().contains("larger `memory`"));
        for bytes in [usize::MAX, 1 << 32, (1 << 32) + 1, 65_537] {
            assert!(arena.lease(bytes).is_err(), "{bytes}");
        }
    }

    #[test]
    fn nothing_is_kept_when_all_is_given_back() {
        let arena = arena();
        let ids: Vec<_> = (0..100).map(|n| arena.lend(arena.lease(n * 6).unwrap())).collect();
        assert_eq!(Rc::strong_count(&arena.inner), 1, "an id holds no reference");
        ids.into_iter().for_each(|id| arena.release(id).unwrap());
        assert_eq!(arena.free_bytes(), 65_536);
        assert_eq!(Rc::strong_count(&arena.inner), 1);
    }

    #[test]
    fn the_memory_outlives_the_arena() {
        let arena = arena();
        let memory = Arc::clone(arena.memory());
        let mut lease = arena.lease(8).unwrap();
        drop(arena);
        lease.copy_from_slice(b"survived");
        drop(lease);
        // SAFETY: `read` needs a mapped byte; `memory` keeps it mapped.
        assert_eq!(unsafe { memory.start().read() }, b's');
    }

    proptest! {
        #[test]
        fn leases_are_aligned_and_never_overlap(steps in prop::collection::vec((0usize..20_000, any::<prop::sample::Index>(), any::<bool>()), 1..200)) {
            let arena = arena();
            let mut leases: Vec<(Lease, u8)> = Vec::new();
            for (n, (bytes, which, release)) in steps.into_iter().enumerate() {
                if release && !leases.is_empty() {
                    let (lease, mark) = leases.swap_remove(which.index(leases.len()));
                    prop_assert!(lease.iter().all(|byte| *byte == mark), "another lease wrote here");
                } else if let Ok(mut lease) = arena.lease(bytes) {
                    prop_assert_eq!(lease.len(), bytes);
                    let alignment = if bytes >= PAGE { PAGE } else { LINE };
                    prop_assert_eq!(lease.as_ptr() as usize % alignment, 0);
                    lease.fill(n as u8);
                    leases.push((lease, n as u8));
                }
            }
            prop_assert!(leases.iter().all(|(lease, mark)| lease.iter().all(|byte| byte == mark)));
            drop(leases);
            prop_assert_eq!(arena.free_bytes(), arena.total());
            prop_assert!(arena.lease(65_536).is_ok());
        }
    }
}
