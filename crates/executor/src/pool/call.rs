//! What a caller holds: one call, or one for each member.
use super::member::Life;
use crate::{JoinError, PanicPayload, RemoteHandle};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Why a call gave no value.
///
/// ```
/// use ringwheel_executor::pool::{CallError, ExecutorPool, PoolOptions};
///
/// let pool = ExecutorPool::start(PoolOptions { size: Some(1), ..Default::default() })?;
/// let failed = pool.run(0, || async { panic!("so it is said") }).join();
/// assert!(matches!(failed, Err(CallError::Panicked(_))));
/// let nobody = pool.run(1, || async {}).join().unwrap_err();
/// assert_eq!(nobody.to_string(), "ERR_RINGWHEEL_INVALID_OPTION: member is 1; the pool has 0..1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub enum CallError {
    /// What it ran panicked: the payload. The member lives on.
    Panicked(PanicPayload),
    /// It was cancelled through [`Call::cancel`].
    Cancelled,
    /// Its member died first.
    Died {
        /// The member.
        member: usize,
        /// What it died of.
        cause: String,
    },
    /// The pool was closed.
    Closed,
    /// 65,536 calls wait for that member already. Await some of them first.
    Full {
        /// The member.
        member: usize,
    },
    /// The pool has no such member.
    NoSuchMember {
        /// The number that was named.
        member: usize,
        /// How many there are.
        size: usize,
    },
    /// The service was stopped, or could not be made on that member.
    NoService {
        /// The member.
        member: usize,
        /// Why.
        cause: String,
    },
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Panicked(payload) => write!(f, "ERR_RINGWHEEL_PANIC: {payload}"),
            CallError::Cancelled => f.write_str("ERR_RINGWHEEL_CANCELLED: the call was cancelled"),
            CallError::Died { member, cause } => {
                write!(f, "ERR_RINGWHEEL_MEMBER: member {member} of the pool died: {cause}")
            }
            CallError::Closed => f.write_str("ERR_RINGWHEEL_CLOSED: the pool is closed"),
            CallError::Full { member } => write!(
                f,
                "ERR_RINGWHEEL_FULL: 65536 calls wait for member {member}; await some of them first"
            ),
            CallError::NoSuchMember { member, size } => {
                write!(f, "ERR_RINGWHEEL_INVALID_OPTION: member is {member}; the pool has 0..{size}")
            }
            CallError::NoService { member, cause } => {
                write!(f, "ERR_RINGWHEEL_CLOSED: there is no such service on member {member}: {cause}")
            }
        }
    }
}

impl std::error::Error for CallError {}

/// A result to come from a member: a future of `Result<T, CallError>`, for any thread. Dropping it lets the work run on,
/// unobserved.
#[must_use = "the result, and every error, is in it"]
pub struct Call<T> {
    state: State<T>,
}

enum State<T> {
    Running(RemoteHandle<T>, Life),
    Refused(Option<CallError>),
}

impl<T> Unpin for Call<T> {}

impl<T> Call<T> {
    pub(super) fn running(handle: RemoteHandle<T>, life: Life) -> Call<T> {
        Call { state: State::Running(handle, life) }
    }

    pub(super) fn refused(error: CallError) -> Call<T> {
        Call { state: State::Refused(Some(error)) }
    }

    /// Blocks the calling thread until the call has ended. Never call it on the member that the call is for.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn join(self) -> Result<T, CallError> {
        match self.state {
            State::Running(handle, life) => handle.join().map_err(|error| meaning(error, &life)),
            State::Refused(error) => Err(error.unwrap_or(CallError::Closed)),
        }
    }

    /// Asks for the call's end: its future is dropped at the member's next turn. Does nothing when it has ended.
    pub fn cancel(&self) {
        if let State::Running(handle, _) = &self.state {
            handle.cancel();
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Running(handle, _) => handle.is_finished(),
            State::Refused(_) => true,
        }
    }
}

/// What the end of a task means to the caller of a member.
fn meaning(error: JoinError, life: &Life) -> CallError {
    match error {
        JoinError::Panicked(payload) => CallError::Panicked(payload),
        JoinError::Cancelled => CallError::Cancelled,
        JoinError::Closed => life.ended(),
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, CallError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Running(handle, life) => {
                Pin::new(handle).poll(context).map(|result| result.map_err(|error| meaning(error, life)))
            }
            State::Refused(error) => Poll::Ready(Err(error.take().unwrap_or(CallError::Closed))),
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("finished", &self.is_finished()).finish()
    }
}

/// One call for each member: a future of all results, in the order of the members.
#[derive(Debug)]
#[must_use = "the results, and every error, are in it"]
pub struct Calls<T> {
    calls: Vec<Call<T>>,
    results: Vec<Option<Result<T, CallError>>>,
}

impl<T> Unpin for Calls<T> {}

impl<T> Calls<T> {
    pub(super) fn new(calls: Vec<Call<T>>) -> Calls<T> {
        let results = calls.iter().map(|_| None).collect();
        Calls { calls, results }
    }

    /// Blocks the calling thread until all have ended. Never call it on a member.
    pub fn join(self) -> Vec<Result<T, CallError>> {
        let polled = self.results.into_iter().zip(self.calls);
        polled.map(|(result, call)| result.unwrap_or_else(|| call.join())).collect()
    }
}

impl<T> Future for Calls<T> {
    type Output = Vec<Result<T, CallError>>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        for (call, result) in this.calls.iter_mut().zip(&mut this.results) {
            if result.is_none()
                && let Poll::Ready(ended) = Pin::new(call).poll(context)
            {
                *result = Some(ended);
            }
        }
        if this.results.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(this.results.drain(..).flatten().collect())
    }
}
