//! One turn, in six named and bounded steps, and the embedded client's part in it.
//!
//! ```text
//!  1 remote       wakes and calls of other threads   ≤ one ring, or one scan; one inbox
//!  2 commands     the client hands in its own        bounded by the client
//!  3 timers       expired ones wake their tasks      ≤ timers_max
//!  4 tasks        ready ones are polled              ≤ polls_max; with several queues ≤ the quota too (task/fair.rs)
//!  5 submit       one system call for all that was staged; a native host blocks in it when nothing is ready
//!  6 completions  reaped, their tasks woken          ≤ completions_max
//! ```
//!
//! What a bound leaves over is done in the next turn, which then does not sleep. Tasks woken in step 6 run in the next turn's
//! step 4, so that their submits leave with one system call.
use crate::{
    core::{Core, add},
    current,
    remote::{self, SELF_SLOT},
    task::{self, Payload},
    timers::Fired,
    waker_ring::WakerRing,
};
use ringwheel_driver::{Completion, Driver, Errno, Wait};
use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, Instant},
};

/// The bit that marks a token as the client's. All other tokens are the executor's own.
pub const CLIENT_TOKEN: u64 = 1 << 63;

/// The embedded side of a turn (the JavaScript commands). A panic in one of these is caught and reported in
/// [`Turn::panic`]. None of them may call into the executor that runs the turn, except through `Edge`.
pub trait Client {
    /// Step 2: hands in commands, a bounded number. True when more are waiting already.
    fn commands(&mut self, edge: &mut Edge<'_>) -> bool;
    /// Step 6: a completion whose token has [`CLIENT_TOKEN`] set. The driver is in use: what to submit next waits for
    /// `commands`.
    fn completion(&mut self, completion: Completion);
}

/// The client of a native executor: has no commands.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoClient;

impl Client for NoClient {
    fn commands(&mut self, _edge: &mut Edge<'_>) -> bool {
        false
    }
    fn completion(&mut self, _completion: Completion) {}
}

/// What to do when a turn finds no more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Park {
    /// Return; another turn follows before anyone sleeps.
    No,
    /// Return; the host sleeps on `host_fd` and the next deadline. Wakes from other threads make `host_fd` readable.
    Host,
    /// Block the thread in the driver until a completion, a wake or the next deadline; not in a turn that has something to tell before that:
    /// a call, a timer of the client's, its panic.
    Thread,
}

/// What a turn left behind.
#[derive(Debug, Default)]
pub struct Turn {
    /// There is more to do now: call again without sleeping.
    pub ready: bool,
    /// When the next timer may be due: the host arms its one timer for it. Never late; at times early, when the wheel has to
    /// move timers between its levels.
    pub next_deadline: Option<Instant>,
    /// Client completions handed over in this turn.
    pub client_completions: u32,
    /// Another thread has woken the executor itself, not one of its tasks: [`crate::ExecutorWaker::wake`], or a call.
    pub called: bool,
    /// The driver's system call failed: nothing will complete any more; shut down.
    pub driver_error: Option<Errno>,
    /// A client callback panicked: the payload of the first that did. The turn went on.
    pub panic: Option<Box<dyn Any + Send>>,
}

/// The driver and the wheel, lent to the client.
pub struct Edge<'a> {
    /// The driver. Tokens must have [`CLIENT_TOKEN`] set: others are the executor's, and their completions are dropped.
    pub driver: &'a mut Driver,
    core: &'a Core,
}

impl fmt::Debug for Edge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").field("driver", &self.driver).finish_non_exhaustive()
    }
}

impl Edge<'_> {
    /// Now, read once per turn.
    pub fn now(&mut self) -> Instant {
        self.core.now()
    }
}

