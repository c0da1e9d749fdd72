//! The embedded host: libuv's callbacks on one side, the executor's turns on the other. One per environment (INV-9).
//!
//! ```text
//!   prepare   turn: commands in, timers, submit, reap what is ready ── idle on if JavaScript has completions to read
//!   (epoll)   sleeps until the driver's descriptor, the alarm of the next timer, or anything else of Node's
//!   check     turn, one call into JavaScript, slices of task queues, and again while it wrote more: a bounded number of rounds
//!             per loop iteration
//! ```
use crate::{
    env::CleanupHook,
    error::{closed, coded},
    shared::ArenaView,
    stalls::Stalls,
    uv::{Handles, Watcher},
    values::{self, Reference},
};
use napi::{Result, sys};
use ringwheel_driver::preempt::{Preempt, now_ns};
use ringwheel_executor::{Edge, Executor, Park, ShutdownReport, Turn, bridge::Bridge};
use std::{
    any::Any,
    cell::{Cell, RefCell},
    rc::Rc,
    sync::atomic::AtomicU32,
    time::{Duration, Instant},
};

/// Rounds of turn and call in one loop iteration: each spares an epoll_wait, the bound keeps Node's own I/O from starving.
const ROUNDS_MAX: u32 = 16;

/// The same bound as time: a round of a hundred reads with their continuations takes some hundred microseconds.
const ROUNDS_TIME: Duration = Duration::from_micros(500);

/// A slice is over, to who looks, after this part of what queues may hold of a turn: so that two of them get at a turn.
const SLICES_PER_TURN: u64 = 2;

/// A turn of queues whose tasks look lasts so many times as long as what queues may hold of it, since who waits for the loop raises
/// the word; but not longer than this, unless they may. A timer's interrupt costs 15 µs in a virtual machine: one in 2.5 ms is 0.6 %.
const LONG_TURNS: u64 = 5;
const LONG_TURN_NS: u64 = 2_500_000;

/// A timer that is due does not make a slice shorter than that.
const SHORTEST_NS: u64 = 100_000;

/// How long a shutdown waits for the kernel before memory is leaked instead of freed (INV-1).
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Everything of one environment's executor.
pub struct Host {
    env: sys::napi_env,
    core: RefCell<Option<Core>>,
    handles: RefCell<Option<Rc<Handles<Host>>>>,
    callback: RefCell<Option<Reference>>,
    slice: RefCell<Option<Reference>>,
    rings: RefCell<Option<Reference>>,
    arena: RefCell<Option<ArenaView>>,
    hook: RefCell<Option<CleanupHook>>,
    /// JavaScript has asked whether its time is over.
    timed: Cell<bool>,
    /// Nanoseconds that queues have had since they last made way for somebody who waited.
    held: Cell<u64>,
    /// The loop is kept alive by our descriptor.
    kept: Cell<bool>,
    awake: Cell<bool>,
    /// When the alarm rings; what was set last.
    alarm: Cell<Option<Instant>>,
    /// It rang, and is readable until it is set again.
    rang: Cell<bool>,
    /// Completions that JavaScript has not been called for.
    due: Cell<u32>,
    /// Another thread has something for a channel of this one, and JavaScript has not been called for it.
    called: Cell<bool>,
    callbacks: Cell<u64>,
    /// What broke, until JavaScript was told.
    broken: RefCell<Option<String>>,
    stalls: RefCell<Option<Rc<Stalls>>>,
}

/// What a turn needs. Borrowed for the turn only, never while JavaScript runs.
pub struct Core {
    /// The executor.
    pub executor: Executor,
    /// Its client.
    pub bridge: Bridge,
}

