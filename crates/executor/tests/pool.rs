//! Pools and services on both drivers: results, panics, death and replacement, closing, the fewest calls first.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use ringwheel_counts::{Counting, allocations_here, check};
use ringwheel_executor::{
    DriverKind, Executor,
    placement::{Filter, Placement, Seat},
    pool::{CallError, ExecutorPool, PoolError, PoolOptions, Sharded, Target},
    time,
    topology::Topology,
    yield_now,
};
use std::{
    cell::Cell,
    future::pending,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, ThreadId},
    time::Duration,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_secs(20);

fn with(kind: DriverKind, change: impl FnOnce(&mut PoolOptions)) -> ExecutorPool {
    let mut options =
        PoolOptions { size: Some(3), executor: common::options(kind), ..PoolOptions::default() };
    change(&mut options);
    ExecutorPool::start(options).unwrap()
}

fn both(test: impl Fn(DriverKind)) {
    common::both_drivers(|executor| test(executor.driver_kind()));
}

fn text(error: &CallError) -> String {
    error.to_string()
}

#[test]
fn work_runs_on_the_member_that_is_named() {
    both(|kind| {
        let pool = with(kind, |options| options.name = Some("shard".to_owned()));
        assert_eq!(pool.size(), 3);
        let name = || async {
            yield_now().await;
            let local = Rc::new(thread::current().name().map(str::to_owned)); // Not Send, and need not be.
            (*local).clone()
        };
        assert_eq!(pool.run(2, name).join().unwrap().as_deref(), Some("shard-2"));
        let names = pool.broadcast(move |_| name()).join();
        let names: Vec<_> = names.into_iter().map(|name| name.unwrap().unwrap()).collect();
        assert_eq!(names, ["shard-0", "shard-1", "shard-2"]);
        let mut executor = Executor::start(common::options(kind)).unwrap();
        let sum = executor.run(pool.map_reduce(
            |member| async move { 10_usize.pow(member as u32) },
            0,
            |sum, one| sum + one,
        ));
        assert_eq!(sum.unwrap().unwrap(), 111);
    });
}

#[test]
fn calls_of_one_thread_to_one_member_start_in_order() {
    both(|kind| {
        let pool = with(kind, |_| {});
        let seen = Arc::new(Mutex::new(Vec::new()));
        let calls: Vec<_> = (0..1000)
            .map(|number| {
                let seen = seen.clone();
                pool.run(1, move || async move { seen.lock().unwrap().push(number) })
            })
            .collect();
        calls.into_iter().for_each(|call| call.join().unwrap());
        assert_eq!(*seen.lock().unwrap(), (0..1000).collect::<Vec<_>>());
        assert_eq!(
            pool.stats().iter().map(|stats| (stats.calls, stats.pending)).collect::<Vec<_>>(),
            [(0, 0), (1000, 0), (0, 0)]
        );
    });
}

#[test]
#[cfg(target_os = "linux")]
fn members_run_where_the_placement_says() {
    let topology = Topology::read();
    both(|kind| {
        let pool = with(kind, |options| {
            (options.size, options.placement) = (None, Placement::MaxSpread(Filter::default()));
        });
        let cpus = pool.broadcast(|_| async { rustix::thread::sched_getcpu() }).join();
        let cpus: Vec<usize> = cpus.into_iter().map(Result::unwrap).collect();
        let seats = Placement::MaxSpread(Filter::default()).seats(&topology, None).unwrap();
        assert_eq!(
            cpus.iter().map(|cpu| Some([*cpu].into_iter().collect())).collect::<Vec<_>>(),
            seats.iter().map(|seat| seat.cpus.clone()).collect::<Vec<_>>()
        );
        assert_eq!(pool.stats().iter().map(|stats| stats.seat.clone()).collect::<Vec<_>>(), seats);
    });
}

