//! Life of a command, stage 3 of 6: submit. Before: crates/command/src/decode.rs. After: crates/driver/src/driver.rs.
//!
//! The JavaScript client's side of a turn: reads commands, checks what they name against the tables of files and leases,
//! submits operations; takes their completions and fired timers, and writes them to the completion ring. Nothing here
//! trusts a byte of the shared memory (INV-5), and nothing a script does makes it panic, block or lose a completion.
mod batches;
mod calls;
mod desk;
mod files;
mod keep;
#[cfg(target_os = "linux")]
mod now;
mod pending;
mod shares;
mod slices;
mod vectors;

use crate::{
    Client, Edge,
    io::{Adaptive, AdaptiveStats},
};
pub use calls::{CallStats, Parcel};
use desk::{Desk, Outcome};
use keep::Keep;
#[cfg(target_os = "linux")]
pub use now::{Bytes, Written};
use ringwheel_command::{
    CommandReader, FileId, PendingId, Region, RejectCode, RingError, Rings, layout::PENDING_CAPACITY,
};
use ringwheel_driver::{
    Arena, Completion, LeaseId,
    memory::{LeaseError, NoMemory},
    op::file::Open,
};
pub use slices::Slices;
use std::{
    ffi::CString,
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

/// Commands read in one turn: the whole ring once, so a script that writes while we read cannot hold the turn.
const COMMANDS_MAX: usize = 4096;

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeStats {
    /// Commands read.
    pub commands: u64,
    /// Commands refused because they made no sense or named something stale.
    pub rejects: u64,
    /// Times a command was left in the ring because the driver or the completion ring had no room.
    pub backpressure: u64,
}

/// The client of an embedded executor. One per environment.
#[derive(Debug)]
pub struct Bridge {
    commands: CommandReader<Region>,
    desk: Desk,
    keep: Keep,
    slices: Slices,
    corrupt: Option<RingError>,
}

impl Bridge {
    /// Serves the rings of `region` with the memory of `arena`; with `adaptive`, reads and writes share the disk by [`crate::io`].
    pub fn new(region: Region, arena: Arena, adaptive: Option<&Adaptive>) -> Bridge {
        let Rings { commands, completions } = region.rings();
        let desk = Desk::new(completions, arena, adaptive);
        Bridge { commands, desk, keep: Keep::new(region.clone()), slices: Slices::new(region), corrupt: None }
    }

    /// Shows new completions to JavaScript, as many as the ring has room for. Returns how many there are: above 0, call
    /// JavaScript, then publish again.
    pub fn publish(&mut self) -> u32 {
        while let Some((pending, result, flags)) = self.desk.waiting.pop_front() {
            if self.desk.completions.reply(pending, result, flags).is_err() {
                self.desk.waiting.push_front((pending, result, flags));
                break;
            }
        }
        self.desk.completions.publish()
    }

    /// True when commands or opens wait to be handed in.
    pub fn has_commands(&self) -> bool {
        self.corrupt.is_none()
            && (self.commands.has_entries()
                || !self.desk.opens.is_empty()
                || self.desk.has_shared()
                || self.desk.batches.has_next())
    }

    /// True while JavaScript says that pending work is to keep the process alive.
    pub fn wants_keeping(&self) -> bool {
        self.keep.wanted()
    }

    /// Tells JavaScript whether the event loop is held, so that it asks again only when it is not.
    pub fn set_held(&self, held: bool) {
        self.keep.set_held(held);
    }

    /// The words of task queues.
    pub fn slices(&self) -> &Slices {
        &self.slices
    }

    /// When JavaScript wants to be called for its timers, due or not.
    pub fn alarm(&self) -> Option<Instant> {
        self.keep.alarm()
    }

    /// The time on the clock that JavaScript's alarm counts by.
    pub fn since_start(&self) -> Duration {
        self.keep.since_start()
    }

    /// Set once the shared memory cannot be true any more: shut the executor down.
    pub fn corrupt(&self) -> Option<RingError> {
        self.corrupt
    }

    /// Answers further commands with [`RejectCode::Closed`].
    pub fn refuse_from_now_on(&mut self) {
        self.desk.closing = true;
    }

    /// Opens a file; the completion's result is the file's slot, its flags the generation.
    ///
    /// # Errors
    /// The reject to raise in the caller: closed, a pending slot out of range, or more opens than completions fit.
    pub fn open(&mut self, edge: &mut Edge<'_>, pending: PendingId, open: Open) -> Result<(), RejectCode> {
        let desk = &mut self.desk;
        if desk.closing {
            return Err(RejectCode::Closed);
        }
        if pending.slot >= PENDING_CAPACITY || !desk.has_room() {
            return Err(RejectCode::Pending);
        }
        desk.unanswered += 1;
        if let Outcome::NoRoom = desk.submit_open(edge, pending, open, false) {
            desk.stats.backpressure += 1;
        }
        Ok(())
    }

    /// The descriptor behind a file, for looking only.
    pub fn file_descriptor(&self, file: FileId) -> Option<i32> {
        self.desk.files.get(file).map(|handle| handle.as_raw_fd())
    }

    /// A descriptor of its own for what a file has open. Nothing for a file that is closed.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn duplicate(&self, file: FileId) -> rustix::io::Result<Option<OwnedFd>> {
        self.desk.files.get(file).map(|handle| rustix::io::fcntl_dupfd_cloexec(handle, 0)).transpose()
    }

    /// Writes JavaScript's bytes now, as far as that is nothing but a copy and turn number `turn` has time for it: at `position`, or where the
    /// file is. For that no other operation on the file may be in flight.
    #[cfg(target_os = "linux")]
    pub fn write_now(&mut self, turn: u64, file: FileId, bytes: Bytes, position: Option<u64>) -> Written {
        self.desk.write_now(turn, file, bytes, position)
    }

    /// Writes that were made so.
    pub fn writes_now(&self) -> u64 {
        #[cfg(target_os = "linux")]
        return self.desk.now.written;
        #[cfg(not(target_os = "linux"))]
        return 0;
    }

    /// Drops a file that JavaScript can name no more. True when it was open.
    pub fn forget(&mut self, file: FileId) -> bool {
        self.desk.files.remove(file).is_some()
    }

    /// Files open now.
    pub fn files(&self) -> usize {
        self.desk.files.len()
    }

    /// Leases memory into JavaScript's hand. Returns its name and where it starts in the arena.
    ///
    /// # Errors
    /// [`NoMemory`] when no range as long is free.
    pub fn lease(&mut self, bytes: usize) -> Result<(LeaseId, usize), NoMemory> {
        let lease = self.desk.arena.lease(bytes)?;
        let offset = lease.offset();
        Ok((self.desk.arena.lend(lease), offset))
    }

    /// Frees a lease that is in JavaScript's hand.
    ///
    /// # Errors
    /// [`LeaseError`] when it is stale or an operation has it.
    pub fn release(&mut self, lease: LeaseId) -> Result<(), LeaseError> {
        self.desk.arena.release(lease)
    }

    /// Lets `work` see where a lease starts in the arena, and its bytes: for hosts where JavaScript cannot see the arena.
    ///
    /// # Errors
    /// [`LeaseError`] when it is stale or an operation has it.
    pub fn with_lease<R>(
        &mut self,
        id: LeaseId,
        work: impl FnOnce(usize, &mut [u8]) -> R,
    ) -> Result<R, LeaseError> {
        let mut lease = self.desk.arena.take(id)?;
        let result = work(lease.offset(), &mut lease);
        self.desk.arena.lend(lease);
        Ok(result)
    }

    /// The memory that leases are ranges of.
    pub fn arena(&self) -> &Arena {
        &self.desk.arena
    }

    /// What the class `index`, below 64, is: the shares of its task queue, and whether that has a latency class.
    pub fn set_class(&mut self, index: u32, shares: u32, urgent: bool) {
        if let Some(all) = &mut self.desk.shares {
            all.set_class(index, shares, urgent);
        }
    }

    /// Figures of adaptive submission, when it is on.
    pub fn adaptive_stats(&self) -> Option<AdaptiveStats> {
        self.desk.shares.as_deref().map(shares::Shares::stats)
    }

    /// Gives an answer that was too long for its range to JavaScript. `None` when there is none of this number.
    pub fn take_parcel(&mut self, number: u32) -> Option<Parcel> {
        self.desk.calls.take_parcel(number)
    }

    /// Asks what runs on the pool to end early. For the executor's end.
    pub fn cancel_calls(&self) {
        self.desk.calls.cancel_all();
    }

    /// Keeps so many bytes, at most, of memory that parcels were in, for the next ones; 0 keeps none. 32 MiB without this.
    pub fn keep_spare(&mut self, bytes: usize) {
        self.desk.calls.keep_spare(bytes);
    }

    /// Sends every call to the pool, for measurements: `examples/calls.rs` compares.
    pub fn call_on_pool(&mut self, always: bool) {
        self.desk.calls.always_pool(always);
    }

    /// Counters of calls.
    pub fn call_stats(&self) -> CallStats {
        self.desk.calls.stats()
    }

    /// Counters.
    pub fn stats(&self) -> BridgeStats {
        self.desk.stats
    }
}

