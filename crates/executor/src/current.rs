//! Which executor this thread is running right now: a thread-local pointer, set for the length of a turn.
//!
//! A plain `Cell` without a destructor, so it can be read at any time; still no destructor of ours reads it (INV-8):
//! what needs the core when it is dropped keeps an `Rc` of it.
use crate::{SpawnError, core::Core};
use ringwheel_driver::preempt::NEVER;
use std::{cell::Cell, ptr, rc::Rc, sync::atomic::AtomicU32};

thread_local! {
    static CURRENT: Cell<*const Core> = const { Cell::new(ptr::null()) };
    /// The current executor's word of preemption.
    static WORD: Cell<&'static AtomicU32> = const { Cell::new(&NEVER) };
}

/// Sets the current executor until it is dropped; then the one before is back.
#[derive(Debug)]
pub(crate) struct Entered {
    previous: *const Core,
    previous_word: &'static AtomicU32,
    _core: Rc<Core>,
}

#[inline]
pub(crate) fn enter(core: &Rc<Core>) -> Entered {
    let core = core.clone();
    let previous = CURRENT.replace(Rc::as_ptr(&core));
    let previous_word = WORD.replace(core.word.get());
    Entered { previous, previous_word, _core: core }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The guard lives on the stack of this very thread during a turn, so the thread-locals are there (they have no destructor).
        CURRENT.set(self.previous);
        WORD.set(self.previous_word);
    }
}

/// The current executor's word of preemption; one that is never raised outside of one.
#[inline]
pub(crate) fn word() -> &'static AtomicU32 {
    WORD.get()
}

/// The current executor has another word now.
pub(crate) fn set_word(word: &'static AtomicU32) {
    WORD.set(word);
}

/// Runs `work` with the current executor, if there is one.
#[inline]
pub(crate) fn with<R>(work: impl FnOnce(Option<&Core>) -> R) -> R {
    let pointer = CURRENT.get();
    // SAFETY: needs `pointer` null or valid for the call. Holds: `enter` set it from an `Rc` that its guard keeps until it
    // restores the former value, on this thread (INV-6), and `work` returns before any guard below it on the stack is dropped.
    // Checked: `current_is_restored` in tests/tasks.rs.
    work(unsafe { pointer.as_ref() })
}

/// The current executor, counted.
#[inline]
pub(crate) fn get() -> Result<Rc<Core>, SpawnError> {
    let pointer = CURRENT.get();
    if pointer.is_null() {
        return Err(SpawnError::NoExecutor);
    }
    // SAFETY: needs a pointer from `Rc::as_ptr` of a live `Rc`. Holds: as in `with`; the guard's `Rc` is alive.
    // Checked: as in `with`.
    unsafe { Rc::increment_strong_count(pointer) };
    // SAFETY: takes over the count made in the line above.
    Ok(unsafe { Rc::from_raw(pointer) })
}
