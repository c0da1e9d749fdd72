//! Wakes: two tasks of one thread that wake each other, and two threads that do.
use crate::{Report, Ticks, argument, percentile, process_cpu_ns};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::Instant,
};

/// Round trips that share a pair of time stamps when two tasks of one thread wake each other.
const GROUP: u64 = 64;

thread_local! {
    static TURN: Cell<u64> = const { Cell::new(0) };
    static WAITING: [Cell<Option<Waker>>; 2] = const { [const { Cell::new(None) }; 2] };
}

/// Waits until the turn is `turn`, as side 0 or 1.
fn until(side: usize, turn: u64) -> impl Future<Output = ()> {
    poll_fn(move |context| {
        if TURN.get() >= turn {
            return Poll::Ready(());
        }
        WAITING.with(|waiting| waiting[side].set(Some(context.waker().clone())));
        Poll::Pending
    })
}

fn pass(to: usize, turn: u64) {
    TURN.set(turn);
    if let Some(waker) = WAITING.with(|waiting| waiting[to].take()) {
        waker.wake();
    }
}

/// One side of the ping-pong on one thread: `count` round trips. Side 0 measures; spawn side 1 before it. Both return the count.
///
/// # Panics
/// When a wake was lost, the contender hangs instead; the harness ends it.
pub async fn local_side(side: usize, count: u64) -> u64 {
    if side == 1 {
        for round in 0..count {
            until(1, 2 * round + 1).await;
            pass(0, 2 * round + 2);
        }
        return count;
    }
    let ticks = Ticks::calibrated();
    let (cpu, begun) = (process_cpu_ns(), Instant::now());
    let mut groups: Vec<u32> = Vec::with_capacity((count / GROUP) as usize + 1);
    let mut start = ticks.now();
    for round in 0..count {
        pass(1, 2 * round + 1);
        until(0, 2 * round + 2).await;
        if (round + 1).is_multiple_of(GROUP) {
            groups.push(ticks.nanoseconds_since(start) as u32);
            start = ticks.now();
        }
    }
    let (wall, cpu) = (begun.elapsed().as_nanos() as f64, (process_cpu_ns() - cpu) as f64);
    let wakes = 2.0 * count as f64;
    Report::default()
        .with("wake", wall / wakes)
        .with("p99", percentile(&mut groups, 0.99) / (2 * GROUP) as f64)
        .with("CPU", cpu / wakes)
        .print();
    count
}

/// What two threads share: whose turn it is, and who waits.
#[derive(Debug, Default)]
pub struct Cross {
    turn: AtomicU64,
    waiting: [Mutex<Option<Waker>>; 2],
}

impl Cross {
    fn until(&self, side: usize, turn: u64) -> impl Future<Output = ()> + '_ {
        poll_fn(move |context| {
            if self.turn.load(Ordering::Acquire) >= turn {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting[side].lock().unwrap_or_else(PoisonError::into_inner);
            *waiting = Some(context.waker().clone());
            drop(waiting);
            // It may have come meanwhile, and found nobody to wake.
            if self.turn.load(Ordering::Acquire) >= turn { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    fn pass(&self, to: usize, turn: u64) {
        self.turn.store(turn, Ordering::Release);
        let waiting = self.waiting[to].lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// The side that answers.
    pub async fn answer(self: Arc<Cross>, count: u64) {
        for round in 0..count {
            self.until(1, 2 * round + 1).await;
            self.pass(0, 2 * round + 2);
        }
    }

    /// The side that asks: the nanoseconds of each round trip.
    pub async fn ask(self: Arc<Cross>, count: u64) -> Vec<u32> {
        let mut trips = Vec::with_capacity(count as usize);
        for round in 0..count {
            let start = Instant::now();
            self.pass(1, 2 * round + 1);
            self.until(0, 2 * round + 2).await;
            trips.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        trips
    }
}

/// `cross COUNT CORE CORE`: two threads, each pinned to a core, with an executor each. `ask` and `answer` run a side to its end.
///
/// # Panics
/// When a core is not to be had, or a thread fails.
pub fn cross_threads(
    ask: impl FnOnce(Arc<Cross>, u64) -> Vec<u32>,
    answer: impl FnOnce(Arc<Cross>, u64) + Send + 'static,
) {
    let count = argument(2).and_then(|text| text.parse().ok()).expect("how many round trips");
    let core = |at| argument(at).and_then(|text| text.parse().ok()).expect("two cores");
    let (own, other): (usize, usize) = (core(3), core(4));
    let shared = Arc::new(Cross::default());
    let cpu = process_cpu_ns();
    let answering = shared.clone();
    let thread = std::thread::spawn(move || {
        pin(other);
        answer(answering, count);
    });
    pin(own);
    let mut trips = ask(shared, count);
    thread.join().expect("the other side ends well");
    assert_eq!(trips.len() as u64, count, "every round trip ends");
    // The first ones wait for the other thread to start.
    trips.drain(..trips.len() / 10);
    Report::default()
        .with("one way p50", percentile(&mut trips, 0.5) / 2e3)
        .with("p99", percentile(&mut trips, 0.99) / 2e3)
        .with("CPU", (process_cpu_ns() - cpu) as f64 / count as f64 / 2e3)
        .print();
}

/// Keeps the calling thread on one core.
fn pin(core: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).expect("this core is to be had");
}
