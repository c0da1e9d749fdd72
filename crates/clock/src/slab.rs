//! Where timers live: pages of 1024 entries with a generation each, given back when a page is empty.
use std::ops::Range;

/// Names one timer. Stale keys (fired, cancelled) are harmless: no later timer ever gets the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    slot: u32,
    generation: u32,
}

impl TimerKey {
    /// The key as a number, for callers that store numbers.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }
    /// The inverse of [`TimerKey::to_bits`]. A number that was no key names no timer, or one that is named by it anyway.
    #[must_use]
    pub const fn from_bits(bits: u64) -> TimerKey {
        TimerKey { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
    /// Its slot in the slab.
    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }
}

/// What the wheel carries: the slot, and the stamp that it had when the key was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WheelKey {
    /// Slot in the slab.
    pub slot: u32,
    /// Stale when the timer's stamp is another.
    pub stamp: u32,
}

/// One timer. 32 bytes with an 8-byte value, so that it never straddles a cache line.
#[derive(Clone, Copy, Debug)]
pub struct Timer<T> {
    /// The tick at which it fires.
    pub deadline: u64,
    /// Bumped when the timer ends: tells keys of users.
    generation: u32,
    /// Bumped when the timer ends or is placed a second time: tells keys of the wheel.
    pub stamp: u32,
    /// The tick, from the wheel's base, at which its key comes up.
    pub at: u32,
    /// While free: the next free entry of the page plus one.
    next_free: u16,
    live: bool,
    /// Which placement has its key.
    pub epoch: bool,
    value: T,
}

impl<T> Timer<T> {
    /// Makes every key of the wheel for this timer stale. False when the numbers are used up: then only a rebuild can.
    #[inline]
    pub fn outdate_keys(&mut self) -> bool {
        let next = self.stamp.checked_add(1);
        self.stamp = next.unwrap_or(self.stamp);
        next.is_some()
    }
    /// What its user has.
    #[inline]
    pub fn key(&self, slot: u32) -> TimerKey {
        TimerKey { slot, generation: self.generation }
    }
}

const PAGE_BITS: u32 = 10;
const PAGE_TIMERS: usize = 1 << PAGE_BITS;
/// Empty pages kept for the next burst when few are in use: half a mebibyte. With more in use, as many are kept empty.
const EMPTY_PAGES_KEPT: usize = 16;
/// How many timers there can be. A slab this full would take 128 GiB.
const PAGES_MAX: usize = 1 << (32 - PAGE_BITS);

#[derive(Debug)]
struct Page<T> {
    /// Empty when the page is given back.
    timers: Box<[Timer<T>]>,
    /// First free entry plus one, 0 for none.
    free: u16,
    /// Entries that are not free.
    taken: u16,
    /// Above every generation and stamp that the page ever gave out: where it starts when it comes back.
    floor: u32,
    /// It is in the slab's list of pages that were found empty.
    listed: bool,
}

/// All timers of a wheel.
#[derive(Debug)]
pub struct Slab<T> {
    pages: Vec<Page<T>>,
    /// Pages that have a free entry (or none allocated yet).
    roomy: Vec<u32>,
    /// Pages that were empty once; some are in use again.
    emptied: Vec<u32>,
    /// Pages that are allocated, and those of them that are empty.
    allocated: usize,
    empty: usize,
    len: usize,
}

impl<T: Copy> Slab<T> {
    pub const fn new() -> Slab<T> {
        Slab { pages: Vec::new(), roomy: Vec::new(), emptied: Vec::new(), allocated: 0, empty: 0, len: 0 }
    }
    /// Timers that are live.
    pub const fn len(&self) -> usize {
        self.len
    }
    /// Bytes allocated.
    pub fn memory_bytes(&self) -> usize {
        let timers: usize = self.pages.iter().map(|page| page.timers.len()).sum();
        timers * size_of::<Timer<T>>()
            + self.pages.capacity() * size_of::<Page<T>>()
            + (self.roomy.capacity() + self.emptied.capacity()) * size_of::<u32>()
    }

    /// Takes an entry.
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> (TimerKey, &mut Timer<T>) {
        let number = match self.roomy.last() {
            Some(number) => *number,
            None => self.add_page(),
        };
        let page = &mut self.pages[number as usize];
        if page.timers.is_empty() {
            page.allocate(value);
            self.allocated += 1;
        } else if page.taken == 0 {
            self.empty -= 1;
        }
        let index = page.free - 1;
        page.taken += 1;
        let timer = &mut page.timers[usize::from(index)];
        page.free = timer.next_free;
        if page.free == 0 {
            self.roomy.pop();
        }
        self.len += 1;
        timer.deadline = deadline;
        timer.live = true;
        timer.value = value;
        (TimerKey { slot: number << PAGE_BITS | u32::from(index), generation: timer.generation }, timer)
    }

