//! Where the lines of an access log go: a file, or standard output; never a wait without an end.
use crate::{error::StartError, options::Options};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// Bytes that a pipe takes without a wait once it is ready (PIPE_BUF).
const PIECE: usize = 4096;
/// How long one wait for a pipe lasts, before the writer looks whether it is still wanted.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// An open log.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    /// A regular file: writes do not wait for a reader.
    regular: bool,
}

impl Sink {
    /// Opens the file, or takes standard output.
    pub(super) fn open(path: Option<&Path>) -> Result<Sink, StartError> {
        let Some(path) = path else {
            let file = io::stdout()
                .as_fd()
                .try_clone_to_owned()
                .map_err(|error| wrong(Path::new("standard output"), &error))?;
            return Sink::of(File::from(file)).map_err(|error| wrong(Path::new("standard output"), &error));
        };
        // Non-blocking: a FIFO without a reader is an error here and not a wait.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path);
        let sink = file.and_then(Sink::of).map_err(|error| wrong(path, &error))?;
        if sink.file.metadata().is_ok_and(|metadata| metadata.file_type().is_block_device()) {
            return Err(refused(path, "is a disk; name a file"));
        }
        Ok(sink)
    }

    fn of(file: File) -> io::Result<Sink> {
        let regular = file.metadata()?.is_file();
        Ok(Sink { file, regular })
    }

    /// Writes as much as it can: how many bytes, and what went wrong, if not all. Waits for a pipe while it `is_wanted`.
    pub(super) fn write(&mut self, bytes: &[u8], is_wanted: impl Fn() -> bool) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < bytes.len() {
            let mut rest = &bytes[written..];
            if !self.regular {
                match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], Some(&PATIENCE)) {
                    Ok(0) if is_wanted() => continue,
                    Ok(0) => return (written, Err(io::ErrorKind::TimedOut.into())),
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return (written, Err(errno.into())),
                }
                rest = &rest[..rest.len().min(PIECE)];
            }
            match self.file.write(rest) {
                Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}

/// Fails where an open would, and makes nothing. A log below what is served is refused: everybody could read it.
pub(super) fn check(path: &Path, options: &Options) -> Result<(), StartError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let exists = path.exists();
    let place: PathBuf = if exists { path.canonicalize() } else { parent.canonicalize() }
        .map_err(|error| wrong(path, &error))?;
    if path.is_dir() {
        return Err(wrong(path, &Errno::ISDIR.into()));
    }
    let needed = if exists {
        rustix::fs::Access::WRITE_OK
    } else {
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK
    };
    rustix::fs::access(&place, needed).map_err(|errno| wrong(path, &errno.into()))?;
    for site in options.all_sites() {
        for root in site.roots.iter().chain(site.mounts.iter().map(|mount| &mount.root)) {
            if root.canonicalize().is_ok_and(|root| place.starts_with(root)) {
                return Err(refused(
                    path,
                    "lies below a directory that is served; name a file outside of it",
                ));
            }
        }
    }
    Ok(())
}

fn wrong(path: &Path, error: &io::Error) -> StartError {
    let remedy = match rustix::io::Errno::from_io_error(error) {
        Some(Errno::ISDIR) => "name a file in it",
        Some(Errno::NOENT | Errno::NOTDIR) => "create its directory",
        Some(Errno::NXIO) => "start who reads it first",
        _ => "name a file that this user may write to",
    };
    refused(path, &format!("cannot be written ({error}); {remedy}"))
}

fn refused(path: &Path, reason: &str) -> StartError {
    StartError::AccessLog { path: path.to_owned(), reason: reason.to_owned() }
}
