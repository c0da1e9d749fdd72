//! One lease, many operations: pieces that do not overlap, cut off one after the other.
use super::Lease;
use std::{fmt, rc::Rc};

/// Cuts a lease into [`Piece`]s, from its start on. Each byte is in one piece at most, so INV-3 holds for bytes as it does for
/// leases; the lease itself comes back whole when all pieces are gone.
#[derive(Debug)]
pub struct Pieces {
    lease: Rc<Lease>,
    /// Where the next piece starts.
    at: u32,
}

impl Pieces {
    /// Takes the lease that pieces are cut from.
    pub fn new(lease: Lease) -> Pieces {
        Pieces { lease: Rc::new(lease), at: 0 }
    }

    /// The next `length` bytes. `None` when the lease has fewer left.
    #[inline]
    pub fn cut(&mut self, length: u32) -> Option<Piece> {
        let end = self.at.checked_add(length)?;
        if end as usize > self.lease.len() {
            return None;
        }
        let piece = Piece { lease: Rc::clone(&self.lease), start: self.at, end };
        self.at = end;
        Some(piece)
    }

    /// The lease, when no piece is left of it.
    ///
    /// # Errors
    /// `self`, while a piece lives.
    pub fn whole(self) -> Result<Lease, Pieces> {
        let at = self.at;
        Rc::try_unwrap(self.lease).map_err(|lease| Pieces { lease, at })
    }
}

/// Bytes of a lease that are in nobody else's hand. Not `Clone`.
pub struct Piece {
    lease: Rc<Lease>,
    start: u32,
    end: u32,
}

impl Piece {
    /// Bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is asked for its bytes only")]
    #[inline]
    pub fn len(&self) -> u32 {
        self.end - self.start
    }

    /// Gives up its first `bytes`: an operation filled them, and the next one is to fill the rest.
    ///
    /// # Panics
    /// When it has fewer.
    #[inline]
    pub fn skip(&mut self, bytes: u32) {
        assert!(bytes <= self.len());
        self.start += bytes;
    }

    #[inline]
    pub(crate) fn pointer(&self) -> *mut u8 {
        self.lease.pointer_at(self.start)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `from_raw_parts` needs initialised bytes that nobody writes meanwhile.
        // Holds: `Pieces::cut` checked the end against the lease, which stays mapped and out of JavaScript's hand while a
        // piece refers to it (INV-3), and gives no byte to two pieces.
        // Checked: the property test below.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.len() as usize) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; no other piece has these bytes, and `&mut self` makes this the only reference. The lease
        // itself gives none out: `Pieces` keeps it to itself until all pieces are gone.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), self.len() as usize) }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").field("start", &self.start).field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arena;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_do_not_overlap_and_the_lease_comes_back(lengths in prop::collection::vec(0u32..3000, 0..40)) {
            let arena = Arena::new(65_536).unwrap();
            let mut pieces = Pieces::new(arena.lease(20_000).unwrap());
            let mut cut = Vec::new();
            let mut left = 20_000;
            for (mark, length) in lengths.into_iter().enumerate() {
                let piece = pieces.cut(length);
                prop_assert_eq!(piece.is_some(), length <= left);
                let Some(mut piece) = piece else { continue };
                left -= length;
                piece.bytes_mut().fill(mark as u8);
                cut.push((piece, mark as u8));
            }
            for (piece, mark) in &cut {
                prop_assert!(piece.bytes().iter().all(|byte| byte == mark), "another piece wrote here");
            }
            let pieces = match pieces.whole() {
                Ok(_) => { prop_assert!(cut.is_empty()); return Ok(()) }
                Err(pieces) => pieces,
            };
            drop(cut);
            prop_assert_eq!(pieces.whole().unwrap().len(), 20_000);
            prop_assert_eq!(arena.free_bytes(), arena.total());
        }
    }

    #[test]
    fn a_piece_gives_up_what_is_filled() {
        let arena = Arena::new(65_536).unwrap();
        let mut pieces = Pieces::new(arena.lease(4096).unwrap());
        let mut piece = pieces.cut(100).unwrap();
        let start = piece.pointer();
        piece.skip(40);
        assert_eq!((piece.len(), piece.pointer()), (60, start.wrapping_add(40)));
        assert!(pieces.cut(u32::MAX).is_none());
        assert_eq!(pieces.cut(3996).unwrap().pointer(), start.wrapping_add(100));
    }
}
