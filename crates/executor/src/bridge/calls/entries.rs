//! The names in a directory, and in those below it, packed for JavaScript.
//!
//! ```text
//!  u32 entries │ u32 directories │ u32 entries of directory 0, 1, … │ u8 type of entry 0, 1, … │ names
//! ```
//!
//! The names are each directory's path, relative to the first, then each entry's name; a NUL behind each. Types are Node's UV_DIRENT
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

#[derive(Default)]
struct Listing {
    counts: Vec<u32>,
    types: Vec<u8>,
    directories: Vec<u8>,
    names: Vec<u8>,
}

/// One directory's names as the kernel gave them.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    /// Start and end in `bytes`, and the type.
    entries: Vec<(u32, u32, u8)>,
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
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name.to_bytes());
        self.entries.push((start, self.bytes.len() as u32, kind));
    }
    fn name(&self, entry: (u32, u32, u8)) -> &[u8] {
        &self.bytes[entry.0 as usize..entry.1 as usize]
    }
    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.entries.sort_unstable_by(|a, b| {
            bytes[a.0 as usize..a.1 as usize].cmp(&bytes[b.0 as usize..b.1 as usize])
        });
    }
}

impl Listing {
    fn of_one(names: &Names) -> Listing {
        let mut listing = Listing::default();
        listing.begin(b"");
        for entry in &names.entries {
            listing.push(names.name(*entry), entry.2);
        }
        listing
    }
    fn begin(&mut self, path: &[u8]) {
        self.counts.push(0);
        self.directories.extend_from_slice(path);
        self.directories.push(0);
    }
    fn push(&mut self, name: &[u8], kind: u8) {
        if let Some(count) = self.counts.last_mut() {
            *count += 1;
        }
        self.types.push(kind);
        self.names.extend_from_slice(name);
        self.names.push(0);
    }
    fn pack(&self) -> Vec<u8> {
        let counts = self.counts.len() * 4;
        let whole = 8 + counts + self.types.len() + self.directories.len() + self.names.len();
        let mut packed = Vec::with_capacity(whole);
        packed.extend_from_slice(&(self.types.len() as u32).to_le_bytes());
        packed.extend_from_slice(&(self.counts.len() as u32).to_le_bytes());
        for count in &self.counts {
            packed.extend_from_slice(&count.to_le_bytes());
        }
        packed.extend_from_slice(&self.types);
        packed.extend_from_slice(&self.directories);
        packed.extend_from_slice(&self.names);
        packed
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
        let entry = entry?;
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
    Ok(out.put_vec(Listing::of_one(&names).pack()))
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
    Ok(Some(out.put_vec(Listing::of_one(&names).pack())))
}

/// The names in a directory and, with `recursive`, below it: of each directory all at once, of those found last first, which is the
/// order of Node's own. `follow`: links that lead to directories are gone into.
pub(super) fn list(
    path: &CStr,
    recursive: bool,
    follow: bool,
    cancelled: &AtomicBool,
    out: &mut Out<'_>,
) -> Result<i32> {
    let root = path.to_bytes();
    let mut listing = Listing::default();
    let mut names = Names::default();
    // Paths relative to the root.
    let mut waiting: Vec<Vec<u8>> = vec![Vec::new()];
    let mut whole = Vec::new();
    while let Some(relative) = waiting.pop() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Errno::CANCELED);
        }
        join(&mut whole, root, &relative);
        let read = c_string(&whole).and_then(|path| open(&path)).and_then(|directory| {
            names.clear();
            read_entries(directory.as_fd(), usize::MAX, &mut names)
        });
        out.at_path(Step::List, &whole, read)?;
        names.sort();
        listing.begin(&relative);
        for entry in &names.entries {
            let name = names.name(*entry);
            listing.push(name, entry.2);
            if recursive {
                let mut below = relative.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name);
                if entry.2 == DIRECTORY || follow && entry.2 == LINK && leads_to_directory(root, &below) {
                    waiting.push(below);
                }
            }
        }
    }
    Ok(out.put_vec(listing.pack()))
}

fn join(whole: &mut Vec<u8>, root: &[u8], relative: &[u8]) {
    whole.clear();
    whole.extend_from_slice(root);
    if !relative.is_empty() {
        if !root.ends_with(b"/") {
            whole.push(b'/');
        }
        whole.extend_from_slice(relative);
    }
}

fn leads_to_directory(root: &[u8], relative: &[u8]) -> bool {
    let mut whole = Vec::new();
    join(&mut whole, root, relative);
    let stat = c_string(&whole).and_then(|path| fs::stat(&*path));
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// A path made of the kernel's own names, which have no NUL.
pub(super) fn c_string(path: &[u8]) -> Result<CString> {
    if path.len() > PATH_BYTES {
        return Err(Errno::NAMETOOLONG);
    }
    CString::new(path).map_err(|_| Errno::INVAL)
}
