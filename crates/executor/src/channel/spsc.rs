//! The bounded ring between one producer and one consumer on two threads: no lock, no read-modify-write.
//!
//! ```text
//!   producer's line:  tail (written by it), flag            consumer's line:  head (written by it), flag
//!   producer's own:   tail, the head it last saw            consumer's own:   head, the tail it last saw
//!
//!   push: slot[tail] = message; tail += 1 (release)         pop: message = slot[head]; head += 1 (release)
//! ```
//!
//! Each side reads the other's line only when what it saw last is used up, so a stream of messages moves each line once per
//! batch and not once per message. Indices count up for ever and are masked at use.
use super::bell::{Bell, published};
use std::{mem::MaybeUninit, sync::Arc};

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// loom's cell, without loom.
#[cfg(not(loom))]
#[derive(Debug)]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);
#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }
    #[inline]
    fn with_mut<R>(&self, work: impl FnOnce(*mut T) -> R) -> R {
        work(self.0.get())
    }
}

/// The most messages that may wait.
pub(super) const CAPACITY_MAX: usize = 1 << 24;

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Producer,
    Consumer,
}

/// What each side writes, away from the other's: 128 bytes, since CPUs fetch lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Line {
    index: AtomicUsize,
    /// This side is gone, or its executor is.
    gone: AtomicBool,
    /// This side's turn will ring the other's bell; only this side's thread uses it.
    will_ring: AtomicBool,
    /// This side waits here.
    bell: Bell,
}

impl Line {
    fn new() -> Line {
        Line {
            index: AtomicUsize::new(0),
            gone: AtomicBool::new(false),
            will_ring: AtomicBool::new(false),
            bell: Bell::new(),
        }
    }
}

/// The memory that both sides share.
#[derive(Debug)]
pub(super) struct Ring<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    capacity: usize,
    producer: Line,
    consumer: Line,
}

// SAFETY: `Sync` needs that two threads may use it at once. Holds: a slot is touched by the producer while it is not below
// `tail`, and by the consumer from then until it is below `head`; both indices are passed on by release and acquire. There is
// one `Producer` and one `Consumer`. The messages themselves move to another thread, hence `T: Send`.
// Checked: the loom tests below, tests/channels.rs.
unsafe impl<T: Send> Sync for Ring<T> {}

// SAFETY: as above.
unsafe impl<T: Send> Send for Ring<T> {}

/// What a turn's end needs to know of a channel, whatever its messages are.
pub(crate) trait Doors: Send + Sync {
    /// That side has written something: wakes the other, if it waits. After [`published`].
    fn ring_other(&self, from: Side);
    /// That side is gone.
    fn close(&self, side: Side);
}

impl<T> Ring<T> {
    fn new(capacity: usize) -> Ring<T> {
        let slots = capacity.next_power_of_two();
        Ring {
            slots: (0..slots).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
            capacity,
            producer: Line::new(),
            consumer: Line::new(),
        }
    }

    fn line(&self, side: Side) -> &Line {
        match side {
            Side::Producer => &self.producer,
            Side::Consumer => &self.consumer,
        }
    }

    fn other(&self, side: Side) -> &Line {
        match side {
            Side::Producer => &self.consumer,
            Side::Consumer => &self.producer,
        }
    }

    fn slot(&self, index: usize) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[index & (self.slots.len() - 1)]
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Messages that wait; at once out of date.
    pub(super) fn len(&self) -> usize {
        let head = self.consumer.index.load(Ordering::Relaxed);
        self.producer.index.load(Ordering::Relaxed).wrapping_sub(head).min(self.capacity)
    }

    pub(super) fn is_gone(&self, side: Side) -> bool {
        self.line(side).gone.load(Ordering::Acquire)
    }

    pub(super) fn bell(&self, side: Side) -> &Bell {
        &self.line(side).bell
    }

    /// True the first time since the bell of the other side was rung last.
    #[inline]
    pub(super) fn will_ring(&self, from: Side) -> bool {
        let flag = &self.line(from).will_ring;
        !flag.load(Ordering::Relaxed) && {
            flag.store(true, Ordering::Relaxed);
            true
        }
    }
}

impl<T: Send> Doors for Ring<T> {
    fn ring_other(&self, from: Side) {
        self.line(from).will_ring.store(false, Ordering::Relaxed);
        self.other(from).bell.ring();
    }

    fn close(&self, side: Side) {
        self.line(side).gone.store(true, Ordering::Release);
        published();
        self.other(side).bell.ring();
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // Both sides are gone: what was sent and not received.
        let tail = self.producer.index.load(Ordering::Relaxed);
        let mut head = self.consumer.index.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: needs an initialised message that nobody else reads. Holds: it lies between head and tail, and this is the
            // last reference. Checked: `every_message_is_dropped_once` below.
            let message = self.slot(head).with_mut(|slot| unsafe { slot.cast::<T>().read() });
            head = head.wrapping_add(1);
            crate::task::quietly(move || drop(message)); // The others are dropped, whatever this one does.
        }
    }
}

