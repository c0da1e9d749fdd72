//! A file's own position after transfers that ended early with an error: behind what they moved, on each backend.
//! One test in a process of its own, since it limits how long files may get.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use ringwheel_driver::{
    Driver, DriverKind, Handle, Operation, Options, Wait,
    memory::{Source, Target},
    op::file::{Read, Write},
};
use rustix::{
    fs::{OFlags, SeekFrom},
    process::{Resource, Rlimit, setrlimit},
};
use std::os::unix::fs::FileExt;

/// No file may be longer.
const LIMIT: u64 = 10_000;
const HERE: u64 = u64::MAX;

fn run(driver: &mut Driver, operation: impl Into<Operation>) -> i32 {
    driver.submit(operation.into(), 1).unwrap();
    let mut result = None;
    while result.is_none() {
        driver.enter(Wait::For(std::time::Duration::from_secs(10))).unwrap();
        driver.reap(usize::MAX, |completion| result = Some(completion.result));
    }
    result.unwrap()
}

fn write(file: &Handle, byte: u8, bytes: usize) -> Write {
    Write { file: file.clone(), source: Source::Vec(vec![byte; bytes], 0..bytes), offset: HERE }
}

#[test]
fn the_position_is_behind_what_was_moved_whatever_ended_it() {
    // SAFETY: needs a signal that may be ignored. Holds: this one may; only the child process of the harness does.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    setrlimit(Resource::Fsize, Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) }).unwrap();
    for kind in [DriverKind::Uring, DriverKind::Poll] {
        let Ok(mut driver) = Driver::start(&Options { kind: Some(kind), ..Options::default() }) else {
            assert_eq!(kind, DriverKind::Uring, "the poll driver starts everywhere");
            continue;
        };
        let path = std::env::temp_dir().join(format!("ringwheel-position-{}-{kind:?}", std::process::id()));
        let whole = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let file = driver.adopt(whole.try_clone().unwrap().into());
        assert_eq!(run(&mut driver, write(&file, b'a', 6_000)), 6_000);
        assert_eq!(
            run(&mut driver, write(&file, b'b', 6_000)),
            4_000,
            "{kind:?}: as many as there is room for"
        );
        assert_eq!(rustix::fs::tell(&whole).unwrap(), LIMIT, "{kind:?}");
        assert_eq!(
            run(&mut driver, write(&file, b'c', 6_000)),
            -libc::EFBIG,
            "{kind:?}: nothing is written over"
        );
        assert_eq!(rustix::fs::tell(&whole).unwrap(), LIMIT, "{kind:?}");
        let mut bytes = vec![0; 12_000];
        assert_eq!(whole.read_at(&mut bytes, 0).unwrap(), 10_000);
        let expected = [[b'a'; 6_000].as_slice(), &[b'b'; 4_000]].concat();
        assert!(bytes[..10_000] == expected, "{kind:?}: the bytes of the first two");

        // A short read is the end of the file, and moves as ever; what is appended moves to the end.
        rustix::fs::seek(&whole, SeekFrom::Start(9_000)).unwrap();
        let read = Read { file: file.clone(), target: Target::Vec(Vec::with_capacity(4_096)), offset: HERE };
        assert_eq!(run(&mut driver, read), 1_000, "{kind:?}");
        assert_eq!(rustix::fs::tell(&whole).unwrap(), LIMIT, "{kind:?}");
        whole.set_len(9_500).unwrap();
        rustix::fs::seek(&whole, SeekFrom::Start(0)).unwrap();
        rustix::fs::fcntl_setfl(&whole, OFlags::APPEND).unwrap();
        assert_eq!(run(&mut driver, write(&file, b'f', 6_000)), 500, "{kind:?}");
        assert_eq!(run(&mut driver, write(&file, b'g', 6_000)), -libc::EFBIG, "{kind:?}");
    }
}
