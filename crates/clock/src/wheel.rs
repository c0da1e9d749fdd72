//! Insert, cancel, re-arm, expire: the placement of keys over the slab of timers, and when it is rebuilt.
use crate::{
    placement::{Key, Placement, Ready, short},
    slab::{Slab, TimerKey},
};
use std::{collections::VecDeque, fmt};

/// Keys looked at by one call of [`Wheel::expire`], whether they fire or not: about 0.3 ms.
const KEYS_PER_TURN: usize = 16_384;
/// A queue of ready keys that is longer than this gives its memory back when it is empty.
const READY_KEPT: usize = 4096;

/// When and how the wheel is rebuilt. The defaults are right; tests make them small.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Rebuild {
    /// Fewer stale keys than this never cause a rebuild: 16 KiB of keys cost less than four new levels.
    pub stale_min: usize,
    /// Up to so many timers are placed anew at once, in the cancel that found too many stale keys: about 0.1 ms.
    pub at_once_max: usize,
    /// With more, so many pages of 1024 timers are looked at in each call of `expire`.
    pub pages_per_turn: usize,
}

impl Rebuild {
    const DEFAULT: Rebuild = Rebuild { stale_min: 4096, at_once_max: 4096, pages_per_turn: 4 };
}

/// Stale keys for each timer above which a rebuild no longer waits for a turn.
const STALE_RATIO_MAX: usize = 6;

/// Timers with values of type `T`. Belongs to one thread. See the [crate] for what it promises.
pub struct Wheel<T> {
    slab: Slab<T>,
    placement: Placement,
    ready: Ready,
    rebuild: Rebuild,
    /// A rebuild is to begin with the next turn.
    rebuild_wanted: bool,
    /// The rebuild under way.
    retiring: Option<Retiring>,
}

/// The placement that a rebuild replaces. It goes on ticking until its live timers have moved; what stays in it is stale.
struct Retiring {
    placement: Placement,
    /// Pages of the slab whose timers have moved.
    pages_done: usize,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel that stands at tick `now`. The first timer allocates 54 KiB, an empty wheel nothing.
    #[must_use]
    pub fn new(now: u64) -> Wheel<T> {
        Wheel::with_rebuild(now, Rebuild::DEFAULT)
    }
    /// For tests: a wheel that is rebuilt sooner.
    #[doc(hidden)]
    #[must_use]
    pub fn with_rebuild(now: u64, rebuild: Rebuild) -> Wheel<T> {
        Wheel {
            slab: Slab::new(),
            placement: Placement::new(now),
            ready: VecDeque::new(),
            rebuild,
            rebuild_wanted: false,
            retiring: None,
        }
    }

