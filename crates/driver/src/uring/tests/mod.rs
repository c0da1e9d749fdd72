//! The ring's own paths: what the contract suite, which knows no backend, cannot see or force.
mod arrivals;
mod faults;
mod files;
mod lone;
mod queues;
mod ring_other;
mod setup;

use super::{setup as rings, *};
use crate::{
    Completion, Driver, Refused, RefusedReason, Ticket, Wait,
    driver::DriverKind,
    memory::{Source, Target},
    op::{file, job, ready, socket},
};
use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    time::{Duration, Instant},
};

fn options(host: Host) -> Options {
    Options { kind: Some(DriverKind::Uring), host, entries: 64, memory: 1 << 20, ..Options::default() }
}

fn driver(host: Host) -> Driver {
    Driver::start(&options(host)).expect("io_uring; these tests are for machines that have it")
}

impl Uring {
    /// As the driver does it.
    fn submit(&mut self, mut operation: Operation, token: u64) -> Result<Ticket, Refused> {
        self.submit_from(&mut operation, token).map_err(|reason| Refused { operation, reason })
    }
}

/// Enters and reaps until `count` completions came.
fn collect(driver: &mut Driver, count: usize) -> Vec<Completion> {
    let mut all = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    while all.len() < count {
        assert!(Instant::now() < end, "{} of {count} completions: {all:#?}\n{driver:#?}", all.len());
        driver.enter(Wait::For(Duration::from_millis(100))).unwrap();
        driver.reap(usize::MAX, |completion| all.push(completion));
    }
    all
}

fn one(driver: &mut Driver, operation: Operation) -> Completion {
    driver.submit(operation, 7).unwrap();
    let mut all = collect(driver, 1);
    assert_eq!(all.len(), 1);
    let completion = all.remove(0);
    assert_eq!(completion.token, 7);
    completion
}

fn handle(fd: impl Into<OwnedFd>) -> Handle {
    Handle::from_owned(fd.into())
}

fn temporary() -> std::fs::File {
    let directory = std::env::temp_dir();
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    rustix::fs::open(&directory, flags, rustix::fs::Mode::RUSR).unwrap().into()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Whether the descriptor becomes readable in that time.
fn readable(fd: RawFd, milliseconds: i32) -> bool {
    let mut watched = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` needs one valid pollfd.
    unsafe { libc::poll(&raw mut watched, 1, milliseconds) == 1 }
}
