//! Cases: what files do, from open to close.
use super::{
    Case, Rig, Skip,
    raw::is_open,
    rig::{Scratch, bytes_of, open, pattern, room, source},
};
use crate::{
    Errno, Operation, RefusedReason,
    memory::{Source, Target},
    op::file::{Close, Open, Read, Stat, Sync, Truncate, Write},
};
use std::{
    ffi::CString,
    io::Write as _,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::Path,
    rc::Rc,
};

pub(super) const CASES: &[Case] = &[
    Case { name: "a file is opened, written, synced, cut, measured and closed", run: round_trip },
    Case { name: "opening fails with the kernel's errno", run: open_errors },
    Case { name: "an open relative to a directory is confined by its resolve bits", run: open_beneath },
    Case { name: "reads are short at the end and zero behind it", run: end_of_file },
    Case { name: "reading and writing fail with the kernel's errno", run: transfer_errors },
    Case { name: "the file position is used and moved when asked for", run: file_position },
    Case { name: "each kind of source is written as it is", run: sources },
    Case { name: "a lease comes back intact, and its other bytes untouched", run: leases },
    Case { name: "ranges outside their memory are refused and given back", run: bad_ranges },
    Case { name: "a vector is filled from its start and gets the result's length", run: vectors },
    Case { name: "large reads and writes move every byte", run: large },
    Case { name: "an unbuffered file is read too", run: direct },
    Case { name: "metadata is what stat says", run: metadata },
    Case { name: "closing drops one handle, the last one closes", run: closing },
    Case { name: "handles may be dropped while their operation is in flight", run: dropped_handles },
];

const RDWR_CREATE: i32 = libc::O_RDWR | libc::O_CREAT;

fn round_trip(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, RDWR_CREATE | libc::O_EXCL);
    let bytes = pattern(10_000);
    let wrote = drive.run(Write { file: file.clone(), source: source(&bytes), offset: 0 });
    assert_eq!(wrote.result, 10_000);
    assert!(matches!(wrote.operation, Some(Operation::Write(_))), "the memory comes back");
    assert_eq!(drive.result(Sync { file: file.clone(), data_only: true }), 0);
    assert_eq!(drive.result(Sync { file: file.clone(), data_only: false }), 0);
    assert_eq!(std::fs::read(&path).expect("read"), bytes);
    let read = drive.run(Read { file: file.clone(), target: room(10_000), offset: 0 });
    assert_eq!(read.result, 10_000);
    assert_eq!(bytes_of(read), bytes);
    assert_eq!(drive.result(Truncate { file: file.clone(), length: 3 }), 0);
    assert_eq!(std::fs::metadata(&path).expect("metadata").len(), 3);
    assert_eq!(drive.result(Close { file }), 0);
    assert_eq!(drive.driver.in_flight(), 0);
    Ok(())
}

fn open_errors(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let file = scratch.file("file", b"x");
    let mut expect = |path: &Path, flags: i32, errno: i32| {
        let completion = drive.run(open(path, flags));
        assert_eq!(completion.result, -errno, "{path:?} with {flags:#x}");
        assert!(completion.handle.is_none());
    };
    expect(&scratch.path("missing"), libc::O_RDONLY, libc::ENOENT);
    expect(&file.join("below"), libc::O_RDONLY, libc::ENOTDIR);
    expect(&file, RDWR_CREATE | libc::O_EXCL, libc::EEXIST);
    expect(&file, libc::O_RDONLY | libc::O_DIRECTORY, libc::ENOTDIR);
    expect(&scratch.path(""), libc::O_RDWR, libc::EISDIR);
    expect(&scratch.path(&"n".repeat(300)), libc::O_RDONLY, libc::ENAMETOOLONG);
    std::os::unix::fs::symlink("loop", scratch.path("loop")).expect("symlink");
    expect(&scratch.path("loop"), libc::O_RDONLY, libc::ELOOP);
    Ok(())
}

