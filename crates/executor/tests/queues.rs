//! Task queues: who runs how much, who runs first, and what becomes of a queue's tasks when it goes.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::{both_drivers, kinds, start};
use ringwheel_executor::{
    Executor, JoinError, Latency, Options, PreemptKind, QueueError, QueueOptions, Removal, SpawnError,
    TaskQueue, queue_stats, spawn, spawn_into, time, try_spawn_into, yield_if_needed, yield_now,
};
use std::{
    cell::{Cell, RefCell},
    future::pending,
    rc::Rc,
    time::{Duration, Instant},
};

fn queue(shares: u32) -> TaskQueue {
    TaskQueue::new(QueueOptions { shares, ..Default::default() }).unwrap()
}

fn latency(bound: Duration) -> TaskQueue {
    TaskQueue::new(QueueOptions { latency: Latency::Matters(bound), ..Default::default() }).unwrap()
}

/// Computes for so long.
fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Both drivers with what preempts on them, and without.
fn all_ways(test: impl Fn(Executor)) {
    for kind in kinds() {
        for preempt in [Some(PreemptKind::Auto), Some(PreemptKind::Ticker), None] {
            test(start(kind, |options| options.preempt = preempt));
        }
    }
}

/// Two queues whose tasks burn `bursts` for ever.
fn busy(shares: [u32; 2], bursts: [Duration; 2]) -> [TaskQueue; 2] {
    let queues = shares.map(queue);
    for (queue, burst) in queues.into_iter().zip(bursts) {
        for _ in 0..2 {
            drop(spawn_into(queue, async move {
                loop {
                    burn(burst);
                    yield_now().await;
                }
            }));
        }
    }
    queues
}

/// Waits until the second queue has had three times what the first had, within 5 %, over a quarter of a second at least. A machine that takes the
/// thread off its core for long counts that to whoever ran, and the other catches up; shares that are not kept never come near.
async fn one_to_three(queues: [TaskQueue; 2]) -> Result<(), String> {
    let runtime = || queues.map(|queue| queue.stats().unwrap().runtime.as_secs_f64());
    let before = runtime();
    loop {
        time::sleep(Duration::from_millis(5)).await;
        let now = runtime();
        let [one, three] = [now[0] - before[0], now[1] - before[1]];
        if one + three > 0.25 && (2.85..3.15).contains(&(three / one)) {
            return Ok(());
        }
        if one + three > 10.0 {
            return Err(format!("1 : {} after 10 s", three / one));
        }
    }
}

#[test]
fn shares_of_one_and_three_are_one_and_three_whatever_the_bursts() {
    all_ways(|mut executor| {
        let micros = Duration::from_micros;
        for bursts in [[micros(200), micros(200)], [micros(200), micros(50)], [micros(20), micros(300)]] {
            let kept = executor.run(async {
                let queues = busy([100, 300], bursts);
                let kept = one_to_three(queues).await;
                for queue in queues {
                    queue.remove(Removal::Drop).unwrap().await;
                }
                kept
            });
            assert_eq!(kept.unwrap(), Ok(()), "{bursts:?}");
        }
    });
}

#[test]
fn shares_may_change_while_queues_are_busy() {
    both_drivers(|mut executor| {
        let kept = executor.run(async {
            let queues = busy([100, 100], [Duration::from_micros(100); 2]);
            time::sleep(Duration::from_millis(20)).await;
            queues[1].set_shares(300).unwrap();
            one_to_three(queues).await
        });
        assert_eq!(kept.unwrap(), Ok(()));
    });
}

#[test]
fn a_latency_class_runs_before_what_is_queued_already() {
    all_ways(|mut executor| {
        executor
            .run(async {
                let (background, urgent) = (queue(100), latency(Duration::from_millis(2)));
                let order = Rc::new(RefCell::new(Vec::new()));
                let note = |name: &'static str| {
                    let order = order.clone();
                    async move { order.borrow_mut().push(name) }
                };
                let first = {
                    let (order, urgent_too) = (order.clone(), note("urgent"));
                    spawn_into(background, async move {
                        drop(spawn_into(urgent, urgent_too));
                        order.borrow_mut().push("first");
                    })
                };
                let others: Vec<_> = (0..5).map(|_| spawn_into(background, note("background"))).collect();
                first.await.unwrap();
                for other in others {
                    other.await.unwrap();
                }
                assert_eq!(order.borrow()[..3], ["first", "urgent", "background"]);
            })
            .unwrap();
    });
}

