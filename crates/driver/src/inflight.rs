//! The in-flight slab: slot + generation names an operation, and what it owns stays here until its final completion (INV-1).

/// A slab whose keys carry a generation, so that a stale key finds nothing. The bound is the caller's to keep: see
/// [`Slab::insert`]. Growing moves the values, so nothing the kernel points at may lie inside a value.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot; the rest follow through `Slot::next`. Last freed, first used: the warmest.
    free: u32,
    length: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    next: u32,
    value: Option<T>,
}

const NONE: u32 = u32::MAX;

/// A key: generation in the high half, slot in the low half. It is the `user_data` of the uring backend.
pub(crate) type Key = u64;

const fn key(slot: u32, generation: u32) -> Key {
    (generation as u64) << 32 | slot as u64
}

impl<T> Slab<T> {
    /// An empty slab.
    pub(crate) const fn new() -> Self {
        Slab { slots: Vec::new(), free: NONE, length: 0 }
    }

    /// Values in it.
    pub(crate) fn len(&self) -> usize {
        self.length as usize
    }

    /// Takes a value and names it. No allocation while a freed slot is there.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.length += 1;
        if self.free != NONE {
            let index = self.free;
            let slot = &mut self.slots[index as usize];
            debug_assert!(slot.value.is_none());
            self.free = slot.next;
            slot.value = Some(value);
            return key(index, slot.generation);
        }
        let index = self.slots.len() as u32;
        assert!(index < NONE, "the callers' limits keep the slab far below 2^32 slots");
        self.slots.push(Slot { generation: 0, next: NONE, value: Some(value) });
        key(index, 0)
    }

    /// The value, unless the key is stale.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key as u32 as usize)?;
        if slot.generation != (key >> 32) as u32 {
            return None;
        }
        slot.value.as_mut()
    }

    /// Takes the value out and makes its key stale.
    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let index = key as u32;
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != (key >> 32) as u32 {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next = self.free;
        self.free = index;
        self.length -= 1;
        Some(value)
    }

    /// Drops the value in its place and makes its key stale.
    #[inline]
    pub(crate) fn free(&mut self, key: Key) {
        let index = key as u32;
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        if slot.generation != (key >> 32) as u32 || slot.value.is_none() {
            return;
        }
        slot.value = None;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next = self.free;
        self.free = index;
        self.length -= 1;
    }

    /// Every key that is in it now. For shutdown; it allocates.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let live = |(index, slot): (usize, &Slot<T>)| {
            slot.value.is_some().then(|| key(index as u32, slot.generation))
        };
        self.slots.iter().enumerate().filter_map(live).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(first as u32, second as u32, "the slot is used again");
        assert_ne!(first, second, "under another generation");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "second"));
        assert_eq!(slab.len(), 1);
        slab.free(first);
        assert_eq!(slab.len(), 1, "a stale key frees nothing");
        slab.free(second);
        slab.free(second);
        assert_eq!(slab.get_mut(second), None);
        assert_eq!(slab.len(), 0);
    }

    #[test]
    fn a_key_from_nowhere_finds_nothing() {
        let mut slab = Slab::new();
        slab.insert(1);
        for key in [u64::MAX, 1, 1 << 32, u64::from(u32::MAX)] {
            assert_eq!(slab.get_mut(key), None, "{key:#x}");
            assert_eq!(slab.remove(key), None, "{key:#x}");
        }
    }

    #[test]
    fn slots_are_used_again_before_the_slab_grows() {
        let mut slab = Slab::new();
        let keys: Vec<_> = (0..100).map(|n| slab.insert(n)).collect();
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(slab.remove(*key), Some(n));
        }
        assert_eq!(slab.len(), 0);
        for n in 0..100 {
            slab.insert(n);
        }
        assert_eq!(slab.slots.len(), 100);
        assert_eq!(slab.keys().len(), 100);
    }
}
