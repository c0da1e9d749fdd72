//! Directories above and below a path: `mkdir -p` and `rm -r`.
use super::{
    entries::c_string,
    out::{Out, Step},
};
use rustix::{
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags},
    io::{Errno, Result},
};
use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// Makes a directory and what is missing above it, as Node does (MKDirp in its node_file.cc, errors too). Answers with the first one made.
pub(super) fn make_directories(path: &CStr, mode: u32, out: &mut Out<'_>) -> Result<i32> {
    let mode = Mode::from_raw_mode(mode as _);
    let mut first: Option<Vec<u8>> = None;
    // Missing, with what is above it tried once.
    let mut tried: Option<Vec<u8>> = None;
    let mut waiting = vec![path.to_bytes().to_vec()];
    while let Some(next) = waiting.pop() {
        let error = match fs::mkdir(&*c_string(&next)?, mode) {
            Ok(()) => {
                first.get_or_insert(next);
                continue;
            }
            Err(error @ (Errno::ACCESS | Errno::NOSPC | Errno::NOTDIR | Errno::PERM)) => {
                return out.at_path(Step::Open, &next, Err(error));
            }
            Err(Errno::NOENT) => match next.iter().rposition(|byte| *byte == b'/') {
                Some(above) if above > 0 => {
                    let parent = next[..above].to_vec();
                    if tried.as_ref() == Some(&next) {
                        // What is above is there, and this cannot be made all the same, as in /proc: Node goes round for ever.
                        return out.at_path(Step::Open, &next, Err(Errno::NOENT));
                    }
                    tried = Some(next.clone());
                    waiting.push(next);
                    waiting.push(parent);
                    continue;
                }
                _ => Errno::EXIST,
            },
            Err(error) => error,
        };
        // Above what is asked for, whatever is there and is no directory, a dangling link too, is reported as that.
        let above = error == Errno::EXIST && !waiting.is_empty();
        let error = match fs::stat(&*c_string(&next)?) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => continue,
            _ if above => Errno::NOTDIR,
            Ok(_) => Errno::EXIST,
            Err(error) => error,
        };
        return out.at_path(Step::Open, &next, Err(error));
    }
    Ok(first.map_or(0, |first| out.put(&first)))
}

/// Removes a file or an empty tree of links, or with `recursive` a directory and all below it. Never follows a link: what is below
/// is named by the open directory that holds it, so nobody can put a link in between.
pub(super) fn remove(
    path: &CStr,
    recursive: bool,
    force: bool,
    cancelled: &AtomicBool,
    out: &mut Out<'_>,
) -> Result<i32> {
    let stat = match fs::lstat(path) {
        Err(Errno::NOENT) if force => return Ok(0),
        stat => out.at(Step::Stat, stat)?,
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::Directory {
        let removed = fs::unlink(path);
        let removed = if force { gone_is_fine(removed) } else { removed };
        let (step, removed) = as_node_says(kind, removed);
        return out.at(step, removed).map(|()| 0);
    }
    if !recursive {
        return out.at(Step::Stat, Err(Errno::ISDIR));
    }
    // First as if it were empty, as Node does: what cannot be removed under this name (`x/.`, a link with a slash behind it) is left whole.
    match fs::rmdir(path) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::PERM) => {}
        Err(Errno::NOTDIR) => return Ok(0),
        removed => return out.at(Step::RemoveDirectory, gone_is_fine(removed)).map(|()| 0),
    }
    let mut tree = Tree { path: path.to_bytes().to_vec(), cancelled };
    let opened = open_directory(rustix::fs::CWD, path);
    match opened {
        Ok(directory) => tree.empty(directory, out)?,
        Err(Errno::NOENT) => return Ok(0),
        Err(error) => out.at_path(Step::List, &tree.path, Err(error))?,
    }
    out.at(Step::RemoveDirectory, gone_is_fine(fs::rmdir(path))).map(|()| 0)
}

/// What somebody else removed meanwhile is removed.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    if result == Err(Errno::NOENT) { Ok(()) } else { result }
}

/// What may not be unlinked Node takes for a directory, and tells what reading that fails with. Not of a link: what Node does then is to remove
/// what it leads to.
fn as_node_says(kind: FileType, unlinked: Result<()>) -> (Step, Result<()>) {
    match unlinked {
        Err(Errno::PERM) if kind != FileType::Symlink => (Step::List, Err(Errno::NOTDIR)),
        unlinked => (Step::Unlink, unlinked),
    }
}

fn open_directory(above: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(above, name, flags, Mode::empty())
}

struct Tree<'a> {
    /// The path of what is being removed, for errors.
    path: Vec<u8>,
    cancelled: &'a AtomicBool,
}

/// A directory that is being emptied.
struct Level {
    directory: OwnedFd,
    /// Its name in the one above; empty for the first.
    name: CString,
    /// What is left in it.
    entries: Vec<(CString, FileType)>,
    /// Bytes of the path up to here.
    length: usize,
}

impl Tree<'_> {
    /// Removes all that is in a directory. Holds one descriptor per level: a tree deeper than the process may have files open ends with
    /// EMFILE, and what was removed until then stays removed.
    fn empty(&mut self, directory: OwnedFd, out: &mut Out<'_>) -> Result<()> {
        let first = self.level(directory, CString::default(), out)?;
        let mut levels = vec![first];
        while let Some(level) = levels.last_mut() {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Errno::CANCELED);
            }
            self.path.truncate(level.length);
            let Some((name, kind)) = level.entries.pop() else {
                let Some(ended) = levels.pop() else { break };
                if let Some(above) = levels.last() {
                    let removed = fs::unlinkat(&above.directory, &*ended.name, AtFlags::REMOVEDIR);
                    out.at_path(Step::RemoveDirectory, &self.path, gone_is_fine(removed))?;
                }
                continue;
            };
            if !self.path.ends_with(b"/") {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            if kind != FileType::Directory {
                match fs::unlinkat(&level.directory, &*name, AtFlags::empty()) {
                    // A file system that does not tell types, or an entry that has become another.
                    Err(Errno::ISDIR | Errno::PERM) if kind == FileType::Unknown => {}
                    result => {
                        let (step, result) = as_node_says(kind, gone_is_fine(result));
                        out.at_path(step, &self.path, result)?;
                        continue;
                    }
                }
            }
            match open_directory(level.directory.as_fd(), &name) {
                Ok(below) => {
                    let below = self.level(below, name, out)?;
                    levels.push(below);
                }
                Err(Errno::NOENT) => {}
                Err(error) => out.at_path(Step::List, &self.path, Err(error))?,
            }
        }
        Ok(())
    }

    fn level(&self, directory: OwnedFd, name: CString, out: &mut Out<'_>) -> Result<Level> {
        let entries = out.at_path(Step::List, &self.path, read_names(&directory))?;
        Ok(Level { directory, name, entries, length: self.path.len() })
    }
}

/// Names and types of a directory, all at once: removing while reading makes some file systems skip entries.
fn read_names(directory: &OwnedFd) -> Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    // Through a descriptor of its own of the same opening: opening `.` in it wants the permission to enter it.
    for entry in Dir::new(rustix::io::fcntl_dupfd_cloexec(directory, 0)?)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}
