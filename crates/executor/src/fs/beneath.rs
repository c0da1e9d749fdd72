//! Opening beneath a directory where the kernel does not do it: other systems, kernels before 5.6, sandboxes that deny openat2(2).
//!
//! Each component is opened by itself and never followed (O_NOFOLLOW); a symbolic link is read, and its components are walked in
//! turn; `..` goes back to the directory that was walked through, not to whatever is its parent by then. So whoever renames or
//! re-links beside it can make the walk fail, but not leave the directory.
use rustix::{
    fs::{Mode, OFlags, openat, readlinkat},
    io::Errno,
};
use std::{
    ffi::{CStr, CString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Links on the way, as many as the kernel follows.
pub(super) const LINKS_MAX: u32 = 40;

#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = OFlags::RDONLY;

/// Opens `path` beneath `root`, as openat2 does with RESOLVE_BENEATH: EXDEV for what leads out, ELOOP for more links than `links_max`.
pub(super) fn walk(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    mode: Mode,
    links_max: u32,
) -> Result<OwnedFd, Errno> {
    // The next component is the last of these.
    let mut pending = Vec::new();
    push(&mut pending, path.to_bytes())?;
    let mut walked: Vec<OwnedFd> = Vec::new();
    let follows = !flags.contains(OFlags::NOFOLLOW) && !flags.contains(OFlags::CREATE | OFlags::EXCL);
    let mut links = 0;
    while let Some(name) = pending.pop() {
        let here = walked.last().map_or(root, OwnedFd::as_fd);
        match name.as_bytes() {
            b"" | b"." => continue,
            b".." => {
                walked.pop().ok_or(Errno::XDEV)?;
                continue;
            }
            _ => {}
        }
        let is_last = pending.is_empty();
        if (!is_last || follows)
            && let Ok(target) = readlinkat(here, &name, Vec::new())
        {
            links += 1;
            if links > links_max {
                return Err(Errno::LOOP);
            }
            push(&mut pending, target.to_bytes())?;
            continue;
        }
        if is_last {
            return openat(here, &name, flags | OFlags::NOFOLLOW, mode);
        }
        let flags = SEARCH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        walked.push(openat(here, &name, flags, Mode::empty())?);
    }
    // It ended with a slash, a dot or two: the directory itself.
    openat(walked.last().map_or(root, OwnedFd::as_fd), c".", flags, mode)
}

/// Puts the components of a path before what is pending.
fn push(pending: &mut Vec<CString>, path: &[u8]) -> Result<(), Errno> {
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    if path.starts_with(b"/") {
        return Err(Errno::XDEV);
    }
    for name in path.rsplit(|byte| *byte == b'/') {
        pending.push(CString::new(name).map_err(|_| Errno::INVAL)?);
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::fs::{CWD, ResolveFlags, fstat, openat2};
    use std::{fs, os::unix::fs::symlink, path::PathBuf};

    struct Tree(PathBuf);

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A root with links of all kinds beside what must not be reached.
    fn tree(name: &str) -> (Tree, OwnedFd) {
        let place = std::env::temp_dir().join(format!("ringwheel-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        fs::create_dir_all(place.join("root/dir/deep")).expect("make the tree");
        for file in ["secret", "root/file", "root/dir/inner", "root/dir/deep/leaf"] {
            fs::write(place.join(file), file).expect("write a file");
        }
        let links = [
            ("file", "root/good"),
            ("dir", "root/good-dir"),
            ("dir/", "root/slashed"),
            ("../file", "root/dir/up"),
            ("../../secret", "root/dir/out"),
            ("..", "root/parent"),
            ("/etc/passwd", "root/absolute"),
            ("loop", "root/loop"),
            ("missing", "root/dangling"),
            ("good-dir/up", "root/chain"),
        ];
        for (target, link) in links {
            symlink(target, place.join(link)).expect("make a link");
        }
        let fd = openat(CWD, place.join("root"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        (Tree(place), fd.expect("open the root"))
    }

    #[test]
    fn it_opens_what_openat2_opens_and_refuses_what_it_refuses() {
        let (_tree, root) = tree("beneath");
        let names =
            ["file", "dir", "good", "good-dir", "slashed", "parent", "absolute", "loop", "dangling", "chain"];
        let mut paths: Vec<String> = names.iter().map(ToString::to_string).collect();
        for name in names {
            let tails = [
                "/",
                "/.",
                "/inner",
                "/up",
                "/out",
                "/deep/leaf",
                "/deep/../inner",
                "/..",
                "/../file",
                "/../../secret",
            ];
            paths.extend(tails.map(|tail| format!("{name}{tail}")));
        }
        paths.extend(
            ["", ".", "..", "/", "/file", "//file", "./file", "dir//inner", "dir/./inner", "../root/file"]
                .map(String::from),
        );
        paths.push("a".repeat(300));
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let mut opened = 0;
        for path in paths {
            let path = CString::new(path).expect("no NUL");
            let kinds =
                [OFlags::RDONLY, OFlags::RDONLY | OFlags::DIRECTORY, OFlags::RDONLY | OFlags::NOFOLLOW];
            let policies = [(LINKS_MAX, inside), (0, inside | ResolveFlags::NO_SYMLINKS)];
            for (flags, (links_max, resolve)) in
                kinds.into_iter().flat_map(|flags| policies.map(|policy| (flags, policy)))
            {
                let flags = flags | OFlags::CLOEXEC;
                let inode = |fd: OwnedFd| fstat(fd).map(|stat| stat.st_ino);
                let ours = walk(root.as_fd(), &path, flags, Mode::empty(), links_max).and_then(inode);
                // EAGAIN: somebody renamed something, anywhere, while it looked at `..`.
                let theirs = loop {
                    match openat2(&root, &path, flags, Mode::empty(), resolve) {
                        Err(Errno::AGAIN) => {}
                        theirs => break theirs.and_then(inode),
                    }
                };
                match (ours, theirs) {
                    (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{path:?} {flags:?} {links_max}"),
                    // Which error of several comes first may differ; that it leads out may not.
                    (Err(_), Err(_)) => {}
                    (ours, theirs) => panic!("{path:?} {flags:?} {links_max}: {ours:?}, openat2 {theirs:?}"),
                }
                opened += u32::from(ours.is_ok());
            }
        }
        assert!(opened > 50, "{opened} could be opened");
        let error = |path: &CStr| walk(root.as_fd(), path, OFlags::RDONLY, Mode::empty(), LINKS_MAX).err();
        for out in [c"..", c"/etc/passwd", c"absolute", c"parent", c"dir/out", c"dir/../../secret"] {
            assert_eq!(error(out), Some(Errno::XDEV), "{out:?}");
        }
        assert_eq!(error(c"loop"), Some(Errno::LOOP));
        assert_eq!(error(c"missing"), Some(Errno::NOENT));
        assert_eq!(error(c"file/inner"), Some(Errno::NOTDIR));
        for link in [c"good", c"good-dir/inner", c"dir/up", c"dir/out", c"absolute"] {
            let denied = walk(root.as_fd(), link, OFlags::RDONLY, Mode::empty(), 0);
            assert_eq!(denied.err(), Some(Errno::LOOP), "{link:?}");
        }
    }

    #[test]
    fn who_swaps_a_directory_for_a_link_meanwhile_does_not_lead_it_out() {
        let (tree, root) = tree("swapped");
        let (dir, parked) = (tree.0.join("root/dir"), tree.0.join("root/parked"));
        fs::write(tree.0.join("inner"), "outside").expect("write a file");
        let outside =
            fs::metadata(tree.0.join("inner")).map(|data| std::os::unix::fs::MetadataExt::ino(&data));
        let outside = outside.expect("it is there");
        std::thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                for _ in 0..500 {
                    fs::rename(&dir, &parked).expect("park it");
                    symlink("..", &dir).expect("make a link");
                    fs::remove_file(&dir).expect("remove the link");
                    fs::rename(&parked, &dir).expect("put it back");
                }
            });
            while !swapper.is_finished() {
                if let Ok(fd) = walk(root.as_fd(), c"dir/inner", OFlags::RDONLY, Mode::empty(), LINKS_MAX) {
                    assert_ne!(fstat(fd).expect("stat it").st_ino, outside);
                }
            }
        });
    }
}
