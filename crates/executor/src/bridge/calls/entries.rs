//! The names in a directory, and in those below it, packed for JavaScript.
//!
//! ```text
//!  u32 entries │ u32 directories │ u32 entries of directory 0, 1, … │ u8 type of entry 0, 1, … │ names
//! ```
//!
//! The names are each directory's path, relative to the first, then each entry's name, or its path below the first; a NUL behind each. Types are Node's UV_DIRENT
//! numbers. Within a directory of a whole listing names are sorted by their bytes, as libuv's scandir sorts them.
use super::out::{Out, Step};
use ringwheel_command::call::PATH_BYTES;
use rustix::{
    fs::{self, FileType, Mode, OFlags},
    io::{Errno, Result},
};
use std::{
    ffi::{CStr, CString},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    sync::atomic::{AtomicBool, Ordering},
};

const UNKNOWN: u8 = 0;
const DIRECTORY: u8 = 2;
const LINK: u8 = 3;

/// Bytes that one getdents64(2) fills.
const BATCH_BYTES: usize = 32_768;
/// Bytes of names that a listing on JavaScript's thread may have read before it goes to the pool.
const HERE_BYTES: usize = 16_384;
/// Bytes of all names of one listing: with what else it has it is to be shorter than a result can tell.
const NAMES_MOST: usize = 1 << 30;

struct Listing {
    most: usize,
    counts: Vec<u32>,
    types: Vec<u8>,
    directories: Vec<u8>,
    names: Vec<u8>,
}

/// One directory's names as the kernel gave them.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The first eight bytes of the name, which mostly tell its place already.
    first: u64,
    start: u32,
    end: u32,
    kind: u8,
}

impl Names {
    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
    /// Takes an entry of a directory, unless it is that one itself or the one above.
    fn take(&mut self, directory: BorrowedFd<'_>, name: &CStr, kind: FileType) {
        if name == c"." || name == c".." {
            return;
        }
        let kind = match uv_type(kind) {
            UNKNOWN => looked_up(directory, name),
            known => known,
        };
        let (start, name) = (self.bytes.len() as u32, name.to_bytes());
        let mut first = [0; 8];
        let known = name.len().min(8);
        first[..known].copy_from_slice(&name[..known]);
        self.bytes.extend_from_slice(name);
        let end = self.bytes.len() as u32;
        self.entries.push(Entry { first: u64::from_be_bytes(first), start, end, kind });
    }
    fn name(&self, entry: Entry) -> &[u8] {
        &self.bytes[entry.start as usize..entry.end as usize]
    }
    fn sort(&mut self) {
        let bytes = &self.bytes;
        let name = |entry: &Entry| &bytes[entry.start as usize..entry.end as usize];
        self.entries.sort_unstable_by(|a, b| a.first.cmp(&b.first).then_with(|| name(a).cmp(name(b))));
    }
    /// All of a directory, in place of what was there.
    fn read(&mut self, directory: &rustix::fd::OwnedFd) -> Result<()> {
        self.clear();
        read_entries(directory.as_fd(), usize::MAX, self)?;
        self.sort();
        Ok(())
    }
    /// As [`Walked::entries`].
    fn sorted(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.bytes.len() + 2 * self.entries.len());
        for entry in &self.entries {
            packed.push(entry.kind);
            packed.extend_from_slice(self.name(*entry));
            packed.push(0);
        }
        packed
    }
}

