//! A panic anywhere is an `Err` somewhere, and the executor lives on.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
#![expect(clippy::async_yields_async, reason = "join handles that outlive their run")]
mod common;
#[path = "common/quiet.rs"]
mod quiet;
use common::both_drivers;
use quiet::quiet;
use ringwheel_driver::{Completion, Operation};
use ringwheel_executor::{
    CLIENT_TOKEN, Client, Edge, JoinError, PanicPayload, Park, RunError, StartError, placement, spawn,
    thread, time, yield_now,
};
use std::{
    cell::Cell,
    future::{Future, pending},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Wake},
    time::Duration,
};

fn text(payload: PanicPayload) -> &'static str {
    payload.into_inner().downcast_ref::<&'static str>().unwrap()
}

/// Panics as it is dropped, but never a second time: that would abort.
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("expected: destructor");
        }
    }
}

#[test]
fn a_panic_in_a_task_is_its_joiners_error_and_nobody_elses() {
    quiet();
    both_drivers(|mut executor| {
        executor
            .run(async {
                let other = spawn(async {
                    yield_now().await;
                    1
                });
                let bad = spawn(async { panic!("expected: task") });
                let later = spawn(async {
                    yield_now().await;
                    panic!("expected: later");
                });
                drop(spawn(async { panic!("expected: detached") }));
                let Err(JoinError::Panicked(payload)) = bad.await else { panic!("it panicked") };
                assert_eq!(text(payload), "expected: task");
                let Err(JoinError::Panicked(payload)) = later.await else { panic!("it panicked") };
                assert_eq!(text(payload), "expected: later");
                assert_eq!(other.await.unwrap(), 1);
            })
            .unwrap();
        assert_eq!(executor.stats().panics, 3);
        assert_eq!(executor.stats().tasks, 0);
    });
}

#[test]
fn a_panic_of_the_root_is_runs_error() {
    quiet();
    both_drivers(|mut executor| {
        let Err(RunError::Panicked(payload)) = executor.run(async { panic!("expected: root") }) else {
            panic!("it panicked")
        };
        assert_eq!(text(payload), "expected: root");
        assert_eq!(executor.run(async { 3 }).unwrap(), 3);
    });
}

#[test]
fn a_destructor_that_panics_is_an_error() {
    quiet();
    both_drivers(|mut executor| {
        executor
            .run(async {
                // While the finished future is dropped.
                struct Finished {
                    _bomb: Bomb,
                    drops: Rc<Cell<u32>>,
                }
                impl Future for Finished {
                    type Output = Counted;
                    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Counted> {
                        Poll::Ready(Counted(self.drops.clone()))
                    }
                }
                struct Counted(Rc<Cell<u32>>);
                impl Drop for Counted {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() + 1);
                    }
                }
                let drops = Rc::new(Cell::new(0));
                let task = spawn(Finished { _bomb: Bomb, drops: drops.clone() });
                let result = task.await;
                let Err(JoinError::Panicked(payload)) = result else { panic!("it panicked") };
                assert_eq!(text(payload), "expected: destructor");
                assert_eq!(drops.get(), 1, "the output that nobody gets is dropped");

                // While a cancelled future is dropped.
                let bomb = Bomb;
                let task = spawn(async move {
                    let _bomb = bomb;
                    pending::<()>().await;
                });
                yield_now().await;
                task.cancel();
                assert!(matches!(task.await, Err(JoinError::Panicked(_))));

                // While a detached output is dropped.
                drop(spawn(async { Bomb }));
                yield_now().await;

                // A payload that panics as it is dropped.
                drop(spawn(async { std::panic::panic_any(Bomb) }));
                yield_now().await;
            })
            .unwrap();
        assert!(executor.stats().panics >= 4);
        assert_eq!(executor.stats().tasks, 0);
    });
}