/// The one who writes.
#[derive(Debug)]
pub(super) struct Producer<T: Send> {
    ring: Arc<Ring<T>>,
    tail: usize,
    /// The head as it last saw it.
    head: usize,
}

/// The one who reads.
#[derive(Debug)]
pub(super) struct Consumer<T: Send> {
    ring: Arc<Ring<T>>,
    head: usize,
    /// The tail as it last saw it.
    tail: usize,
}

/// A ring's two ends; `capacity` is in `1..=CAPACITY_MAX`.
pub(super) fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let ring = Arc::new(Ring::new(capacity));
    (Producer { ring: ring.clone(), tail: 0, head: 0 }, Consumer { ring, head: 0, tail: 0 })
}

impl<T: Send> Producer<T> {
    pub(super) fn ring(&self) -> &Arc<Ring<T>> {
        &self.ring
    }

    /// Writes a message; the other side is not woken. It comes back when there is no room.
    #[inline]
    pub(super) fn push(&mut self, message: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head) >= self.ring.capacity {
            self.head = self.ring.consumer.index.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head) >= self.ring.capacity {
                return Err(message);
            }
        }
        self.ring.slot(self.tail).with_mut(|slot| {
            // SAFETY: `write` needs a slot that nobody else touches. Holds: it is not below `tail`, and the consumer has done with
            // what was in it before, as `head` said (acquire). Checked: the loom tests below.
            unsafe { slot.write(MaybeUninit::new(message)) };
        });
        self.tail = self.tail.wrapping_add(1);
        self.ring.producer.index.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T: Send> Consumer<T> {
    pub(super) fn ring(&self) -> &Arc<Ring<T>> {
        &self.ring
    }

    /// Takes the next message; the other side is not woken.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.head == self.tail {
            self.tail = self.ring.producer.index.load(Ordering::Acquire);
            if self.head == self.tail {
                return None;
            }
        }
        // SAFETY: needs an initialised message that is read once. Holds: it is below `tail` (acquire), and `head` moves past it
        // below. Checked: the loom tests below.
        let message = self.ring.slot(self.head).with_mut(|slot| unsafe { slot.cast::<T>().read() });
        self.head = self.head.wrapping_add(1);
        self.ring.consumer.index.store(self.head, Ordering::Release);
        Some(message)
    }
}

impl<T: Send> Drop for Producer<T> {
    fn drop(&mut self) {
        self.ring.close(Side::Producer);
    }
}

