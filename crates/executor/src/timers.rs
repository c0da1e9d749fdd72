//! The wheel, as the executor uses it: what a timer wakes, and the one deadline that the thread or the host sleeps to.
//!
//! The wheel counts milliseconds since the executor's start. Deadlines round up and now rounds down, so nothing fires early.
//! It carries small plain values; the wakers of foreign combinators, which are none of ours, wait in a table beside it.
use crate::{
    remote::{self, OWN_BITS},
    task,
};
use ringwheel_clock::{TimerKey, Wheel, deadline_tick, now_tick};
use std::{
    collections::BTreeMap,
    task::Waker,
    time::{Duration, Instant},
};

/// What a timer is for, in 8 bytes: with them a timer of the wheel takes 32, and never straddles a cache line.
///
/// The upper two bits say which: a task of this executor (the bits of its waker that are not the executor's) or a place in
/// `foreign`.
#[derive(Clone, Copy, Debug)]
struct Owner(u64);

const KIND: u64 = 3 << 62;
const TASK: u64 = 0;
const FOREIGN: u64 = 1 << 62;
const _: () = assert!(OWN_BITS <= 62);

/// What to do now that a timer fired.
#[derive(Debug)]
pub(crate) enum Fired {
    /// Wake this task of ours.
    Task(u64),
    /// Wake whoever this is: foreign code.
    Foreign(Waker),
}

/// Names a precise timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Precise {
    deadline: Instant,
    number: u64,
}

/// All timers of one executor. Every method is a leaf: it runs no foreign code and gives back what must be dropped.
pub(crate) struct Timers {
    /// The upper bits of our own tasks' wakers.
    executor: u64,
    wheel: Wheel<Owner>,
    origin: Instant,
    /// Timers that the executor wakes for to the microsecond. Few, so a sorted map does.
    precise: BTreeMap<Precise, Owner>,
    precise_made: u64,
    foreign: Vec<Option<Waker>>,
    foreign_free: Vec<u32>,
}

impl Timers {
    pub(crate) fn new(executor: u64) -> Timers {
        Timers {
            executor,
            wheel: Wheel::new(0),
            origin: Instant::now(),
            precise: BTreeMap::new(),
            precise_made: 0,
            foreign: Vec::new(),
            foreign_free: Vec::new(),
        }
    }

    fn tick(&self, deadline: Instant) -> u64 {
        deadline_tick(deadline.saturating_duration_since(self.origin))
    }

    /// Wakes `waker` once `deadline` has passed.
    #[inline]
    pub(crate) fn insert_sleep(&mut self, deadline: Instant, waker: &Waker) -> TimerKey {
        let owner = self.owner(waker);
        self.wheel.insert(self.tick(deadline), owner)
    }

    /// The same, to the microsecond. O(log n).
    pub(crate) fn insert_precise(&mut self, deadline: Instant, waker: &Waker) -> Precise {
        let owner = self.owner(waker);
        self.precise_made += 1;
        let key = Precise { deadline, number: self.precise_made };
        self.precise.insert(key, owner);
        key
    }

    /// Takes a precise timer back; with it may come a foreign waker, to be dropped outside.
    pub(crate) fn cancel_precise(&mut self, key: Precise) -> Option<Waker> {
        match self.precise.remove(&key) {
            Some(Owner(bits)) if bits & KIND == FOREIGN => self.release(bits as u32),
            _ => None,
        }
    }

    #[inline]
    fn owner(&mut self, waker: &Waker) -> Owner {
        match task::handle_of(waker) {
            Some(handle) if remote::belongs_to(handle, self.executor) => {
                Owner(TASK | remote::own_part(handle))
            }
            _ => self.keep(waker.clone()),
        }
    }

    /// Takes a timer back. True when it had not fired; with it comes a foreign waker, to be dropped outside.
    #[inline]
    pub(crate) fn cancel(&mut self, key: TimerKey) -> (bool, Option<Waker>) {
        match self.wheel.cancel(key) {
            None => (false, None),
            Some(Owner(bits)) if bits & KIND == FOREIGN => (true, self.release(bits as u32)),
            Some(_) => (true, None),
        }
    }

    /// Moves a timer's deadline. False when it has fired or was taken back.
    #[inline]
    pub(crate) fn rearm(&mut self, key: TimerKey, deadline: Instant) -> bool {
        self.wheel.rearm(key, self.tick(deadline))
    }

    /// Moves at most `max` expired timers to `fired`, in the order of their deadlines; precise ones behind the others.
    pub(crate) fn expire(&mut self, now: Instant, max: usize, fired: &mut Vec<Fired>) {
        let Timers { executor, wheel, origin, precise, foreign, foreign_free, .. } = self;
        let mut fire = |Owner(bits): Owner| match bits & KIND {
            TASK => fired.push(Fired::Task(*executor | bits)),
            _ => {
                let index = bits as u32;
                foreign_free.push(index);
                fired.extend(foreign.get_mut(index as usize).and_then(Option::take).map(Fired::Foreign));
            }
        };
        let tick = now_tick(now.saturating_duration_since(*origin));
        let expired = wheel.expire(tick, max, &mut fire);
        for _ in expired..max {
            match precise.first_entry() {
                Some(first) if first.key().deadline <= now => fire(first.remove()),
                _ => break,
            }
        }
    }

    /// When to look again; `None` without timers. Passed already when `expire` left something over.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let tick = self.wheel.next_deadline();
        let wheel = tick.and_then(|tick| self.origin.checked_add(Duration::from_millis(tick)));
        let precise = self.precise.first_key_value().map(|(key, _)| key.deadline);
        wheel.into_iter().chain(precise).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.wheel.len() + self.precise.len()
    }

    fn keep(&mut self, waker: Waker) -> Owner {
        let index = self.foreign_free.pop().unwrap_or_else(|| {
            self.foreign.push(None);
            self.foreign.len() as u32 - 1
        });
        self.foreign[index as usize] = Some(waker);
        Owner(FOREIGN | u64::from(index))
    }

    fn release(&mut self, index: u32) -> Option<Waker> {
        self.foreign_free.push(index);
        self.foreign.get_mut(index as usize)?.take()
    }
}
