//! Wakers and handles on other threads, during and after the life of their executor.
#![expect(clippy::async_yields_async, reason = "join handles that outlive their run")]
mod common;
use common::both_drivers;
use ringwheel_executor::{
    Executor, ExecutorWaker, JoinError, NoClient, Park, event::Event, spawn, thread, time,
};
use std::{
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// The waker of a task that waits for ever.
async fn waker_of_a_task() -> Waker {
    let (send, receive) = mpsc::channel();
    drop(spawn(poll_fn(move |context| {
        let _ = send.send(context.waker().clone());
        Poll::<()>::Pending
    })));
    loop {
        ringwheel_executor::yield_now().await;
        if let Ok(waker) = receive.try_recv() {
            return waker;
        }
    }
}

#[test]
fn another_thread_wakes_a_sleeping_executor() {
    both_drivers(|mut executor| {
        for _ in 0..50 {
            let event = Event::new();
            let remote = event.clone();
            let setter = std::thread::spawn(move || remote.set());
            executor
                .run(async {
                    time::timeout(Duration::from_secs(5), event.wait()).await.expect("no lost wake")
                })
                .unwrap();
            setter.join().unwrap();
        }
    });
}

#[test]
fn many_threads_wake_many_tasks_and_none_is_lost() {
    const TASKS: u32 = 2000; // more than the ring holds
    both_drivers(|mut executor| {
        let done = Arc::new(AtomicU32::new(0));
        executor
            .run(async {
                let (send, receive) = mpsc::channel::<(Arc<AtomicBool>, Waker)>();
                let wakers = std::thread::spawn(move || {
                    let all: Vec<_> = (0..TASKS).map(|_| receive.recv().unwrap()).collect();
                    std::thread::scope(|scope| {
                        for part in all.chunks(TASKS as usize / 4) {
                            scope.spawn(move || {
                                for (flag, waker) in part {
                                    flag.store(true, Ordering::Relaxed); // the wake publishes it
                                    waker.wake_by_ref();
                                }
                            });
                        }
                    });
                });
                let tasks: Vec<_> = (0..TASKS)
                    .map(|_| {
                        let (send, done) = (send.clone(), done.clone());
                        let flag = Arc::new(AtomicBool::new(false));
                        let mut sent = false;
                        spawn(poll_fn(move |context| {
                            if !std::mem::replace(&mut sent, true) {
                                send.send((flag.clone(), context.waker().clone())).unwrap();
                            }
                            if !flag.load(Ordering::Relaxed) {
                                return Poll::Pending;
                            }
                            done.fetch_add(1, Ordering::Relaxed);
                            Poll::Ready(())
                        }))
                    })
                    .collect();
                for task in tasks {
                    time::timeout(Duration::from_secs(10), task).await.expect("no lost wake").unwrap();
                }
                wakers.join().unwrap();
            })
            .unwrap();
        assert_eq!(done.load(Ordering::Relaxed), TASKS);
        assert!(executor.stats().remote_wakes > 0);
    });
}

#[test]
fn wakers_outlive_their_task_and_their_executor() {
    both_drivers(|mut executor| {
        let kind = executor.driver_kind();
        let stale = executor
            .run(async { spawn(poll_fn(|context| Poll::Ready(context.waker().clone()))).await.unwrap() })
            .unwrap();
        stale.wake_by_ref();
        let (waiting, executor_waker) = (executor.run(waker_of_a_task()).unwrap(), executor.waker());
        drop(executor);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let wakers = [stale.clone(), waiting.clone()];
                std::thread::spawn(move || {
                    for _ in 0..1000 {
                        for waker in &wakers {
                            waker.wake_by_ref();
                            drop(waker.clone());
                        }
                        executor_waker.wake();
                    }
                })
            })
            .collect();
        // The next executor takes the same entry of the address book while they wake.
        let mut next = common::start(kind, |_| {});
        next.run(time::sleep(Duration::from_millis(5))).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(next.stats().remote_wakes, 0, "a stale waker is a no-op");
        stale.wake();
    });
}

#[test]
fn a_remote_handle_joins_cancels_and_outlives() {
    both_drivers(|mut executor| {
        let (value, stuck, lost) = executor
            .run(async {
                let value = spawn(async {
                    time::sleep(Duration::from_millis(3)).await;
                    String::from("value")
                });
                let (stuck, lost) = (spawn(pending::<()>()), spawn(pending::<u8>()));
                (value.into_remote().unwrap(), stuck.into_remote().unwrap(), lost.into_remote().unwrap())
            })
            .unwrap();
        let done = Event::new();
        let remote_done = done.clone();
        let other = std::thread::spawn(move || {
            stuck.cancel();
            let results = (value.join(), stuck.join());
            remote_done.set();
            results
        });
        executor.run(done.wait()).unwrap();
        let (value, stuck) = other.join().unwrap();
        assert_eq!(value.unwrap(), "value");
        assert!(matches!(stuck, Err(JoinError::Cancelled)));
        let waiting = std::thread::spawn(move || {
            let result = lost.is_finished();
            (result, lost.join())
        });
        std::thread::sleep(Duration::from_millis(5));
        drop(executor);
        let (_, lost) = waiting.join().unwrap();
        assert!(matches!(lost, Err(JoinError::Closed)));
    });
}

