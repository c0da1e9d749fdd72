//! Life of a command, stage 5 of 6: completion. Before: crates/driver/src/uring/enter.rs. After: crates/command/src/reply.rs.
//!
//! Each entry of the completion queue ends its operation, or is one of many of a multishot operation, or makes the driver
//! try again. A chunk or descriptor that a completion names is owned from here on, whatever becomes of it (INV-7).
use super::{BATCH, CANCEL, CLEAR_FILE, Entry, INTERNAL, Place, RING, RUNG, Uring, WAKE};
use crate::{
    Chunk, Completion, Handle, Operation,
    error::{Verdict, verdict},
    inflight::Key,
    op::{self, Aside, file::uring::Next},
    poll::pool::Rejected,
};
use io_uring::cqueue;
use rustix::io::Errno as E;

/// Passing errors in a row after which an operation fails with the last of them.
const RETRIES: u8 = 64;
const CANCELED: i32 = -E::CANCELED.raw_os_error();
const INTERRUPTED: i32 = -E::INTR.raw_os_error();
/// ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND and ERESTART_RESTARTBLOCK, the kernel's own names of an interrupted call: user space is to see
/// EINTR, but opening a FIFO that is cancelled shows the first (Linux 6.18).
const RESTARTS: [i32; 4] = [512, 513, 514, 516];

impl Uring {
    #[inline]
    pub(crate) fn reap(&mut self, max: usize, mut sink: impl FnMut(Completion)) -> usize {
        if self.pool.has_done() {
            self.take_from_pool();
        }
        let mut count = 0;
        while count < max {
            // The usual case first, so that its completion is made where the sink takes it.
            if let Some((key, result)) = self.next_success() {
                sink(self.finish(key, result));
            } else {
                let Some(completion) = self.next() else { break };
                sink(completion);
            }
            count += 1;
        }
        count
    }

    pub(crate) fn has_completions(&mut self) -> bool {
        if self.batch_next < self.batch_end || !self.local.is_empty() || self.pool.has_done() {
            return true;
        }
        !self.ring.completion().is_empty() || self.ring.submission().cq_overflow()
    }

    /// The next entry when it is the success of an operation with one completion and nothing more to it.
    #[inline]
    fn next_success(&mut self) -> Option<(Key, i32)> {
        if self.batch_next >= self.batch_end {
            return None;
        }
        // SAFETY: `assume_init_ref` needs an initialised entry: `refill` wrote all below `batch_end`.
        let entry = unsafe { self.batch[self.batch_next].assume_init_ref() };
        let (key, result) = (entry.user_data(), entry.result());
        let operation = &self.slab.get_mut(key)?.operation;
        if result < 0
            || matches!(operation, Operation::Accept(_) | Operation::Receive(_) | Operation::Open(_))
        {
            return None;
        }
        self.batch_next += 1;
        Some((key, result))
    }

    fn next(&mut self) -> Option<Completion> {
        loop {
            if self.batch_next < self.batch_end {
                // SAFETY: `assume_init_ref` needs an initialised entry: `refill` wrote all below `batch_end`.
                let entry = unsafe { self.batch[self.batch_next].assume_init_ref() };
                let (key, result, flags) = (entry.user_data(), entry.result(), entry.flags());
                self.batch_next += 1;
                if let Some(completion) = self.completed(key, result, flags) {
                    return Some(completion);
                }
            } else if self.local_credit > 0
                && let Some((key, result)) = self.local.pop_front()
            {
                self.local_credit -= 1;
                return Some(self.finish(key, result));
            } else if !self.refill() && self.local.is_empty() {
                return None;
            }
        }
    }

    /// Takes a batch from the ring. False: there is none.
    fn refill(&mut self) -> bool {
        self.local_credit = BATCH;
        self.batch_next = 0;
        self.batch_end = self.ring.completion().fill(&mut self.batch).len();
        if self.batch_end == 0 && self.ring.submission().cq_overflow() {
            // The kernel keeps what found the queue full, and hands it over when asked; that never waits (INV-4).
            self.stats.overflows += 1;
            self.submit_staged();
            self.batch_end = self.ring.completion().fill(&mut self.batch).len();
        }
        if self.batch_end == 0 && !self.rung.is_empty() {
            self.forget_rung();
        }
        self.batch_end > 0
    }

