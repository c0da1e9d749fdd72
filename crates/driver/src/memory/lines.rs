//! Pieces smaller than a page: six sizes from 64 to 2048 bytes, a bitmap per page. Says where; touches no memory.
use super::pages::Pages;
use crate::limits::{LINE, PAGE};

const NONE: u32 = u32::MAX;
const CLASSES: usize = 6;
const _: () = assert!(LINE << CLASSES == PAGE);
const _: () = assert!(PAGE / LINE <= u64::BITS as usize, "a page's pieces fit its bitmap");

/// The allocator of byte offsets for small pieces; takes and returns whole pages from and to [`Pages`].
#[derive(Debug)]
pub(super) struct Lines {
    pages: Vec<Page>,
    /// Per class, the first page with a free piece.
    heads: [u32; CLASSES],
}

#[derive(Clone, Copy, Debug)]
struct Page {
    /// Bit n: piece n is free.
    free: u64,
    class: u8,
    next: u32,
    previous: u32,
}

fn class(bytes: usize) -> usize {
    bytes.div_ceil(LINE).next_power_of_two().ilog2() as usize
}

fn all_free(class: usize) -> u64 {
    let pieces = (PAGE / LINE) >> class;
    if pieces == 64 { u64::MAX } else { (1 << pieces) - 1 }
}

impl Lines {
    pub(super) fn new(pages: u32) -> Lines {
        let nothing = Page { free: 0, class: 0, next: NONE, previous: NONE };
        Lines { pages: vec![nothing; pages as usize], heads: [NONE; CLASSES] }
    }

    /// Takes a piece of at least `bytes`, which are fewer than a page. Returns its byte offset.
    pub(super) fn allocate(&mut self, bytes: usize, pages: &mut Pages) -> Option<u32> {
        let class = class(bytes);
        if class == CLASSES {
            return Some(pages.allocate(1)? * PAGE as u32); // More than half a page: a page.
        }
        if self.heads[class] == NONE {
            let page = pages.allocate(1)?;
            self.pages[page as usize].free = all_free(class);
            self.pages[page as usize].class = class as u8;
            self.link(page);
        }
        let page = self.heads[class];
        let piece = self.pages[page as usize].free.trailing_zeros();
        self.pages[page as usize].free &= !(1 << piece);
        if self.pages[page as usize].free == 0 {
            self.unlink(page);
        }
        Some(page * PAGE as u32 + (piece << class) * LINE as u32)
    }

    /// Gives a piece back. `bytes` is what was asked for.
    pub(super) fn release(&mut self, offset: u32, bytes: usize, pages: &mut Pages) {
        let class = class(bytes);
        let page = offset / PAGE as u32;
        if class == CLASSES {
            return pages.release(page);
        }
        let piece = ((offset % PAGE as u32) / LINE as u32) >> class;
        let entry = &mut self.pages[page as usize];
        assert!(entry.class as usize == class && entry.free & 1 << piece == 0, "the piece is not in use");
        let was_full = entry.free == 0;
        entry.free |= 1 << piece;
        let is_empty = entry.free == all_free(class);
        if was_full {
            self.link(page);
        }
        if is_empty {
            self.unlink(page);
            pages.release(page);
        }
    }

    fn link(&mut self, page: u32) {
        let class = self.pages[page as usize].class as usize;
        let head = std::mem::replace(&mut self.heads[class], page);
        self.pages[page as usize].next = head;
        self.pages[page as usize].previous = NONE;
        if head != NONE {
            self.pages[head as usize].previous = page;
        }
    }

    fn unlink(&mut self, page: u32) {
        let Page { class, next, previous, .. } = self.pages[page as usize];
        if next != NONE {
            self.pages[next as usize].previous = previous;
        }
        if previous != NONE {
            self.pages[previous as usize].next = next;
        } else {
            self.heads[class as usize] = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_powers_of_two() {
        for (bytes, expected) in
            [(0, 0), (1, 0), (64, 0), (65, 1), (128, 1), (1024, 4), (2048, 5), (2049, 6), (4095, 6)]
        {
            assert_eq!(class(bytes), expected, "{bytes} bytes");
        }
        assert_eq!(all_free(0), u64::MAX);
        assert_eq!(all_free(5), 0b11);
    }

    #[test]
    fn a_page_of_pieces_comes_back_whole() {
        let (mut lines, mut pages) = (Lines::new(4), Pages::new(4));
        for bytes in [1, 64, 100, 500, 2048, 3000] {
            let taken: Vec<_> = std::iter::from_fn(|| lines.allocate(bytes, &mut pages)).collect();
            let size = (LINE << class(bytes)) as u32;
            let mut sorted = taken.clone();
            sorted.sort_unstable();
            assert_eq!(sorted.len() as u32, 4 * PAGE as u32 / size);
            assert!(sorted.windows(2).all(|two| two[0] + size <= two[1]), "{bytes} bytes overlap");
            for offset in taken {
                lines.release(offset, bytes, &mut pages);
            }
            assert_eq!(pages.longest(), 4);
        }
    }

    #[test]
    #[should_panic(expected = "not in use")]
    fn a_second_release_is_caught() {
        let (mut lines, mut pages) = (Lines::new(1), Pages::new(1));
        let (first, _second) = (lines.allocate(64, &mut pages).unwrap(), lines.allocate(64, &mut pages));
        lines.release(first, 64, &mut pages);
        lines.release(first, 64, &mut pages);
    }
}
