//! Looking for work for a while before a thread sleeps, where being woken costs more than looking.
//!
//! A look that found something makes the next one twice as long, one that did not a quarter as long: what does not pay shrinks to a
//! microsecond. Whether a longer one would pay is tried now and then, after 128 sleeps that ended within the bound of a look: where
//! whoever brings the work needs this very CPU for it, as on a loaded machine, it does not, however soon the work comes after all.
use std::{
    cell::Cell,
    time::{Duration, Instant},
};

const SHORTEST: Duration = Duration::from_micros(1);
/// Sleeps that a long look might have spared, until one is tried.
const TRIES: u32 = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Spin {
    /// The bound; `None` never looks.
    most: Option<Duration>,
    /// How long the next look is.
    length: Cell<Duration>,
    /// Short sleeps since a long look was tried.
    short: Cell<u32>,
    /// When the last look began, if it found nothing and nothing has come since.
    missed: Cell<Option<Instant>>,
    /// Another thread has called since a look found nothing.
    hears: Cell<bool>,
}

impl Spin {
    /// At most so long. On one CPU nobody could bring work while this thread looks for it.
    pub(crate) fn new(most: Option<Duration>) -> Spin {
        let alone = most.is_some() && std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() == 1);
        let most = if alone { None } else { most };
        Spin {
            most,
            length: Cell::new(most.unwrap_or_default()),
            short: Cell::new(0),
            missed: Cell::new(None),
            hears: Cell::new(false),
        }
    }

    /// Whether it ever looks.
    pub(crate) fn is_on(&self) -> bool {
        self.most.is_some()
    }

    /// Another thread has called.
    pub(crate) fn hear(&self) {
        self.hears.set(true);
        self.slept();
    }

    /// Whether another thread has called since a look found nothing.
    pub(crate) fn hears(&self) -> bool {
        self.hears.get()
    }

    /// Work has come; was that soon enough for a longer look?
    pub(crate) fn slept(&self) {
        if let (Some(most), Some(begun)) = (self.most, self.missed.take()) {
            self.came(most, begun.elapsed());
        }
    }

    fn came(&self, most: Duration, after: Duration) {
        let short = self.short.get() + u32::from(after <= most);
        self.short.set(short % TRIES);
        if short == TRIES {
            self.length.set(most);
        }
    }

    fn looked(&self, most: Duration, found: bool) {
        let length = self.length.get();
        let next = if found { length * 2 } else { length / 4 };
        self.length.set(next.clamp(SHORTEST.min(most), most));
    }

    /// Looks until there is something, the time is over, or the time of `next`. True when there is something.
    pub(crate) fn look(&self, next: impl Fn() -> Option<Instant>, mut found: impl FnMut() -> bool) -> bool {
        let Some(most) = self.most else { return false };
        let begun = Instant::now();
        let until = begun + self.length.get();
        let until = next().map_or(until, |next| next.min(until));
        loop {
            if found() {
                self.looked(most, true);
                return true;
            }
            if Instant::now() >= until {
                break;
            }
            std::hint::spin_loop();
        }
        self.looked(most, false);
        self.missed.set(Some(begun));
        self.hears.set(false);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_micros(64);

    fn spin() -> Spin {
        let spin = Spin::new(None);
        spin.length.set(MOST);
        Spin { most: Some(MOST), ..spin }
    }

    #[test]
    fn it_shrinks_while_it_does_not_pay_and_is_tried_again() {
        let spin = spin();
        for _ in 0..8 {
            spin.looked(MOST, false);
        }
        assert_eq!(spin.length.get(), SHORTEST, "no shorter");
        for _ in 0..1000 {
            spin.came(MOST, MOST * 2);
        }
        for _ in 1..TRIES {
            spin.came(MOST, MOST);
            assert_eq!(spin.length.get(), SHORTEST);
        }
        spin.came(MOST, MOST);
        assert_eq!(spin.length.get(), MOST, "one is tried");
        spin.looked(MOST, true);
        assert_eq!(spin.length.get(), MOST, "no longer than the bound");
        spin.looked(MOST, false);
        spin.looked(MOST, true);
        assert_eq!(spin.length.get(), MOST / 2);
    }

    #[test]
    fn it_looks_at_least_once_and_not_beyond_the_next_deadline() {
        let spin = spin();
        spin.hear();
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            false
        };
        assert!(!spin.look(|| Some(Instant::now()), look));
        assert_eq!(looks.get(), 1);
        assert!(!spin.hears(), "nobody called meanwhile");
        spin.hear();
        assert!(spin.hears() && spin.missed.get().is_none());
        assert!(spin.look(|| None, || true));
        assert!(spin.hears(), "whoever was there may come again");
        let none = Spin::new(None);
        assert!(!none.look(|| None, || true), "it never looks");
    }
}
