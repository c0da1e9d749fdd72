//! Who goes next: a token bucket a class, filled by the disk's own pace, in proportion to the shares of those who want some.
//!
//! ```text
//!  work w granted  →  its class:                             tokens −= w
//!                     each class that wants some:            tokens += w · shares / Σ shares       (until BURST)
//!  next            →  a latency class with tokens, at once, whatever the depth; else, while the depth has room, the class
//!                     with the most tokens by shares
//! ```
//!
//! Those without a latency class go when the flush is due ([`Flush`]). A class wants some while it has work here or there, and a latency class until its bucket is full. Grants are made as work
//! ends, so the buckets need no rate to be set, and nothing is left idle: what a class does not want is not given to it. Classes
//! that always want some get work in proportion to their shares. What is filled is what was taken, so nobody drifts into debt.
use super::{CLASSES, Depth, Flush};
use std::collections::VecDeque;

/// Work that a class may save up.
const BURST: i64 = 1 << 20;

/// What the scheduler knows of a class: a task queue's shares, and whether it has a latency class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its place, below 64.
    pub index: u8,
    /// Its weight, at least 1.
    pub shares: u32,
    /// Goes before others while it has tokens.
    pub urgent: bool,
}

/// Work that may go to the disk. Give it back with [`Scheduler::completed`], once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    index: u8,
    work: u64,
    at: u64,
}

/// Figures of adaptive submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdaptiveStats {
    /// Work that may be with the disk at once.
    pub depth: u64,
    /// Work that is with it now.
    pub away: u64,
    /// Operations that wait now.
    pub waiting: u64,
    /// Operations that were let go, and of those the ones that had to wait before.
    pub granted: u64,
    /// See [`AdaptiveStats::granted`].
    pub waited: u64,
    /// Times that room was given out to those who waited.
    pub flushes: u64,
    /// Operations that are let go together now.
    pub batch: u64,
    /// The average latency of completions, nanoseconds.
    pub latency: u64,
}

#[derive(Debug)]
struct Place<T> {
    waiting: VecDeque<(T, u64)>,
    shares: u32,
    urgent: bool,
    tokens: i64,
    /// Work that is with the disk.
    away: u64,
}

/// The scheduler. `T` is whatever waits.
#[derive(Debug)]
pub struct Scheduler<T> {
    places: Vec<Place<T>>,
    waiting: usize,
    away: u64,
    depth: Depth,
    flush: Flush,
    /// Room is being given out.
    open: bool,
    granted: u64,
    waited: u64,
    flushes: u64,
}

impl<T> Scheduler<T> {
    /// No work yet.
    pub fn new(depth: Depth) -> Scheduler<T> {
        Scheduler {
            places: Vec::new(),
            waiting: 0,
            away: 0,
            depth,
            flush: Flush::default(),
            open: false,
            granted: 0,
            waited: 0,
            flushes: 0,
        }
    }

    /// Work with the disk.
    pub fn away(&self) -> u64 {
        self.away
    }

    /// Operations that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The depth's controller.
    pub fn depth(&self) -> &Depth {
        &self.depth
    }

    /// Figures.
    pub fn stats(&self) -> AdaptiveStats {
        AdaptiveStats {
            depth: self.depth.depth(),
            away: self.away,
            waiting: self.waiting as u64,
            granted: self.granted,
            waited: self.waited,
            flushes: self.flushes,
            batch: self.flush.batch(),
            latency: self.flush.latency(),
        }
    }

    /// Asks for `work` at `now` nanoseconds of any clock that does not go back. A grant when it may go at once; else `what` waits for [`Scheduler::pick`]. First come, first served in a class.
    pub fn ask(&mut self, class: Class, work: u64, now: u64, what: impl FnOnce() -> T) -> Option<Grant> {
        self.flush.arrives(now);
        let index = usize::from(class.index).min(CLASSES - 1);
        if self.places.len() <= index {
            let empty = || Place { waiting: VecDeque::new(), shares: 1, urgent: false, tokens: 0, away: 0 };
            self.places.resize_with(index + 1, empty);
        }
        let room = self.has_room();
        let nobody = self.waiting == 0;
        let place = &mut self.places[index];
        place.shares = class.shares.max(1);
        if class.urgent && !place.urgent {
            place.tokens = place.tokens.max(BURST); // Its bucket is full when it begins.
        }
        place.urgent = class.urgent;
        if place.waiting.is_empty() && (place.urgent && place.tokens > 0 || nobody && room) {
            return Some(self.grant(index, work, now));
        }
        place.waiting.push_back((what(), work));
        self.waiting += 1;
        None
    }

