//! Intervals, time limits, timers and precise sleeps on both drivers. Sleeps themselves are in tasks.rs.
mod common;
use common::both_drivers;
use ringwheel_executor::{
    SpawnError, spawn,
    time::{self, Timer},
};
use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A callback that notes when it is called, and its notes.
fn noted() -> (Rc<RefCell<Vec<Instant>>>, impl FnMut() + 'static) {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let noting = calls.clone();
    (calls, move || noting.borrow_mut().push(Instant::now()))
}

/// Waits until there are so many.
async fn calls_of(calls: &RefCell<Vec<Instant>>, count: usize) {
    while calls.borrow().len() < count {
        time::sleep(ms(1)).await;
    }
}

/// Lets the clock go on without a turn.
fn block(duration: Duration) {
    std::thread::sleep(duration);
}

#[test]
fn precise_sleeps_are_never_early_and_closer_than_a_tick() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let mut late = Vec::new();
                for micros in [1, 100, 250, 999, 1_000, 1_300, 5_750] {
                    let (begun, wanted) = (Instant::now(), Duration::from_micros(micros));
                    time::sleep(wanted).precise().await;
                    let took = begun.elapsed();
                    assert!(took >= wanted, "{took:?} for {wanted:?}");
                    late.push(took - wanted);
                }
                // On a machine that others use most may be late, but not all by a tick: then the option would do nothing.
                let best = late.iter().min().unwrap();
                assert!(*best < ms(1), "{late:?}");
            })
            .unwrap();
        assert_eq!(executor.stats().timers, 0);
    });
}

#[test]
fn precise_sleeps_can_be_moved_dropped_and_awaited_elsewhere() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let start = Instant::now();
                let mut sleep = time::sleep(Duration::from_secs(100)).precise();
                assert!(
                    poll_fn(|context| Poll::Ready(Pin::new(&mut sleep).poll(context))).await.is_pending()
                );
                sleep.reset(start + ms(3));
                (&mut sleep).await;
                sleep.reset(start + ms(6));
                spawn(sleep).await.unwrap();
                assert!(start.elapsed() >= ms(6));
                let mut dropped = time::sleep(Duration::from_secs(100)).precise();
                assert!(
                    poll_fn(|context| Poll::Ready(Pin::new(&mut dropped).poll(context))).await.is_pending()
                );
                drop(dropped);
                // From the wheel to the list and back.
                let mut moved = time::sleep(ms(2));
                assert!(
                    poll_fn(|context| Poll::Ready(Pin::new(&mut moved).poll(context))).await.is_pending()
                );
                let mut moved = moved.precise();
                moved.reset(Instant::now() + Duration::from_micros(300));
                moved.await;
            })
            .unwrap();
        assert_eq!(executor.stats().timers, 0);
    });
}

#[test]
fn an_interval_does_not_drift_and_counts_what_was_missed() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let start = Instant::now();
                let mut beats = time::interval(ms(10));
                let mut sum = 0;
                for round in 0..6 {
                    let count = beats.tick().await;
                    sum += count;
                    assert!(
                        start.elapsed() >= ms(10) * sum as u32,
                        "{sum} beats after {:?}",
                        start.elapsed()
                    );
                    if round == 2 {
                        block(ms(35));
                    }
                    if round == 3 {
                        assert!(count >= 3, "{count}");
                    }
                }
                // Dropping a wait loses no beat.
                assert!(time::timeout(ms(1), beats.tick()).await.is_err());
                sum += beats.tick().await;
                assert!(start.elapsed() >= ms(10) * sum as u32);
                // Periods that make no sense.
                assert!(time::interval(Duration::ZERO).precise().tick().await >= 1);
                assert!(time::timeout(ms(2), time::interval(Duration::MAX).tick()).await.is_err());
            })
            .unwrap();
        assert_eq!(executor.stats().timers, 0);
    });
}

#[test]
fn a_deadline_is_shared_by_several_pieces_of_work() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let limit = Instant::now() + ms(10);
                assert_eq!(time::deadline(limit, async { 5 }).await, Ok(5));
                assert_eq!(time::deadline(limit, pending::<()>()).await, Err(time::Elapsed));
                assert!(Instant::now() >= limit);
                // A result that is there counts, however late.
                assert_eq!(time::deadline(limit, async { 6 }).await, Ok(6));
            })
            .unwrap();
        assert_eq!(executor.stats().timers, 0);
    });
}