impl Client for Bridge {
    fn commands(&mut self, edge: &mut Edge<'_>) -> bool {
        let desk = &mut self.desk;
        if !desk.retry_opens(edge)
            || !desk.run_shared(edge)
            || !desk.run_batches(edge)
            || self.corrupt.is_some()
        {
            return false;
        }
        let mut batch = match self.commands.batch() {
            Ok(batch) => batch,
            Err(error) => {
                self.corrupt = Some(error);
                return false;
            }
        };
        desk.calls.begin_turn();
        for _ in 0..COMMANDS_MAX {
            let Some(next) = batch.request() else { return false };
            let outcome = match next {
                Ok(request) => desk.run(edge, request),
                Err(reject) => desk.refuse(reject),
            };
            match outcome {
                Outcome::Taken => {
                    desk.stats.commands += 1;
                    batch.advance();
                }
                // A completion makes room, and its turn reads on: nothing is gained by spinning until then.
                Outcome::NoRoom => {
                    desk.stats.backpressure += 1;
                    return false;
                }
                Outcome::NextTurn => return true,
            }
        }
        !batch.is_empty()
    }

    fn completion(&mut self, completion: Completion) {
        self.desk.complete(completion);
    }
}

/// The open that `File.open` asks for: a plain open(2) relative to the working directory.
pub fn plain_open(path: CString, flags: i32, mode: u32) -> Open {
    Open { directory: None, path, flags, mode, resolve: 0 }
}
