//! crates/clock alone: insert and cancel with many timers present, and the longest pause when a crowded slot cascades.
use measure::{Report, Structure, Ticks, insert_and_cancel_structure};
use ringwheel_clock::{TimerKey, Wheel};

/// Timers that one turn of an executor fires at most.
const TIMERS_PER_TURN: usize = 1024;

/// Inserts and cancels between two turns. The turns are in the figures, and with them what rebuilding the wheel costs.
const STEPS_PER_TURN: u32 = 1000;

struct Clock {
    wheel: Wheel<u64>,
    steps: u32,
}

impl Clock {
    #[inline]
    fn step(&mut self) {
        self.steps += 1;
        if self.steps == STEPS_PER_TURN {
            self.steps = 0;
            self.wheel.expire(self.wheel.now(), TIMERS_PER_TURN, |id| panic!("{id} is early"));
        }
    }
}

impl Structure for Clock {
    type Key = TimerKey;
    fn insert(&mut self, id: u64, milliseconds: u64) -> TimerKey {
        self.step();
        self.wheel.insert(self.wheel.now() + milliseconds, id)
    }
    fn cancel(&mut self, key: TimerKey) {
        self.step();
        self.wheel.cancel(key).expect("the timer is there");
    }
}

/// Insert and cancel with `count` timers present.
pub fn insert_and_cancel(count: usize) {
    insert_and_cancel_structure(count, Clock { wheel: Wheel::new(0), steps: 0 });
}

/// `count` timers of about 30 s, all within one slot of the wheel's second level, so that one tick has to spread them all.
/// Then the time passes millisecond by millisecond, and each call of `expire` is a pause of the executor.
///
/// # Panics
/// When a timer is lost, or fires before its deadline, or out of order.
pub fn cascade(count: usize) {
    const SLOT: u64 = 30_000 / 256 * 256;
    let mut wheel = Wheel::new(0);
    for id in 0..count as u64 {
        let deadline = SLOT + id % 256;
        wheel.insert(deadline, deadline);
    }
    let ticks = Ticks::calibrated();
    let (mut worst, mut all, mut fired, mut last) = (0.0_f64, 0.0, 0, 0);
    let mut now = 0;
    while !wheel.is_empty() {
        now += 1;
        assert!(now < SLOT + 1000, "{} timers never fire", wheel.len());
        loop {
            let start = ticks.now();
            let batch = wheel.expire(now, TIMERS_PER_TURN, |deadline| {
                assert!(deadline <= now && deadline >= last, "{deadline} fires at {now} after {last}");
                last = deadline;
            });
            let pause = ticks.nanoseconds_since(start);
            worst = worst.max(pause);
            all += pause;
            fired += batch;
            // What a bounded call left over makes the wheel due at once.
            if wheel.next_deadline().is_none_or(|next| next > now) {
                break;
            }
        }
    }
    assert_eq!(fired, count, "every timer fires once");
    Report::default().with("worst pause", worst / 1e3).with("all ticks", all / 1e6).print();
}
