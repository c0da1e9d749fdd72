//! Runs of whole pages: allocate and free in bounded steps, neighbours merged. Says where; touches no memory.
//!
//! Free runs hang in one list per power of two of their length. A request looks at a few runs of its own list, then takes
//! the head of the next longer list, which fits for certain; only when no longer list has one does it search its own to the end.

const NONE: u32 = u32::MAX;
const BINS: usize = 32;
/// Runs of the request's own list that are looked at before a longer run is split.
const LOOK_AT: usize = 8;

/// The allocator of page numbers `0..pages`.
#[derive(Debug)]
pub(super) struct Pages {
    /// Valid at the first and the last page of each run, and only there.
    runs: Vec<Run>,
    heads: [u32; BINS],
    /// Bit n: list n is not empty.
    filled: u32,
    free: u32,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    length: u32,
    free: bool,
    next: u32,
    previous: u32,
}

fn bin(length: u32) -> usize {
    length.ilog2() as usize
}

impl Pages {
    pub(super) fn new(pages: u32) -> Pages {
        let nothing = Run { length: 0, free: false, next: NONE, previous: NONE };
        let mut all =
            Pages { runs: vec![nothing; pages as usize], heads: [NONE; BINS], filled: 0, free: pages };
        if pages > 0 {
            all.link(0, pages);
        }
        all
    }

    /// Free pages, in whatever runs.
    pub(super) fn free_pages(&self) -> u32 {
        self.free
    }

    /// The longest run that could be had now.
    pub(super) fn longest(&self) -> u32 {
        let Some(bin) = self.filled.checked_ilog2() else { return 0 };
        self.list(bin as usize).map(|page| self.runs[page as usize].length).max().unwrap_or(0)
    }

    /// Takes a run of exactly `length` pages.
    pub(super) fn allocate(&mut self, length: u32) -> Option<u32> {
        if length == 0 || length > self.free {
            return None;
        }
        let page = self.find(length)?;
        let found = self.runs[page as usize].length;
        self.unlink(page);
        if found > length {
            self.link(page + length, found - length);
        }
        self.mark(page, length, false);
        self.free -= length;
        Some(page)
    }

    /// Gives a run back. `page` is what `allocate` returned.
    pub(super) fn release(&mut self, page: u32) {
        let Run { mut length, free, .. } = self.runs[page as usize];
        assert!(!free && length > 0, "page {page} is not the start of a run in use");
        self.free += length;
        let mut start = page;
        let after = page + length;
        if let Some(&Run { length: following, free: true, .. }) = self.runs.get(after as usize) {
            self.unlink(after);
            length += following;
        }
        if page > 0 && self.runs[page as usize - 1].free {
            let before = self.runs[page as usize - 1].length;
            start -= before;
            self.unlink(start);
            length += before;
        }
        // An inner page must not look like a run's start to a stale `release`.
        self.runs[page as usize].length = 0;
        self.link(start, length);
    }

    fn find(&self, length: u32) -> Option<u32> {
        let own = bin(length);
        let fits = |page: &u32| self.runs[*page as usize].length >= length;
        if let Some(page) = self.list(own).take(LOOK_AT).find(fits) {
            return Some(page);
        }
        let longer = self.filled.checked_shr(own as u32 + 1).unwrap_or(0);
        if longer != 0 {
            return Some(self.heads[own + 1 + longer.trailing_zeros() as usize]);
        }
        self.list(own).skip(LOOK_AT).find(fits)
    }

    fn list(&self, bin: usize) -> impl Iterator<Item = u32> + '_ {
        let some = |page: u32| (page != NONE).then_some(page);
        std::iter::successors(some(self.heads[bin]), move |page| some(self.runs[*page as usize].next))
    }

    fn mark(&mut self, page: u32, length: u32, free: bool) {
        let last = (page + length - 1) as usize;
        self.runs[last].length = length;
        self.runs[last].free = free;
        self.runs[page as usize].length = length;
        self.runs[page as usize].free = free;
    }

    fn link(&mut self, page: u32, length: u32) {
        self.mark(page, length, true);
        let bin = bin(length);
        let head = std::mem::replace(&mut self.heads[bin], page);
        self.runs[page as usize].next = head;
        self.runs[page as usize].previous = NONE;
        if head != NONE {
            self.runs[head as usize].previous = page;
        }
        self.filled |= 1 << bin;
    }

    fn unlink(&mut self, page: u32) {
        let Run { length, next, previous, .. } = self.runs[page as usize];
        let bin = bin(length);
        if next != NONE {
            self.runs[next as usize].previous = previous;
        }
        if previous != NONE {
            self.runs[previous as usize].next = next;
        } else {
            self.heads[bin] = next;
            if next == NONE {
                self.filled &= !(1 << bin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn everything_freed_is_one_run_again() {
        let mut pages = Pages::new(100);
        let all: Vec<_> = (0..100).map(|_| pages.allocate(1).unwrap()).collect();
        assert_eq!(pages.allocate(1), None);
        assert_eq!(pages.longest(), 0);
        for page in all.iter().step_by(2).chain(all.iter().skip(1).step_by(2)) {
            pages.release(*page);
        }
        assert_eq!(pages.longest(), 100);
        assert_eq!(pages.allocate(100), Some(0));
    }

    #[test]
    #[should_panic(expected = "not the start of a run in use")]
    fn a_second_release_is_caught() {
        let mut pages = Pages::new(8);
        let page = pages.allocate(2).unwrap();
        pages.release(page);
        pages.release(page);
    }

    proptest! {
        /// Against a plain bitmap: runs never overlap, and a refusal is always true.
        #[test]
        fn agrees_with_a_bitmap(steps in prop::collection::vec((1u32..40, any::<prop::sample::Index>(), any::<bool>()), 1..300)) {
            let mut pages = Pages::new(200);
            let mut used = [false; 200];
            let mut runs: Vec<(u32, u32)> = Vec::new();
            for (length, which, release) in steps {
                if release && !runs.is_empty() {
                    let (start, length) = runs.swap_remove(which.index(runs.len()));
                    pages.release(start);
                    used[start as usize..(start + length) as usize].fill(false);
                } else if let Some(start) = pages.allocate(length) {
                    let range = start as usize..(start + length) as usize;
                    prop_assert!(used[range.clone()].iter().all(|used| !used));
                    used[range].fill(true);
                    runs.push((start, length));
                } else {
                    let longest = used.split(|used| *used).map(<[bool]>::len).max().unwrap_or(0);
                    prop_assert!(longest < length as usize, "refused {length} with a run of {longest} free");
                }
                let longest = used.split(|used| *used).map(<[bool]>::len).max().unwrap_or(0);
                prop_assert_eq!(pages.longest() as usize, longest);
                prop_assert_eq!(pages.free_pages() as usize, used.iter().filter(|used| !**used).count());
            }
        }
    }
}
