//! Life of a command, stage 2 of 6: command ring. Before: lib/ring/command-writer.ts. After: crates/command/src/decode.rs.
//!
//! Index arithmetic of a ring with one producer and one consumer, over any [`Memory`]. Safe code: the memory checks bounds.
use crate::layout::{COMMAND_WORDS, Span};
use std::{fmt, rc::Rc, sync::Arc};

/// Words that both sides see. Implemented by [`Region`](crate::Region) and by the loom test.
pub trait Memory {
    /// Copies `N` words from `word` on, each with a relaxed atomic load: the other side may be writing.
    fn read<const N: usize>(&self, word: usize) -> [u64; N];
    /// Writes `N` words from `word` on, each with a relaxed atomic store.
    fn write<const N: usize>(&self, word: usize, words: [u64; N]);
    /// Loads the low half of a word with acquire.
    fn load_index(&self, word: usize) -> u32;
    /// Stores the low half of a word with release.
    fn store_index(&self, word: usize, index: u32);
}

macro_rules! through_pointer {
    ($pointer:ident) => {
        impl<M: Memory> Memory for $pointer<M> {
            fn read<const N: usize>(&self, word: usize) -> [u64; N] {
                (**self).read(word)
            }
            fn write<const N: usize>(&self, word: usize, words: [u64; N]) {
                (**self).write(word, words);
            }
            fn load_index(&self, word: usize) -> u32 {
                (**self).load_index(word)
            }
            fn store_index(&self, word: usize, index: u32) {
                (**self).store_index(word, index);
            }
        }
    };
}
through_pointer!(Rc);
through_pointer!(Arc);

/// Why nothing was written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// Every entry is taken. Nothing was lost: try again after the other side has read.
    Full,
    /// The other side's index cannot be true: it lies more than a ring away from ours. The memory was written by something
    /// else than `lib/ring`; close the executor, since no command can be told from noise any more.
    Corrupt {
        /// Our own index.
        ours: u32,
        /// What the other side's index says.
        theirs: u32,
        /// Entries of the ring.
        capacity: u32,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RingError::Full => write!(formatter, "the ring is full; try again after the reader's next turn"),
            RingError::Corrupt { ours, theirs, capacity } => write!(
                formatter,
                "the shared ring is corrupt: the other side's index {theirs} is not within {capacity} of {ours}; close this executor and start another"
            ),
        }
    }
}
impl std::error::Error for RingError {}

/// The reading end. One per ring.
#[derive(Debug)]
pub struct Consumer<M, const WORDS: usize> {
    memory: M,
    span: Span,
    head: u32,
}

/// The reading end of the command ring.
pub type CommandReader<M> = Consumer<M, COMMAND_WORDS>;

impl<M: Memory, const WORDS: usize> Consumer<M, WORDS> {
    /// Reads from the start of a fresh (zeroed) ring.
    pub fn new(memory: M, span: Span) -> Self {
        Self::starting_at(memory, span, 0)
    }
    /// Reads on from an index at which both ends stand, whose head and tail words must hold it.
    pub fn starting_at(memory: M, span: Span, index: u32) -> Self {
        assert!(span.capacity.is_power_of_two());
        Consumer { memory, span, head: index }
    }

    /// Looks at what the producer has published: loads the tail once. The entries stay in the ring until
    /// [`Batch::advance`]; the head is published once, when the batch is dropped, if it moved.
    ///
    /// # Errors
    /// [`RingError::Corrupt`] when the tail is more than a ring ahead; nothing was consumed.
    pub fn batch(&mut self) -> Result<Batch<'_, M, WORDS>, RingError> {
        let theirs = self.memory.load_index(self.span.tail_word);
        let length = theirs.wrapping_sub(self.head);
        if length > self.span.capacity {
            return Err(RingError::Corrupt { ours: self.head, theirs, capacity: self.span.capacity });
        }
        Ok(Batch { end: theirs, published: self.head, consumer: self })
    }

    /// True when a batch would find something, or would be an error. One load.
    pub fn has_entries(&self) -> bool {
        self.memory.load_index(self.span.tail_word) != self.head
    }
}