    /// Whether [`Scheduler::pick`] would find somebody.
    pub fn has_next(&self) -> bool {
        let urgent = |place: &Place<T>| place.urgent && place.tokens > 0 && !place.waiting.is_empty();
        self.waiting > 0
            && (self.has_room() && (self.open || self.away == 0 || self.flush.is_due())
                || self.places.iter().any(urgent))
    }

    /// Who may go now, if anybody. Call it until it says no.
    pub fn pick(&mut self, now: u64) -> Option<(T, Grant)> {
        let picked = if self.waiting == 0 { None } else { self.pick_one(now) };
        if picked.is_none() && self.open {
            self.open = false;
            self.flush.flushed();
        }
        picked
    }

    fn pick_one(&mut self, now: u64) -> Option<(T, Grant)> {
        let urgent = |place: &Place<T>| place.urgent && place.tokens > 0 && !place.waiting.is_empty();
        let index = match self.places.iter().position(urgent) {
            Some(index) => index,
            None if self.may_flush() && self.has_room() => self.neediest()?,
            None => return None,
        };
        self.take(index, now)
    }

    /// Whether those without a latency class may go: the batch is full, or nothing would make it so.
    fn may_flush(&mut self) -> bool {
        if !self.open && (self.away == 0 || self.flush.is_due()) {
            self.open = true;
            self.flushes += 1;
        }
        self.open
    }

    fn take(&mut self, index: usize, now: u64) -> Option<(T, Grant)> {
        let (what, work) = self.places[index].waiting.pop_front()?;
        self.waiting -= 1;
        self.waited += 1;
        Some((what, self.grant(index, work, now)))
    }

    /// Anybody who waits, whatever the depth and the buckets: for the end.
    pub fn any(&mut self, now: u64) -> Option<(T, Grant)> {
        let index = self.neediest()?;
        self.take(index, now)
    }

    /// Granted work has ended, well or not, at `now` nanoseconds.
    pub fn completed(&mut self, grant: Grant, now: u64) {
        self.give_back(grant);
        self.flush.ends(now.saturating_sub(grant.at));
        self.depth.completed(grant.work, now, self.waiting > 0);
    }

    /// A grant that was not used: its work was never with the disk.
    pub fn returned(&mut self, grant: Grant) {
        self.give_back(grant);
        if let Some(place) = self.places.get_mut(usize::from(grant.index)) {
            place.tokens = place.tokens.saturating_add(signed(grant.work));
        }
    }

    fn give_back(&mut self, grant: Grant) {
        self.away = self.away.saturating_sub(grant.work);
        if let Some(place) = self.places.get_mut(usize::from(grant.index)) {
            place.away = place.away.saturating_sub(grant.work);
        }
    }

    fn has_room(&self) -> bool {
        self.away < self.depth.limit()
    }

    fn neediest(&self) -> Option<usize> {
        let candidates = self.places.iter().enumerate().filter(|(_, place)| !place.waiting.is_empty());
        // tokens / shares, compared without dividing.
        let more = |one: &Place<T>, other: &Place<T>| {
            (i128::from(one.tokens) * i128::from(other.shares))
                .cmp(&(i128::from(other.tokens) * i128::from(one.shares)))
        };
        candidates.max_by(|(_, one), (_, other)| more(one, other)).map(|(index, _)| index)
    }

    fn grant(&mut self, index: usize, work: u64, now: u64) -> Grant {
        self.granted += 1;
        let wants = |at: usize, place: &Place<T>| {
            at == index
                || place.tokens < BURST && (place.away > 0 || place.urgent || !place.waiting.is_empty())
        };
        let all = self.places.iter().enumerate().filter(|(at, place)| wants(*at, place));
        let shares = all.map(|(_, place)| u128::from(place.shares)).sum::<u128>().max(1);
        for (at, place) in self.places.iter_mut().enumerate() {
            if wants(at, place) {
                let part = u128::from(work) * u128::from(place.shares) / shares;
                place.tokens = place.tokens.saturating_add(i64::try_from(part).unwrap_or(i64::MAX));
            }
        }
        let place = &mut self.places[index];
        place.tokens = place.tokens.saturating_sub(signed(work));
        place.away += work;
        self.away += work;
        Grant { index: index as u8, work, at: now }
    }
}

