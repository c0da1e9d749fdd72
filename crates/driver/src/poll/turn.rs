//! Life of a command, stages 3 to 5 on the poll backend: one `enter`, in bounded steps.
//!
//! 1. collect what the pool has done, and feed it what waited for room;
//! 2. resume receives that waited for a chunk, try again who used up a turn's share;
//! 3. try what was submitted;
//! 4. wait for news, unless there are completions already;
//! 5. try the operations of every descriptor with news, each within its share of the turn.
use super::{
    Entry, Place, Poll,
    attempt::Attempt,
    descriptor,
    lent::Lent,
    pool::{Reason, Rejected, Work},
    sources::{Side, Waiter},
};
use crate::{
    Completion, Errno, Handle, Host, Operation, Wait,
    handle::Nature,
    inflight::Key,
    op::{
        file::{
            Read, Write,
            fifo::{self, Opened},
            poll::{WAITS, has_no_place, nature, work},
        },
        socket::poll::{Accepted, Received, unblock},
    },
};
use std::{
    os::fd::{AsFd, AsRawFd, RawFd},
    time::Duration,
};

/// Connections that one accept takes in one turn before others have theirs.
const ACCEPTS_PER_TURN: usize = 32;
/// Chunks that one receive fills in one turn before others have theirs.
const RECEIVES_PER_TURN: usize = 8;
/// Bytes that one turn copies from the page cache on the driver's thread (about a millisecond); the rest is the pool's.
const CACHED_BYTES_PER_TURN: usize = 4 << 20;

/// Turns with completions of their own after which the poller is asked all the same: others' news must not wait for ever.
const TURNS_UNASKED: u32 = 8;

impl Poll {
    pub(super) fn turn(&mut self, wait: Wait, woken: bool) -> Result<(), Errno> {
        self.collect_pool();
        self.resume_paused();
        for _ in 0..self.sources.again_count() {
            let Some((fd, side)) = self.sources.next_again() else { break };
            self.advance(fd, side);
        }
        self.run_staged();
        let result = self.ask_poller(wait, woken);
        let mut news = std::mem::take(&mut self.news);
        for item in news.drain(..) {
            if item.readable {
                self.advance(item.fd, Side::Read);
            }
            if item.writable {
                self.advance(item.fd, Side::Write);
            }
        }
        self.news = news; // Its memory is kept.
        self.collect_pool();
        result
    }

    /// Step 4. Blocks only when nothing is at hand, and never after a wake that was not reported.
    fn ask_poller(&mut self, wait: Wait, woken: bool) -> Result<(), Errno> {
        if self.done.len() >= self.limit {
            return Ok(()); // Nobody reaps: taking more in would only grow the queue (INV-4).
        }
        let asked = std::mem::take(&mut self.asked);
        // Completions at hand come first: asking costs five system calls, and whoever takes them enters again at once.
        if !self.done.is_empty() && !woken && self.unasked < TURNS_UNASKED {
            self.unasked += 1;
            return Ok(());
        }
        self.unasked = 0;
        let at_hand = woken || !self.done.is_empty() || self.has_staged();
        let timeout = match wait {
            Wait::No => Some(Duration::ZERO),
            _ if at_hand => Some(Duration::ZERO),
            Wait::For(time) => Some(time),
            Wait::Forever => None,
        };
        if timeout != Some(Duration::ZERO) {
            let parked = self.waker.park();
            let timeout = if parked { timeout } else { Some(Duration::ZERO) };
            self.stats.enters += 1;
            let result = self.sources.wait(timeout, &mut self.news);
            self.waker.unpark();
            return result;
        }
        // Without a registration only a notification can be there, and only one that an embedded host was shown.
        let nothing_there = self.sources.is_empty() && (self.host == Host::Native || !woken);
        if asked || nothing_there {
            return Ok(());
        }
        self.stats.enters += 1;
        self.sources.wait(timeout, &mut self.news)
    }

