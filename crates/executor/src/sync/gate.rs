//! A gate: who is inside is waited for when it closes. For orderly ends.
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

#[derive(Debug, Default)]
struct Inner {
    inside: Cell<usize>,
    closed: Cell<bool>,
    waiters: Waiters,
}

impl Inner {
    fn wake_closers(&self) {
        while self.closed.get() && self.inside.get() == 0 && !self.waiters.is_empty() {
            if let Some(waker) = self.waiters.settle_first(Fate::Served) {
                wake_quietly(waker);
            }
        }
    }
}

/// Lets tasks of one thread in until it is closed, and closing waits until all have left. Clones share it.
///
/// ```
/// use ringwheel_executor::{Executor, spawn, sync::Gate, yield_now};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let gate = Gate::new();
///     let pass = gate.enter().unwrap();
///     spawn(async move {
///         yield_now().await; // a request, say
///         drop(pass);
///     });
///     gate.close().await; // it has ended now
///     assert!(gate.enter().is_err());
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Gate {
    inner: Rc<Inner>,
}

impl Gate {
    /// An open gate.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Goes in, until the pass is dropped.
    ///
    /// # Errors
    /// [`GateClosed`] once it is closed.
    pub fn enter(&self) -> Result<Pass, GateClosed> {
        if self.inner.closed.get() {
            return Err(GateClosed);
        }
        self.inner.inside.set(self.inner.inside.get() + 1);
        Ok(Pass { gate: self.inner.clone() })
    }

    /// Closes the gate, at once, and completes when nobody is inside any more. May be called again, by anyone.
    pub fn close(&self) -> GateClose {
        self.inner.closed.set(true);
        GateClose { gate: self.inner.clone(), ticket: None }
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.get()
    }

    /// How many are inside.
    pub fn inside(&self) -> usize {
        self.inner.inside.get()
    }
}

/// Being inside; dropping it leaves.
#[derive(Debug)]
#[must_use = "dropping it leaves the gate"]
pub struct Pass {
    gate: Rc<Inner>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.inside.set(self.gate.inside.get() - 1);
        self.gate.wake_closers();
    }
}

/// The future of [`Gate::close`]. Dropping it stops waiting; the gate stays closed.
#[derive(Debug)]
pub struct GateClose {
    gate: Rc<Inner>,
    ticket: Option<Ticket>,
}

impl Future for GateClose {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.gate.inside.get() == 0 {
            return Poll::Ready(()); // The ticket is given back by the destructor.
        }
        let waker = context.waker().clone();
        match &this.ticket {
            None => this.ticket = Some(this.gate.waiters.join(waker, 0)),
            Some(ticket) => {
                let (fate, former) = this.gate.waiters.look(ticket, waker);
                debug_assert_eq!(fate, Fate::Waiting, "whoever is served finds nobody inside");
                drop(former);
            }
        }
        Poll::Pending
    }
}

impl Drop for GateClose {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let (_, waker) = self.gate.waiters.leave(ticket);
            drop(waker);
        }
    }
}

/// The gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateClosed;

impl fmt::Display for GateClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR_RINGWHEEL_CLOSED: the gate is closed")
    }
}

impl std::error::Error for GateClosed {}
