//! All interleavings of a producer thread and a consumer thread over two entries and a wrap, in loom's memory model.
//!
//! The entries are relaxed atomics, as in `shared.rs`: if the release and acquire of the indices did not order them, loom
//! would show the consumer an entry that was not written yet, or the producer overwriting one that was not read.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]

use loom::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use ringwheel_command::{Consumer, Geometry, Memory, Producer, RingError, layout::Span};

struct Words {
    span: Span,
    tail: AtomicU32,
    head: AtomicU32,
    entries: Vec<AtomicU64>,
}

impl Words {
    fn new(span: Span) -> Words {
        let entries = (0..span.capacity * 2).map(|_| AtomicU64::new(0)).collect();
        Words { span, tail: AtomicU32::new(0), head: AtomicU32::new(0), entries }
    }
    fn index(&self, word: usize) -> &AtomicU32 {
        if word == self.span.tail_word { &self.tail } else { &self.head }
    }
}

/// A pointer of our own, since the orphan rule forbids `Memory` for loom's.
#[derive(Clone)]
struct Shared(Arc<Words>);

impl Memory for Shared {
    fn read<const N: usize>(&self, word: usize) -> [u64; N] {
        let first = word - self.0.span.first_word;
        std::array::from_fn(|index| self.0.entries[first + index].load(Ordering::Relaxed))
    }
    fn write<const N: usize>(&self, word: usize, words: [u64; N]) {
        let first = word - self.0.span.first_word;
        for (index, value) in words.into_iter().enumerate() {
            self.0.entries[first + index].store(value, Ordering::Relaxed);
        }
    }
    fn load_index(&self, word: usize) -> u32 {
        self.0.index(word).load(Ordering::Acquire)
    }
    fn store_index(&self, word: usize, index: u32) {
        self.0.index(word).store(index, Ordering::Release);
    }
}

/// The producer sends 1..=`count` through a ring of `capacity`, the consumer must see them in order, each whole.
fn pass(capacity: u32, count: u64) {
    loom::model(move || {
        let span = Geometry::new(1, capacity).completions();
        let shared = Shared(Arc::new(Words::new(span)));
        let mut producer = Producer::<_, 2>::new(shared.clone(), span);
        let mut consumer = Consumer::<_, 2>::new(shared, span);
        let thread = loom::thread::spawn(move || {
            for value in 1..=count {
                while let Err(error) = producer.push([value, value * 100]) {
                    assert_eq!(error, RingError::Full);
                    loom::thread::yield_now();
                }
                assert_eq!(producer.publish(), 1);
            }
        });
        let mut expected = 1;
        while expected <= count {
            let mut batch = consumer.batch().unwrap();
            if batch.is_empty() {
                drop(batch);
                loom::thread::yield_now();
                continue;
            }
            while let Some(words) = batch.peek() {
                assert_eq!(words, [expected, expected * 100]);
                expected += 1;
                batch.advance();
            }
        }
        thread.join().unwrap();
    });
}

#[test]
fn two_entries_and_a_wrap() {
    pass(2, 3);
}

#[test]
fn a_ring_of_one_wraps_every_time() {
    pass(1, 3);
}
