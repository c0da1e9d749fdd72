//! What the executor relies on, one sentence each.
use ringwheel_clock::Wheel;
use std::time::{Duration, Instant};

/// Wakes only at `next_deadline` until the wheel is empty; returns the ticks at which it woke.
fn sleep_through(wheel: &mut Wheel<u64>, fired: &mut Vec<(u64, u64)>) -> Vec<u64> {
    let mut wakes = Vec::new();
    while let Some(tick) = wheel.next_deadline() {
        wakes.push(tick);
        wheel.expire(tick, usize::MAX, |value| fired.push((tick, value)));
        assert!(wakes.len() < 100, "woke at {wakes:?}");
    }
    wakes
}

#[test]
fn an_idle_executor_with_one_timer_wakes_once() {
    for start in [0, 255, 256, 65_535, 4_294_967_200, 1 << 40] {
        for delay in [1, 255, 256, 1000, 30_000, 65_536, 100_000, 86_400_000, 4_278_190_079] {
            let mut wheel = Wheel::new(start);
            wheel.insert(start + delay, 7);
            let mut fired = Vec::new();
            assert_eq!(sleep_through(&mut wheel, &mut fired), [start + delay]);
            assert_eq!(fired, [(start + delay, 7)]);
        }
    }
}

#[test]
fn a_sleep_longer_than_49_days_wakes_at_most_a_few_times() {
    for days in [49, 50, 100, 365] {
        let deadline = days * 86_400_000;
        let mut wheel = Wheel::new(0);
        wheel.insert(deadline, 1);
        let mut fired = Vec::new();
        let wakes = sleep_through(&mut wheel, &mut fired);
        assert!(wakes.len() as u64 <= 1 + days / 49, "{days} days: {wakes:?}");
        assert_eq!(fired, [(deadline, 1)]);
    }
}

#[test]
fn cancelled_timers_wake_an_idle_executor_once_a_slot_at_most() {
    let mut wheel = Wheel::new(0);
    wheel.insert(40_000, 1);
    for delay in 0..1000 {
        let key = wheel.insert(30_000 + delay, 0);
        wheel.cancel(key);
    }
    let mut fired = Vec::new();
    let wakes = sleep_through(&mut wheel, &mut fired);
    // A thousand cancelled deadlines lie in five slots of 256 ticks.
    assert!(wakes.len() <= 6, "{wakes:?}");
    assert_eq!(fired, [(40_000, 1)]);
}

#[test]
fn with_no_timer_left_there_is_no_deadline() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(1000, 1);
    assert_eq!(wheel.next_deadline(), Some(1000));
    wheel.cancel(key);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn a_timer_pushed_back_again_and_again_fires_once_at_the_last_deadline() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(30_000, 5u64);
    for now in (0..300_000).step_by(100) {
        assert!(wheel.rearm(key, now + 30_000));
        assert_eq!(wheel.expire(now, usize::MAX, |_| panic!("early")), 0);
    }
    let mut fired = Vec::new();
    sleep_through(&mut wheel, &mut fired);
    assert_eq!(fired, [(329_900, 5)]);
    assert!(!wheel.rearm(key, 1_000_000));
}

#[test]
fn a_timer_can_be_pulled_forward() {
    let mut wheel = Wheel::new(0);
    let key = wheel.insert(1 << 40, 5u64);
    for deadline in [1 << 33, 1 << 30, 100_000, 700, 20] {
        assert!(wheel.rearm(key, deadline));
        assert_eq!(wheel.next_deadline(), Some(deadline.min(u64::from(u32::MAX))));
    }
    let mut fired = Vec::new();
    assert_eq!(wheel.expire(19, usize::MAX, |_| panic!("early")), 0);
    wheel.expire(20, usize::MAX, |value| fired.push(value));
    assert_eq!(fired, [5]);
    assert_eq!(wheel.expire(1 << 41, usize::MAX, |_| panic!("twice")), 0);
}

#[test]
fn a_turn_is_bounded_and_the_rest_comes_first_in_the_next() {
    let mut wheel = Wheel::new(0);
    for value in 0..1000u64 {
        wheel.insert(10 + value / 100, value);
    }
    let mut fired = Vec::new();
    let mut turns = 0;
    while wheel.next_deadline().is_some_and(|deadline| deadline <= 5000) {
        let before = fired.len();
        // Timers set between the turns, due at once, come behind what was left over.
        wheel.insert(0, 10_000 + turns);
        assert_eq!(wheel.expire(5000, 64, |value| fired.push(value)), fired.len() - before);
        assert!(fired.len() - before <= 64);
        turns += 1;
        if turns == 40 {
            break;
        }
    }
    let early: Vec<_> = fired.iter().filter(|value| **value < 1000).collect();
    assert_eq!(early.len(), 1000);
    let deadlines: Vec<_> = early.iter().map(|value| **value / 100).collect();
    assert!(deadlines.is_sorted());
}

#[test]
fn a_crowded_slot_is_moved_in_bounded_turns_and_nobody_is_lost_or_late() {
    let mut wheel = Wheel::new(0);
    for value in 0..100_000u64 {
        wheel.insert(30_208 + value % 256, value); // One slot of level 1.
    }
    let mut turns = 0;
    while wheel.next_deadline() == Some(30_208) && wheel.expire(30_207, usize::MAX, |_| panic!("early")) > 0 {
    }
    let mut fired = 0;
    while fired < 100_000 {
        let count = wheel.expire(30_208 + 255, usize::MAX, |_| {});
        assert!(count <= 16_384, "{count} in one turn");
        fired += count;
        turns += 1;
        assert!(turns < 100);
    }
    assert_eq!(turns, (2 * 100_000usize).div_ceil(16_384), "each key is moved once and fires once");
}

#[test]
fn a_jump_over_years_is_quick() {
    let mut wheel = Wheel::new(0);
    for value in 0..1000u64 {
        wheel.insert(value * 86_400_000, value);
    }
    let started = Instant::now();
    let mut fired = Vec::new();
    wheel.expire(u64::MAX - 1, usize::MAX, |value| fired.push(value));
    assert_eq!(fired, (0..1000).collect::<Vec<_>>());
    wheel.insert(u64::MAX, 1);
    assert_eq!(wheel.expire(u64::MAX - 1, usize::MAX, |_| panic!("early")), 0);
    assert_eq!(wheel.expire(u64::MAX, usize::MAX, |_| {}), 1);
    assert!(started.elapsed() < Duration::from_secs(1), "took {:?}", started.elapsed());
}

#[test]
fn time_that_runs_backwards_changes_nothing() {
    let mut wheel = Wheel::new(1000);
    wheel.insert(1010, 1u64);
    wheel.expire(1005, 10, |_| panic!("early"));
    wheel.expire(3, 10, |_| panic!("early"));
    assert_eq!((wheel.now(), wheel.next_deadline()), (1005, Some(1010)));
    assert_eq!(wheel.insert(0, 2).to_bits() as u32, 1);
    assert_eq!(wheel.next_deadline(), Some(1005));
}

#[test]
fn a_panic_in_the_sink_loses_only_its_own_timer() {
    let mut wheel = Wheel::new(0);
    for value in 0..10u64 {
        wheel.insert(value, value);
    }
    let mut fired = Vec::new();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wheel.expire(100, 100, |value| if value == 4 { panic!("in a timer") } else { fired.push(value) });
    }));
    assert!(caught.is_err());
    wheel.expire(100, 100, |value| fired.push(value));
    assert_eq!(fired, [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert!(wheel.is_empty());
}
