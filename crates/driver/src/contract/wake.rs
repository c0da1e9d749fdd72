//! Cases: waking, and the host's descriptor.
use super::{
    Case, Drive, Rig, Skip,
    jobs::job,
    rig::{LONG, SHORT, readable, room},
};
use crate::{Host, Wait, op::file::Read};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

pub(super) const CASES: &[Case] = &[
    Case { name: "a wake ends each kind of wait", run: ends_waits },
    Case { name: "a wake before the wait is not lost", run: before },
    Case { name: "a wait ends at its time", run: times_out },
    Case { name: "a handed-over counter is never overlooked", run: handshake },
    Case { name: "a waker outlives its driver", run: outlives },
    Case { name: "the host's descriptor is readable after a wake, until acknowledged", run: host_wake },
    Case { name: "the host's descriptor is readable when something completed", run: host_completion },
];

fn ends_waits(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    for wait in [Wait::Forever, Wait::For(LONG), Wait::Forever] {
        let waker = drive.driver.waker();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            waker.wake();
        });
        let start = Instant::now();
        drive.driver.enter(wait).expect("enter");
        assert!(start.elapsed() < LONG / 2, "{wait:?}");
        thread.join().expect("thread");
        drive.driver.enter(Wait::No).expect("enter");
    }
    let (reader, writer) = drive.pipe();
    let (_, token) = drive.submit(Read { file: reader, target: room(1), offset: u64::MAX });
    let waker = drive.driver.waker();
    let thread = std::thread::spawn(move || waker.wake());
    drive.driver.enter(Wait::Forever).expect("enter");
    thread.join().expect("thread");
    rustix::io::write(&writer, b"x").expect("write");
    assert_eq!(drive.next(token).result, 1, "operations are not disturbed");
    Ok(())
}

fn before(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    for _ in 0..100 {
        drive.driver.waker().wake();
        drive.driver.waker().wake();
        let start = Instant::now();
        drive.driver.enter(Wait::For(LONG)).expect("enter");
        assert!(start.elapsed() < LONG / 2);
    }
    Ok(())
}

fn times_out(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    drive.driver.enter(Wait::No).expect("enter");
    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < Duration::from_millis(20) {
        drive.driver.enter(Wait::For(Duration::from_millis(20))).expect("enter");
        turns += 1;
        assert!(turns < 20, "it may return early, but not spin");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    Ok(())
}

fn handshake(rig: &Rig) -> Result<(), Skip> {
    const COUNT: u64 = 20_000;
    let mut drive = rig.start();
    let counter = Arc::new(AtomicU64::new(0));
    let (waker, theirs) = (drive.driver.waker(), Arc::clone(&counter));
    let thread = std::thread::spawn(move || {
        for n in 0..COUNT {
            theirs.fetch_add(1, Ordering::Release);
            waker.wake();
            if n % 64 == 0 {
                std::thread::yield_now();
            }
        }
    });
    let deadline = Instant::now() + LONG;
    while counter.load(Ordering::Acquire) < COUNT {
        let start = Instant::now();
        assert!(start < deadline);
        drive.driver.enter(Wait::For(LONG)).expect("enter");
        assert!(start.elapsed() < LONG / 2, "a wake was lost at {}", counter.load(Ordering::Relaxed));
    }
    thread.join().expect("thread");
    Ok(())
}

fn outlives(rig: &Rig) -> Result<(), Skip> {
    let drive = rig.start();
    let waker = drive.driver.waker();
    drop(drive);
    waker.wake();
    waker.clone().wake();
    std::thread::spawn(move || waker.wake()).join().expect("thread");
    Ok(())
}

fn embedded(rig: &Rig) -> Result<(), Skip> {
    match rig.options.host {
        Host::Embedded => Ok(()),
        Host::Native => Err(Skip("a native driver has no host that watches its descriptor")),
    }
}

/// What completed in the last `enter` may have signalled once more; after that it must be quiet.
fn settle(drive: &mut Drive) {
    for _ in 0..3 {
        if !readable(drive.host_fd(), Duration::ZERO) {
            return;
        }
        drive.driver.acknowledge();
        drive.driver.enter(Wait::No).expect("enter");
        assert!(!drive.driver.has_completions(), "nothing came");
    }
    assert!(!readable(drive.host_fd(), Duration::ZERO), "a host would spin");
}

fn host_wake(rig: &Rig) -> Result<(), Skip> {
    embedded(rig)?;
    let mut drive = rig.start();
    assert!(!readable(drive.host_fd(), Duration::ZERO), "quiet at first");
    drive.driver.waker().wake();
    assert!(readable(drive.host_fd(), Duration::ZERO), "also before the first enter");
    drive.driver.acknowledge();
    drive.driver.enter(Wait::No).expect("enter");
    for _ in 0..50 {
        settle(&mut drive);
        let waker = drive.driver.waker();
        let thread = std::thread::spawn(move || waker.wake());
        assert!(readable(drive.host_fd(), LONG));
        thread.join().expect("thread");
        drive.driver.acknowledge();
        assert!(!readable(drive.host_fd(), Duration::ZERO), "quiet after acknowledge");
        drive.driver.enter(Wait::No).expect("enter");
    }
    Ok(())
}

fn host_completion(rig: &Rig) -> Result<(), Skip> {
    embedded(rig)?;
    let mut drive = rig.start();
    for _ in 0..50 {
        let (reader, writer) = drive.pipe();
        let (_, token) = drive.submit(Read { file: reader, target: room(1), offset: u64::MAX });
        drive.driver.enter(Wait::No).expect("enter");
        assert!(!drive.driver.has_completions());
        settle(&mut drive);
        rustix::io::write(&writer, b"x").expect("write");
        assert!(readable(drive.host_fd(), LONG));
        drive.driver.acknowledge();
        drive.driver.enter(Wait::No).expect("enter");
        assert!(drive.driver.has_completions(), "what made it readable is there");
        assert_eq!(drive.next(token).result, 1);
    }
    // A job that ends while the host sleeps wakes it too.
    let (_, token) = drive.submit(job(|| {
        std::thread::sleep(SHORT);
        3
    }));
    drive.driver.enter(Wait::No).expect("enter");
    assert!(readable(drive.host_fd(), LONG));
    assert_eq!(drive.next(token).result, 3);
    Ok(())
}
