//! Timer structures alone, without a runtime: `peer-structures NAME COUNT` prints one line of JSON.
use hierarchical_hash_wheel_timer::{
    IdOnlyTimerEntry,
    wheels::{cancellable, quad_wheel},
};
use measure::{Report, Structure, Ticks, arguments, insert_and_cancel_structure};
use std::{collections::BTreeMap, time::Duration};

/// The wheel crate's cancellable wheel: an Rc and a map entry each.
struct Cancellable(cancellable::QuadWheelWithOverflow<IdOnlyTimerEntry<u64>>);

impl Structure for Cancellable {
    type Key = u64;
    fn insert(&mut self, id: u64, milliseconds: u64) -> u64 {
        let entry = IdOnlyTimerEntry { id, delay: Duration::from_millis(milliseconds) };
        self.0.insert(entry).expect("the delay is in the future");
        id
    }
    fn cancel(&mut self, key: u64) {
        self.0.cancel(&key).expect("the timer is there");
    }
}

/// The wheel crate's plain wheel, which our clock stands on: it cannot cancel, so only its insert says something.
struct Plain(quad_wheel::QuadWheelWithOverflow<IdOnlyTimerEntry<u64>>);

impl Structure for Plain {
    type Key = ();
    fn insert(&mut self, id: u64, milliseconds: u64) {
        let entry = IdOnlyTimerEntry { id, delay: Duration::from_millis(milliseconds) };
        self.0.insert(entry).expect("the delay is in the future");
    }
    fn cancel(&mut self, (): ()) {}
}

/// A balanced tree by deadline.
#[derive(Default)]
struct Tree(BTreeMap<(u64, u64), ()>);

impl Structure for Tree {
    type Key = (u64, u64);
    fn insert(&mut self, id: u64, milliseconds: u64) -> (u64, u64) {
        self.0.insert((milliseconds, id), ());
        (milliseconds, id)
    }
    fn cancel(&mut self, key: (u64, u64)) {
        self.0.remove(&key).expect("the timer is there");
    }
}

/// tokio-util's queue.
#[derive(Default)]
struct Delay(tokio_util::time::DelayQueue<u64>);

impl Structure for Delay {
    type Key = tokio_util::time::delay_queue::Key;
    fn insert(&mut self, id: u64, milliseconds: u64) -> Self::Key {
        self.0.insert(id, Duration::from_millis(milliseconds))
    }
    fn cancel(&mut self, key: Self::Key) {
        self.0.remove(&key);
    }
}

/// The wheel crate's own cascade: `count` timers in one slot of its second level, ticked millisecond by millisecond.
fn cascade(count: usize) {
    const SLOT: u64 = 30_000 / 256 * 256;
    let mut wheel = quad_wheel::QuadWheelWithOverflow::default();
    for id in 0..count as u64 {
        let delay = Duration::from_millis(SLOT + id % 256);
        wheel.insert(IdOnlyTimerEntry { id, delay }).expect("the delay is in the future");
    }
    let ticks = Ticks::calibrated();
    let (mut worst, mut all, mut fired) = (0.0_f64, 0.0, 0);
    for _ in 0..SLOT + 256 {
        let start = ticks.now();
        fired += wheel.tick().len();
        let pause = ticks.nanoseconds_since(start);
        worst = worst.max(pause);
        all += pause;
    }
    assert_eq!(fired, count, "every timer fires once");
    Report::default().with("worst pause", worst / 1e3).with("all ticks", all / 1e6).print();
}

fn main() {
    let (what, count) = arguments(100_000);
    match what.as_str() {
        "cancellable" => {
            insert_and_cancel_structure(count, Cancellable(cancellable::QuadWheelWithOverflow::new()))
        }
        "plain" => insert_and_cancel_structure(count, Plain(quad_wheel::QuadWheelWithOverflow::default())),
        "cascade" => cascade(count),
        "tree" => insert_and_cancel_structure(count, Tree::default()),
        "delay-queue" => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("the runtime starts");
            runtime.block_on(async { insert_and_cancel_structure(count, Delay::default()) });
        }
        other => {
            eprintln!("unknown structure {other:?}: cancellable, plain, tree, delay-queue or cascade");
            std::process::exit(2);
        }
    }
}
