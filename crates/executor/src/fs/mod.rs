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
mod directory;
mod file;
mod metadata;
mod residency;

pub use directory::Directory;
pub use file::File;
pub use metadata::{Kind, Metadata};

use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::Path};

/// A path for the kernel.
fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path has a zero byte in it; no file can")
    })
}
