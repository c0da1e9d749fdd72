//! Measures the wheel and prints JSON: the worst pause of one turn at a million timers, and insert and cancel with many present.
//!
//! `cargo run --release -p ringwheel-clock --example pause [-- TIMERS PRESENT]`; defaults 1000000 and 100000. Times are
//! nanoseconds. A percentile of single operations contains the clock read around it: `clock` says how much that is. Each worst
//! is measured several times: a preempted round measures the machine, so take the smallest.
use ringwheel_clock::{TimerKey, Wheel};
use std::{hint::black_box, time::Instant};

const OPERATIONS: usize = 1_000_000;
/// What an executor hands to `expire` in one turn.
const FIRED_PER_TURN: usize = 1024;
/// How often each worst is measured.
const ROUNDS: usize = 5;

fn main() {
    let numbers: Result<Vec<usize>, _> = std::env::args().skip(1).map(|word| word.parse()).collect();
    let (timers, present) = match numbers.as_deref() {
        Ok([]) => (1_000_000, 100_000),
        Ok([timers, present]) if *timers > 0 && *present > 0 => (*timers, *present),
        _ => {
            eprintln!("usage: pause [TIMERS PRESENT], two numbers above 0");
            std::process::exit(2);
        }
    };
    let [insert, cancel, clock] = single_operations(present);
    let spread = |index: usize| 30_000 + index as u64 % 1000;
    let lines = [
        format!("\"timers\": {timers}"),
        format!("\"present\": {present}"),
        format!("\"turn_worst_one_slot\": {:?}", rounds(|| worst_turn(timers, |_| 30_000))),
        format!("\"turn_worst_spread\": {:?}", rounds(|| worst_turn(timers, spread))),
        format!("\"rebuild_worst_cancel_and_turn\": {:?}", rounds(|| worst_rebuild(timers))),
        format!("\"insert_worst_growing\": {:?}", rounds(|| worst_insert(timers))),
        format!("\"insert_cancel_mean\": {:.1?}", rounds(|| mean_pair(present))),
        format!("\"insert\": {insert}"),
        format!("\"cancel\": {cancel}"),
        format!("\"clock\": {clock}"),
    ];
    println!("{{\n  {}\n}}", lines.join(",\n  "));
}

/// Measures a few times.
fn rounds<N>(measure: impl Fn() -> N) -> [N; ROUNDS] {
    std::array::from_fn(|_| measure())
}

/// A small generator of our own: the same numbers on every run, and nothing to install.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The longest call of `expire` while a wheel full of timers runs empty, a millisecond at a time.
fn worst_turn(timers: usize, deadline: impl Fn(usize) -> u64) -> u64 {
    let mut wheel = Wheel::new(0);
    for index in 0..timers {
        wheel.insert(deadline(index), index);
    }
    let (mut now, mut worst, mut fired) = (0, 0, 0);
    while !wheel.is_empty() {
        if wheel.next_deadline().is_some_and(|tick| tick > now) {
            now += 1;
        }
        let started = Instant::now();
        fired += wheel.expire(now, FIRED_PER_TURN, |index| {
            black_box(index);
        });
        worst = worst.max(nanoseconds(started));
    }
    assert_eq!(fired, timers);
    worst
}

/// The longest cancel and the longest turn while a wheel of twice as many timers is cancelled down to half as many, with a
/// turn after every thousand: the rebuilds are in them.
fn worst_rebuild(timers: usize) -> [u64; 2] {
    let mut wheel = Wheel::new(0);
    let mut random = Random(88_172_645_463_325_252);
    let mut keys: Vec<TimerKey> =
        (0..2 * timers).map(|index| wheel.insert(30_000 + random.below(1000), index)).collect();
    let mut worst = [0, 0];
    while keys.len() > timers / 2 {
        let key = keys.swap_remove(random.below(keys.len() as u64) as usize);
        let started = Instant::now();
        black_box(wheel.cancel(key));
        worst[0] = worst[0].max(nanoseconds(started));
        if keys.len().is_multiple_of(1000) {
            let started = Instant::now();
            wheel.expire(0, FIRED_PER_TURN, |index| {
                black_box(index);
            });
            worst[1] = worst[1].max(nanoseconds(started));
        }
    }
    worst
}

/// The longest insert while an empty wheel fills: growing is in it.
fn worst_insert(timers: usize) -> u64 {
    let mut wheel = Wheel::new(0);
    let mut random = Random(88_172_645_463_325_252);
    let mut worst = 0;
    for index in 0..timers {
        let deadline = 30_000 + random.below(1000);
        let started = Instant::now();
        black_box(wheel.insert(deadline, index));
        worst = worst.max(nanoseconds(started));
    }
    worst
}

/// Fills a wheel with timers between 1 s and 61 s from now.
fn filled(present: usize, random: &mut Random) -> (Wheel<usize>, Vec<TimerKey>) {
    let mut wheel = Wheel::new(0);
    let keys = (0..present).map(|index| wheel.insert(1000 + random.below(60_000), index)).collect();
    (wheel, keys)
}

/// Mean of one insert plus one cancel of a random timer, without a clock read in between; time moves on as it does in use.
fn mean_pair(present: usize) -> f64 {
    let mut random = Random(88_172_645_463_325_252);
    let (mut wheel, mut keys) = filled(present, &mut random);
    let started = Instant::now();
    for round in 0..OPERATIONS {
        let now = wheel.now();
        let which = random.below(keys.len() as u64) as usize;
        let key = std::mem::replace(&mut keys[which], wheel.insert(now + 1000 + random.below(60_000), round));
        black_box(wheel.cancel(key));
        if round % 1000 == 0 {
            wheel.expire(now + 1, FIRED_PER_TURN, |index| {
                black_box(index);
            });
        }
    }
    started.elapsed().as_nanos() as f64 / OPERATIONS as f64
}

/// Percentiles of single inserts, cancels and empty measurements.
fn single_operations(present: usize) -> [String; 3] {
    let mut random = Random(88_172_645_463_325_252);
    let (mut wheel, mut keys) = filled(present, &mut random);
    let mut times = [const { Vec::new() }; 3];
    for round in 0..OPERATIONS {
        let now = wheel.now();
        let deadline = now + 1000 + random.below(60_000);
        let which = random.below(keys.len() as u64) as usize;
        let started = Instant::now();
        let fresh = black_box(wheel.insert(deadline, round));
        times[0].push(nanoseconds(started));
        let key = std::mem::replace(&mut keys[which], fresh);
        let started = Instant::now();
        black_box(wheel.cancel(key));
        times[1].push(nanoseconds(started));
        let started = Instant::now();
        black_box(());
        times[2].push(nanoseconds(started));
        if round % 1000 == 0 {
            wheel.expire(now + 1, FIRED_PER_TURN, |index| {
                black_box(index);
            });
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        let at = |percent: f64| times[((times.len() - 1) as f64 * percent / 100.0) as usize];
        let mean = times.iter().sum::<u64>() as f64 / times.len() as f64;
        format!(
            "{{ \"mean\": {mean:.1}, \"p50\": {}, \"p99\": {}, \"p999\": {}, \"max\": {} }}",
            at(50.0),
            at(99.0),
            at(99.9),
            at(100.0)
        )
    })
}
