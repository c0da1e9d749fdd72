//! The server as a user who owns nothing it serves: cachestat(2) is refused there, and everything must work all the same.
//!
//! The test starts itself again as user 65534 and runs the body there; as root only, since only root can.
mod common;
use common::{Client, Site, drivers, pattern, serve};
use std::{os::unix::fs::PermissionsExt, os::unix::process::CommandExt, process::Command};

const BODY: &str = "body_as_nobody";
const ROOT: &str = "RINGWHEEL_TEST_ROOT";
const NOBODY: u32 = 65_534;

#[test]
fn root_owned_files_are_served_alike_by_an_unprivileged_user_cached_or_not() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root to become another user");
        return;
    }
    let site = Site::new();
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&site.root, 0o755);
    mode(&site.write("small", pattern(1000)), 0o644);
    mode(&site.write("large", pattern(8 << 20)), 0o644);
    mode(&site.write("private", "SECRET"), 0o600);
    site.write("closed/file", "SECRET");
    mode(&site.root.join("closed"), 0o700);
    // The test binary may lie where nobody can reach it.
    let copy = site.root.join("test-binary");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    mode(&copy, 0o755);
    let output = Command::new(&copy)
        .args(["--exact", BODY, "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROOT, &site.root)
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the test above, as another user"]
fn body_as_nobody() {
    assert_eq!(rustix::process::geteuid().as_raw(), NOBODY);
    let root = std::path::PathBuf::from(std::env::var_os(ROOT).unwrap());
    let large = std::fs::File::open(root.join("large")).unwrap();
    for driver in drivers() {
        // Site removes its directory when dropped; this one is another's, and nobody may not.
        let site = std::mem::ManuallyDrop::new(Site { root: root.clone() });
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        for round in 0..3 {
            // Out of the page cache, where the file system can: then the windows are read ahead through the driver.
            rustix::fs::fadvise(&large, 0, None, rustix::fs::Advice::DontNeed).unwrap();
            let reply = client.get("/large", "");
            assert!(reply.status == 200 && reply.body == pattern(8 << 20), "round {round}");
            let reply = client.get("/large", "Range: bytes=3000000-6999999\r\n");
            assert!(
                reply.status == 206 && reply.body == pattern(8 << 20)[3_000_000..7_000_000],
                "round {round}"
            );
            assert!(client.get("/small", "").body == pattern(1000));
            for path in ["/private", "/closed/file"] {
                let reply = client.get(path, "");
                assert_eq!(reply.status, 403, "{path}");
                assert!(!reply.text().contains("SECRET"));
            }
        }
        let denied = ringwheel_fileserver::Server::start(ringwheel_fileserver::Options {
            port: 0,
            driver: Some(driver),
            ..ringwheel_fileserver::Options::new(root.join("closed"))
        });
        assert!(
            denied
                .unwrap_err()
                .to_string()
                .contains("may not be read by this user; give it read and search permission")
        );
    }
}
