//! Work for other executors: results, panics, cancels, ends; every closure and result dropped exactly once.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::{both_drivers, kinds};
use ringwheel_executor::{
    DriverKind, Executor, JoinError, Remote, RemoteHandle, SubmitError, event::Event, submit_to, thread, time,
};
use std::{
    future::pending,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

/// An executor on a thread of its own, until `stop`.
struct Other {
    target: Remote,
    stop: Event,
    thread: thread::Thread<()>,
}

fn other(kind: DriverKind, tasks_max: u32) -> Other {
    let (tell, told) = mpsc::channel();
    let stop = Event::new();
    let until = stop.clone();
    let mut options = thread::ThreadOptions { executor: common::options(kind), ..Default::default() };
    options.executor.tasks_max = tasks_max;
    let thread = thread::start(options, move || {
        tell.send(Remote::current().unwrap()).unwrap();
        async move { until.wait().await }
    });
    Other { target: told.recv().unwrap(), stop, thread: thread.unwrap() }
}

impl Other {
    fn end(self) {
        self.stop.set();
        self.thread.join().unwrap();
    }
}

/// Counts its drops.
#[derive(Debug)]
struct Counted(Arc<AtomicU32>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_call_runs_over_there_and_its_result_comes_back() {
    both_drivers(|mut executor| {
        let other = other(executor.driver_kind(), 100);
        let here = std::thread::current().id();
        let result = executor
            .run(async {
                let mut sum = 0;
                for round in 0..200_u64 {
                    let call = submit_to(&other.target, move || {
                        let local = Rc::new(round);
                        async move {
                            if round % 50 == 0 {
                                time::sleep(Duration::from_millis(1)).await;
                            }
                            assert_ne!(std::thread::current().id(), here);
                            *local
                        }
                    });
                    sum += call.unwrap().await.unwrap();
                }
                sum
            })
            .unwrap();
        assert_eq!(result, 199 * 200 / 2);
        // Without an executor around the caller.
        let call = submit_to(&other.target, || async { 7 }).unwrap();
        assert_eq!(call.join().unwrap(), 7);
        other.end();
    });
}

#[test]
fn an_executor_may_call_itself() {
    both_drivers(|mut executor| {
        let target = executor.remote();
        let result = executor.run(async { submit_to(&target, || async { 5 }).unwrap().await }).unwrap();
        assert_eq!(result.unwrap(), 5);
    });
}

#[test]
fn calls_start_in_order() {
    both_drivers(|mut executor| {
        let other = other(executor.driver_kind(), 5000);
        let seen = Arc::new(AtomicU32::new(0));
        executor
            .run(async {
                let calls: Vec<RemoteHandle<u32>> = (0..2000)
                    .map(|_| {
                        let seen = seen.clone();
                        submit_to(&other.target, move || {
                            let number = seen.fetch_add(1, Ordering::SeqCst);
                            async move { number }
                        })
                        .unwrap()
                    })
                    .collect();
                for (index, call) in calls.into_iter().enumerate() {
                    assert_eq!(call.await.unwrap(), index as u32);
                }
            })
            .unwrap();
        other.end();
    });
}

#[test]
fn panics_come_back_and_harm_nobody() {
    both_drivers(|mut executor| {
        let other = other(executor.driver_kind(), 100);
        executor
            .run(async {
                let closure = submit_to(&other.target, || {
                    assert!(std::hint::black_box(false), "in the closure");
                    async {}
                });
                let future = submit_to(&other.target, || async {
                    time::sleep(Duration::from_millis(1)).await;
                    panic!("in the future");
                });
                struct Bad;
                impl Drop for Bad {
                    fn drop(&mut self) {
                        panic!("in the destructor");
                    }
                }
                let begun = Event::new();
                let begins = begun.clone();
                let destructor = submit_to(&other.target, move || async move {
                    let _bad = Bad;
                    begins.set();
                    pending::<()>().await;
                })
                .unwrap();
                begun.wait().await;
                destructor.cancel();
                for (call, text) in [
                    (closure.unwrap(), "in the closure"),
                    (future.unwrap(), "in the future"),
                    (destructor, "in the destructor"),
                ] {
                    match call.await {
                        Err(JoinError::Panicked(payload)) => {
                            assert_eq!(payload.to_string(), text);
                        }
                        other => panic!("{text}: {other:?}"),
                    }
                }
                assert_eq!(submit_to(&other.target, || async { 1 }).unwrap().await.unwrap(), 1);
            })
            .unwrap();
        other.end();
    });
}

#[test]
fn a_cancel_ends_the_call_and_drops_what_it_holds() {
    both_drivers(|mut executor| {
        let other = other(executor.driver_kind(), 100);
        let dropped = Arc::new(AtomicU32::new(0));
        let held = Counted(dropped.clone());
        executor
            .run(async {
                let begun = Event::new();
                let begins = begun.clone();
                let call = submit_to(&other.target, move || async move {
                    let _held = held;
                    begins.set();
                    pending::<()>().await;
                })
                .unwrap();
                begun.wait().await;
                assert_eq!(dropped.load(Ordering::SeqCst), 0);
                call.cancel();
                assert!(matches!(call.await, Err(JoinError::Cancelled)));
                assert_eq!(dropped.load(Ordering::SeqCst), 1, "dropped before anyone hears of it");
            })
            .unwrap();
        other.end();
    });
}

#[test]
fn the_end_of_an_executor_settles_every_call_and_gives_new_ones_back() {
    both_drivers(|mut executor| {
        let kind = executor.driver_kind();
        let dropped = Arc::new(AtomicU32::new(0));
        // Some run, some wait in the inbox: it has not taken a turn since.
        let target_executor = common::start(kind, |_| {});
        let target = target_executor.remote();
        let calls: Vec<RemoteHandle<()>> = (0..10)
            .map(|_| {
                let held = Counted(dropped.clone());
                submit_to(&target, move || async move {
                    let _held = held;
                    pending::<()>().await;
                })
                .unwrap()
            })
            .collect();
        assert!(!target.is_closed());
        drop(target_executor);
        assert!(target.is_closed());
        for call in calls {
            assert!(matches!(call.join(), Err(JoinError::Closed)));
        }
        assert_eq!(dropped.load(Ordering::SeqCst), 10);
        let held = Counted(dropped.clone());
        let refused = submit_to(&target, move || async move { drop(held) }).unwrap_err();
        assert!(refused.to_string().starts_with("ERR_RINGWHEEL_CLOSED"));
        assert_eq!(dropped.load(Ordering::SeqCst), 10, "the closure is back");
        drop(refused.into_inner());
        assert_eq!(dropped.load(Ordering::SeqCst), 11);
        target.wake();

        // And one that ends in the middle of running ones.
        let other = other(kind, 100);
        executor
            .run(async {
                let call = submit_to(&other.target, pending::<()>).unwrap();
                time::sleep(Duration::from_millis(2)).await;
                other.stop.set();
                assert!(matches!(call.await, Err(JoinError::Closed)));
            })
            .unwrap();
        other.thread.join().unwrap();
    });
}

#[test]
fn more_calls_than_tasks_wait_for_room_and_all_run() {
    both_drivers(|mut executor| {
        let other = other(executor.driver_kind(), 8);
        executor
            .run(async {
                let calls: Vec<RemoteHandle<u32>> = (0..500)
                    .map(|number| {
                        submit_to(&other.target, move || async move {
                            if number % 7 == 0 {
                                time::sleep(Duration::from_millis(1)).await;
                            }
                            number
                        })
                        .unwrap()
                    })
                    .collect();
                for (index, call) in calls.into_iter().enumerate() {
                    assert_eq!(call.await.unwrap(), index as u32);
                }
            })
            .unwrap();
        other.end();
    });
}

#[test]
fn a_full_inbox_gives_the_closure_back() {
    let executor = common::start(DriverKind::Poll, |_| {});
    let target = executor.remote();
    let mut refused = None;
    for _ in 0..=65_536 {
        if let Err(error) = submit_to(&target, || async { 3 }) {
            refused = Some(error);
        }
    }
    let refused = refused.expect("one more than there is room for");
    assert!(matches!(refused, SubmitError::Full(_)));
    assert!(refused.to_string().starts_with("ERR_RINGWHEEL_FULL"));
    drop(executor);
}

#[test]
fn many_threads_call_while_executors_come_and_go() {
    for kind in kinds() {
        let (settled, refused) = (AtomicU32::new(0), AtomicU32::new(0));
        let dropped = Arc::new(AtomicU32::new(0));
        const THREADS: u32 = 4;
        const CALLS: u32 = 250;
        for _ in 0..8 {
            let other = other(kind, 1000);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    let (target, dropped) = (&other.target, &dropped);
                    let (settled, refused) = (&settled, &refused);
                    scope.spawn(move || {
                        for number in 0..CALLS {
                            let held = Counted(dropped.clone());
                            let call = submit_to(target, move || async move {
                                ringwheel_executor::yield_now().await;
                                held
                            });
                            match call {
                                Ok(call) if number % 3 == 0 => match call.join() {
                                    Ok(_) | Err(JoinError::Closed) => {
                                        settled.fetch_add(1, Ordering::SeqCst);
                                    }
                                    Err(error) => panic!("{error}"),
                                },
                                Ok(call) => drop(call),
                                Err(error) => {
                                    refused.fetch_add(1, Ordering::SeqCst);
                                    drop(error.into_inner());
                                }
                            }
                        }
                    });
                }
                std::thread::sleep(Duration::from_millis(2));
                other.stop.set();
            });
            other.thread.join().unwrap();
        }
        assert!(settled.load(Ordering::SeqCst) > 0);
        assert_eq!(dropped.load(Ordering::SeqCst), 8 * THREADS * CALLS, "each closure or result once");
    }
}

#[test]
fn a_remote_is_for_all_threads() {
    fn check<T: Clone + Send + Sync + 'static>() {}
    check::<Remote>();
    assert!(Remote::current().is_err());
    let mut executor = Executor::start(common::options(DriverKind::Poll)).unwrap();
    assert!(executor.enter(|| Remote::current().is_ok()));
}
