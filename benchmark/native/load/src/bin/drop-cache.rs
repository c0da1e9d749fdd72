//! `drop-cache < NAMES`: writes each file out and takes it from the page cache (posix_fadvise(2), POSIX_FADV_DONTNEED), which needs no root.
use rustix::fs::{Advice, fadvise, fdatasync};
use std::{error::Error, fs::File, io};

fn main() -> Result<(), Box<dyn Error>> {
    for name in io::stdin().lines() {
        let file = File::open(name?)?;
        // What is dirty stays.
        fdatasync(&file)?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
