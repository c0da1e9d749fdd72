//! File systems that can hang: those of a network, and those that another process answers for (FUSE). What may have to ask one goes to the
//! pool, since a server that is gone would hold JavaScript's thread for ever.
//!
//! Finding out waits for nothing: openat2(2) with RESOLVE_CACHED walks a path within the kernel's cache or gives up, and the number of the mount
//! that it ends in needs no look at a file. That costs three system calls, of processes that have such mounts; the others look every ten
//! seconds whether one has come.
use ringwheel_command::call::Call;
use ringwheel_driver::preempt::now_ns;
use rustix::{
    fs::{self, AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags},
    io::Errno,
};
use std::{
    ffi::CStr,
    io::Read as _,
    os::fd::{AsFd, BorrowedFd},
};

/// Between two looks at the mounts; more where there are so many that a look takes long.
const LOOK_NS: u64 = 10_000_000_000;
/// Bytes of /proc/self/mountinfo that there is room for at once: some hundred mounts.
const TEXT_BYTES: usize = 32_768;
/// So many times as long as a look took.
const LOOK_SHARE: u64 = 1_000;

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Remote {
    /// Numbers of such mounts.
    mounts: Vec<u64>,
    /// Of /proc/self/mountinfo, kept so that a look allocates nothing.
    text: Vec<u8>,
    next_look_ns: u64,
    asked: bool,
}

impl Remote {
    pub fn new() -> Remote {
        Remote { mounts: Vec::with_capacity(16), text: Vec::with_capacity(TEXT_BYTES), ..Remote::default() }
    }

    /// A turn begins.
    pub fn begin_turn(&mut self) {
        self.asked = false;
    }

    /// True when a call may have to ask a file system that can hang.
    pub fn may_ask(&mut self, call: &Call<'_>, file: Option<BorrowedFd<'_>>) -> bool {
        if !self.asked {
            self.asked = true;
            self.look(now_ns());
        }
        !self.mounts.is_empty() && self.reaches(call, file)
    }

    /// True when the mount of this number can hang.
    pub fn has(&mut self, mount: u64) -> bool {
        self.look(now_ns());
        self.mounts.contains(&mount)
    }

    fn look(&mut self, now_ns_: u64) {
        if now_ns_ < self.next_look_ns {
            return;
        }
        self.text.clear();
        let read =
            std::fs::File::open("/proc/self/mountinfo").and_then(|mut file| file.read_to_end(&mut self.text));
        self.mounts.clear();
        if read.is_ok() {
            self.mounts.extend(self.text.split(|byte| *byte == b'\n').filter_map(remote_mount));
        }
        let end = now_ns();
        self.next_look_ns = end + LOOK_NS.max(end.saturating_sub(now_ns_) * LOOK_SHARE);
    }

    /// True when what there is at a path can be asked for without asking one of those, as far as the cache tells.
    #[cold]
    pub fn is_local_at(&self, path: &CStr) -> bool {
        self.stays_local(path, false)
    }

    #[cold]
    fn reaches(&self, call: &Call<'_>, file: Option<BorrowedFd<'_>>) -> bool {
        if let Some(file) = file {
            return !self.is_local(file);
        }
        let (paths, changes) = paths_of(call);
        paths.iter().flatten().any(|path| !self.stays_local(path, changes))
    }

    /// True when a path leads, within the cache, to what is on no such mount; or when nothing is there, in a directory of which that is true.
    fn stays_local(&self, path: &CStr, changes: bool) -> bool {
        let above =
            || cached(&directory_of(path.to_bytes())).is_ok_and(|directory| self.is_local(directory.as_fd()));
        match cached(path.to_bytes()) {
            Ok(found) => self.is_local(found.as_fd()) && (!changes || above()),
            Err(Errno::NOENT) => above(),
            Err(_) => false,
        }
    }

    fn is_local(&self, file: BorrowedFd<'_>) -> bool {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        fs::statx(file, c"", flags, StatxFlags::MNT_ID).is_ok_and(|stat| {
            stat.stx_mask & StatxFlags::MNT_ID.bits() != 0 && !self.mounts.contains(&stat.stx_mnt_id)
        })
    }
}

/// The paths of a call, and whether it changes what their directories hold.
fn paths_of<'a>(call: &Call<'a>) -> ([Option<&'a CStr>; 2], bool) {
    match *call {
        Call::Access { path, .. }
        | Call::Stat { path, follow: true }
        | Call::StatFs { path }
        | Call::RealPath { path }
        | Call::List { path, .. }
        | Call::ReadFile { path, .. }
        | Call::Truncate { path, .. } => ([Some(path), None], false),
        Call::Stat { path, follow: false }
        | Call::MakeDirectory { path, .. }
        | Call::MakeDirectories { path, .. }
        | Call::Unlink { path }
        | Call::RemoveDirectory { path }
        | Call::Remove { path, .. }
        | Call::SymbolicLink { path, .. }
        | Call::ReadLink { path }
        | Call::MakeTemporary { prefix: path }
        | Call::ChangeMode { path, .. }
        | Call::ChangeOwner { path, .. }
        | Call::SetTimes { path, .. }
        | Call::WriteFile { path, .. } => ([Some(path), None], true),
        Call::Rename { from, to } | Call::Link { from, to } | Call::Copy { from, to, .. } => {
            ([Some(from), Some(to)], true)
        }
        Call::FileStat { .. }
        | Call::FileChangeMode { .. }
        | Call::FileChangeOwner { .. }
        | Call::FileSetTimes { .. }
        | Call::FileEntries
        | Call::FileAllocate { .. }
        | Call::FileAdvise { .. }
        | Call::FileReadRest { .. } => ([None, None], false),
    }
}

/// The directory that a path's last name is in.
fn directory_of(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    match path[..end].iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/".to_vec(),
        Some(slash) => path[..slash].to_vec(),
        None if path.starts_with(b"/") => b"/".to_vec(),
        None => b".".to_vec(),
    }
}

