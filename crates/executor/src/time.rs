//! Time: sleeping, deadlines, and the clock that is read once per turn.
use crate::{core::Core, current};
use ringwheel_clock::TimerKey;
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// The time of this turn: the clock is read once per turn, when first asked. Behind by at most as long as the turn has taken.
/// Outside a turn it is the clock itself.
pub fn now() -> Instant {
    current::with(|core| core.map_or_else(Instant::now, Core::now))
}

/// Completes after `duration`, never early, to the millisecond. A duration beyond what an `Instant` can hold sleeps for a
/// century.
///
/// Reads the clock, since the turn's own [`now`] may lie behind and would end the sleep early. Who sets many timers and does
/// not mind that gives [`sleep_until`] a deadline from `now`.
///
/// # Panics
/// The future panics when it is polled outside of an executor.
///
/// ```
/// use ringwheel_executor::{Executor, time};
/// use std::time::{Duration, Instant};
///
/// let mut executor = Executor::start(Default::default())?;
/// let start = Instant::now();
/// executor.run(time::sleep(Duration::from_millis(5)))?;
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let now = current::with(|core| core.map_or_else(Instant::now, Core::read_now));
    sleep_until(now.checked_add(duration).unwrap_or(now + CENTURY))
}

/// Completes at `deadline`, never early, to the millisecond. See [`sleep`].
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, set: None }
}

/// The future of [`sleep`]. Dropping it takes the timer back: constant time, no system call.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    set: Option<Set>,
}

struct Set {
    core: Rc<Core>,
    key: TimerKey,
    waker: Waker,
}

impl Sleep {
    /// When it completes.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline; cheaper than a new sleep. The task that awaited it is still woken.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let Some(set) = &mut self.set {
            set.key = set.core.rearm(set.key, deadline, &set.waker);
        }
    }
}

impl Core {
    /// Moves a sleep's timer, set or fired already.
    fn rearm(&self, key: TimerKey, deadline: Instant, waker: &Waker) -> TimerKey {
        let mut timers = self.timers.borrow_mut();
        if timers.rearm(key, deadline) { key } else { timers.insert_sleep(deadline, waker) }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let core = match &self.set {
            Some(set) => set.core.clone(),
            None => match current::get() {
                Ok(core) => core,
                Err(error) => panic!("{error}"),
            },
        };
        if core.now() >= deadline {
            self.set = None;
            return Poll::Ready(());
        }
        let waker = context.waker();
        match &mut self.set {
            Some(set) if set.waker.will_wake(waker) => {}
            _ => {
                self.set = None;
                let key = core.timers.borrow_mut().insert_sleep(deadline, waker);
                self.set = Some(Set { core, key, waker: waker.clone() });
            }
        }
        Poll::Pending
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let (_, foreign) = self.core.timers.borrow_mut().cancel(self.key);
        drop(foreign); // Foreign code runs here, with nothing borrowed.
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).field("set", &self.set.is_some()).finish()
    }
}

/// The time was over before the future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR_RINGWHEEL_TIMEOUT: the time was over first")
    }
}

impl std::error::Error for Elapsed {}

/// Runs `future` for at most `duration`; then drops it, which cancels what it was doing. A result that is there counts,
/// however late.
///
/// ```
/// use ringwheel_executor::{Executor, time};
/// use std::{future::pending, time::Duration};
///
/// let mut executor = Executor::start(Default::default())?;
/// let result = executor.run(time::timeout(Duration::from_millis(2), pending::<()>()))?;
/// assert_eq!(result, Err(time::Elapsed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut limit = sleep(duration);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut limit).poll(context).map(|()| Err(Elapsed)),
    })
    .await
}
