//! A panic in every place where a task may panic, in the default queue, in others, in a latency class and during shutdown: it is its own
//! caller's error, and every other task, in whichever queue, goes on.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
#[path = "common/quiet.rs"]
mod quiet;
use common::{both_drivers, kinds, start};
use quiet::quiet;
use ringwheel_executor::{
    DriverKind, JoinError, JoinHandle, Latency, QueueOptions, Remote, Removal, TaskQueue,
    channel::{local, shared},
    pool::{CallError, ExecutorPool, PoolOptions},
    spawn, spawn_into, submit_to, sync,
    time::{self, Timer},
    yield_now,
};
use std::{
    cell::Cell,
    future::pending,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

const SOON: Duration = Duration::from_millis(1);

/// Panics as it is dropped, but never a second time: that would abort.
struct Bomb;
impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("expected: destructor");
        }
    }
}

/// Counts its drops.
struct Counted(Arc<AtomicU32>);
impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Where the panics happen.
#[derive(Clone, Copy, Debug)]
enum Place {
    Default,
    Queue,
    LatencyClass,
}

const PLACES: [Place; 3] = [Place::Default, Place::Queue, Place::LatencyClass];

impl Place {
    /// Called in a task of the default queue.
    fn queue(self) -> TaskQueue {
        let latency = match self {
            Place::Default => return TaskQueue::current().unwrap(),
            Place::Queue => Latency::NotImportant,
            Place::LatencyClass => Latency::Matters(Duration::from_millis(5)),
        };
        TaskQueue::new(QueueOptions { latency, ..Default::default() }).unwrap()
    }
}

fn panicked<T>(result: Result<T, JoinError>) -> bool {
    matches!(result, Err(JoinError::Panicked(_)))
}

/// Panics everywhere, as a task of the queue that it is spawned into. Ends by itself when each was contained.
async fn everywhere(pool: Rc<ExecutorPool>) {
    // Tasks: at once, after a wait, in a destructor.
    assert!(panicked(spawn(async { panic!("expected: at once") }).await));
    let later = spawn(async {
        time::sleep(SOON).await;
        panic!("expected: after a wait")
    });
    assert!(panicked(later.await));
    let cancelled = spawn(async {
        let _bomb = Bomb;
        pending::<()>().await;
    });
    yield_now().await;
    cancelled.cancel();
    assert!(panicked(cancelled.await));

    // Timers: the callback, its destructor; the next one is called all the same.
    Timer::new(SOON, || panic!("expected: a callback")).unwrap().detach();
    let bomb = Bomb;
    let cancelled = Timer::new(Duration::from_secs(60), move || _ = &bomb).unwrap();
    spawn(async move { cancelled.cancel() }).await.unwrap();
    let called = Rc::new(Cell::new(false));
    let calls = called.clone();
    Timer::new(SOON, move || calls.set(true)).unwrap().detach();
    while !called.get() {
        time::sleep(SOON).await;
    }

    // Channels: a receiver that panics ends its channel; a message whose destructor panics in a channel that is dropped hurts nobody.
    let (sender, receiver) = local::bounded(1).unwrap();
    let receiving = spawn(async move {
        receiver.recv().await;
        panic!("expected: a receiver")
    });
    while sender.send(1).await.is_ok() {}
    assert!(panicked(receiving.await));
    let (sender, receiver) = local::bounded(4).unwrap();
    sender.try_send(Bomb).map_err(|_| ()).unwrap();
    spawn(async move { drop(receiver) }).await.unwrap();
    assert!(sender.is_closed());
    let (sender, receiver) = shared::bounded(1).unwrap();
    let (sender, receiver) = (sender.connect().unwrap(), receiver.connect().unwrap());
    let receiving = spawn(async move {
        receiver.recv().await;
        panic!("expected: a receiver")
    });
    while sender.send(1).await.is_ok() {}
    assert!(panicked(receiving.await));
    let (sender, receiver) = shared::bounded(4).unwrap();
    let (sender, receiver) = (sender.connect().unwrap(), receiver.connect().unwrap());
    sender.try_send(Bomb).map_err(|_| ()).unwrap();
    spawn(async move { drop((receiver, sender)) }).await.unwrap();

    // Whoever panics with a lock, a permit or a pass gives it back.
    let (semaphore, gate) = (Rc::new(sync::Semaphore::new(1)), Rc::new(sync::Gate::new()));
    let (permits, passes) = (semaphore.clone(), gate.clone());
    let holder = spawn(async move {
        let _held = (permits.acquire(1).await.unwrap(), passes.enter().unwrap());
        panic!("expected: with a permit")
    });
    assert!(panicked(holder.await));
    drop(semaphore.acquire(1).await.unwrap());
    gate.close().await;

    // Work for this executor and for a pool's member.
    let here = Remote::current().unwrap();
    let made = submit_to(&here, || -> std::future::Ready<()> { panic!("expected: a closure") }).unwrap();
    assert!(panicked(made.await));
    let run = submit_to(&here, || async { panic!("expected: a call") }).unwrap();
    assert!(panicked(run.await));
    let job = pool.run(0, || async { panic!("expected: a job") }).await;
    assert!(matches!(job, Err(CallError::Panicked(_))));
    assert_eq!(pool.run(0, || async { 5 }).await.unwrap(), 5);
}

/// A task that counts its rounds until it is told to stop.
fn witness(queue: TaskQueue, stop: &Rc<Cell<bool>>) -> JoinHandle<u32> {
    let stop = stop.clone();
    spawn_into(queue, async move {
        let mut rounds = 0;
        while !stop.get() {
            rounds += 1;
            if rounds % 8 == 0 { time::sleep(SOON).await } else { yield_now().await }
        }
        rounds
    })
}

