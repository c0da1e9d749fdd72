//! Cases: starting, stopping, and leaving nothing behind.
use super::{
    Case, Rig, Skip,
    jobs::job,
    rig::{LONG, SHORT, Scratch, listener, open_descriptors, room, source},
};
use crate::{
    Driver, Operation, Options, StartError, Wait,
    memory::Target,
    op::{
        file::{Read, Write},
        ready::Ready,
        socket::{Accept, Receive},
    },
};
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

pub(super) const CASES: &[Case] = &[
    Case { name: "options out of their range are refused by name", run: bad_options },
    Case { name: "shutdown drains what waits", run: drains },
    Case { name: "shutdown drains what was only submitted", run: drains_staged },
    Case { name: "shutdown leaks what a pool thread still uses, and counts it", run: leaks },
    Case { name: "a closure whose destructor panics does not end the drain", run: panicking_destructor },
    Case {
        name: "an open that blocks is ended or leaked, and its descriptor closed at last",
        run: blocked_open,
    },
    Case { name: "dropping a driver with everything in flight leaves no descriptor", run: dropped },
    Case { name: "leases and chunks outlive their driver", run: memory_outlives },
    Case { name: "a hundred drivers leave no descriptor, also with wakers alive", run: many_drivers },
    Case { name: "two drivers on one thread do not meet", run: two_drivers },
];

fn bad_options(rig: &Rig) -> Result<(), Skip> {
    let refuse = |change: &dyn Fn(&mut Options), name: &str| {
        let mut options = rig.options.clone();
        change(&mut options);
        match Driver::start(&options) {
            Err(StartError::Option(sentence)) => assert!(sentence.contains(name), "{sentence}"),
            other => panic!("{name}: {other:?}"),
        }
    };
    refuse(&|options| options.entries = 0, "entries");
    refuse(&|options| options.entries = 100, "entries");
    refuse(&|options| options.completion_entries = Some(0), "completion_entries");
    refuse(&|options| options.memory = 0, "memory");
    refuse(&|options| options.memory = 65_537, "memory");
    refuse(&|options| options.memory = usize::MAX, "memory");
    refuse(&|options| options.chunks = 9, "chunks");
    refuse(&|options| options.chunks = 0, "chunks");
    refuse(&|options| options.chunk_bytes = 1, "chunk_bytes");
    refuse(&|options| options.pool_threads = 0, "pool_threads");
    Ok(())
}

fn drains(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (listening, _) = listener();
    let listening = drive.driver.adopt(listening);
    let (socket, _plain) = drive.tcp();
    let mut writers = Vec::new();
    for n in 0..5 {
        let (reader, writer) = drive.pipe();
        let target = if n % 2 == 0 { room(100) } else { Target::Lease(drive.lease(100), 0..100) };
        drive.submit(Read { file: reader, target, offset: u64::MAX });
        writers.push(writer);
    }
    drive.submit(Accept { listener: listening });
    drive.submit(Receive { socket });
    drive.nothing_happens();
    let start = Instant::now();
    let report = drive.driver.shutdown(Duration::MAX); // No deadline at all.
    assert_eq!((report.drained, report.leaked), (7, 0));
    assert!(start.elapsed() < LONG / 2);
    for writer in &writers {
        let late = rustix::io::write(writer, b"late"); // SIGPIPE is ignored in Rust programs.
        assert_eq!(late, Err(rustix::io::Errno::PIPE), "the readers are closed");
    }
    Ok(())
}

fn drains_staged(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, libc::O_RDWR | libc::O_CREAT);
    for n in 0..rig.limit().min(20) {
        drive.submit(Write { file: file.clone(), source: source(b"x"), offset: n as u64 });
    }
    drop(file);
    let report = drive.driver.shutdown(LONG);
    assert_eq!(report.leaked, 0);
    assert_eq!(report.drained as usize, rig.limit().min(20));
    Ok(())
}

fn leaks(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    drive.submit(job(move || {
        started.send(()).expect("send");
        released.recv().map_or(1, |()| 0)
    }));
    drive.driver.enter(Wait::No).expect("enter");
    has_started.recv().expect("it runs");
    let start = Instant::now();
    let report = drive.driver.shutdown(Duration::from_millis(50));
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(start.elapsed() < LONG / 2);
    assert_eq!((report.drained, report.leaked), (0, 1));
    release.send(()).expect("the job still runs, and ends on its own");
    Ok(())
}