#[test]
fn a_latency_class_is_served_while_a_background_queue_never_ends() {
    both_drivers(|mut executor| {
        let (ran, background) = executor
            .run(async {
                let (background, urgent) = (queue(1000), latency(Duration::from_millis(4)));
                let stop = Rc::new(Cell::new(false));
                let told = stop.clone();
                let hog = spawn_into(background, async move {
                    while !told.get() {
                        burn(Duration::from_micros(20));
                        yield_if_needed().await;
                    }
                });
                let ran = spawn_into(urgent, async {
                    let mut ran = 0;
                    for _ in 0..30 {
                        time::sleep(Duration::from_millis(1)).await;
                        ran += 1;
                    }
                    ran
                })
                .await
                .unwrap();
                stop.set(true);
                hog.await.unwrap();
                (ran, background.stats().unwrap())
            })
            .unwrap();
        assert_eq!(ran, 30);
        assert!(background.slices >= 30, "it was interrupted for each: {background:?}");
    });
}

#[test]
fn a_task_stays_in_its_queue_and_so_does_what_it_spawns() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let default = TaskQueue::current().unwrap();
                let other = queue(50);
                spawn_into(other, async move {
                    assert_eq!(TaskQueue::current().unwrap(), other);
                    time::sleep(Duration::from_millis(1)).await;
                    assert_eq!(TaskQueue::current().unwrap(), other, "after a wake too");
                    let child = spawn(async { TaskQueue::current().unwrap() });
                    assert_eq!(child.await.unwrap(), other);
                    let back = spawn_into(default, async { TaskQueue::current().unwrap() });
                    assert_eq!(back.await.unwrap(), default);
                })
                .await
                .unwrap();
                assert_eq!(TaskQueue::current().unwrap(), default);
                let stats = queue_stats();
                assert_eq!((stats.len(), stats[0].name.as_str(), stats[1].shares), (2, "default", 50));
                assert!(stats[1].polls >= 3 && stats[1].slices >= 1 && stats[1].tasks == 0, "{stats:?}");
                assert!(stats[0].tasks >= 1, "the root");
            })
            .unwrap();
        assert_eq!(executor.queue_stats().len(), 2);
    });
}

#[test]
fn a_panic_in_a_queue_is_its_tasks_result_and_the_queue_goes_on() {
    all_ways(|mut executor| {
        executor
            .run(async {
                let queues = [queue(10), queue(1000), latency(Duration::from_millis(1))];
                let tasks: Vec<_> = (0..30)
                    .map(|number| {
                        spawn_into(queues[number % 3], async move {
                            yield_now().await;
                            assert!(number % 2 == 0, "task {number}");
                            number
                        })
                    })
                    .collect();
                for (number, task) in tasks.into_iter().enumerate() {
                    match task.await {
                        Ok(result) => assert_eq!((result, number % 2), (number, 0)),
                        Err(JoinError::Panicked(_)) => assert_eq!(number % 2, 1),
                        Err(other) => panic!("{other}"),
                    }
                }
            })
            .unwrap();
        assert_eq!(executor.stats().panics, 15);
    });
}

/// Counts drops.
struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_removed_queue_drops_its_tasks() {
    all_ways(|mut executor| {
        executor
            .run(async {
                let queue = queue(100);
                let drops = Rc::new(Cell::new(0));
                let tasks: Vec<_> = (0..10)
                    .map(|number| {
                        let dropped = Dropped(drops.clone());
                        spawn_into(queue, async move {
                            let _dropped = dropped;
                            if number % 2 == 0 {
                                pending::<()>().await; // asleep for ever
                            }
                            loop {
                                yield_now().await; // always ready
                            }
                        })
                    })
                    .collect();
                yield_now().await;
                queue.remove(Removal::Drop).unwrap().await;
                assert_eq!(drops.get(), 10);
                for task in tasks {
                    assert!(matches!(task.await, Err(JoinError::Cancelled)));
                }
                assert_eq!(queue.stats().err(), Some(QueueError::Removed));
                assert_eq!(queue.set_shares(1).err(), Some(QueueError::Removed));
                assert_eq!(queue.remove(Removal::Drop).err(), Some(QueueError::Removed));
                assert_eq!(try_spawn_into(queue, async {}).err(), Some(QueueError::Removed));
            })
            .unwrap();
        assert_eq!(executor.queue_stats().len(), 1);
    });
}

#[test]
fn a_removed_queue_drains_its_tasks_and_takes_no_others() {
    all_ways(|mut executor| {
        executor
            .run(async {
                let queue = queue(100);
                let tasks: Vec<_> = (0..10)
                    .map(|number| {
                        spawn_into(queue, async move {
                            time::sleep(Duration::from_millis(number % 3)).await;
                            spawn(async move { number }).await.unwrap()
                        })
                    })
                    .collect();
                let removed = queue.remove(Removal::Drain).unwrap();
                assert_eq!(try_spawn_into(queue, async {}).err(), Some(QueueError::Removed));
                assert_eq!(queue.stats().unwrap().tasks, 10, "its figures are there until the end");
                removed.await;
                assert_eq!(queue.stats().err(), Some(QueueError::Removed));
                for (number, task) in tasks.into_iter().enumerate() {
                    assert_eq!(task.await.unwrap(), number as u64);
                }
            })
            .unwrap();
    });
}

