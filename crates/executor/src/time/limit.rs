//! Time limits: a future that is dropped when its time is over.
use super::{Sleep, sleep, sleep_until};
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

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
    within(sleep(duration), future).await
}

/// Runs `future` until `at` at most, for a time limit that several pieces of work share. Else as [`timeout`].
///
/// ```
/// use ringwheel_executor::{Executor, time};
/// use std::time::{Duration, Instant};
///
/// let mut executor = Executor::start(Default::default())?;
/// let limit = Instant::now() + Duration::from_secs(5);
/// executor.run(async {
///     time::deadline(limit, time::sleep(Duration::from_millis(1))).await?;
///     time::deadline(limit, async { "both within the same five seconds" }).await
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn deadline<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    within(sleep_until(at), future).await
}

async fn within<F: Future>(mut limit: Sleep, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => Pin::new(&mut limit).poll(context).map(|()| Err(Elapsed)),
    })
    .await
}
