//! The address book through which wakers on other threads find an executor that may be long gone.
//!
//! A waker is 64 bits without a pointer or a count, so cloning and dropping one costs nothing and cannot go wrong on any
//! thread, and a stale one cannot reach freed memory:
//!
//! ```text
//!  63        52 51            38 37          22 21           0
//!  ┌───────────┬────────────────┬──────────────┬──────────────┐
//!  │ executor  │ its generation │ task's       │ slot         │
//!  │ index     │                │ generation   │              │
//!  └───────────┴────────────────┴──────────────┴──────────────┘
//! ```
//!
//! The entries of the book are made once per index and used again, never freed: as many as executors were ever alive at
//! once, 20 KiB each. A generation that does not match makes a wake a no-op. Generations wrap (16,384 executors on one
//! index, 65,536 tasks on one slot), and a wake that was already past the check when its executor ended may land with the
//! next one: then a wrong task is polled once too often, which every future must bear anyway. Nothing else can happen, as
//! no bit of a waker is trusted with memory.
//!
//! This is the one thing that is per process (INV-9): an address book, not state. Locks are taken at start, at the end, and
//! to ring the driver's bell of a sleeping executor, never for a wake of a running one.
use crate::{StartError, waker_ring::WakerRing};
use ringwheel_driver::preempt;
use std::{
    ptr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicPtr, AtomicU32, Ordering},
    },
};

/// Bits of a slot.
pub(crate) const SLOT_BITS: u32 = 22;
const TASK_GENERATION_BITS: u32 = 16;
/// Bits of a waker below those of its executor.
pub(crate) const OWN_BITS: u32 = SLOT_BITS + TASK_GENERATION_BITS;
const EXECUTOR_GENERATION_BITS: u32 = 14;
const EXECUTOR_BITS: u32 = 12;
const _: () = assert!(SLOT_BITS + TASK_GENERATION_BITS + EXECUTOR_GENERATION_BITS + EXECUTOR_BITS == 64);
#[cfg(not(loom))]
const _: () = assert!(crate::waker_ring::SLOTS_MAX == 1 << SLOT_BITS);
const _: () = assert!(usize::BITS == 64, "a waker's 64 bits travel in a pointer");

/// Executors alive at once in one process.
const EXECUTORS_MAX: usize = 1 << EXECUTOR_BITS;
/// Entries of one waker ring. More wakes than that between two turns cost a scan.
const RING_ENTRIES: usize = 512;
/// The slot that names the executor itself: waking it only makes it take a turn.
pub(crate) const SELF_SLOT: u32 = 0;

static BOOK: [OnceLock<Box<Entry>>; EXECUTORS_MAX] = [const { OnceLock::new() }; EXECUTORS_MAX];
static FREE: Mutex<Free> = Mutex::new(Free { never_used: 0, returned: Vec::new() });

#[derive(Debug)]
struct Free {
    never_used: usize,
    returned: Vec<usize>,
}

/// One executor's entry.
#[derive(Debug)]
struct Entry {
    /// The generation of the live executor, or of the next one.
    generation: AtomicU32,
    ring: WakerRing,
    /// The executor's word of preemption, which a wake raises; null while it has none.
    word: AtomicPtr<AtomicU32>,
    bell: Mutex<Option<ringwheel_driver::Waker>>,
    /// Executors, by their own waker's bits, that are to be woken when this one ends.
    mourners: Mutex<Vec<u64>>,
}

/// A live executor's entry in the book; dropping it makes all its wakers no-ops.
#[derive(Debug)]
pub(crate) struct Registration {
    index: usize,
    entry: &'static Entry,
    handle: u64,
}

impl Registration {
    pub(crate) fn new(bell: ringwheel_driver::Waker) -> Result<Registration, StartError> {
        let index = {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            match free.returned.pop() {
                Some(index) => index,
                None if free.never_used < EXECUTORS_MAX => {
                    free.never_used += 1;
                    free.never_used - 1
                }
                None => return Err(StartError::TooMany { max: EXECUTORS_MAX }),
            }
        };
        let entry: &'static Entry = BOOK[index].get_or_init(|| {
            Box::new(Entry {
                generation: AtomicU32::new(0),
                ring: WakerRing::new(RING_ENTRIES),
                word: AtomicPtr::new(ptr::null_mut()),
                bell: Mutex::new(None),
                mourners: Mutex::new(Vec::new()),
            })
        });
        entry.ring.unpark();
        *entry.bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(bell);
        let generation = u64::from(entry.generation.load(Ordering::Relaxed));
        let handle = ((index as u64) << EXECUTOR_GENERATION_BITS | generation) << OWN_BITS;
        Ok(Registration { index, entry, handle })
    }

    /// The upper bits of this executor's wakers.
    pub(crate) fn handle(&self) -> u64 {
        self.handle
    }

    /// From now on wakes of other threads raise this word, so that a running task hears of them.
    pub(crate) fn raise(&self, word: &'static AtomicU32) {
        self.entry.word.store(ptr::from_ref(word).cast_mut(), Ordering::Release);
    }

    /// The ring other threads write.
    pub(crate) fn ring(&self) -> &'static WakerRing {
        &self.entry.ring
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mask = (1 << EXECUTOR_GENERATION_BITS) - 1;
        let generation = self.entry.generation.load(Ordering::Relaxed);
        self.entry.generation.store((generation + 1) & mask, Ordering::Release);
        // After that: whoever asks to be told from now on sees that it is too late.
        let mourners =
            std::mem::take(&mut *self.entry.mourners.lock().unwrap_or_else(PoisonError::into_inner));
        mourners.into_iter().for_each(wake);
        self.entry.word.store(ptr::null_mut(), Ordering::Release);
        *self.entry.bell.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // What came in too late; the next executor must not find the ring full of it.
        self.entry.ring.drain(|_| {});
        FREE.lock().unwrap_or_else(PoisonError::into_inner).returned.push(self.index);
    }
}