impl Listing {
    /// Of at most so many bytes of names.
    fn new(most: usize) -> Listing {
        Listing { most, counts: Vec::new(), types: Vec::new(), directories: Vec::new(), names: Vec::new() }
    }
    fn of_one(names: &Names) -> Result<Listing> {
        let mut listing = Listing::new(NAMES_MOST);
        listing.begin(b"");
        for entry in &names.entries {
            listing.push(b"", names.name(*entry), entry.kind)?;
        }
        Ok(listing)
    }
    fn begin(&mut self, path: &[u8]) {
        self.counts.push(0);
        self.directories.extend_from_slice(path);
        self.directories.push(0);
    }
    /// `above`: the directory's path, where that is part of its names.
    /// ENOMEM where there is no memory for it: links to directories above make a walk as long as they can be followed, which is without end.
    fn push(&mut self, above: &[u8], name: &[u8], kind: u8) -> Result<()> {
        let bytes = above.len() + name.len() + 2;
        let room = self.types.try_reserve(1).and_then(|()| self.names.try_reserve(bytes));
        if room.is_err() || self.names.len() + bytes > self.most {
            return Err(Errno::NOMEM);
        }
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
        self.types.push(kind);
        if !above.is_empty() {
            self.names.extend_from_slice(above);
            self.names.push(b'/');
        }
        self.names.extend_from_slice(name);
        self.names.push(0);
        Ok(())
    }
    fn pack(&self) -> Result<Vec<u8>> {
        let counts = self.counts.len() * 4;
        let whole = 8 + counts + self.types.len() + self.directories.len() + self.names.len();
        let mut packed = Vec::new();
        packed.try_reserve_exact(whole).map_err(|_| Errno::NOMEM)?;
        packed.extend_from_slice(&(self.types.len() as u32).to_le_bytes());
        packed.extend_from_slice(&(self.counts.len() as u32).to_le_bytes());
        for count in &self.counts {
            packed.extend_from_slice(&count.to_le_bytes());
        }
        packed.extend_from_slice(&self.types);
        packed.extend_from_slice(&self.directories);
        packed.extend_from_slice(&self.names);
        Ok(packed)
    }
}

/// The number that Node has for a kind of file.
fn uv_type(kind: FileType) -> u8 {
    match kind {
        FileType::RegularFile => 1,
        FileType::Directory => DIRECTORY,
        FileType::Symlink => LINK,
        FileType::Fifo => 4,
        FileType::Socket => 5,
        FileType::CharacterDevice => 6,
        FileType::BlockDevice => 7,
        FileType::Unknown => UNKNOWN,
    }
}

/// The type of an entry whose directory does not tell it.
fn looked_up(directory: BorrowedFd<'_>, name: &CStr) -> u8 {
    let stat = fs::statat(directory, name, fs::AtFlags::SYMLINK_NOFOLLOW);
    stat.map_or(UNKNOWN, |stat| uv_type(FileType::from_raw_mode(stat.st_mode)))
}

/// Reads entries until the end, or until `most` bytes of names; true at the end.
#[cfg(target_os = "linux")]
fn read_entries(directory: BorrowedFd<'_>, most: usize, names: &mut Names) -> Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); BATCH_BYTES];
    let mut raw = fs::RawDir::new(directory, &mut buffer);
    loop {
        // What one system call has brought is taken whole: the next listing goes on behind it.
        if raw.is_buffer_empty() && names.bytes.len() >= most {
            return Ok(false);
        }
        let Some(entry) = raw.next() else { return Ok(true) };
        let entry = match entry {
            // Of a directory that was removed, which has none: so says the C library, too.
            Err(Errno::NOENT) => return Ok(true),
            entry => entry?,
        };
        names.take(directory, entry.file_name(), entry.file_type());
    }
}

/// The same where directories are read by the C library, which reads ahead: always to the end.
#[cfg(not(target_os = "linux"))]
fn read_entries(directory: BorrowedFd<'_>, _most: usize, names: &mut Names) -> Result<bool> {
    let mut entries = fs::Dir::new(rustix::io::fcntl_dupfd_cloexec(directory, 0)?)?;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        names.take(directory, entry.file_name(), entry.file_type());
    }
    Ok(true)
}

fn open(path: &CStr) -> Result<rustix::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty())
}

/// The next names of an open directory, in the order of its file system.
pub(super) fn next(directory: BorrowedFd<'_>, out: &mut Out<'_>) -> Result<i32> {
    let mut names = Names::default();
    read_entries(directory, 1, &mut names)?;
    Ok(out.put_vec(Listing::of_one(&names)?.pack()?))
}

/// The names in one directory, on JavaScript's thread; `None` when there are too many for that.
pub(super) fn list_here(path: &CStr, out: &mut Out<'_>) -> Result<Option<i32>> {
    let directory = out.at(Step::List, open(path))?;
    let mut names = Names::default();
    let ended = out.at(Step::List, read_entries(directory.as_fd(), HERE_BYTES, &mut names))?;
    if !ended {
        return Ok(None);
    }
    names.sort();
    Ok(Some(out.put_vec(Listing::of_one(&names)?.pack()?)))
}

