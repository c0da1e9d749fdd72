//! Memory of tasks: blocks in size classes, carved from pages that live as long as the executor. No malloc per spawn once
//! warm: a freed block is the next one given out (LIFO, so still in cache).
use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::{Cell, UnsafeCell},
    ptr::NonNull,
};

/// The smallest block, in bytes: a header and a future of 80 bytes.
const BLOCK_MIN: usize = 128;
/// Size classes: 128 bytes, 256, … 64 KiB. Larger futures are rare and get an allocation of their own.
const CLASSES: usize = 10;
/// Alignment of blocks, a cache line. Futures that want more get an allocation of their own.
const BLOCK_ALIGN: usize = 64;
/// Bytes of a page: sixteen blocks, but not less than this.
const PAGE_MIN: usize = 8192;

/// A free block: the next free one of its class.
struct Free {
    next: Option<NonNull<Free>>,
}

/// The free lists and the pages.
pub(crate) struct Arena {
    free: [Cell<Option<NonNull<Free>>>; CLASSES],
    pages: UnsafeCell<Vec<(NonNull<u8>, Layout)>>,
    bytes: Cell<u64>,
}

/// The class of a layout; `CLASSES` for what gets its own allocation.
#[inline]
const fn class_of(layout: Layout) -> usize {
    if layout.align() > BLOCK_ALIGN {
        return CLASSES;
    }
    let size = if layout.size() < BLOCK_MIN { BLOCK_MIN } else { layout.size().next_power_of_two() };
    let class = (size / BLOCK_MIN).trailing_zeros() as usize;
    if class < CLASSES { class } else { CLASSES }
}

impl Arena {
    pub(crate) fn new() -> Arena {
        Arena {
            free: [const { Cell::new(None) }; CLASSES],
            pages: UnsafeCell::new(Vec::new()),
            bytes: Cell::new(0),
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// A block for `layout`, uninitialized.
    #[inline]
    pub(crate) fn take(&self, layout: Layout) -> NonNull<u8> {
        let class = class_of(layout);
        let Some(list) = self.free.get(class) else { return self.take_alone(layout) };
        let block = match list.get() {
            Some(block) => block,
            None => self.grow(class),
        };
        // SAFETY: needs a valid `Free` at `block`. Holds: only `give` and `grow` put blocks in the list, and write one there.
        // Checked: `blocks_do_not_overlap` below.
        list.set(unsafe { block.as_ref() }.next);
        block.cast()
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` came from `take` of this arena with the same layout and is not used again.
    #[inline]
    pub(crate) unsafe fn give(&self, block: NonNull<u8>, layout: Layout) {
        let Some(list) = self.free.get(class_of(layout)) else {
            self.bytes.set(self.bytes.get() - layout.size() as u64);
            // SAFETY: needs an allocation of this layout. Holds: the same layout took `take_alone` (caller's promise).
            return unsafe { dealloc(block.as_ptr(), layout) };
        };
        let free = block.cast::<Free>();
        // SAFETY: needs 8 writable, aligned bytes. Holds: a block has at least 128, aligned to 64.
        unsafe { free.write(Free { next: list.get() }) };
        list.set(Some(free));
    }

    #[cold]
    fn take_alone(&self, layout: Layout) -> NonNull<u8> {
        self.bytes.set(self.bytes.get() + layout.size() as u64);
        // SAFETY: needs a size above 0. Holds: every task has a header.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        block
    }

    /// A new page for `class`, all its blocks on the (empty) free list. Returns the first.
    #[cold]
    fn grow(&self, class: usize) -> NonNull<Free> {
        let size = BLOCK_MIN << class;
        let count = (PAGE_MIN / size).max(if class < 6 { 16 } else { 4 });
        let Ok(layout) = Layout::from_size_align(size * count, BLOCK_ALIGN) else {
            unreachable!("16 blocks of 64 KiB")
        };
        // SAFETY: needs a size above 0. Holds: four blocks at least.
        let Some(page) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        self.bytes.set(self.bytes.get() + layout.size() as u64);
        // SAFETY: needs the only reference. Holds: `pages` is touched here and in `drop` alone, one thread, no callbacks.
        unsafe { &mut *self.pages.get() }.push((page, layout));
        let mut next = None;
        for index in (0..count).rev() {
            // SAFETY: needs to stay in the page. Holds: index < count.
            let block = unsafe { page.add(index * size) }.cast::<Free>();
            // SAFETY: needs 8 writable, aligned bytes. Holds: the block is in the page, aligned to 64, unused.
            unsafe { block.write(Free { next }) };
            next = Some(block);
        }
        page.cast()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for (page, layout) in self.pages.get_mut().drain(..) {
            // SAFETY: needs a page of this layout that nobody uses. Holds: `grow` made it; tasks and join handles keep the
            // core alive, so none is left. Checked: tests/lifetimes.rs counts memory over 10,000 executors.
            unsafe { dealloc(page.as_ptr(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_powers_of_two_and_the_rest_stands_alone() {
        let class = |size, align| class_of(Layout::from_size_align(size, align).unwrap());
        assert_eq!((class(48, 8), class(128, 8), class(129, 8), class(256, 64)), (0, 0, 1, 1));
        assert_eq!((class(65536, 8), class(65537, 8), class(48, 128)), (9, CLASSES, CLASSES));
    }

    #[test]
    fn blocks_do_not_overlap() {
        let arena = Arena::new();
        let mut seen: Vec<(usize, usize)> = Vec::new();
        let mut given = Vec::new();
        for round in 0..200_usize {
            let layout = Layout::from_size_align(48 + round * 37 % 9000, 8).unwrap();
            let block = arena.take(layout);
            let range = (block.as_ptr() as usize, block.as_ptr() as usize + layout.size());
            assert!(seen.iter().all(|other| range.1 <= other.0 || other.1 <= range.0));
            // SAFETY: within the block that was just taken.
            unsafe { std::ptr::write_bytes(block.as_ptr(), round as u8, layout.size()) };
            seen.push(range);
            given.push((block, layout));
        }
        let bytes = arena.bytes();
        for (block, layout) in given.drain(..) {
            // SAFETY: from `take` with this layout.
            unsafe { arena.give(block, layout) };
        }
        for round in 0..200_usize {
            arena.take(Layout::from_size_align(48 + round * 37 % 9000, 8).unwrap());
        }
        assert_eq!(arena.bytes(), bytes, "the second round is served from the free lists");
    }
}
