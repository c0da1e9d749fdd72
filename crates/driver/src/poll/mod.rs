//! The poll backend: readiness (epoll, kqueue) and a bounded blocking pool. Makes not one io_uring call.
//!
//! An operation is tried on the driver's thread at the `enter` after its `submit` (`turn.rs`). What would block waits for
//! its descriptor's news (`sources.rs`), for a free chunk, or for a pool thread (`pool.rs`). Only unix is supported: a
//! Windows port needs other descriptors in [`Handle`].
pub(crate) mod attempt;
pub(crate) mod lent;
pub(crate) mod pool;
pub(crate) mod pools;
#[cfg(target_os = "linux")]
mod quick;
mod shutdown;
mod sources;
mod turn;

use crate::{
    Arena, Completion, Errno, Handle, Host, Operation, Options, RefusedReason, StartError, Ticket, Wait,
    Waker,
    driver::Stats,
    inflight::{Key, Slab},
    latency::{Latencies, Mark},
    limits,
    memory::provided::ChunkPool,
    op::file::{fifo::Opened, poll::is_valid},
    wake::Signal,
};
use pool::Work;
use pools::Pools;
use sources::{News, Sources};
use std::{
    collections::VecDeque,
    fmt,
    os::fd::{OwnedFd, RawFd},
    sync::Arc,
    time::Duration,
};

/// Work that may wait in the pool's own queue; more waits here, in order.
const POOL_QUEUE: usize = 256;

/// Where an operation is between `submit` and its final completion.
#[derive(Debug)]
enum Place {
    /// Submitted; no attempt yet.
    Staged,
    /// Waits for news of its descriptor.
    Waiting,
    /// A receive that waits for a free chunk.
    Paused,
    /// Its work waits for room in the pool's queue.
    Parked,
    /// Its work is the pool's.
    Pooled,
}

/// One operation in flight, with everything it owns (INV-1).
#[derive(Debug)]
struct Entry {
    operation: Operation,
    token: u64,
    place: Place,
    /// Bytes sent so far, or 1 once a connect has begun.
    progress: usize,
    /// Where an open on a pool thread leaves its descriptor.
    opened: Option<Opened>,
    /// Whether it is timed.
    mark: Mark,
}

/// The backend.
pub(crate) struct Poll {
    host: Host,
    arena: Arena,
    chunks: ChunkPool,
    notes: Vec<String>,
    slots: Slab<Entry>,
    /// Those of `slots` that do not count against `limit`.
    apart: usize,
    /// Final completions in `done`: still in flight for the caller.
    final_done: usize,
    limit: usize,
    staged: VecDeque<Key>,
    paused: VecDeque<Key>,
    parked: VecDeque<(Key, Work)>,
    done: VecDeque<Completion>,
    sources: Sources,
    news: Vec<News>,
    /// `acknowledge` has asked the poller since the last `enter`.
    asked: bool,
    /// Turns since the poller was asked.
    unasked: u32,
    /// A wake came that no `enter` has reported yet.
    woken: bool,
    pool: Pools,
    waker: Waker,
    stats: Stats,
    pub(crate) latencies: Latencies,
    /// Pool results on their way to completions; kept for its memory.
    results: Vec<(Key, i32)>,
    /// `shutdown` has run.
    ended: bool,
    closed: bool,
}

#[cfg(target_os = "linux")]
const FEATURES: &[&str] = &["epoll", "blocking-pool", "cached-reads-inline"];
#[cfg(not(target_os = "linux"))]
const FEATURES: &[&str] = &["readiness", "blocking-pool"];