    /// Timers that have neither fired nor been cancelled.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slab.len()
    }
    /// True when there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The tick at which the wheel stands: that of the last `expire` that left nothing over, or an earlier one.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.placement.now()
    }
    /// Bytes in use, near enough for statistics: timers by what is allocated, keys by their number. Cost: one step per 1024 timers.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        // Slots of the crate grow by doubling, so keys take up to twice that.
        let keys = (self.keys() + self.ready.capacity()) * size_of::<Key>();
        let slots = 4 * 256 * size_of::<Option<Vec<Key>>>();
        self.slab.memory_bytes() + keys + slots + size_of::<Self>()
    }

    /// Sets a timer: `value` is handed to `expire`'s sink once `now` has reached `deadline`. O(1).
    ///
    /// Panics above 2^32 timers, which would take 96 GiB.
    #[inline]
    pub fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let timer = self.slab.insert(deadline, value);
        *timer.at = self.placement.place(timer.key.slot(), deadline, &mut self.ready);
        timer.key
    }

    /// Takes a timer back. `None` when it has fired or was cancelled. O(1), amortized over the rebuilds.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let value = self.slab.remove(key)?;
        self.check_stale();
        Some(value)
    }

    /// Changes a timer's deadline, in either direction. False when it has fired or was cancelled. O(1); to a later deadline
    /// it is one store, and the wheel looks at the timer once more at the old one.
    #[inline]
    pub fn rearm(&mut self, key: TimerKey, deadline: u64) -> bool {
        let Some(timer) = self.slab.get_mut(key) else { return false };
        let later = deadline >= std::mem::replace(timer.deadline, deadline);
        // Beside a placement that retires only the first is certain: the key may be in either.
        if later || self.retiring.is_none() && self.placement.comes_up_in_time(*timer.at, deadline) {
            return true;
        }
        *timer.at = self.placement.place(key.slot(), deadline, &mut self.ready);
        self.check_stale();
        true
    }

    /// The tick to wake at: the earliest deadline, or an earlier tick when the timer that had it was cancelled or re-armed.
    /// At or before `now` when the last call of `expire` left something over. `None` when there is no timer. Cost: a few loads.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        if !self.ready.is_empty() {
            return Some(self.now());
        }
        let retiring = self.retiring.as_ref().and_then(|retiring| retiring.placement.next_deadline());
        self.placement.next_deadline().into_iter().chain(retiring).min()
    }

    /// Moves the wheel to `now` and hands the values of at most `max` timers whose deadline has come to `sink`, in the order
    /// of deadlines. Returns how many. Stops early, with the rest kept in order for the next call, after `max` timers or
    /// 16,384 keys; then [`Wheel::next_deadline`] is not after `now`. A `now` before the last one changes nothing.
    ///
    /// Cost: O(timers fired + slots passed that hold keys); empty time is skipped at once, however long.
    pub fn expire(&mut self, now: u64, max: usize, mut sink: impl FnMut(T)) -> usize {
        if self.rebuild_wanted || self.retiring.is_some() {
            self.rebuild_some();
        }
        let mut fired = 0;
        let mut keys_left = KEYS_PER_TURN;
        loop {
            while let Some(&Key { entry: slot, .. }) = self.ready.front() {
                if keys_left == 0 {
                    return fired;
                }
                keys_left -= 1;
                let now = self.placement.now();
                let Some(timer) = self.slab.standing_mut(slot, short(now)) else {
                    self.ready.pop_front();
                    continue;
                };
                if *timer.deadline > now {
                    self.ready.pop_front();
                    *timer.at = self.placement.place(slot, *timer.deadline, &mut self.ready);
                    continue;
                }
                if fired == max {
                    return fired;
                }
                // Out of every table before the sink runs: if it panics, the wheel is whole.
                let key = timer.key;
                self.ready.pop_front();
                if let Some(value) = self.slab.remove(key) {
                    fired += 1;
                    sink(value);
                }
            }
            if self.ready.capacity() > READY_KEPT {
                self.ready = VecDeque::new();
            }
            if !self.advance(now, &mut keys_left) {
                return fired;
            }
        }
    }

    /// Goes to the next tick at which keys come up, or to `now` when that is earlier: then false.
    fn advance(&mut self, now: u64, keys_left: &mut usize) -> bool {
        let retiring = self.retiring.as_ref().map(|retiring| &retiring.placement);
        let next =
            self.placement.next_tick().into_iter().chain(retiring.and_then(Placement::next_tick)).min();
        let due = next.filter(|tick| *tick <= now);
        let target = due.unwrap_or(now);
        if !self.placement.reaches(target) || retiring.is_some_and(|retiring| !retiring.reaches(target)) {
            *keys_left = keys_left.saturating_sub(self.len());
            self.take_new_base(now);
            return true;
        }
        let keys = self.placement.go_to(target);
        self.take_ready(keys);
        if let Some(retiring) = &mut self.retiring {
            let keys = retiring.placement.go_to(target);
            self.take_ready(keys);
        }
        due.is_some()
    }

    /// Appends the keys of a slot.
    fn take_ready(&mut self, keys: Vec<Key>) {
        if self.ready.is_empty() && keys.len() > READY_KEPT {
            self.ready = VecDeque::from(keys); // No copy.
        } else {
            self.ready.extend(keys);
        }
    }

    /// Keys anywhere. Each timer has one that stands; the others are stale.
    #[inline]
    fn keys(&self) -> usize {
        let retiring = self.retiring.as_ref().map_or(0, |retiring| retiring.placement.keys());
        self.placement.keys() + self.ready.len() + retiring
    }

    /// Sees to a rebuild when stale keys are too many. Few timers are placed anew at once; with more, turns do it.
    #[inline]
    fn check_stale(&mut self) {
        let stale = self.keys().saturating_sub(self.len());
        if stale >= self.rebuild.stale_min && stale > self.len() {
            self.too_many_stale(stale);
        }
    }

    #[cold]
    fn too_many_stale(&mut self, stale: usize) {
        if self.len() <= self.rebuild.at_once_max || stale > self.len().saturating_mul(STALE_RATIO_MAX) {
            self.rebuild_at_once(self.now());
        } else {
            self.rebuild_wanted = self.retiring.is_none();
        }
    }

    /// Forgets every key and places every live timer, seen from `base`. O(timers).
    #[cold]
    fn rebuild_at_once(&mut self, base: u64) {
        self.ready.clear();
        self.retiring = None;
        self.rebuild_wanted = false;
        self.placement = Placement::new(base);
        for timer in self.slab.live_mut(0..usize::MAX) {
            *timer.at = self.placement.place(timer.key.slot(), *timer.deadline, &mut self.ready);
        }
    }

    /// Places the timers of a few pages anew, and drops the placement that is retiring after the last. Bounded.
    #[cold]
    fn rebuild_some(&mut self) {
        if self.rebuild_wanted {
            self.rebuild_wanted = false;
            let fresh = Placement::new(self.now());
            let placement = std::mem::replace(&mut self.placement, fresh);
            self.retiring = Some(Retiring { placement, pages_done: 0 });
        }
        let Some(retiring) = &mut self.retiring else { return };
        let pages = retiring.pages_done..retiring.pages_done + self.rebuild.pages_per_turn;
        retiring.pages_done = pages.end;
        // One that was set since the rebuild began gets a second key here, which is as good as stale.
        for timer in self.slab.live_mut(pages.clone()) {
            *timer.at = self.placement.place(timer.key.slot(), *timer.deadline, &mut self.ready);
        }
        if pages.end >= self.slab.pages() {
            self.retiring = None;
        }
    }

    /// Jumps to `now`, or to the first deadline when that is earlier; nothing lies between here and there.
    #[cold]
    fn take_new_base(&mut self, now: u64) {
        let first = self.slab.live_mut(0..usize::MAX).map(|timer| *timer.deadline).min().unwrap_or(now);
        self.rebuild_at_once(first.min(now).max(self.now()));
    }
}