    #[cold]
    fn take_from_pool(&mut self) {
        let (slab, local) = (&mut self.slab, &mut self.local);
        self.pool.drain(|key, result| {
            if let Some(entry) = slab.get_mut(key) {
                entry.place = Place::Local;
                let result = match entry.aside.as_deref_mut() {
                    Some(Aside::Open(opening)) => opening.watched(result),
                    _ => result,
                };
                local.push_back((key, result));
            }
        });
    }

    #[inline]
    pub(super) fn completed(&mut self, key: Key, result: i32, flags: u32) -> Option<Completion> {
        let Some(entry) = self.slab.get_mut(key) else {
            self.not_an_operation(key, result, flags);
            return None;
        };
        match entry.operation {
            Operation::Accept(_) => self.accepted(key, result, flags),
            Operation::Receive(_) => self.received(key, result, flags),
            Operation::Open(_) => self.opened(key, result),
            _ if result < 0 => self.failed(key, result),
            _ => Some(self.finish(key, result)),
        }
    }

    /// The final completion: the slab lets go of the operation.
    #[inline]
    pub(super) fn finish(&mut self, key: Key, result: i32) -> Completion {
        let Some(entry) = self.slab.get_mut(key) else {
            // Every caller has just seen the key alive.
            unreachable!("an operation ended twice");
        };
        self.stats.completed += 1;
        self.latencies.end(entry.mark, result);
        if entry.operation.counts_apart() {
            self.apart -= 1;
        } else {
            self.counted -= 1;
        }
        if entry.operation.is_at_position() {
            op::file::uring::end_move(&entry.operation, result);
        }
        let (result, handle) = op::finish(&mut entry.operation, result);
        // Straight from the slab into the completion.
        let operation = Some(entry.operation.take());
        let completion =
            Completion { token: entry.token, result, more: false, chunk: None, handle, operation };
        self.slab.free(key);
        completion
    }

    /// An error of a single-shot operation: passing, final, or one that should not be.
    #[cold]
    fn failed(&mut self, key: Key, result: i32) -> Option<Completion> {
        let result = if RESTARTS.contains(&-result) { INTERRUPTED } else { result };
        if self.retries(key, result) {
            self.arm(key);
            return None;
        }
        let result = self.final_error(key, result);
        Some(self.finish(key, result))
    }

    /// True when an error is passing and the operation is to be tried again.
    fn retries(&mut self, key: Key, result: i32) -> bool {
        let Some(entry) = self.slab.get_mut(key) else { return false };
        let again = verdict(&entry.operation, -result) == Verdict::Retry;
        if !again || entry.cancelled || self.closed || entry.retries >= RETRIES {
            return false;
        }
        // A connection that fails is the end of that connection only, however many there are.
        entry.retries += u8::from(!entry.operation.is_multishot());
        true
    }

    /// The error to report; counts it when the operation's table does not know it.
    fn final_error(&mut self, key: Key, result: i32) -> i32 {
        let Some(entry) = self.slab.get_mut(key) else { return result };
        // A cancel that interrupts a running system call shows as EINTR.
        if entry.cancelled && result == INTERRUPTED {
            return CANCELED;
        }
        if verdict(&entry.operation, -result) == Verdict::Unexpected {
            self.stats.unexpected += 1;
        }
        result
    }

    fn opened(&mut self, key: Key, result: i32) -> Option<Completion> {
        let entry = self.slab.get_mut(key)?;
        let wanted = !entry.cancelled && !self.closed;
        let (Operation::Open(open), Some(Aside::Open(opening))) =
            (&entry.operation, entry.aside.as_deref_mut())
        else {
            return Some(self.finish(key, result));
        };
        let waited = opening.has_waited();
        let next = opening.next(open, result, wanted);
        let nature = opening.nature;
        match next {
            Next::Again => self.arm(key),
            Next::Wait => self.open_waiting(key),
            Next::Watch(work) => {
                entry.place = Place::Pool;
                if let Err(Rejected { reason, .. }) = self.pool.submit(key, work, true) {
                    return Some(self.finish(key, -reason.errno()));
                }
            }
            Next::Done(result) => {
                let completion =
                    if result < 0 { self.failed(key, result) } else { Some(self.finish(key, result)) };
                if let (Some(Completion { handle: Some(handle), .. }), Some(nature)) = (&completion, nature) {
                    handle.set_nature(nature); // Else a look of its own would find it out.
                }
                if waited && completion.is_some() {
                    self.open_waited();
                }
                return completion;
            }
        }
        None
    }