#[test]
fn a_timer_is_called_once_and_again_after_a_refresh() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let (calls, note) = noted();
                let begun = Instant::now();
                let timer = Timer::new(ms(5), note).unwrap();
                assert!(timer.is_waiting());
                calls_of(&calls, 1).await;
                assert!(calls.borrow()[0] >= begun + ms(5));
                assert!(!timer.is_waiting());
                time::sleep(ms(10)).await;
                assert_eq!(calls.borrow().len(), 1);
                let refreshed = Instant::now();
                timer.refresh();
                calls_of(&calls, 2).await;
                assert!(calls.borrow()[1] >= refreshed + ms(5));
                timer.refresh_after(Duration::from_secs(1000));
                timer.refresh_after(ms(2)); // To an earlier time: the task is woken for it.
                calls_of(&calls, 3).await;
                assert!(!timer.cancel());
            })
            .unwrap();
        assert_eq!(executor.stats().timers, 0);
        assert_eq!(executor.stats().tasks, 0);
    });
}

#[test]
fn a_timer_that_is_put_off_again_and_again_is_called_at_the_last_time() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let (calls, note) = noted();
                let timer = Timer::new(ms(250), note).unwrap();
                for _ in 0..20 {
                    time::sleep(ms(1)).await;
                    timer.refresh();
                }
                let last = Instant::now();
                timer.refresh();
                calls_of(&calls, 1).await;
                assert!(calls.borrow()[0] >= last + ms(250));
                assert_eq!(calls.borrow().len(), 1);
            })
            .unwrap();
    });
}

#[test]
fn a_cancelled_or_dropped_timer_is_not_called_also_when_it_is_due() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let (calls, note) = noted();
                assert!(Timer::new(ms(1), note).unwrap().cancel());
                let (dropped_calls, note) = noted();
                drop(Timer::new(ms(1), note).unwrap());
                // Due in the same turn as the one that cancels it.
                let (due_calls, note) = noted();
                let due = Rc::new(RefCell::new(None));
                let cancelled = Rc::new(Cell::new(None));
                let (taken, result) = (due.clone(), cancelled.clone());
                let first = Timer::new(ms(2), move || {
                    result.set(taken.borrow_mut().take().map(Timer::cancel));
                })
                .unwrap();
                *due.borrow_mut() = Some(Timer::new(ms(2), note).unwrap());
                time::sleep(ms(1)).await;
                block(ms(10));
                time::sleep(ms(20)).await;
                assert_eq!(cancelled.get(), Some(true));
                for calls in [calls, dropped_calls, due_calls] {
                    assert_eq!(calls.borrow().len(), 0);
                }
                drop(first);
            })
            .unwrap();
        executor.run(ringwheel_executor::yield_now()).unwrap();
        assert_eq!((executor.stats().timers, executor.stats().tasks), (0, 0));
    });
}

#[test]
fn a_detached_timer_is_called_without_its_handle() {
    both_drivers(|mut executor| {
        let (calls, note) = noted();
        executor
            .run(async {
                Timer::new(ms(2), note).unwrap().detach();
                calls_of(&calls, 1).await;
            })
            .unwrap();
        executor.run(time::sleep(ms(2))).unwrap();
        assert_eq!((executor.stats().timers, executor.stats().tasks), (0, 0));
    });
}

#[test]
fn a_callback_that_panics_ends_its_timer_alone() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let (calls, note) = noted();
                let bad = Timer::new(ms(2), || panic!("a callback's panic")).unwrap();
                let good = Timer::new(ms(2), note).unwrap();
                calls_of(&calls, 1).await;
                bad.refresh(); // Nobody is there any more: nothing happens.
                time::sleep(ms(5)).await;
                drop((bad, good));
            })
            .unwrap();
        executor.run(ringwheel_executor::yield_now()).unwrap();
        assert_eq!((executor.stats().timers, executor.stats().tasks), (0, 0));
    });
}

#[test]
fn a_timer_may_refresh_and_outlive_its_executor() {
    assert_eq!(Timer::new(ms(1), || {}).err(), Some(SpawnError::NoExecutor));
    both_drivers(|mut executor| {
        let kept = Rc::new(RefCell::new(None));
        let (calls, mut note) = noted();
        let inner: Rc<RefCell<Option<Timer>>> = kept.clone();
        let timer = executor
            .run(async move {
                Timer::new(ms(1), move || {
                    note();
                    if let Some(timer) = &*inner.borrow() {
                        timer.refresh(); // From its own callback.
                    }
                })
            })
            .unwrap()
            .unwrap();
        *kept.borrow_mut() = Some(timer);
        executor.run(calls_of(&calls, 4)).unwrap();
        drop(executor);
        let timer = kept.borrow_mut().take().unwrap();
        timer.refresh(); // Nothing is there to call it.
        timer.cancel();
    });
}
