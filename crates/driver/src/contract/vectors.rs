//! Cases: many ranges of leases in one transfer, and what the kernel makes of it when it can move only a part.
use super::{
    Case, Rig, Skip,
    raw::{FileSizeLimit, under_signals},
    rig::{Drive, Scratch, bytes_of, open, pattern, room},
};
use crate::{
    Completion, Errno, Handle, Operation, RefusedReason,
    memory::{Source, Target, Vector},
    op::{
        file::{Read, Write},
        socket::Send,
    },
};
use std::ops::Range;

pub(super) const CASES: &[Case] = &[
    Case { name: "ranges of leases are filled in their order, and their neighbours left alone", run: reads },
    Case { name: "ranges of leases are written in their order, as one piece", run: writes },
    Case { name: "as many ranges as there may be, and more bytes than one attempt moves", run: large },
    Case { name: "vectored transfers use and move the file position", run: position },
    Case { name: "vectored transfers of pipes move what there is", run: pipes },
    Case { name: "what cuts or fails a vectored transfer is told, and its leases come back", run: faults },
    Case { name: "a vectored read is cancelled like any other", run: cancelled },
    Case { name: "a vector is no memory for what is no read or write of a file", run: refused },
];

/// A vector over one lease for each of `ranges`, with a byte of 0xaa in front of and behind each range.
fn vector(drive: &Drive, lengths: &[usize]) -> Box<Vector> {
    let mut vector = Box::<Vector>::default();
    for length in lengths {
        let mut lease = drive.lease(length + 2);
        lease.fill(0xaa);
        let index = vector.hold(lease);
        assert!(vector.push(index, 1..*length as u32 + 1));
    }
    vector
}

/// The same with bytes to write.
fn filled(drive: &Drive, lengths: &[usize], bytes: &[u8]) -> Box<Vector> {
    let mut vector = Box::<Vector>::default();
    let mut at = 0;
    for length in lengths {
        let mut lease = drive.lease(length + 2);
        lease[1..=*length].copy_from_slice(&bytes[at..at + length]);
        at += length;
        let index = vector.hold(lease);
        assert!(vector.push(index, 1..*length as u32 + 1));
    }
    vector
}

/// The ranges' bytes in a row, of a transfer that has ended. Its leases are whole, and what is around the ranges is untouched.
fn all_of(completion: Completion) -> Vec<u8> {
    let mut vector = match completion.operation {
        Some(Operation::Read(Read { target: Target::Vector(vector), .. })) => vector,
        other => panic!("a vectored read gives its memory back, not {other:?}"),
    };
    let bytes = vector.slices().concat_bytes();
    for lease in vector.empty() {
        assert_eq!((lease[0], lease[lease.len() - 1]), (0xaa, 0xaa), "only the ranges were written");
    }
    bytes
}

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for [std::io::IoSlice<'_>] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|slice| slice.iter().copied()).collect()
    }
}

fn read(file: &Handle, vector: Box<Vector>, offset: u64) -> Read {
    Read { file: file.clone(), target: Target::Vector(vector), offset }
}

fn write(file: &Handle, vector: Box<Vector>, offset: u64) -> Write {
    Write { file: file.clone(), source: Source::Vector(vector), offset }
}

fn reads(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let bytes = pattern(10_000);
    let file = drive.open(&scratch.file("file", &bytes), libc::O_RDONLY);
    for lengths in [&[1, 100, 3000][..], &[3101], &[1; 40]] {
        let whole: usize = lengths.iter().sum();
        let all = drive.run(read(&file, vector(&drive, lengths), 17));
        assert_eq!(all.result, whole as i32);
        assert_eq!(all_of(all), bytes[17..17 + whole]);
        let short = drive.run(read(&file, vector(&drive, lengths), 9_999));
        assert_eq!(short.result, 1, "the end of the file");
        let short = all_of(short);
        assert_eq!(short[0], bytes[9_999]);
        assert!(short[1..].iter().all(|byte| *byte == 0xaa), "the rest is untouched");
        assert_eq!(drive.result(read(&file, vector(&drive, lengths), 10_000)), 0);
    }
    assert_eq!(drive.driver.stats().unexpected, 0);
    Ok(())
}

fn writes(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, libc::O_RDWR | libc::O_CREAT);
    let bytes = pattern(5000);
    let wrote = drive.run(write(&file, filled(&drive, &[10, 4000, 990], &bytes), 3));
    assert_eq!(wrote.result, 5000);
    let Some(Operation::Write(Write { source: Source::Vector(vector), .. })) = wrote.operation else {
        panic!("its memory comes back");
    };
    assert_eq!((vector.parts(), vector.len()), (3, 5000));
    drop(vector);
    assert_eq!(std::fs::read(&path).expect("read")[3..], bytes);
    // Appended at the same time: each as one piece.
    let path = scratch.path("log");
    let log = drive.open(&path, libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND);
    let count = rig.limit().min(32);
    let tokens: Vec<u64> = (0..count)
        .map(|mark| drive.submit(write(&log, filled(&drive, &[7, 90, 3], &[mark as u8; 100]), 0)).1)
        .collect();
    for token in tokens {
        assert_eq!(drive.next(token).result, 100);
    }
    let content = std::fs::read(&path).expect("read");
    assert_eq!(content.len(), count * 100);
    let mut marks: Vec<u8> = content
        .chunks(100)
        .map(|record| {
            assert!(record.iter().all(|byte| *byte == record[0]), "a record in pieces");
            record[0]
        })
        .collect();
    marks.sort_unstable();
    assert!(marks.into_iter().eq(0..count as u8));
    Ok(())
}