impl Poll {
    /// Starts it; `options` are checked already, and `notes` say why it is not io_uring.
    pub(crate) fn start(
        options: &Options,
        arena: Arena,
        chunks: ChunkPool,
        notes: Vec<String>,
    ) -> Result<Poll, StartError> {
        let refused = |errno| StartError::System { what: "opening a poller", errno };
        let poller = polling::Poller::new().map_err(|error| refused(Errno::of(&error)))?;
        if !poller.supports_edge() {
            return Err(refused(Errno::from(rustix::io::Errno::NOTSUP)));
        }
        let poller = Arc::new(poller);
        let waker = Waker::new(Signal::Poller(Arc::clone(&poller)));
        let pool_waker = waker.clone();
        let limit =
            options.completion_entries.unwrap_or(options.entries * 4).min(*limits::COMPLETION_ENTRIES.end());
        let poll = Poll {
            host: options.host,
            arena,
            chunks,
            notes,
            slots: Slab::new(),
            apart: 0,
            final_done: 0,
            limit: limit as usize,
            staged: VecDeque::new(),
            paused: VecDeque::new(),
            parked: VecDeque::new(),
            done: VecDeque::new(),
            sources: Sources::new(poller),
            news: Vec::new(),
            asked: false,
            unasked: 0,
            woken: false,
            pool: Pools::new(options.pool_threads, POOL_QUEUE, Box::new(move || pool_waker.wake())),
            waker,
            stats: Stats::default(),
            latencies: Latencies::new(),
            closed: false,
            ended: false,
            results: Vec::new(),
        };
        poll.park_embedded();
        Ok(poll)
    }

    pub(crate) fn features(&self) -> &[&'static str] {
        FEATURES
    }

    pub(crate) fn register_memory(&mut self) {}

    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    pub(crate) fn submit_from(
        &mut self,
        operation: &mut Operation,
        token: u64,
    ) -> Result<Ticket, RefusedReason> {
        if self.closed {
            return Err(RefusedReason::Closed);
        }
        if !is_valid(operation) {
            return Err(RefusedReason::Unsupported(Errno::from(rustix::io::Errno::INVAL)));
        }
        let full = match operation.counts_apart() {
            true => self.apart >= limits::APART,
            false => self.slots.len() - self.apart + self.final_done >= self.limit,
        };
        if full {
            return Err(RefusedReason::Full);
        }
        self.apart += usize::from(operation.counts_apart());
        let mark = if operation.is_multishot() { 0 } else { self.latencies.begin(operation) };
        let operation = operation.take();
        let entry = Entry { operation, token, place: Place::Staged, progress: 0, opened: None, mark };
        let key = self.slots.insert(entry);
        self.staged.push_back(key);
        self.stats.submitted += 1;
        self.stats.in_flight_max = self.stats.in_flight_max.max(self.in_flight() as u32);
        Ok(Ticket(key))
    }

    pub(crate) fn cancel(&mut self, ticket: Ticket) {
        self.stats.cancels += 1;
        self.cancel_key(ticket.0);
    }

    /// Ends an operation unless a pool thread runs it: then it ends with that work's result.
    fn cancel_key(&mut self, key: Key) {
        let Some(entry) = self.slots.get_mut(key) else { return };
        // Bytes that a send has moved are its result: the caller must know.
        let sent = if matches!(entry.operation, Operation::Send(_)) { entry.progress } else { 0 };
        let unstarted = match entry.place {
            Place::Staged | Place::Waiting | Place::Paused => None,
            Place::Parked => {
                let index = self.parked.iter().position(|(parked, _)| *parked == key);
                index.and_then(|index| self.parked.remove(index)).map(|(_, work)| work)
            }
            Place::Pooled => match self.pool.cancel(key) {
                Some(work) => Some(work),
                None => {
                    if let Some(opened) = &entry.opened {
                        opened.give_up();
                        self.pool.give_up(key);
                    }
                    return;
                }
            },
        };
        // A close that gave its descriptor to the pool cannot be taken back: dropping its work closes.
        let closing = unstarted.is_some() && matches!(entry.operation, Operation::Nop);
        match (&mut entry.operation, unstarted) {
            (Operation::Job(job), Some(work)) => job.put_back(work),
            (_, Some(work)) => pool::discard(work),
            (_, None) => {}
        }
        let result = match sent {
            _ if closing => 0,
            0 => -rustix::io::Errno::CANCELED.raw_os_error(),
            sent => sent as i32,
        };
        self.finish(key, result, None);
    }

