//! The kernel's side of provided buffers: a ring of free chunks for multishot receive (5.19).
//!
//! The kernel takes entries first-in first-out, so a full ring would walk through all chunk memory and out of the cache.
//! Therefore only as many chunks lie in the ring as recent turns needed, always those freed last; running dry doubles that.
use crate::{Chunk, Errno, memory::Mapping, memory::provided::ChunkPool};
use io_uring::{IoUring, types::BufRingEntry};
use std::sync::atomic::{AtomicU16, Ordering};

/// The one buffer group.
pub(super) const GROUP: u16 = 0;
/// Chunks in the ring at first.
const WARM: u16 = 32;

/// The ring of free chunks. Unregistered by closing the io_uring.
#[derive(Debug)]
pub(super) struct BufferRing {
    memory: Mapping,
    pool: ChunkPool,
    mask: u16,
    tail: u16,
    /// Chunks in the ring now.
    filled: u16,
    /// Chunks that should be.
    target: u16,
}

impl BufferRing {
    /// Registers a ring as large as the pool and fills it.
    pub(super) fn register(ring: &IoUring, pool: ChunkPool) -> Result<BufferRing, Errno> {
        let count = pool.count();
        let memory = Mapping::new(count as usize * size_of::<BufRingEntry>())?;
        let start = memory.start().as_ptr() as u64;
        // SAFETY: `register_buf_ring_with_flags` needs the ring's memory valid until the io_uring is gone.
        // Holds: `shutdown` drops this value after the ring, or leaks it (INV-1).
        // Checked: tests/shutdown_inflight.rs.
        unsafe { ring.submitter().register_buf_ring_with_flags(start, count, GROUP, 0) }
            .map_err(|error| Errno::of(&error))?;
        let mut buffers =
            BufferRing { memory, pool, mask: count - 1, tail: 0, filled: 0, target: WARM.min(count) };
        buffers.top_up();
        Ok(buffers)
    }

    /// Puts free chunks in, those freed last first, up to the target.
    #[inline]
    pub(super) fn top_up(&mut self) {
        if self.filled < self.target {
            self.fill();
        }
    }

    /// The kernel found no chunk. True: now there is one.
    pub(super) fn ran_dry(&mut self) -> bool {
        self.target = self.target.saturating_mul(2).min(self.mask + 1);
        self.top_up();
        self.filled > 0
    }

    /// The chunk that a completion names; `None` when it is not in this ring.
    #[inline]
    pub(super) fn filled_chunk(&mut self, index: u16, length: u32) -> Option<Chunk> {
        let chunk = self.pool.filled_by_ring(index, length)?;
        self.filled = self.filled.saturating_sub(1);
        Some(chunk)
    }

    /// Chunks in the ring that no completion seen so far has named.
    pub(super) fn filled(&self) -> usize {
        self.filled as usize
    }

    fn fill(&mut self) {
        let base = self.memory.start().as_ptr().cast::<BufRingEntry>();
        while self.filled < self.target {
            let Some((index, address)) = self.pool.lend_to_ring() else { break };
            // SAFETY: `add` needs the result inside the allocation: the mapping holds `mask + 1` entries.
            let entry = unsafe { base.add((self.tail & self.mask) as usize) };
            // SAFETY: a `&mut` needs valid memory that nobody else uses: the kernel reads entries below the published tail
            // only, this one is at it, and at most `mask + 1` are out, so it was consumed. Any bits are a valid entry.
            let entry = unsafe { &mut *entry };
            entry.set_addr(address as u64);
            entry.set_len(self.pool.chunk_bytes());
            entry.set_bid(index);
            self.tail = self.tail.wrapping_add(1);
            self.filled += 1;
        }
        // SAFETY: `tail` needs the address of the first entry of a buffer ring.
        let tail = unsafe { BufRingEntry::tail(base) };
        // SAFETY: `from_ptr` needs a valid, aligned u16 that others access atomically only: the kernel reads it with acquire.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}