#[test]
fn what_panics_is_an_error_of_its_own_call() {
    both(|kind| {
        let pool = with(kind, |_| {});
        let making = pool.run(0, || -> std::future::Ready<()> { panic!("expected: making") }).join();
        let running = pool.run(0, || async {
            yield_now().await;
            panic!("expected: running")
        });
        assert!(text(&making.unwrap_err()).contains("expected: making"));
        assert!(text(&running.join().map(|(): ()| ()).unwrap_err()).contains("expected: running"));
        let mixed =
            pool.broadcast(|member| async move { assert_ne!(member, 1, "expected: one of three") }).join();
        assert!(mixed[0].is_ok() && mixed[1].is_err() && mixed[2].is_ok());
        let mut executor = Executor::start(common::options(kind)).unwrap();
        let reduced = executor.run(pool.map_reduce(
            |member| async move { assert_ne!(member, 2, "expected: in a reduction") },
            (),
            |(), ()| (),
        ));
        assert!(text(&reduced.unwrap().unwrap_err()).contains("in a reduction"));
        assert_eq!(pool.run(0, || async { 1 }).join().unwrap(), 1, "the member lives on");
        assert!(pool.stats().iter().all(|stats| stats.alive && stats.pending == 0));
    });
}

#[test]
fn a_call_can_be_cancelled_or_left_alone() {
    both(|kind| {
        let pool = with(kind, |_| {});
        let call = pool.run(0, pending::<()>);
        call.cancel();
        assert!(matches!(call.join(), Err(CallError::Cancelled)));
        let (tell, ran) = mpsc::channel();
        drop(pool.run(1, move || async move {
            time::sleep(SOON).await;
            tell.send(()).unwrap();
        }));
        ran.recv_timeout(LATE).unwrap();
        let error = pool.run(3, || async {}).join().unwrap_err();
        assert_eq!(text(&error), "ERR_RINGWHEEL_INVALID_OPTION: member is 3; the pool has 0..3");
    });
}

#[test]
fn a_call_allocates_what_crosses_and_nothing_else() {
    both(|kind| {
        let pool = with(kind, |_| {});
        let mut executor = Executor::start(common::options(kind)).unwrap();
        let calls = async {
            for number in 0..1000 {
                assert_eq!(pool.run(1, move || async move { number }).await.unwrap(), number);
            }
        };
        let there = || pool.run(1, || async { allocations_here() }).join().unwrap();
        pool.run(1, || async {}).join().unwrap(); // Warm: the inbox and the task's block.
        let (before, before_there) = (allocations_here(), there());
        executor.run(calls).unwrap();
        let here = allocations_here() - before;
        check("pool: allocations by the caller of 1,000 calls", "any", here as f64);
        check("pool: allocations by the member in 1,000 calls", "any", (there() - before_there) as f64);
    });
}

#[test]
fn any_takes_turns_and_avoids_who_is_busy() {
    both(|kind| {
        let pool = with(kind, |_| {});
        let busy = pool.run(1, pending::<()>);
        let me = || async { thread::current().name().map(str::to_owned).unwrap() };
        let mut used = [0; 3];
        for _ in 0..30 {
            let name = pool.run(Target::Any, me).join().unwrap();
            used[name.trim_start_matches("ringwheel-").parse::<usize>().unwrap()] += 1;
        }
        assert_eq!(used[1], 0, "{used:?}");
        assert!(used[0] >= 10 && used[2] >= 10, "{used:?}");
        busy.cancel();
    });
}

/// Calls its own member when it is dropped, which happens on the thread that replaces that member next.
struct CallsBack(ringwheel_executor::pool::PoolHandle, mpsc::Sender<String>);

impl Drop for CallsBack {
    fn drop(&mut self) {
        let error = self.0.run(0, || async {}).join().unwrap_err();
        self.1.send(error.to_string()).unwrap();
    }
}

#[test]
fn a_killed_member_names_the_reason_and_is_replaced_if_asked() {
    both(|kind| {
        for replace in [false, true] {
            let pool = with(kind, |options| options.replace = replace);
            let (tell, heard) = mpsc::channel();
            let calls_back = CallsBack(pool.handle(), tell);
            let hanging = pool.run(0, move || async move {
                let _calls_back = calls_back;
                pending::<()>().await
            });
            pool.run(0, || async {}).join().unwrap();
            assert!(pool.kill(0, "its index is corrupt"));
            let error = hanging.join().unwrap_err();
            assert_eq!(text(&error), "ERR_RINGWHEEL_MEMBER: member 0 of the pool died: its index is corrupt");
            let from_destructor = heard.recv_timeout(LATE).unwrap();
            assert!(from_destructor.contains("its index is corrupt"), "{from_destructor}");
            assert_eq!(pool.run(0, || async {}).join().is_ok(), replace);
            assert_eq!((pool.stats()[0].alive, pool.stats()[0].replaced), (replace, u32::from(replace)));
            assert!(!pool.kill(7, "there is none"));
        }
    });
}