    /// The live timer that a user's key names.
    #[inline]
    pub fn get_mut(&mut self, key: TimerKey) -> Option<&mut Timer<T>> {
        let timer = self.entry_mut(key.slot)?;
        (timer.live && timer.generation == key.generation).then_some(timer)
    }
    /// The live timer that a key of the wheel stands for; `None` when the key is stale.
    #[inline]
    pub fn standing_mut(&mut self, key: WheelKey) -> Option<&mut Timer<T>> {
        let timer = self.entry_mut(key.slot)?;
        (timer.live && timer.stamp == key.stamp).then_some(timer)
    }
    /// Ends the live timer that a user's key names, and gives its value back.
    #[inline]
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        let number = key.slot >> PAGE_BITS;
        let page = self.pages.get_mut(number as usize)?;
        let index = key.slot as usize % PAGE_TIMERS;
        let timer = page.timers.get_mut(index)?;
        if !timer.live || timer.generation != key.generation {
            return None;
        }
        timer.live = false;
        let value = timer.value;
        self.len -= 1;
        if timer.generation == u32::MAX || timer.stamp == u32::MAX {
            // Used up after 2^32 timers: the entry stays taken for good, so that no key ever means a second timer.
            return Some(value);
        }
        timer.generation += 1;
        timer.stamp += 1;
        page.floor = page.floor.max(timer.generation).max(timer.stamp);
        timer.next_free = page.free;
        if page.free == 0 {
            self.roomy.push(number);
        }
        page.free = index as u16 + 1;
        page.taken -= 1;
        if page.taken == 0 {
            self.page_emptied(number);
        }
        Some(value)
    }

    /// Pages, allocated or not.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }
    /// Every live timer of some pages with its slot; pages that are not there are none.
    pub fn live_mut(&mut self, pages: Range<usize>) -> impl Iterator<Item = (u32, &mut Timer<T>)> {
        let pages = self.pages.iter_mut().enumerate().take(pages.end).skip(pages.start);
        let timers = pages.flat_map(|(number, page)| {
            let first = (number as u32) << PAGE_BITS;
            page.timers.iter_mut().enumerate().map(move |(index, timer)| (first | index as u32, timer))
        });
        timers.filter(|(_, timer)| timer.live)
    }

    #[inline]
    fn entry_mut(&mut self, slot: u32) -> Option<&mut Timer<T>> {
        self.pages.get_mut((slot >> PAGE_BITS) as usize)?.timers.get_mut(slot as usize % PAGE_TIMERS)
    }

    #[cold]
    fn add_page(&mut self) -> u32 {
        assert!(self.pages.len() < PAGES_MAX, "more than 2^32 timers");
        let number = self.pages.len() as u32;
        self.pages.push(Page { timers: Box::default(), free: 0, taken: 0, floor: 0, listed: false });
        self.roomy.push(number);
        number
    }

    /// Keeps the page for the next burst, and gives others back when more are empty than in use.
    fn page_emptied(&mut self, number: u32) {
        self.empty += 1;
        let page = &mut self.pages[number as usize];
        if !page.listed {
            page.listed = true;
            self.emptied.push(number);
        }
        while self.empty > EMPTY_PAGES_KEPT.max(self.allocated - self.empty) {
            let Some(candidate) = self.emptied.pop() else { return };
            let page = &mut self.pages[candidate as usize];
            page.listed = false;
            // A page whose numbers are half used up is kept: starting again above them would use up the rest for all entries.
            if page.taken == 0 && !page.timers.is_empty() && page.floor < u32::MAX / 2 {
                page.timers = Box::default();
                page.free = 0;
                self.empty -= 1;
                self.allocated -= 1;
            }
        }
    }
}

impl<T: Copy> Page<T> {
    /// Makes the entries, all free, numbered on from where the page left off.
    #[cold]
    fn allocate(&mut self, value: T) {
        let free = |index: usize| Timer {
            deadline: 0,
            generation: self.floor,
            stamp: self.floor,
            at: 0,
            next_free: if index + 1 < PAGE_TIMERS { index as u16 + 2 } else { 0 },
            live: false,
            epoch: false,
            value,
        };
        self.timers = (0..PAGE_TIMERS).map(free).collect();
        self.free = 1;
    }
}

const _: () = assert!(size_of::<Timer<u64>>() == 32);
const _: () = assert!(PAGE_TIMERS < u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_given_back_never_repeats_a_key() {
        let mut slab = Slab::new();
        let mut seen = std::collections::HashSet::new();
        for round in 0..3 {
            let keys: Vec<_> = (0..20 * PAGE_TIMERS).map(|value| slab.insert(5, value).0).collect();
            for key in &keys {
                assert!(seen.insert(*key), "round {round} repeats {key:?}");
            }
            for (value, key) in keys.iter().enumerate() {
                assert_eq!(slab.remove(*key), Some(value));
                assert!(slab.get_mut(*key).is_none());
            }
            assert_eq!(slab.len(), 0);
            let pages = slab.pages.iter().filter(|page| !page.timers.is_empty()).count();
            assert_eq!(pages, EMPTY_PAGES_KEPT);
        }
    }

    #[test]
    fn a_used_up_entry_is_never_given_out_again() {
        let mut slab = Slab::new();
        let (key, timer) = slab.insert(5, 'a');
        timer.generation = u32::MAX;
        let slab_key = timer.key(key.slot);
        assert_eq!(slab.remove(slab_key), Some('a'));
        for _ in 0..3 * PAGE_TIMERS {
            assert_ne!(slab.insert(5, 'b').0.slot, key.slot);
        }
    }

    #[test]
    fn numbers_that_were_no_keys_name_nothing() {
        let mut slab = Slab::new();
        let (key, _) = slab.insert(5, 'a');
        assert_eq!(TimerKey::from_bits(key.to_bits()), key);
        for bits in [u64::MAX, key.to_bits() + 1, key.to_bits() + (1 << 32)] {
            assert!(slab.get_mut(TimerKey::from_bits(bits)).is_none(), "{bits:x}");
        }
        assert_eq!(slab.remove(TimerKey::from_bits(u64::MAX)), None);
    }
}
