//! Files on the executor: opening beneath a directory, reading and writing at offsets, metadata, page-cache residency.
//!
//! ```
//! use ringwheel_executor::{Executor, Target, fs};
//!
//! let mut executor = Executor::start(Default::default())?;
//! executor.run(async {
//!     let file = fs::File::open("Cargo.toml", 0).await?;
//!     let (count, target) = file.read_at(Target::Vec(Vec::with_capacity(9)), 0).await;
//!     let Target::Vec(bytes) = target else { unreachable!() };
//!     assert_eq!((count?, &bytes[..]), (9, &b"[package]"[..]));
//!     std::io::Result::Ok(())
//! })??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod beneath;
mod directory;
mod file;
mod metadata;
mod residency;

pub use directory::{Directory, Links};
pub use file::File;
pub use metadata::{Kind, Metadata};

use crate::{Lease, current};
use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::Path};

/// Leases `bytes` of the current executor's registered memory, for [`crate::Target::Lease`] and [`crate::Source::Lease`]: what is
/// read into it or written from it needs no page pinned per operation, and from 4096 bytes on it is aligned as O_DIRECT wants
/// it. The content is whatever was there. Dropping the lease frees it. Bounded steps, no system call.
///
/// ```
/// use ringwheel_executor::{Executor, Target, fs};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let file = fs::File::open("Cargo.toml", 0).await?;
///     let (count, target) = file.read_at(Target::Lease(fs::lease(4096)?, 0..9), 0).await;
///     assert_eq!((count?, target.bytes()), (9, &b"[package]"[..]));
///     std::io::Result::Ok(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `OutOfMemory` when the executor's `memory` (4 MiB by default) has no range of that length free, with the longest there is;
/// `Other` without a current executor, or after its shutdown.
pub fn lease(bytes: usize) -> io::Result<Lease> {
    let core = current::get()?;
    let leased = core.edge(|edge| edge.driver.arena().lease(bytes));
    match leased {
        Some(Ok(lease)) => Ok(lease),
        Some(Err(full)) => Err(io::Error::new(io::ErrorKind::OutOfMemory, full)),
        None => Err(crate::SpawnError::Closed.into()),
    }
}

/// A path for the kernel.
fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path has a zero byte in it; no file can")
    })
}
