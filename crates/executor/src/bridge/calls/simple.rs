//! The calls that are one system call, or two: what each asks the kernel, and what it answers.
use super::out::{Out, Step};
#[cfg(target_os = "linux")]
use ringwheel_command::call::{ALLOCATE_AHEAD, ALLOCATE_BACK};
use ringwheel_command::call::{Call, Owner, Times};
use ringwheel_driver::{
    limits::STATX,
    op::file::{NUMBERS, numbers, stat_file, stat_path},
};
use rustix::{
    fs::{self, Access, AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid},
    io::{Errno, Result},
};
use std::{
    ffi::{CStr, OsStr},
    os::{fd::BorrowedFd, unix::ffi::OsStrExt},
};

/// Runs a call that is none of the larger ones. `file` is there when the call takes one.
pub(super) fn run(call: &Call<'_>, file: Option<BorrowedFd<'_>>, out: &mut Out<'_>) -> Result<i32> {
    let open = || file.ok_or(Errno::BADF);
    match *call {
        Call::Access { path, mode } => {
            fs::accessat(CWD, path, Access::from_bits_retain(mode as _), AtFlags::empty())?;
        }
        Call::Stat { path, follow } => return stat(stat_path(path, follow), out),
        Call::FileStat { alignment } => return stat(stat_file(open()?, alignment), out),
        Call::StatFs { path } => return stat_fs(path, out),
        Call::MakeDirectory { path, mode } => fs::mkdir(path, Mode::from_raw_mode(mode as _))?,
        Call::Unlink { path } => fs::unlink(path)?,
        Call::RemoveDirectory { path } => fs::rmdir(path)?,
        Call::Rename { from, to } => fs::rename(from, to)?,
        Call::Link { from, to } => fs::link(from, to)?,
        Call::SymbolicLink { target, path } => fs::symlink(target, path)?,
        Call::ReadLink { path } => return read_link(path, out),
        Call::RealPath { path } => return real_path(path, out),
        Call::MakeTemporary { prefix } => return make_temporary(prefix, out),
        Call::ChangeMode { path, mode } => fs::chmod(path, Mode::from_raw_mode(mode as _))?,
        Call::FileChangeMode { mode } => fs::fchmod(open()?, Mode::from_raw_mode(mode as _))?,
        Call::ChangeOwner { path, owner: Owner { uid, gid }, follow } => {
            fs::chownat(CWD, path, uid.map(Uid::from_raw), gid.map(Gid::from_raw), no_follow(follow))?;
        }
        Call::FileChangeOwner { owner: Owner { uid, gid } } => {
            fs::fchown(open()?, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
        }
        Call::SetTimes { path, times, follow } => {
            fs::utimensat(CWD, path, &timestamps(times), no_follow(follow))?;
        }
        Call::FileSetTimes { times } => fs::futimens(open()?, &timestamps(times))?,
        Call::Truncate { path, length } => {
            let file = out.at(Step::Open, fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()))?;
            out.at(Step::Truncate, fs::ftruncate(file, length))?;
        }
        Call::FileAllocate { mode, position, length } => allocate(open()?, mode, position, length)?,
        Call::FileAdvise { advice, position, length } => advise(open()?, advice, position, length)?,
        // The larger ones have files of their own; `super::perform` sends none of them here.
        _ => return Err(Errno::NOSYS),
    }
    Ok(0)
}

/// struct statx, and behind it what is in JavaScript a number: the class there takes fourteen of them, which cost this side less.
fn stat(answer: std::result::Result<[u8; STATX], ringwheel_driver::Errno>, out: &mut Out<'_>) -> Result<i32> {
    let stat = answer.map_err(raw)?;
    let mut bytes = [0; STATX + 8 * NUMBERS];
    bytes[..STATX].copy_from_slice(&stat);
    for (place, number) in bytes[STATX..].chunks_exact_mut(8).zip(numbers(&stat)) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    Ok(out.put(&bytes))
}

/// WILLNEED and DONTNEED of a longer range than this take or drop pages for longer than a turn may wait.
const PAGES_HERE_BYTES: u64 = 1 << 20;

/// True of advice that takes or drops so many pages that it is the pool's work.
pub(super) fn moves_pages(advice: u32, length: u64) -> bool {
    matches!(advice, 3 | 4) && (length == 0 || length > PAGES_HERE_BYTES)
}

