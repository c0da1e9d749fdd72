//! What tasks of one executor wait for: fairness, cancelled waits, ends, panics, and channels between them.
mod common;
use common::both_drivers;
use ringwheel_counts::{Counting, allocations_here};
use ringwheel_executor::{
    channel::{TryRecvError, TrySendError, local, shared},
    spawn,
    sync::{Barrier, Gate, RwLock, Semaphore, SemaphoreClosed, TryAcquireError},
    yield_now,
};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Polls once, with a waker that does nothing.
fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_semaphore_serves_in_order_also_those_who_want_much() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let semaphore = Semaphore::new(3);
                let order = Rc::new(RefCell::new(Vec::new()));
                let held = semaphore.acquire(2).await.unwrap();
                let tasks: Vec<_> = [3, 1, 2, 1]
                    .into_iter()
                    .enumerate()
                    .map(|(index, want)| {
                        let (semaphore, order) = (semaphore.clone(), order.clone());
                        spawn(async move {
                            let permit = semaphore.acquire(want).await.unwrap();
                            assert_eq!(permit.count(), want);
                            order.borrow_mut().push(index);
                            yield_now().await;
                        })
                    })
                    .collect();
                yield_now().await;
                assert!(order.borrow().is_empty(), "one is free, but the first wants three");
                assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::NoPermits);
                drop(held);
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(*order.borrow(), [0, 1, 2, 3]);
                assert_eq!(semaphore.available(), 3);
                semaphore.try_acquire(1).unwrap().forget();
                semaphore.add(2);
                assert_eq!(semaphore.available(), 4);
            })
            .unwrap();
    });
}

#[test]
fn a_wait_that_is_dropped_gives_on_what_it_had() {
    let semaphore = Semaphore::new(1);
    for served_before in [false, true] {
        let held = semaphore.try_acquire(1).unwrap();
        let mut first = Box::pin(semaphore.acquire(1));
        let mut second = Box::pin(semaphore.acquire(1));
        assert!(poll(first.as_mut()).is_pending());
        assert!(poll(second.as_mut()).is_pending());
        if served_before {
            drop(held); // the first has it, and never looks
            drop(first);
        } else {
            drop(first);
            drop(held);
        }
        assert!(poll(second.as_mut()).is_ready());
    }
    assert_eq!(semaphore.available(), 1);
    // One that wants less than the one before it is served when that goes.
    let _held = semaphore.try_acquire(0).unwrap();
    let mut much = Box::pin(semaphore.acquire(5));
    let mut little = Box::pin(semaphore.acquire(1));
    assert!(poll(much.as_mut()).is_pending());
    assert!(poll(little.as_mut()).is_pending());
    drop(much);
    assert!(poll(little.as_mut()).is_ready());
}

#[test]
fn a_closed_semaphore_refuses_who_waits_and_who_comes() {
    let semaphore = Semaphore::new(0);
    let mut waiting = pin!(semaphore.acquire(1));
    assert!(poll(waiting.as_mut()).is_pending());
    semaphore.close();
    assert!(matches!(poll(waiting.as_mut()), Poll::Ready(Err(SemaphoreClosed))));
    assert_eq!(semaphore.try_acquire(1).unwrap_err(), TryAcquireError::Closed);
    assert!(semaphore.try_acquire(1).unwrap_err().to_string().starts_with("ERR_RINGWHEEL_CLOSED"));
}

