//! The wheel, as the executor uses it: what a timer wakes, and the one deadline that the thread or the host sleeps to.
use std::{
    collections::BTreeMap,
    task::Waker,
    time::{Duration, Instant},
};

/// Names a timer. Stale keys are harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(Instant, u64);

/// What to do when a timer fires.
#[derive(Debug)]
pub(crate) enum Owner {
    /// Wake a sleeping task.
    Sleep(Waker),
    /// Tell the client.
    Client(u64),
}

/// All timers of one executor.
#[derive(Debug)]
pub(crate) struct Timers {
    map: BTreeMap<(Instant, u64), Owner>,
    next: u64,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers { map: BTreeMap::new(), next: 0 }
    }

    pub(crate) fn insert(&mut self, deadline: Instant, owner: Owner) -> TimerKey {
        self.next += 1;
        self.map.insert((deadline, self.next), owner);
        TimerKey(deadline, self.next)
    }

    /// Takes a timer back, with its owner, to be dropped outside.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<Owner> {
        self.map.remove(&(key.0, key.1))
    }

    /// Moves expired owners to `fired`, at most `max`.
    pub(crate) fn expire(&mut self, now: Instant, max: usize, fired: &mut Vec<Owner>) {
        while fired.len() < max
            && let Some(entry) = self.map.first_entry()
            && entry.key().0 <= now
        {
            fired.push(entry.remove());
        }
    }

    /// When to look again; `None` without timers.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.map.first_key_value().map(|(key, _)| key.0 + Duration::ZERO)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}
