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
    os::fd::{BorrowedFd, OwnedFd},
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
        let (step, removed) = as_node_says(kind, fs::unlink(path), || fs::rmdir(path));
        let removed = if force { gone_is_fine(removed) } else { removed };
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
    let mut tree = Tree { path: path.to_bytes().to_vec(), cancelled, failed: None };
    match open_directory(rustix::fs::CWD, path) {
        Ok(directory) => tree.empty(directory)?,
        Err(Errno::NOENT) => return Ok(0),
        Err(error) => tree.note(Step::List, error),
    }
    if let Some((step, path, error)) = tree.failed {
        return out.at_path(step, &path, Err(error));
    }
    out.at(Step::RemoveDirectory, gone_is_fine(fs::rmdir(path))).map(|()| 0)
}

/// What somebody else removed meanwhile is removed.
fn gone_is_fine(result: Result<()>) -> Result<()> {
    if result == Err(Errno::NOENT) { Ok(()) } else { result }
}

/// What may not be unlinked Node takes for a directory, and says what that comes to. Not of a link: what Node does then is to remove what it leads to.
fn as_node_says(
    kind: FileType,
    unlinked: Result<()>,
    remove_directory: impl FnOnce() -> Result<()>,
) -> (Step, Result<()>) {
    if unlinked != Err(Errno::PERM) || kind == FileType::Symlink {
        return (Step::Unlink, unlinked);
    }
    match remove_directory() {
        Err(Errno::NOTDIR) => (Step::Unlink, unlinked),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::PERM) => (Step::List, Err(Errno::NOTDIR)),
        removed => (Step::RemoveDirectory, removed),
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
    /// The first that could not be removed. The others are removed all the same, as by Node.
    failed: Option<(Step, Vec<u8>, Errno)>,
}

/// A directory that is being emptied.
struct Level {
    held: Held,
    /// Its name in the one above; empty for the first.
    name: CString,
    /// What is left in it, the next one last.
    entries: Vec<(CString, FileType)>,
    /// Bytes of the path up to here.
    length: usize,
    /// Something stays in it.
    stays: bool,
}

/// The directory of a level. The last level's is open.
enum Held {
    Open(Dir),
    /// Closed for want of descriptors: its device and its number there.
    Closed(u64, u64),
}

impl Level {
    fn fd(&self) -> Result<BorrowedFd<'_>> {
        match &self.held {
            Held::Open(directory) => directory.fd(),
            Held::Closed(..) => Err(Errno::BADF),
        }
    }

    /// Closes it; false when it was.
    fn shed(&mut self) -> bool {
        let Held::Open(directory) = &self.held else { return false };
        let Ok(stat) = directory.stat() else { return false };
        self.held = Held::Closed(stat.st_dev as _, stat.st_ino);
        true
    }

    /// Opens it again from the level below, unless that one was moved elsewhere meanwhile.
    fn reopen(&mut self, below: &Level) -> Result<()> {
        let Held::Closed(device, number) = self.held else { return Ok(()) };
        let directory = Dir::new(open_directory(below.fd()?, c"..")?)?;
        let stat = directory.stat()?;
        if (stat.st_dev as u64, stat.st_ino) != (device, number) {
            return Err(Errno::NOENT);
        }
        self.held = Held::Open(directory);
        Ok(())
    }
}

