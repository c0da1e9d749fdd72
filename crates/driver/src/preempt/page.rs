//! Pages for words that others may hold for ever: taken from the heap when more threads preempt at once than ever before, given
//! back to a list, never freed.
use std::{
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

static FREE: Mutex<Vec<&'static Page>> = Mutex::new(Vec::new());

impl Page {
    /// A zeroed page that nobody else uses.
    pub(super) fn take() -> &'static Page {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let page = free.unwrap_or_else(|| {
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

    /// For the next to take. Late raises of its word reach whoever has it then, who looks at the clock once in vain.
    pub(super) fn give(&'static self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self);
    }
}
