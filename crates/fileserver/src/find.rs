//! Pipeline step 3b: a canonical path to an open file, or to the path where it is instead.
//!
//! Names are looked up by inline system calls (openat2 beneath the root, statx): for names the kernel knows they cost less
//! than any way to make them asynchronous.
//!
//! A *page* is a file that is found without its whole name: by an extension that was tried, or as the index of a directory. With
//! `clean_urls` and `trailing_slash` a page has one name, and [`find`] says [`Lost::Moved`] for its others. Two rules keep that safe: a name moves
//! only where the other name leads to the very same file, and never to a name that a redirect takes away again.
use crate::{core::is_out_of_descriptors, http::status::Status, site::Site};
use ringwheel_executor::fs;
use rustix::{fs::OFlags, io::Errno};
use std::{ffi::CString, io};

/// A regular file found under a path.
pub(crate) struct Found {
    pub(crate) file: fs::File,
    pub(crate) metadata: fs::Metadata,
    /// Without its first slash; the index's own for a directory.
    pub(crate) path: Vec<u8>,
    /// In which of the site's places for this path.
    pub(crate) place: usize,
}

/// Why a path leads to no file.
#[derive(Debug)]
pub(crate) enum Lost {
    /// It is another path's.
    Moved(Vec<u8>),
    Directory,
    Failed(Status),
    /// No descriptor to look with: says nothing about the file.
    Descriptors,
}

impl Lost {
    /// Another name may do.
    fn is_nothing(&self) -> bool {
        matches!(self, Lost::Failed(Status::NotFound) | Lost::Directory)
    }
}

/// How a path led to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Name,
    Extension,
    Index,
}

/// Looks a canonical path of a site up.
pub(crate) fn find(site: &Site, path: &[u8]) -> Result<Found, Lost> {
    let (found, by) = lead(site, path)?;
    if let Some(better) = one_name(site, path, by).filter(|better| better != path)
        && site.redirects.rule(&better).is_none()
        && lead(site, &better).is_ok_and(|(other, _)| other.path == found.path)
    {
        return Err(Lost::Moved(better));
    }
    Ok(found)
}

/// What a path leads to, whatever else its name is. Without a slash at its end: the file, else the one with an extension, else the
/// directory's index, where that needs no slash. With one: the index, else the page of that name, where pages may have a slash.
fn lead(site: &Site, path: &[u8]) -> Result<(Found, By), Lost> {
    let relative = &path[1..];
    let slash = site.options.trailing_slash;
    // A lone space is the root, where it stands in for another name.
    if let Some(base) = path.strip_suffix(b"/").or_else(|| (path == b" ").then_some(path)) {
        return match with_index(site, relative) {
            Err(lost) if lost.is_nothing() && slash.is_some() && base.len() > 1 => {
                with_extension(site, &base[1..]).map(|found| (found, By::Extension))
            }
            result => result.map(|found| (found, By::Index)),
        };
    }
    let found = if site.is_mount(relative) { Err(Lost::Directory) } else { open(site, relative) };
    let lost = match found {
        Err(lost) if lost.is_nothing() => lost,
        result => return result.map(|found| (found, By::Name)),
    };
    match with_extension(site, relative) {
        Err(none) if none.is_nothing() => {}
        result => return result.map(|found| (found, By::Extension)),
    }
    let Lost::Directory = lost else { return Err(lost) };
    let directory = [relative, b"/"].concat();
    if slash == Some(false) {
        match with_index(site, &directory) {
            Err(none) if none.is_nothing() => {}
            result => return result.map(|found| (found, By::Index)),
        }
    }
    Err(Lost::Moved([path, b"/"].concat()))
}

fn with_extension(site: &Site, base: &[u8]) -> Result<Found, Lost> {
    let names = site.options.extensions.iter().map(|extension| [base, b".", extension.as_bytes()].concat());
    first(site, names)
}