fn signed(work: u64) -> i64 {
    i64::try_from(work).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(index: u8, shares: u32, urgent: bool) -> Class {
        Class { index, shares, urgent }
    }

    /// Keeps every class wanting, and lets the disk end what it was given first. Work done by class.
    fn saturate(classes: &[(Class, u64)], rounds: u64) -> Vec<u64> {
        let mut scheduler = Scheduler::new(Depth::new(1 << 18));
        let mut disk = VecDeque::new();
        let mut done = vec![0; classes.len()];
        for (at, (class, work)) in classes.iter().enumerate() {
            for _ in 0..100 {
                if let Some(grant) = scheduler.ask(*class, *work, 0, || at) {
                    disk.push_back((at, grant));
                }
            }
        }
        for round in 0..rounds {
            let Some((at, grant)) = disk.pop_front() else { break };
            scheduler.completed(grant, round * 10_000);
            if round > rounds / 4 {
                done[at] += grant.work;
            }
            let (class, work) = classes[at];
            if let Some(grant) = scheduler.ask(class, work, round * 10_000, || at) {
                disk.push_back((at, grant));
            }
            while let Some(next) = scheduler.pick(round * 10_000) {
                disk.push_back(next);
            }
        }
        done
    }

    #[test]
    fn classes_that_always_want_get_work_by_their_shares_whatever_their_pieces() {
        for (one, other) in [(8192, 8192), (8192, 131_072), (131_072, 8192)] {
            let done = saturate(&[(class(0, 100, false), one), (class(1, 300, false), other)], 40_000);
            let ratio = done[1] as f64 / done[0] as f64;
            assert!((2.85..3.15).contains(&ratio), "{one}, {other}: {ratio}");
        }
    }

    #[test]
    fn an_urgent_class_goes_at_once_within_its_share_and_by_its_share_beyond() {
        let mut scheduler = Scheduler::new(Depth::new(1 << 16));
        let (slow, urgent) = (class(0, 100, false), class(1, 100, true));
        let mut away: VecDeque<Grant> = VecDeque::new();
        for _ in 0..50 {
            away.extend(scheduler.ask(slow, 8192, 0, || 0));
        }
        assert!(scheduler.waiting() > 0 && !scheduler.has_room(), "the depth is used up");
        let mut at_once = 0;
        while scheduler.ask(urgent, 8192, 0, || 1).is_some() {
            at_once += 1;
        }
        assert_eq!(at_once, 2 * BURST / 8192, "half of what it takes comes back: its share");
        assert_eq!(away.len(), 8);
        let done = saturate(&[(slow, 8192), (urgent, 8192)], 40_000);
        let ratio = done[1] as f64 / done[0] as f64;
        assert!((0.9..1.1).contains(&ratio), "asking for everything it gets its share: {ratio}");
    }

    #[test]
    fn a_class_alone_has_the_whole_depth_and_owes_nothing_for_it() {
        let done = saturate(&[(class(0, 1, false), 8192)], 10_000);
        assert_eq!(done[0] / 8192, 7_499);
        let mut scheduler = Scheduler::new(Depth::new(1 << 16));
        let grant = scheduler.ask(class(3, 1, false), u64::MAX / 4, 0, || ()).unwrap();
        assert!(scheduler.ask(class(3, 1, false), 1, 0, || ()).is_none(), "one that is too large goes alone");
        scheduler.completed(grant, 1);
        assert!(scheduler.pick(1).is_some());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_waits_beside_an_idle_disk(
            steps in proptest::collection::vec((0u8..4, 0u8..8, 1u32..1000, 1u64..1 << 22), 1..400)
        ) {
            let mut scheduler = Scheduler::new(Depth::new(1 << 18));
            let (mut away, mut asked, mut ended, mut order) = (Vec::new(), 0u64, 0u64, vec![0u64; 8]);
            for (step, index, shares, work) in steps {
                match step {
                    0 | 1 => {
                        asked += 1;
                        if let Some(grant) = scheduler.ask(class(index, shares, index % 3 == 0), work, asked * 100, || (index, asked)) {
                            away.push(grant);
                        }
                    }
                    2 => if let Some(grant) = away.pop() {
                        ended += 1;
                        scheduler.completed(grant, ended * 1000);
                    },
                    _ => if let Some(grant) = away.pop() {
                        ended += 1;
                        scheduler.returned(grant);
                    },
                }
                while scheduler.has_next() {
                    let ((index, number), grant) = scheduler.pick(asked * 100).expect("it said so");
                    prop_assert!(order[usize::from(index)] < number, "first come, first served");
                    order[usize::from(index)] = number;
                    away.push(grant);
                }
                prop_assert!(!scheduler.has_next());
                prop_assert_eq!(asked, ended + away.len() as u64 + scheduler.waiting() as u64);
                prop_assert_eq!(scheduler.away(), away.iter().map(|grant| grant.work).sum::<u64>());
                prop_assert!(scheduler.waiting() == 0 || !away.is_empty());
            }
        }
    }
}