    /// Step 3.
    fn run_staged(&mut self) {
        let mut cached_budget = CACHED_BYTES_PER_TURN;
        for _ in 0..self.staged.len() {
            let Some(key) = self.staged.pop_front() else { break };
            let Some(entry) = self.slots.get_mut(key) else { continue }; // It was cancelled.
            if let Err(errno) = prepare(entry) {
                self.finish(key, -errno.raw_os_error(), None);
                continue;
            }
            if let Some((side, ordered)) = waits_on(&entry.operation)
                && ordered
                && let Some(file) = descriptor(&entry.operation)
                && self.sources.has_ordered(file.as_raw_fd(), side)
            {
                // Bytes must not overtake those of an operation that came first. No edge is missed: that one has met
                // EAGAIN since the last, or is in the queue of those to try again.
                self.wait_for_news(key);
                continue;
            }
            match self.attempt(key, &mut cached_budget) {
                Attempt::Wait => self.wait_for_news(key),
                Attempt::Again => {
                    self.wait_for_news(key);
                    self.mark_again(key);
                }
                other => self.settle(key, other),
            }
        }
    }

    /// Tries what waits on one side of a descriptor, in order, until one meets EAGAIN.
    fn advance(&mut self, fd: RawFd, side: Side) {
        let (mut index, mut blocked) = (0, false);
        while let Some(Waiter { key, ordered }) = self.sources.waiter(fd, side, index) {
            if blocked && ordered {
                index += 1;
                continue;
            }
            match self.attempt(key, &mut 0) {
                Attempt::Wait => {
                    blocked |= ordered;
                    index += 1;
                }
                Attempt::Again => {
                    self.sources.try_again(fd, side);
                    blocked = true;
                    index += 1;
                }
                // Settling takes it out of this queue: the next one moves up to `index`.
                other => self.settle(key, other),
            }
        }
    }

    fn settle(&mut self, key: Key, attempt: Attempt) {
        match attempt {
            Attempt::Done(result) => self.finish(key, result, None),
            Attempt::NoChunk => self.pause(key),
            Attempt::Pool(work) => self.give_to_pool(key, work),
            Attempt::Wait | Attempt::Again => debug_assert!(false, "the caller keeps those in their queue"),
        }
    }

    /// One attempt at one operation, on this thread.
    fn attempt(&mut self, key: Key, cached_budget: &mut usize) -> Attempt {
        let Some(entry) = self.slots.get_mut(key) else {
            debug_assert!(false, "queues of waiters hold live keys only");
            return Attempt::Done(0);
        };
        match &mut entry.operation {
            Operation::Nop => return Attempt::Done(0),
            Operation::Ready(ready) => return ready.attempt(),
            Operation::Send(send) => return send.attempt(&mut entry.progress),
            Operation::Connect(connect) => return connect.attempt(&mut entry.progress),
            Operation::Accept(_) => return self.accept(key),
            Operation::Receive(_) => return self.receive(key),
            Operation::Job(job) => {
                let canceled = Attempt::failed(rustix::io::Errno::CANCELED);
                return job.take().map_or(canceled, Attempt::Pool);
            }
            Operation::Read(read) => match nature(&read.file) {
                Nature::Stream => return read.attempt_stream(),
                Nature::Cached => {
                    if let Some(attempt) = read.attempt_cached(cached_budget) {
                        return attempt;
                    }
                }
                Nature::Blocking | Nature::Unknown => {}
            },
            Operation::Write(write) if nature(&write.file) == Nature::Stream => {
                return write.attempt_stream();
            }
            _ => {}
        }
        // SAFETY: `Lent::new` needs the operation alive and its memory untouched until the work ended or was dropped unrun.
        // Holds: the entry stays in `slots` until `collect_pool` sees the result or `Pool::cancel` gave the work back, and
        // shutdown forgets (never drops) an operation whose work still runs (INV-1).
        // Checked: tests/contract.rs, "shutdown leaks what a pool thread still uses".
        let lent = unsafe { Lent::new(&mut entry.operation) };
        match work(&mut entry.operation, lent, &mut entry.opened) {
            Some(work) => Attempt::Pool(work),
            None => Attempt::Done(0), // A close of a handle that others still hold.
        }
    }

