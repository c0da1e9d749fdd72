//! Time: sleeping, intervals, time limits, timers, and the clock that is read once per turn.
//!
//! The clock is the monotonic one: steps of the wall clock move nothing, and while the machine is suspended it stands still, so
//! a sleep of an hour is an hour of the machine being awake.
mod interval;
mod limit;
mod timer;

pub use interval::{Interval, interval};
pub use limit::{Elapsed, deadline, timeout};
pub use timer::Timer;

use crate::{core::Core, current, timers::Precise};
use ringwheel_clock::TimerKey;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// The time of this turn: the clock is read once per turn, when first asked. Behind by at most as long as the turn has taken.
/// Outside a turn it is the clock itself.
///
/// ```
/// use ringwheel_executor::{Executor, time};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async { assert_eq!(time::now(), time::now()) })?; // in one turn it does not move
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use ringwheel_executor::{Executor, time};
/// use std::time::Duration;
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let start = time::now();
///     let mut sleep = time::sleep_until(start + Duration::from_secs(60));
///     sleep.reset(start + Duration::from_millis(2));
///     sleep.await;
///     assert!(time::now() >= start + Duration::from_millis(2));
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, precise: false, set: None }
}

/// The future of [`sleep`]. Dropping it takes the timer back: constant time, no system call.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    precise: bool,
    set: Option<Set>,
}

struct Set {
    core: Rc<Core>,
    key: Key,
    waker: Waker,
}

/// Where a sleep's timer is.
#[derive(Clone, Copy)]
enum Key {
    Wheel(TimerKey),
    Precise(Precise),
}

impl Sleep {
    /// When it completes.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Completes within the timer slack of its deadline (some 60 µs on Linux) instead of up to a millisecond after it. Such
    /// sleeps wait in a sorted list beside the wheel: O(log n) to set and to take back, an allocation each now and then, and a
    /// wake-up each. Call it before the first poll; later it counts from the next [`Sleep::reset`] on.
    ///
    /// ```
    /// use ringwheel_executor::{Executor, time};
    /// use std::time::{Duration, Instant};
    ///
    /// let mut executor = Executor::start(Default::default())?;
    /// let start = Instant::now();
    /// executor.run(time::sleep(Duration::from_micros(250)).precise())?;
    /// assert!(start.elapsed() >= Duration::from_micros(250));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn precise(mut self) -> Sleep {
        self.precise = true;
        self
    }

    /// Moves the deadline; cheaper than a new sleep. The task that awaited it is still woken.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if let Some(set) = &mut self.set {
            set.key = set.core.rearm(set.key, deadline, self.precise, &set.waker);
        }
    }
}

impl Core {
    fn insert(&self, deadline: Instant, precise: bool, waker: &Waker) -> Key {
        let mut timers = self.timers.borrow_mut();
        if precise {
            Key::Precise(timers.insert_precise(deadline, waker))
        } else {
            Key::Wheel(timers.insert_sleep(deadline, waker))
        }
    }

    /// Moves a sleep's timer, set or fired already.
    fn rearm(&self, key: Key, deadline: Instant, precise: bool, waker: &Waker) -> Key {
        if let Key::Wheel(timer) = key
            && !precise
            && self.timers.borrow_mut().rearm(timer, deadline)
        {
            return key;
        }
        self.take_back(key);
        self.insert(deadline, precise, waker)
    }

    fn take_back(&self, key: Key) {
        let foreign = match key {
            Key::Wheel(timer) => self.timers.borrow_mut().cancel(timer).1,
            Key::Precise(timer) => self.timers.borrow_mut().cancel_precise(timer),
        };
        drop(foreign); // Foreign code runs here, with nothing borrowed.
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
                let key = core.insert(deadline, self.precise, waker);
                self.set = Some(Set { core, key, waker: waker.clone() });
            }
        }
        Poll::Pending
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.core.take_back(self.key);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).field("set", &self.set.is_some()).finish()
    }
}
