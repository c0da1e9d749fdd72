//! What the pool promises, tried on real threads.
use super::{Pool, Reason};
use std::{
    sync::{
        Arc, Barrier, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// Opens once, and lets everybody through from then on.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
    fn pass(&self) {
        let mut open = self.0.0.lock().unwrap();
        while !*open {
            open = self.0.1.wait(open).unwrap();
        }
    }
}

fn collect(pool: &mut Pool, count: usize) -> Vec<(u64, i32)> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut results = Vec::new();
    while results.len() < count {
        assert!(Instant::now() < deadline, "only {} of {count} came", results.len());
        if pool.drain(|id, result| results.push((id, result))) == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    results
}

fn quiet(threads: u16, queue: usize) -> Pool {
    Pool::new(threads, queue, Box::new(|| {}))
}

#[test]
fn a_panicking_job_is_an_error_and_the_pool_lives() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("from the payload's destructor"));
        }
    }
    let mut pool = quiet(1, 8);
    pool.submit(1, Box::new(|| std::panic::resume_unwind(Box::new("on purpose")))).unwrap();
    pool.submit(2, Box::new(|| std::panic::resume_unwind(Box::new(Bomb)))).unwrap();
    pool.submit(3, Box::new(|| 7)).unwrap();
    assert_eq!(collect(&mut pool, 3), [(1, -libc::EIO), (2, -libc::EIO), (3, 7)]);
}

#[test]
fn threads_start_on_first_use_and_stay_within_the_bound() {
    let mut pool = quiet(3, 64);
    assert_eq!(pool.shared.inbox.lock().unwrap().threads, 0);
    // Each trio ends only when three of them run at once; a fourth at the same time would show in `most`.
    let barrier = Arc::new(Barrier::new(3));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for id in 0..30 {
        let (running, most, barrier) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&barrier));
        let work = move || {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            barrier.wait();
            running.fetch_sub(1, Ordering::SeqCst);
            0
        };
        pool.submit(id, Box::new(work)).unwrap();
    }
    collect(&mut pool, 30);
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(pool.shared.inbox.lock().unwrap().threads, 3);
}

#[test]
fn sequential_work_uses_one_thread() {
    let mut pool = quiet(4, 8);
    for id in 0..20 {
        pool.submit(id, Box::new(|| 0)).unwrap();
        collect(&mut pool, 1);
        // The thread reports before it is idle again: give it the moment that a real submitter would.
        while pool.shared.inbox.lock().unwrap().idle == 0 {
            std::thread::yield_now();
        }
    }
    assert_eq!(pool.shared.inbox.lock().unwrap().threads, 1);
}

#[test]
fn a_full_queue_gives_the_work_back_and_takes_it_later() {
    let mut pool = quiet(1, 2);
    let gate = Gate::default();
    let (started, has_started) = mpsc::channel();
    let held = gate.clone();
    let first = move || {
        started.send(()).unwrap();
        held.pass();
        0
    };
    pool.submit(0, Box::new(first)).unwrap();
    has_started.recv().unwrap();
    pool.submit(1, Box::new(|| 1)).unwrap();
    pool.submit(2, Box::new(|| 2)).unwrap();
    let rejected = pool.submit(3, Box::new(|| 3)).unwrap_err();
    assert_eq!(rejected.reason, Reason::Full);
    gate.open();
    assert_eq!(collect(&mut pool, 3), [(0, 0), (1, 1), (2, 2)]);
    pool.submit(3, rejected.work).unwrap();
    assert_eq!(collect(&mut pool, 1), [(3, 3)]);
}

#[test]
fn queued_work_can_be_cancelled_and_running_work_cannot() {
    let mut pool = quiet(1, 8);
    let gate = Gate::default();
    let (started, has_started) = mpsc::channel();
    let held = gate.clone();
    let first = move || {
        started.send(()).unwrap();
        held.pass();
        0
    };
    pool.submit(0, Box::new(first)).unwrap();
    pool.submit(1, Box::new(|| 1)).unwrap();
    has_started.recv().unwrap();
    assert!(pool.cancel(0).is_none(), "it runs");
    assert!(pool.cancel(1).is_some());
    assert!(pool.cancel(1).is_none(), "it is gone");
    gate.open();
    assert_eq!(collect(&mut pool, 1), [(0, 0)]);
}