impl Core {
    /// The driver and the wheel between turns, with the bridge.
    pub fn edge<R>(&mut self, work: impl FnOnce(&mut Bridge, &mut Edge<'_>) -> R) -> Result<R> {
        let Core { executor, bridge } = self;
        executor.edge(|edge| work(bridge, edge)).ok_or_else(closed)
    }
}

/// The JavaScript values that a host keeps alive.
pub struct Kept {
    /// Called with completions to read.
    pub callback: Reference,
    /// Called to run a slice of a task queue.
    pub slice: Reference,
    /// The rings' memory.
    pub rings: Reference,
    /// The arena's buffer.
    pub arena: ArenaView,
}

impl Host {
    /// A host that has not joined the loop.
    pub fn new(env: sys::napi_env, core: Core, kept: Kept) -> Rc<Host> {
        Rc::new(Host {
            env,
            core: RefCell::new(Some(core)),
            handles: RefCell::new(None),
            callback: RefCell::new(Some(kept.callback)),
            slice: RefCell::new(Some(kept.slice)),
            rings: RefCell::new(Some(kept.rings)),
            arena: RefCell::new(Some(kept.arena)),
            hook: RefCell::new(None),
            timed: Cell::new(false),
            held: Cell::new(0),
            kept: Cell::new(false),
            awake: Cell::new(false),
            alarm: Cell::new(None),
            rang: Cell::new(false),
            due: Cell::new(0),
            called: Cell::new(false),
            callbacks: Cell::new(0),
            broken: RefCell::new(None),
            stalls: RefCell::new(None),
        })
    }

    /// Notes the loop that was joined and the hook that ends it.
    pub fn joined(&self, handles: Rc<Handles<Host>>, hook: CleanupHook) {
        *self.handles.borrow_mut() = Some(handles);
        *self.hook.borrow_mut() = Some(hook);
    }

    /// Works with the executor from a native call.
    ///
    /// # Errors
    /// ERR_RINGWHEEL_CLOSED after shutdown.
    pub fn with<R>(&self, work: impl FnOnce(&mut Core) -> R) -> Result<R> {
        let mut core = self.core.try_borrow_mut().map_err(|_| closed())?;
        core.as_mut().map(work).ok_or_else(closed)
    }

    /// Watches the thread for stalls from here on.
    pub fn watch(&self, stalls: Stalls) {
        *self.stalls.borrow_mut() = Some(Rc::new(stalls));
    }

    /// Works with the arena's buffer.
    ///
    /// # Errors
    /// ERR_RINGWHEEL_CLOSED after shutdown.
    pub fn with_arena<R>(&self, work: impl FnOnce(&ArenaView) -> R) -> Result<R> {
        self.arena.borrow().as_ref().map(work).ok_or_else(closed)
    }

    /// The 0 → 1 transition of pending work: from now on the loop stays alive.
    pub fn hold(&self) {
        let Some(handles) = self.handles.borrow().clone() else { return };
        if !self.kept.replace(true) {
            handles.set_kept(true);
        }
        let _closed = self.with(|core| core.bridge.set_held(true));
    }

    /// Calls into JavaScript so far.
    pub fn callbacks(&self) -> u64 {
        self.callbacks.get()
    }

    /// One turn in the middle of JavaScript's, so that a full command ring is read.
    ///
    /// # Errors
    /// ERR_RINGWHEEL_CLOSED after shutdown.
    pub fn flush(&self) -> Result<()> {
        self.turn(Park::No).map(drop).ok_or_else(closed)
    }

    /// Cancels, drains, ends JavaScript's view of the arena, and starts closing the handles. Nothing the kernel can still
    /// write to is freed (INV-1). Safe to call again.
    pub fn shut_down(&self) -> ShutdownReport {
        let Some(Core { executor, bridge }) = self.core.borrow_mut().take() else {
            return ShutdownReport::default();
        };
        bridge.cancel_calls(); // What runs on the pool is waited for: a long one is to end at its next step.
        let report = executor.shutdown(SHUTDOWN);
        drop(bridge);
        let arena = self.arena.borrow_mut().take();
        let references = [&self.callback, &self.slice, &self.rings].map(|kept| kept.borrow_mut().take());
        let stalls = self.stalls.borrow_mut().take().and_then(Rc::into_inner);
        let release = || {
            if let Some(stalls) = stalls {
                // SAFETY: as below.
                unsafe { stalls.release(self.env) };
            }
            if let Some(arena) = arena {
                // SAFETY: needs the live environment in a handle scope. Holds: `shut_down` is called by a native call or the
                // cleanup hook, both on its thread and before it ends; `scoped` opened the scope.
                unsafe { arena.end(self.env) };
            }
            for reference in references.into_iter().flatten() {
                // SAFETY: as above.
                unsafe { reference.release(self.env) };
            }
        };
        // SAFETY: as above; no value gets out.
        unsafe { values::scoped(self.env, release) };
        if let Some(handles) = self.handles.borrow().clone() {
            handles.close();
        }
        report
    }