/// The entries that were published when [`Consumer::batch`] looked.
#[derive(Debug)]
pub struct Batch<'a, M: Memory, const WORDS: usize> {
    consumer: &'a mut Consumer<M, WORDS>,
    end: u32,
    published: u32,
}

impl<M: Memory, const WORDS: usize> Batch<'_, M, WORDS> {
    /// A copy of the next entry. It stays in the ring. `None` at the end of the batch.
    #[inline]
    pub fn peek(&self) -> Option<[u64; WORDS]> {
        let Consumer { memory, span, head } = &*self.consumer;
        if *head == self.end {
            return None;
        }
        Some(memory.read(span.first_word + (head & (span.capacity - 1)) as usize * WORDS))
    }
    /// Consumes the entry that [`Batch::peek`] shows. At the end of the batch it does nothing.
    #[inline]
    pub fn advance(&mut self) {
        if self.consumer.head != self.end {
            self.consumer.head = self.consumer.head.wrapping_add(1);
        }
    }
    /// Entries left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end.wrapping_sub(self.consumer.head) as usize
    }
    /// True when nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<M: Memory, const WORDS: usize> Drop for Batch<'_, M, WORDS> {
    fn drop(&mut self) {
        let Consumer { memory, span, head } = &*self.consumer;
        if *head != self.published {
            memory.store_index(span.head_word, *head);
        }
    }
}

/// The writing end. One per ring.
#[derive(Debug)]
pub struct Producer<M, const WORDS: usize> {
    memory: M,
    span: Span,
    tail: u32,
    published: u32,
    /// The consumer's index when we last looked: it only grows, so looking late is safe.
    head_seen: u32,
}

impl<M: Memory, const WORDS: usize> Producer<M, WORDS> {
    /// Writes from the start of a fresh (zeroed) ring.
    pub fn new(memory: M, span: Span) -> Self {
        Self::starting_at(memory, span, 0)
    }
    /// Writes on from an index at which both ends stand, whose head and tail words must hold it.
    pub fn starting_at(memory: M, span: Span, index: u32) -> Self {
        assert!(span.capacity.is_power_of_two());
        Producer { memory, span, tail: index, published: index, head_seen: index }
    }

    /// Writes an entry. The consumer sees it after [`Producer::publish`].
    ///
    /// # Errors
    /// [`RingError::Full`]: nothing was written. [`RingError::Corrupt`]: the consumer's index cannot be true.
    #[inline]
    pub fn push(&mut self, words: [u64; WORDS]) -> Result<(), RingError> {
        if self.tail.wrapping_sub(self.head_seen) == self.span.capacity && self.free()? == 0 {
            return Err(RingError::Full);
        }
        let word = self.span.first_word + (self.tail & (self.span.capacity - 1)) as usize * WORDS;
        self.memory.write(word, words);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Entries that [`Producer::push`] can take now. Loads the consumer's index.
    ///
    /// # Errors
    /// [`RingError::Corrupt`] when that index cannot be true.
    pub fn free(&mut self) -> Result<u32, RingError> {
        let theirs = self.memory.load_index(self.span.head_word);
        // What was not published cannot have been read: between the last index we saw and the published tail.
        let read = theirs.wrapping_sub(self.head_seen);
        if read > self.published.wrapping_sub(self.head_seen) {
            return Err(RingError::Corrupt { ours: self.published, theirs, capacity: self.span.capacity });
        }
        self.head_seen = theirs;
        Ok(self.span.capacity - self.tail.wrapping_sub(theirs))
    }

    /// Shows everything pushed so far to the consumer. Returns how many entries are new. One store, none when there is nothing new.
    pub fn publish(&mut self) -> u32 {
        let fresh = self.tail.wrapping_sub(self.published);
        if fresh != 0 {
            self.memory.store_index(self.span.tail_word, self.tail);
            self.published = self.tail;
        }
        fresh
    }
}
