//! Serving where a sandbox or an old kernel has no openat2(2): the same files, and nothing outside of the root.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::{Site, get};
use ringwheel_fileserver::{DriverKind, Server, Symlinks};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::{fs, os::unix::fs::symlink, time::Duration};

/// From here on this thread and those it starts get `errno` for openat2.
fn deny_openat2(errno: i32) {
    let rules = [(libc::SYS_openat2, Vec::new())].into_iter().collect();
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let answer = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    apply_filter(&program).unwrap();
}

fn serves_confined(driver: DriverKind, errno: i32) {
    let place = Site::new();
    place.write("root/index.html", "index");
    place.write("root/dir/file", "inside");
    place.write("secret", "outside");
    let root = place.root.join("root");
    symlink("dir/file", root.join("good")).unwrap();
    symlink("../secret", root.join("out")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    // The filter stays with its thread and the server's: a thread of its own.
    let served = std::thread::spawn(move || {
        deny_openat2(errno);
        let denied = rustix::fs::openat2(
            rustix::fs::CWD,
            c"/",
            rustix::fs::OFlags::RDONLY,
            rustix::fs::Mode::empty(),
            rustix::fs::ResolveFlags::empty(),
        );
        assert_eq!(denied.unwrap_err().raw_os_error(), errno, "the filter works");
        for (symlinks, inside, outside) in
            [(Symlinks::Inside, 200, 404), (Symlinks::Deny, 404, 404), (Symlinks::Follow, 200, 200)]
        {
            let mut options = place.options(driver);
            options.site.roots = vec![root.clone()];
            options.site.symlinks = symlinks;
            let mut server = Server::start(options).unwrap();
            for (path, status) in [
                ("/", 200),
                ("/dir/file", 200),
                ("/good", inside),
                ("/out", outside),
                ("/etc/passwd", outside),
                ("/empty/", 404),
                ("/none", 404),
            ] {
                let answer = get(&server, path, "");
                assert_eq!(answer.status, status, "{path} on {driver:?} under errno {errno}, {symlinks:?}");
                assert!(path != "/good" || status != 200 || answer.body == b"inside");
            }
            server.close(Duration::from_secs(5));
        }
    });
    served.join().unwrap();
}

#[test]
fn files_are_served_and_confined_without_openat2() {
    for driver in common::drivers() {
        for errno in [libc::ENOSYS, libc::EPERM] {
            serves_confined(driver, errno);
        }
    }
}
