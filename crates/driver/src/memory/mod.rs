//! Every byte the kernel may read or write: the arena and its leases, provided buffers, owned vectors (INV-2).
use std::{ops::Range, rc::Rc};

/// One mmap, registered with the ring where the limits allow. The only allocator of leases.
#[derive(Debug)]
pub struct Arena {
    _private: (),
}

/// Names a lease to a distrusted caller: slot and generation, checked at every transition (INV-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// Index in the lease table.
    pub slot: u32,
    /// Bumped at every release.
    pub generation: u32,
}

/// A range of the arena in one hand: the holder of this value. Moving it into an operation is the transition of INV-3.
/// Not `Clone`. Dropping it frees the range.
#[derive(Debug)]
pub struct Lease {
    _private: (),
}

/// Received bytes in a provided buffer. Derefs to `[u8]`; dropping it gives the buffer back to the ring.
#[derive(Debug)]
pub struct Chunk {
    _private: (),
}

/// Where an operation writes.
#[derive(Debug)]
pub enum Target {
    /// A range of a lease: registered memory, no copy.
    Lease(Lease, Range<u32>),
    /// A vector; the operation fills `0..capacity` from 0 and sets its length to the result.
    Vec(Vec<u8>),
}

/// Where an operation reads from.
#[derive(Debug)]
pub enum Source {
    /// A range of a lease.
    Lease(Lease, Range<u32>),
    /// A range of a vector.
    Vec(Vec<u8>, Range<usize>),
    /// A range of shared bytes, such as a cached response.
    Shared(Rc<[u8]>, Range<usize>),
    /// A range of received bytes: an echo without a copy.
    Chunk(Chunk, Range<usize>),
}
