//! Errors of the executor: why it did not start, why a run ended early, what became of a task.
use ringwheel_driver::Errno;
use std::{
    any::Any,
    fmt, io,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What a panic was raised with. `Send + Sync`, so that the errors that have one are at home in `Box<dyn Error + Send + Sync>` and in
/// what is built on it. It prints as its text.
///
/// ```
/// use ringwheel_executor::{Executor, JoinError, spawn};
///
/// let mut executor = Executor::start(Default::default())?;
/// let failed = executor.run(async { spawn(async { panic!("expected") }).await })?;
/// let error: Box<dyn std::error::Error + Send + Sync> = failed.unwrap_err().into();
/// assert_eq!(error.to_string(), "ERR_RINGWHEEL_PANIC: expected");
///
/// if let Ok(JoinError::Panicked(payload)) = error.downcast::<JoinError>().map(|error| *error) {
///     assert_eq!(payload.into_inner().downcast_ref::<&str>(), Some(&"expected")); // or resume_unwind
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PanicPayload(Mutex<Box<dyn Any + Send>>); // never contended: the mutex is what makes it `Sync` without unsafe

impl PanicPayload {
    /// The payload itself, as `catch_unwind` gives it and `resume_unwind` takes it.
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Box<dyn Any + Send>> for PanicPayload {
    fn from(payload: Box<dyn Any + Send>) -> Self {
        PanicPayload(Mutex::new(payload))
    }
}

impl fmt::Display for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(panic_text(&**self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why an executor did not start. Every message says what to change.
///
/// ```
/// use ringwheel_executor::{Executor, Options, StartError};
///
/// let error = Executor::start(Options { polls_max: 0, ..Default::default() }).unwrap_err();
/// assert!(matches!(error, StartError::Option(_)));
/// assert_eq!(error.to_string(), "ERR_RINGWHEEL_INVALID_OPTION: polls_max is 0; it must be in 1..=65536");
/// ```
#[derive(Debug)]
pub enum StartError {
    /// The driver did not start: no io_uring although insisted on, an option out of range, no memory.
    Driver(ringwheel_driver::StartError),
    /// An option of the executor is out of range: its name, the value, the allowed range.
    Option(String),
    /// The thread could not be made or pinned.
    Thread(io::Error),
    /// As many executors live in this process as it has room for.
    TooMany {
        /// That number.
        max: usize,
    },
    /// The thread's own start function panicked before its future existed.
    Panicked(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Driver(error) => write!(f, "ERR_RINGWHEEL_DRIVER: {error}"),
            StartError::Option(text) => write!(f, "ERR_RINGWHEEL_INVALID_OPTION: {text}"),
            StartError::Thread(error) => {
                write!(f, "ERR_RINGWHEEL_THREAD: the executor's thread did not start: {error}")
            }
            StartError::TooMany { max } => write!(
                f,
                "ERR_RINGWHEEL_TOO_MANY_EXECUTORS: {max} executors are alive, the most of one process; shut one down first"
            ),
            StartError::Panicked(text) => {
                write!(f, "ERR_RINGWHEEL_PANIC: the start function panicked: {text}")
            }
        }
    }
}

impl std::error::Error for StartError {}

impl From<ringwheel_driver::StartError> for StartError {
    fn from(error: ringwheel_driver::StartError) -> Self {
        StartError::Driver(error)
    }
}

/// Why [`crate::Executor::run`] gave no value. The future has been dropped in every case.
///
/// ```
/// use ringwheel_executor::{Executor, RunError};
///
/// let mut executor = Executor::start(Default::default())?;
/// let failed = executor.run(async { panic!("so it is said") });
/// assert!(matches!(failed, Err(RunError::Panicked(_))));
/// assert_eq!(executor.run(async { 42 })?, 42); // it lives on
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub enum RunError {
    /// The future panicked: its payload. The executor lives on.
    Panicked(PanicPayload),
    /// The kernel refused the driver's system call, so nothing can complete any more.
    Driver(Errno),
    /// The executor was shut down, or `run` was called from inside one of its own turns.
    Closed,
    /// The executor already holds as many tasks as it has room for.
    Full,
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Panicked(payload) => write!(f, "ERR_RINGWHEEL_PANIC: {payload}"),
            RunError::Driver(errno) => {
                write!(f, "ERR_RINGWHEEL_DRIVER: {errno}")
            }
            RunError::Closed => {
                write!(f, "ERR_RINGWHEEL_CLOSED: the executor is shut down or already in a turn")
            }
            RunError::Full => write!(f, "ERR_RINGWHEEL_FULL: no room for one more task"),
        }
    }
}

impl std::error::Error for RunError {}

/// Why a task gave no value.
///
/// ```
/// use ringwheel_executor::{Executor, JoinError, spawn};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let task = spawn(std::future::pending::<()>());
///     task.cancel();
///     assert!(matches!(task.await, Err(JoinError::Cancelled)));
///     assert!(matches!(spawn(async { panic!("so it is said") }).await, Err(JoinError::Panicked(_))));
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub enum JoinError {
    /// It was cancelled through its handle.
    Cancelled,
    /// It, or its destructor, panicked: the payload.
    Panicked(PanicPayload),
    /// Its executor shut down first.
    Closed,
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Cancelled => write!(f, "ERR_RINGWHEEL_CANCELLED: the task was cancelled"),
            JoinError::Panicked(payload) => write!(f, "ERR_RINGWHEEL_PANIC: {payload}"),
            JoinError::Closed => write!(f, "ERR_RINGWHEEL_CLOSED: the task's executor has shut down"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Why a task was not spawned. The future was dropped.
///
/// ```
/// use ringwheel_executor::{Executor, Options, SpawnError, spawn, try_spawn};
///
/// let mut executor = Executor::start(Options { tasks_max: 2, ..Default::default() })?;
/// executor.run(async {
///     let second = spawn(std::future::pending::<()>()); // the first is this one
///     assert_eq!(try_spawn(async {}).err(), Some(SpawnError::Full));
///     drop(second);
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnError {
    /// No executor is running on this thread: call it from inside `run`, a task, or a turn.
    NoExecutor,
    /// The executor is shutting down.
    Closed,
    /// The executor already holds as many tasks as it has room for.
    Full,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpawnError::NoExecutor => {
                "ERR_RINGWHEEL_NO_EXECUTOR: no executor runs on this thread; call this from inside Executor::run or a task"
            }
            SpawnError::Closed => "ERR_RINGWHEEL_CLOSED: the executor is shutting down",
            SpawnError::Full => "ERR_RINGWHEEL_FULL: the executor holds as many tasks as it can; wait for some to end",
        })
    }
}