#[test]
fn results_are_notified_once_per_batch() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let mut pool = Pool::new(
        2,
        64,
        Box::new(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }),
    );
    let barrier = Arc::new(Barrier::new(2));
    for id in 0..2 {
        let barrier = Arc::clone(&barrier);
        let work = move || {
            barrier.wait();
            0
        };
        pool.submit(id, Box::new(work)).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while pool.shared.done.lock().unwrap().len() < 2 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(pool.has_done());
    while count.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(pool.drain(|_, _| {}), 2);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(!pool.has_done());
    pool.submit(9, Box::new(|| 0)).unwrap();
    collect(&mut pool, 1);
    let deadline = Instant::now() + Duration::from_secs(10);
    while count.load(Ordering::SeqCst) < 2 {
        assert!(Instant::now() < deadline, "the next batch is notified again");
        std::thread::yield_now();
    }
}

#[test]
fn shutdown_waits_for_running_work_and_drops_what_is_queued() {
    let mut pool = quiet(1, 8);
    let (started, has_started) = mpsc::channel();
    let first = move || {
        started.send(()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        5
    };
    pool.submit(0, Box::new(first)).unwrap();
    let owned = Arc::new(());
    let weak = Arc::downgrade(&owned);
    let second = move || {
        drop(owned);
        0
    };
    pool.submit(1, Box::new(second)).unwrap();
    has_started.recv().unwrap();
    assert_eq!(pool.shutdown(Instant::now() + Duration::from_secs(10)), 0);
    assert!(weak.upgrade().is_none(), "a closure that never ran is dropped");
    assert_eq!(collect(&mut pool, 1), [(0, 5)]);
    assert_eq!(pool.submit(2, Box::new(|| 0)).unwrap_err().reason, Reason::Closed);
}

#[test]
fn shutdown_leaves_at_the_deadline_and_the_thread_ends_on_its_own() {
    let mut pool = quiet(1, 8);
    let gate = Gate::default();
    let (started, has_started) = mpsc::channel();
    let held = gate.clone();
    let work = move || {
        started.send(()).unwrap();
        held.pass();
        0
    };
    pool.submit(0, Box::new(work)).unwrap();
    has_started.recv().unwrap();
    let before = Instant::now();
    assert_eq!(pool.shutdown(before + Duration::from_millis(20)), 1);
    assert!(before.elapsed() >= Duration::from_millis(20));
    let shared = Arc::clone(&pool.shared);
    drop(pool);
    gate.open();
    let deadline = Instant::now() + Duration::from_secs(10);
    while shared.inbox.lock().unwrap().threads > 0 {
        assert!(Instant::now() < deadline, "the thread ends when its work does");
        std::thread::yield_now();
    }
}

#[test]
fn work_that_was_given_up_has_another_thread_in_its_place_until_it_ends() {
    let mut pool = quiet(2, 8);
    let gates: [Gate; 3] = Default::default();
    let (begun, begins) = mpsc::channel();
    for (id, gate) in gates.iter().cloned().enumerate() {
        let begun = begun.clone();
        let work = move || {
            begun.send(id).unwrap();
            gate.pass();
            7
        };
        pool.submit(id as u64, Box::new(work)).unwrap();
    }
    let long = Duration::from_secs(10);
    let mut first = [begins.recv_timeout(long).unwrap(), begins.recv_timeout(long).unwrap()];
    first.sort_unstable();
    assert_eq!(first, [0, 1]);
    pool.give_up(2); // It has not begun: nothing to give up.
    pool.give_up(9);
    assert!(begins.recv_timeout(Duration::from_millis(50)).is_err(), "two threads are at work");
    pool.give_up(0);
    pool.give_up(0);
    assert_eq!(begins.recv_timeout(long).unwrap(), 2);
    assert!(format!("{pool:?}").contains("threads: 3"), "{pool:?}");
    gates[0].open();
    assert_eq!(collect(&mut pool, 1), [(0, 7)]);
    let deadline = Instant::now() + long;
    while !format!("{pool:?}").contains("threads: 2") {
        assert!(Instant::now() < deadline, "the third thread stays: {pool:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    gates[1].open();
    gates[2].open();
    assert_eq!(collect(&mut pool, 2).len(), 2);
    assert_eq!(pool.shutdown(deadline), 0);
}
