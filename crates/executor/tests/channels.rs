//! Channels across executors: order, backpressure, ends, every message dropped exactly once, wakes that cost a system call only
//! when somebody sleeps.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::both_drivers;
use ringwheel_executor::{
    DriverKind, Executor, SpawnError,
    channel::{TryRecvError, TrySendError, mesh, shared},
    event::Event,
    spawn, thread, time, yield_now,
};
use std::{
    cell::Cell,
    future::Future,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

const LONG: Duration = Duration::from_secs(20);

fn on_thread<F, M>(kind: DriverKind, make: M) -> thread::Thread<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future,
    F::Output: Send + 'static,
{
    let options = thread::ThreadOptions { executor: common::options(kind), ..Default::default() };
    thread::start(options, make).unwrap()
}

/// Counts its drops.
#[derive(Debug)]
struct Counted(u32, Arc<AtomicU32>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn messages_arrive_in_order_whatever_the_capacity() {
    both_drivers(|mut executor| {
        for capacity in [1, 2, 3, 64] {
            let (sender, receiver) = shared::bounded(capacity).unwrap();
            let count = 5_000_u32;
            let other = on_thread(executor.driver_kind(), move || async move {
                let receiver = receiver.connect().unwrap();
                for number in 0..count {
                    assert_eq!(receiver.recv().await, Some(number));
                    if number % 1000 == 0 {
                        time::sleep(Duration::from_millis(1)).await; // the sender fills it, and waits
                    }
                }
                assert_eq!(receiver.recv().await, None);
                assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
            });
            executor
                .run(async {
                    let sender = sender.connect().unwrap();
                    assert_eq!(sender.capacity(), capacity);
                    for number in 0..count {
                        time::timeout(LONG, sender.send(number)).await.expect("no lost wake").unwrap();
                        assert!(sender.len() <= capacity);
                    }
                })
                .unwrap();
            other.join().unwrap();
        }
    });
}

#[test]
fn a_rally_at_depth_one_wakes_sleeping_executors_with_the_turns_own_system_call() {
    both_drivers(|mut executor| {
        const ROUNDS: u64 = 1_000;
        let kind = executor.driver_kind();
        let (ping, pings) = shared::bounded(1).unwrap();
        let (pong, pongs) = shared::bounded(1).unwrap();
        let other = on_thread(kind, move || async move {
            let (pings, pong) = (pings.connect().unwrap(), pong.connect().unwrap());
            while let Some(number) = pings.recv().await {
                pong.send(number).await.unwrap();
            }
            ringwheel_executor::stats().unwrap()
        });
        executor
            .run(async {
                let (ping, pongs) = (ping.connect().unwrap(), pongs.connect().unwrap());
                for number in 0..ROUNDS {
                    ping.send(number).await.unwrap();
                    assert_eq!(time::timeout(LONG, pongs.recv()).await.expect("no lost wake"), Some(number));
                }
            })
            .unwrap();
        let there = other.join().unwrap();
        let here = executor.stats();
        // A sleep and the wake that leaves with it are one call; now and then the other one is met awake.
        assert!(here.driver.enters <= 2 * ROUNDS + 200, "{} enters here", here.driver.enters);
        assert!(there.driver.enters <= 2 * ROUNDS + 200, "{} enters there", there.driver.enters);
        let sent = here.driver.wakes_sent + there.driver.wakes_sent;
        match kind {
            DriverKind::Uring => assert!(sent > 0, "messages between the rings"),
            DriverKind::Poll => assert_eq!(sent, 0),
        }
    });
}

#[test]
fn many_tasks_share_an_end_in_the_order_of_asking() {
    both_drivers(|mut executor| {
        let (sender, receiver) = shared::bounded(2).unwrap();
        let go = Event::new();
        let gone = go.clone();
        let other = on_thread(executor.driver_kind(), move || async move {
            let receiver = Rc::new(receiver.connect().unwrap());
            gone.wait().await;
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let receiver = receiver.clone();
                    spawn(async move { receiver.recv().await.unwrap() })
                })
                .collect();
            for (index, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), index);
            }
        });
        executor
            .run(async {
                let sender = Rc::new(sender.connect().unwrap());
                let tasks: Vec<_> = (0..20)
                    .map(|number| {
                        let sender = sender.clone();
                        spawn(async move { sender.send(number).await.unwrap() })
                    })
                    .collect();
                yield_now().await;
                assert!(matches!(sender.try_send(99), Err(TrySendError::Full(99))), "others are first");
                go.set();
                for task in tasks {
                    task.await.unwrap();
                }
            })
            .unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_receiver_that_goes_gives_messages_back_and_drops_what_waits() {
    both_drivers(|mut executor| {
        let drops = Arc::new(AtomicU32::new(0));
        let (sender, receiver) = shared::bounded(4).unwrap();
        let (filled, full) = (Event::new(), Event::new());
        let theirs = filled.clone();
        let other = on_thread(executor.driver_kind(), move || async move {
            let receiver = receiver.connect().unwrap();
            theirs.wait().await;
            let first: Counted = receiver.recv().await.unwrap();
            assert_eq!(first.0, 0);
            // It goes with messages in it, and with a sender that waits for room.
        });
        executor
            .run(async {
                let sender = Rc::new(sender.connect().unwrap());
                for number in 0..4 {
                    sender.try_send(Counted(number, drops.clone())).unwrap();
                }
                let waiting = sender.clone();
                let (held, full) = (drops.clone(), full.clone());
                let task = spawn(async move {
                    full.set();
                    for number in 4.. {
                        if let Err(error) = waiting.send(Counted(number, held.clone())).await {
                            return error.0.0;
                        }
                    }
                    0
                });
                full_wait(&filled).await;
                let back = time::timeout(LONG, task).await.expect("no lost wake").unwrap();
                assert!((4..=9).contains(&back), "{back}");
                assert!(sender.is_closed());
                let refused = sender.try_send(Counted(100, drops.clone())).unwrap_err();
                assert!(matches!(&refused, TrySendError::Closed(message) if message.0 == 100));
                assert!(refused.to_string().starts_with("ERR_RINGWHEEL_CLOSED"));
                drop(refused);
                drop(sender);
                // 0..=back, and 100.
                assert_eq!(drops.load(Ordering::SeqCst), back + 2, "each exactly once");
            })
            .unwrap();
        other.join().unwrap();
    });

    async fn full_wait(filled: &Event) {
        yield_now().await;
        filled.set();
    }
}

#[test]
fn an_executor_that_ends_closes_its_ends_also_those_that_somebody_keeps() {
    both_drivers(|mut executor| {
        let kind = executor.driver_kind();
        let (sender, receiver) = shared::bounded::<u32>(2).unwrap();
        let mut receiving = common::start(kind, |_| {});
        let kept = receiving.enter(|| receiver.connect()).unwrap();
        let sender = executor.enter(|| sender.connect()).unwrap();
        executor
            .run(async {
                sender.send(1).await.unwrap();
                sender.send(2).await.unwrap();
            })
            .unwrap();
        let (back, waited) = (Rc::new(Cell::new(None)), sender.len());
        assert_eq!(waited, 2);
        executor
            .run(async {
                // On this very thread, while the send waits for room.
                let send = sender.send(3);
                let end = async {
                    yield_now().await;
                    drop(receiving);
                };
                let mut send = std::pin::pin!(send);
                let mut end = std::pin::pin!(end);
                std::future::poll_fn(|context| {
                    let _ = end.as_mut().poll(context);
                    send.as_mut().poll(context).map(|result| back.set(result.err()))
                })
                .await;
            })
            .unwrap();
        assert_eq!(back.take().map(|error| error.0), Some(3), "the message is back");
        assert!(matches!(sender.try_send(4), Err(TrySendError::Closed(4))));
        assert_eq!(kept.try_recv(), Ok(1), "what was sent before is still there");
        drop(kept);

        // And an end that is kept beyond its executor's end cannot be used to send.
        let (sender, receiver) = shared::bounded::<u32>(2).unwrap();
        let mut sending = common::start(kind, |_| {});
        let kept = sending.enter(|| sender.connect()).unwrap();
        drop(sending);
        assert!(matches!(kept.try_send(1), Err(TrySendError::Closed(1))));
        executor
            .run(async {
                let receiver = receiver.connect().unwrap();
                assert_eq!(receiver.recv().await, None);
            })
            .unwrap();
    });
}

#[test]
fn ends_are_connected_inside_an_executor_only() {
    let (sender, receiver) = shared::bounded::<u32>(1).unwrap();
    let error = sender.connect().unwrap_err();
    assert_eq!(error.reason, SpawnError::NoExecutor);
    let sender = error.end;
    drop(receiver);
    let mut executor = Executor::start(common::options(DriverKind::Poll)).unwrap();
    let sender = executor.enter(|| sender.connect()).unwrap();
    assert!(matches!(sender.try_send(7), Err(TrySendError::Closed(7))), "the receiver went unconnected");
    for capacity in [0, (1 << 24) + 1] {
        let error = shared::bounded::<u32>(capacity).unwrap_err();
        assert!(error.to_string().contains("1..=16777216"), "{error}");
    }
}

#[test]
fn futures_that_are_dropped_lose_nothing() {
    both_drivers(|mut executor| {
        let (sender, receiver) = shared::bounded(1).unwrap();
        let other = on_thread(executor.driver_kind(), move || async move {
            let receiver = receiver.connect().unwrap();
            let mut received = Vec::new();
            loop {
                // Given up again and again, at any moment.
                let next = time::timeout(Duration::from_micros(300), receiver.recv()).await;
                match next {
                    Ok(Some(number)) => received.push(number),
                    Ok(None) => return received,
                    Err(_) => {}
                }
            }
        });
        let sent = executor
            .run(async {
                let sender = sender.connect().unwrap();
                let mut sent = Vec::new();
                for number in 0..600_u32 {
                    let message = Arc::new(number);
                    let copy = message.clone();
                    let result = time::timeout(Duration::from_micros(200), sender.send(message)).await;
                    match result {
                        Ok(result) => {
                            result.unwrap();
                            sent.push(number);
                        }
                        Err(_) => assert_eq!(Arc::strong_count(&copy), 1, "dropped with its future"),
                    }
                    if number % 50 == 0 {
                        time::sleep(Duration::from_millis(1)).await;
                    }
                }
                sent
            })
            .unwrap();
        let received: Vec<u32> = other.join().unwrap().into_iter().map(|number| *number).collect();
        assert_eq!(received, sent);
    });
}

#[test]
fn foreign_wakers_are_woken_and_their_panics_contained() {
    struct Bad;
    impl std::task::Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a foreign waker");
        }
    }
    both_drivers(|mut executor| {
        let (sender, receiver) = shared::bounded(1).unwrap();
        let receiver = executor.enter(|| receiver.connect()).unwrap();
        let mut waiting = Box::pin(receiver.recv());
        let waker = Waker::from(Arc::new(Bad));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        on_thread(executor.driver_kind(), move || async move {
            let sender = sender.connect().unwrap();
            sender.send(5).await.unwrap();
            yield_now().await;
            sender.send(6).await.unwrap_err();
        });
        executor
            .run(async {
                assert_eq!(time::timeout(LONG, waiting).await.unwrap(), Some(5));
            })
            .unwrap();
        drop(receiver);
    });
}

