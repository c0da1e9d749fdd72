//! Answers that are longer than the range they were asked with: memory of their own, which JavaScript takes with one native call.
use memmap2::MmapMut;
use std::{collections::HashMap, fmt};

/// From here on memory is mapped for itself, in huge pages where the system has some: a read of 1 GiB would touch 262,144 small ones. Below it
/// malloc keeps what was freed for the next, whose pages are there already: files of 2 MB took twice as long with a mapping each.
pub(super) const MAPPED_BYTES: usize = 32 << 20;

/// Bytes that Rust owns, until JavaScript's ArrayBuffer over them is collected. Moving it does not move them.
pub struct Parcel {
    memory: Memory,
    length: usize,
}

enum Memory {
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

impl Parcel {
    /// Memory for `bytes`, zeros, to be filled from the start.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn with_room(bytes: usize) -> rustix::io::Result<Parcel> {
        if bytes < MAPPED_BYTES {
            return Ok(Parcel { memory: Memory::Heap(vec![0; bytes]), length: 0 });
        }
        let mapped = MmapMut::map_anon(bytes).map_err(|_| rustix::io::Errno::NOMEM)?;
        #[cfg(target_os = "linux")]
        let _small_pages_do_too = mapped.advise(memmap2::Advice::HugePage);
        Ok(Parcel { memory: Memory::Mapped(mapped), length: 0 })
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

impl From<Vec<u8>> for Parcel {
    fn from(vector: Vec<u8>) -> Parcel {
        Parcel { length: vector.len(), memory: Memory::Heap(vector) }
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
    }
}
