//! Any bytes are a table of parts that keeps every rule, or break a rule that has a name.
use ringwheel_command::{
    LeaseRange,
    layout::LENGTH_MAX,
    parts::{PART_BYTES, PARTS_HEAD_BYTES, PARTS_MAX, decode},
    reply::REJECT_CEILING,
};

/// The lease that the table lies in. Its name is all that the table may repeat.
const OWN: LeaseRange = LeaseRange { slot: 1, generation: 1, offset: 0, length: 0 };

/// Checks everything that `decode` promises about its answer.
pub fn check(bytes: &[u8]) {
    let mut parts = vec![OWN; 3];
    match decode(bytes, OWN, &mut parts) {
        Err(code) => assert!(code.result() < REJECT_CEILING),
        Ok(()) => {
            let count = parts.len() as u32;
            assert!((1..=PARTS_MAX).contains(&count));
            let sum: u64 = parts.iter().map(|part| u64::from(part.length)).sum();
            assert!(sum <= u64::from(LENGTH_MAX));
            let mut end = u64::from(PARTS_HEAD_BYTES + count * PART_BYTES);
            for part in parts {
                assert!(part.length > 0);
                let part_end = u64::from(part.offset) + u64::from(part.length);
                assert!(part_end <= u64::from(u32::MAX));
                if (part.slot, part.generation) == (OWN.slot, OWN.generation) {
                    assert!(u64::from(part.offset) >= end, "behind the table and the part before it");
                    end = part_end;
                }
            }
            assert!(end <= bytes.len() as u64);
        }
    }
}