#[test]
fn one_that_dies_at_once_again_and_again_stays_dead() {
    both(|kind| {
        let pool = with(kind, |options| options.replace = true);
        for _ in 0..8 {
            let hanging = pool.run(2, pending::<()>);
            pool.run(2, || async {}).join().unwrap();
            assert!(pool.kill(2, "expected"));
            assert!(matches!(hanging.join(), Err(CallError::Died { .. })));
        }
        let error = text(&pool.run(2, || async {}).join().unwrap_err());
        assert!(error.contains("died 8 times within a second of its start and stays dead"), "{error}");
        assert_eq!(pool.stats()[2].replaced, 7);
    });
}

#[test]
fn close_waits_for_calls_then_gives_them_up() {
    both(|kind| {
        let mut pool = with(kind, |_| {});
        let done = pool.run(0, || async {
            time::sleep(SOON).await;
            5
        });
        assert_eq!(pool.close(LATE), Default::default());
        assert_eq!(done.join().unwrap(), 5);
        assert!(matches!(pool.run(0, || async {}).join(), Err(CallError::Closed)));
        assert_eq!(pool.close(LATE), Default::default(), "once more is nothing");

        let mut pool = with(kind, |_| {});
        let calls = [pool.run(0, pending::<()>), pool.run(2, pending::<()>)];
        assert_eq!(pool.close(SOON).abandoned, 2);
        for call in calls {
            assert!(matches!(call.join(), Err(CallError::Closed)));
        }
        let pool = with(kind, |_| {});
        let dropped = pool.run(1, pending::<()>);
        drop(pool);
        assert!(matches!(dropped.join(), Err(CallError::Closed)));
    });
}