#[test]
fn a_waker_that_panics_hurts_only_itself() {
    quiet();
    struct Bad;
    impl Wake for Bad {
        fn wake(self: std::sync::Arc<Self>) {
            panic!("expected: waker");
        }
    }
    both_drivers(|mut executor| {
        executor
            .run(async {
                // In a timer.
                let mut sleep = Box::pin(time::sleep(Duration::from_millis(2)));
                let waker = std::sync::Arc::new(Bad).into();
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                // In a join.
                let mut joined = spawn(async {});
                assert!(Pin::new(&mut joined).poll(&mut Context::from_waker(&waker)).is_pending());
                // In an operation.
                let mut opening = Box::pin(ringwheel_executor::fs::File::open("/dev/null", 0));
                assert!(opening.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                time::sleep(Duration::from_millis(30)).await;
            })
            .unwrap();
        assert_eq!(executor.stats().panics, 3);
    });
}

#[test]
fn a_client_that_panics_is_reported_by_the_turn() {
    quiet();
    #[derive(Default)]
    struct Bad {
        staged: bool,
        commands: bool,
        completed: u32,
    }
    impl Client for Bad {
        fn commands(&mut self, edge: &mut Edge<'_>) -> bool {
            if std::mem::take(&mut self.commands) {
                panic!("expected: commands");
            }
            if !self.staged {
                self.staged = true;
                edge.driver.submit(Operation::Nop, CLIENT_TOKEN | 1).unwrap();
                edge.driver.submit(Operation::Nop, CLIENT_TOKEN | 2).unwrap();
            }
            false
        }
        fn completion(&mut self, completion: Completion) {
            self.completed += 1;
            if completion.token == CLIENT_TOKEN | 1 {
                panic!("expected: completion");
            }
        }
    }
    both_drivers(|mut executor| {
        let mut client = Bad { commands: true, ..Bad::default() };
        let mut panics = Vec::new();
        for _ in 0..100 {
            let turn = executor.turn(&mut client, Park::No);
            panics.extend(turn.panic.map(|payload| text(payload.into())));
            if panics.len() == 2 && client.completed == 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panics.sort_unstable();
        assert_eq!(panics, ["expected: commands", "expected: completion"]);
        assert_eq!(client.completed, 2, "the completion after the panic is delivered");
        assert_eq!(executor.run(async { 1 }).unwrap(), 1);
    });
}

#[test]
fn panics_during_shutdown_are_counted_and_stop_nothing() {
    quiet();
    both_drivers(|mut executor| {
        let drops = Rc::new(Cell::new(0));
        struct Last(Rc<Cell<u32>>);
        impl Drop for Last {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let bad = executor
            .run(async {
                let bomb = Bomb;
                let bad = spawn(async move {
                    let _bomb = bomb;
                    pending::<()>().await;
                });
                let last = Last(drops.clone());
                drop(spawn(async move {
                    let _last = last;
                    time::sleep(Duration::from_secs(100)).await;
                }));
                yield_now().await;
                bad
            })
            .unwrap();
        let report = executor.shutdown(Duration::from_secs(1));
        assert_eq!((report.tasks_dropped, report.panics), (2, 1));
        assert_eq!(drops.get(), 1);
        let mut bad = bad;
        assert!(matches!(bad.try_join(), Some(Err(JoinError::Panicked(_)))));
    });
}

#[test]
fn spawning_from_a_destructor_during_shutdown_is_refused() {
    struct Spawns(Rc<Cell<Option<ringwheel_executor::SpawnError>>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            self.0.set(ringwheel_executor::try_spawn(async {}).err());
        }
    }
    both_drivers(|mut executor| {
        let seen = Rc::new(Cell::new(None));
        let spawns = Spawns(seen.clone());
        executor
            .run(async {
                drop(spawn(async move {
                    let _spawns = spawns;
                    pending::<()>().await;
                }));
            })
            .unwrap();
        drop(executor);
        assert!(seen.get().is_some());
    });
}

#[test]
fn panics_of_threads_are_join_errors() {
    quiet();
    let worker = thread::start(Default::default(), || async { panic!("expected: thread") }).unwrap();
    let Err(JoinError::Panicked(payload)) = worker.join() else { panic!("it panicked") };
    assert_eq!(text(payload), "expected: thread");
    let made = thread::start(Default::default(), || -> std::future::Ready<()> { panic!("expected: make") });
    assert!(matches!(made, Err(StartError::Panicked(text)) if text == "expected: make"));
    let options = thread::ThreadOptions { seat: placement::Seat::on(1_000_000), ..Default::default() };
    let error = thread::start(options, || async {}).unwrap_err();
    assert!(error.to_string().contains("1000000"), "{error}");
    let options = thread::ThreadOptions { name: Some("a\0b".to_owned()), ..Default::default() };
    assert!(thread::start(options, || async {}).unwrap_err().to_string().contains("zero byte"));
}

#[test]
fn a_job_that_panics_is_an_io_error() {
    quiet();
    both_drivers(|mut executor| {
        let panics = executor.edge(|edge| {
            let run: Box<dyn FnOnce() -> i32 + Send> = Box::new(|| panic!("expected: job"));
            edge.driver
                .submit(
                    Operation::Job(ringwheel_driver::op::job::Job {
                        run: Some(run),
                        file: None,
                        waits: false,
                    }),
                    CLIENT_TOKEN,
                )
                .map(drop)
        });
        panics.unwrap().unwrap();
        struct Wait(Option<i32>);
        impl Client for Wait {
            fn commands(&mut self, _: &mut Edge<'_>) -> bool {
                false
            }
            fn completion(&mut self, completion: Completion) {
                self.0 = Some(completion.result);
            }
        }
        let mut wait = Wait(None);
        while wait.0.is_none() {
            executor.turn(&mut wait, Park::Thread);
        }
        assert_eq!(wait.0, Some(-libc::EIO));
    });
}
