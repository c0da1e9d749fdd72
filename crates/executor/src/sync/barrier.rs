//! A barrier: a number of tasks wait for each other, again and again.
use super::waiters::{Fate, Ticket, Waiters};
use crate::task::wake_quietly;
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

#[derive(Debug)]
struct Inner {
    size: usize,
    here: Cell<usize>,
    waiters: Waiters,
}

/// Lets tasks of one thread go on when as many as it is for have come. Then it starts anew. Clones share it.
///
/// ```
/// use ringwheel_executor::{Executor, spawn, sync::Barrier};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let barrier = Barrier::new(2);
///     let other = barrier.clone();
///     let task = spawn(async move { other.wait().await });
///     let last = barrier.wait().await;
///     assert_ne!(last, task.await.unwrap(), "exactly one was the last to come");
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    inner: Rc<Inner>,
}

impl Barrier {
    /// A barrier for `size` tasks; 0 is taken for 1.
    pub fn new(size: usize) -> Barrier {
        let inner = Inner { size: size.max(1), here: Cell::new(0), waiters: Waiters::default() };
        Barrier { inner: Rc::new(inner) }
    }

    /// Waits until all are here. True for the last to come. Dropping the future takes one away again, unless all were here.
    pub fn wait(&self) -> BarrierWait {
        BarrierWait { barrier: self.inner.clone(), ticket: None }
    }
}

/// The future of [`Barrier::wait`]: counted from its first poll on.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct BarrierWait {
    barrier: Rc<Inner>,
    ticket: Option<Ticket>,
}

impl Future for BarrierWait {
    type Output = bool;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let this = &mut *self;
        let barrier = &this.barrier;
        let waker = context.waker().clone();
        if let Some(ticket) = &this.ticket {
            let (fate, former) = barrier.waiters.look(ticket, waker);
            if fate != Fate::Waiting {
                this.ticket = None;
            }
            drop(former);
            return if fate == Fate::Waiting { Poll::Pending } else { Poll::Ready(false) };
        }
        let here = barrier.here.get() + 1;
        if here < barrier.size {
            barrier.here.set(here);
            this.ticket = Some(barrier.waiters.join(waker, 0));
            return Poll::Pending;
        }
        barrier.here.set(0);
        // As many as wait now: who comes while they are woken is the next round's.
        for _ in 1..here {
            if let Some(waker) = barrier.waiters.settle_first(Fate::Served) {
                wake_quietly(waker);
            }
        }
        Poll::Ready(true)
    }
}

impl Drop for BarrierWait {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let (fate, waker) = self.barrier.waiters.leave(ticket);
        if fate == Fate::Waiting {
            self.barrier.here.set(self.barrier.here.get() - 1);
        }
        drop(waker);
    }
}
