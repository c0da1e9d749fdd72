//! The Range header: RFC 9110 section 14, for the unit `bytes`.
//!
//! What is not a valid byte range set is ignored, as the RFC asks. What asks for many or overlapping pieces is made
//! harmless first: overlapping and touching ranges become one, and a set that still has too many pieces gets the whole file.

/// One satisfiable range: `start..end`, end exclusive, never empty, within the representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Bytes in the range.
    pub fn length(&self) -> u64 {
        self.end - self.start
    }
}

/// What a Range header means for a representation of a given size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// No Range, or one to ignore: answer 200 with everything.
    Whole,
    /// One piece: answer 206 with Content-Range.
    One(ByteRange),
    /// Several pieces, in the order first asked for, not overlapping: answer 206 with multipart/byteranges.
    Many(Vec<ByteRange>),
    /// Valid syntax, nothing within the representation: answer 416.
    Unsatisfiable,
}

/// The most range specifiers that are read at all: a longer list is ignored whole (RFC 9110 section 14.2 allows it).
const SPECIFIERS_READ: usize = 256;

/// Reads the value of a Range header against a representation of `size` bytes. `pieces_max` is the most pieces a 206 may
/// have; 0 turns ranges off.
///
/// ```
/// # use ringwheel_fileserver::http::range::{select, ByteRange, Selection};
/// assert_eq!(select(b"bytes=0-99", 1000, 8), Selection::One(ByteRange { start: 0, end: 100 }));
/// assert_eq!(select(b"bytes=-1", 1000, 8), Selection::One(ByteRange { start: 999, end: 1000 }));
/// assert_eq!(select(b"bytes=1000-", 1000, 8), Selection::Unsatisfiable);
/// assert_eq!(select(b"lines=1-2", 1000, 8), Selection::Whole);
/// ```
pub fn select(value: &[u8], size: u64, pieces_max: usize) -> Selection {
    let value = value.trim_ascii();
    let Some((unit, set)) = split_once(value, b'=') else { return Selection::Whole };
    if pieces_max == 0 || !unit.eq_ignore_ascii_case(b"bytes") {
        return Selection::Whole;
    }
    // What players and download managers send: one range, and no list to allocate.
    if !set.contains(&b',') && !set.trim_ascii().is_empty() {
        return match read_one(set.trim_ascii(), size) {
            Read::Range(range) => Selection::One(range),
            Read::Outside => Selection::Unsatisfiable,
            Read::Empty | Read::Invalid => Selection::Whole,
        };
    }
    let mut pieces: Vec<ByteRange> = Vec::new();
    let mut seen = 0usize;
    for specifier in set.split(|&byte| byte == b',') {
        let specifier = specifier.trim_ascii();
        if specifier.is_empty() {
            continue; // Empty list elements are allowed (RFC 9110 section 5.6.1.2).
        }
        seen += 1;
        if seen > SPECIFIERS_READ {
            return Selection::Whole;
        }
        match read_one(specifier, size) {
            Read::Range(range) => add(&mut pieces, range),
            Read::Outside => {}
            // A suffix of an empty file is satisfiable but no Content-Range can say so: 200 with nothing.
            Read::Empty | Read::Invalid => return Selection::Whole,
        }
    }
    match (seen, pieces.len()) {
        (0, _) => Selection::Whole,
        (_, 0) => Selection::Unsatisfiable,
        (_, 1) => Selection::One(pieces[0]),
        (_, count) if count <= pieces_max => Selection::Many(pieces),
        _ => Selection::Whole,
    }
}

enum Read {
    Range(ByteRange),
    Outside,
    Empty,
    Invalid,
}

fn read_one(specifier: &[u8], size: u64) -> Read {
    let Some((first, last)) = split_once(specifier, b'-') else { return Read::Invalid };
    let (first, last) = (first.trim_ascii_end(), last.trim_ascii_start());
    if first.is_empty() {
        return match number(last) {
            None => Read::Invalid,
            Some(0) => Read::Outside,
            Some(_) if size == 0 => Read::Empty,
            Some(suffix) => Read::Range(ByteRange { start: size - suffix.min(size), end: size }),
        };
    }
    let Some(start) = number(first) else { return Read::Invalid };
    let end = if last.is_empty() {
        size
    } else {
        match number(last) {
            None => return Read::Invalid,
            Some(last) if last < start => return Read::Invalid,
            Some(last) => last.saturating_add(1).min(size),
        }
    };
    if start < size { Read::Range(ByteRange { start, end }) } else { Read::Outside }
}

/// Adds a range; those it overlaps or touches are swallowed, and the union stands where the first of them stood.
fn add(pieces: &mut Vec<ByteRange>, mut range: ByteRange) {
    let mut place = None;
    let mut index = 0;
    while index < pieces.len() {
        let other = pieces[index];
        if range.start <= other.end && other.start <= range.end {
            range = ByteRange { start: range.start.min(other.start), end: range.end.max(other.end) };
            pieces.remove(index);
            place = Some(place.unwrap_or(index));
            // The union may reach pieces that were passed already.
            index = 0;
        } else {
            index += 1;
        }
    }
    pieces.insert(place.unwrap_or(pieces.len()).min(pieces.len()), range);
}

/// Digits only; a number too large for u64 is as good as the largest, since no file reaches it.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

