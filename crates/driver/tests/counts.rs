//! What a read costs the driver in the steady state: allocations and system calls, counted, for 1,000 reads.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
use ringwheel_counts::{Counting, allocations_here, check};
use ringwheel_driver::{
    Driver, DriverKind, Handle, Host, Lease, Operation, Options, Wait, memory::Target, op::file::Read,
};
use std::{io::Write, os::fd::OwnedFd};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const READS: usize = 1_000;
const BYTES: u32 = 4096;

fn drivers(host: Host) -> Vec<(&'static str, Driver)> {
    let mut drivers = Vec::new();
    for (name, kind) in [("uring", DriverKind::Uring), ("poll", DriverKind::Poll)] {
        match Driver::start(&Options { kind: Some(kind), host, memory: 1 << 20, ..Options::default() }) {
            Ok(driver) => drivers.push((name, driver)),
            Err(error) => drop(writeln!(std::io::stderr(), "skip: counts {name}: {error}")),
        }
    }
    drivers
}

/// A file of 64 pages that are in the page cache.
fn file() -> Handle {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    let fd = rustix::fs::open(std::env::temp_dir(), flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    let file = std::fs::File::from(fd.unwrap());
    (&file).write_all(&vec![7; 64 * BYTES as usize]).unwrap();
    Handle::from_owned(OwnedFd::from(file))
}

/// Reads into leases, `idle.len()` in flight, each batch reaped before the next is submitted.
fn reads(driver: &mut Driver, file: &Handle, idle: &mut Vec<Lease>) {
    let depth = idle.len();
    for _ in 0..READS / depth {
        for token in 0..depth as u64 {
            let target = Target::Lease(idle.pop().unwrap(), 0..BYTES);
            let read = Read { file: file.clone(), target, offset: (token % 64) * u64::from(BYTES) };
            driver.submit(Operation::Read(read), token).unwrap();
        }
        while idle.len() < depth {
            let wait = if driver.has_completions() { Wait::No } else { Wait::Forever };
            driver.enter(wait).unwrap();
            driver.reap(usize::MAX, |completion| {
                assert_eq!(completion.result, BYTES as i32);
                let Some(Operation::Read(Read { target: Target::Lease(lease, _), .. })) =
                    completion.operation
                else {
                    panic!("the lease did not come back")
                };
                idle.push(lease);
            });
        }
    }
}

#[test]
fn reads_allocate_nothing_and_share_their_system_calls() {
    for host in [Host::Native, Host::Embedded] {
        for (name, mut driver) in drivers(host) {
            for depth in [1, 100] {
                let file = file();
                let mut idle: Vec<Lease> =
                    (0..depth).map(|_| driver.arena().lease(BYTES as usize).unwrap()).collect();
                reads(&mut driver, &file, &mut idle);
                let (allocations, enters) = (allocations_here(), driver.stats().enters);
                reads(&mut driver, &file, &mut idle);
                let (allocations, enters) =
                    (allocations_here() - allocations, driver.stats().enters - enters);
                check(
                    &format!("driver: allocations per 1,000 reads, depth {depth}"),
                    name,
                    allocations as f64,
                );
                check(&format!("driver: enters per 1,000 reads, depth {depth}"), name, enters as f64);
            }
        }
    }
}
