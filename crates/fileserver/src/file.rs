//! What the caches hold: a file's identity, its description, and either its ready-made response or its open descriptor.
use crate::{
    body::Bytes,
    http::{
        coding::{Coding, Codings, Preference},
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

    /// Appends it as bytes: equal ones of equal stamps alone.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Stamp { device, inode, size, modified, changed } = self;
        for number in [u64::from(device.0), u64::from(device.1), *inode, *size] {
            out.extend_from_slice(&number.to_ne_bytes());
        }
        for (seconds, nanoseconds) in [modified, changed] {
            out.extend_from_slice(&seconds.to_ne_bytes());
            out.extend_from_slice(&nanoseconds.to_ne_bytes());
        }
    }
}

/// The stamps of a file and of the packed files beside it that were seen in one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) file: Stamp,
    /// In the order of [`Coding::PACKED`]; nothing at all for most files.
    pub(crate) packed: Option<Box<[Option<Stamp>; 3]>>,
    pub(crate) available: Codings,
}

impl Seen {
    /// A file with nothing packed beside it.
    pub(crate) fn alone(file: Stamp) -> Seen {
        Seen { file, packed: None, available: Codings::NONE }
    }

    /// Adds a packed file.
    pub(crate) fn add(&mut self, coding: Coding, stamp: Stamp) {
        if let Some(at) = Coding::PACKED.iter().position(|each| *each == coding) {
            self.packed.get_or_insert_default()[at] = Some(stamp);
            self.available = self.available.with(coding);
        }
    }
}

/// What is kept under a path: its representations by coding, each `R` small or large.
#[derive(Debug)]
pub(crate) struct Entry<R> {
    identity: Option<R>,
    /// In the order of [`Coding::PACKED`].
    packed: Option<Box<[Option<R>; 3]>>,
    pub(crate) seen: Seen,
    /// Those it has besides the identity, once somebody has asked for them.
    offered: Codings,
    /// One of them was fresh when it was loaded.
    pub(crate) fresh: bool,
    /// When the path was last looked at.
    pub(crate) checked: Instant,
}

impl<R> Entry<R> {
    /// With nothing in it yet.
    pub(crate) fn new(seen: Seen, offered: Codings, checked: Instant) -> Entry<R> {
        Entry { identity: None, packed: None, seen, offered, fresh: false, checked }
    }

    /// Puts what answers for a coding in its place.
    pub(crate) fn put(&mut self, coding: Coding, fresh: bool, representation: R) {
        self.fresh |= fresh;
        match Coding::PACKED.iter().position(|each| *each == coding) {
            Some(at) => self.packed.get_or_insert_default()[at] = Some(representation),
            None => self.identity = Some(representation),
        }
    }

