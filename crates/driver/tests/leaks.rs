//! Ten thousand drivers leave nothing: descriptors, mappings and resident memory stay flat, with wakers that outlive them.
//! One test in a process of its own, since it counts what the process has.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test: a panic is its failure")]

use ringwheel_driver::{
    Driver, DriverKind, Host, Operation, Options, StartError, Wait,
    memory::Target,
    op::{file, socket},
};
use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
};

/// Drivers in all. A debug build on a busy machine makes a few thousand a second.
const DRIVERS: usize = 10_000;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

/// Resident kibibytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn use_and_drop(
    n: usize,
    listener: &TcpListener,
    options: &Options,
) -> Result<ringwheel_driver::Waker, StartError> {
    let mut driver = Driver::start(options)?;
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let handle = driver.adopt(reader);
    let lease = driver.arena().lease(4096).unwrap();
    let read = file::Read { file: handle, target: Target::Lease(lease, 0..4096), offset: u64::MAX };
    driver.submit(Operation::Read(read), 1).unwrap();
    driver.submit(Operation::Nop, 2).unwrap();
    let mut client = None;
    if n.is_multiple_of(16) {
        // Completions that carry a descriptor and chunks, and are never reaped.
        let accept = socket::Accept { listener: driver.adopt(listener.try_clone().unwrap().into()) };
        driver.submit(Operation::Accept(accept), 3).unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.write_all(b"hello").unwrap();
        let server = driver.adopt(stream.try_clone().unwrap().into());
        driver.submit(Operation::Receive(socket::Receive { socket: server }), 4).unwrap();
        client = Some(stream);
    }
    driver.enter(Wait::No).unwrap();
    if n.is_multiple_of(2) {
        rustix::io::write(&writer, b"x").unwrap();
        driver.enter(Wait::No).unwrap();
        driver.reap(1, drop);
    }
    drop(client);
    Ok(driver.waker())
}

#[test]
fn ten_thousand_drivers_leave_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = |n: usize| Options {
        kind: Some(DriverKind::Uring),
        host: if n.is_multiple_of(2) { Host::Native } else { Host::Embedded },
        entries: 64,
        memory: 1 << 20,
        chunks: 16,
        ..Options::default()
    };
    let mut wakers = Vec::new();
    let mut before = (0, 0, 0);
    for n in 0..DRIVERS {
        if n == DRIVERS / 10 {
            before = (descriptors(), mappings(), resident()); // The allocators are warm.
        }
        match use_and_drop(n, &listener, &options(n)) {
            Ok(waker) => wakers.push(waker),
            Err(StartError::Denied(why)) => return eprintln!("skipped: {why}"),
            Err(error) => panic!("driver {n}: {error}"),
        }
        if n.is_multiple_of(100) {
            wakers.iter().rev().take(10).for_each(ringwheel_driver::Waker::wake);
        }
    }
    let after = (descriptors(), mappings(), resident());
    assert!(after.0 <= before.0, "descriptors: {} before, {} after", before.0, after.0);
    assert!(after.1 <= before.1 + 16, "mappings: {} before, {} after", before.1, after.1);
    // The wakers themselves are kept: some 100 bytes each.
    assert!(after.2 <= before.2 + 4096, "resident KiB: {} before, {} after", before.2, after.2);
}
