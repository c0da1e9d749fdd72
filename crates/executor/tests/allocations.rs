//! No allocation in the steady state: counted by the allocator, per thread.
mod common;
use common::both_drivers;
use ringwheel_counts::{Counting, allocations_here, check};
use ringwheel_executor::{
    DriverKind, Latency, QueueOptions, Source, Target, TaskQueue,
    channel::{local, shared},
    fs,
    net::{Listener, Stream},
    spawn, spawn_into, time, yield_if_needed, yield_now,
};
use std::{rc::Rc, time::Duration};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread in `work`.
async fn count(work: impl Future<Output = ()>) -> u64 {
    let before = allocations_here();
    work.await;
    allocations_here() - before
}

#[test]
fn spawn_and_join_allocate_nothing() {
    async fn round() {
        for number in 0..100_u64 {
            assert_eq!(spawn(async move { number }).await.unwrap(), number);
        }
        let mut joins = [const { None }; 50];
        for join in &mut joins {
            *join = Some(spawn(async {
                let kept = [1_u8; 700];
                yield_now().await;
                kept.len()
            }));
        }
        for join in joins.into_iter().flatten() {
            join.await.unwrap();
        }
    }
    both_drivers(|mut executor| {
        let allocations = executor
            .run(async {
                round().await;
                count(async {
                    for _ in 0..10 {
                        round().await;
                    }
                })
                .await
            })
            .unwrap();
        assert_eq!(allocations, 0);
    });
}

#[test]
fn queues_and_preemption_allocate_nothing() {
    async fn round(queues: &[TaskQueue]) {
        let mut joins = [const { None }; 50];
        for (number, join) in joins.iter_mut().enumerate() {
            *join = Some(spawn_into(queues[number % queues.len()], async {
                for _ in 0..20 {
                    yield_if_needed().await;
                    yield_now().await;
                }
            }));
        }
        for join in joins.into_iter().flatten() {
            join.await.unwrap();
        }
    }
    both_drivers(|mut executor| {
        let driver = match executor.driver_kind() {
            DriverKind::Uring => "uring",
            DriverKind::Poll => "poll",
        };
        let allocations = executor
            .run(async {
                let latency = Latency::Matters(Duration::from_millis(1));
                let queues = [
                    TaskQueue::new(QueueOptions::default()).unwrap(),
                    TaskQueue::new(QueueOptions { latency, ..Default::default() }).unwrap(),
                    TaskQueue::current().unwrap(),
                ];
                round(&queues).await;
                count(async {
                    for _ in 0..20 {
                        round(&queues).await;
                    }
                })
                .await
            })
            .unwrap();
        check(
            "executor: allocations per 1,000 tasks in three queues, 20 yields each",
            driver,
            allocations as f64,
        );
    });
}

#[test]
fn sleeps_allocate_per_millisecond_and_not_per_sleep() {
    const SLEEPS: u64 = 500;
    async fn round() {
        let mut joins = [const { None }; SLEEPS as usize];
        for join in &mut joins {
            *join = Some(spawn(async {
                // The timer of the timeout is taken back, that of the sleep fires.
                time::timeout(Duration::from_secs(1), time::sleep(Duration::from_millis(1))).await.unwrap();
            }));
        }
        for join in joins.into_iter().flatten() {
            join.await.unwrap();
        }
    }
    both_drivers(|mut executor| {
        let allocations = executor
            .run(async {
                for _ in 0..5 {
                    round().await;
                }
                count(async {
                    for _ in 0..5 {
                        round().await;
                    }
                })
                .await
            })
            .unwrap();
        // The wheel crate gives a slot's memory away when it fires, so each millisecond with timers grows a new one: about
        // ten steps of doubling, and the same for the millisecond of the timeouts.
        assert!(allocations <= 5 * SLEEPS / 10, "{allocations} allocations for {} sleeps", 5 * SLEEPS);
    });
}

#[test]
fn reads_allocate_nothing() {
    both_drivers(|mut executor| {
        let allocations = executor
            .run(async {
                let file = fs::File::open("/proc/self/exe", 0).await.unwrap();
                let mut target = Target::Vec(Vec::with_capacity(4096));
                let mut allocations = 0;
                for _ in 0..3 {
                    allocations = count(async {
                        for round in 0..50 {
                            let back = std::mem::replace(&mut target, Target::Vec(Vec::new()));
                            let (read, back) = file.read_at(back, round * 4096).await;
                            assert_eq!(read.unwrap(), 4096);
                            target = back;
                        }
                    })
                    .await;
                }
                allocations
            })
            .unwrap();
        assert_eq!(allocations, 0);
    });
}

#[test]
fn an_echo_allocates_nothing() {
    both_drivers(|mut executor| {
        let allocations = executor
            .run(async {
                let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
                let address = listener.local_address().unwrap();
                let client = spawn(async move { Stream::connect(address).await.unwrap() });
                let server = listener.accept().await.unwrap();
                let client = client.await.unwrap();
                drop(spawn(async move {
                    while let Some(chunk) = server.receive().await.unwrap() {
                        let all = 0..chunk.len();
                        server.send(Source::Chunk(chunk, all), false).await.0.unwrap();
                    }
                }));
                let mut source = Source::Vec(vec![7; 512], 0..512);
                let mut allocations = 0;
                for _ in 0..3 {
                    allocations = count(async {
                        for _ in 0..50 {
                            let Source::Vec(bytes, _) =
                                std::mem::replace(&mut source, Source::Vec(Vec::new(), 0..0))
                            else {
                                panic!("it was a vector")
                            };
                            let (sent, back) = client.send(Source::Vec(bytes, 0..512), false).await;
                            sent.unwrap();
                            source = back;
                            let mut received = 0;
                            while received < 512 {
                                received += client.receive().await.unwrap().unwrap().len();
                            }
                        }
                    })
                    .await;
                }
                allocations
            })
            .unwrap();
        assert_eq!(allocations, 0);
    });
}

#[test]
fn messages_allocate_nothing() {
    /// 1,000 messages through a ring of 100, each of the two tasks waiting for the other.
    macro_rules! round {
        ($sender:ident, $receiver:ident) => {{
            let sender = $sender.clone();
            let sending = spawn(async move {
                for number in 0..1000_u64 {
                    sender.send(number).await.unwrap();
                }
            });
            for number in 0..1000_u64 {
                assert_eq!($receiver.recv().await, Some(number));
            }
            sending.await.unwrap();
        }};
    }
    both_drivers(|mut executor| {
        let driver = match executor.driver_kind() {
            DriverKind::Uring => "uring",
            DriverKind::Poll => "poll",
        };
        let (alone, across) = executor
            .run(async {
                let (sender, receiver) = local::bounded(100).unwrap();
                round!(sender, receiver);
                let alone = count(async { round!(sender, receiver) }).await;
                let (sender, receiver) = shared::bounded(100).unwrap();
                let (sender, receiver) = (Rc::new(sender.connect().unwrap()), receiver.connect().unwrap());
                round!(sender, receiver);
                (alone, count(async { round!(sender, receiver) }).await)
            })
            .unwrap();
        check(
            "channel: allocations per 1,000 messages between tasks of one executor, local",
            driver,
            alone as f64,
        );
        check(
            "channel: allocations per 1,000 messages between tasks of one executor, shared",
            driver,
            across as f64,
        );
    });
}
