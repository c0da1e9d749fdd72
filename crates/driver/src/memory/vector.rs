//! Ranges of several leases that one operation moves, in order: what preadv(2) and pwritev(2) take.
use super::Lease;
use crate::limits::{PARTS, TRANSFER};
use std::{
    fmt,
    io::{IoSlice, IoSliceMut},
    ops::Range,
};

/// Leases, and ranges of them in the order in which they are moved. Each byte is in one range at most: those of one lease ascend. It lies
/// behind a pointer in an operation, so that those without it stay small; emptied, it is of use again.
///
/// ```
/// use ringwheel_driver::{Driver, Options, memory::Vector};
///
/// let driver = Driver::start(&Options::default())?;
/// let mut vector = Vector::default();
/// let first = vector.hold(driver.arena().lease(100).expect("room"));
/// let second = vector.hold(driver.arena().lease(4096).expect("room"));
/// assert!(vector.push(first, 0..100));
/// assert!(vector.push(second, 10..20));
/// assert!(!vector.push(second, 19..30), "these bytes are taken");
/// assert_eq!(vector.len(), 110);
/// # Ok::<(), ringwheel_driver::StartError>(())
/// ```
#[derive(Default)]
pub struct Vector {
    /// Each with the end of the last range that was taken of it.
    leases: Vec<(Lease, u32)>,
    places: Vec<libc::iovec>,
    bytes: usize,
}

impl Vector {
    /// Takes a lease that ranges are to be of. Returns its index for [`Vector::push`].
    pub fn hold(&mut self, lease: Lease) -> usize {
        self.leases.push((lease, 0));
        self.leases.len() - 1
    }

    /// Adds a range of a lease. False, and nothing is added, when it lies outside of it or not behind the lease's last one, or when there would be
    /// more than 1024 ranges, or more bytes than one system call moves.
    pub fn push(&mut self, lease: usize, range: Range<u32>) -> bool {
        let Some((lease, end)) = self.leases.get_mut(lease) else { return false };
        let inside = *end <= range.start && range.start <= range.end && range.end as usize <= lease.len();
        if !inside || self.places.len() == PARTS || range.len() > TRANSFER - self.bytes {
            return false;
        }
        *end = range.end;
        let start = lease.pointer_at(range.start);
        self.places.push(libc::iovec { iov_base: start.cast(), iov_len: range.len() });
        self.bytes += range.len();
        true
    }

    /// Bytes of all ranges.
    #[expect(clippy::len_without_is_empty, reason = "it is asked for its bytes only")]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Ranges.
    pub fn parts(&self) -> usize {
        self.places.len()
    }

    /// Gives the leases back, in the order in which they came, and forgets the ranges.
    pub fn empty(&mut self) -> impl Iterator<Item = Lease> {
        self.places.clear();
        self.bytes = 0;
        self.leases.drain(..).map(|(lease, _)| lease)
    }

    /// Where the ranges are, for the kernel: valid until the vector is changed or dropped.
    pub(crate) fn places(&self) -> (*const libc::iovec, u32) {
        (self.places.as_ptr(), self.places.len() as u32)
    }

    /// The bytes of each range.
    pub fn slices(&self) -> &[IoSlice<'_>] {
        // SAFETY: needs entries laid out as `IoSlice`, which on Unix is `iovec` by its documentation, each naming initialised bytes that nobody
        // writes meanwhile.
        // Holds: `push` took each range from within a lease that `self` holds (INV-3), which mmap zeroed; `&self` lets nobody write.
        // Checked: the property test below.
        unsafe { std::slice::from_raw_parts(self.places.as_ptr().cast(), self.places.len()) }
    }

    /// The bytes of each range, to be written.
    pub(crate) fn slices_mut(&mut self) -> &mut [IoSliceMut<'_>] {
        // SAFETY: as in `slices`; no byte is in two ranges, since those of a lease ascend, and `&mut self` makes these the only references.
        // Callers give the slices themselves away, to a system call, so that no entry is changed.
        unsafe { std::slice::from_raw_parts_mut(self.places.as_mut_ptr().cast(), self.places.len()) }
    }
}

/// How many of the first ranges have at most `bytes` together.
pub(crate) fn parts_within(lengths: impl Iterator<Item = usize>, bytes: usize) -> usize {
    let mut left = bytes;
    lengths
        .take_while(|&length| {
            let fits = length <= left;
            left = left.saturating_sub(length);
            fits
        })
        .count()
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Vector { leases, places, bytes } = self;
        f.debug_struct("Vector")
            .field("leases", leases)
            .field("parts", &places.len())
            .field("bytes", bytes)
            .finish()
    }
}

const _: () = assert!(size_of::<IoSlice<'_>>() == size_of::<libc::iovec>());
const _: () = assert!(align_of::<IoSlice<'_>>() == align_of::<libc::iovec>());
const _: () = assert!(size_of::<IoSliceMut<'_>>() == size_of::<libc::iovec>());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arena;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_do_not_overlap_and_the_leases_come_back(ranges in prop::collection::vec((0usize..4, 0u32..5000, 0u32..5000), 0..60)) {
            let arena = Arena::new(65_536).unwrap();
            let mut vector = Vector::default();
            for length in [100, 4096, 4096] {
                vector.hold(arena.lease(length).unwrap());
            }
            let mut taken: Vec<(usize, Range<u32>)> = Vec::new();
            for (lease, start, end) in ranges {
                let fits = lease < 3
                    && start <= end
                    && end <= [100, 4096, 4096][lease]
                    && taken.iter().all(|(other, range)| *other != lease || range.end <= start);
                prop_assert_eq!(vector.push(lease, start..end), fits);
                if fits {
                    taken.push((lease, start..end));
                }
            }
            prop_assert_eq!(vector.parts(), taken.len());
            prop_assert_eq!(vector.len(), taken.iter().map(|(_, range)| range.len()).sum::<usize>());
            for (mark, slice) in vector.slices_mut().iter_mut().enumerate() {
                slice.fill(mark as u8 + 1);
            }
            for (mark, slice) in vector.slices().iter().enumerate() {
                prop_assert!(slice.iter().all(|byte| *byte == mark as u8 + 1), "another range wrote here");
            }
            let marked = vector.len();
            let leases: Vec<Lease> = vector.empty().collect();
            prop_assert_eq!(leases.iter().flat_map(|lease| lease.iter()).filter(|byte| **byte != 0).count(), marked);
            prop_assert_eq!((vector.parts(), vector.len()), (0, 0));
            drop(leases);
            prop_assert_eq!(arena.free_bytes(), arena.total());
        }
    }

    #[test]
    fn there_are_at_most_1024_ranges() {
        let arena = Arena::new(65_536).unwrap();
        let mut vector = Vector::default();
        let lease = vector.hold(arena.lease(4096).unwrap());
        assert!((0..1024).all(|at| vector.push(lease, at..at + 1)));
        assert!(!vector.push(lease, 2000..2001));
        assert!(!vector.push(1, 0..1), "there is no such lease");
        assert_eq!(vector.parts(), 1024);
    }

    #[test]
    fn as_many_ranges_as_fit() {
        let within = |lengths: &[usize], bytes| parts_within(lengths.iter().copied(), bytes);
        assert_eq!(within(&[10, 20, 30], 60), 3);
        assert_eq!(within(&[10, 20, 30], 59), 2);
        assert_eq!(within(&[10, 20, 30, 0], 9), 0);
        assert_eq!(within(&[0, 10, 1], 10), 2);
        assert_eq!(within(&[], 10), 0);
    }
}
