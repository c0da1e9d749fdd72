//! Answers that are longer than the range they were asked with: memory of their own, which JavaScript takes with one native call.
use super::spare::Home;
use memmap2::MmapMut;
use rustix::io::{Errno, Result};
use std::{collections::HashMap, fmt, ops::Range, time::Duration};

/// From here on memory is mapped for itself, in huge pages where the system has some: a read of 1 GiB would touch 262,144 small ones. Below it
/// malloc keeps what was freed for the next, whose pages are there already: files of 2 MB took twice as long with a mapping each.
pub(super) const MAPPED_BYTES: usize = 32 << 20;

/// The size of a huge page; mappings are so many of them, or the kernel would not begin one at a huge page's place.
const PAGE_BYTES: usize = 2 << 20;

/// Bytes that Rust owns, until JavaScript's ArrayBuffer over them is collected. Moving it does not move them.
pub struct Parcel {
    memory: Memory,
    length: usize,
    home: Home,
}

enum Memory {
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Parcel {
    /// Memory for `bytes` or a little more, zeros, to be filled from the start.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn with_room(bytes: usize) -> Result<Parcel> {
        if bytes < MAPPED_BYTES {
            return Ok(Parcel { memory: Memory::Heap(vec![0; bytes]), length: 0, home: Home::default() });
        }
        let whole = bytes.checked_next_multiple_of(PAGE_BYTES).ok_or(Errno::NOMEM)?;
        let mapped = MmapMut::map_anon(whole).map_err(|_| Errno::NOMEM)?;
        #[cfg(target_os = "linux")]
        let _small_pages_do_too = mapped.advise(memmap2::Advice::HugePage);
        Ok(Parcel { memory: Memory::Mapped(mapped), length: 0, home: Home::default() })
    }

    /// Gives its memory to this home when it is dropped.
    pub(super) fn at_home(mut self, home: Home) -> Parcel {
        self.home = home;
        self
    }

    /// Has `read` fill `bytes`, huge page by huge page, until it has less to give: each page is made right before, so that the read finds it in
    /// the CPU's cache. 1 GiB out of the page cache takes 160 ms of CPU so. The length is what was read.
    ///
    /// A virtual machine may give its free memory back to its host, in huge pieces: a page of those costs thirty times the copy into it, 2000 ms
    /// a GiB. When one is that dear the rest is small pages, which come from what is left between the pieces: 450 ms.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn fill(&mut self, bytes: usize, mut read: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<()> {
        /// A small page, cleared and mapped, costs five times the copy; a huge one not twice.
        const DEAR: u32 = 8;
        let mut huge = true;
        let mut done = 0;
        while done < bytes {
            let end = bytes.min(done + PAGE_BYTES);
            let before = thread_cpu();
            let made = self.make(done..end);
            let between = thread_cpu();
            done += read(&mut self.room()[done..end])?;
            if done < end {
                break;
            }
            if huge && made && between - before > DEAR * (thread_cpu() - between) {
                huge = false;
                self.small_pages(end);
            }
        }
        self.set_length(done);
        Ok(())
    }

    /// Makes the pages of a part be there, with one call instead of a fault for each. False where that cannot be done: then they come as they are
    /// touched.
    fn make(&self, part: Range<usize>) -> bool {
        match &self.memory {
            #[cfg(target_os = "linux")]
            Memory::Mapped(mapped) => {
                mapped.advise_range(memmap2::Advice::PopulateWrite, part.start, part.len()).is_ok()
            }
            _ => false,
        }
    }

    /// What is not there yet from this byte on comes in small pages.
    fn small_pages(&self, from: usize) {
        #[cfg(target_os = "linux")]
        if let Memory::Mapped(mapped) = &self.memory
            && from < mapped.len()
        {
            let _huge_pages_do_too =
                mapped.advise_range(memmap2::Advice::NoHugePage, from, mapped.len() - from);
        }
        #[cfg(not(target_os = "linux"))]
        let _everywhere_else_they_are = from;
    }

    /// All the memory, filled or not.
    pub fn room(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(vector) => vector,
            Memory::Mapped(mapped) => mapped,
        }
    }

    /// So many bytes from the start are the content.
    pub fn set_length(&mut self, length: usize) {
        assert!(length <= self.room().len(), "the content lies in the memory");
        self.length = length;
    }

    /// The content.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.length;
        &mut self.room()[..length]
    }

    /// Bytes of content.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// What this thread has used so far.
fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Memory::Heap(vector) = &mut self.memory {
            self.home.give(std::mem::take(vector));
        }
    }
}

