//! Soft preemption: when a running task learns that it should yield. Only "not before" is tested by the clock; that it comes at all is
//! what the loops wait for, with a limit that no machine is slow enough to reach.
mod common;
use common::{both_drivers, kinds, start};
use ringwheel_executor::{
    DriverKind, Executor, Latency, NoClient, Park, PreemptKind, QueueOptions, TaskQueue, need_preempt, net,
    spawn, spawn_into, yield_if_needed, yield_now,
};
use std::{
    cell::Cell,
    io::Write,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const FOREVER: Duration = Duration::from_secs(20);

/// On both drivers, with each way that there is.
fn all_ways(quota: Duration, test: impl Fn(Executor)) {
    for kind in kinds() {
        let mut ways = vec![PreemptKind::Ticker];
        if kind == DriverKind::Uring {
            ways.push(PreemptKind::Ring);
        }
        for way in ways {
            let executor = start(kind, |options| (options.preempt, options.quota) = (Some(way), quota));
            let made = executor.preempt().map(|preempt| preempt.kind());
            if made != Some(way) {
                drop(writeln!(std::io::stderr(), "skip: {way:?} on {kind:?}: the system refuses it"));
                continue;
            }
            test(executor);
        }
    }
}

/// Works until told to yield; returns how long that took.
fn work() -> Duration {
    let start = Instant::now();
    while !need_preempt() {
        assert!(start.elapsed() < FOREVER, "never told to yield");
        std::hint::spin_loop();
    }
    start.elapsed()
}

#[test]
fn a_task_alone_is_told_at_the_end_of_its_quota_and_not_before() {
    let quota = Duration::from_millis(3);
    all_ways(quota, |mut executor| {
        executor
            .run(async {
                for _ in 0..5 {
                    assert!(work() >= quota);
                    assert!(need_preempt(), "and stays told");
                    yield_if_needed().await; // The next round finds a new slice.
                }
            })
            .unwrap();
    });
}

#[test]
fn nothing_is_made_before_somebody_looks_and_nothing_armed_while_nobody_does() {
    both_drivers(|mut executor| {
        let yields = |times| async move {
            for _ in 0..times {
                yield_now().await;
            }
        };
        executor.run(yields(100)).unwrap();
        let is_ring = executor.preempt().expect("the first look makes it").kind() == PreemptKind::Ring;
        assert_eq!(is_ring, executor.driver_kind() == DriverKind::Uring && has_ring());
        executor.run(yields(10_000)).unwrap();
        let stats = executor.preempt().unwrap().stats();
        assert_eq!((stats.armed, stats.looks), (0, 0));
    });
}

fn has_ring() -> bool {
    ringwheel_driver::preempt::Preempt::start(PreemptKind::Ring, Duration::from_millis(1)).is_ok()
}

#[test]
fn a_timer_is_armed_once_a_quota_however_many_turns_ask() {
    all_ways(Duration::from_secs(1), |mut executor| {
        let start = Instant::now();
        executor
            .run(async {
                for _ in 0..10_000 {
                    yield_if_needed().await;
                    yield_now().await;
                }
            })
            .unwrap();
        let stats = executor.preempt().unwrap().stats();
        assert!(stats.looks >= 20 && stats.armed <= 2 + start.elapsed().as_secs(), "{stats:?}");
    });
}

#[test]
fn without_preemption_the_answer_is_no() {
    for kind in kinds() {
        let mut executor = start(kind, |options| options.preempt = None);
        executor
            .run(async {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(5) {
                    assert!(!need_preempt());
                }
            })
            .unwrap();
        assert!(executor.preempt().is_none());
    }
    assert!(!need_preempt(), "nor outside of an executor");
}

#[test]
fn who_yields_if_needed_lets_the_others_and_the_kernel_go_on() {
    all_ways(Duration::from_micros(200), |mut executor| {
        executor
            .run(async {
                let turns = Rc::new(Cell::new(0));
                let counted = turns.clone();
                let other = spawn(async move {
                    for _ in 0..20 {
                        yield_now().await;
                        counted.set(counted.get() + 1);
                    }
                });
                let start = Instant::now();
                while !other.is_finished() {
                    assert!(start.elapsed() < FOREVER, "the other task starves after {} turns", turns.get());
                    yield_if_needed().await;
                }
                assert!(start.elapsed() >= Duration::from_micros(200), "it yields only when needed");
            })
            .unwrap();
    });
}

#[test]
fn a_wake_of_another_thread_preempts() {
    all_ways(Duration::from_secs(1), |mut executor| {
        let waker = executor.waker();
        executor
            .run(async move {
                for _ in 0..3 {
                    assert!(!need_preempt());
                    let thread = std::thread::spawn(move || waker.wake());
                    assert!(work() < Duration::from_secs(1), "it is the wake, not the quota");
                    thread.join().unwrap();
                    yield_if_needed().await;
                }
            })
            .unwrap();
    });
}

#[test]
fn waking_a_latency_class_preempts_the_one_that_did() {
    all_ways(Duration::from_secs(1), |mut executor| {
        executor
            .run(async {
                let latency = Latency::Matters(Duration::from_secs(10));
                let urgent = TaskQueue::new(QueueOptions { latency, ..Default::default() }).unwrap();
                let ordinary = TaskQueue::new(QueueOptions::default()).unwrap();
                yield_now().await;
                drop(spawn_into(ordinary, async {}));
                assert!(!need_preempt(), "an ordinary queue waits for its share");
                let urgent = spawn_into(urgent, async {});
                assert!(need_preempt());
                yield_if_needed().await;
                assert!(urgent.is_finished(), "it had its turn meanwhile");
            })
            .unwrap();
    });
}

#[test]
fn a_completion_of_a_latency_class_preempts() {
    all_ways(Duration::from_secs(1), |mut executor| {
        let way = executor.preempt().unwrap().kind();
        let address = executor.run(async {
            let listener = net::Listener::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
            let address = listener.local_address().unwrap();
            let latency = Latency::Matters(Duration::from_millis(500));
            let urgent = TaskQueue::new(QueueOptions { latency, ..Default::default() }).unwrap();
            drop(spawn_into(urgent, async move {
                let stream = listener.accept().await.unwrap();
                while let Some(chunk) = stream.receive().await.unwrap() {
                    drop(chunk);
                }
            }));
            yield_now().await;
            address
        });
        let mut stream = std::net::TcpStream::connect(address.unwrap()).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let said = done.clone();
        let client = std::thread::spawn(move || {
            while !said.load(Ordering::Acquire) {
                stream.write_all(b"x").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let early = executor
            .run(async {
                let mut early = 0;
                for _ in 0..8 {
                    // A slice without a completion ends after half of the bound.
                    early += u32::from(work() < Duration::from_millis(100));
                    yield_if_needed().await;
                }
                early
            })
            .unwrap();
        done.store(true, Ordering::Release);
        client.join().unwrap();
        if way == PreemptKind::Ring {
            assert!(early >= 3, "{early} of 8 slices ended with a completion");
        }
    });
}

#[test]
fn hosts_see_the_word_that_tasks_see() {
    all_ways(Duration::from_millis(1), |mut executor| {
        let word = executor.preempt().unwrap().word();
        executor.turn(&mut NoClient, Park::No);
        executor.preempt().unwrap().begin(ringwheel_driver::preempt::now_ns() + 100_000);
        let start = Instant::now();
        while word.load(Ordering::Relaxed) == 0 {
            assert!(start.elapsed() < FOREVER);
        }
        drop(executor);
        let _still_there = word.load(Ordering::Relaxed);
    });
}
