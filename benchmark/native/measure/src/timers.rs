//! Insert and cancel with many timers present: for futures of any runtime, and for timer structures alone.
use crate::{Random, Report, Ticks, percentile, shuffled};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Delays between 1 and 60 s: far enough that none fires while it is measured.
fn delays(count: usize, seed: u64) -> Vec<Duration> {
    let mut random = Random::new(seed);
    (0..count).map(|_| Duration::from_millis(1000 + random.below(59_000))).collect()
}

/// A row of places for futures that are polled where they lie. Neither making nor dropping one allocates here.
struct Places<F>(Pin<Box<[Option<F>]>>);

impl<F: Future> Places<F> {
    fn new(count: usize) -> Places<F> {
        Places(Box::into_pin((0..count).map(|_| None).collect::<Box<[Option<F>]>>()))
    }

    fn at(&mut self, index: usize) -> Pin<&mut Option<F>> {
        // SAFETY: the projection must not move the element and must be structural for the whole slice. Holds: the slice is
        // boxed and pinned, elements are only polled in place and replaced by `Pin::set`, which drops in place. Checked by the compiler: no other access.
        unsafe { self.0.as_mut().map_unchecked_mut(|places| &mut places[index]) }
    }

    #[inline]
    fn insert(&mut self, index: usize, future: F, context: &mut Context<'_>) {
        let mut place = self.at(index);
        place.set(Some(future));
        let polled = place.as_pin_mut().map(|future| future.poll(context));
        assert!(matches!(polled, Some(Poll::Pending)), "a timer of a second or more is not over at once");
    }

    #[inline]
    fn cancel(&mut self, index: usize) {
        self.at(index).set(None);
    }
}

/// Measures timers that are futures: an insert makes one and polls it once, a cancel drops it. `count` others are present.
/// Means come from a loop without a clock inside, percentiles from a second one.
///
/// # Panics
/// When a timer ends at once.
pub fn insert_and_cancel_futures<F: Future>(
    count: usize,
    make: impl Fn(Duration) -> F,
    context: &mut Context<'_>,
) {
    let mut present = Places::new(count);
    for (index, delay) in delays(count, 42).into_iter().enumerate() {
        present.insert(index, make(delay), context);
    }
    let mut places = Places::new(count);
    let more = delays(count, 43);
    let order = shuffled(count);
    measure(
        count,
        |step| match step {
            Step::Insert(index) => places.insert(index, make(more[index]), context),
            Step::Cancel(index) => places.cancel(index),
        },
        &order,
    );
}

/// A timer structure without a runtime around it.
pub trait Structure {
    /// What names a timer to cancel it.
    type Key;
    /// Adds a timer that is due in `milliseconds`.
    fn insert(&mut self, id: u64, milliseconds: u64) -> Self::Key;
    /// Takes one back. It must be there.
    fn cancel(&mut self, key: Self::Key);
}

/// The same for a structure: `count` timers stay present, `count` others come and go.
///
/// # Panics
/// When the structure has lost a timer.
pub fn insert_and_cancel_structure<S: Structure>(count: usize, mut structure: S) {
    for (id, delay) in delays(count, 42).into_iter().enumerate() {
        structure.insert(id as u64, delay.as_millis() as u64);
    }
    let more: Vec<u64> = delays(count, 43).into_iter().map(|delay| delay.as_millis() as u64).collect();
    let order = shuffled(count);
    let mut keys: Vec<Option<S::Key>> = (0..count).map(|_| None).collect();
    measure(
        count,
        |step| match step {
            Step::Insert(index) => keys[index] = Some(structure.insert((count + index) as u64, more[index])),
            Step::Cancel(index) => {
                if let Some(key) = keys[index].take() {
                    structure.cancel(key);
                }
            }
        },
        &order,
    );
}

enum Step {
    Insert(usize),
    Cancel(usize),
}

#[inline]
fn measure(count: usize, mut step: impl FnMut(Step), order: &[usize]) {
    let ticks = Ticks::calibrated();
    // Once to warm memory and branch predictors.
    (0..count).for_each(|index| step(Step::Insert(index)));
    order.iter().for_each(|index| step(Step::Cancel(*index)));

    let start = ticks.now();
    (0..count).for_each(|index| step(Step::Insert(index)));
    let insert_mean = ticks.nanoseconds_since(start) / count as f64;
    let start = ticks.now();
    order.iter().for_each(|index| step(Step::Cancel(*index)));
    let cancel_mean = ticks.nanoseconds_since(start) / count as f64;

    let mut inserts: Vec<u32> = Vec::with_capacity(count);
    for index in 0..count {
        let start = ticks.now();
        step(Step::Insert(index));
        inserts.push(ticks.nanoseconds_since(start) as u32);
    }
    let mut cancels: Vec<u32> = Vec::with_capacity(count);
    for index in order {
        let start = ticks.now();
        step(Step::Cancel(*index));
        cancels.push(ticks.nanoseconds_since(start) as u32);
    }
    Report::default()
        .with("insert", insert_mean)
        .with("insert p99", percentile(&mut inserts, 0.99))
        .with("insert max", percentile(&mut inserts, 1.0) / 1e3)
        .with("cancel", cancel_mean)
        .with("cancel p99", percentile(&mut cancels, 0.99))
        .with("cancel max", percentile(&mut cancels, 1.0) / 1e3)
        .print();
}