#[test]
fn close_does_not_hang_on_a_member_that_never_yields() {
    let mut pool = with(DriverKind::Poll, |_| {});
    let (spin, tell) = (Arc::new(AtomicBool::new(true)), mpsc::channel());
    let spinning = spin.clone();
    let call = pool.run(0, move || async move {
        tell.0.send(()).unwrap();
        while spinning.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    tell.1.recv_timeout(LATE).unwrap();
    let report = pool.close(SOON);
    assert_eq!((report.abandoned, report.stuck), (1, 1));
    spin.store(false, Ordering::Relaxed);
    assert!(call.join().is_ok(), "it ended by itself in the end");
}

#[test]
fn a_pool_that_cannot_start_says_why_and_leaves_nothing_running() {
    let options = PoolOptions { placement: Placement::Fixed(vec![4000]), ..Default::default() };
    let error = ExecutorPool::start(options).unwrap_err();
    assert!(matches!(error, PoolError::Placement(_)));
    assert!(error.to_string().contains("CPU 4000 is not there"), "{error}");
    let options = PoolOptions { size: Some(2), name: Some("a\0".to_owned()), ..Default::default() };
    let error = ExecutorPool::start(options).unwrap_err();
    assert!(error.to_string().ends_with("(member 0 of the pool, on any CPU)"), "{error}");
    let options = PoolOptions { size: Some(0), ..Default::default() };
    assert!(ExecutorPool::start(options).unwrap_err().to_string().contains("1..=1024"));
    assert_eq!(Seat::on(3).to_string(), "CPU 3");
}

/// A service that is not Send, and tells where it was dropped.
struct Part {
    value: Cell<u32>,
    home: ThreadId,
    dropped: Arc<AtomicUsize>,
}

impl Part {
    fn new(value: u32, dropped: &Arc<AtomicUsize>) -> Part {
        Part { value: Cell::new(value), home: thread::current().id(), dropped: dropped.clone() }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        assert_eq!(thread::current().id(), self.home, "dropped at home");
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_service_has_a_part_on_each_member() {
    both(|kind| {
        let pool = with(kind, |_| {});
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut executor = Executor::start(common::options(kind)).unwrap();
        let count = dropped.clone();
        executor
            .run(async {
                let service = Sharded::start(&pool, move |member| {
                    let count = count.clone();
                    async move {
                        yield_now().await;
                        Ok(Part::new(member as u32, &count))
                    }
                });
                let service = service.await.unwrap();
                let add = |part: Rc<Part>| async move {
                    part.value.set(part.value.get() + 100);
                    part.home == thread::current().id()
                };
                assert!(service.invoke_on(1, add).await.unwrap(), "it runs where the part lives");
                service.invoke_on_all(add).await.into_iter().for_each(|all| assert!(all.unwrap().unwrap()));
                let values = service.invoke_on_all(|part| async move { part.value.get() }).await;
                let values: Vec<_> = values.into_iter().map(|value| value.unwrap().unwrap()).collect();
                assert_eq!(values, [100, 201, 102]);
                let sum = service.map_reduce(|part| async move { part.value.get() }, 0, |sum, one| sum + one);
                assert_eq!(sum.await.unwrap(), 403);
                // One part asks another: the handle travels, the parts stay.
                let other = service.clone();
                let asked = service.invoke_on(0, move |_| async move {
                    other.invoke_on(2, |part| async move { part.value.get() }).await
                });
                assert_eq!(asked.await.unwrap().unwrap(), 102);
                let panicked = service.invoke_on(0, |_| async { panic!("expected: in a service") }).await;
                assert!(matches!(panicked.map(|(): ()| ()), Err(CallError::Panicked(_))));
                service.stop().await;
                let error = service.invoke_on(1, add).await.unwrap_err();
                assert!(text(&error).contains("no such service on member 1: it was stopped"), "{error}");
                service.stop().await;
            })
            .unwrap();
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_service_that_cannot_start_stops_on_all_members() {
    both(|kind| {
        let pool = with(kind, |_| {});
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut executor = Executor::start(common::options(kind)).unwrap();
        let count = dropped.clone();
        let start = Sharded::start(&pool, move |member| {
            let count = count.clone();
            async move { if member == 2 { Err("no disk for it".to_owned()) } else { Ok(Part::new(0, &count)) } }
        });
        let error = executor.run(start).unwrap().unwrap_err();
        assert_eq!(error.member, 2);
        assert!(error.to_string().contains("no such service on member 2: no disk for it"), "{error}");
        assert_eq!(dropped.load(Ordering::Relaxed), 2, "those that were made are gone");
        let start = Sharded::<()>::start(&pool, |member| async move {
            assert_ne!(member, 1, "expected: while it is made");
            Ok(())
        });
        let error = executor.run(start).unwrap().unwrap_err();
        assert!(error.to_string().contains("making it panicked: "), "{error}");
        let start = Sharded::<()>::start(&pool, |_| -> std::future::Ready<_> {
            panic!("expected: before it is made")
        });
        assert!(executor.run(start).unwrap().is_err());
    });
}

#[test]
fn a_member_that_is_replaced_makes_its_part_anew() {
    both(|kind| {
        let pool = with(kind, |options| options.replace = true);
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut executor = Executor::start(common::options(kind)).unwrap();
        let count = dropped.clone();
        executor
            .run(async {
                let service = Sharded::start(&pool, move |_| {
                    let count = count.clone();
                    async move {
                        time::sleep(Duration::from_millis(1)).await; // Calls come before it is made.
                        Ok(Part::new(7, &count))
                    }
                });
                let service = service.await.unwrap();
                service.invoke_on(0, |part| async move { part.value.set(9) }).await.unwrap();
                let hanging = service.invoke_on(0, |part| async move {
                    let _part = part;
                    pending::<()>().await
                });
                assert!(pool.kill(0, "expected"));
                assert!(matches!(hanging.await, Err(CallError::Died { .. })));
                let value = |part: Rc<Part>| async move { part.value.get() };
                assert_eq!(service.invoke_on(0, value).await.unwrap(), 7, "a new part");
            })
            .unwrap();
        drop(pool);
        assert_eq!(dropped.load(Ordering::Relaxed), 4, "the one that died, and three at the end");
    });
}