    /// The representation that a client with this preference gets; `None` when it is not in here.
    #[inline]
    pub(crate) fn choose(&mut self, preference: impl FnOnce() -> Preference) -> Option<&mut R> {
        if self.offered.is_empty() {
            return self.identity.as_mut();
        }
        match preference().choose(self.offered) {
            Coding::Identity => self.identity.as_mut(),
            coding => {
                let at = Coding::PACKED.iter().position(|each| *each == coding)?;
                self.packed.as_mut()?[at].as_mut()
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &R> {
        self.identity.iter().chain(self.packed.iter().flat_map(|packed| packed.iter().flatten()))
    }
}

/// Describes a file of `metadata`, `about` which its site says more.
pub(crate) fn describe(
    metadata: &fs::Metadata,
    about: &About,
    coding: Coding,
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
        etag: etag::packed(etag::make(kind, &facts, now_seconds), coding),
        modified,
        modified_text: Some(date::format(modified)),
        fresh: etag::is_fresh(metadata.modified_seconds, now_seconds),
        content_type: about.content_type.clone(),
        coding,
        varies: about.varies,
        cache_control: about.cache_control.clone(),
        lines: about.lines.clone(),
        part: about.part,
    }
}

/// A small file, read whole.
#[derive(Debug)]
pub(crate) struct SmallFile {
    pub(crate) description: Description,
    /// Where the body starts in the ready-made response.
    pub(crate) body_at: usize,
    /// Where the date starts in it.
    pub(crate) date_at: usize,
}

/// A small file and its ready-made response.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) file: Rc<SmallFile>,
    /// Head and body of the 200 that most requests get.
    pub(crate) ready: Rc<[u8]>,
    /// The second its Date says.
    pub(crate) dated: i64,
}

impl Small {
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
}

impl Entry<Small> {
    /// Bytes it counts for: the responses and what is kept beside each.
    pub(crate) fn cost(&self, key: &[u8]) -> usize {
        const BESIDE: usize = 512;
        self.all().map(|each| each.ready.len() + BESIDE).sum::<usize>() + key.len()
    }
}

impl Entry<Rc<LargeFile>> {
    /// Descriptors it holds.
    pub(crate) fn cost(&self) -> usize {
        self.all().count()
    }
}

/// Builds the ready-made response of a small file.
pub(crate) fn make_small(
    description: Description,
    body: &[u8],
    clock: &DateClock,
    lines: &FixedLines,
) -> (Rc<SmallFile>, Rc<[u8]>) {
    let mut bytes = Vec::with_capacity(512 + body.len());
    let date_at = head::ready(&mut bytes, &description, clock.text(), lines);
    let body_at = bytes.len();
    bytes.extend_from_slice(body);
    (Rc::new(SmallFile { description, body_at, date_at }), Rc::from(bytes))
}

/// A large file, open.
#[derive(Debug)]
pub(crate) struct LargeFile {
    pub(crate) description: Description,
    pub(crate) file: fs::File,
    /// What it was when it was described; `None` where the description vouches for nothing.
    pub(crate) said: Option<Stamp>,
    /// It was found to be another since: nobody gets this description again.
    pub(crate) is_over: Cell<bool>,
    /// The range that was seen in the page cache last, and when.
    pub(crate) seen: Cell<Option<(u64, u64, Instant)>>,
}

/// How long a range that was in the page cache is taken to be there still. A hot file is asked for again within it, and its
/// pages were touched just now; cachestat(2) walks every page, which is 4 % of what sending them costs. The worst that a
/// wrong guess does is one read that blocks.
const SEEN: Duration = Duration::from_millis(10);

impl LargeFile {
    /// Whether the file still is what its description says: one statx. A rename, a link or a chmod is no change, so the change time does
    /// not count; and a file that was being written when it was described and only grew is a log, whose first bytes are what they were.
    pub(crate) fn is_as_said(&self) -> bool {
        let Some(said) = &self.said else { return true };
        let is_same = self.file.metadata().is_ok_and(|metadata| {
            let now = Stamp::of(&metadata);
            let has_grown = self.description.fresh && now.size > said.size;
            has_grown || (now.size == said.size && now.modified == said.modified)
        });
        self.is_over.set(!is_same);
        is_same
    }

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

/// What looking for a path came to.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    /// A small file and its ready-made response.
    Small(Rc<SmallFile>, Rc<[u8]>),
    /// A large file.
    Large(Rc<LargeFile>),
    /// The canonical path where it is instead: a directory's with its slash, or a page's one name.
    Moved(Rc<[u8]>),
    /// Nothing to serve.
    Failed(Status),
    /// Nothing to serve, and the site's own page says so.
    Page(Status, Bytes),
    /// What a rewrite came to that led into a part which asks for a password.
    Behind(usize, Box<Loaded>),
}

impl Loaded {
    /// The part of the site that this is in, by the name of the file that answers, and what it is. Pages for what goes wrong are for all.
    pub(crate) fn unveil(self) -> (Option<usize>, Loaded) {
        let part = match self {
            Loaded::Behind(part, loaded) => return (Some(part), *loaded),
            Loaded::Small(ref file, _) => file.description.part,
            Loaded::Large(ref file) => file.description.part,
            Loaded::Moved(_) | Loaded::Failed(_) | Loaded::Page(..) => None,
        };
        (part, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(clock: &DateClock) -> Small {
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
        let about = About::default();
        let description =
            describe(&metadata, &about, Coding::Identity, EtagKind::default(), None, clock.second());
        let (file, ready) = make_small(description, b"hello", clock, &FixedLines::default());
        Small { file, ready, dated: clock.second() }
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
        let description =
            describe(&metadata, &About::default(), Coding::Identity, EtagKind::default(), None, 1000);
        assert_eq!((description.modified, description.fresh), (1000, true));
        assert!(description.etag.starts_with("W/"));
    }
}
