//! Files on both drivers.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::both_drivers;
use ringwheel_executor::{
    Source, Target,
    fs::{self, Directory, File, Kind},
    spawn,
};
use std::{
    io,
    os::unix::fs::{MetadataExt, symlink},
    path::PathBuf,
};

const O_RDONLY: i32 = libc::O_RDONLY;

/// A directory of its own, removed at the end.
struct Place(PathBuf);
impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("ringwheel-files-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Place(path)
    }
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}
impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn reads_and_writes_through_leases() {
    both_drivers(|mut executor| {
        let place = Place::new("leases");
        let path = place.write("file", b"0123456789");
        executor
            .run(async {
                let file = File::open(&path, libc::O_RDWR).await.unwrap();
                let lease = fs::lease(4096).unwrap();
                assert_eq!((lease.len(), lease.as_ptr() as usize % 4096), (4096, 0));
                let (count, target) = file.read_at(Target::Lease(lease, 2..6), 3).await;
                assert_eq!((count.unwrap(), target.bytes()), (4, &b"3456"[..]));
                let Target::Lease(lease, range) = target else { panic!("it was a lease") };
                let (count, source) = file.write_at(Source::Lease(lease, range), 0).await;
                assert_eq!(count.unwrap(), 4);
                assert_eq!(std::fs::read(&path).unwrap(), b"3456456789");
                // The fixtures' arena has 64 KiB.
                let full = fs::lease(1 << 20).unwrap_err();
                assert_eq!(full.kind(), io::ErrorKind::OutOfMemory);
                assert!(full.to_string().contains("larger `memory`"), "{full}");
                drop(source);
                assert_eq!(fs::lease(1 << 16).unwrap().len(), 1 << 16, "what was dropped is free again");
            })
            .unwrap();
    });
    assert!(fs::lease(64).unwrap_err().to_string().contains("ERR_RINGWHEEL_NO_EXECUTOR"));
}

fn vec(target: Target) -> Vec<u8> {
    let Target::Vec(bytes) = target else { panic!("it was a vector") };
    bytes
}

#[test]
fn reads_and_writes_at_offsets() {
    let place = Place::new("rw");
    both_drivers(|mut executor| {
        let path = place.0.join("new");
        let _ = std::fs::remove_file(&path);
        executor
            .run(async {
                let file = File::open(&path, libc::O_RDWR | libc::O_CREAT).await.unwrap();
                let (written, source) = file.write_at(Source::Vec(b"hello world".to_vec(), 0..11), 4).await;
                assert_eq!(written.unwrap(), 11);
                assert!(matches!(source, Source::Vec(bytes, _) if bytes == b"hello world"));
                let (read, target) = file.read_at(Target::Vec(Vec::with_capacity(5)), 10).await;
                assert_eq!((read.unwrap(), vec(target)), (5, b"world".to_vec()));
                let (read, target) = file.read_at(Target::Vec(Vec::with_capacity(64)), 0).await;
                assert_eq!((read.unwrap(), vec(target)), (15, b"\0\0\0\0hello world".to_vec()));
                let (read, _) = file.read_at(Target::Vec(Vec::with_capacity(64)), 15).await;
                assert_eq!(read.unwrap(), 0, "the end");
                file.truncate(6).await.unwrap();
                file.datasync().await.unwrap();
                file.sync().await.unwrap();
                assert_eq!(file.metadata().unwrap().size, 6);
            })
            .unwrap();
    });
}

#[test]
fn reads_into_leases_are_side_by_side() {
    let place = Place::new("lease");
    let bytes: Vec<u8> = (0..200_000_u32).map(|index| (index % 251) as u8).collect();
    let path = place.write("data", &bytes);
    both_drivers(|mut executor| {
        let leases: Vec<_> =
            executor.edge(|edge| (0..8).map(|_| edge.driver.arena().lease(4096).unwrap()).collect()).unwrap();
        executor
            .run(async {
                let file = std::rc::Rc::new(File::open(&path, O_RDONLY).await.unwrap());
                let tasks: Vec<_> = leases
                    .into_iter()
                    .enumerate()
                    .map(|(number, lease)| {
                        let file = file.clone();
                        spawn(async move {
                            let offset = number as u64 * 20_000;
                            let (read, target) = file.read_at(Target::Lease(lease, 96..4096), offset).await;
                            let Target::Lease(lease, _) = target else { panic!("it was a lease") };
                            (offset as usize, read.unwrap(), lease)
                        })
                    })
                    .collect();
                for task in tasks {
                    let (offset, read, lease) = task.await.unwrap();
                    assert_eq!(read, 4000);
                    assert_eq!(lease[96..4096], bytes[offset..offset + 4000]);
                }
            })
            .unwrap();
    });
}

#[test]
fn errors_are_the_systems() {
    let place = Place::new("errors");
    let path = place.write("file", b"x");
    both_drivers(|mut executor| {
        executor
            .run(async {
                let missing = File::open(place.0.join("missing"), O_RDONLY).await.unwrap_err();
                assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
                let zero = File::open("with\0zero", O_RDONLY).await.unwrap_err();
                assert_eq!(zero.kind(), io::ErrorKind::InvalidInput);
                let directory = File::open(&place.0, O_RDONLY).await.unwrap();
                let (read, _) = directory.read_at(Target::Vec(Vec::with_capacity(8)), 0).await;
                assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::EISDIR));
                let file = File::open(&path, O_RDONLY).await.unwrap();
                let (written, source) = file.write_at(Source::Vec(vec![1], 0..1), 0).await;
                assert_eq!(written.unwrap_err().raw_os_error(), Some(libc::EBADF));
                assert!(matches!(source, Source::Vec(bytes, _) if bytes == [1]));
                assert!(file.truncate(0).await.is_err());
            })
            .unwrap();
    });
}

