//! Where timers live: pages of 1024 entries with a generation each, given back when a page is empty.
//!
//! Free entries are a bitmap and the lowest is taken first, so timers that are set one after the other lie one after the other,
//! in whatever order others were cancelled: a list of free entries would lead each insert to a random one, a cache miss each.
//! What a cancel touches is 16 bytes an entry; deadlines, which only inserts and turns look at, lie apart.
use std::{num::NonZeroU32, ops::Range};

/// Names one timer. Stale keys (fired, cancelled) are harmless: no later timer ever gets the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    slot: u32,
    generation: NonZeroU32,
}

impl TimerKey {
    /// The key as a number, for callers that store numbers.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << 32 | self.slot as u64
    }
    /// The inverse of [`TimerKey::to_bits`]. A number that was no key names no timer, or one that is named by it anyway.
    #[must_use]
    pub const fn from_bits(bits: u64) -> TimerKey {
        TimerKey::new(bits as u32, (bits >> 32) as u32)
    }
    /// Its slot in the slab.
    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }
    const fn new(slot: u32, generation: u32) -> TimerKey {
        let generation = match NonZeroU32::new(generation) {
            Some(generation) => generation,
            None => NonZeroU32::MIN.saturating_add(1), // Even, as that of no timer is.
        };
        TimerKey { slot, generation }
    }
}

/// One timer, but for its deadline. 16 bytes with an 8-byte value, so that it never straddles a cache line.
#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    /// Odd while the timer is live. One more when it begins and when it ends: tells keys of users.
    generation: u32,
    /// The tick at which its key comes up.
    at: u32,
    value: T,
}

impl<T> Entry<T> {
    #[inline]
    fn live(&self) -> bool {
        self.generation % 2 == 1
    }
}

/// A live timer that is to be placed.
#[derive(Debug)]
pub struct Live<'a> {
    /// What its user has.
    pub key: TimerKey,
    /// The tick at which it fires.
    pub deadline: &'a mut u64,
    /// The tick at which its key comes up.
    pub at: &'a mut u32,
}

const PAGE_BITS: u32 = 10;
const PAGE_TIMERS: usize = 1 << PAGE_BITS;
const WORDS: usize = PAGE_TIMERS / 64;
/// Empty pages kept for the next burst when few are in use: 384 KiB. With more in use, as many are kept empty.
const EMPTY_PAGES_KEPT: usize = 16;
/// How many timers there can be. A slab this full would take 96 GiB.
const PAGES_MAX: usize = 1 << (32 - PAGE_BITS);

#[derive(Debug)]
struct Page<T> {
    /// Empty when the page is given back; as long as `deadlines`.
    entries: Box<[Entry<T>]>,
    deadlines: Box<[u64]>,
    /// A bit for each word of `free` that has one.
    roomy: u16,
    /// Entries that are not free.
    taken: u16,
    /// Even, and not below any generation that the page ever gave out: where it starts when it comes back.
    floor: u32,
    /// It is in the slab's list of pages that were found empty.
    listed: bool,
    /// A bit for each free entry.
    free: [u64; WORDS],
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
        let timers: usize = self.pages.iter().map(|page| page.entries.len()).sum();
        timers * (size_of::<Entry<T>>() + size_of::<u64>())
            + self.pages.capacity() * size_of::<Page<T>>()
            + (self.roomy.capacity() + self.emptied.capacity()) * size_of::<u32>()
    }

    /// Takes an entry.
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> Live<'_> {
        let number = match self.roomy.last() {
            Some(number) => *number,
            None => self.add_page(),
        };
        let page = &mut self.pages[number as usize];
        if page.entries.is_empty() {
            page.allocate(value);
            self.allocated += 1;
        } else if page.taken == 0 {
            self.empty -= 1;
        }
        let word = page.roomy.trailing_zeros() as usize % WORDS;
        let bits = &mut page.free[word];
        let index = word * 64 + bits.trailing_zeros() as usize;
        *bits &= *bits - 1;
        if *bits == 0 {
            page.roomy &= page.roomy - 1;
            if page.roomy == 0 {
                self.roomy.pop();
            }
        }
        page.taken += 1;
        self.len += 1;
        let entry = &mut page.entries[index];
        entry.generation += 1;
        entry.value = value;
        let kept = &mut page.deadlines[index];
        *kept = deadline;
        let key = TimerKey::new(number << PAGE_BITS | index as u32, entry.generation);
        Live { key, deadline: kept, at: &mut entry.at }
    }

    /// The live timer that a user's key names.
    #[inline]
    pub fn get_mut(&mut self, key: TimerKey) -> Option<Live<'_>> {
        self.live_at(key.slot).filter(|live| live.key == key)
    }
    /// The live timer that a key of the wheel, which came up at `now`, stands for; `None` when the key is stale.
    #[inline]
    pub fn standing_mut(&mut self, slot: u32, now: u32) -> Option<Live<'_>> {
        self.live_at(slot).filter(|live| *live.at == now)
    }
    /// Ends the live timer that a user's key names, and gives its value back.
    #[inline]
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        let number = key.slot >> PAGE_BITS;
        let page = self.pages.get_mut(number as usize)?;
        let index = key.slot as usize % PAGE_TIMERS;
        let entry = page.entries.get_mut(index)?;
        if !entry.live() || entry.generation != key.generation.get() {
            return None;
        }
        self.len -= 1;
        let value = entry.value;
        let Some(generation) = entry.generation.checked_add(1) else {
            // Used up after 2^31 timers: the entry stays taken for good, so that no key ever means a second timer.
            entry.generation -= 1;
            return Some(value);
        };
        entry.generation = generation;
        page.floor = page.floor.max(generation);
        if page.roomy == 0 {
            self.roomy.push(number);
        }
        page.free[index / 64] |= 1 << (index % 64);
        page.roomy |= 1 << (index / 64);
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
    /// Every live timer of some pages; pages that are not there are none.
    pub fn live_mut(&mut self, pages: Range<usize>) -> impl Iterator<Item = Live<'_>> {
        let pages = self.pages.iter_mut().enumerate().take(pages.end).skip(pages.start);
        pages.flat_map(|(number, page)| {
            let first = (number as u32) << PAGE_BITS;
            let timers = page.entries.iter_mut().zip(&mut page.deadlines).enumerate();
            timers.filter(|(_, (entry, _))| entry.live()).map(move |(index, (entry, deadline))| Live {
                key: TimerKey::new(first | index as u32, entry.generation),
                deadline,
                at: &mut entry.at,
            })
        })
    }

    #[inline]
    fn live_at(&mut self, slot: u32) -> Option<Live<'_>> {
        let page = self.pages.get_mut((slot >> PAGE_BITS) as usize)?;
        let index = slot as usize % PAGE_TIMERS;
        let entry = page.entries.get_mut(index)?;
        let deadline = page.deadlines.get_mut(index)?;
        let key = TimerKey::new(slot, entry.generation);
        entry.live().then_some(Live { key, deadline, at: &mut entry.at })
    }

    #[cold]
    fn add_page(&mut self) -> u32 {
        assert!(self.pages.len() < PAGES_MAX, "more than 2^32 timers");
        let number = self.pages.len() as u32;
        self.pages.push(Page {
            entries: Box::default(),
            deadlines: Box::default(),
            roomy: 0,
            taken: 0,
            floor: 0,
            listed: false,
            free: [0; WORDS],
        });
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
            if page.taken == 0 && !page.entries.is_empty() && page.floor < u32::MAX / 2 {
                page.entries = Box::default();
                page.deadlines = Box::default();
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
        self.entries = vec![Entry { generation: self.floor, at: 0, value }; PAGE_TIMERS].into_boxed_slice();
        self.deadlines = vec![0; PAGE_TIMERS].into_boxed_slice();
        self.free = [u64::MAX; WORDS];
        self.roomy = u16::MAX;
    }
}