fn large(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, libc::O_RDWR | libc::O_CREAT);
    let lengths = [200_000, 3, 150_000];
    let bytes = pattern(350_003);
    assert_eq!(drive.result(write(&file, filled(&drive, &lengths, &bytes), 0)), 350_003);
    assert!(std::fs::read(&path).expect("read") == bytes);
    assert!(all_of(drive.run(read(&file, vector(&drive, &lengths), 0))) == bytes);
    let mut many = Box::<Vector>::default();
    let lease = many.hold(drive.lease(4096));
    let place = |at: u32| -> Range<u32> { at * 4..at * 4 + 1 };
    assert!((0..1024).all(|at| many.push(lease, place(at))));
    let all = drive.run(read(&file, many, 5));
    assert_eq!(all.result, 1024);
    let Some(Operation::Read(Read { target: Target::Vector(many), .. })) = all.operation else {
        panic!("its memory comes back");
    };
    assert!(many.slices().concat_bytes() == bytes[5..1029]);
    Ok(())
}

fn position(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.file("file", b"0123456789");
    let file = drive.open(&path, libc::O_RDWR);
    for expected in [&b"0123"[..], b"4567", b"89\xaa\xaa"] {
        let next = drive.run(read(&file, vector(&drive, &[1, 3]), u64::MAX));
        assert_eq!(all_of(next), expected);
    }
    assert_eq!(drive.result(write(&file, filled(&drive, &[1, 1], b"ab"), u64::MAX)), 2);
    assert_eq!(std::fs::read(&path).expect("read"), b"0123456789ab");
    Ok(())
}

fn pipes(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, writer) = drive.pipe();
    let writer = drive.driver.adopt(writer);
    let (_, token) = drive.submit(read(&reader, vector(&drive, &[2, 10]), u64::MAX));
    drive.nothing_happens();
    assert_eq!(drive.result(write(&writer, filled(&drive, &[1, 4], b"hello"), u64::MAX)), 5);
    let first = drive.next(token);
    assert_eq!(first.result, 5);
    assert_eq!(all_of(first)[..5], *b"hello");
    // More than one attempt takes, the first range alone longer than that, too.
    let bytes = pattern(30_000);
    let (mut sent, mut got) = (0, Vec::new());
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        let cut = rest.len().min(9000);
        let wrote = drive.result(write(&writer, filled(&drive, &[cut, rest.len() - cut], rest), u64::MAX));
        assert!(wrote > 0);
        sent += wrote as usize;
        while got.len() < sent {
            let next = drive.run(read(&reader, vector(&drive, &[5000, 20_000]), u64::MAX));
            let count = next.result as usize;
            got.extend_from_slice(&all_of(next)[..count]);
        }
    }
    assert!(got == bytes);
    drop(writer);
    Ok(())
}

fn faults(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, libc::O_RDWR | libc::O_CREAT);
    let bytes = pattern(10_000);
    let limit = FileSizeLimit::set(6000);
    assert_eq!(
        drive.result(write(&file, filled(&drive, &[5000, 5000], &bytes), 0)),
        6000,
        "as far as the limit"
    );
    let failed = drive.run(write(&file, filled(&drive, &[1000, 3000], &bytes[6000..]), 6000));
    assert_eq!(failed.result, -libc::EFBIG);
    let Some(Operation::Write(Write { source: Source::Vector(back), .. })) = failed.operation else {
        panic!("its memory comes back");
    };
    drop(limit);
    assert_eq!(drive.result(write(&file, back, 6000)), 4000, "the same memory, again");
    assert!(std::fs::read(&path).expect("read") == bytes);
    under_signals(|| {
        for _ in 0..200 {
            let all = drive.run(read(&file, vector(&drive, &[100, 900]), 500));
            assert!(all_of(all) == bytes[500..1500]);
        }
    });
    if let Some(full) = drive.run(open("/dev/full".as_ref(), libc::O_RDWR)).handle {
        assert_eq!(drive.result(write(&full, filled(&drive, &[5, 5], &bytes), 0)), -libc::ENOSPC);
    }
    let read_only = drive.open(&path, libc::O_RDONLY);
    assert_eq!(drive.result(write(&read_only, filled(&drive, &[1], b"x"), 0)), -libc::EBADF);
    let written = drive.run(Read { file, target: room(10_000), offset: 0 });
    assert!(bytes_of(written) == bytes);
    assert_eq!(drive.driver.stats().unexpected, 0);
    Ok(())
}

fn cancelled(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, _writer) = drive.pipe();
    let (ticket, token) = drive.submit(read(&reader, vector(&drive, &[3, 4]), u64::MAX));
    drive.nothing_happens();
    drive.driver.cancel(ticket);
    let ended = drive.next(token);
    assert_eq!(ended.result, -libc::ECANCELED);
    assert_eq!(all_of(ended), [0xaa; 7]);
    assert_eq!(drive.driver.arena().leases(), 0, "all memory is back");
    Ok(())
}

fn refused(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, _plain) = drive.tcp();
    let send =
        Operation::from(Send { socket, source: Source::Vector(filled(&drive, &[1], b"x")), more: false });
    let refused = drive.driver.submit(send, 0).expect_err("it is no write of a file");
    assert_eq!(refused.reason, RefusedReason::Unsupported(Errno(libc::EINVAL)));
    drop(refused);
    assert_eq!(drive.driver.arena().leases(), 0);
    Ok(())
}