    fn accept(&mut self, key: Key) -> Attempt {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Entry { operation: Operation::Accept(accept), token, .. }) = self.slots.get_mut(key)
            else {
                break;
            };
            let token = *token;
            match accept.attempt() {
                Accepted::Connection(fd) => self.deliver(token, 0, None, Some(Handle::from_owned(fd))),
                Accepted::Skipped => {}
                Accepted::Nothing => return Attempt::Wait,
                Accepted::Failed(errno) => return Attempt::failed(errno),
            }
        }
        Attempt::Again
    }

    fn receive(&mut self, key: Key) -> Attempt {
        for _ in 0..RECEIVES_PER_TURN {
            let Some(Entry { operation: Operation::Receive(receive), token, .. }) = self.slots.get_mut(key)
            else {
                break;
            };
            let token = *token;
            match receive.attempt(&self.chunks) {
                Received::Bytes(chunk) => self.deliver(token, chunk.len() as i32, Some(chunk), None),
                Received::Ended(result) => return Attempt::Done(result),
                Received::Nothing => return Attempt::Wait,
                Received::NoChunk => return Attempt::NoChunk,
            }
        }
        Attempt::Again
    }

    /// A completion that is not the last.
    fn deliver(&mut self, token: u64, result: i32, chunk: Option<crate::Chunk>, handle: Option<Handle>) {
        self.done.push_back(Completion { token, result, more: true, chunk, handle, operation: None });
    }

    fn wait_for_news(&mut self, key: Key) {
        let Some(entry) = self.slots.get_mut(key) else { return };
        let (Some(file), Some((side, ordered))) = (descriptor(&entry.operation), waits_on(&entry.operation))
        else {
            debug_assert!(false, "only operations with a descriptor wait for news");
            return;
        };
        let waiter = Waiter { key, ordered };
        let mut joined = self.sources.join(file.as_fd(), side, waiter);
        if joined.is_ok() && waits_on_both(&entry.operation) {
            joined = self.sources.join(file.as_fd(), Side::Write, waiter);
        }
        entry.place = Place::Waiting;
        if let Err(errno) = joined {
            self.finish(key, -errno.0, None);
        }
    }

    fn mark_again(&mut self, key: Key) {
        let Some(entry) = self.slots.get_mut(key) else { return };
        if let (Some(file), Some((side, _))) = (descriptor(&entry.operation), waits_on(&entry.operation)) {
            self.sources.try_again(file.as_raw_fd(), side);
        }
    }

    /// A receive without a chunk leaves its descriptor's queue: it comes back when a chunk does, not when bytes do.
    fn pause(&mut self, key: Key) {
        self.stats.no_chunk += 1;
        self.leave_queue(key, Place::Paused);
        self.paused.push_back(key);
    }

    fn leave_queue(&mut self, key: Key, to: Place) {
        let Some(entry) = self.slots.get_mut(key) else { return };
        if let (Place::Waiting, Some(file)) = (&entry.place, descriptor(&entry.operation)) {
            self.sources.leave(file.as_fd(), key);
        }
        entry.place = to;
    }

    /// Step 2: stages each paused receive again while there are free chunks, in the order they ran dry.
    fn resume_paused(&mut self) {
        let free = self.chunks.free();
        for _ in 0..self.paused.len().min(free) {
            let Some(key) = self.paused.pop_front() else { break };
            let Some(entry) = self.slots.get_mut(key) else { continue }; // It was cancelled.
            entry.place = Place::Staged;
            self.staged.push_back(key);
            self.stats.rearmed += 1;
        }
    }

    fn give_to_pool(&mut self, key: Key, work: Work) {
        let waits = self.slots.get_mut(key).is_some_and(|entry| match &entry.operation {
            Operation::Job(job) => job.waits,
            _ => false,
        });
        if waits {
            return self.give_to_waiting(key, work);
        }
        if !self.parked.is_empty() {
            return self.park_work(key, work); // Others came first.
        }
        match self.pool.submit(key, work, false) {
            Ok(()) => self.leave_queue(key, Place::Pooled),
            Err(Rejected { work, reason: Reason::Full }) => self.park_work(key, work),
            Err(Rejected { work, reason }) => self.refuse_work(key, work, reason),
        }
    }

    /// Work that waits for another process: nothing else queues behind it.
    fn give_to_waiting(&mut self, key: Key, work: Work) {
        match self.pool.submit(key, work, true) {
            Ok(()) => self.leave_queue(key, Place::Pooled),
            Err(Rejected { work, reason }) => self.refuse_work(key, work, reason),
        }
    }

    fn park_work(&mut self, key: Key, work: Work) {
        self.leave_queue(key, Place::Parked);
        self.parked.push_back((key, work));
    }

    fn refuse_work(&mut self, key: Key, work: Work, reason: Reason) {
        match self.slots.get_mut(key).map(|entry| &mut entry.operation) {
            Some(Operation::Job(job)) => job.put_back(work),
            _ => super::pool::discard(work),
        }
        self.finish(key, -reason.errno(), None);
    }

    /// Step 1: results become completions, and the room they left is filled.
    pub(super) fn collect_pool(&mut self) {
        if self.pool.has_done() {
            let mut results = std::mem::take(&mut self.results);
            self.pool.drain(|key, result| results.push((key, result)));
            for (key, result) in results.drain(..) {
                self.pooled_ended(key, result);
            }
            self.results = results;
        }
        while let Some((key, work)) = self.parked.pop_front() {
            match self.pool.submit(key, work, false) {
                Ok(()) => self.leave_queue(key, Place::Pooled),
                Err(Rejected { work, reason: Reason::Full }) => {
                    self.parked.push_front((key, work));
                    break;
                }
                Err(Rejected { work, reason }) => self.refuse_work(key, work, reason),
            }
        }
    }

    fn pooled_ended(&mut self, key: Key, result: i32) {
        let Some(entry) = self.slots.get_mut(key) else { return };
        if result == WAITS
            && let Some(opened) = entry.opened.clone()
        {
            return self.open_waits(key, opened);
        }
        if let (Operation::Read(read), Ok(bytes)) = (&mut entry.operation, usize::try_from(result)) {
            read.target.filled(bytes);
        }
        let stat_bytes = if result == 0 { crate::limits::STATX } else { 0 };
        if let (Operation::Stat(stat), true) = (&mut entry.operation, stat_bytes > 0) {
            stat.target.filled(stat_bytes);
        }
        let opened = entry.opened.take().as_ref().and_then(Opened::take);
        self.finish(key, result, opened.map(Handle::from_owned));
    }

    /// An open waits for the other end of a FIFO.
    fn open_waits(&mut self, key: Key, opened: Opened) {
        let Some(entry) = self.slots.get_mut(key) else { return };
        let early = opened.take();
        if opened.is_given_up() {
            return self.finish(key, -rustix::io::Errno::CANCELED.raw_os_error(), None);
        }
        // SAFETY: as in `attempt`.
        let lent = unsafe { Lent::new(&mut entry.operation) };
        let Operation::Open(open) = &entry.operation else { return };
        let work = match early {
            #[cfg(target_os = "linux")]
            Some(file) => fifo::watch(file, open.flags, opened),
            _ => open.work(lent, opened, true),
        };
        self.give_to_waiting(key, work);
    }
}

