//! The wheel against a sorted map: whatever is set, cancelled and re-armed, and however time jumps, the same timers fire.
use proptest::prelude::*;
use ringwheel_clock::{Rebuild, TimerKey, Wheel};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Set a timer so many ticks from now (negative: in the past).
    Insert(i64),
    /// Set one at this very tick.
    InsertAt(u64),
    /// Cancel a timer, live or not.
    Cancel(usize),
    /// Re-arm one to so many ticks from now.
    Rearm(usize, i64),
    /// Let so many ticks pass, then expire at most so many timers.
    Expire(u64, usize),
}

/// Distances that lie on, before and behind the edges of the levels.
fn distance() -> impl Strategy<Value = i64> {
    let edges = prop::sample::select(vec![8u32, 16, 24, 32]);
    prop_oneof![
        3 => 0i64..600,
        3 => 0i64..40_000,
        1 => -50i64..0,
        3 => (edges, 1i64..4, -3i64..4).prop_map(|(bits, times, around)| (times << bits) + around),
        1 => 0i64..1 << 34,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let passed = prop_oneof![
        4 => 0u64..3,
        3 => 0u64..700,
        2 => distance().prop_map(|ticks| ticks.max(0) as u64),
        1 => 0u64..1 << 35,
    ];
    prop_oneof![
        8 => distance().prop_map(Step::Insert),
        1 => prop::sample::select(vec![0, 1, u64::MAX, u64::MAX - 1, 1 << 53]).prop_map(Step::InsertAt),
        3 => any::<usize>().prop_map(Step::Cancel),
        4 => (any::<usize>(), distance()).prop_map(|(which, ticks)| Step::Rearm(which, ticks)),
        6 => (passed, prop_oneof![3 => Just(usize::MAX), 1 => 0usize..4]).prop_map(|(ticks, max)| Step::Expire(ticks, max)),
    ]
}

/// A timer of the model.
#[derive(Clone, Copy, Debug)]
struct Expected {
    key: TimerKey,
    deadline: u64,
    /// The tick it counts as: its deadline, or the wheel's tick when that had passed already.
    counts_as: u64,
}

#[derive(Debug)]
struct Model {
    wheel: Wheel<usize>,
    now: u64,
    keys: Vec<TimerKey>,
    /// By number in `keys`, which is also the timer's value.
    live: BTreeMap<usize, Expected>,
    /// No cancel or re-arm so far: then `next_deadline` is exact.
    untouched: bool,
}

impl Model {
    fn insert(&mut self, deadline: u64) {
        let number = self.keys.len();
        let key = self.wheel.insert(deadline, number);
        assert_eq!(TimerKey::from_bits(key.to_bits()), key);
        self.keys.push(key);
        let counts_as = deadline.max(self.wheel.now());
        self.live.insert(number, Expected { key, deadline, counts_as });
    }

    /// Mostly a live timer, sometimes any that ever was.
    fn pick(&self, which: usize) -> Option<usize> {
        let live = self.live.keys().nth(which / 4 % self.live.len().max(1)).copied();
        if which.is_multiple_of(4) {
            (!self.keys.is_empty()).then(|| which / 4 % self.keys.len())
        } else {
            live
        }
    }

    fn run(&mut self, step: Step) {
        let from_now = |ticks: i64| self.now.saturating_add_signed(ticks);
        match step {
            Step::Insert(ticks) => self.insert(from_now(ticks)),
            Step::InsertAt(deadline) => self.insert(deadline),
            Step::Cancel(which) => {
                let Some(number) = self.pick(which) else { return };
                let cancelled = self.wheel.cancel(self.keys[number]);
                assert_eq!(cancelled, self.live.remove(&number).map(|_| number));
                self.untouched = false;
            }
            Step::Rearm(which, ticks) => {
                let deadline = from_now(ticks);
                let Some(number) = self.pick(which) else { return };
                let known = self.live.get_mut(&number);
                assert_eq!(self.wheel.rearm(self.keys[number], deadline), known.is_some());
                if let Some(expected) = known {
                    expected.deadline = deadline;
                    expected.counts_as = deadline.max(self.wheel.now());
                }
                self.untouched = false;
            }
            Step::Expire(ticks, max) => self.expire(ticks, max),
        }
        self.check();
    }

    fn expire(&mut self, ticks: u64, max: usize) {
        self.now = self.now.saturating_add(ticks);
        let mut numbers = Vec::new();
        let fired = self.wheel.expire(self.now, max, |number| numbers.push(number));
        assert_eq!(fired, numbers.len());
        assert!(fired <= max);
        let mut last = 0;
        for number in numbers {
            let Some(expected) = self.live.remove(&number) else { panic!("{number} fired and was not live") };
            assert!(expected.deadline <= self.now, "{number} was early");
            assert!(expected.counts_as >= last, "{number} was out of order");
            last = expected.counts_as;
            assert_eq!(self.wheel.cancel(expected.key), None);
        }
        let due = self.live.values().filter(|expected| expected.deadline <= self.now);
        let first_due = due.map(|expected| expected.counts_as).min();
        match first_due {
            None => assert_eq!(self.wheel.now(), self.now),
            Some(tick) => {
                assert_eq!(fired, max, "something due was left over though there was room");
                assert!(tick >= last, "what is left over is due before what fired");
                assert!(self.wheel.next_deadline().is_some_and(|next| next <= self.now));
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.wheel.len(), self.live.len());
        let first = self.live.values().map(|expected| expected.counts_as).min();
        let next = self.wheel.next_deadline();
        assert_eq!(next.is_some(), first.is_some());
        if let (Some(next), Some(first)) = (next, first) {
            assert!(next <= first, "the executor would sleep to {next}, past {first}");
            // The wheel holds deadlines in 32 bits from its base: behind that a wake every 49 days is allowed.
            if self.untouched && first.saturating_sub(self.now) < 1 << 24 && self.wheel.now() == self.now {
                assert_eq!(next, first, "the executor would wake for nothing");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn the_wheel_fires_what_a_sorted_map_would(
        start in prop_oneof![Just(0u64), any::<u64>().prop_map(|tick| tick >> 8)],
        // How soon and in what pieces the wheel is rebuilt; as it is by default, never with so few timers.
        stale_min in prop_oneof![Just(4096usize), 1usize..20],
        at_once_max in prop_oneof![Just(0usize), 0usize..50],
        // So many timers first, few of which stay: spread over pages, so that a rebuild takes several turns.
        before in prop_oneof![Just(0usize), 2000usize..5000],
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let wheel = Wheel::with_rebuild(start, Rebuild { stale_min, at_once_max, pages_per_turn: 1 });
        let mut model = Model { wheel, now: start, keys: Vec::new(), live: BTreeMap::new(), untouched: before == 0 };
        for number in 0..before {
            model.insert(start + 1 + number as u64 * 37 % 70_000);
        }
        for number in (0..before).filter(|number| number % 400 != 7) {
            prop_assert_eq!(model.wheel.cancel(model.keys[number]), Some(number));
            model.live.remove(&number);
        }
        for step in steps {
            model.run(step);
        }
        // Then everything that is left fires in the end, but for what never comes.
        model.run(Step::Expire(u64::MAX, usize::MAX));
        prop_assert!(model.live.is_empty());
    }
}
