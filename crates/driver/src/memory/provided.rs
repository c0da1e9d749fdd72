//! Provided receive buffers: one mapping cut into equal chunks, handed out last-in first-out so that few stay warm.
//!
//! A chunk is in one place: free, in the kernel's buffer ring, or in a [`Chunk`]. The uring backend moves free chunks into
//! its ring (`uring/buffers.rs`), the poll backend receives straight into one; dropping a [`Chunk`] makes it free on both.
use super::mapping::Mapping;
use crate::error::Errno;
use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    rc::Rc,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Ring,
    Chunk,
}

/// All chunks of one driver. Cloning shares it.
#[derive(Clone)]
pub(crate) struct ChunkPool {
    inner: Rc<Inner>,
}

struct Inner {
    memory: Mapping,
    bytes: u32,
    places: Box<[Cell<Place>]>,
    /// A stack: the last freed is on top.
    free: Box<[Cell<u16>]>,
    free_count: Cell<u16>,
}

impl ChunkPool {
    /// Maps `count` chunks of `bytes` each. They cost memory when first used.
    pub(crate) fn new(count: u16, bytes: u32) -> Result<ChunkPool, Errno> {
        let memory = Mapping::new(count as usize * bytes as usize)?;
        let inner = Inner {
            memory,
            bytes,
            places: (0..count).map(|_| Cell::new(Place::Free)).collect(),
            free: (0..count).rev().map(Cell::new).collect(),
            free_count: Cell::new(count),
        };
        Ok(ChunkPool { inner: Rc::new(inner) })
    }

    /// Chunks that are free now.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        self.inner.free_count.get() as usize
    }

    /// Bytes of each chunk.
    pub(crate) fn chunk_bytes(&self) -> u32 {
        self.inner.bytes
    }

    /// Chunks in all.
    pub(crate) fn count(&self) -> u16 {
        self.inner.places.len() as u16
    }

    /// Takes the free chunk used last, with its whole length: receive into it, then [`Chunk::truncate`] it.
    #[inline]
    pub(crate) fn take(&self) -> Option<Chunk> {
        let index = self.inner.pop(Place::Chunk)?;
        Some(Chunk { pool: Rc::clone(&self.inner), index, length: self.inner.bytes, copy: None })
    }

    /// Takes a free chunk for the kernel's ring: its index and address.
    #[inline]
    pub(crate) fn lend_to_ring(&self) -> Option<(u16, *mut u8)> {
        let index = self.inner.pop(Place::Ring)?;
        Some((index, self.inner.address(index)))
    }

    /// The kernel filled chunk `index` with `length` bytes. `None` when that chunk is not in the ring.
    #[inline]
    pub(crate) fn filled_by_ring(&self, index: u16, length: u32) -> Option<Chunk> {
        let place = self.inner.places.get(index as usize)?;
        if place.get() != Place::Ring || length > self.inner.bytes {
            return None;
        }
        place.set(Place::Chunk);
        Some(Chunk { pool: Rc::clone(&self.inner), index, length, copy: None })
    }

    /// Keeps the memory mapped for ever: the kernel may still write to it (INV-1).
    pub(crate) fn leak(&self) {
        std::mem::forget(Rc::clone(&self.inner));
    }
}

impl Inner {
    fn pop(&self, to: Place) -> Option<u16> {
        let top = self.free_count.get().checked_sub(1)?;
        self.free_count.set(top);
        let index = self.free[top as usize].get();
        self.places[index as usize].set(to);
        Some(index)
    }

    fn push(&self, index: u16) {
        self.places[index as usize].set(Place::Free);
        let top = self.free_count.get();
        self.free[top as usize].set(index);
        self.free_count.set(top + 1);
    }

    fn address(&self, index: u16) -> *mut u8 {
        self.memory.start().as_ptr().wrapping_add(index as usize * self.bytes as usize)
    }
}

impl fmt::Debug for ChunkPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkPool").field("count", &self.count()).field("free", &self.free()).finish()
    }
}

/// Received bytes in a provided buffer. Derefs to `[u8]`; dropping it gives the buffer back, to a driver that is gone too.
///
/// There are few of them ([`crate::Options::chunks`]): while all are held, receiving pauses.
pub struct Chunk {
    pool: Rc<Inner>,
    index: u16,
    length: u32,
    /// The bytes, once they have left their buffer.
    copy: Option<Box<[u8]>>,
}

