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
    Case { name: "a driver wakes another, whichever way that one sleeps", run: wakes_another },
    Case { name: "a driver's wake of another that has gone reaches nobody", run: wakes_the_gone },
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

/// Two drivers wake each other in turn: each sleeps for ever until the other's wake.
fn wakes_another(rig: &Rig) -> Result<(), Skip> {
    const ROUNDS: u64 = 500;
    let (first, second) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (give, take) = std::sync::mpsc::channel();
    let (give_back, take_back) = std::sync::mpsc::channel();
    let rally = |drive: &mut Drive, other: crate::Waker, mine: &AtomicU64, theirs: &AtomicU64, serves| {
        for round in 1..=ROUNDS {
            if serves {
                theirs.store(round, Ordering::Release);
                drive.driver.wake_other(&other);
            }
            let start = Instant::now();
            while mine.load(Ordering::Acquire) < round {
                assert!(start.elapsed() < LONG, "round {round} was lost");
                drive.turn(LONG);
            }
            if !serves {
                theirs.store(round, Ordering::Release);
                drive.driver.wake_other(&other);
                drive.driver.enter(Wait::No).expect("enter"); // the wake leaves with it at the latest
            }
        }
    };
    let (rig_there, first_there, second_there) = (rig.clone(), Arc::clone(&first), Arc::clone(&second));
    let thread = std::thread::spawn(move || {
        let mut drive = rig_there.start();
        give.send(drive.driver.waker()).expect("the other side");
        let other = take_back.recv().expect("the other side");
        rally(&mut drive, other, &second_there, &first_there, false);
    });
    let mut drive = rig.start();
    give_back.send(drive.driver.waker()).expect("the other side");
    let other = take.recv().expect("the other side");
    rally(&mut drive, other, &first, &second, true);
    thread.join().expect("thread");
    Ok(())
}

/// A wake that is staged when the other driver ends: it must not reach what has its descriptor's number by then.
fn wakes_the_gone(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    for _ in 0..4 {
        let (give, take) = std::sync::mpsc::channel();
        let other_rig = rig.clone();
        let thread = std::thread::spawn(move || {
            let mut other = other_rig.start();
            give.send(other.driver.waker()).expect("the other side");
            other.driver.enter(Wait::For(SHORT)).expect("enter");
        });
        let waker = take.recv().expect("the other side");
        std::thread::sleep(SHORT / 6); // it sleeps, most likely
        drive.driver.wake_other(&waker);
        thread.join().expect("thread");
        // Whoever starts now may be given the descriptor numbers of the one that ended.
        let mut bystander = rig.start();
        drive.driver.enter(Wait::No).expect("enter");
        drive.nothing_happens();
        bystander.nothing_happens();
        drive.driver.wake_other(&waker);
        drive.driver.enter(Wait::No).expect("enter");
    }
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