#[test]
fn a_full_mesh_carries_every_message_once() {
    both_drivers(|executor| {
        const PEERS: usize = 4;
        const MESSAGES: u64 = 300;
        let builder = mesh::MeshBuilder::new(PEERS, 8).unwrap();
        let members: Vec<_> = (0..PEERS)
            .map(|_| {
                let builder = builder.clone();
                on_thread(executor.driver_kind(), move || async move {
                    let mesh = Rc::new(builder.join(mesh::Role::Both).await.unwrap());
                    assert_eq!(mesh.peers(), PEERS);
                    let from = mesh.clone();
                    let sending = spawn(async move {
                        for number in 0..MESSAGES {
                            for peer in from.consumers() {
                                from.send_to(peer, (from.id(), number)).await.unwrap();
                            }
                        }
                        let own = from.id();
                        assert!(from.send_to(own, (own, 0)).await.is_err(), "not to itself");
                        assert!(from.try_send_to(PEERS, (own, 0)).is_err(), "nor to nobody");
                    });
                    let mut next = [0; PEERS];
                    for _ in 0..MESSAGES * (PEERS as u64 - 1) {
                        let (peer, (said, number)) =
                            time::timeout(LONG, mesh.recv()).await.expect("no lost wake").unwrap();
                        assert_eq!(peer, said);
                        assert_eq!(next[peer], number, "in order for each peer");
                        next[peer] += 1;
                    }
                    sending.await.unwrap();
                    mesh.id()
                })
            })
            .collect();
        let mut ids: Vec<usize> = members.into_iter().map(|member| member.join().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2, 3]);
    });
}

