//! Tasks on both drivers: spawn, join, cancel, detach, drop, fairness, limits.
#![expect(clippy::async_yields_async, reason = "join handles that outlive their run")]
mod common;
use common::{both_drivers, start};
use ringwheel_executor::{Executor, JoinError, Options, SpawnError, spawn, time, try_spawn, yield_now};
use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

/// Counts how often it was dropped.
struct Counted(Rc<Cell<u32>>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_task_gives_its_output_to_its_joiner() {
    both_drivers(|mut executor| {
        let output = executor.run(async { spawn(async { String::from("there") }).await }).unwrap().unwrap();
        assert_eq!(output, "there");
        assert_eq!(executor.stats().tasks, 0);
    });
}

#[test]
fn outputs_and_futures_are_dropped_exactly_once() {
    both_drivers(|mut executor| {
        let drops = Rc::new(Cell::new(0));
        let held = |_: ()| Counted(drops.clone());
        executor
            .run(async {
                let (future, output) = (held(()), held(()));
                let joined = spawn(async move {
                    yield_now().await;
                    drop(future);
                    output
                });
                drop(joined.await.unwrap());
                assert_eq!(drops.get(), 2);
                let (future, output) = (held(()), held(()));
                let detached = spawn(async move {
                    let _future = future;
                    output
                });
                drop(detached);
                yield_now().await;
                assert_eq!(drops.get(), 4);
                let output = held(());
                let unread = spawn(async move { output });
                yield_now().await;
                assert!(unread.is_finished());
                assert_eq!(drops.get(), 4);
                drop(unread);
                assert_eq!(drops.get(), 5);
            })
            .unwrap();
    });
}

#[test]
fn futures_of_many_sizes_and_alignments_come_through() {
    #[repr(align(256))]
    #[derive(Clone, Copy)]
    struct Aligned([u8; 512]);
    async fn sized<const N: usize>() -> usize {
        let bytes = [N as u8; N];
        yield_now().await;
        assert!(bytes.iter().all(|byte| *byte == N as u8));
        N
    }
    both_drivers(|mut executor| {
        executor
            .run(async {
                for _ in 0..3 {
                    assert_eq!(spawn(sized::<1>()).await.unwrap(), 1);
                    assert_eq!(spawn(sized::<100>()).await.unwrap(), 100);
                    assert_eq!(spawn(sized::<1000>()).await.unwrap(), 1000);
                    assert_eq!(spawn(sized::<9000>()).await.unwrap(), 9000);
                    assert_eq!(spawn(sized::<200_000>()).await.unwrap(), 200_000);
                    let aligned = Aligned([3; 512]);
                    let output = spawn(async move {
                        let inside = aligned;
                        yield_now().await;
                        assert_eq!((&raw const inside) as usize % 256, 0);
                        inside
                    });
                    assert_eq!(output.await.unwrap().0, [3; 512]);
                }
            })
            .unwrap();
    });
}

#[test]
fn cancel_drops_the_future_and_is_reported() {
    both_drivers(|mut executor| {
        let drops = Rc::new(Cell::new(0));
        executor
            .run(async {
                let counted = Counted(drops.clone());
                let task = spawn(async move {
                    let _counted = counted;
                    pending::<()>().await;
                });
                yield_now().await;
                task.cancel();
                task.cancel();
                assert!(matches!(task.await, Err(JoinError::Cancelled)));
                assert_eq!(drops.get(), 1);

                let before_it_ran = spawn(async { unreachable!("cancelled before its first poll") });
                before_it_ran.cancel();
                assert!(matches!(before_it_ran.await, Err(JoinError::Cancelled)));

                let too_late = spawn(async { 7 });
                yield_now().await;
                too_late.cancel();
                assert_eq!(too_late.await.unwrap(), 7);
            })
            .unwrap();
    });
}

#[test]
fn a_task_may_cancel_itself() {
    both_drivers(|mut executor| {
        let result = executor.run(async {
            let own: Rc<RefCell<Option<ringwheel_executor::JoinHandle<()>>>> = Rc::default();
            let inner = own.clone();
            let task = spawn(async move {
                if let Some(handle) = &*inner.borrow() {
                    handle.cancel();
                }
                pending::<()>().await;
            });
            *own.borrow_mut() = Some(task);
            poll_fn(|context| {
                let mut own = own.borrow_mut();
                Pin::new(own.as_mut().unwrap()).poll(context)
            })
            .await
        });
        assert!(matches!(result.unwrap(), Err(JoinError::Cancelled)));
    });
}

#[test]
fn run_may_borrow() {
    both_drivers(|mut executor| {
        let text = String::from("on the caller's stack");
        assert_eq!(executor.run(async { text.len() }).unwrap(), 21);
        let mut count = 0;
        executor.run(async { count += 1 }).unwrap();
        assert_eq!(count, 1);
    });
}

#[test]
fn ready_tasks_take_turns_in_order() {
    both_drivers(|mut executor| {
        let order = Rc::new(RefCell::new(Vec::new()));
        executor
            .run(async {
                let tasks: Vec<_> = (0..3)
                    .map(|task| {
                        let order = order.clone();
                        spawn(async move {
                            for round in 0..2 {
                                order.borrow_mut().push((round, task));
                                yield_now().await;
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
            })
            .unwrap();
        assert_eq!(*order.borrow(), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    });
}

#[test]
fn a_task_that_never_rests_does_not_starve_timers() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let busy = spawn(async {
                    loop {
                        yield_now().await;
                    }
                });
                time::sleep(Duration::from_millis(5)).await;
                busy.cancel();
            })
            .unwrap();
    });
}

#[test]
fn tasks_stay_for_the_next_run() {
    both_drivers(|mut executor| {
        let seen = Rc::new(Cell::new(false));
        let inner = seen.clone();
        executor
            .run(async move {
                spawn(async move {
                    time::sleep(Duration::from_millis(3)).await;
                    inner.set(true);
                });
            })
            .unwrap();
        assert!(!seen.get());
        executor.run(time::sleep(Duration::from_millis(10))).unwrap();
        assert!(seen.get());
    });
}

#[test]
fn limits_are_errors() {
    assert_eq!(try_spawn(async {}).err(), Some(SpawnError::NoExecutor));
    both_drivers(|executor| {
        let kind = executor.driver_kind();
        drop(executor);
        let mut executor = start(kind, |options| options.tasks_max = 3);
        executor
            .run(async {
                let two: Vec<_> = (0..2).map(|_| try_spawn(pending::<()>()).unwrap()).collect();
                assert_eq!(try_spawn(async {}).err(), Some(SpawnError::Full));
                two[0].cancel();
                yield_now().await;
                assert!(try_spawn(async {}).is_ok());
            })
            .unwrap();
    });
    let options = Options { polls_max: 0, ..Options::default() };
    assert!(Executor::start(options).unwrap_err().to_string().contains("polls_max is 0"));
}

#[test]
fn a_task_that_is_shut_down_with_the_executor_is_closed() {
    both_drivers(|mut executor| {
        let drops = Rc::new(Cell::new(0));
        let counted = Counted(drops.clone());
        let mut task = executor
            .run(async move {
                spawn(async move {
                    let _counted = counted;
                    pending::<()>().await;
                })
            })
            .unwrap();
        let report = executor.shutdown(Duration::from_secs(1));
        assert_eq!((report.tasks_dropped, report.panics), (1, 0));
        assert_eq!(drops.get(), 1);
        assert!(task.is_finished());
        task.cancel();
        assert!(matches!(task.try_join(), Some(Err(JoinError::Closed))));
    });
}

#[test]
fn a_hundred_thousand_tasks_at_once() {
    both_drivers(|mut executor| {
        let sum = executor
            .run(async {
                let tasks: Vec<_> = (0..100_000_u64)
                    .map(|number| {
                        spawn(async move {
                            yield_now().await;
                            number
                        })
                    })
                    .collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum
            })
            .unwrap();
        assert_eq!(sum, 99_999 * 100_000 / 2);
    });
}

#[test]
fn foreign_combinators_see_their_own_wakers() {
    // A combinator that gives its children a waker of its own, as FuturesUnordered does.
    both_drivers(|mut executor| {
        executor
            .run(async {
                struct Flag(std::sync::atomic::AtomicBool, std::task::Waker);
                impl std::task::Wake for Flag {
                    fn wake(self: std::sync::Arc<Self>) {
                        self.0.store(true, std::sync::atomic::Ordering::Release);
                        self.1.wake_by_ref();
                    }
                }
                let mut child = Box::pin(time::sleep(Duration::from_millis(3)));
                let mut flag = None;
                let mut polls = 0;
                poll_fn(|context| {
                    let flag = flag.get_or_insert_with(|| {
                        std::sync::Arc::new(Flag(true.into(), context.waker().clone()))
                    });
                    if !flag.0.swap(false, std::sync::atomic::Ordering::AcqRel) {
                        return Poll::Pending;
                    }
                    polls += 1;
                    let waker = flag.clone().into();
                    child.as_mut().poll(&mut std::task::Context::from_waker(&waker))
                })
                .await;
                assert_eq!(polls, 2);
            })
            .unwrap();
    });
}

#[test]
fn current_is_restored() {
    let kind = common::kinds()[0];
    let mut outer = start(kind, |_| {});
    assert!(try_spawn(async {}).is_err());
    outer
        .run(async {
            let mut inner = start(kind, |options| options.tasks_max = 2);
            inner.run(async { assert!(try_spawn(pending::<()>()).is_ok()) }).unwrap();
            drop(inner);
            for _ in 0..10 {
                assert!(try_spawn(async {}).is_ok(), "the outer one is current again");
            }
        })
        .unwrap();
    assert!(try_spawn(async {}).is_err());
}

#[test]
fn a_sleep_begun_late_in_a_long_turn_is_not_short() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                time::now(); // the turn's clock is read
                std::thread::sleep(Duration::from_millis(20));
                let begun = std::time::Instant::now();
                time::sleep(Duration::from_millis(5)).await;
                assert!(begun.elapsed() >= Duration::from_millis(5));

                time::now();
                std::thread::sleep(Duration::from_millis(20));
                let begun = std::time::Instant::now();
                let late = time::timeout(Duration::from_millis(5), pending::<()>()).await;
                assert!(late.is_err() && begun.elapsed() >= Duration::from_millis(5));
            })
            .unwrap();
    });
}

#[test]
fn a_sleep_may_be_moved_either_way_and_from_task_to_task() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let start = std::time::Instant::now();
                let mut sleep = time::sleep(Duration::from_secs(100));
                assert!(
                    poll_fn(|context| Poll::Ready(Pin::new(&mut sleep).poll(context))).await.is_pending()
                );
                sleep.reset(start + Duration::from_millis(3));
                (&mut sleep).await;
                assert!(start.elapsed() >= Duration::from_millis(3));
                sleep.reset(start + Duration::from_millis(8));
                spawn(sleep).await.unwrap();
                assert!(start.elapsed() >= Duration::from_millis(8));
                assert!(start.elapsed() < Duration::from_secs(50));
            })
            .unwrap();
        assert_eq!(executor.stats().timers, 0);
    });
}