impl<T: Copy> fmt::Debug for Wheel<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Wheel")
            .field("now", &self.now())
            .field("timers", &self.len())
            .field("keys", &self.keys())
            .field("next_deadline", &self.next_deadline())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: usize = 700_000;

    #[test]
    fn a_million_cancelled_timers_keep_no_memory() {
        let mut wheel = Wheel::new(0);
        let one = wheel.insert(30_000, 0);
        let keys: Vec<_> = (1..=1_000_000u64).map(|value| wheel.insert(30_000 + value % 7, value)).collect();
        assert!(wheel.memory_bytes() > 25_000_000);
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(wheel.cancel(*key), Some(index as u64 + 1));
        }
        let after = wheel.memory_bytes();
        assert!(after < SMALL, "{after} bytes");
        // The same when they are set and cancelled one by one, as a timeout for each request is.
        for value in 0..1_000_000 {
            let key = wheel.insert(30_000, value);
            wheel.cancel(key);
            assert!(wheel.keys() <= 1 + Rebuild::DEFAULT.stale_min);
        }
        assert!(wheel.memory_bytes() <= after);
        assert_eq!(wheel.cancel(one), Some(0));
    }

    #[test]
    fn timeouts_that_come_and_go_among_many_keep_no_memory() {
        let mut wheel = Wheel::new(0);
        for value in 0..50_000u64 {
            wheel.insert(10_000_000 + value, value);
        }
        let before = wheel.memory_bytes();
        // With turns in between the rebuild is spread over them; without, it happens at once when it must.
        for turns in [true, false] {
            for value in 0..1_000_000u64 {
                let key = wheel.insert(wheel.now() + 30_000, value);
                wheel.cancel(key);
                if turns && value % 100 == 0 {
                    wheel.expire(wheel.now(), 1024, |_| panic!("early"));
                }
            }
            let after = wheel.memory_bytes();
            assert!(after < 4 * before, "{before} bytes before, {after} after");
        }
        assert_eq!(wheel.len(), 50_000);
    }

    #[test]
    fn a_million_fired_timers_keep_no_memory() {
        let mut wheel = Wheel::new(0);
        for value in 0..1_000_000u64 {
            wheel.insert(1 + value % 1000, value);
        }
        while wheel.expire(1000, usize::MAX, |_| {}) > 0 {}
        let after = wheel.memory_bytes();
        assert!(after < SMALL, "{after} bytes");
    }
}
