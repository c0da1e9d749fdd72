//! What the executor's tests share: every test runs on both drivers, and a skipped one says so.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
use ringwheel_executor::{DriverKind, Executor, Options};
use std::io::Write;

/// Small enough that a hundred may live beside each other under the usual RLIMIT_MEMLOCK.
pub fn options(kind: DriverKind) -> Options {
    let mut options = Options::default();
    options.driver.kind = Some(kind);
    options.driver.entries = 64;
    options.driver.memory = 1 << 16;
    options.driver.chunks = 32;
    options.driver.pool_threads = 2;
    options
}

pub fn start(kind: DriverKind, change: impl FnOnce(&mut Options)) -> Executor {
    let mut options = options(kind);
    change(&mut options);
    Executor::start(options).unwrap()
}

/// The drivers that start here.
pub fn kinds() -> Vec<DriverKind> {
    let mut kinds = vec![DriverKind::Poll];
    match Executor::start(options(DriverKind::Uring)) {
        Ok(_) => kinds.insert(0, DriverKind::Uring),
        Err(error) => drop(writeln!(std::io::stderr(), "skip: uring: {error}")),
    }
    kinds
}

pub fn both_drivers(test: impl Fn(Executor)) {
    for kind in kinds() {
        test(start(kind, |_| {}));
    }
}
