//! A callback at a time, that can be taken back and put off.
use super::{Sleep, sleep};
use crate::{SpawnError, task::try_spawn};
use std::{
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

/// Calls a function once, after a time; again when it is refreshed. Dropping it cancels it; [`Timer::detach`] lets it run.
///
/// It is a task of its own: the callback runs as that task, and a panic in it ends that task alone. Cost: a task and one small
/// allocation to make, a store to refresh to a later time.
///
/// ```
/// use ringwheel_executor::{Executor, time::{self, Timer}};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let calls = Rc::new(Cell::new(0));
///     let counted = calls.clone();
///     let idle = Timer::new(Duration::from_millis(20), move || counted.set(counted.get() + 1))?;
///     time::sleep(Duration::from_millis(1)).await;
///     idle.refresh(); // Twenty milliseconds from now.
///     time::sleep(Duration::from_millis(40)).await;
///     assert_eq!(calls.get(), 1);
///     assert!(!idle.cancel()); // It has been called.
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a timer that is dropped is cancelled"]
pub struct Timer {
    state: Rc<State>,
}

struct State {
    after: Cell<Duration>,
    /// When to call; `None` when that is done, or not wanted any more.
    due: Cell<Option<Instant>>,
    /// What the task sleeps to, and whom to wake when `due` is earlier.
    sleeps_to: Cell<Option<Instant>>,
    task: RefCell<Option<Waker>>,
    /// No handle is left: the task ends when nothing is due.
    detached: Cell<bool>,
}

impl Timer {
    /// Sets a timer on this thread's executor. `callback` is called once `after` has passed from now, never early, to the
    /// millisecond.
    ///
    /// # Errors
    /// [`SpawnError`] without an executor, while it shuts down, or when it is full.
    pub fn new(after: Duration, callback: impl FnMut() + 'static) -> Result<Timer, SpawnError> {
        let limit = sleep(after);
        let state = Rc::new(State {
            after: Cell::new(after),
            due: Cell::new(Some(limit.deadline())),
            sleeps_to: Cell::new(None),
            task: RefCell::new(None),
            detached: Cell::new(false),
        });
        let task = try_spawn(run(Rc::clone(&state), limit, callback))?;
        drop(task); // It runs on; the state ends it.
        Ok(Timer { state })
    }

    /// Takes the timer back, also when it is due and was not called yet. False when it has been called since it was last set.
    pub fn cancel(self) -> bool {
        self.state.due.get().is_some()
        // Dropping it does the rest.
    }

    /// Starts the time anew from now; a timer that was called is called once more.
    pub fn refresh(&self) {
        self.refresh_after(self.state.after.get());
    }

    /// The same with another time, which later calls of [`Timer::refresh`] take too.
    pub fn refresh_after(&self, after: Duration) {
        let state = &self.state;
        state.after.set(after);
        let due = sleep(after).deadline();
        state.due.set(Some(due));
        // To a later time it is enough that the task looks when its sleep is over.
        if state.sleeps_to.get().is_none_or(|sleeps_to| due < sleeps_to) {
            state.wake();
        }
    }

    /// Whether it is still to be called.
    pub fn is_waiting(&self) -> bool {
        self.state.due.get().is_some()
    }

    /// Lets it be called without this handle.
    pub fn detach(self) {
        self.state.detached.set(true);
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if !self.state.detached.get() {
            self.state.due.set(None);
        }
        self.state.detached.set(true);
        if self.state.due.get().is_none() {
            self.state.wake();
        }
    }
}

impl State {
    fn wake(&self) {
        let task = self.task.borrow_mut().take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

async fn run(state: Rc<State>, mut sleep: Sleep, mut callback: impl FnMut()) {
    loop {
        let call = poll_fn(|context| {
            loop {
                let Some(due) = state.due.get() else {
                    if state.detached.get() {
                        return Poll::Ready(false);
                    }
                    state.sleeps_to.set(None);
                    break;
                };
                if due != sleep.deadline() {
                    sleep.reset(due);
                }
                state.sleeps_to.set(Some(due));
                match Pin::new(&mut sleep).poll(context) {
                    // A refresh to a later time may have come while it slept.
                    Poll::Ready(()) if state.due.get() == Some(due) => {
                        state.due.set(None);
                        return Poll::Ready(true);
                    }
                    Poll::Ready(()) => {}
                    Poll::Pending => break,
                }
            }
            let waker = context.waker();
            let mut task = state.task.borrow_mut();
            if task.as_ref().is_none_or(|known| !known.will_wake(waker)) {
                *task = Some(waker.clone());
            }
            Poll::Pending
        })
        .await;
        if !call {
            return;
        }
        callback();
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("due", &self.state.due.get()).finish_non_exhaustive()
    }
}
