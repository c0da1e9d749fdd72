//! What the caches hold: a file's identity, its description, and either its ready-made response or its open descriptor.
use crate::{
    http::{
        date::{self, DATE_BYTES, DateClock},
        etag::{self, EtagKind, TagFacts},
        head::{self, Description, FixedLines},
        status::Status,
    },
    site::About,
};
use ringwheel_executor::{fs, time};
use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

/// Identity and version of a file: equal stamps of a file that is not fresh mean equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: (u32, u32),
    inode: u64,
    size: u64,
    modified: (i64, u32),
    /// The inode's own change time: unlike the mtime nobody can set it back, so a restored mtime does not hide a change.
    changed: (i64, u32),
}

impl Stamp {
    pub(crate) fn of(metadata: &fs::Metadata) -> Stamp {
        Stamp {
            device: metadata.device,
            inode: metadata.inode,
            size: metadata.size,
            modified: (metadata.modified_seconds, metadata.modified_nanoseconds),
            changed: (metadata.changed_seconds, metadata.changed_nanoseconds),
        }
    }
}

/// Describes a file of `metadata`, `about` which its site says more.
pub(crate) fn describe(
    metadata: &fs::Metadata,
    about: About,
    kind: EtagKind,
    hash: Option<u128>,
    now_seconds: i64,
) -> Description {
    let facts = TagFacts {
        size: metadata.size,
        mtime_seconds: metadata.modified_seconds,
        mtime_nanoseconds: metadata.modified_nanoseconds,
        inode: metadata.inode,
        hash,
    };
    // RFC 9110 section 8.8.2.1: a Last-Modified later than Date would be a lie; a clock that runs ahead is clamped.
    let modified = metadata.modified_seconds.min(now_seconds);
    Description {
        size: metadata.size,
        etag: etag::make(kind, &facts, now_seconds),
        modified,
        modified_text: Some(date::format(modified)),
        fresh: etag::is_fresh(metadata.modified_seconds, now_seconds),
        content_type: about.content_type,
        cache_control: about.cache_control,
        lines: about.lines,
    }
}

/// A small file, read whole.
#[derive(Debug)]
pub(crate) struct SmallFile {
    pub(crate) description: Description,
    pub(crate) stamp: Stamp,
    /// Where the body starts in the ready-made response.
    pub(crate) body_at: usize,
    /// Where the date starts in it.
    pub(crate) date_at: usize,
}

/// A small file's place in the cache.
#[derive(Debug)]
pub(crate) struct SmallEntry {
    pub(crate) file: Rc<SmallFile>,
    /// Head and body of the 200 that most requests get.
    pub(crate) ready: Rc<[u8]>,
    /// The second its Date says.
    pub(crate) dated: i64,
    /// When its file was last looked at.
    pub(crate) checked: Instant,
}

impl SmallEntry {
    /// The response with today's Date: patched in place when nobody is sending it, else in a copy. Once a second at most.
    #[inline]
    pub(crate) fn current(&mut self, clock: &DateClock) -> &Rc<[u8]> {
        if self.dated != clock.second() {
            self.patch(clock);
        }
        &self.ready
    }

    #[cold]
    fn patch(&mut self, clock: &DateClock) {
        if Rc::get_mut(&mut self.ready).is_none() {
            self.ready = Rc::from(&self.ready[..]);
        }
        if let Some(bytes) = Rc::get_mut(&mut self.ready) {
            bytes[self.file.date_at..self.file.date_at + DATE_BYTES].copy_from_slice(clock.text());
            self.dated = clock.second();
        }
    }

    /// Bytes it counts for: the response and what is kept beside it.
    pub(crate) fn cost(&self, key: &[u8]) -> usize {
        const BESIDE: usize = 512;
        self.ready.len() + key.len() + BESIDE
    }
}

