//! The table of task queues and who of them is next: weighted fair by virtual runtime, latency classes first within their share.
//!
//! A queue's virtual runtime is the time that it ran, divided by its shares. The ready queue with the least runs next. A queue
//! that wakes continues from where the others are (`max(own, vmin)`): sleeping saves nothing up. A latency class goes before the
//! others while it is at most one quota of its own ahead of them; one that wants more than its share waits like everyone.
use super::{header::Header, times::QueueTimes};
use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    ptr::NonNull,
    task::Waker,
};

/// Queues of one executor, the default one included: a bit each in the masks below.
pub(crate) const QUEUES_MAX: usize = 64;
/// The queue of tasks that were not spawned into another.
pub(crate) const DEFAULT: u8 = 0;
/// Shares of a queue that asks for none.
pub(crate) const SHARES_DEFAULT: u32 = 100;

/// Virtual nanoseconds of a nanosecond at one share.
const SCALE: u64 = 1 << 10;

/// The tasks of one run queue, linked through themselves.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) first: Cell<Option<NonNull<Header>>>,
    pub(super) last: Cell<Option<NonNull<Header>>>,
}

impl List {
    #[inline]
    pub(super) fn push(&self, task: NonNull<Header>, header: &Header) {
        header.next.set(None);
        match self.last.replace(Some(task)) {
            // SAFETY: needs a live header. Holds: a queued task is live (end.rs frees none of them). Checked: tests/queues.rs.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
    }
}

/// What becomes of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// The place is free.
    #[default]
    Free,
    /// Takes tasks.
    Open,
    /// Removed: the tasks that it has end, then the place is free.
    Leaving,
}

/// One queue. Its list is empty here while the queue is the active one: then it is in `Tasks`.
#[derive(Default)]
pub(crate) struct Queue {
    pub(super) list: List,
    pub(crate) state: Cell<State>,
    pub(crate) generation: Cell<u32>,
    pub(crate) name: RefCell<String>,
    pub(crate) shares: Cell<u32>,
    /// Nanoseconds; 0 is none.
    pub(crate) latency: Cell<u64>,
    vruntime: Cell<u64>,
    /// Tasks alive; not counted for the default queue.
    pub(crate) live: Cell<u32>,
    pub(crate) polls: Cell<u64>,
    pub(crate) slices: Cell<u64>,
    pub(crate) runtime: Cell<u64>,
    pub(crate) longest: Cell<u64>,
    /// How long its last slice was, and what a poll costs, smoothed: nanoseconds.
    pub(super) slice: Cell<u64>,
    pub(super) poll: Cell<u64>,
    pub(crate) times: QueueTimes,
    /// Who waits for its end.
    pub(crate) ended: RefCell<Vec<Waker>>,
}

/// All queues of one executor.
pub(crate) struct Queues {
    table: [OnceCell<Box<Queue>>; QUEUES_MAX],
    /// Places that are not free, a bit each.
    pub(super) used: Cell<u64>,
    /// Queues with tasks in their lists; the active one's bit is not kept.
    pub(super) ready: Cell<u64>,
    /// Of the queue that ran last, or of the least that was ready then; never goes back.
    vmin: Cell<u64>,
    /// The smallest bound of all latency classes in nanoseconds; 0 when there is none.
    pub(super) tightest: Cell<u64>,
}

impl Queues {
    pub(crate) fn new() -> Queues {
        let queues = Queues {
            table: [const { OnceCell::new() }; QUEUES_MAX],
            used: Cell::new(0),
            ready: Cell::new(0),
            vmin: Cell::new(0),
            tightest: Cell::new(0),
        };
        queues.open("default", SHARES_DEFAULT, 0);
        queues
    }

    /// Only the default queue is there.
    #[inline]
    pub(crate) fn is_single(&self) -> bool {
        self.used.get() == 1
    }

    /// Some queue has a latency class.
    #[inline]
    pub(crate) fn has_latency(&self) -> bool {
        self.tightest.get() > 0
    }

    /// Some latency class has tasks, of which none is ready.
    pub(crate) fn latency_waits(&self) -> bool {
        bits(self.used.get() & !self.ready.get()).any(|index| {
            let queue = self.at(index);
            queue.latency.get() > 0 && (queue.live.get() > 0 || index == DEFAULT)
        })
    }