impl Chunk {
    /// Shortens it to its first `length` bytes; does nothing when it is not longer.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(u32::try_from(length).unwrap_or(u32::MAX));
    }

    /// Copies the bytes to memory of their own and gives the buffer back: for bytes that nobody will read soon. One
    /// allocation; nothing the second time.
    pub fn detach(&mut self) {
        if self.copy.is_none() {
            self.copy = Some(Box::from(&**self));
            self.pool.push(self.index);
        }
    }

    /// Whether it still holds one of the driver's buffers.
    pub fn is_attached(&self) -> bool {
        self.copy.is_none()
    }
}

impl Drop for Chunk {
    #[inline]
    fn drop(&mut self) {
        if self.copy.is_none() {
            self.pool.push(self.index);
        }
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if let Some(copy) = &self.copy {
            return &copy[..self.length as usize];
        }
        // SAFETY: `from_raw_parts` needs `length` initialised bytes that nobody writes meanwhile.
        // Holds: `length` never exceeds the chunk (checked where a Chunk is made), mmap zeroed it, the Rc keeps it mapped, and
        // a chunk in place `Chunk` is in no ring.
        // Checked: the tests below; the contract suite's receives.
        unsafe { std::slice::from_raw_parts(self.pool.address(self.index), self.length as usize) }
    }
}

impl DerefMut for Chunk {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if let Some(copy) = &mut self.copy {
            return &mut copy[..self.length as usize];
        }
        // SAFETY: as in `deref`; a Chunk is not Clone, so `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.pool.address(self.index), self.length as usize) }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("index", &self.index).field("length", &self.length).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_freed_comes_first() {
        let pool = ChunkPool::new(8, 512).unwrap();
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        let (first, second) = (a.index, b.index);
        drop(b);
        drop(a);
        assert_eq!(pool.take().unwrap().index, first);
        let _a = pool.take().unwrap();
        assert_eq!(pool.take().unwrap().index, second);
    }

    #[test]
    fn chunks_are_apart_and_survive_the_pool() {
        let pool = ChunkPool::new(8, 512).unwrap();
        let mut chunks: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(chunks.len(), 8);
        chunks.iter_mut().enumerate().for_each(|(n, chunk)| chunk.fill(n as u8));
        drop(pool);
        for (n, chunk) in chunks.iter_mut().enumerate() {
            chunk.truncate(usize::MAX);
            assert_eq!(chunk.len(), 512);
            chunk.truncate(100);
            assert_eq!(chunk.len(), 100);
            assert!(chunk.iter().all(|byte| *byte == n as u8));
        }
    }

    #[test]
    fn a_detached_chunk_keeps_its_bytes_and_not_its_buffer() {
        let pool = ChunkPool::new(8, 512).unwrap();
        let mut chunks: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        let mut chunk = chunks.pop().unwrap();
        chunk.fill(7);
        chunk.truncate(100);
        assert!(chunk.is_attached());
        chunk.detach();
        chunk.detach();
        assert!(!chunk.is_attached());
        assert_eq!(pool.free(), 1);
        pool.take().unwrap().fill(9);
        assert_eq!(chunk[..], [7; 100]);
        chunk.truncate(10);
        chunk[0] = 1;
        assert_eq!(chunk[..2], [1, 7]);
        drop(chunk);
        assert_eq!(pool.free(), 1, "it is given back once");
    }

    #[test]
    fn the_kernel_cannot_name_a_chunk_that_is_not_in_its_ring() {
        let pool = ChunkPool::new(8, 512).unwrap();
        let (index, _) = pool.lend_to_ring().unwrap();
        assert!(pool.filled_by_ring(index + 1, 1).is_none());
        assert!(pool.filled_by_ring(99, 1).is_none());
        assert!(pool.filled_by_ring(index, 513).is_none());
        let chunk = pool.filled_by_ring(index, 512).unwrap();
        assert!(pool.filled_by_ring(index, 1).is_none());
        drop(chunk);
        assert_eq!(pool.free(), 8);
    }
}