    fn accepted(&mut self, key: Key, result: i32, flags: u32) -> Option<Completion> {
        if result < 0 {
            return self.failed(key, result);
        }
        let handle = op::opened(result);
        Some(self.one_of_many(key, flags, 0, None, Some(handle)))
    }

    fn received(&mut self, key: Key, result: i32, flags: u32) -> Option<Completion> {
        let chunk = match cqueue::buffer_select(flags) {
            Some(index) => self.chunk(index, result),
            None => None,
        };
        match (result, chunk) {
            (1.., Some(chunk)) => Some(self.one_of_many(key, flags, result, Some(chunk), None)),
            // Without a buffer ring this is readiness, and the bytes are still to be received.
            (1.., None) if self.buffers.is_none() => self.receive_now(key),
            (1.., None) => {
                self.stats.unexpected += 1;
                Some(self.finish(key, -E::IO.raw_os_error()))
            }
            (0, _) => Some(self.finish(key, 0)),
            (error, _) if error == -E::NOBUFS.raw_os_error() => self.out_of_chunks(key),
            (error, _) => self.failed(key, error),
        }
    }

    /// Owns the chunk that a completion names. Dropping it gives it back.
    fn chunk(&mut self, index: u16, result: i32) -> Option<Chunk> {
        let length = u32::try_from(result).unwrap_or(0);
        let chunk = self.buffers.as_mut().and_then(|buffers| buffers.filled_chunk(index, length));
        if chunk.is_none() {
            self.stats.unexpected += 1;
        }
        chunk
    }

    /// A completion that is not the last: when the kernel ended the series (an overflow does), it is armed again.
    fn one_of_many(
        &mut self,
        key: Key,
        flags: u32,
        result: i32,
        chunk: Option<Chunk>,
        handle: Option<Handle>,
    ) -> Completion {
        self.stats.multishot += 1;
        let (token, cancelled) =
            self.slab.get_mut(key).map_or((0, true), |entry| (entry.token, entry.cancelled));
        if !cqueue::more(flags) {
            if cancelled || self.closed {
                self.end_locally(key, CANCELED);
            } else {
                self.stats.rearmed += u64::from(self.capabilities.multishot);
                self.arm(key);
            }
        }
        Completion { token, result, more: true, chunk, handle, operation: None }
    }

    /// No chunk was free: the receive waits for one, unless more can be had at once.
    #[cold]
    fn out_of_chunks(&mut self, key: Key) -> Option<Completion> {
        self.stats.no_chunk += 1;
        let entry = self.slab.get_mut(key)?;
        if entry.cancelled || self.closed {
            return Some(self.finish(key, CANCELED));
        }
        if self.buffers.as_mut().is_some_and(super::BufferRing::ran_dry) {
            self.stats.rearmed += 1;
            self.arm(key);
        } else {
            entry.place = Place::Paused;
            self.paused.push_back(key);
        }
        None
    }

    /// Receives by a system call what readiness announced: for kernels without multishot receive.
    fn receive_now(&mut self, key: Key) -> Option<Completion> {
        let Some(Entry { operation: Operation::Receive(receive), .. }) = self.slab.get_mut(key) else {
            return None;
        };
        let Some(mut chunk) = self.chunks.take() else { return self.out_of_chunks(key) };
        match rustix::net::recv(&receive.socket, &mut chunk[..], rustix::net::RecvFlags::DONTWAIT) {
            Ok((0, _)) => Some(self.finish(key, 0)),
            Ok((bytes, _)) => {
                chunk.truncate(bytes);
                Some(self.one_of_many(key, 0, bytes as i32, Some(chunk), None))
            }
            Err(E::AGAIN) => {
                self.arm(key);
                None
            }
            Err(errno) => self.failed(key, -errno.raw_os_error()),
        }
    }

    /// Entries of the driver's own, and what nobody waits for.
    #[cold]
    fn not_an_operation(&mut self, key: Key, result: i32, flags: u32) {
        match key {
            WAKE => self.wake_armed = cqueue::more(flags),
            RUNG => {}
            RING => self.ring_again(),
            // It ended by itself before the cancel came (ENOENT), or is past cancelling (EALREADY): it completes all the same.
            CANCEL => {}
            // The slot was empty already.
            CLEAR_FILE => {}
            _ => {
                debug_assert!(key as u32 != INTERNAL, "an entry of ours without a meaning");
                self.stats.unexpected += 1;
                if let Some(index) = cqueue::buffer_select(flags) {
                    drop(self.chunk(index, result));
                }
            }
        }
    }
}
