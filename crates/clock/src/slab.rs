//! Where timers live: pages of 1024 entries with a generation each, given back when a page is empty.

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
    value: T,
}

const PAGE_BITS: u32 = 10;
const PAGE_TIMERS: usize = 1 << PAGE_BITS;
/// Empty pages kept for the next burst.
const EMPTY_PAGES_KEPT: usize = 4;
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
}

/// All timers of a wheel.
#[derive(Debug)]
pub struct Slab<T> {
    pages: Vec<Page<T>>,
    /// Pages that have a free entry (or none allocated yet).
    roomy: Vec<u32>,
    empty_pages: usize,
    len: usize,
}

impl<T: Copy> Slab<T> {
    pub const fn new() -> Slab<T> {
        Slab { pages: Vec::new(), roomy: Vec::new(), empty_pages: 0, len: 0 }
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
            + self.roomy.capacity() * size_of::<u32>()
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
        } else if page.taken == 0 {
            self.empty_pages -= 1;
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
    /// Ends the live timer in a slot and gives its value back.
    #[inline]
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        let number = slot >> PAGE_BITS;
        let page = self.pages.get_mut(number as usize)?;
        let index = slot as usize % PAGE_TIMERS;
        let timer = page.timers.get_mut(index)?;
        if !timer.live {
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

    /// Every live timer with its slot.
    pub fn live_mut(&mut self) -> impl Iterator<Item = (u32, &mut Timer<T>)> {
        let pages = self.pages.iter_mut().enumerate();
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
        self.pages.push(Page { timers: Box::default(), free: 0, taken: 0, floor: 0 });
        self.roomy.push(number);
        number
    }

    #[cold]
    fn page_emptied(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        // A page whose numbers are half used up is kept: starting again above them would use up the rest for all entries.
        if self.empty_pages >= EMPTY_PAGES_KEPT && page.floor < u32::MAX / 2 {
            page.timers = Box::default();
            page.free = 0;
        } else {
            self.empty_pages += 1;
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
                assert_eq!(slab.remove(key.slot), Some(value));
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
        assert_eq!(slab.remove(key.slot), Some('a'));
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
        assert_eq!(slab.remove(u32::MAX), None);
    }
}
