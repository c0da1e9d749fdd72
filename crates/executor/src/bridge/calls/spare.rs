//! Memory of parcels that JavaScript is done with, kept for the next ones: its pages are there already. ARCHITECTURE.md has the figures.
use super::parcel::MAPPED_BYTES;
use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Below this malloc keeps what was freed by itself; from [`MAPPED_BYTES`] on parcels are mappings of their own.
const LEAST: usize = 128 * 1024;

/// The store of one executor: pool threads take from it, and whoever drops a parcel, on whichever thread, gives back.
#[derive(Clone, Debug)]
pub(super) struct Spare(Arc<Mutex<Kept>>);

struct Kept {
    /// The last one given, at the back, is the first one taken, since it is in the CPU's cache most likely, and the last one freed.
    blocks: VecDeque<Vec<u8>>,
    bytes: usize,
    limit: usize,
    reused: u64,
}

/// Where a parcel's memory goes when it is dropped: nowhere once its executor is gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Home(Weak<Mutex<Kept>>);

impl Spare {
    /// A store of `limit` bytes at most.
    pub fn new(limit: usize) -> Spare {
        Spare(Arc::new(Mutex::new(Kept { blocks: VecDeque::new(), bytes: 0, limit, reused: 0 })))
    }

    /// Keeps so many bytes at most from now on.
    pub fn set_limit(&self, limit: usize) {
        let mut kept = lock(&self.0);
        kept.limit = limit;
        kept.keep_to_limit();
    }

    /// Memory for `size` bytes, at most twice as much, with no content; and where it belongs. `None` when none fits.
    pub fn take(&self, size: usize) -> Option<Vec<u8>> {
        if !kept_sizes(size) {
            return None;
        }
        let mut kept = lock(&self.0);
        let fits = |block: &Vec<u8>| (size..=2 * size).contains(&block.capacity());
        let at = kept.blocks.iter().rposition(fits)?;
        let block = kept.blocks.remove(at)?;
        kept.bytes -= block.capacity();
        kept.reused += 1;
        Some(block)
    }

    /// Where memory of this store goes when it is free.
    pub fn home(&self) -> Home {
        Home(Arc::downgrade(&self.0))
    }

    /// Bytes kept now, the most they may be, and times that kept memory was taken.
    pub fn stats(&self) -> (usize, usize, u64) {
        let kept = lock(&self.0);
        (kept.bytes, kept.limit, kept.reused)
    }
}

impl Home {
    /// Keeps memory, in place of what was kept longest where there is no room for both: sizes that nobody asks for any more go. What was in it is
    /// never read again: a block is taken with length 0.
    pub fn give(&self, mut block: Vec<u8>) {
        let Some(store) = self.0.upgrade().filter(|_| kept_sizes(block.capacity())) else { return };
        block.clear();
        let mut kept = lock(&store);
        if block.capacity() <= kept.limit {
            kept.bytes += block.capacity();
            kept.blocks.push_back(block);
            kept.keep_to_limit();
        }
    }
}

impl Kept {
    fn keep_to_limit(&mut self) {
        while self.bytes > self.limit
            && let Some(block) = self.blocks.pop_front()
        {
            self.bytes -= block.capacity();
        }
    }
}

fn kept_sizes(size: usize) -> bool {
    (LEAST..MAPPED_BYTES).contains(&size)
}

/// Nothing in here panics half way, so a poisoned lock is as good as another.
fn lock(store: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("bytes", &self.bytes).field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 20;

    #[test]
    fn memory_that_fits_is_taken_again_and_is_empty() {
        let spare = Spare::new(4 * SIZE);
        assert!(spare.take(SIZE).is_none());
        let block = vec![7; SIZE];
        let place = block.as_ptr();
        spare.home().give(block);
        assert_eq!(spare.stats(), (SIZE, 4 * SIZE, 0));
        assert!(spare.take(SIZE + 1).is_none() && spare.take(SIZE / 2 - 1).is_none());
        let again = spare.take(SIZE / 2).unwrap();
        assert_eq!((again.as_ptr(), again.len(), spare.stats()), (place, 0, (0, 4 * SIZE, 1)));
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_nothing_of_other_sizes() {
        let spare = Spare::new(2 * SIZE + 1);
        for _ in 0..3 {
            spare.home().give(vec![0; SIZE]);
        }
        assert_eq!(spare.stats().0, 2 * SIZE);
        spare.set_limit(SIZE);
        assert_eq!(spare.stats(), (SIZE, SIZE, 0));
        spare.set_limit(0);
        spare.home().give(vec![0; SIZE]);
        assert_eq!(spare.stats().0, 0);
        let roomy = Spare::new(usize::MAX / 2);
        for size in [0, LEAST - 1, MAPPED_BYTES] {
            roomy.home().give(vec![0; size]);
            assert!(roomy.take(size).is_none());
        }
        assert_eq!(roomy.stats(), (0, usize::MAX / 2, 0));
    }

    #[test]
    fn what_was_kept_longest_makes_way() {
        let spare = Spare::new(2 * SIZE);
        for _ in 0..4 {
            spare.home().give(vec![0; SIZE / 2]);
        }
        spare.home().give(vec![0; SIZE]);
        assert_eq!(spare.stats().0, 2 * SIZE);
        assert!(spare.take(SIZE).is_some() && spare.take(SIZE).is_none());
        spare.home().give(vec![0; 2 * SIZE + 1]);
        assert_eq!(spare.stats().0, SIZE, "what is longer than the limit is freed alone");
    }

    #[test]
    fn what_outlives_its_executor_is_freed() {
        let home = Spare::new(SIZE).home();
        home.give(vec![0; SIZE]);
        Home::default().give(vec![0; SIZE]);
        assert!(home.0.upgrade().is_none());
    }
}