fn open_beneath(rig: &Rig) -> Result<(), Skip> {
    if !cfg!(target_os = "linux") {
        return Err(Skip("openat2 is Linux's"));
    }
    /// RESOLVE_BENEATH of linux/openat2.h.
    const BENEATH: u64 = 0x08;
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    scratch.file("inside", b"inside");
    let directory = drive.open(&scratch.path(""), libc::O_RDONLY | libc::O_DIRECTORY);
    let mut at = |path: &str, resolve: u64| {
        let path = CString::new(path).expect("a path");
        drive.run(Open { directory: Some(directory.clone()), path, flags: libc::O_RDONLY, mode: 0, resolve })
    };
    let inside = at("inside", BENEATH);
    assert_eq!(inside.result, 0);
    assert!(inside.handle.is_some());
    assert_eq!(at("../../etc/passwd", BENEATH).result, -libc::EXDEV);
    assert_eq!(at("/etc/passwd", BENEATH).result, -libc::EXDEV);
    assert_eq!(at("missing", BENEATH).result, -libc::ENOENT);
    assert_eq!(at("/etc/passwd", 0).result, 0, "without the bits it is a plain open");
    Ok(())
}

fn end_of_file(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let bytes = pattern(5000);
    let file = drive.open(&scratch.file("file", &bytes), libc::O_RDONLY);
    for (offset, length, expected) in [
        (0, 5000, 5000),
        (0, 8192, 5000),
        (4096, 4096, 904),
        (4999, 10, 1),
        (5000, 10, 0),
        (1 << 40, 10, 0),
        (0, 0, 0),
    ] {
        let read = drive.run(Read { file: file.clone(), target: room(length), offset });
        assert_eq!(read.result, expected, "{length} bytes at {offset}");
        let start = bytes.len().min(offset as usize);
        assert_eq!(bytes_of(read), bytes[start..start + expected as usize]);
    }
    Ok(())
}

fn transfer_errors(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.file("file", b"content");
    let read_only = drive.open(&path, libc::O_RDONLY);
    let write_only = drive.open(&path, libc::O_WRONLY);
    let directory = drive.open(&scratch.path(""), libc::O_RDONLY);
    let write = |file| Write { file, source: source(b"x"), offset: 0 };
    let read = |file| Read { file, target: room(10), offset: 0 };
    assert_eq!(drive.result(write(read_only.clone())), -libc::EBADF);
    assert_eq!(drive.result(read(write_only)), -libc::EBADF);
    assert_eq!(drive.result(read(directory.clone())), -libc::EISDIR);
    assert_eq!(drive.result(write(directory)), -libc::EBADF);
    assert_eq!(drive.result(Truncate { file: read_only.clone(), length: 1 }), -libc::EINVAL);
    assert_eq!(std::fs::read(&path).expect("read"), b"content");
    if cfg!(target_os = "linux") {
        let full = drive.open(Path::new("/dev/full"), libc::O_WRONLY);
        assert_eq!(drive.result(write(full)), -libc::ENOSPC);
    }
    let completion = drive.run(write(read_only));
    assert!(
        matches!(completion.operation, Some(Operation::Write(_))),
        "a failed operation's memory comes back too"
    );
    Ok(())
}

fn file_position(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.file("file", b"0123456789");
    let file = drive.open(&path, libc::O_RDWR);
    let mut next = |expected: &[u8]| {
        let read = drive.run(Read { file: file.clone(), target: room(4), offset: u64::MAX });
        assert_eq!(bytes_of(read), expected);
    };
    next(b"0123");
    next(b"4567");
    next(b"89");
    next(b"");
    assert_eq!(drive.result(Write { file: file.clone(), source: source(b"ab"), offset: u64::MAX }), 2);
    assert_eq!(std::fs::read(&path).expect("read"), b"0123456789ab");
    Ok(())
}

fn sources(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, RDWR_CREATE);
    let mut lease = drive.lease(100);
    lease[10..15].copy_from_slice(b"lease");
    let (socket, plain) = drive.tcp();
    (&plain).write_all(b"<chunk>").expect("write");
    let (ticket, token) = drive.submit(crate::op::socket::Receive { socket });
    let chunk = drive.next(token).chunk.expect("received bytes");
    let list = [
        (Source::Lease(lease, 10..15), "lease"),
        (Source::Vec(b"--vector--".to_vec(), 2..8), "vector"),
        (Source::Shared(Rc::from(&b"--shared--"[..]), 2..8), "shared"),
        (Source::Chunk(chunk, 1..6), "chunk"),
        (Source::Vec(Vec::new(), 0..0), ""),
    ];
    let mut offset = 0;
    let mut all = String::new();
    for (source, text) in list {
        let wrote = drive.run(Write { file: file.clone(), source, offset });
        assert_eq!(wrote.result, text.len() as i32, "{text}");
        let Some(Operation::Write(write)) = wrote.operation else { panic!("the memory comes back") };
        assert_eq!(write.source.bytes(), text.as_bytes());
        offset += text.len() as u64;
        all += text;
    }
    assert_eq!(std::fs::read_to_string(&path).expect("read"), all);
    drive.driver.cancel(ticket);
    drive.last(token);
    Ok(())
}

