//! Time: sleeping, deadlines, and the clock that is read once per turn.
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// The time of this turn. Read from the clock once per turn, so it may be behind by as long as the turn has taken.
pub fn now() -> Instant {
    Instant::now()
}

/// Completes after `duration`, never early, to the millisecond.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Completes at `deadline`, never early, to the millisecond.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline }
}

/// The future of [`sleep`]. Dropping it takes the timer back.
#[derive(Debug)]
pub struct Sleep {
    deadline: Instant,
}

impl Sleep {
    /// Moves the deadline; cheaper than a new sleep.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        unimplemented!()
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

/// Runs `future` for at most `duration`; then drops it.
pub async fn timeout<F: Future>(_duration: Duration, _future: F) -> Result<F::Output, Elapsed> {
    unimplemented!()
}
