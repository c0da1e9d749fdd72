//! The bounded ring through which other threads wake tasks: lock-free, never blocks, never loses a wake.
//!
//! ```text
//!  any thread                                         the executor's thread
//!  push(slot): set bit ──was set──▶ done              drain: pop slot, clear bit, wake the task
//!        │ was clear                                         or, after an overflow, scan all bits
//!        ▼
//!  ring has room ─▶ write slot ─┐                     prepare_park: parked = true, fence, look again
//!  ring is full ──▶ scan_all ───┴▶ fence, parked? ──▶ unpark the driver (once)
//! ```
//!
//! The bit is the truth ("this slot has been woken"), the ring only says where to look; so a task is queued at most once,
//! and a full ring costs a scan instead of a lost wake. The order of clearing matters: the bit is cleared *before* the task
//! is woken, so that a wake that comes while it runs sets the bit again.
//!
//! Ordering: a waker's writes are released by its read-modify-write of the bit and acquired by the owner's clearing of it.
//! The park handshake is Dekker's: both sides write, fence(SeqCst), then read the other's word. loom models SeqCst fences
//! but not SeqCst accesses, therefore fences. `loom_tests` below checks all of it (`RUSTFLAGS="--cfg loom"`).
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::OnceLock;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Words of one chunk of bits: 64 Ki slots in 8 KiB. Small under loom, whose state grows with every atomic.
const CHUNK_WORDS: usize = if cfg!(loom) { 1 } else { 1024 };
/// Slots of one chunk.
const CHUNK_SLOTS: usize = CHUNK_WORDS * 64;
/// Chunks, enough for the 22 bits that a waker has for its slot.
const CHUNKS: usize = if cfg!(loom) { 1 } else { 64 };
/// Most slots that a ring can wake.
#[cfg(not(loom))]
pub(crate) const SLOTS_MAX: usize = CHUNK_SLOTS * CHUNKS;

/// Keeps what producers write away from what the owner writes: 128 bytes, since CPUs fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(T);

/// One entry: `sequence` says whose turn it is (Vyukov's bounded queue), `slot` is the payload.
#[derive(Debug)]
struct Entry {
    sequence: AtomicUsize,
    slot: AtomicU32,
}

type Chunk = Box<[AtomicU64]>;

/// The ring, its bits and the parked flag.
#[derive(Debug)]
pub(crate) struct WakerRing {
    entries: Box<[Entry]>,
    bits: Box<[OnceLock<Chunk>]>,
    tail: Line<AtomicUsize>,
    /// Written by the owner only.
    head: Line<AtomicUsize>,
    scan_all: AtomicBool,
    parked: AtomicBool,
}

impl WakerRing {
    /// `capacity` is a power of two, and at least 2: with 1, "full" and "free for the next round" are the same number (loom
    /// found that one). The bits of the first chunk are there from the start.
    pub(crate) fn new(capacity: usize) -> WakerRing {
        assert!(capacity.is_power_of_two() && capacity > 1, "the capacity of a waker ring is 2, 4, 8, …");
        let ring = WakerRing {
            entries: (0..capacity)
                .map(|index| Entry { sequence: AtomicUsize::new(index), slot: AtomicU32::new(0) })
                .collect(),
            bits: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            tail: Line(AtomicUsize::new(0)),
            head: Line(AtomicUsize::new(0)),
            scan_all: AtomicBool::new(false),
            parked: AtomicBool::new(false),
        };
        ring.reserve(0);
        ring
    }

    /// Owner: makes `slot` wakeable, before any waker of it exists. Allocates once per 64 Ki slots, never again.
    pub(crate) fn reserve(&self, slot: u32) {
        if let Some(chunk) = self.bits.get(slot as usize / CHUNK_SLOTS) {
            chunk.get_or_init(|| (0..CHUNK_WORDS).map(|_| AtomicU64::new(0)).collect());
        }
    }

    fn word(&self, slot: u32) -> Option<&AtomicU64> {
        let chunk = self.bits.get(slot as usize / CHUNK_SLOTS)?.get()?;
        chunk.get(slot as usize % CHUNK_SLOTS / 64)
    }