fn blocked_open(rig: &Rig) -> Result<(), Skip> {
    drop(rig.start()); // Whatever the process opens once.
    let before = open_descriptors();
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo");
    assert!(made.success());
    drive.submit(super::rig::open(&path, libc::O_RDONLY)); // Blocks until somebody opens it for writing.
    drive.turn(SHORT);
    if !drive.seen.is_empty() {
        return Err(Skip("this kernel's io_uring opens a FIFO without blocking"));
    }
    let report = drive.driver.shutdown(Duration::from_millis(50));
    assert_eq!(report.drained + report.leaked, 1, "{report:?}");
    if report.leaked == 1 {
        // The open ends after its driver, with a descriptor that nobody will ever take (INV-7).
        drop(std::fs::OpenOptions::new().write(true).open(&path).expect("the other end"));
    }
    let deadline = Instant::now() + LONG;
    while open_descriptors() > before {
        assert!(Instant::now() < deadline, "{} descriptors, {before} before", open_descriptors());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn dropped(rig: &Rig) -> Result<(), Skip> {
    let before = open_descriptors();
    for _ in 0..5 {
        let (mut drive, scratch) = (rig.start(), Scratch::new());
        let file = drive.open(&scratch.file("file", &[7; 5000]), libc::O_RDONLY);
        let (listening, address) = listener();
        let listening = drive.driver.adopt(listening);
        drive.submit(Accept { listener: listening });
        let (socket, plain) = drive.tcp();
        drive.submit(Receive { socket: socket.clone() });
        let (reader, _writer) = drive.pipe();
        drive.submit(Ready { file: reader, events: libc::POLLIN as u32 });
        drive.driver.enter(Wait::No).expect("enter");
        let _dialled = std::net::TcpStream::connect(address).expect("connect");
        drive.submit(Read { file, target: Target::Lease(drive.lease(5000), 0..5000), offset: 0 });
        drive.submit(super::rig::open(&scratch.path("file"), libc::O_RDONLY));
        drive.submit(job(|| 0));
        std::io::Write::write_all(&mut &plain, b"unread").expect("write");
        drive.driver.enter(Wait::No).expect("enter");
        drop(drive);
        drop(socket);
    }
    let deadline = Instant::now() + LONG;
    while open_descriptors() > before {
        assert!(Instant::now() < deadline, "{} descriptors, {before} before", open_descriptors());
        std::thread::sleep(Duration::from_millis(1)); // The kernel and the pool may close a little later.
    }
    Ok(())
}

fn memory_outlives(rig: &Rig) -> Result<(), Skip> {
    use std::io::Write as _;
    let mut drive = rig.start();
    let mut lease = drive.lease(100);
    lease.copy_from_slice(&[3; 100]);
    let (socket, mut plain) = drive.tcp();
    let (_, token) = drive.submit(Receive { socket });
    plain.write_all(b"kept").expect("write");
    let chunk = drive.next(token).chunk.expect("bytes");
    drop(drive);
    assert_eq!(*lease, [3; 100]);
    assert_eq!(*chunk, *b"kept");
    Ok(())
}

fn many_drivers(rig: &Rig) -> Result<(), Skip> {
    drop(rig.start());
    let before = open_descriptors();
    let mut wakers = Vec::new();
    for _ in 0..100 {
        let mut drive = rig.start();
        assert_eq!(drive.result(Operation::Nop), 0);
        wakers.push(drive.driver.waker());
    }
    let after = open_descriptors();
    assert_eq!(after, before, "a hundred wakers of drivers that are gone");
    wakers.iter().for_each(crate::Waker::wake);
    Ok(())
}

fn two_drivers(rig: &Rig) -> Result<(), Skip> {
    let (mut one, mut two) = (rig.start(), rig.start());
    let (reader, writer) = one.pipe();
    let (_, read) = one.submit(Read { file: reader, target: room(1), offset: u64::MAX });
    let (_, nop) = two.submit(Operation::Nop);
    assert_eq!(two.next(nop).result, 0);
    one.nothing_happens();
    rustix::io::write(&writer, b"x").expect("write");
    assert_eq!(one.next(read).result, 1);
    two.nothing_happens();
    Ok(())
}

fn panicking_destructor(rig: &Rig) -> Result<(), Skip> {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("from a destructor")); // Without the hook's message.
        }
    }
    let mut drive = rig.start_with(|options| options.pool_threads = 1);
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    drive.submit(job(move || {
        started.send(()).expect("send");
        released.recv().map_or(1, |()| 0)
    }));
    drive.driver.enter(Wait::No).expect("enter");
    has_started.recv().expect("it runs");
    for _ in 0..3 {
        let bomb = Bomb;
        drive.submit(job(move || {
            let _bomb = &bomb;
            0
        }));
    }
    let (reader, _writer) = drive.pipe();
    drive.submit(Read { file: reader, target: room(1), offset: u64::MAX });
    drive.driver.enter(Wait::No).expect("enter");
    release.send(()).expect("send");
    let report = drive.driver.shutdown(LONG);
    assert_eq!((report.drained, report.leaked), (5, 0));
    Ok(())
}
