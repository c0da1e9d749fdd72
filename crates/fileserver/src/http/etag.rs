//! Entity tags: how ours are made, and the two comparisons of RFC 9110 section 8.8.3.2.
use super::coding::Coding;
use std::fmt::Write;

/// A file whose mtime is less than this many seconds old gets a weak tag and no strong date.
///
/// Within one step of the clock that stamps the file a second write leaves size and mtime as they were, so equal stamps do
/// not prove equal bytes. 2 s is the coarsest step of a file system Linux can mount (FAT; ext3 and HFS+ have 1 s, SMB and
/// NFS what their server has), it also covers the one second of Last-Modified, and a step that is finer only means that a
/// tag stays weak a little longer than it had to.
pub const CLOCK_STEP_SECONDS: i64 = 2;

/// What goes into a tag besides size and mtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EtagKind {
    /// No ETag header at all.
    Off,
    /// Size and mtime in nanoseconds: the same on every machine that got the file with its times (default).
    #[default]
    #[serde(rename = "time")]
    SizeAndTime,
    /// The inode too: tells a replaced file from its twin, but differs between machines.
    Inode,
    /// A hash of the bytes (XXH3, 128 bits): survives copying without times. Costs one read of the file per version.
    #[serde(rename = "content")]
    ContentHash,
}

/// The facts a tag is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagFacts {
    /// Bytes.
    pub size: u64,
    /// Modification time, whole seconds since 1970.
    pub mtime_seconds: i64,
    /// Its nanoseconds.
    pub mtime_nanoseconds: u32,
    /// The inode number.
    pub inode: u64,
    /// The hash, where it was computed.
    pub hash: Option<u128>,
}

/// True while `mtime_seconds` is too close to (or after) `now` for equal stamps to prove equal bytes.
pub fn is_fresh(mtime_seconds: i64, now_seconds: i64) -> bool {
    mtime_seconds.saturating_add(CLOCK_STEP_SECONDS) > now_seconds
}

/// The tag with its quotes, weak while the file is fresh; empty when tags are off. A content hash is strong at once.
///
/// ```
/// # use ringwheel_fileserver::http::etag::{make, EtagKind, TagFacts};
/// let facts = TagFacts { size: 17, mtime_seconds: 1000, mtime_nanoseconds: 5, inode: 9, hash: None };
/// assert_eq!(make(EtagKind::SizeAndTime, &facts, 2000), "\"11-e8d4a51005\"");
/// assert_eq!(make(EtagKind::SizeAndTime, &facts, 1001), "W/\"11-e8d4a51005\"");
/// ```
pub fn make(kind: EtagKind, facts: &TagFacts, now_seconds: i64) -> String {
    let mut tag = String::new();
    let time = i128::from(facts.mtime_seconds) * 1_000_000_000 + i128::from(facts.mtime_nanoseconds);
    let sign = if time < 0 { "-" } else { "" };
    let time = time.unsigned_abs();
    let weak = if is_fresh(facts.mtime_seconds, now_seconds) { "W/" } else { "" };
    // Writing to a String cannot fail; the result is dropped for that reason.
    let _ = match (kind, facts.hash) {
        (EtagKind::Off, _) => Ok(()),
        (EtagKind::ContentHash, Some(hash)) => write!(tag, "\"{hash:032x}\""),
        (EtagKind::Inode, _) => write!(tag, "{weak}\"{:x}-{sign}{time:x}-{:x}\"", facts.size, facts.inode),
        (EtagKind::SizeAndTime | EtagKind::ContentHash, _) => {
            write!(tag, "{weak}\"{:x}-{sign}{time:x}\"", facts.size)
        }
    };
    tag
}

/// The tag of a file that is another one packed, told apart from the other's by the name of the coding: the two may be equally long and old.
///
/// ```
/// # use ringwheel_fileserver::http::{coding::Coding, etag::packed};
/// assert_eq!(packed("W/\"11-5\"".to_owned(), Coding::Gzip), "W/\"11-5-gzip\"");
/// assert_eq!(packed("\"11-5\"".to_owned(), Coding::Identity), "\"11-5\"");
/// ```
pub fn packed(mut tag: String, coding: Coding) -> String {
    if coding != Coding::Identity && tag.pop() == Some('"') {
        let _ = write!(tag, "-{}\"", coding.token());
    }
    tag
}

/// The tag of bytes packed on the fly: other levels and other releases of a library pack otherwise, so a hash of the bytes is in it.
///
/// ```
/// # use ringwheel_fileserver::http::{coding::Coding, etag::{packed, with_hash}};
/// assert_eq!(with_hash(packed("\"11-5\"".to_owned(), Coding::Gzip), 0xabc), "\"11-5-gzip-abc\"");
/// assert_eq!(with_hash(String::new(), 0xabc), "");
/// ```
pub fn with_hash(mut tag: String, hash: u64) -> String {
    if tag.pop() == Some('"') {
        let _ = write!(tag, "-{hash:x}\"");
    }
    tag
}

/// One tag of a request: its opaque part with quotes, and whether it was weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// `"…"`, quotes included.
    pub opaque: &'a [u8],
    /// It had the prefix `W/`.
    pub weak: bool,
}