    /// A queue, open or not.
    #[inline]
    pub(crate) fn at(&self, index: u8) -> &Queue {
        self.table[usize::from(index) % QUEUES_MAX].get_or_init(Box::default)
    }

    /// The indices of all that are not free.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u8> {
        bits(self.used.get())
    }

    /// Opens a queue in a free place; `None` when there is none.
    pub(crate) fn open(&self, name: &str, shares: u32, latency: u64) -> Option<u8> {
        let index = (!self.used.get()).trailing_zeros();
        if index as usize >= QUEUES_MAX {
            return None;
        }
        self.used.set(self.used.get() | 1 << index);
        let queue = self.at(index as u8);
        queue.state.set(State::Open);
        queue.name.replace(name.to_owned());
        queue.shares.set(shares);
        queue.latency.set(latency);
        queue.vruntime.set(self.vmin.get());
        for count in [&queue.polls, &queue.slices, &queue.runtime, &queue.longest, &queue.slice, &queue.poll]
        {
            count.set(0);
        }
        queue.times.clear();
        self.look_for_tightest();
        Some(index as u8)
    }

    /// Frees the place of a queue that has left and has no task any more. Gives who waited for that.
    pub(crate) fn free(&self, index: u8) -> Vec<Waker> {
        let queue = self.at(index);
        debug_assert!(queue.live.get() == 0 && index != DEFAULT);
        queue.state.set(State::Free);
        queue.generation.set(queue.generation.get().wrapping_add(1));
        queue.latency.set(0);
        self.used.set(self.used.get() & !(1 << index));
        self.look_for_tightest();
        queue.ended.take()
    }

    pub(crate) fn set_latency(&self, index: u8, latency: u64) {
        self.at(index).latency.set(latency);
        self.look_for_tightest();
    }

    fn look_for_tightest(&self) {
        let bounds = self.indices().map(|index| self.at(index).latency.get()).filter(|bound| *bound > 0);
        self.tightest.set(bounds.min().unwrap_or(0));
    }

    /// A queue that had no task has one now: it continues from where the others are.
    #[inline]
    pub(super) fn wake(&self, index: u8, queue: &Queue) {
        self.ready.set(self.ready.get() | 1 << index);
        queue.vruntime.set(queue.vruntime.get().max(self.vmin.get()));
    }

    /// Which of `ready` runs next, with slices of `quota` nanoseconds.
    pub(super) fn pick(&self, ready: u64, quota: u64) -> Option<u8> {
        if ready.is_power_of_two() {
            let index = ready.trailing_zeros() as u8;
            self.advance(self.at(index).vruntime.get());
            return Some(index);
        }
        let (least, vruntime) = bits(ready)
            .map(|index| (index, self.at(index).vruntime.get()))
            .min_by_key(|(_, vruntime)| *vruntime)?;
        self.advance(vruntime);
        if self.tightest.get() == 0 {
            return Some(least);
        }
        let ahead = |queue: &Queue| queue.vruntime.get() - vruntime;
        let first = bits(ready)
            .filter(|index| {
                let queue = self.at(*index);
                queue.latency.get() > 0 && ahead(queue) <= virtual_time(quota, queue.shares.get())
            })
            .min_by_key(|index| self.at(*index).latency.get());
        Some(first.unwrap_or(least))
    }

    fn advance(&self, vruntime: u64) {
        self.vmin.set(self.vmin.get().max(vruntime));
    }
}

impl Queue {
    /// It ran for so long, and polled so many tasks.
    pub(super) fn charge(&self, nanoseconds: u64, polls: u32) {
        self.vruntime.set(self.vruntime.get().saturating_add(virtual_time(nanoseconds, self.shares.get())));
        self.runtime.set(self.runtime.get() + nanoseconds);
        self.longest.set(self.longest.get().max(nanoseconds));
        self.slices.set(self.slices.get() + 1);
        self.polls.set(self.polls.get() + u64::from(polls));
        self.slice.set(nanoseconds);
        let each = nanoseconds / u64::from(polls.max(1));
        self.poll.set(if self.poll.get() == 0 { each } else { (self.poll.get() * 7 + each) / 8 });
    }
}