#[cfg(target_os = "linux")]
fn allocate(file: BorrowedFd<'_>, mode: u32, position: u64, length: u64) -> Result<()> {
    match mode {
        ALLOCATE_AHEAD => super::ahead::allocate(file, position, length),
        ALLOCATE_BACK => super::ahead::give_back(file),
        mode => fs::fallocate(file, fs::FallocateFlags::from_bits_retain(mode), position, length),
    }
}

/// By our own numbers: those of POSIX_FADV_ differ between processors.
#[cfg(target_os = "linux")]
fn advise(file: BorrowedFd<'_>, advice: u32, position: u64, length: u64) -> Result<()> {
    let advice = match advice {
        0 => fs::Advice::Normal,
        1 => fs::Advice::Random,
        2 => fs::Advice::Sequential,
        3 => fs::Advice::WillNeed,
        4 => fs::Advice::DontNeed,
        _ => fs::Advice::NoReuse,
    };
    fs::fadvise(file, position, std::num::NonZeroU64::new(length), advice)
}

/// Elsewhere a file cannot keep its size, or have holes punched.
#[cfg(not(target_os = "linux"))]
fn allocate(_: BorrowedFd<'_>, _: u32, _: u64, _: u64) -> Result<()> {
    Err(Errno::OPNOTSUPP)
}

/// Elsewhere nobody listens: advice is not an order.
#[cfg(not(target_os = "linux"))]
fn advise(_: BorrowedFd<'_>, _: u32, _: u64, _: u64) -> Result<()> {
    Ok(())
}

fn raw(errno: ringwheel_driver::Errno) -> Errno {
    Errno::from_raw_os_error(errno.0)
}

fn no_follow(follow: bool) -> AtFlags {
    if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
}

/// Seconds as a double, cut to microseconds as libuv cuts them.
fn timestamps(times: Times) -> Timestamps {
    let whole = |seconds: f64| {
        let floor = seconds.floor();
        let micros = ((seconds - floor) * 1e6).floor().min(999_999.0);
        Timespec { tv_sec: floor as i64, tv_nsec: (micros as i64 * 1000) as _ }
    };
    Timestamps { last_access: whole(times.access), last_modification: whole(times.change) }
}

fn stat_fs(path: &CStr, out: &mut Out<'_>) -> Result<i32> {
    let stat = fs::statfs(path)?;
    let words = [
        stat.f_type as u64,
        stat.f_bsize as u64,
        stat.f_blocks as u64,
        stat.f_bfree as u64,
        stat.f_bavail as u64,
        stat.f_files as u64,
        stat.f_ffree as u64,
    ];
    let mut bytes = [0; 56];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Ok(out.put(&bytes))
}

fn read_link(path: &CStr, out: &mut Out<'_>) -> Result<i32> {
    // The longest there can be, and a byte more to see that it was not longer.
    let mut buffer = [0; 4097];
    let length = fs::readlinkat_raw(CWD, path, &mut buffer[..])?;
    Ok(out.put(&buffer[..length]))
}

fn real_path(path: &CStr, out: &mut Out<'_>) -> Result<i32> {
    let found = std::fs::canonicalize(OsStr::from_bytes(path.to_bytes()));
    let found = found.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    Ok(out.put(found.as_os_str().as_bytes()))
}

/// Not open(2)'s: a directory of a name that nobody guesses, for its owner only.
fn make_temporary(prefix: &CStr, out: &mut Out<'_>) -> Result<i32> {
    let mut template = prefix.to_bytes().to_vec();
    template.extend_from_slice(b"XXXXXX\0");
    // SAFETY: `mkdtemp` needs a writable, NUL-terminated string, which it changes in place and keeps no pointer to.
    // Holds: the vector ends with the NUL just put there and is this function's own.
    // Checked: `every_call_does_what_its_system_call_does` in tests/calls.rs.
    let made = unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) };
    if made.is_null() {
        let error = std::io::Error::last_os_error();
        template.pop();
        // With the letters that were tried last.
        return out.at_path(
            Step::Temporary,
            &template,
            Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        );
    }
    template.pop();
    Ok(out.put(&template))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_microseconds_below() {
        let at = |seconds| {
            let time = timestamps(Times { access: seconds, change: 0.0 }).last_access;
            (time.tv_sec, time.tv_nsec)
        };
        assert_eq!(at(0.0), (0, 0));
        assert_eq!(at(1.5), (1, 500_000_000));
        assert_eq!(at(-0.5), (-1, 500_000_000));
        assert_eq!(at(1_700_000_000.123_456), (1_700_000_000, 123_456_000));
        assert_eq!(at(1e300).0, i64::MAX);
    }
}
