//! Ten thousand executors come and go: descriptors, mappings and memory stay flat, although wakers outlive them.
//! In a process of their own and one at a time, since these tests count what the whole process holds.
#![expect(clippy::async_yields_async, reason = "join handles that outlive their run")]
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::both_drivers;
use ringwheel_executor::{
    Executor, QueueOptions, TaskQueue, fs, need_preempt, net,
    pool::{ExecutorPool, PoolOptions},
    spawn, spawn_into, time, try_spawn, yield_now,
};
use std::{
    future::{pending, poll_fn},
    sync::{Mutex, PoisonError, mpsc},
    task::{Poll, Waker},
    time::Duration,
};

static ALONE: Mutex<()> = Mutex::new(());

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
            // A queue with a task in it, and preemption with a timer that is set.
            let queue = TaskQueue::new(QueueOptions::default()).unwrap();
            drop(spawn_into(queue, pending::<()>()));
            need_preempt();
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
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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

#[test]
fn pools_leave_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    both_drivers(|executor| {
        let mut options = PoolOptions { size: Some(3), replace: true, ..PoolOptions::default() };
        options.executor = common::options(executor.driver_kind());
        let one = || {
            let pool = ExecutorPool::start(options.clone()).unwrap();
            let calls = [pool.run(0, pending::<()>), pool.run(1, pending::<()>)];
            pool.run(2, || async { time::sleep(Duration::from_millis(1)).await }).join().unwrap();
            pool.kill(0, "expected");
            drop(pool);
            calls.into_iter().for_each(|call| assert!(call.join().is_err()));
        };
        (0..10).for_each(|_| one());
        let before = held();
        (0..100).for_each(|_| one());
        // A thread tells that it ends just before it does.
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let mut after = held();
        for _ in 0..100 {
            if after.descriptors <= before.descriptors && threads() <= 4 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            after = held();
        }
        assert!(after.descriptors <= before.descriptors, "{before:?} then {after:?}");
        assert!(threads() <= 4, "{} threads", threads());
        assert!(after.resident_kib <= before.resident_kib + 4096, "{before:?} then {after:?}");
    });
}