#[test]
fn a_partial_mesh_goes_one_way_and_ends_when_all_producers_have() {
    both_drivers(|executor| {
        let builder = mesh::MeshBuilder::new(3, 4).unwrap();
        let kind = executor.driver_kind();
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let builder = builder.clone();
                on_thread(kind, move || async move {
                    let mesh = builder.join(mesh::Role::Producer).await.unwrap();
                    assert_eq!(mesh.producers().count(), 0);
                    assert!(mesh.recv().await.is_none());
                    for peer in mesh.consumers() {
                        for number in 0..100_u64 {
                            mesh.send_to(peer, number).await.unwrap();
                        }
                    }
                })
            })
            .collect();
        let consuming = builder.clone();
        let consumer = on_thread(kind, move || async move {
            let mesh = consuming.join(mesh::Role::Consumer).await.unwrap();
            assert_eq!((mesh.consumers().count(), mesh.producers().count()), (0, 2));
            let mut sum = 0;
            while let Some((_, number)) = time::timeout(LONG, mesh.recv()).await.unwrap() {
                sum += number;
            }
            sum
        });
        assert_eq!(consumer.join().unwrap(), 2 * 4950);
        for producer in producers {
            producer.join().unwrap();
        }
        let late = on_thread(kind, move || async move { builder.join(mesh::Role::Both).await.err() });
        let error = late.join().unwrap().unwrap();
        assert_eq!(error, mesh::MeshError::Complete { peers: 3 });
        assert!(mesh::MeshBuilder::<u8>::new(0, 1).is_err());
        assert!(mesh::MeshBuilder::<u8>::new(2, 0).is_err());
    });
}

#[test]
fn a_peer_that_gives_up_joining_gives_its_place_back() {
    both_drivers(|mut executor| {
        let builder = mesh::MeshBuilder::<u32>::new(2, 4).unwrap();
        let kind = executor.driver_kind();
        let waiting = builder.clone();
        let given_up = executor.run(async move {
            time::timeout(Duration::from_millis(2), waiting.join(mesh::Role::Both)).await.is_err()
        });
        assert!(given_up.unwrap());
        let first = builder.clone();
        let first =
            on_thread(kind, move || async move { first.join(mesh::Role::Both).await.map(|mesh| mesh.id()) });
        let id = executor.run(async { builder.join(mesh::Role::Both).await.map(|mesh| mesh.id()) }).unwrap();
        assert_eq!(id.unwrap() + first.join().unwrap().unwrap(), 1);
    });
}
