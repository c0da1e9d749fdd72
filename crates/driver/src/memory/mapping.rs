//! Anonymous pages, unmapped with their last owner. The one place that maps memory.
use crate::error::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::ptr::NonNull;

/// Page-aligned, zeroed, private memory. Shared by `Arc` among those who may touch it after the driver is gone: a foreign
/// ArrayBuffer, a chunk, an operation that shutdown had to leak.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: a Mapping is an address range; nothing about it belongs to a thread. It hands out pointers only, and their
// users keep to INV-3 and INV-6.
unsafe impl Send for Mapping {}
// SAFETY: as above: no method of a shared Mapping touches the memory.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `length` bytes, rounded up to whole pages. Pages cost memory when first touched.
    pub(crate) fn new(length: usize) -> Result<Mapping, Errno> {
        let length = length.next_multiple_of(crate::limits::PAGE);
        // SAFETY: `mmap_anonymous` with a null hint needs nothing: the kernel picks a free range.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        let start = NonNull::new(start.cast::<u8>()).expect("mmap never returns null without MAP_FIXED");
        Ok(Mapping { start, length })
    }

    /// The first byte.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes, a multiple of the page.
    pub fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `munmap` needs that nobody uses the range any more.
        // Holds: this was the last Arc, and whoever gives the range to the kernel or to JavaScript holds one (INV-1, INV-3).
        // Checked: tests/shutdown_inflight.rs, tests/leaks.rs.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok(), "a whole mapping of ours cannot fail to unmap");
    }
}
