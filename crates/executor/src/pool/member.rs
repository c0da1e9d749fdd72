//! One member's life: a pinned thread whose root task waits for an order; its death with a cause; its replacement.
//!
//! ```text
//!                start            order, panic, driver error                    replace
//!   Starting ──────────▶ Running ────────────────────────────▶ cause recorded ─────────▶ Starting …
//!                                                               │ then its tasks are dropped: callers hear `Died`
//!                                                               └────▶ Dead, or Closed with the pool
//! ```
use super::{Call, CallError, MemberStats, Pool, sharded};
use crate::{
    Remote, RunError, StartError, SubmitError,
    event::Event,
    placement::Seat,
    submit_to,
    thread::{ThreadOptions, start_with_end},
};
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

/// A life shorter than this is short; after so many short ones in a row a member stays dead.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const SHORT_LIVES_MAX: u32 = 8;

/// What a member's root task is told.
#[derive(Debug)]
pub(super) enum Order {
    /// The pool closes.
    Stop,
    /// [`super::PoolHandle::kill`].
    Die(String),
    /// A panic in the root task itself, for tests.
    #[cfg(test)]
    Panic,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) index: usize,
    pub(super) seat: Seat,
    state: Mutex<State>,
    /// Signalled when the phase changes.
    changed: Condvar,
    calls: AtomicU64,
    pending: AtomicUsize,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    replaced: u32,
    short_lives: u32,
    cause: Option<String>,
    note: Option<String>,
}

#[derive(Debug)]
enum Phase {
    /// The thread that starts it must never wait for it.
    Starting(ThreadId),
    Running {
        remote: Remote,
        life: Life,
        orders: Arc<Orders>,
        since: Instant,
    },
    Dead,
    Closed,
}

/// One life of a member as its callers know it: what it died of, once it has.
#[derive(Clone, Debug)]
pub(super) struct Life {
    member: usize,
    cause: Arc<OnceLock<String>>,
}

impl Life {
    /// Why a call was dropped with the member's tasks.
    pub(super) fn ended(&self) -> CallError {
        match self.cause.get() {
            Some(cause) => CallError::Died { member: self.member, cause: cause.clone() },
            None => CallError::Closed,
        }
    }
}

#[derive(Debug, Default)]
struct Orders {
    order: Mutex<Option<Order>>,
    given: Event,
}

impl Member {
    pub(super) fn new(index: usize, seat: Seat) -> Member {
        let phase = Phase::Starting(thread::current().id());
        Member {
            index,
            seat,
            state: Mutex::new(State { phase, replaced: 0, short_lives: 0, cause: None, note: None }),
            changed: Condvar::new(),
            calls: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::SeqCst)
    }

    /// Whether it takes calls, now or once it has been replaced.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state().phase, Phase::Running { .. } | Phase::Starting(_))
    }

    /// Gives its root task an order; the first one counts. False when it does not run.
    pub(super) fn order(&self, order: Order) -> bool {
        let orders = match &self.state().phase {
            Phase::Running { orders, .. } => Arc::clone(orders),
            Phase::Starting(_) | Phase::Dead | Phase::Closed => return false,
        };
        orders.order.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(order);
        orders.given.set();
        true
    }

    pub(super) fn stats(&self) -> MemberStats {
        let state = self.state();
        MemberStats {
            seat: self.seat.clone(),
            alive: matches!(state.phase, Phase::Running { .. }),
            calls: self.calls.load(Ordering::Relaxed),
            pending: self.pending(),
            replaced: state.replaced,
            cause: state.cause.clone(),
            note: state.note.clone(),
        }
    }

    /// Runs a future on this member.
    pub(super) fn call<M, F>(self: &Arc<Member>, pool: &Arc<Pool>, make: M) -> Call<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (remote, life) = match self.reach() {
            Ok(reached) => reached,
            Err(error) => return Call::refused(error),
        };
        let pending = Pending::begin(self, pool);
        // Looked at after it was counted: `close` sets the flag first and counts then.
        if pool.closing.load(Ordering::SeqCst) {
            return Call::refused(CallError::Closed);
        }
        let submitted = submit_to(&remote, move || {
            let future = make();
            async move {
                let _pending = pending;
                future.await
            }
        });
        match submitted {
            Ok(handle) => Call::running(handle, life),
            Err(SubmitError::Full(_)) => Call::refused(CallError::Full { member: self.index }),
            Err(SubmitError::Closed(_)) => Call::refused(life.ended()),
        }
    }

    /// Where its executor is; waits while another thread replaces it.
    fn reach(&self) -> Result<(Remote, Life), CallError> {
        let mut state = self.state();
        loop {
            match &state.phase {
                Phase::Running { remote, life, .. } => return Ok((remote.clone(), life.clone())),
                Phase::Starting(by) if *by != thread::current().id() => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                // A destructor of the dying member's tasks calls it, on the thread that replaces it next.
                Phase::Starting(_) | Phase::Dead => {
                    let cause = state.cause.clone().unwrap_or_default();
                    return Err(CallError::Died { member: self.index, cause });
                }
                Phase::Closed => return Err(CallError::Closed),
            }
        }
    }

    fn enter(&self, phase: Phase) {
        self.state().phase = phase;
        self.changed.notify_all();
    }
}

