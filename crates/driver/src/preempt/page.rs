//! Pages for words that others may hold for ever: taken from the heap when more threads preempt at once than ever before, given
//! back to a list, never freed.
//!
//! A ring that is closed is taken down by a thread of the kernel, which writes the ring's indices and flags once more some time later,
//! with nothing in flight as well (seen on 6.18). So a page rests before it is used again.
use super::now_ns;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// Words of one page.
pub(super) const WORDS: usize = crate::limits::PAGE / 4;

/// Two pages: what the ring needs. The first holds the word.
#[repr(C, align(4096))]
pub(super) struct Page {
    pub(super) shared: [AtomicU32; WORDS],
    pub(super) entries: [AtomicU32; WORDS],
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").finish_non_exhaustive()
    }
}

/// Nanoseconds for which a page rests.
pub(super) const REST: u64 = 2_000_000_000;

/// Pages that may rest, 2 MiB of them: more are there only while executors come and go by the hundred a second, and then the one that has
/// rested longest is taken. What that may cost is a timer that is late: a ring believes nothing that its page says (INV-5).
const RESTING_MAX: usize = 256;

/// With the time from which on each may be taken, the longest rested first.
static FREE: Mutex<VecDeque<(u64, &'static Page)>> = Mutex::new(VecDeque::new());

impl Page {
    /// A zeroed page that nobody else uses.
    pub(super) fn take() -> &'static Page {
        let now = now_ns();
        let free = {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            let rested = free.front().is_some_and(|(from, _)| *from <= now);
            if rested || free.len() >= RESTING_MAX { free.pop_front() } else { None }
        };
        let page = free.map(|(_, page)| page).unwrap_or_else(|| {
            Box::leak(Box::new(Page {
                shared: [const { AtomicU32::new(0) }; WORDS],
                entries: [const { AtomicU32::new(0) }; WORDS],
            }))
        });
        for word in page.shared.iter().chain(&page.entries) {
            word.store(0, Ordering::Relaxed);
        }
        page
    }

    /// For the next to take, when it has rested. Late raises of its word reach whoever has it then, who looks at the clock once in vain.
    pub(super) fn give(&'static self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push_back((now_ns() + REST, self));
    }
}
