//! A flag that is set once, from any thread, and awaited by any number of tasks: how a thread tells executors to stop.
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

#[derive(Debug, Default)]
struct Shared {
    set: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

/// A one-way flag. Clones share it; `Send + Sync`.
///
/// ```
/// let stop = ringwheel_executor::event::Event::new();
/// let remote = stop.clone();
/// std::thread::spawn(move || remote.set());
/// let mut executor = ringwheel_executor::Executor::start(Default::default())?;
/// executor.run(async move { stop.wait().await })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Event {
    shared: Arc<Shared>,
}

impl Event {
    /// A flag that is not set.
    pub fn new() -> Event {
        Event::default()
    }

    /// Sets the flag and wakes everyone who waits. Setting it again does nothing. Never blocks for longer than it takes
    /// to wake the waiting tasks.
    pub fn set(&self) {
        self.shared.set.store(true, Ordering::Release);
        let waiting =
            std::mem::take(&mut *self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in waiting {
            waker.wake();
        }
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.shared.set.load(Ordering::Acquire)
    }

    /// Completes when the flag is set; at once when it already is. Dropping the future stops waiting.
    pub fn wait(&self) -> Wait {
        Wait { event: self.clone() }
    }
}

/// The future of [`Event::wait`].
#[derive(Debug)]
pub struct Wait {
    event: Event,
}

impl Future for Wait {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = &self.event.shared;
        if shared.set.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // `set` stores the flag before it takes this lock, so either we see the flag here or it sees our waker there.
        if shared.set.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }
}
