//! Operations in flight as the executor sees them: token → who waits, what came. And the two futures over it.
//!
//! ```text
//!  Single:     New ──submit──▶ in flight ──final completion──▶ done ──poll──▶ slot free
//!                                  └─ dropped ─▶ abandoned, cancel asked ──final──▶ result disposed of (INV-7), slot free
//!  Multishot:  submit ─▶ in flight ─▶ arrivals queue up ─▶ taken one by one
//!                          └─ too many queued ─▶ cancel (a pause); armed again when they are taken
//! ```
//!
//! `settle` runs while the driver is borrowed for `reap`. So it runs no foreign code: it wakes our own tasks (which only
//! queues them) and leaves everything else (foreign wakers, destructors, cancels) in `deferred` for right after.
use crate::{core::Core, task};
use ringwheel_driver::{Chunk, Completion, Handle, Operation, Ticket, driver::RefusedReason};
use rustix::io::Errno;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Chunks that a stream may have waiting, in provided buffers, before its receive pauses: two of them keep the data flowing,
/// more only pay when messages are small.
const CHUNKS_WAITING_MAX: usize = 8;
/// Connections that a listener may have waiting before it pauses and leaves them to the kernel's backlog.
const CONNECTIONS_WAITING_MAX: usize = 128;
/// Generations of a slot, so that tokens stay below `CLIENT_TOKEN`.
const GENERATION_MASK: u32 = u32::MAX >> 1;

/// Names a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }
    fn of(token: u64) -> Key {
        Key { index: token as u32, generation: (token >> 32) as u32 }
    }
}

/// One arrival of a multishot operation, or its end.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// As in a completion.
    pub(crate) result: i32,
    pub(crate) chunk: Option<Chunk>,
    pub(crate) handle: Option<Handle>,
}

impl Arrival {
    fn end(result: i32) -> Arrival {
        Arrival { result, chunk: None, handle: None }
    }

    fn holds_buffer(&self) -> bool {
        self.chunk.as_ref().is_some_and(Chunk::is_attached)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Free { next: u32 },
    Single,
    Multishot,
    Abandoned,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    phase: Phase,
    /// A multishot that was told to end because too much waits.
    pausing: bool,
    ticket: Option<Ticket>,
    waker: Option<Waker>,
    done: Option<Completion>,
    /// Keeps its memory from one operation in this slot to the next.
    arrivals: VecDeque<Arrival>,
}

/// What is left to do once the driver is free again.
#[derive(Debug)]
pub(crate) enum Deferred {
    Wake(Waker),
    Dispose(Completion),
    DisposeArrivals(VecDeque<Arrival>),
    Cancel(Ticket),
}

/// What `settle` could not do itself.
#[derive(Debug, Default)]
struct After {
    wake: Option<Waker>,
    dispose: Option<Completion>,
    cancel: Option<Ticket>,
}

const NONE: u32 = u32::MAX;

/// All slots. Every method is a leaf: it runs no foreign code and gives back what must be dropped.
#[derive(Debug)]
pub(crate) struct Operations {
    slots: Vec<Slot>,
    first_free: u32,
    /// Provided buffers that wait in `arrivals`.
    held: usize,
    /// Beyond this many a stream may only have one: half of all provided buffers.
    held_max: usize,
    pub(crate) abandoned: u64,
}

impl Operations {
    pub(crate) fn new(chunks: u16) -> Operations {
        Operations {
            slots: Vec::new(),
            first_free: NONE,
            held: 0,
            held_max: usize::from(chunks) / 2,
            abandoned: 0,
        }
    }

