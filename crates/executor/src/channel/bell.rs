//! One task that waits for another thread. The other thread looks at a flag, and takes the lock only to wake.
//!
//! The handshake is Dekker's. The one who waits: leaves its waker, sets `waiting`, fence, looks again at what it waits for. The
//! other: writes that, fence ([`published`]), looks at `waiting`. So one of the two sees the other.
use crate::task::wake_soon;
#[cfg(loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering, fence},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering, fence},
};
use std::{sync::PoisonError, task::Waker};

/// The place for one waker.
#[derive(Debug)]
pub(crate) struct Bell {
    waiting: AtomicBool,
    /// Locked for a move of two words, never while foreign code runs.
    waker: Mutex<Option<Waker>>,
}

/// Between writing what others wait for and [`Bell::ring`]; one fence does for many bells.
#[inline]
pub(crate) fn published() {
    fence(Ordering::SeqCst);
}

impl Bell {
    pub(crate) fn new() -> Bell {
        Bell { waiting: AtomicBool::new(false), waker: Mutex::new(None) }
    }

    /// Who waits: announces it. Look again at what you wait for after this, and [`Bell::leave`] when it is there.
    pub(crate) fn wait(&self, waker: &Waker) {
        let waker = waker.clone();
        let former = self.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(waker);
        self.waiting.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        drop(former);
    }

    /// Who waited: it is there.
    #[inline]
    pub(crate) fn leave(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// The other side: wakes who waits, if somebody does.
    #[inline]
    pub(crate) fn ring(&self) {
        if self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            wake_soon(waker);
        }
    }
}
