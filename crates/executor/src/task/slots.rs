//! The table from a waker's slot number to its task. A stale number finds nothing, as the generation moved on.
use super::header::Header;
use crate::remote::SELF_SLOT;
use std::{cell::UnsafeCell, ptr::NonNull};

/// One slot.
#[derive(Clone, Copy)]
enum Slot {
    Free { generation: u16, next: u32 },
    Taken { generation: u16, task: NonNull<Header> },
}

struct Inner {
    slots: Vec<Slot>,
    first_free: u32,
    limit: u32,
}

/// The table. Every method is a leaf: none runs foreign code, so the cell is never borrowed twice.
pub(crate) struct Slots {
    inner: UnsafeCell<Inner>,
}

const NONE: u32 = u32::MAX;

impl Slots {
    /// Room for `limit` tasks; slot 0 is the executor's own.
    pub(crate) fn new(limit: u32) -> Slots {
        let own = Slot::Free { generation: 0, next: NONE };
        Slots {
            inner: UnsafeCell::new(Inner {
                slots: vec![own],
                first_free: NONE,
                limit: limit + 1 + SELF_SLOT,
            }),
        }
    }

    #[expect(clippy::mut_from_ref, reason = "private; see the SAFETY comment")]
    #[inline]
    fn inner(&self) -> &mut Inner {
        // SAFETY: needs that no other reference to the inside lives. Holds: one thread (INV-6), every method is a leaf that
        // drops this reference before it returns and calls nothing that could come back here: `put` calls what `spawn_in` gives it,
        // which takes a block. Checked: by reading; there are five methods.
        unsafe { &mut *self.inner.get() }
    }

    /// False: `put` would find no slot.
    pub(crate) fn has_room(&self) -> bool {
        let inner = self.inner();
        inner.first_free != NONE || (inner.slots.len() as u32) < inner.limit
    }

    /// Puts the block that `make` gives in a slot; `make` is told the slot, its generation, and whether the slot is a new one. `None`: full.
    /// `make` must not come back to the slots.
    #[inline]
    pub(crate) fn put(
        &self,
        make: impl FnOnce(u32, u16, bool) -> NonNull<Header>,
    ) -> Option<NonNull<Header>> {
        let inner = self.inner();
        let slot = inner.first_free;
        if let Some(place) = inner.slots.get_mut(slot as usize)
            && let Slot::Free { generation, next } = *place
        {
            let task = make(slot, generation, false);
            *place = Slot::Taken { generation, task };
            inner.first_free = next;
            return Some(task);
        }
        let fresh = inner.slots.len() as u32;
        if fresh >= inner.limit {
            return None;
        }
        let task = make(fresh, 0, true);
        inner.slots.push(Slot::Taken { generation: 0, task });
        Some(task)
    }

    /// The task in a slot, if the generation is right; `None` as generation takes any.
    #[inline]
    pub(crate) fn get(&self, slot: u32, expected: Option<u16>) -> Option<NonNull<Header>> {
        match self.inner().slots.get(slot as usize) {
            Some(&Slot::Taken { generation, task })
                if expected.is_none_or(|expected| expected == generation) =>
            {
                Some(task)
            }
            _ => None,
        }
    }

    /// Frees a slot: its wakers are stale from now on.
    #[inline]
    pub(crate) fn remove(&self, slot: u32) {
        let inner = self.inner();
        if let Some(place) = inner.slots.get_mut(slot as usize)
            && let Slot::Taken { generation, .. } = *place
        {
            *place = Slot::Free { generation: generation.wrapping_add(1), next: inner.first_free };
            inner.first_free = slot;
        }
    }

    /// Slots ever used.
    pub(crate) fn len(&self) -> u32 {
        self.inner().slots.len() as u32
    }
}
