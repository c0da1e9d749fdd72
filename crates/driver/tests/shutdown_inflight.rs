//! INV-1 on a real ring: what the kernel may write to belongs to the driver until the final completion. Closing a ring alone
//! does not stop the kernel (on 6.18 it went on writing in 20 of 20 rounds); a drained driver must have stopped it.
#![cfg(target_os = "linux")]

use ringwheel_driver::{
    Driver, DriverKind, Handle, Host, Operation, Options, StartError,
    memory::{Mapping, Target},
    op::{file, socket},
};
use std::{
    fs::File,
    io::Write as _,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt as _,
    },
    sync::Arc,
    time::Duration,
};

const OURS: u8 = 0xEE;

fn start(host: Host) -> Option<Driver> {
    let options =
        Options { kind: Some(DriverKind::Uring), host, entries: 128, memory: 8 << 20, ..Options::default() };
    match Driver::start(&options) {
        Ok(driver) => Some(driver),
        Err(StartError::Denied(why)) => {
            eprintln!("skipped: {why}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Writes our pattern over memory that nobody else may write any more.
fn fill(memory: &Arc<Mapping>) {
    // SAFETY: `write_bytes` needs the range mapped and unused: we hold an Arc, and the driver is gone.
    unsafe { memory.start().as_ptr().write_bytes(OURS, memory.length()) }
}

fn untouched(memory: &Arc<Mapping>) -> bool {
    // SAFETY: `from_raw_parts` needs the range mapped and initialised: see `fill`. A kernel that breaks the promise under test
    // writes here behind the compiler's back, so each byte is read once, after the sleep.
    let bytes = unsafe { std::slice::from_raw_parts(memory.start().as_ptr(), memory.length()) };
    bytes.iter().all(|byte| *byte == OURS)
}

fn read(file: Handle, target: Target, offset: u64) -> Operation {
    Operation::Read(file::Read { file, target, offset })
}

#[test]
fn a_drained_driver_has_stopped_the_kernel_writing_unbuffered_reads() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("shutdown_inflight");
    let mut file = File::create(&path).unwrap();
    for _ in 0..16 {
        file.write_all(&vec![0x11; 1 << 20]).unwrap();
    }
    file.sync_all().unwrap();
    let direct = match File::options().read(true).custom_flags(libc::O_DIRECT).open(&path) {
        Ok(file) => file,
        Err(error) => return eprintln!("skipped: this file system has no O_DIRECT: {error}"),
    };
    let mut in_flight = 0;
    for round in 0..10 {
        let Some(mut driver) = start(if round % 2 == 0 { Host::Native } else { Host::Embedded }) else {
            return;
        };
        let memory = Arc::clone(driver.arena().memory());
        let handle = driver.adopt(OwnedFd::from(direct.try_clone().unwrap()));
        for n in 0..60u64 {
            let lease = driver.arena().lease(128 << 10).unwrap();
            let operation = read(handle.clone(), Target::Lease(lease, 0..128 << 10), n * (256 << 10));
            driver.submit(operation, n).unwrap();
        }
        drop(handle);
        driver.enter(ringwheel_driver::Wait::No).unwrap();
        in_flight += driver.in_flight();
        let report = driver.shutdown(Duration::from_secs(20));
        assert_eq!(report.leaked, 0);
        assert_eq!(Arc::strong_count(&memory), 1, "every lease came back");
        fill(&memory);
        std::thread::sleep(Duration::from_millis(30));
        assert!(untouched(&memory), "the kernel wrote after the drain");
    }
    assert!(in_flight > 0, "nothing was in flight at any shutdown: the test shows nothing");
}

#[test]
fn reads_that_never_complete_are_cancelled_and_drained() {
    for host in [Host::Native, Host::Embedded] {
        let Some(mut driver) = start(host) else { return };
        let memory = Arc::clone(driver.arena().memory());
        let mut writers = Vec::new();
        for n in 0..100 {
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            let handle = driver.adopt(reader);
            let lease = driver.arena().lease(4096).unwrap();
            driver.submit(read(handle, Target::Lease(lease, 0..4096), u64::MAX), n).unwrap();
            writers.push(File::from(writer));
            if n == 50 {
                driver.enter(ringwheel_driver::Wait::No).unwrap(); // The rest is only staged.
            }
        }
        // And what is multishot, with chunks in the kernel's hand.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = driver.adopt(listener.accept().unwrap().0.into());
        driver.submit(Operation::Receive(socket::Receive { socket }), 1000).unwrap();
        let listener = driver.adopt(listener.into());
        driver.submit(Operation::Accept(socket::Accept { listener }), 1001).unwrap();
        let start = std::time::Instant::now();
        let report = driver.shutdown(Duration::from_secs(20));
        assert_eq!((report.drained, report.leaked), (102, 0));
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(Arc::strong_count(&memory), 1);
        fill(&memory);
        for writer in &mut writers {
            let error = writer.write_all(b"to nobody").unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "the last reader is closed");
        }
        assert!((&client).write_all(b"to nobody").is_ok() || cfg!(target_os = "linux"));
        assert!(untouched(&memory));
    }
}

#[test]
fn what_has_no_time_to_end_is_leaked_and_counted_and_never_freed() {
    let Some(mut driver) = start(Host::Native) else { return };
    let memory = Arc::clone(driver.arena().memory());
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let raw = reader.as_raw_fd();
    let handle = driver.adopt(reader);
    let lease = driver.arena().lease(4096).unwrap();
    driver.submit(read(handle.clone(), Target::Lease(lease, 0..4096), u64::MAX), 1).unwrap();
    driver.submit(read(handle, Target::Vec(Vec::with_capacity(4096)), u64::MAX), 2).unwrap();
    driver.enter(ringwheel_driver::Wait::No).unwrap();
    let report = driver.shutdown(Duration::ZERO);
    assert_eq!((report.drained, report.leaked), (0, 2));
    assert!(Arc::strong_count(&memory) > 1, "the arena stays mapped without us");
    assert!(std::path::Path::new(&format!("/proc/self/fd/{raw}")).exists(), "the descriptor stays open");
    // Whether the kernel still takes these bytes or not, it writes to memory that nobody was given.
    rustix::io::write(&writer, &[1; 8192]).unwrap();
    std::thread::sleep(Duration::from_millis(10));
}

#[test]
fn dropping_is_shutting_down() {
    let Some(mut driver) = start(Host::Native) else { return };
    let memory = Arc::clone(driver.arena().memory());
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let handle = driver.adopt(reader);
    let lease = driver.arena().lease(4096).unwrap();
    driver.submit(read(handle, Target::Lease(lease, 0..4096), u64::MAX), 1).unwrap();
    driver.enter(ringwheel_driver::Wait::No).unwrap();
    drop(driver);
    assert_eq!(Arc::strong_count(&memory), 1);
}