/// Counts a call that has not ended, from its submission to the drop of its future.
struct Pending {
    member: Arc<Member>,
    pool: Arc<Pool>,
}

impl Pending {
    fn begin(member: &Arc<Member>, pool: &Arc<Pool>) -> Pending {
        member.calls.fetch_add(1, Ordering::Relaxed);
        member.pending.fetch_add(1, Ordering::SeqCst);
        Pending { member: Arc::clone(member), pool: Arc::clone(pool) }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let last = self.member.pending.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.pool.closing.load(Ordering::SeqCst) {
            drop(self.pool.threads()); // `close` has yet to look at the counts, or waits already.
            self.pool.news.notify_all();
        }
    }
}

/// Starts a member's thread; it runs when this returns without an error.
pub(super) fn start(pool: &Arc<Pool>, member: &Arc<Member>) -> Result<(), StartError> {
    let options = ThreadOptions {
        seat: member.seat.clone(),
        name: Some(format!("{}-{}", pool.options.name.as_deref().unwrap_or("ringwheel"), member.index)),
        executor: pool.options.executor.clone(),
    };
    let make = {
        let (pool, member) = (Arc::clone(pool), Arc::clone(member));
        move || {
            let orders = Arc::new(Orders::default());
            let life = Life { member: member.index, cause: Arc::default() };
            let remote = Remote::current();
            let ran = remote.map(|remote| {
                sharded::enter(&pool, member.index);
                let orders = Arc::clone(&orders);
                member.enter(Phase::Running { remote, life, orders, since: Instant::now() });
            });
            if pool.closing.load(Ordering::SeqCst) {
                member.order(Order::Stop); // `close` may have looked before it ran.
            }
            async move {
                match ran {
                    Ok(()) => obey(&orders).await,
                    Err(error) => Some(error.to_string()),
                }
            }
        }
    };
    let ended = {
        let (pool, member) = (Arc::clone(pool), Arc::clone(member));
        move |result: Result<&Option<String>, &RunError>| {
            let cause = match result {
                Ok(cause) => cause.clone(),
                Err(RunError::Panicked(payload)) => Some(format!("its own loop panicked: {payload}")),
                Err(error) => Some(error.to_string()),
            };
            let replace = died(&pool, &member, cause);
            let parts = sharded::leave();
            // Their destructors are foreign code, and may still use the executor.
            drop(catch_unwind(AssertUnwindSafe(|| drop(parts))));
            move || {
                if replace && let Err(error) = start(&pool, &member) {
                    let mut state = member.state();
                    let before = state.cause.take().unwrap_or_default();
                    state.cause = Some(format!("{before}; its replacement did not start: {error}"));
                    drop(state);
                    member.enter(Phase::Dead);
                }
                *pool.threads() -= 1;
                pool.news.notify_all();
            }
        }
    };
    *pool.threads() += 1;
    match start_with_end(options, make, ended) {
        Ok(thread) => {
            member.state().note = thread.note().map(str::to_owned);
            // Not joined but counted in `threads`: who starts it may be the thread of the member that it replaces.
            drop(thread);
            Ok(())
        }
        Err(error) => {
            *pool.threads() -= 1;
            Err(error)
        }
    }
}

/// The root task: waits for an order. What the member died of, or `None` when the pool stopped it.
async fn obey(orders: &Orders) -> Option<String> {
    orders.given.wait().await;
    match orders.order.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(Order::Stop) | None => None,
        Some(Order::Die(reason)) => Some(reason),
        #[cfg(test)]
        Some(Order::Panic) => panic!("expected: the loop"),
    }
}

/// Records what a member died of, before its tasks are dropped and their callers ask. True when it is to be replaced.
fn died(pool: &Pool, member: &Member, cause: Option<String>) -> bool {
    let Some(mut cause) = cause else {
        member.enter(Phase::Closed);
        return false;
    };
    let mut state = member.state();
    let mut replace = pool.options.replace && !pool.closing.load(Ordering::SeqCst);
    if let Phase::Running { since, .. } = &state.phase {
        state.short_lives = if since.elapsed() < SHORT_LIFE { state.short_lives + 1 } else { 0 };
    }
    if replace && state.short_lives >= SHORT_LIVES_MAX {
        replace = false;
        cause.push_str(&format!(
            "; it died {SHORT_LIVES_MAX} times within a second of its start and stays dead"
        ));
    }
    if let Phase::Running { life, .. } = &state.phase {
        let _ = life.cause.set(cause.clone()); // The only time in this life.
    }
    state.cause = Some(cause);
    state.replaced += u32::from(replace);
    state.phase = if replace { Phase::Starting(thread::current().id()) } else { Phase::Dead };
    drop(state);
    member.changed.notify_all();
    replace
}