impl Core {
    /// The driver and the wheel between turns.
    pub(crate) fn edge<R>(&self, work: impl FnOnce(&mut Edge<'_>) -> R) -> Option<R> {
        let mut driver = self.driver.try_borrow_mut().ok()?;
        Some(work(&mut Edge { driver: driver.as_mut()?, core: self }))
    }

    /// One turn. `enough` is asked before the thread blocks: true when the caller has what it waits for.
    pub(crate) fn turn<C: Client>(
        self: &Rc<Core>,
        client: &mut C,
        park: Park,
        enough: impl Fn(&Turn) -> bool,
    ) -> Turn {
        let _entered = current::enter(self);
        let mut turn = Turn::default();
        let heart = self.heart.get().filter(|_| park == Park::Thread);
        if let Some(heart) = heart {
            heart.busy();
        }
        add(&self.counts.turns, 1);
        self.forget_now();
        self.submits_soon.set(true);
        self.step_remote();
        turn.called = self.called.get();
        if turn.called {
            self.step_calls();
        }
        let more_commands = self.step_commands(client, &mut turn);
        self.step_timers(&mut turn);
        self.step_tasks();
        self.tell_others();
        let busy = more_commands || enough(&turn) || self.has_calls();
        self.step_submit(park, busy, &mut turn);
        self.step_completions(client, &mut turn);
        turn.next_deadline = self.timers.borrow().next_deadline();
        turn.ready |= more_commands || self.tasks.is_ready() || self.has_calls();
        match &*self.registration.borrow() {
            Some(registration) if park == Park::Host && !turn.ready => {
                turn.ready = self.has_staged() || self.listen(registration.ring()) || {
                    add(&self.counts.parks, 1);
                    !registration.ring().prepare_park()
                };
            }
            Some(registration) => turn.ready |= !registration.ring().is_empty(),
            None => turn.ready = false,
        }
        if let Some(heart) = heart {
            heart.idle();
        }
        turn
    }

    fn step_remote(&self) {
        let ring = match &*self.registration.borrow() {
            Some(registration) => registration.ring(),
            None => return,
        };
        ring.unpark();
        if let Some(preempt) = self.made_preempt() {
            preempt.messages_seen();
        }
        if !ring.is_empty() {
            self.drain_wakes(ring);
        }
    }

    fn drain_wakes(&self, ring: &WakerRing) {
        let (wakes, scanned) = ring.drain(|slot| match slot {
            SELF_SLOT => {
                self.called.set(true);
                self.spin.hear();
            }
            slot => self.tasks.wake_slot(slot),
        });
        add(&self.counts.remote_wakes, wakes);
        add(&self.counts.remote_scans, u64::from(scanned));
    }

    /// Makes tasks of what other threads want run here. Leaves the rest for when there is room for more tasks.
    #[cold]
    fn step_calls(&self) {
        let mut calls = self.calls.take();
        // A producer that holds the lock right now is waited for in the next turn, not here.
        let again = !calls.is_empty() || !self.inbox.take(&mut calls);
        while let Some(call) = calls.pop_front() {
            if let Err(call) = call.start(&self.tasks) {
                calls.push_front(call);
                break;
            }
        }
        self.called.set(again || !calls.is_empty());
        self.calls.set(calls);
    }

    /// True when the next turn can make tasks of calls: then it must not sleep.
    fn has_calls(&self) -> bool {
        self.called.get() && self.tasks.has_room()
    }

    fn step_commands(&self, client: &mut impl Client, turn: &mut Turn) -> bool {
        let mut driver = self.driver.borrow_mut();
        let Some(driver) = &mut *driver else { return false };
        let mut edge = Edge { driver, core: self };
        self.call(turn, || client.commands(&mut edge)).unwrap_or(false)
    }

    /// Runs a client's code; its panic ends up in the turn.
    fn call<R>(&self, turn: &mut Turn, work: impl FnOnce() -> R) -> Option<R> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|payload| self.note_panic(turn, payload)).ok()
    }

    #[cold]
    fn note_panic(&self, turn: &mut Turn, payload: Payload) {
        add(&self.tasks.panics, 1);
        if turn.panic.is_none() {
            turn.panic = Some(payload);
        } else {
            self.tasks.guarded(|| drop(payload));
        }
    }

    fn step_timers(&self, turn: &mut Turn) {
        if self.timers.borrow().len() == 0 {
            return;
        }
        let mut fired = self.fired.take();
        self.timers.borrow_mut().expire(self.now(), self.bounds.timers_max, &mut fired);
        add(&self.counts.timers_fired, fired.len() as u64);
        turn.ready |= fired.len() >= self.bounds.timers_max;
        for fired in fired.drain(..) {
            match fired {
                Fired::Task(handle) if remote::belongs_to(handle, self.tasks.executor()) => {
                    self.tasks.wake(handle)
                }
                Fired::Task(handle) => task::wake_handle(handle),
                Fired::Foreign(waker) => self.tasks.wake_any(waker),
            }
        }
        self.fired.set(fired);
    }

    fn step_submit(&self, park: Park, busy: bool, turn: &mut Turn) {
        self.submits_soon.set(false);
        let mut borrowed = self.driver.borrow_mut();
        let Some(driver) = &mut *borrowed else { return };
        for handle in self.outgoing.borrow_mut().drain(..) {
            if let Some(bell) = remote::must_ring(handle) {
                driver.wake_other(&bell);
            }
        }
        let registration = self.registration.borrow();
        let Some(ring) = registration.as_ref().map(|registration| registration.ring()) else { return };
        let idle = !busy && !turn.ready && !self.tasks.is_ready() && !driver.has_completions();
        let mut entered = Ok(());
        // Looking for work and sleeping are no stall.
        let heart = self.heart.get().filter(|_| park == Park::Thread && idle);
        if let Some(heart) = heart {
            heart.idle();
        }
        if park == Park::Thread
            && idle
            && !self.spin(driver, ring, &mut entered)
            && entered.is_ok()
            && ring.prepare_park()
        {
            add(&self.counts.parks, 1);
            entered = driver.enter(self.wait());
            ring.unpark();
            self.forget_now();
            self.spin.slept();
        } else if entered.is_ok() && (driver.has_staged() || driver.in_flight() > 0) {
            entered = driver.enter(Wait::No);
        }
        if let Some(heart) = heart {
            heart.busy();
        }
        turn.driver_error = entered.err();
    }

    /// How long the thread may block.
    fn wait(&self) -> Wait {
        match self.timers.borrow().next_deadline() {
            None => Wait::Forever,
            // The tasks of this turn have taken their time: an old clock would sleep too long.
            Some(deadline) => match deadline.saturating_duration_since(self.read_now()) {
                Duration::ZERO => Wait::No,
                left => Wait::For(left),
            },
        }
    }

    /// Looks for work for a while before the thread blocks. True when there is some.
    fn spin(&self, driver: &mut Driver, ring: &WakerRing, entered: &mut Result<(), Errno>) -> bool {
        let next = || self.timers.borrow().next_deadline();
        let found = self.spin.look(next, || {
            *entered = driver.enter(Wait::No);
            entered.is_err() || driver.has_completions() || !ring.is_empty()
        });
        if self.spin.is_on() {
            self.forget_now();
        }
        found
    }

    /// Completions may have staged work: a FIFO's open that now waits, a retry. A thread that parks submits it on the way; an event loop
    /// would sleep with it in our hands.
    fn has_staged(&self) -> bool {
        self.driver.borrow().as_ref().is_some_and(Driver::has_staged)
    }

    /// An event loop's thread that another one has called looks for its next call before it sleeps: being woken costs both of them more
    /// than that. Not after a time without one, so a loop that nobody calls never spins.
    fn listen(&self, ring: &WakerRing) -> bool {
        self.spin.hears() && self.spin.look(|| self.timers.borrow().next_deadline(), || !ring.is_empty())
    }

    fn step_completions(&self, client: &mut impl Client, turn: &mut Turn) {
        let max = self.bounds.completions_max;
        let (mut reaped, mut clients) = (0, 0);
        if let Some(driver) = &mut *self.driver.borrow_mut() {
            loop {
                let left = max - reaped;
                // One for all of them, so that a completion is made where it is used. A client's panic comes between two of them, when
                // the driver is done with the first: the others follow.
                let whole = catch_unwind(AssertUnwindSafe(|| {
                    driver.reap(left, |completion| {
                        reaped += 1;
                        if completion.token & CLIENT_TOKEN == 0 {
                            return self.settle(completion);
                        }
                        clients += 1;
                        client.completion(completion);
                    })
                }));
                match whole {
                    Ok(_) => break,
                    Err(payload) => self.note_panic(turn, payload),
                }
            }
            turn.ready |= reaped >= max && driver.has_completions();
        }
        turn.client_completions += clients;
        self.run_deferred();
        self.wake_waiting_for_room(reaped);
    }
}