#[test]
fn a_directory_confines_its_paths() {
    let place = Place::new("beneath");
    std::fs::create_dir(place.0.join("root")).unwrap();
    std::fs::create_dir(place.0.join("root/inner")).unwrap();
    place.write("secret", b"secret");
    place.write("root/inner/page", b"page");
    symlink("../../secret", place.0.join("root/inner/out")).unwrap();
    symlink(place.0.join("secret"), place.0.join("root/absolute")).unwrap();
    symlink("inner/page", place.0.join("root/in")).unwrap();
    both_drivers(|mut executor| {
        executor
            .run(async {
                let root = Directory::open(place.0.join("root")).unwrap();
                for path in [c"inner/page", c"inner/../inner/page", c"in", c"./inner//page"] {
                    let file = root.open_beneath(path, O_RDONLY).unwrap();
                    let (read, target) = file.read_at(Target::Vec(Vec::with_capacity(9)), 0).await;
                    assert_eq!((read.unwrap(), vec(target)), (4, b"page".to_vec()));
                }
                for path in
                    [c"../secret", c"inner/out", c"absolute", c"/etc/passwd", c"..", c"inner/../../secret"]
                {
                    let error = root.open_beneath(path, O_RDONLY).unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EXDEV), "{path:?}");
                }
                assert_eq!(root.open_beneath(c"none", O_RDONLY).unwrap_err().kind(), io::ErrorKind::NotFound);
                assert_eq!(
                    root.open_beneath(c"inner", O_RDONLY).unwrap().metadata().unwrap().kind,
                    Kind::Directory
                );
            })
            .unwrap();
    });
    assert!(Directory::open(place.0.join("secret")).is_err());
    assert!(Directory::open(place.0.join("nowhere")).is_err());
}

#[test]
fn metadata_is_what_std_says() {
    let place = Place::new("metadata");
    let path = place.write("file", &[1; 1234]);
    let expected = std::fs::metadata(&path).unwrap();
    both_drivers(|mut executor| {
        executor
            .run(async {
                let metadata = File::open(&path, O_RDONLY).await.unwrap().metadata().unwrap();
                assert_eq!(metadata.size, 1234);
                assert_eq!(metadata.inode, expected.ino());
                assert_eq!(
                    (metadata.modified_seconds, i64::from(metadata.modified_nanoseconds)),
                    (expected.mtime(), expected.mtime_nsec())
                );
                assert_eq!(
                    (metadata.changed_seconds, i64::from(metadata.changed_nanoseconds)),
                    (expected.ctime(), expected.ctime_nsec())
                );
                assert_eq!(metadata.mode, expected.mode() & 0o7777);
                assert_eq!(metadata.kind, Kind::File);
                assert_eq!(
                    File::open("/dev/null", O_RDONLY).await.unwrap().metadata().unwrap().kind,
                    Kind::Other
                );
            })
            .unwrap();
    });
}

#[test]
fn prefetch_brings_a_range_into_the_cache() {
    let place = Place::new("prefetch");
    let path = place.write("file", &vec![9; 1 << 20]);
    both_drivers(|mut executor| {
        executor
            .run(async {
                let file = File::open(&path, O_RDONLY).await.unwrap();
                assert_eq!(file.prefetch(0, 1 << 20).await.unwrap(), 1 << 20);
                assert!(file.is_resident(0, 1 << 20));
                assert_eq!(file.prefetch((1 << 20) - 10, 100).await.unwrap(), 10, "the file ends there");
                assert_eq!(file.prefetch(5, 0).await.unwrap(), 0);
                // From the disk, where the file system lets go of it.
                let content = std::fs::File::open(&path).unwrap();
                content.sync_all().unwrap();
                rustix::fs::fadvise(&content, 0, None, rustix::fs::Advice::DontNeed).unwrap();
                assert_eq!(file.prefetch(4096, (1 << 20) - 4096).await.unwrap(), (1 << 20) - 4096);
                assert!(file.is_resident(4096, (1 << 20) - 4096));
            })
            .unwrap();
    });
}

#[test]
fn more_operations_than_the_driver_takes_at_once_all_complete() {
    let place = Place::new("many");
    let path = place.write("file", &[3; 4096]);
    both_drivers(|executor| {
        let kind = executor.driver_kind();
        drop(executor);
        let mut executor = common::start(kind, |options| {
            options.driver.entries = 8;
            options.driver.completion_entries = Some(8);
        });
        executor
            .run(async {
                let file = std::rc::Rc::new(File::open(&path, O_RDONLY).await.unwrap());
                let tasks: Vec<_> = (0..500)
                    .map(|number| {
                        let file = file.clone();
                        spawn(
                            async move { file.read_at(Target::Vec(Vec::with_capacity(100)), number).await.0 },
                        )
                    })
                    .collect();
                for task in tasks {
                    assert_eq!(task.await.unwrap().unwrap(), 100);
                }
            })
            .unwrap();
    });
}

#[test]
fn abandoned_operations_leave_no_descriptors() {
    let place = Place::new("abandoned");
    let path = place.write("file", b"x");
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    both_drivers(|mut executor| {
        // Tests run beside each other in one process, so only a leak of many counts.
        let before = open_files();
        executor
            .run(async {
                for _ in 0..500 {
                    let opening = spawn({
                        let path = path.clone();
                        async move { File::open(path, O_RDONLY).await.map(drop) }
                    });
                    ringwheel_executor::yield_now().await;
                    opening.cancel();
                    let _ = opening.await;
                }
                ringwheel_executor::time::sleep(std::time::Duration::from_millis(20)).await;
            })
            .unwrap();
        assert!(open_files() < before + 250, "{} then {}", before, open_files());
        assert!(executor.stats().abandoned > 0);
    });
}