/// What an operation needs once, before its first attempt.
fn prepare(entry: &mut Entry) -> rustix::io::Result<()> {
    match &entry.operation {
        Operation::Accept(accept) => unblock(accept.listener.as_fd())?,
        Operation::Read(Read { file, offset, .. }) | Operation::Write(Write { file, offset, .. }) => {
            nature(file);
            if has_no_place(file, *offset) {
                return Err(rustix::io::Errno::SPIPE);
            }
        }
        _ => {}
    }
    Ok(())
}

/// The side of the descriptor an operation waits on, and whether it moves bytes (so that order matters).
fn waits_on(operation: &Operation) -> Option<(Side, bool)> {
    match operation {
        Operation::Accept(_) | Operation::Receive(_) => Some((Side::Read, true)),
        Operation::Send(_) | Operation::Connect(_) => Some((Side::Write, true)),
        // Offsets order reads and writes of files, which never wait here; streams do.
        Operation::Read(read) if read.file.nature() == Nature::Stream => Some((Side::Read, true)),
        Operation::Write(write) if write.file.nature() == Nature::Stream => Some((Side::Write, true)),
        Operation::Ready(_) => Some((Side::Read, false)),
        _ => None,
    }
}

/// Readiness for writing shows on the other side; hang-ups and errors show on both.
fn waits_on_both(operation: &Operation) -> bool {
    matches!(operation, Operation::Ready(_))
}
