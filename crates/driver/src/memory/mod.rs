//! Every byte the kernel may read or write: the arena and its leases, provided buffers, owned vectors (INV-2).
pub mod arena;
mod lines;
mod mapping;
mod pages;
pub mod piece;
pub mod provided;
mod vector;

pub use arena::{Arena, Lease, LeaseError, LeaseId, NoMemory};
pub use mapping::Mapping;
pub use piece::{Piece, Pieces};
pub use provided::Chunk;
pub use vector::Vector;
pub(crate) use vector::parts_within;

use crate::limits::TRANSFER;
use std::{ops::Range, rc::Rc};

/// Where an operation writes.
#[derive(Debug)]
pub enum Target {
    /// A range of a lease: registered memory, no copy.
    Lease(Lease, Range<u32>),
    /// A piece of a lease that other operations have pieces of, too.
    Piece(Piece),
    /// A vector; the operation fills `0..capacity` from 0 and sets its length to the result.
    Vec(Vec<u8>),
    /// Ranges of leases, in order: preadv(2). For reads of files only.
    Vector(Box<Vector>),
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
    /// Ranges of leases, in order: pwritev(2). For writes of files only.
    Vector(Box<Vector>),
}

impl Target {
    /// Bytes that there is room for.
    pub fn room(&self) -> usize {
        match self {
            Target::Lease(_, range) => range.len(),
            Target::Piece(piece) => piece.len() as usize,
            Target::Vec(vector) => vector.capacity(),
            Target::Vector(vector) => vector.len(),
        }
    }

    /// Where the kernel may write, and how many bytes at most. `None`: the range lies outside the lease, or it is not one range.
    #[inline]
    pub(crate) fn destination(&mut self) -> Option<(*mut u8, u32)> {
        match self {
            Target::Lease(lease, range) => {
                let length = range.end.checked_sub(range.start)?;
                if range.end as usize > lease.len() {
                    return None;
                }
                Some((lease.pointer_at(range.start), length.min(TRANSFER as u32)))
            }
            Target::Piece(piece) => Some((piece.pointer(), piece.len().min(TRANSFER as u32))),
            Target::Vec(vector) => Some((vector.as_mut_ptr(), vector.capacity().min(TRANSFER) as u32)),
            Target::Vector(_) => None,
        }
    }

    /// Notes how many bytes the kernel wrote at the destination.
    #[inline]
    pub(crate) fn filled(&mut self, bytes: usize) {
        if let Target::Vec(vector) = self {
            assert!(bytes <= vector.capacity());
            // SAFETY: `set_len` needs `bytes` initialised bytes within the capacity.
            // Holds: the kernel said it wrote them at `destination`, which is this vector's start, and the line above checks the bound.
            // Checked: the contract suite's reads into vectors.
            unsafe { vector.set_len(bytes) }
        }
    }

    /// The bytes of the lease's range, or the vector's content; nothing of what is not one range.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Target::Lease(lease, range) => lease.get(range.start as usize..range.end as usize).unwrap_or(&[]),
            Target::Piece(piece) => piece.bytes(),
            Target::Vec(vector) => vector,
            Target::Vector(_) => &[],
        }
    }

    /// True when it lies in the arena.
    #[inline]
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self, Target::Lease(..) | Target::Piece(_))
    }
}

impl Source {
    /// What the kernel may read. `None`: the range lies outside, or it is not one range.
    #[inline]
    pub(crate) fn origin(&self) -> Option<(*const u8, u32)> {
        let bytes = match self {
            Source::Lease(lease, range) => {
                let length = range.end.checked_sub(range.start)?;
                if range.end as usize > lease.len() {
                    return None;
                }
                return Some((lease.pointer_at(range.start).cast_const(), length.min(TRANSFER as u32)));
            }
            Source::Vec(vector, range) => vector.get(range.clone())?,
            Source::Shared(bytes, range) => bytes.get(range.clone())?,
            Source::Chunk(chunk, range) => chunk.get(range.clone())?,
            Source::Vector(_) => return None,
        };
        Some((bytes.as_ptr(), bytes.len().min(TRANSFER) as u32))
    }

    /// Bytes there are to write.
    #[expect(clippy::len_without_is_empty, reason = "it is asked for its bytes only")]
    pub fn len(&self) -> usize {
        match self {
            Source::Vector(vector) => vector.len(),
            other => other.bytes().len(),
        }
    }

    /// The bytes of the range; empty when it lies outside, or is not one range.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Source::Lease(lease, range) => lease.get(range.start as usize..range.end as usize),
            Source::Vec(vector, range) => vector.get(range.clone()),
            Source::Shared(bytes, range) => bytes.get(range.clone()),
            Source::Chunk(chunk, range) => chunk.get(range.clone()),
            Source::Vector(_) => None,
        }
        .unwrap_or(&[])
    }
}