impl Tree<'_> {
    fn note(&mut self, step: Step, error: Errno) {
        self.failed.get_or_insert_with(|| (step, self.path.clone(), error));
    }

    /// Removes all that is in a directory. Holds a descriptor for each level, or for as many as the process has.
    fn empty(&mut self, directory: OwnedFd) -> Result<()> {
        let mut levels = Vec::new();
        match read_names(directory) {
            Ok(read) => levels.push(self.level(read, CString::default())),
            Err(error) => self.note(Step::List, error),
        }
        while let Some(level) = levels.last_mut() {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Errno::CANCELED);
            }
            self.path.truncate(level.length);
            let Some((name, kind)) = level.entries.pop() else {
                let Some(ended) = levels.pop() else { break };
                let Some(above) = levels.last_mut() else { break };
                let removed = match above.reopen(&ended) {
                    Ok(()) if ended.stays => Ok(()),
                    Ok(()) => remove_directory(above, &ended.name),
                    Err(error) => {
                        self.note(Step::List, error);
                        break;
                    }
                };
                above.stays |= ended.stays || removed.is_err();
                if let Err(error) = removed {
                    self.note(Step::RemoveDirectory, error);
                }
                continue;
            };
            if !self.path.ends_with(b"/") {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.to_bytes());
            let (step, removed) = remove_entry(level, &name, kind);
            match removed {
                Ok(()) => continue,
                Err(Errno::NOTEMPTY) if step == Step::RemoveDirectory => {}
                Err(error) => {
                    level.stays = true;
                    self.note(step, error);
                    continue;
                }
            }
            match read_below(&mut levels, &name) {
                Ok(read) => levels.push(self.level(read, name)),
                Err(Errno::NOENT) => {}
                Err(error) => {
                    if let Some(level) = levels.last_mut() {
                        level.stays = true;
                    }
                    self.note(Step::List, error);
                }
            }
        }
        Ok(())
    }

    fn level(&self, (directory, mut entries): Read, name: CString) -> Level {
        entries.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Level { held: Held::Open(directory), name, entries, length: self.path.len(), stays: false }
    }
}

/// A directory, and names and types of what is in it.
type Read = (Dir, Vec<(CString, FileType)>);

/// Reads a directory in the last level. When the process has no descriptor left, those of the other levels are closed.
fn read_below(levels: &mut [Level], name: &CStr) -> Result<Read> {
    let Some((last, above)) = levels.split_last_mut() else { return Err(Errno::NOENT) };
    match open_directory(last.fd()?, name) {
        Err(Errno::MFILE | Errno::NFILE)
            if above.iter_mut().fold(false, |shed, level| level.shed() | shed) =>
        {
            open_directory(last.fd()?, name)
        }
        opened => opened,
    }
    .and_then(read_names)
}

/// rmdir(2); what somebody else removed meanwhile is removed.
fn remove_directory(above: &Level, name: &CStr) -> Result<()> {
    gone_is_fine(above.fd().and_then(|above| fs::unlinkat(above, name, AtFlags::REMOVEDIR)))
}

/// Removes one entry, a directory if it is empty. NOTEMPTY of rmdir(2) is for what has to be emptied first.
fn remove_entry(above: &Level, name: &CStr, kind: FileType) -> (Step, Result<()>) {
    let empty = || match remove_directory(above, name) {
        Err(Errno::EXIST | Errno::PERM) => Err(Errno::NOTEMPTY),
        removed => removed,
    };
    let kind = if kind == FileType::Unknown { looked_up(above, name) } else { kind };
    if kind == FileType::Directory {
        let removed = empty();
        if removed != Err(Errno::NOTDIR) {
            return (Step::RemoveDirectory, removed);
        }
    }
    match gone_is_fine(above.fd().and_then(|above| fs::unlinkat(above, name, AtFlags::empty()))) {
        // It has become one since it was listed.
        Err(Errno::ISDIR) => (Step::RemoveDirectory, empty()),
        unlinked => as_node_says(kind, unlinked, || remove_directory(above, name)),
    }
}

/// The type of an entry whose directory does not tell it.
fn looked_up(above: &Level, name: &CStr) -> FileType {
    let stat = above.fd().and_then(|above| fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW));
    stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode))
}

/// Names and types of a directory, all at once: removing while reading makes some file systems skip entries.
fn read_names(directory: OwnedFd) -> Result<Read> {
    let mut directory = Dir::new(directory)?;
    let mut names = Vec::new();
    while let Some(entry) = directory.read() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok((directory, names))
}
