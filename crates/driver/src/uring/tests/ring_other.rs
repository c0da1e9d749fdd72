//! Messages to other rings: what becomes of the descriptors they name, and of those that do not get there.
use super::*;
use crate::wake::Signal;
use rustix::event::{EventfdFlags, eventfd};

#[test]
fn a_ring_that_is_rung_stays_until_the_kernel_has_looked() {
    let mut driver = driver(Host::Native);
    for round in 0..100 {
        let other = self::driver(Host::Native);
        let waker = other.waker();
        let ring = Arc::downgrade(&waker.ring().expect("a ring of its own"));
        assert!(waker.park(), "as if it slept");
        driver.wake_other(&waker);
        driver.wake_other(&waker);
        assert_eq!(driver.stats().wakes_sent, round + 1, "one message, however many wakes");
        drop(other);
        assert!(ring.upgrade().is_some(), "the staged message names it");
        driver.enter(Wait::No).unwrap();
        driver.reap(usize::MAX, |completion| panic!("{completion:?}"));
        assert!(ring.upgrade().is_none(), "nobody needs it any more");
        driver.wake_other(&waker);
        assert_eq!(driver.stats().wakes_sent, round + 1, "it is gone");
    }
}

#[test]
fn a_message_that_is_refused_becomes_a_signal() {
    let mut driver = driver(Host::Native);
    let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap());
    // Not a ring: the kernel refuses the message with EBADFD.
    let (not_a_ring, _writer) = rustix::pipe::pipe().unwrap();
    let ring = Address::at(Arc::new(not_a_ring));
    let waker = Waker::new(Signal::Ring { ring, eventfd: Arc::clone(&event) });
    assert!(waker.park());
    driver.wake_other(&waker);
    assert!(!readable(event.as_raw_fd(), 0));
    driver.enter(Wait::No).unwrap();
    driver.reap(usize::MAX, |completion| panic!("{completion:?}"));
    assert!(readable(event.as_raw_fd(), 0));
}

#[test]
fn a_driver_that_ends_with_a_message_staged_signals_instead() {
    let mut driver = driver(Host::Native);
    let mut other = self::driver(Host::Native);
    assert!(other.waker().park());
    driver.wake_other(&other.waker());
    drop(driver);
    let start = Instant::now();
    other.enter(Wait::For(Duration::from_secs(10))).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn more_messages_than_entries_all_get_there() {
    let mut driver = Driver::start(&Options { entries: 8, ..options(Host::Native) }).unwrap();
    let mut others: Vec<Driver> = (0..50)
        .map(|_| {
            Driver::start(&Options { entries: 8, memory: 1 << 16, chunks: 8, ..options(Host::Native) })
                .unwrap()
        })
        .collect();
    for other in &others {
        assert!(other.waker().park());
        driver.wake_other(&other.waker());
    }
    driver.enter(Wait::No).unwrap();
    driver.reap(usize::MAX, |completion| panic!("{completion:?}"));
    assert_eq!(driver.stats().wakes_sent, 50);
    for other in &mut others {
        let start = Instant::now();
        other.enter(Wait::For(Duration::from_secs(10))).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
