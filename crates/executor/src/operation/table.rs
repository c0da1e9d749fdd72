//! The table of operations in flight: token → who waits, what came. It runs no foreign code and knows no driver.
use crate::io::Grant;
use ringwheel_driver::{Chunk, Completion, Handle, Operation, Ticket};
use rustix::io::Errno;
use std::{collections::VecDeque, task::Waker};

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
    pub(super) fn token(self) -> u64 {
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
    pub(super) fn end(result: i32) -> Arrival {
        Arrival { result, chunk: None, handle: None }
    }

    pub(super) fn holds_buffer(&self) -> bool {
        self.chunk.as_ref().is_some_and(Chunk::is_attached)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Free { next: u32 },
    Single,
    Multishot,
    Abandoned,
}

#[derive(Debug)]
pub(super) struct Slot {
    generation: u32,
    phase: Phase,
    /// A multishot that was told to end because too much waits.
    pausing: bool,
    pub(super) ticket: Option<Ticket>,
    pub(super) waker: Option<Waker>,
    pub(super) done: Option<Ended>,
    /// What the disk was granted for it.
    pub(super) grant: Option<Grant>,
    /// Keeps its memory from one operation in this slot to the next.
    pub(super) arrivals: VecDeque<Arrival>,
}

/// What a final completion says to who waits for it: smaller than that, and copied often.
#[derive(Debug)]
pub(crate) struct Ended {
    /// As in a completion.
    pub(crate) result: i32,
    pub(crate) handle: Option<Handle>,
    pub(crate) operation: Option<Operation>,
}

impl Ended {
    #[inline]
    fn of(completion: Completion) -> Ended {
        Ended { result: completion.result, handle: completion.handle, operation: completion.operation }
    }
}

/// What is left to do once the driver is free again.
#[derive(Debug)]
pub(crate) enum Deferred {
    Wake(Waker),
    Dispose(Completion),
    DisposeEnded(Ended),
    DisposeArrivals(VecDeque<Arrival>),
    Cancel(Ticket),
}

/// What `settle` could not do itself.
#[derive(Debug, Default)]
pub(super) struct After {
    pub(super) wake: Option<Waker>,
    pub(super) dispose: Option<Completion>,
    pub(super) cancel: Option<Ticket>,
    pub(super) grant: Option<Grant>,
}

const NONE: u32 = u32::MAX;

/// All slots. Every method is a leaf: it runs no foreign code and gives back what must be dropped.
#[derive(Debug)]
pub(crate) struct Operations {
    slots: Vec<Slot>,
    first_free: u32,
    /// Provided buffers that wait in `arrivals`.
    pub(super) held: usize,
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

    pub(super) fn reserve(&mut self, phase: Phase, waker: Waker) -> Key {
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
                    grant: None,
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

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    /// Frees a slot whose contents have been taken out.
    pub(super) fn free(&mut self, key: Key) -> Option<Waker> {
        let next = self.first_free;
        let slot = self.get(key)?;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        slot.phase = Phase::Free { next };
        slot.ticket = None;
        let waker = slot.waker.take();
        self.first_free = key.index;
        waker
    }

    /// The completion of an operation that has one, and no grant to return; another kind comes back.
    #[inline]
    #[expect(clippy::result_large_err, reason = "it is inlined: neither variant is copied")]
    pub(super) fn settle_single(&mut self, completion: Completion) -> Result<Option<Waker>, Completion> {
        match self.get(Key::of(completion.token)) {
            Some(slot) if slot.phase == Phase::Single && slot.grant.is_none() => {
                slot.done = Some(Ended::of(completion));
                Ok(slot.waker.take())
            }
            Some(_) | None => Err(completion),
        }
    }

    pub(super) fn settle(&mut self, completion: Completion) -> After {
        let key = Key::of(completion.token);
        let (held, held_max) = (self.held, self.held_max);
        let Some(slot) = self.get(key) else {
            return After { dispose: Some(completion), ..After::default() };
        };
        let waker = slot.waker.take();
        match slot.phase {
            Phase::Single => {
                slot.done = Some(Ended::of(completion));
                After { wake: waker, grant: slot.grant.take(), ..After::default() }
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
                    slot.done = Some(Ended { operation: None, ..Ended::of(completion) });
                }
                self.held += holds;
                After { wake: waker, cancel, ..After::default() }
            }
            Phase::Abandoned => {
                let grant = slot.grant.take();
                if !completion.more {
                    self.free(key);
                }
                After { dispose: Some(completion), grant, ..After::default() }
            }
            Phase::Free { .. } => After { dispose: Some(completion), ..After::default() },
        }
    }

    /// Marks a multishot as told to end. The ticket to cancel comes back, once.
    pub(super) fn pause(&mut self, key: Key) -> Option<Ticket> {
        let slot = self.get(key).filter(|slot| !slot.pausing && slot.done.is_none())?;
        slot.pausing = true;
        slot.ticket
    }

    /// Gives a slot up. What it held, and the ticket to cancel, come back.
    pub(super) fn abandon(&mut self, key: Key) -> [Option<Deferred>; 4] {
        let Some(slot) = self.get(key) else { return [const { None }; 4] };
        let waker = slot.waker.take().map(Deferred::Wake);
        let arrivals = std::mem::take(&mut slot.arrivals);
        let chunks = arrivals.iter().filter(|arrival| arrival.holds_buffer()).count();
        let done = slot.done.take().map(Deferred::DisposeEnded);
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
    pub(super) fn close(&mut self) -> Vec<Waker> {
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

/// An end that the executor makes itself.
pub(super) fn ended(result: i32) -> Ended {
    Ended { result, handle: None, operation: None }
}