    /// Takes a turn and notes what JavaScript must hear of it. `None` after shutdown.
    fn turn(&self, park: Park) -> Option<Turn> {
        let mut core = self.core.try_borrow_mut().ok()?;
        let Core { executor, bridge } = core.as_mut()?;
        let mut turn = executor.turn(bridge, park);
        self.due.set(self.due.get() + bridge.publish());
        if turn.called {
            self.called.set(true);
        }
        let broken = if let Some(payload) = turn.panic.take() {
            Some(format!("a panic: {}", text_of(&*payload)))
        } else if let Some(errno) = turn.driver_error {
            Some(format!("the kernel refused the driver's system call: {errno}"))
        } else {
            bridge.corrupt().map(|error| error.to_string())
        };
        if broken.is_some() {
            *self.broken.borrow_mut() = broken;
        }
        // Room in the completion ring or the driver lets commands in that were left in their ring.
        turn.ready |= turn.client_completions > 0 && bridge.has_commands();
        Some(turn)
    }

    /// Calls JavaScript, once, for all that is due.
    fn deliver(&self) {
        self.due.set(0);
        let called = self.called.replace(false);
        self.callbacks.set(self.callbacks.get() + 1);
        let broken = self.broken.borrow_mut().take();
        // An empty text: look at the channels.
        let said = broken.as_deref().or(called.then_some(""));
        self.call(&self.callback, said);
    }

    /// The word that JavaScript looks at to learn that its time is over; the executor's own, made on the first call. `None` when the
    /// system has no room for it.
    ///
    /// # Errors
    /// ERR_RINGWHEEL_CLOSED after shutdown.
    pub fn preempt_word(&self) -> Result<Option<&'static AtomicU32>> {
        let backend = self.handles.borrow().as_ref().and_then(|handles| handles.backend());
        let first = !self.timed.replace(true);
        self.with(|core| {
            let preempt = core.executor.preempt()?;
            if let Some(backend) = backend.filter(|_| first) {
                preempt.watch_always(backend);
            }
            Some(preempt.word())
        })
    }

    /// The word is raised: is the time of what runs over? It is, too, where nothing watches over it.
    pub fn confirm_preempt(&self) -> bool {
        let over = |preempt: &Preempt| preempt.is_raised() && preempt.confirm();
        self.with(|core| core.executor.preempt().is_none_or(over)).unwrap_or(true)
    }

    /// Works with preemption where JavaScript has asked for it.
    fn preempt<R>(&self, work: impl FnOnce(&Preempt) -> R) -> Option<R> {
        if !self.timed.get() {
            return None;
        }
        self.with(|core| core.executor.preempt().map(work)).ok().flatten()
    }

    /// How long a turn of queues may be that may hold `bound` of it.
    fn turn_of_queues(&self, bound: u64) -> u64 {
        let long = bound.max(LONG_TURN_NS.min(bound * LONG_TURNS));
        let Some(handles) = self.handles.borrow().clone() else { return bound };
        if long == bound || !self.preempt(Preempt::is_looked_at).unwrap_or(false) {
            return bound;
        }
        if self.awake.replace(false) {
            handles.set_awake(false); // The next prepare looks again.
        }
        match handles.next_of_its_own() {
            Some(next) => long.min(bound.max(next.as_nanos() as u64)),
            None => long,
        }
    }

