//! The stall detector: what is reported and what is not, from which queue and with what on the stack.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::{both_drivers, kinds, options as small, start};
use ringwheel_executor::{
    Executor, Options, QueueOptions, StartError, TaskQueue, spawn, spawn_into,
    stall::{Stall, StallOptions},
    time::sleep,
    yield_now,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

const THRESHOLD: Duration = Duration::from_millis(50);

type Seen = Arc<Mutex<Vec<Stall>>>;

/// One at a time: a test that holds a core makes the others' executors wait for one, which is a stall too.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Options that collect reports.
fn watched(threshold: Duration, stack: bool) -> (Options, Seen) {
    let kind = kinds()[0];
    let seen = Seen::default();
    let (stalls, report) = (Arc::clone(&seen), Arc::clone(&seen));
    let report = Arc::new(move |stall: &Stall| report.lock().unwrap().push(stall.clone()));
    let stall = StallOptions { threshold, stack, report: Some(report) };
    (Options { stall: Some(stall), ..small(kind) }, stalls)
}

/// Holds the thread without a system call, and with a name to find.
#[inline(never)]
fn a_function_that_holds_the_thread(time: Duration) -> u64 {
    a_function_that_holds_the_thread_until(time, || true)
}

/// The same until `enough`, too, at most ten seconds: on a busy machine the watchdog may come late.
#[inline(never)]
fn a_function_that_holds_the_thread_until(time: Duration, enough: impl Fn() -> bool) -> u64 {
    let (start, mut turns) = (Instant::now(), 0_u64);
    while start.elapsed() < time || !enough() && start.elapsed() < Duration::from_secs(10) {
        turns = std::hint::black_box(turns + 1);
    }
    turns
}

fn until(seen: &Seen, enough: impl Fn(&[Stall]) -> bool) -> Vec<Stall> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let now = seen.lock().unwrap().clone();
        if enough(&now) || Instant::now() > end {
            return now;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_long_poll_is_reported_when_it_is_found_and_when_it_is_over() {
    let _alone = alone();
    for kind in kinds() {
        let (options, seen) = watched(THRESHOLD, true);
        let mut executor = start(kind, |small| small.stall = options.stall);
        let found = Arc::clone(&seen);
        executor
            .run(async move {
                sleep(Duration::from_millis(5)).await;
                let found = || !found.lock().unwrap().is_empty();
                a_function_that_holds_the_thread_until(Duration::from_millis(250), found);
                yield_now().await;
            })
            .unwrap();
        let stalls = until(&seen, |stalls| stalls.len() >= 2);
        let [found, over] = &stalls[..] else { panic!("two reports: {stalls:?}") };
        assert!(!found.over && over.over);
        assert!(found.duration >= THRESHOLD && found.duration < over.duration, "{found:?} {over:?}");
        assert!(over.duration >= over.at - found.at, "{over:?}");
        let stack = &found.stack;
        let names: Vec<_> = stack.iter().filter_map(|frame| frame.function.as_deref()).collect();
        let place = names.iter().position(|name| name.contains("a_function_that_holds_the_thread"));
        assert!(place.is_some_and(|place| place < 8), "near the top: {names:#?}");
        assert!(!names.iter().any(|name| name.contains("stall::signal")), "not our own handler: {names:#?}");
        let stats = executor.stats();
        assert_eq!((stats.stalls, stats.longest_stall), (1, over.duration));
    }
}

#[test]
fn short_polls_sleeps_and_an_idle_executor_are_no_stalls() {
    let _alone = alone();
    let (options, seen) = watched(THRESHOLD, false);
    let mut executor = Executor::start(options).unwrap();
    executor
        .run(async {
            let busy = spawn(async {
                for _ in 0..60 {
                    a_function_that_holds_the_thread(Duration::from_millis(2));
                    yield_now().await;
                }
            });
            busy.await.unwrap();
            sleep(THRESHOLD * 6).await;
        })
        .unwrap();
    std::thread::sleep(THRESHOLD * 4); // Outside of `run` the thread is its owner's.
    let stalls = seen.lock().unwrap().clone();
    // Another program may hold this machine's cores for longer than the threshold, but not all the time.
    assert!(stalls.len() <= 2, "{stalls:?}");
}

#[test]
fn a_thread_that_waits_in_the_kernel_is_reported_too() {
    let _alone = alone();
    let (options, seen) = watched(THRESHOLD, true);
    let mut executor = Executor::start(options).unwrap();
    executor.run(async { std::thread::sleep(THRESHOLD * 5) }).unwrap();
    let stalls = until(&seen, |stalls| stalls.len() >= 2);
    let names: Vec<_> = stalls[0].stack.iter().filter_map(|frame| frame.function.as_deref()).collect();
    assert!(names.iter().any(|name| name.contains("sleep")), "{names:#?}");
    assert!(stalls[1].duration >= THRESHOLD * 4, "the signal does not cut the sleep short: {stalls:?}");
}

#[test]
fn more_than_five_a_minute_are_counted_and_not_reported() {
    let _alone = alone();
    let threshold = Duration::from_millis(5);
    let (options, seen) = watched(threshold, false);
    let mut executor = Executor::start(options).unwrap();
    executor
        .run(async {
            for _ in 0..12 {
                a_function_that_holds_the_thread(threshold * 12);
                sleep(threshold * 2).await;
            }
        })
        .unwrap();
    let found = until(&seen, |stalls| stalls.len() >= 10).iter().filter(|stall| !stall.over).count();
    assert_eq!(found, 5);
    assert!(executor.stats().stalls >= 8, "{:?}", executor.stats());
}

#[test]
fn a_report_that_panics_ends_nothing() {
    let _alone = alone();
    let reports = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&reports);
    let report = Arc::new(move |_: &Stall| {
        count.fetch_add(1, Ordering::Relaxed);
        panic!("on purpose");
    });
    let stall = StallOptions { threshold: Duration::from_millis(10), stack: false, report: Some(report) };
    let mut executor = Executor::start(Options { stall: Some(stall), ..small(kinds()[0]) }).unwrap();
    for round in 1..=2 {
        let found = || reports.load(Ordering::Relaxed) > (round - 1) * 2;
        let least = Duration::from_millis(100);
        executor.run(async { assert!(a_function_that_holds_the_thread_until(least, found) > 0) }).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while reports.load(Ordering::Relaxed) < round * 2 {
            assert!(Instant::now() < end, "no report after a panic in one: round {round}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn executors_come_and_go_under_watch_and_the_watchdog_goes_with_the_last() {
    let _alone = alone();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                for round in 0..50 {
                    let (options, _) = watched(Duration::from_millis(1), true);
                    let mut executor = Executor::start(options).unwrap();
                    let held = Duration::from_millis(round % 5);
                    executor
                        .run(async move { assert!(a_function_that_holds_the_thread(held) < u64::MAX) })
                        .unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn the_queue_that_ran_is_named() {
    let _alone = alone();
    let (options, seen) = watched(THRESHOLD, false);
    let mut executor = Executor::start(options).unwrap();
    executor
        .run(async {
            let queue =
                TaskQueue::new(QueueOptions { name: "background".into(), ..Default::default() }).unwrap();
            let held = spawn_into(queue, async { a_function_that_holds_the_thread(THRESHOLD * 3) });
            held.await.unwrap();
            a_function_that_holds_the_thread(THRESHOLD * 3);
        })
        .unwrap();
    let stalls = until(&seen, |stalls| stalls.iter().filter(|stall| stall.over).count() >= 2);
    let queues: Vec<_> = stalls.iter().filter(|stall| stall.over).map(|stall| stall.queue.as_str()).collect();
    assert_eq!(queues, ["background", "default"]);
}

#[test]
fn nobody_is_watched_unless_asked_for() {
    both_drivers(|executor| {
        assert!(executor.heart().is_none()); // No watchdog, no store.
        assert_eq!(executor.stats().stalls, 0);
    });
}

#[test]
fn a_threshold_out_of_range_is_named() {
    for threshold in [Duration::ZERO, Duration::from_secs(7200)] {
        let (options, _) = watched(threshold, false);
        let Err(StartError::Option(text)) = Executor::start(options) else { panic!("it must be refused") };
        assert!(text.starts_with("stall.threshold is "), "{text}");
    }
}

#[test]
fn a_report_reads_as_a_sentence() {
    let stall = Stall {
        thread: "worker".to_owned(),
        queue: "background".to_owned(),
        duration: Duration::from_millis(120),
        over: false,
        at: Instant::now(),
        stack: Arc::new([]),
        suppressed: 0,
    };
    assert_eq!(
        stall.to_string(),
        "executor of thread \"worker\" is stalled for 120ms so far, in queue \"background\""
    );
    let over = Stall { over: true, suppressed: 2, ..stall };
    assert_eq!(
        over.to_string(),
        "executor of thread \"worker\" was stalled for 120ms, in queue \"background\" (2 more were not reported)"
    );
}