#[test]
fn a_lock_lets_readers_in_together_and_writers_alone_and_nobody_starves() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let lock = Rc::new(RwLock::new(0_u32));
                let inside = Rc::new((Cell::new(0), Cell::new(0), Cell::new(0)));
                let tasks: Vec<_> = (0..60)
                    .map(|index| {
                        let (lock, inside) = (lock.clone(), inside.clone());
                        spawn(async move {
                            let (readers, writers, most) = &*inside;
                            for _ in 0..5 {
                                if index % 3 == 0 {
                                    let mut value = lock.write().await;
                                    writers.set(writers.get() + 1);
                                    assert_eq!((readers.get(), writers.get()), (0, 1));
                                    let before = *value;
                                    yield_now().await;
                                    *value = before + 1;
                                    writers.set(writers.get() - 1);
                                } else {
                                    let value = lock.read().await;
                                    readers.set(readers.get() + 1);
                                    most.set(most.get().max(readers.get()));
                                    let before = *value;
                                    yield_now().await;
                                    assert_eq!((*value, writers.get()), (before, 0));
                                    readers.set(readers.get() - 1);
                                }
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(*lock.read().await, 100);
                assert!(inside.2.get() > 1, "readers went in together");
                let reading = lock.try_read().unwrap();
                assert!(lock.try_write().is_none());
                let mut writer = pin!(lock.write());
                assert!(poll(writer.as_mut()).is_pending());
                assert!(lock.try_read().is_none(), "a writer waits");
                drop(reading);
                assert!(poll(writer.as_mut()).is_ready());
            })
            .unwrap();
    });
}

#[test]
fn a_panic_that_holds_a_lock_gives_it_back() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let lock = Rc::new(RwLock::new(1));
                let theirs = lock.clone();
                let task = spawn(async move {
                    let mut value = theirs.write().await;
                    *value = 2;
                    panic!("inside");
                });
                let after = lock.clone();
                let waiting = spawn(async move { *after.read().await });
                assert!(task.await.is_err());
                assert_eq!(waiting.await.unwrap(), 2);
            })
            .unwrap();
    });
}

#[test]
fn a_gate_closes_when_the_last_has_left() {
    let gate = Gate::new();
    let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
    let mut closing = pin!(gate.close());
    let mut also = Box::pin(gate.close());
    assert!(gate.is_closed());
    assert!(gate.enter().unwrap_err().to_string().starts_with("ERR_RINGWHEEL_CLOSED"));
    assert!(poll(closing.as_mut()).is_pending());
    assert!(poll(also.as_mut()).is_pending());
    drop(also);
    drop(first);
    assert!(poll(closing.as_mut()).is_pending());
    assert_eq!(gate.inside(), 1);
    drop(second);
    assert!(poll(closing.as_mut()).is_ready());
    assert!(poll(pin!(gate.close())).is_ready(), "again");
}

#[test]
fn a_barrier_lets_all_go_together_round_after_round() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let barrier = Barrier::new(5);
                let rounds = Rc::new(RefCell::new(Vec::new()));
                let tasks: Vec<_> = (0..5)
                    .map(|_| {
                        let (barrier, rounds) = (barrier.clone(), rounds.clone());
                        spawn(async move {
                            let mut last = 0;
                            for round in 0..10 {
                                rounds.borrow_mut().push(round);
                                last += u32::from(barrier.wait().await);
                            }
                            last
                        })
                    })
                    .collect();
                let mut last = 0;
                for task in tasks {
                    last += task.await.unwrap();
                }
                assert_eq!(last, 10, "one in each round");
                assert!(rounds.borrow().is_sorted(), "nobody is a round ahead");
                // One that gives up is not counted any more.
                let barrier = Barrier::new(2);
                let mut gives_up = Box::pin(barrier.wait());
                assert!(poll(gives_up.as_mut()).is_pending());
                drop(gives_up);
                let mut one = pin!(barrier.wait());
                assert!(poll(one.as_mut()).is_pending());
                assert!(matches!(poll(pin!(barrier.wait())), Poll::Ready(true)));
                assert!(matches!(poll(one.as_mut()), Poll::Ready(false)));
            })
            .unwrap();
    });
}

