//! The table of a READ_MANY, which lies in its lease behind the bytes that are read: hostile bytes in, checked ranges out.
//!
//! ```text
//!   lease:  [ bytes of range 0 | bytes of range 1 | … | table: count, concurrency, granule, 0 | position, length, result | … ]
//!           0                                         Command::operand                         16 bytes for each range
//! ```
//!
//! It is read once (INV-5). The answer is 0 when all ranges were filled; 1 when a read brought less or failed: then all results are
//! written into the table first.
use crate::{
    decode::{Position, position_of},
    reply::RejectCode,
};

/// Bytes of the table before its ranges.
pub const RANGES_HEAD_BYTES: u32 = 16;
/// Bytes of one range: its position (f64), its length (u32), its result (i32: bytes read or minus an errno).
pub const RANGE_BYTES: u32 = 16;
/// Ranges of one command at most: a range's index shares a driver's token with a pending slot.
pub const RANGES_MAX: u32 = 1023;
/// Where the result lies in a range.
const RESULT: usize = 12;

/// One range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Byte position in the file.
    pub position: u64,
    /// Bytes.
    pub length: u32,
}

/// What stands in front of the ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Reads in flight at once at most, from 1.
    pub concurrency: u32,
    /// A read that ends short of a multiple of this has reached the end of the file; from 1.
    pub granule: u32,
}

/// Reads the table at `table` of a lease's bytes, of which those before it are to be filled. `ranges` is emptied first.
///
/// # Errors
/// The rule that was broken: the table reaches beyond the lease, the ranges beyond the table, there are none or more than
/// [`RANGES_MAX`], or a position is no whole number in 0..2^53.
pub fn decode(lease: &[u8], table: u32, ranges: &mut Vec<Range>) -> Result<Head, RejectCode> {
    ranges.clear();
    let bytes = lease.get(table as usize..).ok_or(RejectCode::LeaseRange)?;
    let (head, rest) =
        bytes.split_first_chunk::<{ RANGES_HEAD_BYTES as usize }>().ok_or(RejectCode::LeaseRange)?;
    let [count, concurrency, granule, zero] = words(head);
    if zero != 0 {
        return Err(RejectCode::Reserved);
    }
    if !(1..=RANGES_MAX).contains(&count) || granule == 0 || concurrency == 0 {
        return Err(RejectCode::Length);
    }
    let rest = rest.get(..count as usize * RANGE_BYTES as usize).ok_or(RejectCode::LeaseRange)?;
    let mut left = table;
    for entry in rest.as_chunks::<{ RANGE_BYTES as usize }>().0 {
        let [low, high, length, _] = words(entry);
        let Position::At(position) = position_of(f64::from_bits(u64::from(high) << 32 | u64::from(low)))?
        else {
            return Err(RejectCode::Position);
        };
        left = left.checked_sub(length).ok_or(RejectCode::LeaseRange)?;
        ranges.push(Range { position, length });
    }
    Ok(Head { concurrency, granule })
}

/// Writes the result of a range into the table. Nothing when it does not lie in the lease.
pub fn write_result(lease: &mut [u8], table: u32, index: usize, result: i32) {
    let at = table as usize + RANGES_HEAD_BYTES as usize + index * RANGE_BYTES as usize + RESULT;
    if let Some(place) = lease.get_mut(at..at + 4) {
        place.copy_from_slice(&result.to_le_bytes());
    }
}

fn words(bytes: &[u8; 16]) -> [u32; 4] {
    std::array::from_fn(|index| {
        let at = index * 4;
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A lease of `room` bytes with a table behind them.
    fn table(room: u32, head: [u32; 4], ranges: &[(f64, u32)]) -> Vec<u8> {
        let mut bytes = vec![0xaa; room as usize];
        head.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        for (position, length) in ranges {
            bytes.extend(position.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend([0xff; 4]);
        }
        bytes
    }

    fn decoded(bytes: &[u8], at: u32) -> Result<(Head, Vec<Range>), RejectCode> {
        let mut ranges = Vec::new();
        decode(bytes, at, &mut ranges).map(|head| (head, ranges))
    }

    #[test]
    fn a_table_is_read_and_its_results_written() {
        let mut bytes = table(100, [2, 8, 1, 0], &[(4096.0, 60), (0.0, 40)]);
        let (head, ranges) = decoded(&bytes, 100).unwrap();
        assert_eq!(head, Head { concurrency: 8, granule: 1 });
        assert_eq!(ranges, [Range { position: 4096, length: 60 }, Range { position: 0, length: 40 }]);
        write_result(&mut bytes, 100, 1, -5);
        assert_eq!(bytes[100 + 16 + 16 + 12..], (-5i32).to_le_bytes());
        assert_eq!(decoded(&bytes, 100).unwrap().1, ranges);
        write_result(&mut bytes, 100, 2, 7);
        write_result(&mut bytes, u32::MAX, 2, 7);
    }

    #[test]
    fn each_rule_has_its_reject() {
        let check = |bytes: &[u8], at, code| assert_eq!(decoded(bytes, at).unwrap_err(), code);
        let good = table(10, [1, 1, 1, 0], &[(0.0, 10)]);
        check(&good, good.len() as u32 - 1, RejectCode::LeaseRange);
        check(&good, u32::MAX, RejectCode::LeaseRange);
        check(&good[..good.len() - 1], 10, RejectCode::LeaseRange);
        check(&table(10, [1, 1, 1, 1], &[(0.0, 1)]), 10, RejectCode::Reserved);
        for head in [[0, 1, 1, 0], [1024, 1, 1, 0], [u32::MAX, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]] {
            check(&table(10, head, &[(0.0, 1)]), 10, RejectCode::Length);
        }
        check(&table(10, [1, 1, 1, 0], &[(0.0, 11)]), 10, RejectCode::LeaseRange);
        check(&table(10, [2, 1, 1, 0], &[(0.0, 10), (0.0, u32::MAX)]), 10, RejectCode::LeaseRange);
        for position in [-1.0, 0.5, f64::NAN, f64::INFINITY, 9.1e15] {
            check(&table(10, [1, 1, 1, 0], &[(position, 1)]), 10, RejectCode::Position);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0u32..210) {
            if let Ok((_, ranges)) = decoded(&bytes, at) {
                let sum: u64 = ranges.iter().map(|range| u64::from(range.length)).sum();
                prop_assert!(sum <= u64::from(at));
                prop_assert!(ranges.len() as u32 <= RANGES_MAX);
            }
        }
    }
}
