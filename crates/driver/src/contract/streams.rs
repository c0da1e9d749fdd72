//! Cases: pipes and other streams, read and written as files; readiness.
use super::{
    Case, Rig, Skip,
    rig::{bytes_of, pattern, room, source},
};
use crate::op::{
    file::{Read, Write},
    ready::Ready,
};
use std::{
    io::{Read as _, Write as _},
    os::fd::AsFd,
};

pub(super) const CASES: &[Case] = &[
    Case { name: "a pipe is read when something comes, and 0 is its end", run: pipe_reads },
    Case { name: "reads of one pipe are answered in their order", run: pipe_order },
    Case { name: "a pipe is written without blocking anything else", run: pipe_writes },
    Case { name: "writing to a pipe without a reader is EPIPE", run: broken_pipe },
    Case {
        name: "a position of what has none is ESPIPE at once, as pread and pwrite say",
        run: no_positions,
    },
    Case { name: "a device is read and written at positions", run: device_positions },
    Case { name: "readiness says which bits are set", run: ready_bits },
    Case { name: "readiness of both sides may be waited for at once", run: ready_both },
    Case { name: "a regular file is always ready", run: ready_file },
];

const POLLIN: u32 = libc::POLLIN as u32;
const POLLOUT: u32 = libc::POLLOUT as u32;
const POLLHUP: u32 = libc::POLLHUP as u32;

fn pipe_reads(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, writer) = drive.pipe();
    let (_, token) = drive.submit(Read { file: reader.clone(), target: room(100), offset: u64::MAX });
    drive.nothing_happens();
    rustix::io::write(&writer, b"hello").expect("write");
    let read = drive.next(token);
    assert_eq!(read.result, 5);
    assert_eq!(bytes_of(read), b"hello");
    let (_, token) = drive.submit(Read { file: reader, target: room(100), offset: u64::MAX });
    drive.nothing_happens();
    drop(writer);
    assert_eq!(drive.next(token).result, 0);
    Ok(())
}

fn pipe_order(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, writer) = drive.pipe();
    let (_, first) = drive.submit(Read { file: reader.clone(), target: room(1), offset: u64::MAX });
    let (_, second) = drive.submit(Read { file: reader, target: room(1), offset: u64::MAX });
    drive.nothing_happens();
    rustix::io::write(&writer, b"ab").expect("write");
    let mut got = vec![bytes_of(drive.next(first)), bytes_of(drive.next(second))];
    got.sort();
    assert_eq!(got, [b"a", b"b"], "each byte once");
    Ok(())
}

fn pipe_writes(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let writer = drive.driver.adopt(writer);
    let bytes = pattern(300_000); // More than a pipe holds.
    let expected = bytes.clone();
    let plain = std::thread::spawn(move || {
        let mut all = Vec::new();
        std::fs::File::from(reader).read_to_end(&mut all).expect("read");
        all
    });
    let mut done = 0;
    while done < bytes.len() {
        let wrote =
            drive.result(Write { file: writer.clone(), source: source(&bytes[done..]), offset: u64::MAX });
        assert!(wrote > 0, "{wrote}");
        done += wrote as usize;
    }
    drop(writer);
    assert!(plain.join().expect("reader") == expected);
    Ok(())
}

fn broken_pipe(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let writer = drive.driver.adopt(writer);
    drop(reader);
    let wrote = drive.result(Write { file: writer, source: source(b"x"), offset: u64::MAX });
    assert_eq!(wrote, -libc::EPIPE);
    Ok(())
}

fn no_positions(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, writer) = rustix::pipe::pipe().expect("pipe");
    let (reader, writer) = (drive.driver.adopt(reader), drive.driver.adopt(writer));
    // Empty: what looked for bytes first would wait for them.
    let read = drive.result(Read { file: reader.clone(), target: room(1), offset: 0 });
    assert_eq!(read, -libc::ESPIPE);
    assert_eq!(drive.result(Write { file: writer.clone(), source: source(b"x"), offset: 7 }), -libc::ESPIPE);
    let (socket, _plain) = drive.tcp();
    assert_eq!(drive.result(Read { file: socket, target: room(1), offset: 1 }), -libc::ESPIPE);
    assert_eq!(drive.result(Write { file: writer, source: source(b"x"), offset: u64::MAX }), 1);
    assert_eq!(
        drive.result(Read { file: reader, target: room(9), offset: u64::MAX }),
        1,
        "nothing was moved"
    );
    Ok(())
}

fn device_positions(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let zero = rustix::fs::open("/dev/zero", flags, rustix::fs::Mode::empty()).expect("/dev/zero");
    let zero = drive.driver.adopt(zero);
    for offset in [0, 1 << 40, u64::MAX] {
        let read = drive.run(Read { file: zero.clone(), target: room(3), offset });
        assert_eq!((read.result, bytes_of(read)), (3, vec![0; 3]));
        assert_eq!(drive.result(Write { file: zero.clone(), source: source(b"abc"), offset }), 3);
    }
    Ok(())
}

fn ready_bits(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, mut plain) = drive.tcp();
    let out = drive.result(Ready { file: socket.clone(), events: POLLOUT });
    assert_eq!(out as u32 & (POLLIN | POLLOUT), POLLOUT);
    let (_, token) = drive.submit(Ready { file: socket.clone(), events: POLLIN });
    drive.nothing_happens();
    plain.write_all(b"x").expect("write");
    assert_eq!(drive.next(token).result as u32 & POLLIN, POLLIN);
    let again = drive.result(Ready { file: socket, events: POLLIN });
    assert_eq!(again as u32 & POLLIN, POLLIN, "a level, not an edge");
    let (reader, writer) = drive.pipe();
    let (_, token) = drive.submit(Ready { file: reader, events: POLLIN });
    drive.nothing_happens();
    drop(writer);
    assert_eq!(drive.next(token).result as u32 & POLLHUP, POLLHUP, "a hang-up shows unasked");
    Ok(())
}

fn ready_both(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, plain) = drive.tcp();
    // Fill the socket until it takes no more.
    let filler = vec![0; 1 << 20];
    rustix::io::ioctl_fionbio(socket.as_fd(), true).expect("non-blocking");
    while rustix::io::write(&socket, &filler).is_ok() {}
    let (_, out) = drive.submit(Ready { file: socket.clone(), events: POLLOUT });
    let (_, both) = drive.submit(Ready { file: socket.clone(), events: POLLIN | POLLOUT });
    let (_, input) = drive.submit(Ready { file: socket, events: POLLIN });
    drive.nothing_happens();
    (&plain).write_all(b"x").expect("write");
    assert_eq!(drive.next(both).result as u32 & POLLIN, POLLIN);
    assert_eq!(drive.next(input).result as u32 & POLLIN, POLLIN);
    drive.nothing_happens();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let mut total = 0;
        while total < 4 << 20 {
            match (&plain).read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(bytes) => total += bytes,
            }
        }
    });
    assert_eq!(drive.next(out).result as u32 & POLLOUT, POLLOUT);
    drop(drive); // Ends the reader too when it has not seen enough.
    reader.join().expect("reader");
    Ok(())
}

fn ready_file(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let file = drive.open(std::path::Path::new("/proc/self/exe"), libc::O_RDONLY);
    let bits = drive.result(Ready { file, events: POLLIN });
    assert_eq!(bits as u32 & POLLIN, POLLIN);
    Ok(())
}