const _: () = assert!(size_of::<Entry<u64>>() == 16 && size_of::<Option<TimerKey>>() == 8);
const _: () = assert!(WORDS == u16::BITS as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_given_back_never_repeats_a_key() {
        let mut slab = Slab::new();
        let mut seen = std::collections::HashSet::new();
        for round in 0..3 {
            let keys: Vec<_> = (0..20 * PAGE_TIMERS).map(|value| slab.insert(5, value).key).collect();
            for key in &keys {
                assert!(seen.insert(*key), "round {round} repeats {key:?}");
            }
            for (value, key) in keys.iter().enumerate() {
                assert_eq!(slab.remove(*key), Some(value));
                assert!(slab.get_mut(*key).is_none());
            }
            assert_eq!(slab.len(), 0);
            let pages = slab.pages.iter().filter(|page| !page.entries.is_empty()).count();
            assert_eq!(pages, EMPTY_PAGES_KEPT);
        }
    }

    #[test]
    fn a_used_up_entry_is_never_given_out_again() {
        let mut slab = Slab::new();
        let mut key = slab.insert(5, 'a').key;
        slab.pages[0].entries[key.slot as usize].generation = u32::MAX;
        key.generation = NonZeroU32::MAX;
        assert_eq!(slab.remove(key), Some('a'));
        assert_eq!(slab.remove(key), None);
        for _ in 0..3 * PAGE_TIMERS {
            assert_ne!(slab.insert(5, 'b').key.slot, key.slot);
        }
    }

    #[test]
    fn numbers_that_were_no_keys_name_nothing() {
        let mut slab = Slab::new();
        let key = slab.insert(5, 'a').key;
        assert_eq!(TimerKey::from_bits(key.to_bits()), key);
        for bits in [0, u64::MAX, key.to_bits() + 1, key.to_bits() + (1 << 32), u64::from(key.slot)] {
            assert!(slab.get_mut(TimerKey::from_bits(bits)).is_none(), "{bits:x}");
        }
        assert_eq!(slab.remove(TimerKey::from_bits(u64::MAX)), None);
    }

    #[test]
    fn the_lowest_free_entry_is_taken_first() {
        let mut slab = Slab::new();
        let keys: Vec<_> = (0..PAGE_TIMERS).map(|value| slab.insert(5, value).key).collect();
        for index in [700, 3, 64, 1023, 65] {
            slab.remove(keys[index]);
        }
        let again: Vec<_> = (0..6).map(|value| slab.insert(5, value).key.slot).collect();
        assert_eq!(again, [3, 64, 65, 700, 1023, PAGE_TIMERS as u32]);
    }
}
