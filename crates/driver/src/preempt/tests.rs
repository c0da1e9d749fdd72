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
fn what_is_watched_always_raises_the_word_of_every_slice() {
    for preempt in ways() {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        let other = fd.try_clone().expect("a second descriptor");
        preempt.watch_always(fd);
        let far = || now_ns() + 10_000_000_000;
        for _ in 0..20 {
            preempt.begin(far());
            assert!(!preempt.is_raised());
            let writer = other.try_clone().expect("a third");
            let thread = std::thread::spawn(move || rustix::io::write(&writer, &1_u64.to_ne_bytes()));
            spin_until_raised(&preempt);
            assert!(preempt.confirm(), "{preempt:?}");
            thread.join().expect("it only writes").expect("write");
            preempt.begin(far());
            spin_until_raised(&preempt); // It is readable still.
            assert!(preempt.confirm(), "{preempt:?}");
            rustix::io::read(&other, &mut [0; 8]).expect("read");
        }
        assert_eq!(preempt.stats().armed, 1, "{preempt:?}: one timer for all of them");
    }
}

#[test]
fn who_waits_before_it_is_time_is_let_in_when_it_is() {
    for preempt in ways() {
        let fd = eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        preempt.watch_always(fd);
        for _ in 0..20 {
            let early = now_ns() + 300_000;
            preempt.begin_as_looked_at(early + 10_000_000_000, early);
            spin_until_raised(&preempt);
            let mut looks = 0;
            while !preempt.confirm() {
                spin_until_raised(&preempt);
                looks += 1;
            }
            assert!(now_ns() >= early && now_ns() < early + 10_000_000_000, "{preempt:?}");
            assert!(
                looks <= 20,
                "{preempt:?}: the word was lowered in between, and not {looks} times in vain"
            );
        }
    }
}

#[test]
fn after_a_look_the_next_slices_need_none_to_be_armed() {
    for preempt in ways() {
        let far = now_ns() + 10_000_000_000;
        preempt.begin_as_looked_at(far, 0);
        assert!(preempt.is_raised() && !preempt.is_looked_at());
        assert!(!preempt.confirm());
        for _ in 0..EAGER {
            assert!(preempt.is_looked_at());
            preempt.begin_as_looked_at(far, 0);
            assert!(!preempt.is_raised());
        }
        preempt.begin_as_looked_at(far, 0);
        assert!(preempt.is_raised(), "nobody looked for so long that nothing need be armed");
    }
}

#[test]
fn a_page_rests_before_it_is_used_again() {
    for kind in ways().iter().map(Preempt::kind) {
        let mut words = Vec::new();
        for _ in 0..50 {
            let start = now_ns();
            let preempt = Preempt::start(kind, Duration::from_millis(1)).expect("it did start before");
            preempt.begin(now_ns() + 50_000);
            let word: *const AtomicU32 = preempt.word();
            // Until it was given back, which is later than `start`.
            assert!(words.iter().all(|(other, given)| *other != word || *given + page::REST <= now_ns()));
            drop(preempt);
            words.push((word, start));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_an_earlier_ring_leaves_is_no_completion() {
    for tail in [2, 8, u32::MAX] {
        let Ok(preempt) = Preempt::start(PreemptKind::Ring, Duration::from_millis(1)) else { return };
        let Way::Ring(ring) = &preempt.way else { panic!("it is a ring") };
        ring.spoil_tail(tail);
        for _ in 0..20 {
            let deadline = now_ns() + 200_000;
            preempt.begin(deadline);
            assert!(!preempt.is_raised() || now_ns() >= deadline, "a timer that is set has not fired");
            while !preempt.confirm() {
                spin_until_raised(&preempt);
            }
            assert!(now_ns() >= deadline);
        }
        preempt.begin(now_ns() + 10_000_000_000);
        assert!(!preempt.is_raised(), "nothing overflowed");
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
