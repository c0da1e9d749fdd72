//! The crate's only unsafe: atomic views of memory that JavaScript writes too.
use crate::{
    layout::{COMMAND_WORDS, COMPLETION_WORDS, Geometry, Header, LAYOUT_VERSION, MAGIC},
    reply::CompletionWriter,
    ring::{CommandReader, Consumer, Memory, Producer},
};
use std::{
    cell::UnsafeCell,
    fmt,
    mem::offset_of,
    ptr::NonNull,
    rc::Rc,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Both rings in one piece of memory. Cloning shares it. Belongs to one thread (INV-6).
#[derive(Clone, Debug)]
pub struct Region {
    shared: Rc<Shared>,
    geometry: Geometry,
}

#[derive(Debug)]
struct Shared {
    base: NonNull<u64>,
    words: usize,
    /// Keeps the memory of [`Region::owned`] alive; `None` when JavaScript owns it. Cells, because both ends write it.
    _owned: Option<Box<[UnsafeCell<u64>]>>,
}

/// Why memory was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// Not the number of bytes of the layout: the TypeScript and the native binary come from different versions.
    Length {
        /// Bytes given.
        bytes: usize,
        /// Bytes wanted.
        wanted: usize,
    },
    /// The address is not a multiple of 8.
    Alignment,
}

impl fmt::Display for AttachError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Length { bytes, wanted } => write!(
                formatter,
                "the shared memory has {bytes} bytes and must have {wanted}; the package and its native binary are of different versions: install ringwheel again"
            ),
            AttachError::Alignment => write!(formatter, "the shared memory must be aligned to 8 bytes"),
        }
    }
}
impl std::error::Error for AttachError {}

/// Rust's ends of the two rings.
#[derive(Debug)]
pub struct Rings {
    /// Commands to read.
    pub commands: CommandReader<Region>,
    /// Completions to write.
    pub completions: CompletionWriter<Region>,
}

/// The ends that JavaScript has in production; here for tests, fuzzing and benchmarks in Rust.
#[derive(Debug)]
pub struct ScriptSide {
    /// Commands to write.
    pub commands: Producer<Region, COMMAND_WORDS>,
    /// Completions to read.
    pub completions: Consumer<Region, COMPLETION_WORDS>,
}

impl Region {
    /// Takes memory that JavaScript allocated (a zeroed SharedArrayBuffer of [`Geometry::bytes`]) and writes the header's
    /// magic, version and capacities for JavaScript to check.
    ///
    /// # Errors
    /// [`AttachError`] when the length or the alignment is wrong; the memory was not touched.
    ///
    /// # Safety
    /// `base` must be valid for reads and writes of `bytes` bytes as long as this region or a clone or an end made from it
    /// lives, and Rust must reach that memory in no other way meanwhile. JavaScript may write any of it at any time.
    pub unsafe fn attach(base: NonNull<u8>, bytes: usize, geometry: Geometry) -> Result<Region, AttachError> {
        if bytes != geometry.bytes() {
            return Err(AttachError::Length { bytes, wanted: geometry.bytes() });
        }
        let base = base.cast::<u64>();
        if !base.is_aligned() {
            return Err(AttachError::Alignment);
        }
        Ok(Region::with(Shared { base, words: bytes / 8, _owned: None }, geometry))
    }

    /// A region in Rust's own memory: for tests, fuzzing and benchmarks.
    #[must_use]
    pub fn owned(geometry: Geometry) -> Region {
        let memory: Box<[UnsafeCell<u64>]> = (0..geometry.bytes() / 8).map(|_| UnsafeCell::new(0)).collect();
        let words = memory.len();
        let base = NonNull::from(&*memory).cast::<u64>();
        Region::with(Shared { base, words, _owned: Some(memory) }, geometry)
    }

    fn with(shared: Shared, geometry: Geometry) -> Region {
        let region = Region { shared: Rc::new(shared), geometry };
        let versions = u64::from(LAYOUT_VERSION) << 32 | u64::from(MAGIC);
        let capacities =
            u64::from(geometry.completions().capacity) << 32 | u64::from(geometry.commands().capacity);
        region.write(offset_of!(Header, magic) / 8, [versions, capacities]);
        region
    }

    /// Rust's ends. Make them once: each end keeps its own index.
    #[must_use]
    pub fn rings(&self) -> Rings {
        Rings {
            commands: Consumer::new(self.clone(), self.geometry.commands()),
            completions: CompletionWriter::new(self.clone(), self.geometry.completions()),
        }
    }

    /// JavaScript's ends, for tests. Make them once.
    #[must_use]
    pub fn script_side(&self) -> ScriptSide {
        ScriptSide {
            commands: Producer::new(self.clone(), self.geometry.commands()),
            completions: Consumer::new(self.clone(), self.geometry.completions()),
        }
    }

