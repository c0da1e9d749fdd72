//! A bounded map with second-chance eviction: what the ready-made responses and the open files live in.
//!
//! ```text
//!   places: [ a* ][ b ][ c* ][   ][ d ]        * = used since the hand passed
//!                    ↑ hand: clears marks, evicts the first unmarked, moves on
//! ```
//! A lookup costs one hash and sets a mark; nothing is linked or moved, so hits write one byte. A scan of many names seen
//! once passes through unmarked places and leaves the marked ones alone for a full round.
use rustc_hash::FxHashMap;
use std::sync::Arc;

#[derive(Debug)]
struct Place<V> {
    key: Arc<[u8]>,
    value: V,
    cost: usize,
    used: bool,
}

/// A map from bytes to `V` whose costs never sum to more than its capacity.
///
/// Keys are hashed without a secret: only names of files that exist get in, so an outsider cannot choose them.
#[derive(Debug)]
pub struct Bounded<V> {
    index: FxHashMap<Arc<[u8]>, usize>,
    places: Vec<Option<Place<V>>>,
    free: Vec<usize>,
    hand: usize,
    capacity: usize,
    cost: usize,
}

impl<V> Bounded<V> {
    /// An empty map. A capacity of 0 keeps nothing.
    pub fn new(capacity: usize) -> Bounded<V> {
        Bounded {
            index: FxHashMap::default(),
            places: Vec::new(),
            free: Vec::new(),
            hand: 0,
            capacity,
            cost: 0,
        }
    }

    /// The value under `key`, marked as used.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<&mut V> {
        let at = *self.index.get(key)?;
        let place = self.places.get_mut(at)?.as_mut()?;
        place.used = true;
        Some(&mut place.value)
    }

    /// Puts a value in, evicting others until it fits. What costs more than the whole capacity is not kept; returns whether
    /// it was. An old value under the key is dropped in either case.
    pub fn insert(&mut self, key: &[u8], value: V, cost: usize) -> bool {
        self.remove(key);
        if cost > self.capacity {
            return false;
        }
        while self.cost + cost > self.capacity {
            self.evict_one();
        }
        let key: Arc<[u8]> = Arc::from(key);
        let place = Some(Place { key: Arc::clone(&key), value, cost, used: false });
        let at = match self.free.pop() {
            Some(at) => {
                self.places[at] = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        self.cost += cost;
        self.index.insert(key, at);
        true
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let at = self.index.remove(key)?;
        self.vacate(at)
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Bounded::new(self.capacity);
    }

    /// Changes the capacity, evicting what has no room any more.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        while self.cost > capacity {
            self.evict_one();
        }
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True when nothing is held.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The sum of costs held.
    pub fn cost(&self) -> usize {
        self.cost
    }

    fn vacate(&mut self, at: usize) -> Option<V> {
        let place = self.places.get_mut(at)?.take()?;
        self.cost -= place.cost;
        self.free.push(at);
        Some(place.value)
    }

    /// Ends: each step either evicts, skips an empty place, or clears a mark, and a full round clears all marks.
    fn evict_one(&mut self) {
        for _ in 0..=2 * self.places.len() {
            self.hand = if self.hand + 1 < self.places.len() { self.hand + 1 } else { 0 };
            let Some(place) = self.places.get_mut(self.hand).and_then(Option::as_mut) else { continue };
            if place.used {
                place.used = false;
                continue;
            }
            let key = Arc::clone(&place.key);
            self.remove(&key);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::HashMap, rc::Rc};

    #[test]
    fn a_used_entry_outlives_a_scan() {
        let mut map = Bounded::new(10);
        map.insert(b"hot", 0, 1);
        for round in 0..100u32 {
            assert!(map.get(b"hot").is_some(), "round {round}");
            map.insert(&round.to_le_bytes(), round, 1);
        }
        assert_eq!(map.len(), 10);
    }

    #[test]
    fn what_cannot_fit_is_not_kept_and_evicts_nothing() {
        let mut map = Bounded::new(10);
        map.insert(b"a", 1, 10);
        assert!(!map.insert(b"b", 2, 11));
        assert_eq!(map.get(b"a"), Some(&mut 1));
        assert!(!map.insert(b"a", 3, 11), "and the old value under the same key is gone");
        assert!(map.is_empty() && map.cost() == 0);
        assert!(!Bounded::new(0).insert(b"a", 1, 1));
    }

    #[test]
    fn a_smaller_capacity_evicts_what_has_no_room_any_more() {
        let mut map = Bounded::new(10);
        for index in 0..5u8 {
            map.insert(&[index], index, 2);
        }
        map.resize(5);
        assert!(map.len() == 2 && map.cost() == 4);
        map.resize(0);
        assert!(map.is_empty() && !map.insert(b"a", 1, 1));
        map.resize(1);
        assert!(map.insert(b"a", 1, 1));
    }

    #[test]
    fn values_that_were_evicted_are_dropped() {
        let value = Rc::new(());
        let mut map = Bounded::new(2);
        for index in 0..50u8 {
            map.insert(&[index], Rc::clone(&value), 1);
        }
        assert_eq!(Rc::strong_count(&value), 3);
        map.clear();
        assert_eq!(Rc::strong_count(&value), 1);
    }

    proptest! {
        #[test]
        fn it_never_lies_and_never_holds_more_than_its_capacity(
            steps in proptest::collection::vec((0u8..3, 0u8..20, 0usize..40), 1..300), capacity in 0usize..100
        ) {
            let mut map = Bounded::new(capacity);
            let mut truth: HashMap<u8, (usize, usize)> = HashMap::new();
            for (number, (action, key, cost)) in steps.into_iter().enumerate() {
                match action {
                    0 => {
                        let kept = map.insert(&[key], number, cost);
                        prop_assert_eq!(kept, cost <= capacity);
                        truth.insert(key, (number, cost));
                    }
                    1 => {
                        if let Some(value) = map.get(&[key]) {
                            prop_assert_eq!(*value, truth[&key].0);
                        }
                    }
                    _ => {
                        if let Some(value) = map.remove(&[key]) {
                            prop_assert_eq!(value, truth[&key].0);
                        }
                        prop_assert!(map.get(&[key]).is_none());
                    }
                }
                prop_assert!(map.cost() <= capacity);
                let held: usize = (0..20u8).filter_map(|key| map.index.get(&[key][..]).map(|_| truth[&key].1)).sum();
                prop_assert_eq!(held, map.cost());
            }
        }
    }
}