impl std::error::Error for SpawnError {}

impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> Self {
        io::Error::other(error)
    }
}

/// Why a queue was not made, changed or given a task.
///
/// ```
/// use ringwheel_executor::{Executor, QueueError, QueueOptions, TaskQueue};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let error = TaskQueue::new(QueueOptions { shares: 0, ..Default::default() }).unwrap_err();
///     assert_eq!(error, QueueError::Shares(0));
///     assert_eq!(error.to_string(), "ERR_RINGWHEEL_INVALID_OPTION: shares is 0; it must be in 1..=1000");
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// The executor that the queue belongs to is not running on this thread.
    Elsewhere,
    /// The queue was removed.
    Removed,
    /// As many queues as an executor has room for are there.
    TooMany {
        /// That number, the default queue included.
        max: usize,
    },
    /// The default queue cannot be removed.
    Default,
    /// Shares out of range: the value.
    Shares(u32),
    /// A latency bound out of range: the value.
    Latency(Duration),
    /// No executor is running on this thread, or it does not take the task.
    Spawn(SpawnError),
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueError::Elsewhere => f.write_str(
                "ERR_RINGWHEEL_WRONG_EXECUTOR: the queue belongs to an executor that does not run on this thread; use it inside of its own",
            ),
            QueueError::Removed => {
                f.write_str("ERR_RINGWHEEL_QUEUE_REMOVED: the queue was removed; make a new one with TaskQueue::new")
            }
            QueueError::TooMany { max } => write!(
                f,
                "ERR_RINGWHEEL_TOO_MANY_QUEUES: the executor has {max} queues, the most of one; remove one first"
            ),
            QueueError::Default => f.write_str(
                "ERR_RINGWHEEL_DEFAULT_QUEUE: the default queue cannot be removed; shut the executor down instead",
            ),
            QueueError::Shares(shares) => {
                write!(f, "ERR_RINGWHEEL_INVALID_OPTION: shares is {shares}; it must be in 1..=1000")
            }
            QueueError::Latency(bound) => write!(
                f,
                "ERR_RINGWHEEL_INVALID_OPTION: the latency bound is {bound:?}; it must be in 100µs..=10s, or Latency::NotImportant"
            ),
            QueueError::Spawn(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QueueError {}

impl From<SpawnError> for QueueError {
    fn from(error: SpawnError) -> Self {
        QueueError::Spawn(error)
    }
}

/// The text of a panic payload, for messages.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "a panic whose payload is not text",
    }
}
