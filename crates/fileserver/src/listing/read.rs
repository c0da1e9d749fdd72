//! The names of a directory with their sizes and times, as a client that asks for each would find them. Runs on a pool thread.
use super::{Sort, View};
use crate::{options::Dotfiles, site::Site};
use ringwheel_executor::fs::Directory;
use rustix::{
    fs::{AtFlags, Dir, FileType, OFlags, Stat},
    io::Errno,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    io,
    os::fd::OwnedFd,
};

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) directory: bool,
    /// Bytes; 0 of a directory.
    pub(super) size: u64,
    /// Seconds since 1970; `None` of a mount.
    pub(super) modified: Option<i64>,
}

/// What a directory holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// Names that did not fit; one that several roots have counts in each.
    pub(super) more: usize,
}

impl Contents {
    /// Directories first; equal ones by name.
    pub(super) fn sort(&mut self, view: View) {
        self.entries.sort_by(|one, other| {
            let by_name = || {
                let (lower, same) = (one.name.to_ascii_lowercase(), other.name.to_ascii_lowercase());
                lower.cmp(&same).then_with(|| one.name.cmp(&other.name))
            };
            let order = match view.sort {
                Sort::Name => by_name(),
                Sort::Size => one.size.cmp(&other.size),
                Sort::Time => one.modified.cmp(&other.modified),
            };
            let order = if view.descending { order.reverse() } else { order };
            other.directory.cmp(&one.directory).then(order).then_with(by_name)
        });
    }
}

/// What is to be read, with all that is needed for it.
#[derive(Debug)]
pub(super) struct Order {
    /// Where the directory may be, in the order in which names are looked for.
    places: Vec<(Directory, Vec<u8>)>,
    /// Names of mounts in it.
    mounts: BTreeSet<Vec<u8>>,
    dotfiles: Dotfiles,
}

impl Order {
    /// For a path without its first slash, which is empty or ends with one.
    pub(super) fn of(site: &Site, relative: &[u8]) -> io::Result<Order> {
        let places =
            site.places(relative).map(|(directory, rest)| Ok((directory.try_clone()?, rest.to_vec())));
        Ok(Order {
            places: places.collect::<io::Result<_>>()?,
            mounts: site.mounts_in(relative).map(<[u8]>::to_vec).collect(),
            dotfiles: site.options.dotfiles,
        })
    }

    /// Reads at most `most` names, those that come first by their bytes. `None`: there is no such directory.
    pub(super) fn read(&self, most: usize) -> io::Result<Option<Contents>> {
        let mut names: BTreeMap<Vec<u8>, (usize, FileType)> = BTreeMap::new();
        let mut opened = Vec::new();
        let mut contents = Contents::default();
        for (place, (root, path)) in self.places.iter().enumerate() {
            let Some(directory) = open(root, path)? else {
                opened.push(None);
                continue;
            };
            for entry in Dir::read_from(&directory)? {
                let entry = entry?;
                let (name, kind) = (entry.file_name().to_bytes(), entry.file_type());
                if self.is_hidden(name) || matches!(kind, FileType::Fifo | FileType::Socket) {
                    continue;
                }
                names.entry(name.to_vec()).or_insert((place, kind));
                if names.len() > most {
                    names.pop_last();
                    contents.more += 1;
                }
            }
            opened.push(Some(directory));
        }
        if self.mounts.is_empty() && opened.iter().all(Option::is_none) {
            return Ok(None);
        }
        for (name, (place, kind)) in names {
            if !self.mounts.contains(&name)
                && let Some(Some(directory)) = opened.get(place)
            {
                contents.entries.extend(self.entry(place, directory, name, kind));
            }
        }
        let mount = |name: &Vec<u8>| Entry { name: name.clone(), directory: true, size: 0, modified: None };
        contents.entries.extend(self.mounts.iter().map(mount));
        Ok(Some(contents))
    }

    /// Names that no request reaches.
    fn is_hidden(&self, name: &[u8]) -> bool {
        matches!(name, b"." | b"..")
            || name.contains(&b'\\')
            || (name.starts_with(b".") && self.dotfiles != Dotfiles::Allow)
    }

    /// `None` for what is gone, or would not be served: a link that leads out, a device.
    fn entry(&self, place: usize, directory: &OwnedFd, name: Vec<u8>, kind: FileType) -> Option<Entry> {
        let own = CString::new(name.clone()).ok()?;
        let mut stat = match kind {
            FileType::Symlink => None,
            _ => Some(rustix::fs::statat(directory, &own, AtFlags::SYMLINK_NOFOLLOW).ok()?),
        };
        if stat.as_ref().is_none_or(|stat| type_of(stat) == FileType::Symlink) {
            // Found as a request would find it: beneath the root, or not at all.
            let (root, path) = self.places.get(place)?;
            let target =
                root.descriptor_beneath(&CString::new([&path[..], &name].concat()).ok()?, reading()).ok()?;
            stat = rustix::fs::fstat(&target).ok();
        }
        let stat = stat?;
        let directory = match type_of(&stat) {
            FileType::RegularFile => false,
            FileType::Directory => true,
            _ => return None,
        };
        let size = if directory { 0 } else { u64::try_from(stat.st_size).unwrap_or(0) };
        Some(Entry { name, directory, size, modified: Some(stat.st_mtime) })
    }
}

fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// O_NONBLOCK: a link may lead to a FIFO, whose writer nobody waits for.
fn reading() -> i32 {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    i32::try_from(flags.bits()).unwrap_or(0)
}

/// `None` where there is no such directory; the errors are those that say something about one that is there.
fn open(root: &Directory, path: &[u8]) -> io::Result<Option<OwnedFd>> {
    let path = if path.is_empty() { &b"."[..] } else { path };
    let Ok(path) = CString::new(path) else { return Ok(None) };
    let flags = i32::try_from((OFlags::RDONLY | OFlags::DIRECTORY).bits()).unwrap_or(0);
    match root.descriptor_beneath(&path, flags) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
            _ => Err(error),
        },
    }
}