#[test]
fn a_remote_handle_is_awaited_in_another_executor() {
    both_drivers(|mut executor| {
        let kind = executor.driver_kind();
        let task = executor
            .run(async {
                spawn(async {
                    time::sleep(Duration::from_millis(10)).await;
                    5
                })
                .into_remote()
                .unwrap()
            })
            .unwrap();
        let options = thread::ThreadOptions { executor: common::options(kind), ..Default::default() };
        let other = thread::start(options, move || async move { task.await.unwrap() }).unwrap();
        executor.run(time::sleep(Duration::from_millis(50))).unwrap();
        assert_eq!(other.join().unwrap(), 5);
    });
}

#[test]
fn an_executor_inside_another_keeps_them_apart() {
    both_drivers(|mut outer| {
        let kind = outer.driver_kind();
        let waker = outer
            .run(async {
                let waker = waker_of_a_task().await;
                let mut inner = common::start(kind, |_| {});
                inner
                    .run(async {
                        waker.wake_by_ref(); // of the outer one, from this same thread
                        time::sleep(Duration::from_millis(2)).await;
                    })
                    .unwrap();
                spawn(async { 1 }).await.unwrap();
                waker
            })
            .unwrap();
        waker.wake();
    });
}

#[test]
fn an_idle_executor_sleeps_until_its_timer() {
    both_drivers(|mut executor| {
        executor.run(async { time::sleep(Duration::from_millis(1)).await }).unwrap();
        let before = executor.stats();
        let start = Instant::now();
        executor.run(async { time::sleep(Duration::from_secs(1)).await }).unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert!(start.elapsed() < Duration::from_millis(1100));
        let stats = executor.stats();
        let (turns, parks) = (stats.turns - before.turns, stats.parks - before.parks);
        assert!(parks <= 3, "{parks} parks");
        assert!(turns <= 5, "{turns} turns");
    });
}

#[test]
fn a_park_after_a_long_turn_is_not_too_long() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let start = Instant::now();
                let sleep = time::sleep(Duration::from_millis(100));
                time::now();
                std::thread::sleep(Duration::from_millis(90));
                sleep.await;
                assert!(start.elapsed() < Duration::from_millis(160), "{:?}", start.elapsed());
            })
            .unwrap();
    });
}

#[test]
fn a_spin_still_sleeps_wakes_and_fires() {
    both_drivers(|executor| {
        let kind = executor.driver_kind();
        drop(executor);
        let mut executor = common::start(kind, |options| options.spin = Some(Duration::from_micros(200)));
        let event = Event::new();
        let remote = event.clone();
        let setter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            remote.set();
        });
        executor
            .run(async {
                time::sleep(Duration::from_millis(5)).await;
                time::timeout(Duration::from_secs(5), event.wait()).await.unwrap();
            })
            .unwrap();
        setter.join().unwrap();
        assert!(executor.stats().parks > 0, "it gave up spinning");
    });
}

/// A turn that has taken the wake must not sleep on it: the host would never hear.
#[test]
fn a_wake_before_a_turn_ends_that_turn() {
    both_drivers(|mut executor| {
        let waker = executor.waker();
        for _ in 0..3 {
            waker.wake();
            assert!(executor.turn(&mut NoClient, Park::Thread).called);
        }
        for _ in 0..200 {
            let other = std::thread::spawn(move || waker.wake());
            while !executor.turn(&mut NoClient, Park::Thread).called {}
            other.join().unwrap();
        }
    });
}

#[test]
fn whoever_watches_an_executor_is_woken_by_its_end() {
    both_drivers(|mut executor| {
        let kind = executor.driver_kind();
        let bits = |executor: &Executor| ExecutorWaker::from_bits(executor.waker().to_bits());
        let other = common::start(kind, |_| {});
        let watched = bits(&other);
        assert_eq!(watched, other.waker());
        assert!(watched.watch(bits(&executor)));
        assert!(watched.watch(bits(&executor)), "twice is once");
        let before = executor.stats().turns;
        drop(other);
        let turn = executor.turn(&mut NoClient, Park::No);
        assert!(turn.called, "woken by the end");
        assert!(executor.stats().turns > before);
        assert!(!watched.watch(bits(&executor)), "too late");
        assert!(!ExecutorWaker::from_bits(u64::MAX).watch(bits(&executor)), "never was");
        assert!(!executor.turn(&mut NoClient, Park::No).called);
        // Watchers that are gone are no burden.
        let other = common::start(kind, |_| {});
        for _ in 0..200 {
            let gone = bits(&common::start(kind, |_| {}));
            assert!(other.waker().watch(gone));
        }
    });
}
