//! Files on the ring: what the contract suite, which knows no backend, cannot see or force.
use super::*;

#[test]
fn a_file_is_written_read_and_measured_through_leases() {
    let mut driver = driver(Host::Native);
    let file = handle(temporary());
    let mut lease = driver.arena().lease(8192).unwrap();
    lease.fill(b'x');
    let written = one(
        &mut driver,
        Operation::Write(file::Write {
            file: file.clone(),
            source: Source::Lease(lease, 100..5100),
            offset: 0,
        }),
    );
    assert_eq!(written.result, 5000);
    let registered = driver.features().contains(&"registered-buffers");
    assert!(registered || driver.notes()[0].contains("locked memory"), "{:?}", driver.notes());

    let lease = driver.arena().lease(8192).unwrap();
    let read = file::Read { file: file.clone(), target: Target::Lease(lease, 0..8192), offset: 1000 };
    let completion = one(&mut driver, Operation::Read(read));
    assert_eq!(completion.result, 4000);
    let Some(Operation::Read(read)) = completion.operation else { panic!() };
    assert!(read.target.bytes()[..4000].iter().all(|byte| *byte == b'x'));

    let truncated = one(&mut driver, Operation::Truncate(file::Truncate { file: file.clone(), length: 10 }));
    assert_eq!(truncated.result, 0);
    let synced = one(&mut driver, Operation::Sync(file::Sync { file: file.clone(), data_only: true }));
    assert_eq!(synced.result, 0);
    let completion = one(
        &mut driver,
        Operation::Stat(file::Stat { file: file.clone(), target: Target::Vec(Vec::with_capacity(256)) }),
    );
    assert_eq!(completion.result, 0);
    let Some(Operation::Stat(stat)) = completion.operation else { panic!() };
    let size = u64::from_ne_bytes(stat.target.bytes()[40..48].try_into().unwrap());
    assert_eq!(size, 10);
    let closed = one(&mut driver, Operation::Close(file::Close { file: file.clone() }));
    assert_eq!(closed.result, 0, "a clone is alive");
    drop(closed);
    drop(stat);
    drop(read);
    drop(synced);
    drop(truncated);
    drop(written);
    assert!(file.is_unique());
    // Another test may get the number at once, but not the file.
    let (number, before) = (file.as_raw_fd(), rustix::fs::fstat(&file).unwrap());
    assert_eq!(one(&mut driver, Operation::Close(file::Close { file })).result, 0);
    let after = rustix::fs::stat(format!("/proc/self/fd/{number}"));
    assert!(
        after.is_err()
            || after.is_ok_and(|after| (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino))
    );
}

#[test]
fn opening_gives_a_handle_or_the_errno() {
    let mut driver = driver(Host::Native);
    let open = |path: &str, resolve: u64| {
        let directory = rustix::fs::open(
            "/proc/self",
            rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
        );
        Operation::Open(file::Open {
            directory: Some(handle(directory.unwrap())),
            path: std::ffi::CString::new(path).unwrap(),
            flags: libc::O_RDONLY,
            mode: 0,
            resolve,
        })
    };
    let opened = one(&mut driver, open("status", 0));
    assert_eq!(opened.result, 0);
    assert!(opened.handle.is_some());
    assert_eq!(one(&mut driver, open("nothing", 0)).result, -libc::ENOENT);
    let beneath = rustix::fs::ResolveFlags::BENEATH.bits();
    assert!(one(&mut driver, open("status", beneath)).handle.is_some());
    assert_eq!(one(&mut driver, open("../1/status", beneath)).result, -libc::EXDEV);
    assert_eq!(driver.stats().unexpected, 0);
}

#[test]
fn often_used_files_are_registered_and_really_closed() {
    let mut driver = driver(Host::Native);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let reader = handle(reader);
    let writer = handle(writer);
    for _ in 0..30 {
        let source = Source::Vec(vec![1], 0..1);
        let sent = one(
            &mut driver,
            Operation::Write(file::Write { file: writer.clone(), source, offset: u64::MAX }),
        );
        assert_eq!(sent.result, 1);
        let target = Target::Vec(Vec::with_capacity(1));
        let got =
            one(&mut driver, Operation::Read(file::Read { file: reader.clone(), target, offset: u64::MAX }));
        assert_eq!(got.result, 1);
    }
    assert!(format!("{writer:?}").contains("slot: 0"), "{writer:?}");
    drop(writer);
    assert!(driver.has_staged(), "the slot is to be cleared");
    driver.enter(Wait::No).unwrap();
    // End of file: the last writer is gone, in the ring's table too.
    let target = Target::Vec(Vec::with_capacity(1));
    let end =
        one(&mut driver, Operation::Read(file::Read { file: reader.clone(), target, offset: u64::MAX }));
    assert_eq!(end.result, 0);
}

#[test]
fn ranges_outside_their_memory_are_refused() {
    let mut driver = driver(Host::Native);
    let file = handle(temporary());
    let lease = |driver: &Driver| driver.arena().lease(100).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let wrong = [
        Operation::Read(file::Read {
            file: file.clone(),
            target: Target::Lease(lease(&driver), 0..101),
            offset: 0,
        }),
        Operation::Read(file::Read {
            file: file.clone(),
            target: Target::Lease(lease(&driver), 50..10),
            offset: 0,
        }),
        Operation::Write(file::Write {
            file: file.clone(),
            source: Source::Vec(vec![0; 4], 2..5),
            offset: 0,
        }),
        Operation::Stat(file::Stat { file: file.clone(), target: Target::Vec(Vec::with_capacity(255)) }),
        Operation::Truncate(file::Truncate { file, length: u64::MAX }),
    ];
    for operation in wrong {
        let Err(refused) = driver.submit(operation, 1) else { panic!() };
        assert_eq!(refused.reason, RefusedReason::Unsupported(Errno(libc::EINVAL)));
    }
    assert_eq!(driver.in_flight(), 0);
    assert_eq!(driver.arena().leases(), 0);
}

#[test]
fn a_handle_registered_with_one_ring_names_the_same_file_on_another() {
    let (mut first, mut second) = (driver(Host::Native), driver(Host::Native));
    let files = [b'a', b'b'].map(|byte| {
        let mut file = temporary();
        file.write_all(&[byte]).unwrap();
        handle(file)
    });
    let read = |driver: &mut Driver, file: &Handle| {
        let target = Target::Vec(Vec::with_capacity(1));
        let completion = one(driver, Operation::Read(file::Read { file: file.clone(), target, offset: 0 }));
        let Some(Operation::Read(read)) = completion.operation else { panic!() };
        read.target.bytes().to_vec()
    };
    // Both get slot 0, each of its own ring.
    for _ in 0..30 {
        assert_eq!(read(&mut first, &files[0]), b"a");
        assert_eq!(read(&mut second, &files[1]), b"b");
    }
    assert_eq!(read(&mut second, &files[0]), b"a");
    assert_eq!(read(&mut first, &files[1]), b"b");
    drop(first);
    assert_eq!(read(&mut second, &files[0]), b"a");
}