#[test]
fn a_local_channel_keeps_order_and_waits_for_room() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let (sender, receiver) = local::bounded(3).unwrap();
                assert_eq!(sender.capacity(), Some(3));
                let tasks: Vec<_> = (0..4)
                    .map(|task| {
                        let sender = sender.clone();
                        spawn(async move {
                            for number in 0..50 {
                                sender.send((task, number)).await.unwrap();
                                assert!(sender.len() <= 3);
                            }
                        })
                    })
                    .collect();
                drop(sender);
                let mut next = [0; 4];
                while let Some((task, number)) = receiver.recv().await {
                    assert_eq!(next[task], number);
                    next[task] += 1;
                }
                assert_eq!(next, [50; 4]);
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
            })
            .unwrap();
    });
    assert!(local::bounded::<u8>(0).is_err());
}

#[test]
fn the_ends_of_a_local_channel_go_in_any_order_and_drop_everything_once() {
    let value = Arc::new(());
    // What is promised to a receiver that has not looked yet is not another's.
    let (sender, receiver) = local::unbounded();
    assert_eq!(sender.capacity(), None);
    let mut first = Box::pin(receiver.recv());
    assert!(poll(first.as_mut()).is_pending());
    sender.try_send(value.clone()).unwrap();
    sender.try_send(value.clone()).unwrap();
    drop(sender);
    assert!(receiver.try_recv().is_ok());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert!(matches!(poll(first.as_mut()), Poll::Ready(Some(_))));
    drop(first);
    assert!(matches!(poll(pin!(receiver.recv())), Poll::Ready(None)));

    // And one that gives up gives it on.
    let (sender, receiver) = local::unbounded();
    let mut gives_up = Box::pin(receiver.recv());
    let mut waits = Box::pin(receiver.recv());
    assert!(poll(gives_up.as_mut()).is_pending());
    assert!(poll(waits.as_mut()).is_pending());
    sender.try_send(value.clone()).unwrap();
    drop(gives_up);
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Some(_))));
    drop(waits);

    let (sender, receiver) = local::bounded(1).unwrap();
    sender.try_send(value.clone()).unwrap();
    assert!(matches!(sender.try_send(value.clone()), Err(TrySendError::Full(_))));
    let mut waits = Box::pin(sender.send(value.clone()));
    assert!(poll(waits.as_mut()).is_pending());
    drop(receiver);
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Err(_))), "the message is back");
    drop(waits);
    assert!(sender.is_closed());
    assert!(matches!(sender.try_send(value.clone()), Err(TrySendError::Closed(_))));
    drop(sender);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn waiting_allocates_nothing_once_warm() {
    async fn round(
        semaphore: &Semaphore,
        local: &(local::Sender<u64>, local::Receiver<u64>),
        shared: &(shared::ConnectedSender<u64>, shared::ConnectedReceiver<u64>),
    ) {
        for number in 0..200 {
            // Both wait for each other at every message: the channels hold one.
            let send = async {
                for part in 0..3 {
                    local.0.send(number + part).await.unwrap();
                    shared.0.send(number + part).await.unwrap();
                }
            };
            let receive = async {
                let _permit = semaphore.acquire(1).await.unwrap();
                for part in 0..3 {
                    assert_eq!(local.1.recv().await, Some(number + part));
                    assert_eq!(shared.1.recv().await, Some(number + part));
                }
            };
            let (mut send, mut receive) = (pin!(send), pin!(receive));
            let (mut sent, mut received) = (false, false);
            poll_fn(|context| {
                received = received || receive.as_mut().poll(context).is_ready();
                sent = sent || send.as_mut().poll(context).is_ready();
                if sent && received { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }
    both_drivers(|mut executor| {
        let allocations = executor
            .run(async {
                let semaphore = Semaphore::new(1);
                let local = local::bounded(1).unwrap();
                let (sender, receiver) = shared::bounded(1).unwrap();
                let shared = (sender.connect().unwrap(), receiver.connect().unwrap());
                round(&semaphore, &local, &shared).await;
                let before = allocations_here();
                round(&semaphore, &local, &shared).await;
                allocations_here() - before
            })
            .unwrap();
        assert_eq!(allocations, 0);
    });
}