impl<'a> Tag<'a> {
    /// Reads one tag from the start of `value`; gives the tag and the rest.
    pub fn read(value: &'a [u8]) -> Option<(Tag<'a>, &'a [u8])> {
        let (weak, body) = match value.strip_prefix(b"W/") {
            Some(body) => (true, body),
            None => (false, value),
        };
        let inner = body.strip_prefix(b"\"")?;
        let end = inner.iter().position(|&byte| byte == b'"')?;
        // etagc: no controls and no space; obs-text is allowed.
        if inner[..end].iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
            return None;
        }
        Some((Tag { opaque: &body[..end + 2], weak }, &body[end + 2..]))
    }

    /// Strong comparison: both strong, same opaque part.
    pub fn matches_strongly(&self, other: &Tag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison: same opaque part.
    pub fn matches_weakly(&self, other: &Tag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The value of If-Match or If-None-Match, checked against our tag.
///
/// `*` matches always (the file exists, or we would not be here). A list that is broken matches up to where it breaks.
pub fn list_matches(value: &[u8], ours: &[u8], strong: bool) -> bool {
    let value = value.trim_ascii();
    if value == b"*" {
        return true;
    }
    let Some((ours, _)) = Tag::read(ours) else { return false };
    let mut rest = value;
    loop {
        while let [b' ' | b'\t' | b',', tail @ ..] = rest {
            rest = tail;
        }
        let Some((theirs, tail)) = Tag::read(rest) else { return false };
        if if strong { theirs.matches_strongly(&ours) } else { theirs.matches_weakly(&ours) } {
            return true;
        }
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> TagFacts {
        TagFacts {
            size: 1024,
            mtime_seconds: 1_700_000_000,
            mtime_nanoseconds: 123_456_789,
            inode: 77,
            hash: Some(5),
        }
    }

    #[test]
    fn the_default_tag_depends_on_size_and_nanoseconds_and_on_nothing_else() {
        let tag = make(EtagKind::SizeAndTime, &facts(), 1_800_000_000);
        assert_eq!(
            tag,
            make(EtagKind::SizeAndTime, &TagFacts { inode: 78, hash: None, ..facts() }, 1_900_000_000)
        );
        assert_ne!(tag, make(EtagKind::SizeAndTime, &TagFacts { size: 1025, ..facts() }, 1_800_000_000));
        let later = TagFacts { mtime_nanoseconds: 123_456_790, ..facts() };
        assert_ne!(tag, make(EtagKind::SizeAndTime, &later, 1_800_000_000));
    }

    #[test]
    fn inode_and_hash_tags_depend_on_them() {
        let now = 1_800_000_000;
        let inode = make(EtagKind::Inode, &facts(), now);
        assert_ne!(inode, make(EtagKind::Inode, &TagFacts { inode: 78, ..facts() }, now));
        let hash = make(EtagKind::ContentHash, &facts(), now);
        assert_eq!(
            hash,
            make(EtagKind::ContentHash, &TagFacts { mtime_seconds: 3, inode: 4, ..facts() }, now)
        );
        assert!(!make(EtagKind::ContentHash, &facts(), facts().mtime_seconds).starts_with("W/"));
        assert_eq!(make(EtagKind::Off, &facts(), now), "");
    }

    #[test]
    fn a_tag_is_weak_within_the_clock_step_of_now_and_in_the_future() {
        let at = facts().mtime_seconds;
        for (now, weak) in [(at - 5, true), (at, true), (at + 1, true), (at + 2, false), (at + 100, false)] {
            assert_eq!(
                make(EtagKind::SizeAndTime, &facts(), now).starts_with("W/"),
                weak,
                "now = mtime + {}",
                now - at
            );
        }
        assert!(is_fresh(i64::MAX, 0));
    }

    #[test]
    fn times_before_1970_make_a_tag() {
        let old = TagFacts { mtime_seconds: -1, mtime_nanoseconds: 0, ..facts() };
        assert_eq!(make(EtagKind::SizeAndTime, &old, 100), "\"400--3b9aca00\"");
    }

    #[test]
    fn comparisons_follow_the_table_of_rfc_9110_8_8_3_2() {
        for (ours, theirs, strong, weak) in [
            (&b"W/\"1\""[..], &b"W/\"1\""[..], false, true),
            (b"W/\"1\"", b"W/\"2\"", false, false),
            (b"W/\"1\"", b"\"1\"", false, true),
            (b"\"1\"", b"\"1\"", true, true),
        ] {
            assert_eq!(list_matches(theirs, ours, true), strong);
            assert_eq!(list_matches(theirs, ours, false), weak);
        }
    }

    #[test]
    fn lists_stars_commas_in_tags_and_broken_lists() {
        assert!(list_matches(b"*", b"\"a\"", true));
        assert!(list_matches(b" \"x\" ,, W/\"y\",\"a\" ", b"\"a\"", true));
        assert!(list_matches(b"\"a,b\"", b"\"a,b\"", true));
        assert!(!list_matches(b"\"a,b\"", b"\"b\"", true));
        for broken in [&b""[..], b"a", b"\"a", b"\"", b"W/", b"w/\"a\"", b"\"z\" a \"a\"", b"\"z\",*"] {
            assert!(!list_matches(broken, b"\"a\"", true), "{broken:?}");
        }
        assert!(!list_matches(b"\"\"", b"", false), "no tag of ours matches nothing");
    }

    proptest! {
        #[test]
        fn any_bytes_are_compared_without_a_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            list_matches(&value, b"\"a\"", true);
            list_matches(&value, b"W/\"a\"", false);
        }

        #[test]
        fn our_own_tag_always_matches_itself(size: u64, seconds: i64, nanoseconds in 0u32..1_000_000_000, inode: u64) {
            let facts = TagFacts { size, mtime_seconds: seconds, mtime_nanoseconds: nanoseconds, inode, hash: None };
            for kind in [EtagKind::SizeAndTime, EtagKind::Inode] {
                let tag = make(kind, &facts, i64::MAX);
                prop_assert!(list_matches(tag.as_bytes(), tag.as_bytes(), false));
            }
        }
    }
}
