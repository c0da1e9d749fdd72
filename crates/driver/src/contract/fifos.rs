//! Cases: FIFOs, whose open(2) waits for the other end, and streams that were opened with O_NONBLOCK.
use super::{
    Case, Rig, Skip,
    jobs::job,
    rig::{Drive, LONG, Scratch, bytes_of, open, open_descriptors, room, source},
};
use crate::{
    DriverKind, Handle, Wait,
    op::file::{Read, Sync, Write},
};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat},
    io::Errno,
};
use std::{
    fs::OpenOptions,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

pub(super) const CASES: &[Case] = &[
    Case { name: "a FIFO opened to be read waits for a writer, also for one that says nothing", run: reader },
    Case { name: "a writer that comes and goes at any moment is no less one", run: passing_writer },
    Case { name: "a FIFO opened to be written waits for a reader", run: writer },
    Case { name: "what is opened has the flags that were asked for", run: flags },
    Case { name: "opens that wait hold up nothing else", run: holds_nothing },
    Case { name: "more opens may wait than there are threads for them", run: many },
    Case { name: "an open that waits ends when it is cancelled, and leaves no descriptor", run: cancelled },
    Case { name: "opens that were given up keep no others waiting", run: given_up },
    Case { name: "a stream opened with O_NONBLOCK ends with EAGAIN instead of waiting", run: nonblocking },
];

const AGAIN: i32 = -Errno::AGAIN.raw_os_error();
const CANCELED: i32 = -Errno::CANCELED.raw_os_error();

fn fifo(scratch: &Scratch, name: &str) -> PathBuf {
    let path = scratch.path(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    path
}

/// The other end, without waiting; `None` when a writer finds no reader.
fn other_end(path: &Path, flags: OFlags) -> Option<OwnedFd> {
    match rustix::fs::open(path, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Some(file),
        Err(Errno::NXIO) => None,
        Err(errno) => panic!("{path:?}: {errno}"),
    }
}

/// Turns until a reader is there, whoever waits to be one.
fn writing_end(drive: &mut Drive, path: &Path) -> OwnedFd {
    let mut found = None;
    drive.until("a reader", |_| {
        found = other_end(path, OFlags::WRONLY);
        found.is_some()
    });
    found.expect("`until` found it")
}

fn read_some(drive: &mut Drive, file: &Handle) -> Vec<u8> {
    let completion = drive.run(Read { file: file.clone(), target: room(100), offset: u64::MAX });
    assert!(completion.result >= 0, "{}", completion.result);
    bytes_of(completion)
}

fn reader(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = fifo(&scratch, "fifo");
    let (_, token) = drive.submit(open(&path, libc::O_RDONLY));
    drive.nothing_happens();
    let end = writing_end(&mut drive, &path);
    let file = drive.next(token).handle.expect("a file");
    let (_, token) = drive.submit(Read { file: file.clone(), target: room(100), offset: u64::MAX });
    drive.nothing_happens();
    rustix::io::write(&end, b"said at last").expect("write");
    assert_eq!(bytes_of(drive.next(token)), b"said at last");
    drop(end);
    assert_eq!(read_some(&mut drive, &file), b"");
    Ok(())
}

fn passing_writer(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    for round in 0_u32..40 {
        let path = fifo(&scratch, &format!("fifo{round}"));
        let bytes: &'static [u8] = if round % 2 == 0 { b"" } else { b"left behind" };
        // It waits for a reader, and is gone as soon as there is one, or comes at some moment of the open.
        let there = path.clone();
        let other = std::thread::spawn(move || {
            if round % 4 > 1 {
                std::thread::sleep(Duration::from_micros(u64::from(round) * 20));
            }
            let mut end = OpenOptions::new().write(true).open(there).expect("a reader");
            std::io::Write::write_all(&mut end, bytes).expect("write");
        });
        if round % 4 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
        let file = drive.open(&path, libc::O_RDONLY);
        other.join().expect("the writer");
        assert_eq!(read_some(&mut drive, &file), bytes);
    }
    Ok(())
}

fn writer(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    for flags in [libc::O_WRONLY, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND] {
        let path = fifo(&scratch, &format!("fifo{flags}"));
        let (_, token) = drive.submit(open(&path, flags));
        drive.nothing_happens();
        // A reader that waits for a writer is let in by the open that waits for it.
        let there = path.clone();
        let other = std::thread::spawn(move || {
            let mut file = std::fs::File::open(there).expect("a writer");
            let mut text = String::new();
            std::io::Read::read_to_string(&mut file, &mut text).expect("read");
            text
        });
        let file = drive.next(token).handle.expect("a file");
        let write = Write { file: file.clone(), source: source(b"heard"), offset: u64::MAX };
        assert_eq!(drive.result(write), 5);
        drop(file);
        assert_eq!(other.join().expect("the reader"), "heard");
        // One that comes and goes does, too.
        let (_, token) = drive.submit(open(&path, flags));
        drive.nothing_happens();
        drive.until("the end of the open", |drive| {
            drop(other_end(&path, OFlags::RDONLY));
            !drive.seen.is_empty()
        });
        let file = drive.next(token).handle.expect("a file");
        let write = Write { file, source: source(b"nobody"), offset: u64::MAX };
        assert_eq!(drive.result(write), -Errno::PIPE.raw_os_error());
    }
    Ok(())
}

fn flags(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let (plain, path) = (scratch.file("plain", b"bytes"), fifo(&scratch, "fifo"));
    let _both = OpenOptions::new().read(true).write(true).open(&path).expect("both ends");
    for asked in [
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_WRONLY | libc::O_APPEND,
        libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT,
        libc::O_RDONLY | libc::O_NONBLOCK,
        libc::O_RDWR | libc::O_NONBLOCK | libc::O_APPEND,
        libc::O_RDWR,
    ] {
        for path in [&plain, &path] {
            let file = drive.open(path, asked);
            let is = fcntl_getfl(&file).expect("flags").bits() as i32;
            let looked_at = libc::O_ACCMODE | libc::O_APPEND | libc::O_NONBLOCK;
            assert_eq!(is & looked_at, asked & looked_at, "{path:?} {asked:o}");
        }
    }
    Ok(())
}

/// Opens of so many FIFOs, each to be read and to be written, with their tokens.
fn waiting(drive: &mut Drive, scratch: &Scratch, count: usize) -> Vec<(PathBuf, PathBuf, u64, u64)> {
    (0..count)
        .map(|index| {
            let (read, write) =
                (fifo(scratch, &format!("read{index}")), fifo(scratch, &format!("write{index}")));
            let (_, reads) = drive.submit(open(&read, libc::O_RDONLY));
            let (_, writes) = drive.submit(open(&write, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC));
            (read, write, reads, writes)
        })
        .collect()
}

/// Lets all of them go on. Those that found no thread need another's, so nobody waits for one before all other ends are there.
fn release(drive: &mut Drive, waiting: Vec<(PathBuf, PathBuf, u64, u64)>) {
    let mut ends = Vec::new();
    for (read, write, ..) in &waiting {
        ends.push(writing_end(drive, read));
        ends.push(other_end(write, OFlags::RDONLY).expect("a reader does not wait"));
    }
    for token in waiting.into_iter().flat_map(|(.., reads, writes)| [reads, writes]) {
        let completion = drive.next(token);
        assert_eq!((completion.result, completion.handle.is_some()), (0, true));
    }
}

fn regular_work(drive: &mut Drive, scratch: &Scratch) {
    let file = drive.open(&scratch.path("new"), libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC);
    assert_eq!(drive.result(Write { file: file.clone(), source: source(b"bytes"), offset: 0 }), 5);
    assert_eq!(drive.result(Sync { file, data_only: false }), 0);
    assert_eq!(drive.result(job(|| 7)), 7);
}

fn holds_nothing(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start_with(|options| options.pool_threads = 1), Scratch::new());
    // More of them than a ring has workers on a machine of four CPUs, where the driver takes as many.
    let opens = waiting(&mut drive, &scratch, (rig.limit() / 2 - 1).min(20));
    drive.nothing_happens();
    regular_work(&mut drive, &scratch);
    release(&mut drive, opens);
    Ok(())
}

fn many(rig: &Rig) -> Result<(), Skip> {
    let count = usize::from(crate::limits::WAITING) + 6;
    if rig.limit() < 2 * count + 2 {
        return Err(Skip("fewer operations may be in flight here"));
    }
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let opens = waiting(&mut drive, &scratch, count);
    drive.nothing_happens();
    regular_work(&mut drive, &scratch);
    release(&mut drive, opens);
    Ok(())
}

fn cancelled(rig: &Rig) -> Result<(), Skip> {
    drop(rig.start()); // Whatever the process opens once.
    let before = open_descriptors();
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    for staged in [true, false] {
        for flags in [libc::O_RDONLY, libc::O_WRONLY, libc::O_WRONLY | libc::O_CREAT] {
            let path = fifo(&scratch, &format!("fifo{flags}{staged}"));
            let (ticket, token) = drive.submit(open(&path, flags));
            if !staged {
                drive.nothing_happens();
            }
            drive.driver.cancel(ticket);
            if rig.options.kind == Some(DriverKind::Poll) && flags != libc::O_RDONLY && !staged {
                // open(2) on a thread cannot be interrupted: it ends with its reader.
                let _reader = other_end(&path, OFlags::RDONLY);
                assert_eq!(drive.next(token).result, 0);
            } else {
                let completion = drive.next(token);
                assert_eq!((completion.result, completion.handle.is_some()), (CANCELED, false));
                assert!(other_end(&path, OFlags::WRONLY).is_none(), "no reader is left");
            }
        }
    }
    drive.driver.enter(Wait::No).expect("enter");
    drop(drive);
    let deadline = Instant::now() + LONG;
    while open_descriptors() > before {
        assert!(Instant::now() < deadline, "{} descriptors, {before} before", open_descriptors());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn given_up(rig: &Rig) -> Result<(), Skip> {
    let count = usize::from(crate::limits::WAITING);
    if rig.limit() < 2 * count + 4 {
        return Err(Skip("fewer operations may be in flight here"));
    }
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let paths: Vec<_> = (0..count).map(|index| fifo(&scratch, &format!("given-up{index}"))).collect();
    let opens: Vec<_> = paths.iter().map(|path| drive.submit(open(path, libc::O_WRONLY))).collect();
    drive.nothing_happens();
    for (ticket, _) in &opens {
        drive.driver.cancel(*ticket);
    }
    let others = waiting(&mut drive, &scratch, 4);
    release(&mut drive, others);
    // On the poll driver they still wait for their readers.
    let _readers: Vec<_> = paths.iter().map(|path| other_end(path, OFlags::RDONLY)).collect();
    for (_, token) in opens {
        let result = drive.next(token).result;
        assert!([0, CANCELED].contains(&result), "{result}");
    }
    regular_work(&mut drive, &scratch);
    Ok(())
}

fn nonblocking(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let opened = drive.open(&fifo(&scratch, "fifo"), libc::O_RDWR | libc::O_NONBLOCK);
    let (reader, _writer) = drive.pipe();
    let read = |file: &Handle| Read { file: file.clone(), target: room(100), offset: u64::MAX };
    for file in [&opened, &reader] {
        let mode = fcntl_getfl(file).expect("flags");
        fcntl_setfl(file, mode | OFlags::NONBLOCK).expect("set"); // Of the pipe somebody sets it later.
        assert_eq!(drive.result(read(file)), AGAIN);
    }
    let write = |bytes: &[u8]| Write { file: opened.clone(), source: source(bytes), offset: u64::MAX };
    assert_eq!(drive.result(write(b"some")), 4);
    assert_eq!(read_some(&mut drive, &opened), b"some");
    let mut written = 0;
    let last = loop {
        match drive.result(write(&[7; 4096])) {
            bytes @ 1.. => written += bytes,
            error => break error,
        }
    };
    assert_eq!(last, AGAIN);
    assert!(written >= 4096);
    // And back: what waits for nothing now waits again.
    fcntl_setfl(&opened, OFlags::RDWR).expect("set");
    let (ticket, token) = drive.submit(write(b"more"));
    drive.nothing_happens();
    drive.driver.cancel(ticket);
    assert_eq!(drive.next(token).result, CANCELED);
    // A regular file has no such wait.
    let mut options = OpenOptions::new();
    let plain = options.read(true).custom_flags(libc::O_NONBLOCK).open(scratch.file("file", b"bytes"));
    let plain = drive.driver.adopt(plain.expect("open").into());
    assert_eq!(read_some(&mut drive, &plain), b"bytes");
    Ok(())
}
