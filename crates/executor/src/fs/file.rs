//! An open file: reads and writes through the ring, metadata inline.
use super::{Metadata, c_path, metadata, residency};
use crate::{Source, Target, core::Core, current, net::outcome, operation::Single};
use ringwheel_driver::{
    Handle, Operation,
    op::file::{Open, Read, Sync, Truncate, Write},
};
use std::{io, path::Path, rc::Rc};

/// Mode of created files before the umask: what fopen(3) and Node use.
const MODE: u32 = 0o666;
/// Bytes of one read of `prefetch`: the kernel's own read-ahead window.
const PREFETCH: usize = 128 << 10;
/// Bytes of a longer `prefetch` that are asked for at a time.
const WINDOW: u64 = 8 << 20;
/// Pages that are waited for one after the other: more than there are samples, so that one that is dropped again does not hold up a read for ever.
const WAITS_MAX: usize = 16;

/// An open file. Dropping it closes it once no operation uses it. All methods take `&self`; operations run side by side.
///
/// ```
/// use ringwheel_executor::{Executor, Source, Target, fs::File};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let path = std::env::temp_dir().join(format!("ringwheel-file-{}", std::process::id()));
///     let file = File::open(&path, libc::O_RDWR | libc::O_CREAT).await?;
///     let (written, _back) = file.write_at(Source::Vec(b"ring".to_vec(), 0..4), 0).await;
///     assert_eq!(written?, 4);
///     file.sync().await?;
///     let (read, target) = file.read_at(Target::Vec(Vec::with_capacity(16)), 0).await;
///     assert_eq!((read?, target.bytes()), (4, &b"ring"[..]));
///     assert_eq!(file.metadata()?.size, 4);
///     std::fs::remove_file(&path)?;
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct File {
    core: Rc<Core>,
    pub(crate) handle: Handle,
}

impl File {
    pub(crate) fn new(core: Rc<Core>, handle: Handle) -> File {
        File { core, handle }
    }

    /// Opens a file. `flags` are open(2)'s, such as `libc::O_RDONLY`; O_CLOEXEC is added. Created files get mode 0o666 less
    /// the umask. Dropping the future closes what it may yet open (INV-7).
    ///
    /// # Errors
    /// The system's: ENOENT, EACCES, EMFILE, …; `InvalidInput` for a path with a zero byte.
    pub async fn open(path: impl AsRef<Path>, flags: i32) -> io::Result<File> {
        let core = current::get()?;
        let path = c_path(path.as_ref())?;
        let operation = Operation::Open(Open { directory: None, path, flags, mode: MODE, resolve: 0 });
        let completion = Single::new(core.clone(), operation).await;
        outcome(completion.result)?;
        match completion.handle {
            Some(handle) => Ok(File::new(core, handle)),
            None => Err(io::Error::other("the driver opened the file but gave no handle")),
        }
    }

    /// Reads at an offset into `target`: how many bytes, 0 at the end, maybe fewer than there is room for. A vector is filled
    /// up to its capacity, from its start. Dropping the future leaves the target with the kernel until it is done.
    ///
    /// # Errors
    /// The system's: EIO, EISDIR, EINVAL for a range outside of its lease, …
    pub async fn read_at(&self, target: Target, offset: u64) -> (io::Result<usize>, Target) {
        let operation = Operation::Read(Read { file: self.handle.clone(), target, offset });
        let completion = Single::new(self.core.clone(), operation).await;
        let target = match completion.operation {
            Some(Operation::Read(read)) => read.target,
            // The executor shut down under the operation and keeps its memory (INV-1).
            _ => Target::Vec(Vec::new()),
        };
        (outcome(completion.result), target)
    }