/// Builds the ready-made response of a small file.
pub(crate) fn make_small(
    description: Description,
    stamp: Stamp,
    body: &[u8],
    clock: &DateClock,
    lines: &FixedLines,
) -> (Rc<SmallFile>, Rc<[u8]>) {
    let mut bytes = Vec::with_capacity(512 + body.len());
    let date_at = head::ready(&mut bytes, &description, clock.text(), lines);
    let body_at = bytes.len();
    bytes.extend_from_slice(body);
    (Rc::new(SmallFile { description, stamp, body_at, date_at }), Rc::from(bytes))
}

/// A large file, open.
#[derive(Debug)]
pub(crate) struct LargeFile {
    pub(crate) description: Description,
    pub(crate) stamp: Stamp,
    pub(crate) file: fs::File,
    /// The range that was seen in the page cache last, and when.
    pub(crate) seen: Cell<Option<(u64, u64, Instant)>>,
}

/// How long a range that was in the page cache is taken to be there still. A hot file is asked for again within it, and its
/// pages were touched just now; cachestat(2) walks every page, which is 4 % of what sending them costs. The worst that a
/// wrong guess does is one read that blocks.
const SEEN: Duration = Duration::from_millis(10);

impl LargeFile {
    /// Whether the range can be sent without waiting for the disk.
    pub(crate) fn is_resident(&self, offset: u64, length: u64) -> bool {
        let now = time::now();
        if let Some((start, end, when)) = self.seen.get()
            && start <= offset
            && offset.saturating_add(length) <= end
            && now.saturating_duration_since(when) < SEEN
        {
            return true;
        }
        let resident = self.file.is_resident(offset, length);
        if resident {
            self.seen.set(Some((offset, offset.saturating_add(length), now)));
        }
        resident
    }
}

/// A large file's place in the cache.
#[derive(Debug)]
pub(crate) struct LargeEntry {
    pub(crate) file: Rc<LargeFile>,
    /// When its path was last looked at.
    pub(crate) checked: Instant,
}

/// What looking for a path came to.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    /// A small file and its ready-made response.
    Small(Rc<SmallFile>, Rc<[u8]>),
    /// A large file.
    Large(Rc<LargeFile>),
    /// A directory, asked for without its slash.
    Directory,
    /// Nothing to serve.
    Failed(Status),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(clock: &DateClock) -> SmallEntry {
        let metadata = fs::Metadata {
            size: 5,
            modified_seconds: 1000,
            modified_nanoseconds: 0,
            changed_seconds: 1000,
            changed_nanoseconds: 0,
            inode: 1,
            device: (0, 1),
            kind: fs::Kind::File,
            mode: 0o644,
        };
        let description = describe(&metadata, About::default(), EtagKind::default(), None, clock.second());
        let (file, ready) =
            make_small(description, Stamp::of(&metadata), b"hello", clock, &FixedLines::default());
        SmallEntry { file, ready, dated: clock.second(), checked: Instant::now() }
    }

    #[test]
    fn the_date_is_patched_in_place_when_free_and_in_a_copy_when_it_is_being_sent() {
        let clock = DateClock::start(Instant::now());
        let mut entry = entry(&clock);
        let before = Rc::as_ptr(&entry.ready);
        entry.dated = 0;
        assert!(std::ptr::addr_eq(Rc::as_ptr(entry.current(&clock)), before));
        let sending = Rc::clone(&entry.ready);
        entry.dated = 0;
        assert!(!std::ptr::addr_eq(Rc::as_ptr(entry.current(&clock)), Rc::as_ptr(&sending)));
        assert_eq!(&entry.ready[entry.file.body_at..], b"hello");
        assert_eq!(&entry.ready[entry.file.date_at..][..DATE_BYTES], clock.text());
    }

    #[test]
    fn a_modification_time_in_the_future_is_not_sent() {
        let metadata = fs::Metadata {
            size: 0,
            modified_seconds: 5000,
            modified_nanoseconds: 0,
            changed_seconds: 1000,
            changed_nanoseconds: 0,
            inode: 1,
            device: (0, 1),
            kind: fs::Kind::File,
            mode: 0,
        };
        let description = describe(&metadata, About::default(), EtagKind::default(), None, 1000);
        assert_eq!((description.modified, description.fresh), (1000, true));
        assert!(description.etag.starts_with("W/"));
    }
}
