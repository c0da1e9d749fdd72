//! Wakes between two threads without a runtime: by a message from ring to ring, and by parking.
use crate::push;
use io_uring::{IoUring, opcode, squeue, types};
use measure::cross_threads;
use std::{
    os::fd::{AsRawFd, RawFd},
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
    time::Instant,
};

/// The `user_data` of what the other side sent.
const MESSAGE: u64 = 7;

/// A message to the other ring, no completion on this one.
fn send(ring: &mut IoUring, to: RawFd) {
    let message = opcode::MsgRingData::new(types::Fd(to), 0, MESSAGE, None).build();
    // SAFETY: the entry has no pointers. Checked: every message arrives.
    unsafe { push(ring, &message.flags(squeue::Flags::SKIP_SUCCESS)) };
}

fn receive(ring: &mut IoUring) {
    loop {
        ring.submit_and_wait(1).expect("the kernel takes entries");
        if ring.completion().any(|entry| entry.user_data() == MESSAGE) {
            return;
        }
    }
}

/// MSG_RING both ways.
pub(crate) fn message_ring() {
    let ((to_answer, asks), (to_ask, answers)) = (mpsc::channel::<RawFd>(), mpsc::channel::<RawFd>());
    cross_threads(
        |_, count| {
            let mut ring = crate::ring(64);
            to_answer.send(ring.as_raw_fd()).expect("the other side is there");
            let other = answers.recv().expect("the other side is there");
            let trip = |_| {
                let start = Instant::now();
                send(&mut ring, other);
                receive(&mut ring);
                start.elapsed().as_nanos() as u32
            };
            let trips = (0..count).map(trip).collect();
            // The other side's last message has arrived, so it needs this ring no longer.
            trips
        },
        move |_, count| {
            let mut ring = crate::ring(64);
            to_ask.send(ring.as_raw_fd()).expect("the other side is there");
            let other = asks.recv().expect("the other side is there");
            for _ in 0..count {
                receive(&mut ring);
                send(&mut ring, other);
            }
            ring.submit().expect("the kernel takes entries");
        },
    );
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// Futex both ways: `std::thread::park` and `unpark`.
pub(crate) fn park() {
    cross_threads(
        |shared, count| block_on(shared.ask(count)),
        |shared, count| block_on(shared.answer(count)),
    );
}
