//! A flag that is set once, from any thread, and awaited by any number of tasks: how a thread tells executors to stop.
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

#[derive(Debug, Default)]
struct Shared {
    set: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Who waits, by a number of its own: a future that is dropped takes its waker along.
#[derive(Debug, Default)]
struct Waiting {
    wakers: BTreeMap<u64, Waker>,
    next: u64,
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
        let waiting = std::mem::take(&mut self.shared.waiting().wakers);
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.shared.set.load(Ordering::Acquire)
    }

    /// Completes when the flag is set; at once when it already is. Dropping the future stops waiting.
    pub fn wait(&self) -> Wait {
        Wait { event: self.clone(), number: None }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The future of [`Event::wait`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Wait {
    event: Event,
    number: Option<u64>,
}

impl Future for Wait {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.event.is_set() {
            return Poll::Ready(());
        }
        let shared = self.event.shared.clone();
        let mut waiting = shared.waiting();
        // `set` stores the flag before it takes this lock, so either we see the flag here or it sees our waker there.
        if shared.set.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| {
            waiting.next += 1;
            waiting.next
        });
        let former = waiting.wakers.insert(number, context.waker().clone());
        drop(waiting);
        drop(former); // Foreign code, perhaps: not under the lock.
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.event.shared.waiting().wakers.remove(&number);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_waiting_leaves_nothing_behind() {
        let event = Event::new();
        for _ in 0..3 {
            let mut wait = event.wait();
            for _ in 0..2 {
                assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            assert_eq!(event.shared.waiting().wakers.len(), 1);
        }
        assert_eq!(event.shared.waiting().wakers.len(), 0);
        let mut wait = event.wait();
        assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        event.set();
        assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