    /// Until when the next slice may last: a half of the turn, so that two queues get at it; not longer than a timer of JavaScript's can
    /// wait, and than commands wait anyway.
    fn slice_end(&self, now: u64, turn_end: u64, share: u64, commands_end: u64) -> u64 {
        let alone = self.with(|core| core.bridge.slices().queues() < 2).unwrap_or(false);
        let mut end = if alone { turn_end } else { turn_end.min(now + share) };
        if self.has_commands() {
            end = end.min(commands_end);
        }
        if let Some(alarm) = self.script_alarm() {
            let left = alarm.saturating_duration_since(Instant::now()).as_nanos() as u64;
            end = end.min(now + left.max(SHORTEST_NS));
        }
        end
    }

    fn has_commands(&self) -> bool {
        self.with(|core| core.bridge.has_commands()).unwrap_or(false)
    }

    /// Runs slices of task queues, each a call into JavaScript that picks a queue and resumes some of its tasks, whose microtasks
    /// run as it returns: until none is ready, `spent` reaches what queues may hold of this iteration, or they have had that much and
    /// somebody waits for the loop.
    fn slices(&self, spent: &mut u64) {
        let Ok((bound, ready)) = self.with(|core| {
            let slices = core.bridge.slices();
            (slices.turn().as_nanos() as u64, slices.queues() > 0)
        }) else {
            return;
        };
        if !ready {
            return;
        }
        let span = self.turn_of_queues(bound);
        let mut now = now_ns();
        let start = now;
        let early = now + bound.saturating_sub(self.held.get());
        let commands_end = now + bound.saturating_sub(*spent);
        let turn_end = now + span.saturating_sub(*spent);
        let mut waited = false;
        while !waited && now < if self.has_commands() { commands_end } else { turn_end } {
            let slice_end = self.slice_end(now, turn_end, span / SLICES_PER_TURN, commands_end);
            let begun = self.with(|core| {
                let slices = core.bridge.slices();
                let ready = slices.queues() > 0;
                if ready {
                    slices.begin(now);
                }
                ready
            });
            if !begun.unwrap_or(false) {
                break;
            }
            self.preempt(|preempt| preempt.begin_as_looked_at(slice_end, early));
            let ran = self.call(&self.slice, None);
            let end = now_ns();
            let elapsed = end - now;
            *spent += elapsed;
            now = end;
            // Fails when the slice closed the executor. One that threw is the last of this turn.
            if self.with(|core| core.bridge.slices().end(elapsed)).is_err() || !ran {
                break;
            }
            let due = now >= early && self.script_alarm().is_some_and(has_passed);
            waited = due || self.preempt(Preempt::lets_in).unwrap_or(false);
        }
        self.held.set(if waited { 0 } else { self.held.get().saturating_add(now - start) });
        self.preempt(|preempt| preempt.begin_lazily(None)); // What runs from here on has a quota from its first look on.
    }

    /// Calls one of the functions that are kept. False when it did not run to its end.
    fn call(&self, kept: &RefCell<Option<Reference>>, text: Option<&str>) -> bool {
        let function = kept.borrow_mut().take();
        let Some(function) = function else { return false };
        // SAFETY: needs the live environment outside of JavaScript. Holds: called from libuv's callbacks only, which end with
        // the handles, which close before the environment does (env.rs).
        let ran = unsafe { values::call(self.env, &function, text) };
        if self.core.borrow().is_some() {
            *kept.borrow_mut() = Some(function);
        } else {
            // SAFETY: as above: JavaScript closed the executor during the call, and `shut_down` found no reference to release.
            unsafe { function.release(self.env) };
        }
        ran
    }

    /// When JavaScript's timers are due.
    fn script_alarm(&self) -> Option<Instant> {
        self.with(|core| core.bridge.alarm()).ok().flatten()
    }

    fn is_due(&self) -> bool {
        self.due.get() > 0 || self.called.get() || self.broken.borrow().is_some()
    }