fn virtual_time(nanoseconds: u64, shares: u32) -> u64 {
    nanoseconds.saturating_mul(SCALE) / u64::from(shares.max(1))
}

/// The places of the bits of a mask, from the lowest.
fn bits(mut mask: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (bit < u64::BITS).then_some(bit as u8)
    })
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").field("used", &self.used).field("ready", &self.ready).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: u64 = 1_000_000;

    /// Runs the queues of `ready` for `slices` slices, each as long as `burst` says.
    fn run(queues: &Queues, ready: u64, slices: u32, burst: impl Fn(u8) -> u64) -> Vec<u8> {
        (0..slices)
            .map(|_| {
                let index = queues.pick(ready, QUOTA).expect("some are ready");
                queues.at(index).charge(burst(index), 1);
                index
            })
            .collect()
    }

    #[test]
    fn time_is_shared_by_shares_whatever_the_bursts() {
        let queues = Queues::new();
        let one = queues.open("one", 100, 0).expect("room");
        let three = queues.open("three", 300, 0).expect("room");
        run(&queues, 0b110, 10_000, |index| if index == one { 700_000 } else { 40_000 });
        let ratio = queues.at(three).runtime.get() as f64 / queues.at(one).runtime.get() as f64;
        assert!((2.95..3.05).contains(&ratio), "{ratio}");
    }

    #[test]
    fn who_slept_has_saved_nothing_up() {
        let queues = Queues::new();
        let busy = queues.open("busy", 100, 0).expect("room");
        let sleeper = queues.open("sleeper", 100, 0).expect("room");
        run(&queues, 1 << busy, 1000, |_| QUOTA);
        queues.wake(sleeper, queues.at(sleeper));
        let order = run(&queues, 1 << busy | 1 << sleeper, 100, |_| QUOTA);
        let slept = order.iter().filter(|index| **index == sleeper).count();
        assert!((49..=51).contains(&slept), "{slept} of 100");
    }

    #[test]
    fn a_latency_class_goes_first_until_it_has_had_its_share() {
        let queues = Queues::new();
        let background = queues.open("background", 100, 0).expect("room");
        let latency = queues.open("latency", 100, 1_000_000).expect("room");
        let both = 1 << background | 1 << latency;
        // A modest one: ten polls of 10 µs between slices of the background, each at once.
        for _ in 0..100 {
            queues.wake(latency, queues.at(latency));
            assert_eq!(run(&queues, both, 10, |_| 10_000), [latency; 10]);
            run(&queues, 1 << background, 1, |_| QUOTA);
        }
        // A greedy one gets no more than its shares.
        queues.wake(latency, queues.at(latency));
        let before = queues.at(background).runtime.get();
        run(&queues, both, 1000, |_| QUOTA);
        let share = (queues.at(background).runtime.get() - before) as f64 / (1000 * QUOTA) as f64;
        assert!((0.49..0.51).contains(&share), "{share}");
    }

    #[test]
    fn places_are_used_again_and_their_generation_moves_on() {
        let queues = Queues::new();
        let mut opened: Vec<u8> = std::iter::from_fn(|| queues.open("", 1, 0)).collect();
        assert_eq!(opened.len(), QUEUES_MAX - 1);
        let last = opened.pop().expect("many");
        let before = queues.at(last).generation.get();
        queues.free(last);
        assert_eq!(queues.open("again", 1, 0), Some(last));
        assert_eq!(queues.at(last).generation.get(), before + 1);
        assert_eq!(queues.open("one too many", 1, 0), None);
    }

    #[test]
    fn the_tightest_bound_is_kept() {
        let queues = Queues::new();
        let loose = queues.open("", 1, 5_000_000).expect("room");
        let tight = queues.open("", 1, 1_000_000).expect("room");
        assert_eq!(queues.tightest.get(), 1_000_000);
        queues.free(tight);
        assert_eq!(queues.tightest.get(), 5_000_000);
        queues.set_latency(loose, 0);
        assert_eq!(queues.tightest.get(), 0);
    }
}