impl From<Vec<u8>> for Parcel {
    fn from(vector: Vec<u8>) -> Parcel {
        Parcel { length: vector.len(), memory: Memory::Heap(vector), home: Home::default() }
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapped = matches!(self.memory, Memory::Mapped(_));
        f.debug_struct("Parcel").field("length", &self.length).field("mapped", &mapped).finish()
    }
}

/// Parcels that JavaScript has not taken yet, by number. What is never taken goes with the bridge.
#[derive(Debug, Default)]
pub(super) struct Parcels {
    waiting: HashMap<u32, Parcel>,
    last: u32,
}

impl Parcels {
    /// Keeps a parcel. Its number is not 0.
    pub fn keep(&mut self, parcel: Parcel) -> u32 {
        loop {
            self.last = self.last.wrapping_add(1);
            if self.last != 0 && !self.waiting.contains_key(&self.last) {
                self.waiting.insert(self.last, parcel);
                return self.last;
            }
        }
    }

    /// Gives a parcel away; `None` when there is none of this number.
    pub fn take(&mut self, number: u32) -> Option<Parcel> {
        self.waiting.remove(&number)
    }

    /// Parcels that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_taken_once() {
        let mut parcels = Parcels::default();
        let first = parcels.keep(vec![1, 2, 3].into());
        let second = parcels.keep(vec![4].into());
        assert_ne!(first, second);
        assert_eq!(parcels.take(first).unwrap().bytes_mut(), [1, 2, 3]);
        assert!(parcels.take(first).is_none() && parcels.take(0).is_none());
        assert_eq!(parcels.len(), 1);
    }

    #[test]
    fn numbers_come_round_and_miss_those_in_use() {
        let mut parcels = Parcels { last: u32::MAX - 1, ..Parcels::default() };
        let numbers = [0; 3].map(|_| parcels.keep(vec![].into()));
        assert_eq!(numbers, [u32::MAX, 1, 2]);
        parcels.last = u32::MAX;
        assert_eq!(parcels.keep(vec![].into()), 3);
    }

    #[test]
    fn small_and_mapped_memory_hold_what_is_put_there() {
        for bytes in [1, 4096, MAPPED_BYTES - 1, MAPPED_BYTES, MAPPED_BYTES + 5] {
            let mut parcel = Parcel::with_room(bytes).unwrap();
            parcel.room()[bytes - 1] = 7;
            parcel.set_length(bytes);
            assert_eq!((parcel.length(), parcel.bytes_mut()[bytes - 1]), (bytes, 7));
        }
        assert!(Parcel::with_room(usize::MAX / 4).is_err());
        assert!(Parcel::with_room(usize::MAX).is_err());
    }

    #[test]
    fn a_parcel_is_filled_in_order_as_far_as_there_is_something() {
        for (bytes, there) in
            [(MAPPED_BYTES + 3, usize::MAX), (MAPPED_BYTES, 3 * PAGE_BYTES + 1), (MAPPED_BYTES, 0)]
        {
            let mut parcel = Parcel::with_room(bytes).unwrap();
            let mut given = 0;
            parcel
                .fill(bytes, |room| {
                    let length = room.len().min(there - given);
                    for (at, byte) in room[..length].iter_mut().enumerate() {
                        *byte = ((given + at) % 251) as u8;
                    }
                    given += length;
                    Ok(length)
                })
                .unwrap();
            assert_eq!(parcel.length(), bytes.min(there));
            assert!(parcel.bytes_mut().iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
        }
        let mut parcel = Parcel::with_room(MAPPED_BYTES).unwrap();
        assert_eq!(parcel.fill(MAPPED_BYTES, |_| Err(Errno::IO)), Err(Errno::IO));
        assert_eq!(parcel.length(), 0);
    }

    #[test]
    fn pages_that_were_made_hold_what_was_there() {
        let mut parcel = Parcel::with_room(MAPPED_BYTES + 1).unwrap();
        parcel.room()[PAGE_BYTES] = 7;
        let made = parcel.make(0..2 * PAGE_BYTES);
        assert!(made || cfg!(not(target_os = "linux")) || !populates());
        parcel.small_pages(PAGE_BYTES);
        parcel.small_pages(usize::MAX);
        parcel.make(PAGE_BYTES..MAPPED_BYTES + 1);
        assert_eq!(parcel.room()[PAGE_BYTES - 1..=PAGE_BYTES + 1], [0, 7, 0]);
        assert!(!Parcel::with_room(1).unwrap().make(0..1));
    }

    /// From Linux 5.14 on.
    fn populates() -> bool {
        let Ok(mapped) = MmapMut::map_anon(1) else { return false };
        #[cfg(target_os = "linux")]
        return mapped.advise(memmap2::Advice::PopulateWrite).is_ok();
        #[cfg(not(target_os = "linux"))]
        return mapped.is_empty();
    }
}