fn pool(kind: DriverKind) -> ExecutorPool {
    let executor = common::options(kind);
    ExecutorPool::start(PoolOptions { size: Some(1), executor, ..Default::default() }).unwrap()
}

#[test]
fn a_panic_is_its_callers_error_in_every_place_and_queue() {
    quiet();
    for kind in kinds() {
        let mut executor = start(kind, |_| {});
        for place in PLACES {
            let pool = Rc::new(pool(kind));
            executor
                .run(async {
                    let stop = Rc::new(Cell::new(false));
                    let queue = place.queue();
                    let other = Place::Queue.queue();
                    let witnesses =
                        [queue, other, TaskQueue::current().unwrap()].map(|queue| witness(queue, &stop));
                    if let Err(error) = spawn_into(queue, everywhere(pool)).await {
                        panic!("{place:?}: {error}");
                    }
                    assert!(witnesses.iter().all(|witness| !witness.is_finished()));
                    stop.set(true);
                    for witness in witnesses {
                        assert!(witness.await.unwrap() > 0);
                    }
                    other.remove(Removal::Drain).unwrap().await;
                    if !matches!(place, Place::Default) {
                        queue.remove(Removal::Drain).unwrap().await;
                    }
                })
                .unwrap();
        }
        // Eight a place: what was submitted counts where it was asked for.
        assert_eq!(executor.stats().panics, 8 * PLACES.len() as u64);
        assert_eq!(executor.shutdown(Duration::from_secs(1)).panics, 0);
    }
}

/// Leaves something behind in every place that panics once the executor drops it, and things that must be dropped all the same.
fn leave_behind(queue: TaskQueue, dropped: &Arc<AtomicU32>) -> u32 {
    let mut left = 0;
    let mut counted = || {
        left += 1;
        Counted(dropped.clone())
    };
    for _ in 0..2 {
        let (before, after) = (counted(), counted());
        drop(spawn_into(queue, async move {
            let _held = (before, Bomb, after);
            pending::<()>().await;
        }));
        let ready = (counted(), Bomb);
        drop(spawn_into(queue, async move {
            let _held = ready;
            loop {
                yield_now().await;
            }
        }));
        let never = (counted(), Bomb);
        drop(spawn_into(queue, async move { drop(never) })); // not polled before the end
        let timer = (counted(), Bomb);
        Timer::new(Duration::from_secs(60), move || _ = &timer).unwrap().detach();
        let call = (counted(), Bomb);
        drop(submit_to(&Remote::current().unwrap(), move || async move { drop(call) }).unwrap());
        let (sender, receiver) = local::bounded(4).unwrap();
        sender.try_send((counted(), Bomb)).map_err(|_| ()).unwrap();
        drop(spawn_into(queue, async move {
            let _ends = (sender, receiver);
            pending::<()>().await;
        }));
        let (sender, receiver) = shared::bounded(4).unwrap();
        let (sender, receiver) = (sender.connect().unwrap(), receiver.connect().unwrap());
        sender.try_send((counted(), Bomb)).map_err(|_| ()).unwrap();
        drop(spawn_into(queue, async move {
            let _ends = (sender, receiver);
            pending::<()>().await;
        }));
    }
    left
}

#[test]
fn a_panic_during_shutdown_stops_nothing_that_ends_there() {
    quiet();
    for kind in kinds() {
        for place in PLACES {
            let mut executor = start(kind, |_| {});
            let dropped = Arc::new(AtomicU32::new(0));
            let left = executor
                .run(async {
                    let queue = place.queue();
                    // In a task of that queue, for its timers to be there; the last thing before the end.
                    let dropped = dropped.clone();
                    spawn_into(queue, async move { leave_behind(queue, &dropped) }).await.unwrap()
                })
                .unwrap();
            let report = executor.shutdown(Duration::from_secs(1));
            assert_eq!(dropped.load(Ordering::Relaxed), left, "{place:?}: all was dropped: {report:?}");
            assert!(report.panics > 0, "{report:?}");
            assert_eq!(report.driver.leaked, 0, "{report:?}");
            // The thread is as good as before.
            let mut next = start(kind, |_| {});
            assert_eq!(next.run(async { spawn(async { 7 }).await }).unwrap().unwrap(), 7);
        }
    }
}

#[test]
fn a_panic_in_a_pool_that_closes_is_nobody_elses() {
    quiet();
    for kind in kinds() {
        let mut pool = pool(kind);
        let dropped = Arc::new(AtomicU32::new(0));
        let calls: Vec<_> = (0..6)
            .map(|number| {
                let held = Counted(dropped.clone());
                pool.run(0, move || async move {
                    let _held = (held, (number % 2 == 0).then(|| Bomb));
                    pending::<()>().await;
                })
            })
            .collect();
        let report = pool.close(Duration::from_millis(20));
        assert_eq!((report.abandoned, report.stuck), (6, 0));
        for call in calls {
            assert!(matches!(call.join(), Err(CallError::Closed | CallError::Panicked(_))));
        }
        assert_eq!(dropped.load(Ordering::Relaxed), 6);
    }
}

#[test]
fn errors_with_a_payload_are_for_every_error_box() {
    fn check<T: std::error::Error + Send + Sync + 'static>() {}
    check::<JoinError>();
    check::<ringwheel_executor::RunError>();
    check::<CallError>();
    quiet();
    both_drivers(|mut executor| {
        let error = executor.run(async { panic!("expected: root") }).map(|(): ()| ()).unwrap_err();
        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
        assert_eq!(error.to_string(), "ERR_RINGWHEEL_PANIC: expected: root");
    });
}
