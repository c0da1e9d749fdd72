//! Both ways raise the word in time and not for nothing; what is gone raises nothing any more.
use super::*;
use rustix::event::{EventfdFlags, eventfd};
use std::{io::Write, os::fd::AsRawFd, time::Instant};

/// The ways that there are here.
fn ways() -> Vec<Preempt> {
    let mut ways = Vec::new();
    for kind in [PreemptKind::Ring, PreemptKind::Ticker] {
        match Preempt::start(kind, Duration::from_millis(1)) {
            Ok(preempt) => ways.push(preempt),
            Err(error) => drop(writeln!(std::io::stderr(), "skip: preemption by {kind:?}: {error}")),
        }
    }
    ways
}

/// Spins without a system call until the word is raised; a test that hangs must fail.
fn spin_until_raised(preempt: &Preempt) {
    let start = Instant::now();
    while !preempt.is_raised() {
        assert!(start.elapsed() < Duration::from_secs(5), "{preempt:?} is never raised");
        std::hint::spin_loop();
    }
}

#[test]
fn the_word_is_raised_while_the_thread_is_in_user_code_and_never_confirmed_early() {
    for preempt in ways() {
        for _ in 0..50 {
            let deadline = now_ns() + 300_000;
            preempt.begin(deadline);
            spin_until_raised(&preempt);
            while !preempt.confirm() {
                spin_until_raised(&preempt);
            }
            assert!(now_ns() >= deadline, "{preempt:?}");
            assert!(preempt.is_raised(), "a slice that is over stays over");
        }
    }
}

#[test]
fn a_deadline_that_passes_while_its_timer_is_set_raises_the_word_all_the_same() {
    for preempt in ways() {
        for round in 0..3_000 {
            let deadline = now_ns() + round % 50 * 100;
            preempt.begin(deadline);
            spin_until_raised(&preempt);
            while !preempt.confirm() {
                spin_until_raised(&preempt);
            }
            assert!(now_ns() >= deadline, "{preempt:?}");
        }
    }
}

#[test]
fn a_slice_that_nobody_looks_at_arms_nothing_and_the_first_look_does() {
    for preempt in ways() {
        for _ in 0..10 {
            preempt.begin_lazily(None);
        }
        assert_eq!(preempt.stats().armed, 0);
        assert!(preempt.is_raised(), "it asks to be looked at");
        let start = now_ns();
        assert!(!preempt.confirm());
        assert_eq!(preempt.stats().armed, 1);
        spin_until_raised(&preempt);
        while !preempt.confirm() {
            spin_until_raised(&preempt);
        }
        assert!(now_ns() >= start + 1_000_000, "the quota counts from the first look");
        preempt.begin_lazily(Some(now_ns() - 1));
        assert!(preempt.confirm(), "a slice of no length is over at the first look");
    }
}

#[test]
fn a_timer_is_chased_and_not_moved() {
    for preempt in ways() {
        let first = now_ns() + 10_000_000_000;
        for slice in 0..1000 {
            preempt.begin(first + slice);
        }
        assert_eq!(preempt.stats().armed, 1, "{preempt:?}: 1,000 slices share a timer");
        let earlier = now_ns() + 200_000;
        preempt.begin(earlier);
        assert_eq!(preempt.stats().armed, 2, "{preempt:?}: but not one that would fire too late");
        spin_until_raised(&preempt);
        assert!(now_ns() < first, "{preempt:?}");
    }
}

#[test]
fn a_message_raises_the_word_and_is_kept_until_it_is_seen() {
    for preempt in ways() {
        preempt.begin(now_ns() + 1_000_000_000);
        let word = preempt.word();
        std::thread::spawn(move || raise_for_message(word));
        spin_until_raised(&preempt);
        assert!(preempt.confirm());
        preempt.begin(now_ns() + 1_000_000_000);
        assert!(preempt.is_raised() && preempt.confirm(), "a new slice does not lose it");
        preempt.messages_seen();
        preempt.begin(now_ns() + 1_000_000_000);
        assert!(!preempt.is_raised());
    }
}

#[test]
fn our_bits_and_the_kernels_do_not_disturb_each_other() {
    for preempt in ways() {
        for _ in 0..100 {
            preempt.begin(now_ns() + 20_000);
            raise_for_message(preempt.word());
            std::thread::sleep(Duration::from_micros(100)); // The timer fires in between.
            preempt.begin(now_ns() + 1_000_000_000); // Clears the kernel's bit by entering.
            assert_eq!(preempt.word().load(Ordering::Relaxed), MESSAGE);
            preempt.messages_seen();
            assert!(!preempt.is_raised());
        }
    }
}

#[test]
fn a_watched_descriptor_raises_the_word_of_the_ring() {
    for preempt in ways() {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        preempt.begin(now_ns() + 10_000_000_000);
        if !preempt.watch(fd.as_raw_fd()) {
            assert_eq!(preempt.kind(), PreemptKind::Ticker);
            continue;
        }
        assert!(!preempt.is_raised());
        rustix::io::write(&fd, &1_u64.to_ne_bytes()).expect("write");
        spin_until_raised(&preempt);
        assert!(preempt.confirm());
        preempt.begin(now_ns() + 10_000_000_000);
        assert!(!preempt.is_raised(), "once");
    }
}

#[test]
fn a_page_is_used_again_only_when_its_ring_is_quiet() {
    for kind in ways().iter().map(Preempt::kind) {
        for _ in 0..300 {
            let preempt = Preempt::start(kind, Duration::from_millis(1)).expect("it did start before");
            preempt.begin(now_ns() + 50_000);
            let word = preempt.word();
            drop(preempt);
            let next = Preempt::start(kind, Duration::from_millis(1)).expect("it did start before");
            next.begin(now_ns() + 1_000_000_000);
            if std::ptr::eq(next.word(), word) {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(100) {
                    assert!(!next.is_raised(), "{kind:?}: the timer of the one before");
                }
            }
        }
    }
}

#[test]
fn many_threads_share_the_ticker() {
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            std::thread::spawn(move || {
                let preempt =
                    Preempt::start(PreemptKind::Ticker, Duration::from_millis(1)).expect("a thread");
                for round in 0..20 {
                    let deadline = now_ns() + 50_000 * (1 + (thread + round) % 5);
                    preempt.begin(deadline);
                    let start = Instant::now();
                    while !preempt.is_raised() {
                        assert!(start.elapsed() < Duration::from_secs(5), "never raised");
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("every thread is preempted");
    }
}