#[test]
fn a_queue_may_be_removed_by_its_own_task_and_its_place_is_used_again() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let mut last = None;
                for _ in 0..200 {
                    let queue = queue(100);
                    assert_ne!(Some(queue), last, "a new queue is not an old one");
                    let task = spawn_into(queue, async move {
                        drop(queue.remove(Removal::Drop).unwrap());
                        yield_now().await; // Here it is cancelled.
                        unreachable!();
                    });
                    assert!(matches!(task.await, Err(JoinError::Cancelled)));
                    assert_eq!(queue.stats().err(), Some(QueueError::Removed));
                    assert_eq!(try_spawn_into(queue, async {}).err(), Some(QueueError::Removed));
                    let late = spawn_into(queue, async { unreachable!() });
                    assert!(matches!(late.await, Err::<(), _>(JoinError::Cancelled)));
                    last = Some(queue);
                }
                assert_eq!(queue_stats().len(), 1);
            })
            .unwrap();
    });
}

#[test]
fn errors_name_what_was_wrong() {
    let shares = |shares| QueueOptions { shares, ..Default::default() };
    let bound = |time| QueueOptions { latency: Latency::Matters(time), ..Default::default() };
    assert_eq!(TaskQueue::new(shares(1)).err(), Some(QueueError::Spawn(SpawnError::NoExecutor)));
    assert_eq!(TaskQueue::current().err(), Some(QueueError::Spawn(SpawnError::NoExecutor)));
    both_drivers(|mut executor| {
        let here = executor
            .run(async {
                for wrong in [0, 1001, u32::MAX] {
                    let error = TaskQueue::new(shares(wrong)).err().unwrap();
                    assert_eq!(error, QueueError::Shares(wrong));
                    assert!(error.to_string().contains(&format!("{wrong}; it must be in 1..=1000")));
                }
                for wrong in [Duration::ZERO, Duration::from_secs(11), Duration::MAX] {
                    assert_eq!(TaskQueue::new(bound(wrong)).err(), Some(QueueError::Latency(wrong)));
                }
                let default = TaskQueue::current().unwrap();
                assert_eq!(default.remove(Removal::Drop).err(), Some(QueueError::Default));
                default.set_shares(7).unwrap();
                default.set_latency(Latency::Matters(Duration::from_millis(1))).unwrap();
                assert_eq!(default.set_shares(0).err(), Some(QueueError::Shares(0)));
                let stats = default.stats().unwrap();
                assert_eq!((stats.shares, stats.latency), (7, Latency::Matters(Duration::from_millis(1))));

                let queues: Vec<_> = (1..64).map(|_| queue(1)).collect();
                assert_eq!(TaskQueue::new(shares(1)).err(), Some(QueueError::TooMany { max: 64 }));
                for queue in &queues {
                    drop(queue.remove(Removal::Drop).unwrap());
                }
                queue(1)
            })
            .unwrap();
        assert_eq!(try_spawn_into(here, async {}).err(), Some(QueueError::Elsewhere));
        let mut other = start(kinds()[0], |options| options.tasks_max = 1);
        other
            .run(async move {
                assert_eq!(here.stats().err(), Some(QueueError::Elsewhere));
                let full = try_spawn_into(TaskQueue::current().unwrap(), async {});
                assert_eq!(full.err(), Some(QueueError::Spawn(SpawnError::Full)));
            })
            .unwrap();
    });
}

#[test]
fn shutdown_ends_the_tasks_of_all_queues() {
    all_ways(|mut executor| {
        let drops = Rc::new(Cell::new(0));
        let (handles, removed) = executor
            .run(async {
                let queues = [queue(1), latency(Duration::from_millis(1)), queue(1000)];
                let handles: Vec<_> = (0..9)
                    .map(|number| {
                        let dropped = Dropped(drops.clone());
                        spawn_into(queues[number % 3], async move {
                            let _dropped = dropped;
                            if number % 2 == 0 {
                                pending::<()>().await;
                            }
                            loop {
                                yield_now().await;
                            }
                        })
                    })
                    .collect();
                yield_now().await;
                (handles, queues[0].remove(Removal::Drain).unwrap())
            })
            .unwrap();
        let report = executor.shutdown(Duration::from_secs(1));
        assert_eq!((report.tasks_dropped, drops.get()), (9, 9));
        for mut handle in handles {
            assert!(matches!(handle.try_join(), Some(Err(JoinError::Closed))));
        }
        // The end of a queue whose executor is gone can be awaited in another.
        Executor::start(Options::default()).unwrap().run(removed).unwrap();
    });
}

#[test]
fn run_may_borrow_beside_busy_queues() {
    both_drivers(|mut executor| {
        executor.enter(|| {
            let busy = queue(1000);
            drop(spawn_into(busy, async {
                loop {
                    yield_now().await;
                }
            }));
        });
        let mut number = 0;
        let result = executor.run(async {
            number += 1;
            yield_now().await;
            number += 1;
            panic!("the root ends early, in the queue or not");
        });
        assert!(result.is_err());
        assert_eq!(number, 2);
    });
}