fn leases(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let bytes = pattern(1000);
    let file = drive.open(&scratch.file("file", &bytes), libc::O_RDONLY);
    let mut lease = drive.lease(4096);
    lease.fill(0xaa);
    let place = lease.offset();
    let read = drive.run(Read { file, target: Target::Lease(lease, 100..2100), offset: 0 });
    assert_eq!(read.result, 1000);
    let Some(Operation::Read(Read { target: Target::Lease(lease, range), .. })) = read.operation else {
        panic!("the lease comes back");
    };
    assert_eq!((lease.offset(), lease.len(), range), (place, 4096, 100..2100));
    assert_eq!(lease[100..1100], bytes);
    assert!(
        lease[..100].iter().chain(&lease[1100..]).all(|byte| *byte == 0xaa),
        "only what was read was written"
    );
    Ok(())
}

fn bad_ranges(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let zero = drive.open(Path::new("/dev/zero"), libc::O_RDWR);
    let read = |target| Operation::from(Read { file: zero.clone(), target, offset: 0 });
    let write = |source| Operation::from(Write { file: zero.clone(), source, offset: 0 });
    #[expect(clippy::reversed_empty_ranges, reason = "that is what a caller can get wrong")]
    let backwards = 3..2;
    let list = [
        read(Target::Lease(drive.lease(100), 0..101)),
        read(Target::Lease(drive.lease(100), backwards)),
        read(Target::Lease(drive.lease(100), u32::MAX - 1..u32::MAX)),
        write(Source::Lease(drive.lease(100), 100..101)),
        write(Source::Vec(vec![0; 10], 5..11)),
        write(Source::Shared(Rc::from(&[0; 10][..]), 11..12)),
        Operation::from(Stat { file: zero.clone(), target: room(255) }),
    ];
    for operation in list {
        let described = format!("{operation:?}");
        let refused = drive.driver.submit(operation, 0).expect_err(&described);
        assert_eq!(refused.reason, RefusedReason::Unsupported(Errno(libc::EINVAL)), "{described}");
        assert_eq!(format!("{:?}", refused.operation), described, "it is given back as it was");
    }
    assert_eq!(drive.driver.in_flight(), 0);
    assert_eq!(drive.result(write(Source::Vec(vec![0; 10], 5..10))), 5, "the driver is well");
    Ok(())
}

fn vectors(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let file = drive.open(&scratch.file("file", b"abcdef"), libc::O_RDONLY);
    let mut vector = Vec::with_capacity(64);
    vector.extend_from_slice(b"what was there before");
    let place = vector.as_ptr();
    let read = drive.run(Read { file: file.clone(), target: Target::Vec(vector), offset: 2 });
    assert_eq!(read.result, 4);
    let Some(Operation::Read(Read { target: Target::Vec(vector), .. })) = read.operation else {
        panic!("the vector comes back");
    };
    assert_eq!(vector, b"cdef");
    assert_eq!(vector.as_ptr(), place, "the same memory");
    let read = drive.run(Read { file, target: Target::Vec(vector), offset: 100 });
    assert_eq!(bytes_of(read), b"");
    Ok(())
}