/// The waker bits of a task.
#[inline]
pub(crate) fn task_handle(executor: u64, slot: u32, generation: u16) -> u64 {
    debug_assert!(slot < 1 << SLOT_BITS);
    executor | u64::from(generation) << SLOT_BITS | u64::from(slot)
}

/// The slot in a waker's bits.
#[inline]
pub(crate) fn slot_of(handle: u64) -> u32 {
    (handle & ((1 << SLOT_BITS) - 1)) as u32
}

/// The task generation in a waker's bits.
#[inline]
pub(crate) fn generation_of(handle: u64) -> u16 {
    (handle >> SLOT_BITS) as u16
}

/// A waker's bits without those of its executor.
#[inline]
pub(crate) fn own_part(handle: u64) -> u64 {
    handle & ((1 << OWN_BITS) - 1)
}

/// Whether a waker belongs to the executor whose upper bits are `executor`.
#[inline]
pub(crate) fn belongs_to(handle: u64, executor: u64) -> bool {
    (handle ^ executor) >> OWN_BITS == 0
}

/// The executor's own handle, whatever the bits say besides.
pub(crate) fn own_of(handle: u64) -> u64 {
    task_handle(handle >> OWN_BITS << OWN_BITS, SELF_SLOT, 0)
}

/// The entry of a live executor.
fn alive(handle: u64) -> Option<&'static Entry> {
    let index = (handle >> (64 - EXECUTOR_BITS)) as usize;
    let generation = (handle >> OWN_BITS) & ((1 << EXECUTOR_GENERATION_BITS) - 1);
    let entry = BOOK.get(index).and_then(OnceLock::get)?;
    // Without a bell, the generation is that of an executor to come.
    let has_bell = entry.bell.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    (has_bell && u64::from(entry.generation.load(Ordering::Acquire)) == generation).then_some(&**entry)
}

/// Has `mourner` woken when the executor of `handle` ends. False when it has ended already, or never was.
pub(crate) fn watch(handle: u64, mourner: u64) -> bool {
    /// Beyond that, those who are gone themselves are sorted out now and then.
    const MANY: usize = 64;
    let Some(entry) = alive(handle) else { return false };
    let mut mourners = entry.mourners.lock().unwrap_or_else(PoisonError::into_inner);
    if alive(handle).is_none() {
        return false; // It ended meanwhile, and has woken whom it was to wake.
    }
    if !mourners.contains(&mourner) {
        if mourners.len() >= MANY && mourners.len().is_power_of_two() {
            mourners.retain(|mourner| alive(*mourner).is_some());
        }
        mourners.push(mourner);
    }
    true
}

/// Wakes from any thread; a no-op when the executor is gone.
pub(crate) fn wake(handle: u64) {
    if let Some(bell) = must_ring(handle) {
        bell.wake();
    }
}

/// The wake without the system call that a sleeping executor takes: the bell that the caller must ring, if there is one.
pub(crate) fn must_ring(handle: u64) -> Option<ringwheel_driver::Waker> {
    let index = (handle >> (64 - EXECUTOR_BITS)) as usize;
    let generation = (handle >> OWN_BITS) & ((1 << EXECUTOR_GENERATION_BITS) - 1);
    let entry = BOOK.get(index).and_then(OnceLock::get)?;
    if u64::from(entry.generation.load(Ordering::Acquire)) != generation {
        return None;
    }
    if entry.ring.push(slot_of(handle)) {
        return entry.bell.lock().unwrap_or_else(PoisonError::into_inner).clone();
    }
    // SAFETY: needs null or a word that lives for ever. Holds: `raise` stores `'static` ones alone; the executor that had this one may
    // be gone, and the next owner of the word looks once in vain. Checked: `a_wake_of_another_thread_preempts` in tests/preempt.rs.
    if let Some(word) = unsafe { entry.word.load(Ordering::Acquire).as_ref() } {
        preempt::raise_for_message(word);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_keeps_its_four_parts_apart() {
        let executor = 0xfff_u64 << 52 | 0x3fff << 38;
        let handle = task_handle(executor, (1 << SLOT_BITS) - 1, u16::MAX);
        assert_eq!(handle, u64::MAX);
        assert_eq!(slot_of(handle), (1 << SLOT_BITS) - 1);
        assert_eq!(generation_of(handle), u16::MAX);
        assert!(belongs_to(handle, executor));
        assert!(!belongs_to(task_handle(0, 5, 5), executor));
    }

    #[test]
    fn wakes_of_executors_that_never_were_are_ignored() {
        assert!(!watch(u64::MAX, 0));
        wake(u64::MAX);
        wake(task_handle(0xabc << 52, 1, 1));
    }
}
