//! A fair counting semaphore of one thread; the read-write lock and the local channels are made of it.
use super::waiters::{Fate, Ticket, Waiters};
use crate::task::wake_quietly;
use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// The semaphore without its handles.
#[derive(Debug)]
pub(crate) struct Permits {
    free: Cell<usize>,
    closed: Cell<bool>,
    waiters: Waiters,
}

impl Permits {
    pub(crate) fn new(free: usize) -> Permits {
        Permits { free: Cell::new(free), closed: Cell::new(false), waiters: Waiters::default() }
    }

    pub(crate) fn free(&self) -> usize {
        self.free.get()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Takes `want` if they are free and nobody waits.
    pub(crate) fn try_take(&self, want: usize) -> Result<(), TryAcquireError> {
        if self.closed.get() {
            return Err(TryAcquireError::Closed);
        }
        if !self.waiters.is_empty() || self.free.get() < want {
            return Err(TryAcquireError::NoPermits);
        }
        self.free.set(self.free.get() - want);
        Ok(())
    }

    /// Takes what is left of closed permits.
    pub(crate) fn take_of_closed(&self, want: usize) -> bool {
        let free = self.free.get();
        self.closed.get() && free >= want && {
            self.free.set(free - want);
            true
        }
    }

    pub(crate) fn poll_take(
        &self,
        ticket: &mut Option<Ticket>,
        want: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), SemaphoreClosed>> {
        let Some(waiting) = ticket else {
            return match self.try_take(want) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(TryAcquireError::Closed) => Poll::Ready(Err(SemaphoreClosed)),
                Err(TryAcquireError::NoPermits) => {
                    *ticket = Some(self.waiters.join(context.waker().clone(), want));
                    Poll::Pending
                }
            };
        };
        let (fate, waker) = self.waiters.look(waiting, context.waker().clone());
        if fate != Fate::Waiting {
            *ticket = None;
        }
        drop(waker); // Foreign code, perhaps, with everything in order.
        match fate {
            Fate::Waiting => Poll::Pending,
            Fate::Served => Poll::Ready(Ok(())),
            Fate::Refused => Poll::Ready(Err(SemaphoreClosed)),
        }
    }

    /// A future that waits goes away: what it had been given goes to the next.
    pub(crate) fn leave(&self, ticket: Option<Ticket>, want: usize) {
        let Some(ticket) = ticket else { return };
        let (fate, waker) = self.waiters.leave(ticket);
        self.give(if fate == Fate::Served { want } else { 0 }); // It may have been first, and the next wants less.
        drop(waker);
    }

    /// Gives permits back, or adds new ones, and serves those who waited for them.
    pub(crate) fn give(&self, count: usize) {
        self.free.set(self.free.get().saturating_add(count));
        while let Some(want) = self.waiters.first_wants() {
            if self.free.get() < want {
                return;
            }
            self.free.set(self.free.get() - want);
            if let Some(waker) = self.waiters.settle_first(Fate::Served) {
                wake_quietly(waker);
            }
        }
    }

    /// Refuses all who wait and who come.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        while !self.waiters.is_empty() {
            if let Some(waker) = self.waiters.settle_first(Fate::Refused) {
                wake_quietly(waker);
            }
        }
    }
}

/// A number of permits that tasks of one thread take and give back. Clones share it.
///
/// First come, first served, also when a later one wants less. A permit gives itself back when it is dropped.
///
/// ```
/// use ringwheel_executor::{Executor, spawn, sync::Semaphore, yield_now};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let connections = Semaphore::new(2);
///     let tasks = [(); 4].map(|()| {
///         let connections = connections.clone();
///         spawn(async move {
///             let _permit = connections.acquire(1).await?;
///             yield_now().await; // at most two are here at once
///             Ok::<_, ringwheel_executor::sync::SemaphoreClosed>(())
///         })
///     });
///     for task in tasks {
///         task.await??;
///     }
///     Ok::<(), Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    permits: Rc<Permits>,
}

impl Semaphore {
    /// A semaphore with that many permits.
    pub fn new(permits: usize) -> Semaphore {
        Semaphore { permits: Rc::new(Permits::new(permits)) }
    }

    /// Waits for `permits` of them and takes them all at once. Wanting more than there will ever be waits until
    /// [`Semaphore::close`]. Dropping the future stops waiting.
    ///
    /// # Errors
    /// [`SemaphoreClosed`] when the semaphore is closed first.
    pub fn acquire(&self, permits: usize) -> Acquire {
        Acquire { from: self.permits.clone(), want: permits, ticket: None }
    }

    /// Takes `permits` of them now.
    ///
    /// # Errors
    /// [`TryAcquireError::NoPermits`] when there are fewer, or others wait already.
    pub fn try_acquire(&self, permits: usize) -> Result<Permit, TryAcquireError> {
        self.permits.try_take(permits)?;
        Ok(Permit { from: self.permits.clone(), count: permits })
    }

    /// Adds permits.
    pub fn add(&self, permits: usize) {
        self.permits.give(permits);
    }

    /// Permits that are free now.
    pub fn available(&self) -> usize {
        self.permits.free()
    }

    /// Ends all waiting, now and later, with [`SemaphoreClosed`]. Permits that are out stay valid.
    pub fn close(&self) {
        self.permits.close();
    }
}

/// The future of [`Semaphore::acquire`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Acquire {
    from: Rc<Permits>,
    want: usize,
    ticket: Option<Ticket>,
}

impl Future for Acquire {
    type Output = Result<Permit, SemaphoreClosed>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.from
            .poll_take(&mut this.ticket, this.want, context)
            .map(|taken| taken.map(|()| Permit { from: this.from.clone(), count: this.want }))
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        self.from.leave(self.ticket.take(), self.want);
    }
}

/// Permits that were taken; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping it gives the permits back"]
pub struct Permit {
    from: Rc<Permits>,
    count: usize,
}

impl Permit {
    /// How many.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits for good.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.from.give(self.count);
    }
}

/// The semaphore, or what is made of it, was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreClosed;

impl fmt::Display for SemaphoreClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR_RINGWHEEL_CLOSED: the semaphore is closed")
    }
}

impl std::error::Error for SemaphoreClosed {}

/// Why [`Semaphore::try_acquire`] took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// There are fewer than that, or others wait already.
    NoPermits,
    /// The semaphore is closed.
    Closed,
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryAcquireError::NoPermits => {
                "ERR_RINGWHEEL_FULL: too few permits are free; await acquire instead"
            }
            TryAcquireError::Closed => "ERR_RINGWHEEL_CLOSED: the semaphore is closed",
        })
    }
}

impl std::error::Error for TryAcquireError {}