fn large(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let bytes = pattern(3 << 20);
    let path = scratch.path("file");
    let file = drive.open(&path, RDWR_CREATE);
    let mut done = 0;
    while done < bytes.len() {
        let source = source(&bytes[done..]);
        let wrote = drive.result(Write { file: file.clone(), source, offset: done as u64 });
        assert!(wrote > 0, "{wrote}");
        done += wrote as usize;
    }
    assert!(std::fs::read(&path).expect("read") == bytes, "every byte in its place");
    let mut read = Vec::new();
    while read.len() < bytes.len() {
        let completion =
            drive.run(Read { file: file.clone(), target: room(bytes.len()), offset: read.len() as u64 });
        assert!(completion.result > 0, "{}", completion.result);
        read.extend(bytes_of(completion));
    }
    assert!(read == bytes, "every byte in its place");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn direct(_: &Rig) -> Result<(), Skip> {
    Err(Skip("O_DIRECT is Linux's"))
}

#[cfg(target_os = "linux")]
fn direct(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let scratch = Scratch::new();
    let bytes = pattern(64 * 1024);
    let path = scratch.file("file", &bytes);
    let opened = drive.run(open(&path, libc::O_RDONLY | libc::O_DIRECT));
    if opened.result == -libc::EINVAL {
        return Err(Skip("the file system of the temporary folder has no O_DIRECT"));
    }
    let file = opened.handle.expect("opened");
    let lease = drive.lease(16 * 1024);
    let read = drive.run(Read { file, target: Target::Lease(lease, 0..16 * 1024), offset: 32 * 1024 });
    assert_eq!(read.result, 16 * 1024);
    assert!(bytes_of(read) == bytes[32 * 1024..48 * 1024]);
    Ok(())
}

fn metadata(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.file("file", &pattern(12_345));
    let file = drive.open(&path, libc::O_RDONLY);
    let stat = drive.run(Stat { file, target: Target::Lease(drive.lease(512), 100..356) });
    assert_eq!(stat.result, 0);
    let Some(Operation::Stat(Stat { target, .. })) = stat.operation else { panic!("the memory comes back") };
    let bytes = target.bytes();
    let number = |offset: usize, length: usize| {
        let mut wide = [0; 8];
        wide[..length].copy_from_slice(&bytes[offset..offset + length]);
        u64::from_le_bytes(wide)
    };
    if cfg!(target_endian = "big") {
        return Err(Skip("this case reads the fields as little-endian"));
    }
    // Offsets of `struct statx` in linux/stat.h.
    let expected = std::fs::metadata(&path).expect("metadata");
    assert_eq!(number(40, 8), 12_345, "size");
    assert_eq!(number(32, 8), expected.ino(), "inode");
    assert_eq!(number(28, 2), u64::from(expected.mode()), "mode");
    assert_eq!(number(16, 4), expected.nlink(), "links");
    assert_eq!(number(20, 4), u64::from(expected.uid()), "owner");
    assert_eq!(number(112, 8), expected.mtime() as u64, "modified");
    assert_eq!(number(120, 4), expected.mtime_nsec() as u64, "modified, nanoseconds");
    assert_eq!(number(136, 4), u64::from(rustix::fs::major(expected.dev())), "device");
    let file = drive.open(&path, libc::O_RDONLY);
    let stat = drive.run(Stat { file, target: room(256) });
    let Some(Operation::Stat(Stat { target: Target::Vec(vector), .. })) = stat.operation else {
        panic!("the memory comes back");
    };
    assert_eq!(vector.len(), 256, "a vector is 256 bytes long afterwards");
    assert_eq!(vector[40..48], 12_345u64.to_ne_bytes());
    Ok(())
}

fn closing(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let file = drive.open(&scratch.file("file", b"x"), libc::O_RDONLY);
    let number = file.as_raw_fd();
    assert_eq!(drive.result(Close { file: file.clone() }), 0);
    assert!(is_open(number), "another handle is alive");
    assert_eq!(drive.result(Read { file: file.clone(), target: room(1), offset: 0 }), 1);
    assert_eq!(drive.result(Close { file }), 0);
    assert!(!is_open(number));
    Ok(())
}

fn dropped_handles(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let bytes = pattern(4096);
    let path = scratch.file("file", &bytes);
    let mut tokens = Vec::new();
    for _ in 0..rig.limit().min(50) {
        let file = crate::Handle::from_owned(std::fs::File::open(&path).expect("open").into());
        tokens.push(drive.submit(Read { file, target: room(4096), offset: 0 }).1); // Ours was the only handle.
        if tokens.len() == rig.limit().min(50) {
            break;
        }
    }
    for token in tokens {
        let read = drive.next(token);
        assert_eq!(read.result, 4096);
        assert_eq!(bytes_of(read), bytes);
    }
    Ok(())
}