    /// Writes at an offset: how many bytes, maybe fewer than the source has. Dropping the future leaves open how many.
    ///
    /// # Errors
    /// The system's: ENOSPC, EFBIG, EBADF when it was opened for reading, …
    pub async fn write_at(&self, source: Source, offset: u64) -> (io::Result<usize>, Source) {
        let operation = Operation::Write(Write { file: self.handle.clone(), source, offset });
        let completion = Single::new(self.core.clone(), operation).await;
        let source = match completion.operation {
            Some(Operation::Write(write)) => write.source,
            _ => Source::Vec(Vec::new(), 0..0),
        };
        (outcome(completion.result), source)
    }

    /// Size, times, identity: one inline statx(2), about 1 µs.
    ///
    /// # Errors
    /// The system's, such as EIO and, on network file systems, ESTALE.
    pub fn metadata(&self) -> io::Result<Metadata> {
        metadata::of(&self.handle)
    }

    /// Whether the whole range is in the page cache: exact for files that this process owns or may write (cachestat(2), Linux
    /// 6.5), by samples for others, false when the kernel does not tell. A hint: the answer may be old when it is used.
    /// One to nine inline system calls, none of which waits.
    pub fn is_resident(&self, offset: u64, length: u64) -> bool {
        residency::is_resident(&self.handle, offset, length)
    }

    /// Brings the range into the page cache. Returns how many bytes are there: fewer than `length` at the file's end. The system
    /// is told to read it, and its pages are waited for through the ring; a file system that does not listen is read through the ring into memory of
    /// its own (128 KiB). Dropping the future stops the waiting.
    ///
    /// # Errors
    /// The system's: EIO, EISDIR, …
    pub async fn prefetch(&self, offset: u64, length: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < length {
            // What is announced in one go is announced on this thread.
            let window = (length - done).min(WINDOW);
            let there = self.prefetch_window(offset.saturating_add(done), window).await?;
            done += there;
            if there < window {
                break;
            }
        }
        Ok(done)
    }

    async fn prefetch_window(&self, offset: u64, length: u64) -> io::Result<u64> {
        if residency::announce(&self.handle, offset, length) {
            // A page that comes late is waited for; the next look finds another one late, if any.
            for _ in 0..WAITS_MAX {
                let Some(late) = residency::late(&self.handle, offset, length) else { break };
                let (read, _) = self.read_at(Target::Vec(Vec::with_capacity(1)), late).await;
                if read? == 0 {
                    break;
                }
            }
            if residency::is_resident(&self.handle, offset, length) {
                return Ok(length);
            }
        }
        self.read_through(offset, length).await
    }

    async fn read_through(&self, offset: u64, length: u64) -> io::Result<u64> {
        let mut target =
            Target::Vec(Vec::with_capacity(usize::try_from(length).unwrap_or(PREFETCH).min(PREFETCH)));
        let mut done = 0;
        while done < length {
            let (read, back) = self.read_at(target, offset.saturating_add(done)).await;
            let read = read?;
            if read == 0 {
                break;
            }
            done += read as u64;
            target = back;
        }
        Ok(done.min(length))
    }

    /// fsync(2): data and metadata are on the device.
    ///
    /// # Errors
    /// The system's: EIO, ENOSPC, …
    pub async fn sync(&self) -> io::Result<()> {
        self.sync_with(false).await
    }

    /// fdatasync(2): the data and what is needed to read it back are on the device.
    ///
    /// # Errors
    /// The system's: EIO, ENOSPC, …
    pub async fn datasync(&self) -> io::Result<()> {
        self.sync_with(true).await
    }

    async fn sync_with(&self, data_only: bool) -> io::Result<()> {
        let operation = Operation::Sync(Sync { file: self.handle.clone(), data_only });
        outcome(Single::new(self.core.clone(), operation).await.result).map(drop)
    }

    /// ftruncate(2): cuts or extends the file to `length` bytes.
    ///
    /// # Errors
    /// The system's: EINVAL when it was opened for reading, EFBIG, …
    pub async fn truncate(&self, length: u64) -> io::Result<()> {
        let operation = Operation::Truncate(Truncate { file: self.handle.clone(), length });
        outcome(Single::new(self.core.clone(), operation).await.result).map(drop)
    }
}