/// What a path leads to, as far as the kernel knows without asking anybody.
fn cached(path: &[u8]) -> rustix::io::Result<rustix::fd::OwnedFd> {
    fs::openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED)
}

/// The number of a line's mount, when it can hang: `36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/root rw`.
fn remote_mount(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let number = fields.next()?.parse().ok()?;
    let place = fields.nth(3)?;
    let kind = kind.split(' ').next()?;
    // The kernel's own, such as that of binfmt_misc, is local.
    let automatic = kind == "autofs" && !place.starts_with("/proc/");
    (automatic || can_hang(kind)).then_some(number)
}

fn can_hang(kind: &str) -> bool {
    const KINDS: [&str; 16] = [
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuseblk", "gpfs", "lustre", "nfs", "nfs4",
        "orangefs", "smb3", "smbfs", "virtiofs",
    ];
    KINDS.contains(&kind) || kind.starts_with("fuse.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_of(place: &str) -> u64 {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = text.lines().find(|line| line.split(' ').nth(4) == Some(place)).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    }

    #[test]
    fn network_and_user_space_mounts_are_known_by_their_kind() {
        let line = |kind: &str| format!("36 35 98:0 /a /mnt\\040b rw,noatime master:1 - {kind} server:/x rw");
        for kind in ["nfs", "nfs4", "fuse", "fuse.sshfs", "9p", "autofs", "cifs"] {
            assert_eq!(remote_mount(line(kind).as_bytes()), Some(36), "{kind}");
        }
        for kind in ["ext4", "tmpfs", "nfsd", "fusectl", "overlay", "proc"] {
            assert_eq!(remote_mount(line(kind).as_bytes()), None, "{kind}");
        }
        assert_eq!(remote_mount(b"30 1 0:2 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw"), None);
        assert_eq!(remote_mount(b"31 1 0:2 / /net rw shared:5 - autofs auto.net rw"), Some(31));
        for odd in
            [&b""[..], b" - ", b"x - nfs", b"36 35 98:0 - nfs", b"\xff - nfs", b"36 35 98:0 / /m rw nfs"]
        {
            assert_eq!(remote_mount(odd), None);
        }
    }

    #[test]
    fn a_path_s_directory_is_that_of_its_last_name() {
        let directories = [
            ("a", "."),
            ("a/b", "a"),
            ("/a", "/"),
            ("/a/b/", "/a"),
            ("a//", "."),
            ("/", "/"),
            ("//", "/"),
            ("a//b", "a/"),
            ("", "."),
        ];
        for (path, directory) in directories {
            assert_eq!(directory_of(path.as_bytes()), directory.as_bytes(), "{path}");
        }
    }

    #[test]
    fn what_leads_to_such_a_mount_is_seen_and_nothing_else() {
        // As if /proc could hang: it is a mount of its own everywhere.
        let remote = Remote { mounts: vec![number_of("/proc")], ..Remote::default() };
        let base = std::env::temp_dir().join(format!("ringwheel-remote-{}", std::process::id()));
        std::fs::create_dir_all(&base).unwrap();
        let path = |name: &str| std::ffi::CString::new(base.join(name).to_str().unwrap()).unwrap();
        std::os::unix::fs::symlink("/proc/version", base.join("link")).unwrap();
        std::fs::write(base.join("file"), "").unwrap();
        let (file, link, below) = (path("file"), path("link"), path("none/below"));
        let stat = |path, follow| Call::Stat { path, follow };
        for path in [c"/proc/version", c"/proc", c"/proc/none", link.as_c_str(), below.as_c_str()] {
            assert!(remote.reaches(&stat(path, true), None), "{path:?}");
        }
        // The cache may have lost it; what was just used is there again. A kernel or a container without openat2 sends all to the pool.
        let settles = |call: Call<'_>| {
            (0..100).any(|_| {
                let _filled = std::fs::metadata(base.join("file"));
                !remote.reaches(&call, None)
            })
        };
        if cached(b"/").is_ok() {
            assert!(settles(stat(&file, true)) && settles(Call::Unlink { path: &file }));
            assert!(settles(Call::Rename { from: &file, to: &file }));
            assert!(
                (0..100).any(|_| std::fs::metadata(base.join("file")).is_ok() && remote.is_local_at(&file))
            );
        }
        assert!(remote.reaches(&Call::Rename { from: &file, to: c"/proc/none" }, None));
        assert!(!remote.is_local_at(c"/proc/version") && !remote.is_local_at(&link));
        assert!(remote.reaches(
            &Call::FileStat { alignment: false },
            Some(std::fs::File::open("/proc/version").unwrap().as_fd())
        ));
        assert!(!remote.reaches(
            &Call::FileStat { alignment: false },
            Some(std::fs::File::open(base.join("file")).unwrap().as_fd())
        ));
        std::fs::remove_dir_all(base).unwrap();
    }
}