fn split_once(value: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let index = value.iter().position(|&byte| byte == at)?;
    Some((&value[..index], &value[index + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(start: u64, end: u64) -> Selection {
        Selection::One(ByteRange { start, end })
    }

    #[test]
    fn single_ranges_of_rfc_9110_14_1_2() {
        for (value, expected) in [
            ("bytes=0-499", one(0, 500)),
            ("bytes=500-999", one(500, 1000)),
            ("bytes=-500", one(9500, 10000)),
            ("bytes=9500-", one(9500, 10000)),
            ("bytes=0-0", one(0, 1)),
            ("bytes=9999-9999", one(9999, 10000)),
            ("bytes=0-99999999999999999999999999", one(0, 10000)),
            ("bytes=-99999999999999999999999999", one(0, 10000)),
            ("BYTES= 5 - 6 ", one(5, 7)),
            ("bytes=,,5-6,", one(5, 7)),
            ("bytes=10000-, 0-0", one(0, 1)),
        ] {
            assert_eq!(select(value.as_bytes(), 10000, 8), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_range_set_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=-",
            "bytes=5",
            "bytes=5-4",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=0-0,x",
            "bytes=+1-2",
            "bytes=0x1-2",
            "items=0-5",
            "=0-1",
            "bytes 0-1",
        ] {
            assert_eq!(select(value.as_bytes(), 10000, 8), Selection::Whole, "{value}");
        }
    }

    #[test]
    fn ranges_beyond_the_end_are_unsatisfiable() {
        for value in [
            "bytes=10000-",
            "bytes=10000-10001",
            "bytes=-0",
            "bytes=20000-30000,40000-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(select(value.as_bytes(), 10000, 8), Selection::Unsatisfiable, "{value}");
        }
    }

    #[test]
    fn an_empty_file_has_no_range_to_give() {
        assert_eq!(select(b"bytes=0-", 0, 8), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=0-0", 0, 8), Selection::Unsatisfiable);
        assert_eq!(select(b"bytes=-5", 0, 8), Selection::Whole);
    }

    #[test]
    fn several_ranges_keep_their_order_and_never_overlap() {
        assert_eq!(
            select(b"bytes=900-999,0-9,500-509", 1000, 8),
            Selection::Many(vec![
                ByteRange { start: 900, end: 1000 },
                ByteRange { start: 0, end: 10 },
                ByteRange { start: 500, end: 510 }
            ])
        );
        assert_eq!(select(b"bytes=0-9,5-14,10-19", 1000, 8), one(0, 20));
        assert_eq!(select(b"bytes=0-9,20-29,10-19", 1000, 8), one(0, 30));
        assert_eq!(select(b"bytes=0-,0-,0-,0-", 1000, 8), one(0, 1000));
    }

    #[test]
    fn too_many_pieces_get_the_whole_file() {
        let many =
            (0..9).map(|index| format!("{}-{}", index * 10, index * 10 + 1)).collect::<Vec<_>>().join(",");
        assert_eq!(select(format!("bytes={many}").as_bytes(), 1000, 8), Selection::Whole);
        assert!(
            matches!(select(format!("bytes={many}").as_bytes(), 1000, 9), Selection::Many(pieces) if pieces.len() == 9)
        );
        assert_eq!(select(b"bytes=0-1", 1000, 0), Selection::Whole);
        let flood = format!("bytes={}", "0-0,".repeat(SPECIFIERS_READ + 1));
        assert_eq!(select(flood.as_bytes(), 1000, 8), Selection::Whole);
    }

    proptest! {
        #[test]
        fn any_bytes_give_pieces_that_lie_within_the_file(
            value in proptest::collection::vec(any::<u8>(), 0..128), size: u64
        ) {
            check(select(&value, size, 8), size)?;
        }

        #[test]
        fn any_list_of_numbers_selects_exactly_the_bytes_it_names(
            specifiers in proptest::collection::vec((0u64..120, 0u64..120), 1..20), size in 1u64..100
        ) {
            let text = specifiers.iter().map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))).collect::<Vec<_>>().join(",");
            let selection = select(format!("bytes={text}").as_bytes(), size, 64);
            let mut wanted = [false; 100];
            for (a, b) in &specifiers {
                for byte in *a.min(b)..=*a.max(b) {
                    if byte < size { wanted[byte as usize] = true; }
                }
            }
            let mut got = [0; 100];
            let pieces = match &selection {
                Selection::One(piece) => vec![*piece],
                Selection::Many(pieces) => pieces.clone(),
                Selection::Unsatisfiable => vec![],
                Selection::Whole => return Err(TestCaseError::fail("valid list ignored")),
            };
            for piece in pieces {
                for byte in piece.start..piece.end { got[byte as usize] += 1; }
            }
            for (wanted, got) in wanted.iter().zip(&got) {
                prop_assert_eq!(u32::from(*wanted), *got);
            }
            check(selection, size)?;
        }
    }

    fn check(selection: Selection, size: u64) -> Result<(), TestCaseError> {
        let pieces = match selection {
            Selection::One(piece) => vec![piece],
            Selection::Many(pieces) => pieces,
            Selection::Whole | Selection::Unsatisfiable => return Ok(()),
        };
        for (index, piece) in pieces.iter().enumerate() {
            prop_assert!(piece.start < piece.end && piece.end <= size);
            for other in &pieces[index + 1..] {
                prop_assert!(piece.end < other.start || other.end < piece.start);
            }
        }
        Ok(())
    }
}