/// `directory` is empty or ends with a slash.
fn with_index(site: &Site, directory: &[u8]) -> Result<Found, Lost> {
    first(site, site.options.index.iter().map(|index| [directory, index.as_bytes()].concat()))
}

/// The first of these names that is a file.
fn first(site: &Site, names: impl Iterator<Item = Vec<u8>>) -> Result<Found, Lost> {
    for name in names {
        match open(site, &name) {
            Err(lost) if lost.is_nothing() => {}
            result => return result,
        }
    }
    Err(Lost::Failed(Status::NotFound))
}

/// The one name that a page is to have, by what the options say; `None` for what keeps its own: other files, and what no request names.
fn one_name(site: &Site, path: &[u8], by: By) -> Option<Vec<u8>> {
    let slash = site.options.trailing_slash;
    let base = path.strip_suffix(b"/").unwrap_or(path);
    if !path.starts_with(b"/") {
        return None;
    }
    match by {
        By::Extension => Some(with_slash(base, slash == Some(true))),
        By::Index => Some(with_slash(base, slash != Some(false))),
        By::Name if !site.options.clean_urls => None,
        By::Name => {
            let at = memchr::memrchr(b'/', path)?;
            let (directory, name) = (&path[..at], &path[at + 1..]);
            if site.options.index.iter().any(|index| index.as_bytes() == name) {
                return Some(with_slash(directory, slash != Some(false)));
            }
            let stem = |extension: &String| name.strip_suffix(extension.as_bytes())?.strip_suffix(b".");
            let stem = site.options.extensions.iter().find_map(stem)?;
            // What is left of `..html` would be a segment that means something else.
            if matches!(stem, b"" | b"." | b"..") {
                return None;
            }
            Some(with_slash(&path[..at + 1 + stem.len()], slash == Some(true)))
        }
    }
}

/// The root has its slash whatever is wanted.
fn with_slash(base: &[u8], slash: bool) -> Vec<u8> {
    if slash || base.is_empty() { [base, b"/"].concat() } else { base.to_vec() }
}

/// Looks for a file where the site may have it.
fn open(site: &Site, relative: &[u8]) -> Result<Found, Lost> {
    for (place, (directory, rest)) in site.places(relative).enumerate() {
        match open_in(directory, rest) {
            Ok((file, metadata)) => return Ok(Found { file, metadata, path: relative.to_vec(), place }),
            Err(Lost::Failed(Status::NotFound)) => {}
            Err(lost) => return Err(lost),
        }
    }
    Err(Lost::Failed(Status::NotFound))
}

pub(crate) fn open_in(directory: &fs::Directory, path: &[u8]) -> Result<(fs::File, fs::Metadata), Lost> {
    let Ok(path) = CString::new(path) else { return Err(Lost::Failed(Status::BadRequest)) };
    // O_NONBLOCK: opening a FIFO must not wait for its writer. What is not a regular file is refused below.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    let file = directory.open_beneath(&path, flags).map_err(|error| lost(&error))?;
    let metadata = file.metadata().map_err(|error| lost(&error))?;
    match metadata.kind {
        fs::Kind::File => Ok((file, metadata)),
        fs::Kind::Directory => Err(Lost::Directory),
        fs::Kind::Other => Err(Lost::Failed(Status::NotFound)),
    }
}

/// The errno table of open and statx. A name that leaves the root (EXDEV) does not exist as far as clients are concerned.
pub(crate) fn lost(error: &io::Error) -> Lost {
    if is_out_of_descriptors(error) {
        return Lost::Descriptors;
    }
    Lost::Failed(match Errno::from_io_error(error) {
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::INVAL
            | Errno::ILSEQ,
        ) => Status::NotFound,
        Some(Errno::ACCESS | Errno::PERM) => Status::Forbidden,
        Some(Errno::NOMEM | Errno::AGAIN) => Status::ServiceUnavailable,
        _ => Status::InternalServerError,
    })
}