    /// Any thread: queues a wake of `slot`. True when the caller must unpark the driver. A slot that was never reserved is
    /// ignored: no waker can have it.
    pub(crate) fn push(&self, slot: u32) -> bool {
        let Some(word) = self.word(slot) else { return false };
        let bit = 1 << (slot % 64);
        if word.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return false; // Whoever set it is on the way to the ring and will unpark.
        }
        if !self.enqueue(slot) {
            self.scan_all.store(true, Ordering::Release);
        }
        fence(Ordering::SeqCst);
        self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel)
    }

    fn enqueue(&self, slot: u32) -> bool {
        let mask = self.entries.len() - 1;
        let mut position = self.tail.0.load(Ordering::Relaxed);
        loop {
            let entry = &self.entries[position & mask];
            let distance = entry.sequence.load(Ordering::Acquire).wrapping_sub(position).cast_signed();
            if distance < 0 {
                return false;
            }
            if distance > 0 {
                position = self.tail.0.load(Ordering::Relaxed);
                continue;
            }
            let next = position.wrapping_add(1);
            match self.tail.0.compare_exchange_weak(position, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    entry.slot.store(slot, Ordering::Relaxed);
                    entry.sequence.store(next, Ordering::Release);
                    return true;
                }
                Err(seen) => position = seen,
            }
        }
    }

    /// Owner: true when `drain` would find nothing.
    pub(crate) fn is_empty(&self) -> bool {
        let head = self.head.0.load(Ordering::Relaxed);
        let entry = &self.entries[head & (self.entries.len() - 1)];
        entry.sequence.load(Ordering::Acquire) != head.wrapping_add(1)
            && !self.scan_all.load(Ordering::Acquire)
    }

    /// Owner: hands each woken slot to `wake` once; at most one ring's length, or all slots after an overflow.
    /// Returns how many wakes there were, and whether it scanned.
    pub(crate) fn drain(&self, mut wake: impl FnMut(u32)) -> (u64, bool) {
        let mut wakes = 0;
        for _ in 0..self.entries.len() {
            let Some(slot) = self.dequeue() else { break };
            let bit = 1 << (slot % 64);
            // A scan may have delivered this one already: then the bit is clear.
            if self.word(slot).is_some_and(|word| word.fetch_and(!bit, Ordering::AcqRel) & bit != 0) {
                wakes += 1;
                wake(slot);
            }
        }
        if !self.scan_all.load(Ordering::Relaxed) || !self.scan_all.swap(false, Ordering::AcqRel) {
            return (wakes, false);
        }
        for (chunk_index, chunk) in self.bits.iter().enumerate() {
            let Some(words) = chunk.get() else { continue };
            for (word_index, word) in words.iter().enumerate() {
                if word.load(Ordering::Relaxed) == 0 {
                    continue;
                }
                let mut bits = word.swap(0, Ordering::AcqRel);
                while bits != 0 {
                    let slot = chunk_index * CHUNK_SLOTS + word_index * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    wakes += 1;
                    wake(slot as u32);
                }
            }
        }
        (wakes, true)
    }

    fn dequeue(&self) -> Option<u32> {
        let head = self.head.0.load(Ordering::Relaxed);
        let entry = &self.entries[head & (self.entries.len() - 1)];
        if entry.sequence.load(Ordering::Acquire) != head.wrapping_add(1) {
            return None;
        }
        let slot = entry.slot.load(Ordering::Relaxed);
        entry.sequence.store(head.wrapping_add(self.entries.len()), Ordering::Release);
        self.head.0.store(head.wrapping_add(1), Ordering::Relaxed);
        Some(slot)
    }

    /// Owner: announces that it is about to sleep. False when there is work: then it must not.
    pub(crate) fn prepare_park(&self) -> bool {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.is_empty() {
            return true;
        }
        self.parked.store(false, Ordering::Relaxed);
        false
    }

    /// Owner: awake again.
    pub(crate) fn unpark(&self) {
        if self.parked.load(Ordering::Relaxed) {
            self.parked.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drained(ring: &WakerRing) -> Vec<u32> {
        let mut slots = Vec::new();
        ring.drain(|slot| slots.push(slot));
        slots
    }

    #[test]
    fn a_slot_is_queued_at_most_once_until_it_is_drained() {
        let ring = WakerRing::new(4);
        for _ in 0..10 {
            ring.push(7);
        }
        assert_eq!(drained(&ring), [7]);
        ring.push(7);
        assert_eq!(drained(&ring), [7]);
        assert!(ring.is_empty());
    }

    #[test]
    fn a_full_ring_scans_and_loses_nothing() {
        let ring = WakerRing::new(4);
        for slot in 0..100 {
            ring.push(slot);
        }
        let mut slots = drained(&ring);
        slots.sort_unstable();
        assert_eq!(slots, (0..100).collect::<Vec<_>>());
        assert!(ring.is_empty());
        ring.push(3);
        assert_eq!(drained(&ring), [3]);
    }

    #[test]
    fn only_a_parked_owner_is_unparked_and_only_once() {
        let ring = WakerRing::new(4);
        assert!(!ring.push(1));
        assert!(!ring.prepare_park(), "there is work");
        drained(&ring);
        assert!(ring.prepare_park());
        assert!(ring.push(1));
        assert!(!ring.push(2), "the first one unparked it");
    }

    #[test]
    fn slots_beyond_the_reserved_ones_are_ignored() {
        let ring = WakerRing::new(4);
        assert!(!ring.push(CHUNK_SLOTS as u32));
        assert!(!ring.push(u32::MAX));
        assert!(ring.is_empty());
        ring.reserve(CHUNK_SLOTS as u32);
        ring.push(CHUNK_SLOTS as u32 + 5);
        assert_eq!(drained(&ring), [CHUNK_SLOTS as u32 + 5]);
    }

    #[test]
    fn many_threads_wake_and_every_wake_is_seen() {
        let ring = std::sync::Arc::new(WakerRing::new(8));
        let counts: std::sync::Arc<Vec<AtomicU64>> =
            std::sync::Arc::new((0..40).map(|_| AtomicU64::new(0)).collect());
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (ring, counts) = (ring.clone(), counts.clone());
                std::thread::spawn(move || {
                    for round in 0..2000_u32 {
                        let slot = (round * 7 + thread) % 40;
                        counts[slot as usize].fetch_add(1, Ordering::Relaxed);
                        ring.push(slot);
                    }
                })
            })
            .collect();
        let mut seen = [0_u64; 40];
        let mut look = |ring: &WakerRing| {
            ring.drain(|slot| seen[slot as usize] = counts[slot as usize].load(Ordering::Relaxed));
        };
        while threads.iter().any(|thread| !thread.is_finished()) {
            look(&ring);
        }
        look(&ring);
        for (slot, seen) in seen.iter().enumerate() {
            assert_eq!(*seen, counts[slot].load(Ordering::Relaxed), "the last wake of slot {slot} was seen");
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::{sync::Arc, thread};

    /// What the owner does until it has seen `want` wakes: drain, and sleep only as the handshake allows. `unparked` counts
    /// the producers' unparks; sleeping without one to come would be a lost wake, which loom reports as a deadlock here.
    fn owner(
        ring: &WakerRing,
        unparked: &loom::sync::Mutex<u32>,
        bell: &loom::sync::Condvar,
        want: impl Fn() -> bool,
    ) {
        loop {
            ring.drain(|_| {});
            if want() {
                return;
            }
            if ring.prepare_park() {
                let mut rung = unparked.lock().unwrap();
                while *rung == 0 {
                    rung = bell.wait(rung).unwrap();
                }
                *rung -= 1;
                ring.unpark();
            }
        }
    }

    /// Two preemptions anywhere in each execution, so that a model ends within the minute; `LOOM_MAX_PREEMPTIONS` widens it.
    fn model(body: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(2));
        builder.check(body);
    }

    /// Two threads wake their slots in order, and the owner sees it all.
    fn producers(slots: [&'static [u32]; 2]) {
        model(move || {
            let ring = Arc::new(WakerRing::new(2));
            let written: Arc<[AtomicU32; 2]> = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
            let unparked = Arc::new(loom::sync::Mutex::new(0));
            let bell = Arc::new(loom::sync::Condvar::new());
            let threads: Vec<_> = slots
                .into_iter()
                .enumerate()
                .map(|(index, slots)| {
                    let (ring, written) = (ring.clone(), written.clone());
                    let (unparked, bell) = (unparked.clone(), bell.clone());
                    thread::spawn(move || {
                        written[index].store(1, Ordering::Relaxed);
                        for slot in slots {
                            if ring.push(*slot) {
                                *unparked.lock().unwrap() += 1;
                                bell.notify_one();
                            }
                        }
                    })
                })
                .collect();
            // The values are written before the wakes, relaxed: only the ring can make them visible.
            owner(&ring, &unparked, &bell, || written.iter().all(|value| value.load(Ordering::Relaxed) == 1));
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn two_wakers_of_one_task_lose_no_wake() {
        producers([&[1], &[1]]);
    }

    #[test]
    fn two_wakers_of_two_tasks_lose_no_wake() {
        producers([&[1], &[2]]);
    }

    #[test]
    fn a_full_ring_loses_no_wake() {
        producers([&[1, 3], &[2]]);
    }

    #[test]
    fn a_task_is_handed_over_once_per_wake() {
        model(|| {
            let ring = Arc::new(WakerRing::new(2));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let ring = ring.clone();
                    thread::spawn(move || ring.push(5))
                })
                .collect();
            let mut wakes = 0;
            ring.drain(|_| wakes += 1);
            for thread in threads {
                thread.join().unwrap();
            }
            ring.drain(|_| wakes += 1);
            assert!((1..=2).contains(&wakes));
            assert!(ring.is_empty());
        });
    }
}