    /// The final completion: the operation leaves the slab, after its descriptor left the poller.
    fn finish(&mut self, key: Key, result: i32, handle: Option<Handle>) {
        let Some(entry) = self.slots.remove(key) else { return };
        if let (Place::Waiting, Some(descriptor)) = (&entry.place, descriptor(&entry.operation)) {
            self.sources.leave(std::os::fd::AsFd::as_fd(descriptor), key);
        }
        self.apart -= usize::from(entry.operation.counts_apart());
        self.final_done += 1;
        self.latencies.end(entry.mark, result);
        let (token, operation) = (entry.token, Some(entry.operation));
        self.done.push_back(Completion { token, result, more: false, chunk: None, handle, operation });
    }

    pub(crate) fn reap(&mut self, max: usize, mut sink: impl FnMut(Completion)) -> usize {
        if self.pool.has_done() {
            self.collect_pool();
        }
        let mut count = 0;
        while count < max {
            let Some(completion) = self.done.pop_front() else { break };
            if completion.more {
                self.stats.multishot += 1;
            } else {
                self.stats.completed += 1;
                self.final_done -= 1;
            }
            sink(completion);
            count += 1;
        }
        count
    }

    #[inline]
    pub(crate) fn has_completions(&mut self) -> bool {
        !self.done.is_empty() || self.pool.has_done()
    }

    #[inline]
    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
            || !self.news.is_empty()
            || self.sources.has_again()
            || (!self.paused.is_empty() && self.chunks.free() > 0)
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.slots.len() + self.final_done
    }

    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    pub(crate) fn adopt(&mut self, fd: OwnedFd) -> Handle {
        Handle::from_owned(fd)
    }

    pub(crate) fn host_fd(&self) -> RawFd {
        self.sources.poller_fd()
    }

    pub(crate) fn acknowledge(&mut self) {
        self.woken |= self.waker.unpark();
        // Asking the poller is what resets its descriptor. An error comes again at the next enter, which can report it.
        if self.sources.wait(Some(Duration::ZERO), &mut self.news).is_ok() {
            self.asked = true;
            self.stats.enters += 1;
        }
        self.park_embedded();
    }

    /// An embedded driver is parked whenever it is outside of `enter`: a wake must make its descriptor readable.
    fn park_embedded(&self) {
        if self.host == Host::Embedded && !self.waker.park() {
            self.waker.signal();
        }
    }

    pub(crate) fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        let woken = self.waker.unpark() | std::mem::take(&mut self.woken);
        let result = self.turn(wait, woken);
        self.park_embedded();
        result
    }

    pub(crate) fn wake_other(&mut self, other: &Waker) {
        other.wake();
    }

    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { in_flight: self.in_flight() as u32, ..self.stats }
    }
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll")
            .field("host", &self.host)
            .field("stats", &self.stats())
            .field("pool", &self.pool)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// The descriptor that an operation may wait on.
fn descriptor(operation: &Operation) -> Option<&Handle> {
    match operation {
        Operation::Read(read) => Some(&read.file),
        Operation::Write(write) => Some(&write.file),
        Operation::Accept(accept) => Some(&accept.listener),
        Operation::Receive(receive) => Some(&receive.socket),
        Operation::Send(send) => Some(&send.socket),
        Operation::Connect(connect) => Some(&connect.socket),
        Operation::Ready(ready) => Some(&ready.file),
        Operation::Nop
        | Operation::Open(_)
        | Operation::Close(_)
        | Operation::Sync(_)
        | Operation::Truncate(_)
        | Operation::Stat(_)
        | Operation::Job(_) => None,
    }
}

#[cfg(test)]
mod tests;