    fn reserve(&mut self, phase: Phase, waker: Waker) -> Key {
        let index = match self.slots.get(self.first_free as usize) {
            Some(&Slot { phase: Phase::Free { next }, .. }) => std::mem::replace(&mut self.first_free, next),
            _ => {
                self.slots.push(Slot {
                    generation: 0,
                    phase,
                    pausing: false,
                    ticket: None,
                    waker: None,
                    done: None,
                    arrivals: VecDeque::new(),
                });
                self.slots.len() as u32 - 1
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.phase = phase;
        slot.pausing = false;
        slot.waker = Some(waker);
        Key { index, generation: slot.generation }
    }

    fn get(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    /// Frees a slot whose contents have been taken out.
    fn free(&mut self, key: Key) -> Option<Waker> {
        let next = self.first_free;
        let slot = self.get(key)?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        slot.phase = Phase::Free { next };
        slot.ticket = None;
        let waker = slot.waker.take();
        self.first_free = key.index;
        waker
    }

    fn settle(&mut self, completion: Completion) -> After {
        let key = Key::of(completion.token);
        let (held, held_max) = (self.held, self.held_max);
        let Some(slot) = self.get(key) else {
            return After { dispose: Some(completion), ..After::default() };
        };
        let waker = slot.waker.take();
        match slot.phase {
            Phase::Single => {
                slot.done = Some(completion);
                After { wake: waker, ..After::default() }
            }
            Phase::Multishot => {
                let mut completion = completion;
                let (mut cancel, mut holds) = (None, 0);
                if completion.more || completion.chunk.is_some() || completion.handle.is_some() {
                    let waiting_max = match (&completion.chunk, held >= held_max) {
                        (None, _) => CONNECTIONS_WAITING_MAX,
                        (Some(_), false) => CHUNKS_WAITING_MAX,
                        (Some(_), true) => 1,
                    };
                    if let Some(chunk) = &mut completion.chunk {
                        // The kernel fills dozens in one go, before a cancel can reach it. Those beyond the bound give their
                        // buffers back now; so does what nobody waits for while half of all buffers are held.
                        if slot.arrivals.len() >= CHUNKS_WAITING_MAX || held >= held_max && waker.is_none() {
                            chunk.detach();
                        }
                        holds = usize::from(chunk.is_attached());
                    }
                    slot.arrivals.push_back(Arrival {
                        result: completion.result,
                        chunk: completion.chunk,
                        handle: completion.handle,
                    });
                    if completion.more && slot.arrivals.len() >= waiting_max && !slot.pausing {
                        slot.pausing = true;
                        cancel = slot.ticket;
                    }
                    if !completion.more {
                        // Ended with an arrival: as after a pause, the next poll arms it again.
                        slot.done = Some(ended(-Errno::CANCELED.raw_os_error()));
                    }
                } else {
                    // The operation itself holds nothing but a handle; dropping that here could only close a descriptor.
                    slot.done = Some(Completion { operation: None, ..completion });
                }
                self.held += holds;
                After { wake: waker, cancel, dispose: None }
            }
            Phase::Abandoned => {
                if !completion.more {
                    self.free(key);
                }
                After { dispose: Some(completion), ..After::default() }
            }
            Phase::Free { .. } => After { dispose: Some(completion), ..After::default() },
        }
    }

    /// Gives a slot up. What it held, and the ticket to cancel, come back.
    fn abandon(&mut self, key: Key) -> [Option<Deferred>; 4] {
        let Some(slot) = self.get(key) else { return [const { None }; 4] };
        let waker = slot.waker.take().map(Deferred::Wake);
        let arrivals = std::mem::take(&mut slot.arrivals);
        let chunks = arrivals.iter().filter(|arrival| arrival.holds_buffer()).count();
        let done = slot.done.take().map(Deferred::Dispose);
        let ticket = slot.ticket.take().map(Deferred::Cancel);
        slot.phase = Phase::Abandoned;
        self.held -= chunks;
        self.abandoned += 1;
        let ended = done.is_some();
        if ended {
            self.free(key);
        }
        let arrivals = (!arrivals.is_empty()).then_some(Deferred::DisposeArrivals(arrivals));
        // The waker is only dropped: nobody waits any more. Kept in the same list so that its drop runs outside.
        [if ended { None } else { ticket }, done, arrivals, waker]
    }

    /// The driver is gone: whatever was in flight ends with ECANCELED. Gives back whom to wake.
    fn close(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in &mut self.slots {
            slot.ticket = None;
            if matches!(slot.phase, Phase::Single | Phase::Multishot) && slot.done.is_none() {
                slot.done = Some(ended(-Errno::CANCELED.raw_os_error()));
                wakers.extend(slot.waker.take());
            }
        }
        wakers
    }
}

/// A final completion that the executor makes itself.
fn ended(result: i32) -> Completion {
    Completion { token: 0, result, more: false, chunk: None, handle: None, operation: None }
}

/// What became of a submit.
enum Submitted {
    Accepted(Key),
    /// No room: the waker is called when there may be.
    Later(Operation),
    Refused(Operation, i32),
}

impl Core {
    fn submit(&self, operation: Operation, phase: Phase, waker: &Waker) -> Submitted {
        let Ok(mut driver) = self.driver.try_borrow_mut() else {
            // Polled from inside a client's callback, while the client has the driver: try again in the next turn.
            waker.wake_by_ref();
            return Submitted::Later(operation);
        };
        let Some(driver) = &mut *driver else {
            return Submitted::Refused(operation, -Errno::CANCELED.raw_os_error());
        };
        let key = self.operations.borrow_mut().reserve(phase, waker.clone());
        match driver.submit(operation, key.token()) {
            Ok(ticket) => {
                if let Some(slot) = self.operations.borrow_mut().get(key) {
                    slot.ticket = Some(ticket);
                }
                Submitted::Accepted(key)
            }
            Err(refused) => {
                let unused = self.operations.borrow_mut().free(key);
                drop(unused);
                match refused.reason {
                    RefusedReason::Full => {
                        self.retry_later(waker);
                        Submitted::Later(refused.operation)
                    }
                    RefusedReason::Closed => {
                        Submitted::Refused(refused.operation, -Errno::CANCELED.raw_os_error())
                    }
                    RefusedReason::Unsupported(errno) => Submitted::Refused(refused.operation, -errno.0),
                }
            }
        }
    }

    fn retry_later(&self, waker: &Waker) {
        let mut waiting = self.waiting_for_room.borrow_mut();
        if !waiting.back().is_some_and(|last| last.will_wake(waker)) {
            waiting.push_back(waker.clone());
        }
    }

    /// Takes a completion of the executor's own. Called inside `reap`: runs no foreign code.
    pub(crate) fn settle(&self, completion: Completion) {
        let After { wake, dispose, cancel } = self.operations.borrow_mut().settle(completion);
        if let Some(waker) = wake {
            match task::handle_of(&waker) {
                Some(handle) => task::wake_handle(handle),
                None => self.defer(Deferred::Wake(waker)),
            }
        }
        if let Some(completion) = dispose {
            self.defer(Deferred::Dispose(completion));
        }
        if let Some(ticket) = cancel {
            self.defer(Deferred::Cancel(ticket));
        }
    }

    fn defer(&self, what: Deferred) {
        self.deferred.borrow_mut().push(what);
    }

    /// Does what `settle` and destructors left, with the driver free.
    pub(crate) fn run_deferred(&self) {
        loop {
            let next = self.deferred.borrow_mut().pop();
            match next {
                None => return,
                Some(Deferred::Wake(waker)) => self.tasks.wake_any(waker),
                Some(Deferred::Dispose(completion)) => self.tasks.guarded(|| drop(completion)),
                Some(Deferred::DisposeArrivals(arrivals)) => self.tasks.guarded(|| drop(arrivals)),
                Some(Deferred::Cancel(ticket)) => {
                    if let Ok(mut driver) = self.driver.try_borrow_mut()
                        && let Some(driver) = &mut *driver
                    {
                        driver.cancel(ticket);
                    }
                }
            }
        }
    }

    /// Ends what was in flight when the driver went: those who hold its futures see ECANCELED.
    pub(crate) fn close_operations(&self) {
        let wakers = self.operations.borrow_mut().close();
        for waker in wakers {
            self.tasks.wake_any(waker);
        }
    }

    /// Wakes as many of those whose submit found no room as there is room for now, first come first; all of them when
    /// nothing is in flight, since some that were woken may have gone without using their room.
    pub(crate) fn wake_waiting_for_room(&self, room: usize) {
        if self.waiting_for_room.borrow().is_empty() {
            return;
        }
        let idle = self
            .driver
            .try_borrow()
            .is_ok_and(|driver| driver.as_ref().is_none_or(|driver| driver.in_flight() == 0));
        let mut left = if idle { usize::MAX } else { room };
        while left > 0
            && let Some(waker) = { self.waiting_for_room.borrow_mut().pop_front() }
        {
            self.tasks.wake_any(waker);
            left -= 1;
        }
    }

    fn abandon(&self, key: Key) {
        let left = self.operations.borrow_mut().abandon(key);
        for what in left.into_iter().flatten() {
            match what {
                Deferred::Cancel(ticket) => match self.driver.try_borrow_mut() {
                    Ok(mut driver) => {
                        if let Some(driver) = &mut *driver {
                            driver.cancel(ticket);
                        }
                    }
                    Err(_) => self.defer(Deferred::Cancel(ticket)),
                },
                other => drop(other),
            }
        }
    }
}

/// One operation with one completion. Dropping it asks for its end; a late result is disposed of (INV-7).
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub(crate) struct Single {
    core: Rc<Core>,
    state: State,
}

#[derive(Debug)]
enum State {
    New(Operation),
    InFlight(Key),
    Over,
}

impl Single {
    pub(crate) fn new(core: Rc<Core>, operation: Operation) -> Single {
        Single { core, state: State::New(operation) }
    }
}

impl Future for Single {
    type Output = Completion;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Completion> {
        let this = &mut *self;
        match std::mem::replace(&mut this.state, State::Over) {
            State::New(operation) => match this.core.submit(operation, Phase::Single, context.waker()) {
                Submitted::Accepted(key) => {
                    this.state = State::InFlight(key);
                    Poll::Pending
                }
                Submitted::Later(operation) => {
                    this.state = State::New(operation);
                    Poll::Pending
                }
                Submitted::Refused(operation, result) => {
                    Poll::Ready(Completion { operation: Some(operation), ..ended(result) })
                }
            },
            State::InFlight(key) => {
                let mut operations = this.core.operations.borrow_mut();
                let Some(slot) = operations.get(key) else {
                    return Poll::Ready(ended(-Errno::CANCELED.raw_os_error()));
                };
                if let Some(completion) = slot.done.take() {
                    operations.free(key);
                    return Poll::Ready(completion);
                }
                let before = slot.waker.replace(context.waker().clone());
                drop(operations);
                drop(before);
                this.state = State::InFlight(key);
                Poll::Pending
            }
            State::Over => Poll::Ready(ended(-Errno::CANCELED.raw_os_error())),
        }
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if let State::InFlight(key) = self.state {
            self.core.abandon(key);
        }
    }
}

/// A multishot operation, armed when first asked for an arrival. Dropping it asks for its end and disposes of what waits.
#[derive(Debug)]
pub(crate) struct Multishot {
    core: Rc<Core>,
    key: Cell<Option<Key>>,
}

impl Multishot {
    pub(crate) fn new(core: Rc<Core>) -> Multishot {
        Multishot { core, key: Cell::new(None) }
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// The next arrival; `operation` makes the operation when it must be armed. A negative result is an error that ended
    /// it, zero without chunk and handle the peer's end; asking again arms it again.
    pub(crate) fn poll_next(
        &self,
        context: &mut Context<'_>,
        operation: impl Fn() -> Operation,
    ) -> Poll<Arrival> {
        loop {
            let Some(key) = self.key.get() else {
                return match self.core.submit(operation(), Phase::Multishot, context.waker()) {
                    Submitted::Accepted(key) => {
                        self.key.set(Some(key));
                        Poll::Pending
                    }
                    Submitted::Later(_) => Poll::Pending,
                    Submitted::Refused(_, result) => Poll::Ready(Arrival::end(result)),
                };
            };
            let mut operations = self.core.operations.borrow_mut();
            let Some(slot) = operations.get(key) else {
                self.key.set(None);
                continue;
            };
            if let Some(arrival) = slot.arrivals.pop_front() {
                operations.held -= usize::from(arrival.holds_buffer());
                return Poll::Ready(arrival);
            }
            if let Some(completion) = slot.done.take() {
                let result = completion.result;
                operations.free(key);
                drop(operations);
                self.key.set(None);
                if result == -Errno::CANCELED.raw_os_error() {
                    continue; // It paused, and everything that waited has been taken.
                }
                return Poll::Ready(Arrival::end(result));
            }
            let before = slot.waker.replace(context.waker().clone());
            drop(operations);
            drop(before);
            return Poll::Pending;
        }
    }
}

impl Drop for Multishot {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            self.core.abandon(key);
        }
    }
}

/// The lists that `Core` keeps for this file.
pub(crate) type DeferredList = RefCell<Vec<Deferred>>;