    /// The turn before the loop sleeps, and what it is told of it.
    fn prepare_loop(&self) {
        let Some(turn) = self.turn(Park::Host) else { return };
        let Some(handles) = self.handles.borrow().clone() else { return };
        let queues = self.with(|core| core.bridge.slices().queues() > 0);
        let script = self.script_alarm();
        let awake = turn.ready || self.is_due() || queues.unwrap_or(false) || script.is_some_and(has_passed);
        if self.awake.replace(awake) != awake {
            handles.set_awake(awake);
        }
        let next = turn.next_deadline.into_iter().chain(script).min();
        if self.rang.replace(false) || self.alarm.get() != next {
            self.alarm.set(next);
            handles.set_alarm(next.map(|deadline| deadline.saturating_duration_since(Instant::now())));
        }
        if self.kept.get() {
            let _closed = self.with(|core| {
                if !core.bridge.wants_keeping() {
                    core.bridge.set_held(false);
                    self.kept.set(false);
                    handles.set_kept(false);
                }
            });
        }
    }
}

impl Watcher for Host {
    fn prepare(&self) {
        self.prepare_loop();
        if let Some(stalls) = &*self.stalls.borrow() {
            stalls.idle();
        }
    }

    /// The next prepare sets it anew, to whatever is due next, the same deadline too.
    fn rang(&self) {
        self.rang.set(true);
    }

    fn check(&self) {
        let stalls = self.stalls.borrow().clone();
        if let Some(stalls) = stalls {
            stalls.busy();
            if stalls.waits() {
                // SAFETY: needs the live environment outside of JavaScript. Holds: as in `deliver`.
                unsafe { stalls.tell(self.env) };
            }
            if self.core.borrow().is_none()
                && let Some(stalls) = Rc::into_inner(stalls)
            {
                // SAFETY: as above: JavaScript closed the executor during the call.
                unsafe { stalls.release(self.env) };
            }
        }
        let mut started = None;
        let mut queues_ns = 0;
        for _ in 0..ROUNDS_MAX {
            let Some(turn) = self.turn(Park::No) else { return };
            let due = self.is_due() || self.script_alarm().is_some_and(has_passed);
            let idle = !due && !turn.ready;
            if due {
                self.deliver();
            }
            self.slices(&mut queues_ns);
            if idle && queues_ns == 0 {
                break;
            }
            let more = due && self.script_alarm().is_some_and(has_passed) || self.has_commands();
            if !more && !turn.ready {
                break;
            }
            let now = Instant::now();
            if now.duration_since(*started.get_or_insert(now)) > ROUNDS_TIME {
                break;
            }
        }
    }

    /// Resets the descriptor, or libuv, which looks at its level, would never sleep again. The turn that reads the
    /// completions is `check`'s, a moment later.
    fn readable(&self) {
        let _closed = self.with(|core| core.edge(|_, edge| edge.driver.acknowledge()));
    }

    fn closed(&self) {
        self.handles.borrow_mut().take();
        self.hook.borrow_mut().take(); // Removes it: the environment may go on to end.
    }

    fn panicked(&self, payload: Box<dyn Any + Send>) {
        *self.broken.borrow_mut() = Some(format!("a panic: {}", text_of(&*payload)));
        if let Some(handles) = self.handles.borrow().clone() {
            handles.set_awake(true); // `check` tells JavaScript.
        }
    }
}

fn has_passed(deadline: Instant) -> bool {
    deadline <= Instant::now()
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&'static str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of no text".to_owned())
}

/// The error for a loop that was not joined.
pub fn not_joined(error: &crate::uv::JoinError) -> napi::Error {
    match error {
        crate::uv::JoinError::NoLibuv => coded(
            "UNSUPPORTED_HOST",
            "this runtime exports no libuv functions: File, sleep and Executor need Node.js 20.17 or newer; FileServer works here",
        ),
        crate::uv::JoinError::Refused(status) => {
            coded("DRIVER", format_args!("libuv refused to watch the driver's descriptor (error {status})"))
        }
    }
}
