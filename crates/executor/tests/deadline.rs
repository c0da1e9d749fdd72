//! Jobs with deadlines: their order, their ends, and the shares that they get.
mod common;
use common::both_drivers;
use ringwheel_executor::{
    JoinError, QueueError, TaskQueue, spawn,
    sync::{DeadlineQueue, Progress},
    time, yield_if_needed, yield_now,
};
use std::{
    cell::{Cell, RefCell},
    future::pending,
    rc::Rc,
    time::Duration,
};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn jobs_run_one_after_the_other_in_the_order_of_pushing() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let queue = DeadlineQueue::new("jobs").unwrap();
                let order = Rc::new(RefCell::new(Vec::new()));
                let jobs: Vec<_> = (0..5)
                    .map(|index: u64| {
                        let order = order.clone();
                        // The later, the more urgent: that changes shares, not the order.
                        let within = HOUR / (index as u32 + 1);
                        queue.push(within, 3, move |progress| async move {
                            order.borrow_mut().push((index, "begins"));
                            for done in 1..=3 {
                                progress.advance(1);
                                assert_eq!((progress.done(), progress.units()), (done, 3));
                                yield_now().await;
                            }
                            progress.advance(u64::MAX);
                            assert_eq!(progress.done(), 3);
                            assert!(progress.left() > HOUR / 10);
                            order.borrow_mut().push((index, "ends"));
                            index * index
                        })
                    })
                    .collect();
                assert_eq!(queue.len(), 5);
                for (index, job) in (0..).zip(jobs) {
                    assert_eq!(job.unwrap().await.unwrap(), index * index);
                }
                assert!(queue.is_empty());
                let expected: Vec<_> =
                    (0..5).flat_map(|index| [(index, "begins"), (index, "ends")]).collect();
                assert_eq!(*order.borrow(), expected);
            })
            .unwrap();
    });
}

#[test]
fn a_panic_and_a_cancel_end_one_job() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let queue = DeadlineQueue::new("jobs").unwrap();
                let panics = queue.push(HOUR, 1, |_| async { panic!("a job's own") }).unwrap();
                let in_its_call = queue
                    .push(HOUR, 1, |_: Progress| -> std::future::Ready<()> { panic!("before it began") })
                    .unwrap();
                let endless = queue.push(HOUR, 1, |_| pending::<()>()).unwrap();
                let waits = queue.push(HOUR, 1, |_| async {}).unwrap();
                let last = queue.push(HOUR, 1, |_| async { 42 }).unwrap();
                assert!(matches!(panics.await, Err(JoinError::Panicked(_))));
                assert!(matches!(in_its_call.await, Err(JoinError::Panicked(_))));
                waits.cancel();
                assert!(matches!(waits.await, Err(JoinError::Cancelled)), "while it waits for its turn");
                assert_eq!(queue.len(), 2);
                yield_now().await;
                endless.cancel();
                assert_eq!(last.await.unwrap(), 42);
                assert!(queue.is_empty());
            })
            .unwrap();
    });
}

#[test]
fn dropping_it_lets_its_jobs_end_and_gives_its_task_queue_back() {
    let nowhere = DeadlineQueue::new("nowhere").unwrap_err();
    assert_eq!(nowhere, QueueError::Spawn(ringwheel_executor::SpawnError::NoExecutor));
    both_drivers(|mut executor| {
        let left = executor
            .run(async {
                for _ in 0..200 {
                    let queue = DeadlineQueue::new("short").unwrap();
                    let job = queue.push(HOUR, 1, |_| yield_now()).unwrap();
                    drop(queue);
                    job.await.unwrap();
                }
                let mut queues = Vec::new();
                let full = loop {
                    match DeadlineQueue::new("many") {
                        Ok(queue) => queues.push(queue),
                        Err(error) => break error,
                    }
                };
                assert!(matches!(full, QueueError::TooMany { max: 64 }));
                // Jobs that nobody waits for end with the executor.
                let queue = queues.pop().unwrap();
                drop(queue.push(HOUR, 1, |_| pending::<()>()).unwrap());
                queue
            })
            .unwrap();
        drop(executor);
        assert!(matches!(left.push(HOUR, 1, |_| async {}), Err(QueueError::Elsewhere)));
        assert!(left.is_empty());
    });
}

#[test]
fn shares_go_up_when_time_is_short_and_down_when_there_is_plenty() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let stop = Rc::new(Cell::new(false));
                let rival = {
                    let stop = stop.clone();
                    spawn(async move {
                        while !stop.get() {
                            yield_if_needed().await;
                        }
                    })
                };
                let reaches = async |queue: TaskQueue, fits: fn(u32) -> bool| {
                    while !fits(queue.stats().unwrap().shares) {
                        time::sleep(Duration::from_millis(10)).await;
                    }
                };
                let queue = DeadlineQueue::new("jobs").unwrap();
                let busy = |stop: Rc<Cell<bool>>| {
                    move |progress: Progress| async move {
                        while !stop.get() {
                            progress.advance(1);
                            yield_if_needed().await;
                        }
                    }
                };
                let ended = Rc::new(Cell::new(false));
                let late = queue.push(Duration::ZERO, u64::MAX, busy(ended.clone())).unwrap();
                reaches(queue.task_queue(), |shares| shares == 1000).await;
                ended.set(true);
                late.await.unwrap();
                let ended = Rc::new(Cell::new(false));
                let early = queue.push(HOUR, 10, busy(ended.clone())).unwrap();
                reaches(queue.task_queue(), |shares| shares < 10).await;
                ended.set(true);
                early.await.unwrap();
                stop.set(true);
                rival.await.unwrap();
            })
            .unwrap();
    });
}
