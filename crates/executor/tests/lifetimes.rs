//! Ten thousand executors come and go: descriptors, mappings and memory stay flat, although wakers outlive them.
//! One test in its own process, since it counts what the whole process holds.
#![expect(clippy::async_yields_async, reason = "join handles that outlive their run")]
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::both_drivers;
use ringwheel_executor::{Executor, fs, net, spawn, time, try_spawn, yield_now};
use std::{
    future::{pending, poll_fn},
    sync::mpsc,
    task::{Poll, Waker},
    time::Duration,
};

const EXECUTORS: usize = 10_000;
const WARM: usize = 500;

#[derive(Clone, Copy, Debug)]
struct Held {
    descriptors: usize,
    mappings: usize,
    resident_kib: usize,
}

fn held() -> Held {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    Held {
        descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        mappings: std::fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
        resident_kib: resident.split_whitespace().nth(1).unwrap().parse().unwrap(),
    }
}

/// Starts one, gives it work of each kind, and drops it with work in flight. Returns a waker that outlives it.
fn one(options: &ringwheel_executor::Options) -> Waker {
    let mut executor = Executor::start(options.clone()).unwrap();
    let (send, receive) = mpsc::channel();
    let handle = executor
        .run(async {
            drop(spawn(poll_fn(move |context| {
                let _ = send.send(context.waker().clone());
                Poll::<()>::Pending
            })));
            drop(spawn(time::sleep(Duration::from_secs(100))));
            let listener = net::Listener::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
            drop(spawn(async move { listener.accept().await.map(drop) }));
            drop(spawn(async { fs::File::open("/dev/null", 0).await.map(drop) }));
            yield_now().await;
            spawn(pending::<()>())
        })
        .unwrap();
    drop(executor);
    assert!(handle.is_finished(), "a join handle outlives it too");
    receive.recv().unwrap()
}

#[test]
fn ten_thousand_executors_leave_nothing() {
    both_drivers(|executor| {
        let kind = executor.driver_kind();
        drop(executor);
        let mut options = common::options(kind);
        options.driver.entries = 8;
        options.driver.chunks = 8;
        options.driver.chunk_bytes = 512;
        let mut wakers: Vec<Waker> = (0..WARM).map(|_| one(&options)).collect();
        wakers.reserve(EXECUTORS);
        let before = held();
        for number in WARM..EXECUTORS {
            wakers.push(one(&options));
            wakers[number / 2].wake_by_ref();
        }
        // Threads of the blocking pool are told to end, not waited for: give the last of them a moment.
        let flat = |after: Held| after.descriptors <= before.descriptors && after.mappings <= before.mappings;
        let mut after = held();
        for _ in 0..100 {
            if flat(after) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            after = held();
        }
        std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake)).join().unwrap();
        assert!(after.descriptors <= before.descriptors + 4, "{kind:?}: {before:?} then {after:?}");
        // The allocator keeps an arena per thread that ran at once, and thread stacks for the next: tens, whatever the number.
        assert!(after.mappings <= before.mappings + 100, "{kind:?}: {before:?} then {after:?}");
        // The wakers themselves are 16 bytes each; the rest is the allocator's slack.
        assert!(after.resident_kib <= before.resident_kib + 2048, "{kind:?}: {before:?} then {after:?}");
    });
    assert!(try_spawn(async {}).is_err(), "no executor is current any more");
}
