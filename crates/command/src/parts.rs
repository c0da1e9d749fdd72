//! The table of a READV or WRITEV, which lies at the start of its lease: hostile bytes in, checked ranges of leases out.
//!
//! ```text
//!   lease:  [ count, 0, 0, 0 | lease slot, generation, offset, length | … | bytes of plain arrays ]
//!           0                16 bytes for each part                       Command::length
//! ```
//!
//! It is read once (INV-5). A part that names the command's own lease is a range of the bytes behind the table.
use crate::{decode::LeaseRange, layout::LENGTH_MAX, reply::RejectCode};

/// Bytes of the table before its parts.
pub const PARTS_HEAD_BYTES: u32 = 16;
/// Parts of one command at most: IOV_MAX of Linux.
pub const PARTS_MAX: u32 = 1024;
/// Bytes of one part: lease slot, generation, offset and length, each u32.
pub const PART_BYTES: u32 = 16;

/// Reads the table of the lease that is `own`, of which `lease` are the bytes. `parts` is emptied first. Whether the other leases exist
/// and are as long is the arena's to say.
///
/// # Errors
/// The rule that was broken: there are no parts, more than [`PARTS_MAX`], or they have more than [`LENGTH_MAX`] bytes; one is empty, or its end
/// overflows; a reserved word is not 0; or a part of the own lease does not lie behind the table and behind the one before it.
pub fn decode(lease: &[u8], own: LeaseRange, parts: &mut Vec<LeaseRange>) -> Result<(), RejectCode> {
    parts.clear();
    let (head, rest) =
        lease.split_first_chunk::<{ PARTS_HEAD_BYTES as usize }>().ok_or(RejectCode::LeaseRange)?;
    let [count, zeros @ ..] = words(head);
    if zeros != [0; 3] {
        return Err(RejectCode::Reserved);
    }
    if !(1..=PARTS_MAX).contains(&count) {
        return Err(RejectCode::Length);
    }
    let table = (PARTS_HEAD_BYTES + count * PART_BYTES) as usize;
    let rest = rest.get(..table - PARTS_HEAD_BYTES as usize).ok_or(RejectCode::LeaseRange)?;
    let (mut bytes, mut own_end) = (0u32, table as u32);
    for entry in rest.as_chunks::<{ PART_BYTES as usize }>().0 {
        let [slot, generation, offset, length] = words(entry);
        bytes = bytes
            .checked_add(length)
            .filter(|sum| length > 0 && *sum <= LENGTH_MAX)
            .ok_or(RejectCode::Length)?;
        let end = offset.checked_add(length).ok_or(RejectCode::LeaseRange)?;
        if slot == own.slot && generation == own.generation {
            if offset < own_end || end as usize > lease.len() {
                return Err(RejectCode::LeaseRange);
            }
            own_end = end;
        }
        parts.push(LeaseRange { slot, generation, offset, length });
    }
    Ok(())
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

    const OWN: LeaseRange = LeaseRange { slot: 7, generation: 3, offset: 0, length: 0 };

    /// A lease with a table, and `room` bytes behind it.
    fn table(head: [u32; 4], parts: &[[u32; 4]], room: usize) -> Vec<u8> {
        let words = head.into_iter().chain(parts.iter().flatten().copied());
        let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        bytes.resize(bytes.len() + room, 0xaa);
        bytes
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<LeaseRange>, RejectCode> {
        let mut parts = vec![OWN];
        decode(bytes, OWN, &mut parts).map(|()| parts)
    }

    #[test]
    fn parts_of_its_own_and_of_other_leases_are_read() {
        let list = [[1, 2, 3, 4], [7, 3, 64, 10], [7, 4, 0, 9], [7, 3, 74, 6]];
        let bytes = table([4, 0, 0, 0], &list, 10);
        assert_eq!(decoded(&bytes[..79]).unwrap_err(), RejectCode::LeaseRange, "the table ends at 80");
        assert_eq!(decoded(&bytes).unwrap_err(), RejectCode::LeaseRange, "a part lies in it");
        let list = list.map(|[slot, generation, offset, length]| {
            [slot, generation, if slot == 7 && generation == 3 { offset + 16 } else { offset }, length]
        });
        let parts = decoded(&table([4, 0, 0, 0], &list, 16)).unwrap();
        let found: Vec<_> =
            parts.iter().map(|part| [part.slot, part.generation, part.offset, part.length]).collect();
        assert_eq!(found, list);
    }

    #[test]
    fn each_rule_has_its_reject() {
        let check = |bytes: &[u8], code| assert_eq!(decoded(bytes).unwrap_err(), code);
        let one = |part| table([1, 0, 0, 0], &[part], 10);
        assert!(decoded(&one([7, 3, 32, 10])).is_ok());
        check(&one([7, 3, 31, 10]), RejectCode::LeaseRange);
        check(&one([7, 3, 32, 11]), RejectCode::LeaseRange);
        check(&one([7, 3, u32::MAX, 1]), RejectCode::LeaseRange);
        check(&one([1, 1, u32::MAX, 2]), RejectCode::LeaseRange);
        check(&one([1, 1, 0, 0]), RejectCode::Length);
        check(&one([1, 1, 0, LENGTH_MAX + 1]), RejectCode::Length);
        check(&table([2, 0, 0, 0], &[[1, 1, 0, LENGTH_MAX], [1, 2, 0, 1]], 0), RejectCode::Length);
        check(&table([2, 0, 0, 0], &[[1, 1, 0, LENGTH_MAX], [1, 2, 0, u32::MAX]], 0), RejectCode::Length);
        check(&table([2, 0, 0, 0], &[[7, 3, 52, 4], [7, 3, 48, 4]], 10), RejectCode::LeaseRange);
        check(&table([2, 0, 0, 0], &[[7, 3, 48, 4], [7, 3, 51, 4]], 10), RejectCode::LeaseRange);
        for count in [0, 1025, u32::MAX] {
            check(&table([count, 0, 0, 0], &[[1, 1, 0, 1]], 0), RejectCode::Length);
        }
        check(&table([2, 0, 0, 0], &[[1, 1, 0, 1]], 15), RejectCode::LeaseRange);
        for at in 1..4 {
            let mut head = [1, 0, 0, 0];
            head[at] = 1;
            check(&table(head, &[[1, 1, 0, 1]], 0), RejectCode::Reserved);
        }
        check(&[], RejectCode::LeaseRange);
    }

    #[test]
    fn as_many_parts_as_the_kernel_takes() {
        let parts: Vec<_> = (0..PARTS_MAX).map(|slot| [slot, 9, 0, 1]).collect();
        assert_eq!(decoded(&table([PARTS_MAX, 0, 0, 0], &parts, 0)).unwrap().len(), 1024);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _either = decoded(&bytes);
        }

        #[test]
        fn what_is_decoded_keeps_the_rules(
            parts in prop::collection::vec([6u32..9, 2u32..5, 0u32..300, 0u32..120], 0..8),
            count in 0u32..9,
            room in 0usize..400,
        ) {
            let bytes = table([count, 0, 0, 0], &parts, room);
            if let Ok(found) = decoded(&bytes) {
                prop_assert_eq!(found.len(), count as usize);
                let own: Vec<_> = found.iter().filter(|part| (part.slot, part.generation) == (7, 3)).collect();
                prop_assert!(own.iter().all(|part| part.offset >= 16 + 16 * count && (part.offset + part.length) as usize <= bytes.len()));
                prop_assert!(own.windows(2).all(|pair| pair[0].offset + pair[0].length <= pair[1].offset));
            }
        }
    }
}