impl<T: Send> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.ring.close(Side::Consumer);
        // What waits now is dropped now; what is being sent at this moment, with the ring.
        while let Some(message) = self.pop() {
            crate::task::quietly(move || drop(message));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{cell::Cell, collections::VecDeque};

    #[test]
    fn a_capacity_is_exact_and_indices_wrap() {
        for capacity in [1, 2, 3, 7, 8] {
            let (mut producer, mut consumer) = ring::<u32>(capacity);
            for start in [0, usize::MAX - 3] {
                (producer.tail, producer.head, consumer.head, consumer.tail) = (start, start, start, start);
                producer.ring.producer.index.store(start, Ordering::Relaxed);
                producer.ring.consumer.index.store(start, Ordering::Relaxed);
                let mut next = 0;
                let mut seen = 0;
                for round in 0..40 {
                    let mut pushed = 0;
                    while producer.push(next).is_ok() {
                        next += 1;
                        pushed += 1;
                    }
                    assert_eq!(consumer.ring.len(), capacity);
                    assert!(pushed <= capacity);
                    for _ in 0..(round % capacity) + 1 {
                        assert_eq!(consumer.pop(), Some(seen));
                        seen += 1;
                    }
                }
                while let Some(message) = consumer.pop() {
                    assert_eq!(message, seen);
                    seen += 1;
                }
                assert_eq!(seen, next);
            }
        }
    }

    #[test]
    fn every_message_is_dropped_once() {
        struct Message(Arc<AtomicUsize>, bool);
        impl Drop for Message {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
                assert!(!self.1 || std::thread::panicking(), "a destructor that panics");
            }
        }
        for panics in [false, true] {
            for consumer_first in [false, true] {
                let drops = Arc::new(AtomicUsize::new(0));
                let (mut producer, mut consumer) = ring(8);
                for _ in 0..6 {
                    assert!(producer.push(Message(drops.clone(), panics)).is_ok());
                }
                let received = [consumer.pop(), consumer.pop()];
                assert_eq!(drops.load(Ordering::Relaxed), 0);
                received.into_iter().for_each(std::mem::forget);
                if consumer_first {
                    drop(consumer);
                    assert_eq!(drops.load(Ordering::Relaxed), 4, "at once");
                    assert!(
                        producer.push(Message(drops.clone(), panics)).is_ok(),
                        "the ends say that it is closed, not this"
                    );
                    drop(producer);
                    assert_eq!(drops.load(Ordering::Relaxed), 5);
                } else {
                    drop(producer);
                    drop(consumer);
                    assert_eq!(drops.load(Ordering::Relaxed), 4);
                }
            }
        }
    }

    proptest::proptest! {
        /// Against the obvious model: a queue with a limit.
        #[test]
        fn it_is_a_bounded_queue(capacity in 1_usize..20, pushes in proptest::collection::vec(0_u8..2, 0..400)) {
            let (mut producer, mut consumer) = ring::<usize>(capacity);
            let mut model = VecDeque::new();
            let number = Cell::new(0);
            for push in pushes {
                if push == 1 {
                    number.set(number.get() + 1);
                    let taken = producer.push(number.get()).is_ok();
                    proptest::prop_assert_eq!(taken, model.len() < capacity);
                    if taken {
                        model.push_back(number.get());
                    }
                } else {
                    proptest::prop_assert_eq!(consumer.pop(), model.pop_front());
                }
                proptest::prop_assert_eq!(consumer.ring.len(), model.len());
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use std::task::{Wake, Waker};

    /// A waker that unparks who waits in `wait`.
    struct Unpark {
        rung: loom::sync::Mutex<bool>,
        bell: loom::sync::Condvar,
    }

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            *self.rung.lock().unwrap() = true;
            self.bell.notify_one();
        }
    }

    impl Unpark {
        fn new() -> Arc<Unpark> {
            Arc::new(Unpark { rung: loom::sync::Mutex::new(false), bell: loom::sync::Condvar::new() })
        }

        fn wait(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !std::mem::take(&mut *rung) {
                rung = self.bell.wait(rung).unwrap();
            }
        }
    }

    fn model(body: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(Some(3));
        builder.check(body);
    }

    /// Waits as the ends in shared.rs do: announce, look again, sleep. A lost wake is a deadlock, which loom reports.
    fn until<R>(bell: &Bell, mut look: impl FnMut() -> Option<R>) -> R {
        let unpark = Unpark::new();
        let waker = Waker::from(unpark.clone());
        loop {
            if let Some(found) = look() {
                return found;
            }
            bell.wait(&waker);
            if let Some(found) = look() {
                bell.leave();
                return found;
            }
            unpark.wait();
        }
    }

    /// `count` boxed messages through a ring of `capacity`: loom also finds a slot that two touch at once, and a leak.
    fn through(capacity: usize, count: usize) {
        model(move || {
            let (mut producer, mut consumer) = ring::<Box<usize>>(capacity);
            let thread = thread::spawn(move || {
                let ring = producer.ring().clone();
                for number in 0..count {
                    let mut message = Some(Box::new(number));
                    until(ring.bell(Side::Producer), || match producer.push(message.take()?) {
                        Ok(()) => Some(()),
                        Err(back) => {
                            message = Some(back);
                            None
                        }
                    });
                    published();
                    ring.ring_other(Side::Producer);
                }
            });
            let ring = consumer.ring().clone();
            for number in 0..count {
                let message = until(ring.bell(Side::Consumer), || consumer.pop());
                assert_eq!(*message, number);
                published();
                ring.ring_other(Side::Consumer);
            }
            // The producer's end is seen, too.
            until(ring.bell(Side::Consumer), || ring.is_gone(Side::Producer).then_some(()));
            thread.join().unwrap();
        });
    }

    #[test]
    fn no_message_and_no_wake_is_lost() {
        through(1, 2);
    }

    #[test]
    fn nor_with_more_room() {
        through(2, 3);
    }

    #[test]
    fn a_consumer_that_goes_is_seen_and_everything_is_dropped_once() {
        model(|| {
            let (mut producer, consumer) = ring::<Box<usize>>(1);
            let thread = thread::spawn(move || drop(consumer));
            let ring = producer.ring().clone();
            let mut message = Some(Box::new(1));
            for _ in 0..2 {
                until(ring.bell(Side::Producer), || {
                    if ring.is_gone(Side::Consumer) {
                        return Some(());
                    }
                    match producer.push(message.take().unwrap_or_default()) {
                        Ok(()) => Some(()),
                        Err(back) => {
                            message = Some(back);
                            None
                        }
                    }
                });
            }
            drop(producer);
            thread.join().unwrap();
        });
    }
}
