//! Ten thousand executors end while wakes are on the way to them, from another executor (whose wakes leave with its own
//! system call) and from a plain thread: nothing is lost, nothing is kept, nobody else is disturbed.
//! One test in its own process, since it counts what the whole process holds.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::both_drivers;
use ringwheel_executor::{DriverKind, Options, Remote, submit_to, time, yield_now};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

/// On each driver, by two threads.
const EXECUTORS: u32 = 5_000;
const THREADS: u32 = 2;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn small(options: &mut Options) {
    options.driver.entries = 8;
    options.driver.chunks = 8;
    options.driver.chunk_bytes = 512;
}

/// Executors one after the other: each sleeps until it has been called, then ends, with more on the way.
fn come_and_go(kind: DriverKind, count: u32, tell: &mpsc::Sender<(Remote, Arc<AtomicU32>)>) {
    for _ in 0..count {
        let mut executor = common::start(kind, small);
        let calls = Arc::new(AtomicU32::new(0));
        tell.send((executor.remote(), calls.clone())).unwrap();
        executor
            .run(async {
                let called = async {
                    while calls.load(Ordering::Acquire) == 0 {
                        // Only a task's end or a wake of another thread ends the sleep: a lost one is a timeout.
                        Remote::current().unwrap().wake();
                        yield_now().await;
                        std::future::poll_fn(|context| {
                            if calls.load(Ordering::Acquire) > 0 {
                                return std::task::Poll::Ready(());
                            }
                            WAKER.with(|slot| slot.set(Some(context.waker().clone())));
                            std::task::Poll::Pending
                        })
                        .await;
                    }
                };
                time::timeout(Duration::from_secs(20), called).await.expect("no wake was lost");
            })
            .unwrap();
    }
}

thread_local! {
    /// The task that waits for a call on this thread.
    static WAKER: std::cell::Cell<Option<std::task::Waker>> = const { std::cell::Cell::new(None) };
}

/// Calls an executor that may be gone by now.
fn call(target: &Remote, calls: &Arc<AtomicU32>) {
    let calls = calls.clone();
    let sent = submit_to(target, move || async move {
        calls.fetch_add(1, Ordering::Release);
        if let Some(waker) = WAKER.with(std::cell::Cell::take) {
            waker.wake();
        }
    });
    drop(sent);
}

/// Executors that come and go while two threads call them; how many wakes went along with a system call of the one that has an executor.
fn round(kind: DriverKind, executors: u32) -> u64 {
    let (tell, told) = mpsc::channel();
    let (pass, passed) = mpsc::channel::<(Remote, Arc<AtomicU32>)>();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let tell = tell.clone();
            std::thread::spawn(move || come_and_go(kind, executors / THREADS, &tell))
        })
        .collect();
    drop(tell);
    let plain = std::thread::spawn(move || {
        for (target, calls) in passed {
            for _ in 0..3 {
                target.wake();
                call(&target, &calls);
            }
        }
    });
    let mut caller = common::start(kind, small);
    let met = caller
        .run(async {
            let mut met = 0;
            let mut recent: Vec<(Remote, Arc<AtomicU32>)> = Vec::new();
            loop {
                let newest = match told.try_recv() {
                    Ok(newest) => newest,
                    Err(mpsc::TryRecvError::Disconnected) => break,
                    Err(mpsc::TryRecvError::Empty) => {
                        std::thread::yield_now();
                        yield_now().await;
                        continue;
                    }
                };
                met += 1;
                call(&newest.0, &newest.1);
                pass.send(newest.clone()).unwrap();
                recent.push(newest);
                for (target, calls) in &recent {
                    call(target, calls);
                }
                yield_now().await;
                if recent.len() > 8 {
                    recent.remove(0);
                }
            }
            drop(pass);
            met
        })
        .unwrap();
    assert_eq!(met, executors);
    for thread in threads {
        thread.join().unwrap();
    }
    plain.join().unwrap();
    caller.stats().driver.wakes_sent
}

#[test]
fn executors_end_with_wakes_in_flight() {
    both_drivers(|executor| {
        let kind = executor.driver_kind();
        drop(executor);
        // Only warms up: address book, thread stacks.
        let mut sent = round(kind, 200);
        let before = descriptors();
        sent += round(kind, EXECUTORS);
        let after = descriptors();
        assert!(after <= before + 4, "{kind:?}: {before} descriptors, then {after}");
        if kind == DriverKind::Uring {
            // Of some rounds none does: whoever is called is awake each time.
            let more = (0..50).find(|_| sent > 0 || round(kind, 200) > 0);
            assert!(more.is_some(), "some go along with a system call");
        }
    });
}