/// The names in a directory and, with `recursive`, below it: each directory is read where the walk meets it, and of those read the last is
/// gone through first. That is how Node walks, so that order and errors are its own; and so are paths: a name that is no UTF-8 is looked up
/// below with U+FFFD in it, and mostly not found.
///
/// `paths`: the names are paths below the first directory, and whatever leads to a directory is gone into, links too, unless it cannot be
/// looked up. Without, directories are those that the directory above calls so, and each must open.
pub(super) fn list(
    path: &CStr,
    recursive: bool,
    paths: bool,
    cancelled: &AtomicBool,
    out: &mut Out<'_>,
) -> Result<i32> {
    let root = path.to_bytes();
    let mut listing = Listing::new(NAMES_MOST);
    let mut names = Names::default();
    out.at(Step::List, open(path).and_then(|directory| names.read(&directory)))?;
    let mut waiting = vec![Walked { path: Vec::new(), entries: names.sorted() }];
    let mut whole = Vec::new();
    while let Some(Walked { path: above, entries }) = waiting.pop() {
        listing.begin(&above);
        let prefix: &[u8] = if paths { &above } else { b"" };
        for (name, kind) in names_of(&entries) {
            listing.push(prefix, name, kind)?;
            if !recursive || kind != DIRECTORY && !(paths && matches!(kind, LINK | UNKNOWN)) {
                continue;
            }
            if cancelled.load(Ordering::Relaxed) {
                return Err(Errno::CANCELED);
            }
            let below = joined(&above, &String::from_utf8_lossy(name));
            whole.clear();
            whole.extend_from_slice(root);
            if !root.ends_with(b"/") {
                whole.push(b'/');
            }
            whole.extend_from_slice(&below);
            if paths && kind != DIRECTORY && !is_directory(&whole) {
                continue;
            }
            let read = c_string(&whole).and_then(|path| open(&path));
            match read.and_then(|directory| names.read(&directory)) {
                Ok(()) => waiting.push(Walked { path: below, entries: names.sorted() }),
                Err(_) if paths && !is_directory(&whole) => {}
                Err(error) => return out.at_path(Step::List, &whole, Err(error)),
            }
        }
    }
    Ok(out.put_vec(listing.pack()?))
}

/// A directory that was read, and is to be gone through.
struct Walked {
    /// Below the first.
    path: Vec<u8>,
    /// Of each entry a byte, its type, its name and a NUL.
    entries: Vec<u8>,
}

fn names_of(mut entries: &[u8]) -> impl Iterator<Item = (&[u8], u8)> {
    std::iter::from_fn(move || {
        let (kind, rest) = entries.split_first()?;
        let name = &rest[..rest.iter().position(|byte| *byte == 0)?];
        entries = &rest[name.len() + 1..];
        Some((name, *kind))
    })
}

fn joined(above: &[u8], name: &str) -> Vec<u8> {
    let mut path = Vec::with_capacity(above.len() + 1 + name.len());
    path.extend_from_slice(above);
    if !above.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name.as_bytes());
    path
}

fn is_directory(path: &[u8]) -> bool {
    let stat = c_string(path).and_then(|path| fs::stat(&*path));
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// A path made of the kernel's own names, which have no NUL.
pub(super) fn c_string(path: &[u8]) -> Result<CString> {
    if path.len() > PATH_BYTES {
        return Err(Errno::NAMETOOLONG);
    }
    CString::new(path).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_without_end_is_an_error() {
        let mut listing = Listing::new(100);
        listing.begin(b"");
        let pushed = (0..100).take_while(|_| listing.push(b"above", b"name", 1).is_ok()).count();
        assert_eq!(pushed, 9, "of 11 bytes each");
        assert_eq!(listing.push(b"above", b"name", 1), Err(Errno::NOMEM));
        assert_eq!(listing.pack().map(|packed| packed.len()), Ok(8 + 4 + 9 + 1 + 9 * 11));
    }
}
