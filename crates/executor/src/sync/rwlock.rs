//! A read-write lock of one thread whose guards may be held across awaits.
use super::semaphore::{Permits, SemaphoreClosed};
use super::waiters::Ticket;
use std::{
    cell::{Ref, RefCell, RefMut},
    fmt,
    future::poll_fn,
    ops::{Deref, DerefMut},
};

/// What a writer takes: all that readers could.
const ALL: usize = usize::MAX >> 1;

/// A value that many tasks of one thread read, or one writes. Guards may be held across awaits, which a `RefCell`'s may not.
///
/// In the order of asking: a writer that waits lets no later reader pass, and readers beside each other go in together.
/// Taking a lock twice in one task waits for itself, for ever.
///
/// ```
/// use ringwheel_executor::{Executor, sync::RwLock, yield_now};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let table = RwLock::new(vec![1, 2]);
///     {
///         let mut table = table.write().await;
///         yield_now().await;
///         table.push(3);
///     }
///     assert_eq!(table.read().await.len(), 3);
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RwLock<T> {
    permits: Permits,
    /// Never borrowed against the permits, which say who may: its check is a second lock on the same door.
    value: RefCell<T>,
}

/// Waits for permits; gives them on when it is dropped in between.
struct Taking<'a> {
    from: &'a Permits,
    want: usize,
    ticket: Option<Ticket>,
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.from.leave(self.ticket.take(), self.want);
    }
}

/// Permits that are out.
struct Held<'a> {
    from: &'a Permits,
    count: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.from.give(self.count);
    }
}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    pub fn new(value: T) -> RwLock<T> {
        RwLock { permits: Permits::new(ALL), value: RefCell::new(value) }
    }

    async fn take(&self, want: usize) -> Held<'_> {
        let mut taking = Taking { from: &self.permits, want, ticket: None };
        let taken = poll_fn(|context| taking.from.poll_take(&mut taking.ticket, want, context)).await;
        debug_assert_ne!(taken, Err(SemaphoreClosed), "nobody closes a lock");
        Held { from: &self.permits, count: want }
    }

    /// Waits until nobody writes. Dropping the future stops waiting.
    pub async fn read(&self) -> ReadGuard<'_, T> {
        let held = self.take(1).await;
        ReadGuard { value: self.value.borrow(), _held: held }
    }

    /// Waits until nobody reads or writes. Dropping the future stops waiting.
    pub async fn write(&self) -> WriteGuard<'_, T> {
        let held = self.take(ALL).await;
        WriteGuard { value: self.value.borrow_mut(), _held: held }
    }

    /// Reads now; `None` when somebody writes or waits.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        self.permits.try_take(1).ok()?;
        Some(ReadGuard { value: self.value.borrow(), _held: Held { from: &self.permits, count: 1 } })
    }

    /// Writes now; `None` when somebody reads, writes or waits.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        self.permits.try_take(ALL).ok()?;
        Some(WriteGuard { value: self.value.borrow_mut(), _held: Held { from: &self.permits, count: ALL } })
    }

    /// The value, as there is only one who could have the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").field("value", &self.value).finish()
    }
}

/// Reading; ends when it is dropped.
pub struct ReadGuard<'a, T> {
    // In this order: the borrow ends before the next one is let in.
    value: Ref<'a, T>,
    _held: Held<'a>,
}

/// Writing; ends when it is dropped.
pub struct WriteGuard<'a, T> {
    value: RefMut<'a, T>,
    _held: Held<'a>,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for ReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for WriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