    /// `count` words from `word` on, as atomics. Panics outside the region: spans come from [`Geometry`], so it never happens.
    #[inline]
    fn atomics(&self, word: usize, count: usize) -> &[AtomicU64] {
        let inside = word.checked_add(count).is_some_and(|end| end <= self.shared.words);
        assert!(inside, "words {word}..+{count} are outside the region");
        // SAFETY: `add` needs the result inside the allocation.
        // Holds: the assertion above; `words` is the length that `attach` or `owned` was given.
        // Checked: `every_word_of_the_region_is_reachable_and_none_behind_it`.
        let first = unsafe { self.shared.base.add(word) };
        // SAFETY: the slice needs `count` aligned words, valid while `self` is borrowed, never reached but by atomics.
        // Holds: bounds and alignment as above; `attach`'s contract; AtomicU64 has the layout of u64 (INV-5: the other
        // side writes at any time, which atomics allow).
        // Checked: the same test, tests/model.rs and tests/loom_ring.rs.
        unsafe { std::slice::from_raw_parts(first.cast::<AtomicU64>().as_ptr(), count) }
    }

    /// The low half of a word, as an atomic.
    #[inline]
    fn index(&self, word: usize) -> &AtomicU32 {
        let low = NonNull::from(&self.atomics(word, 1)[0]).cast::<u32>();
        // SAFETY: `from_ptr` needs an aligned, valid u32 that is only reached by atomics.
        // Holds: `atomics` checked the word; its low half is at the same address on little-endian targets (asserted in
        // layout.rs). Index words are only ever reached through this function, so sizes are not mixed.
        // Checked: tests/model.rs.
        unsafe { AtomicU32::from_ptr(low.as_ptr()) }
    }
}

impl Memory for Region {
    #[inline]
    fn read<const N: usize>(&self, word: usize) -> [u64; N] {
        let atomics = self.atomics(word, N);
        std::array::from_fn(|index| atomics[index].load(Ordering::Relaxed))
    }
    #[inline]
    fn write<const N: usize>(&self, word: usize, words: [u64; N]) {
        for (atomic, value) in self.atomics(word, N).iter().zip(words) {
            atomic.store(value, Ordering::Relaxed);
        }
    }
    #[inline]
    fn load_index(&self, word: usize) -> u32 {
        self.index(word).load(Ordering::Acquire)
    }
    #[inline]
    fn store_index(&self, word: usize, index: u32) {
        self.index(word).store(index, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_the_region_is_reachable_and_none_behind_it() {
        let geometry = Geometry::new(2, 2);
        let region = Region::owned(geometry);
        let words = geometry.bytes() / 8;
        for word in 0..words {
            region.write(word, [word as u64]);
        }
        for word in 0..words {
            assert_eq!(region.read::<1>(word), [word as u64]);
        }
        for (word, outside) in [(words, 1), (words - 1, 2), (usize::MAX, 2)] {
            let region = std::panic::AssertUnwindSafe(&region);
            assert!(std::panic::catch_unwind(|| region.atomics(word, outside).len()).is_err());
        }
    }

    #[test]
    fn wrong_memory_is_refused_untouched() {
        let mut memory = vec![0u64; Geometry::DEFAULT.bytes() / 8 + 1];
        let base = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
        // SAFETY: the vector outlives the region and is not used meanwhile. Checked: this is the test.
        let short = unsafe { Region::attach(base, 4096, Geometry::DEFAULT) };
        assert_eq!(
            short.unwrap_err(),
            AttachError::Length { bytes: 4096, wanted: Geometry::DEFAULT.bytes() }
        );
        // SAFETY: one byte into the vector, which has 8 bytes more than the region. Checked: this is the test.
        let odd = unsafe { base.add(1) };
        // SAFETY: as above.
        let crooked = unsafe { Region::attach(odd, Geometry::DEFAULT.bytes(), Geometry::DEFAULT) };
        assert_eq!(crooked.unwrap_err(), AttachError::Alignment);
        assert!(memory.iter().all(|word| *word == 0));
    }

    #[test]
    fn attaching_writes_the_header_for_javascript_to_check() {
        let mut memory = vec![0u64; Geometry::DEFAULT.bytes() / 8];
        let base = NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
        // SAFETY: the vector outlives the region and is not used meanwhile. Checked: this is the test.
        let region = unsafe { Region::attach(base, Geometry::DEFAULT.bytes(), Geometry::DEFAULT) };
        drop(region.unwrap());
        let [magic, version] = [0, 4].map(|at| memory[0].to_le_bytes()[at..at + 4].to_vec());
        assert_eq!(magic, b"RWHL");
        assert_eq!(version, LAYOUT_VERSION.to_le_bytes());
        assert_eq!(memory[1], 4096 << 32 | 4096);
    }
}
