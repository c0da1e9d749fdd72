//! Life of a command, stage 3 of 6: submit. Before: crates/command/src/call.rs. After: crates/driver/src/driver.rs.
//!
//! CALL: every system call that is no read, write, sync or close of an open file. Runs it here, within a budget, or on the driver's pool.
//!
//! ```text
//!  block in a lease ─copied once─► decode ─► policy ─┬─ here: the answer goes into the lease, the lease back, done
//!                                                    ├─ next turn: the command stays in its ring
//!                                                    └─ pool: a job that owns a copy of the block and writes into memory of its own;
//!                                                             as it ends, the answer goes into the lease or becomes a parcel
//! ```
//!
//! A job holds no pointer into the arena; the lease waits here, in the operation's hand (INV-3). What it opens it owns, so a job that ends
//! after its cancel, or after the executor, closes it (INV-7).
#[cfg(target_os = "linux")]
mod ahead;
mod desk;
mod entries;
mod out;
mod parcel;
mod policy;
#[cfg(target_os = "linux")]
mod remote;
mod simple;
mod spare;
mod tree;
mod whole;

pub(super) use desk::CALL_TOKEN;
use out::Out;
pub use parcel::Parcel;
use parcel::Parcels;
use policy::{Place, Policy};
use ringwheel_command::{
    PendingId, RejectCode,
    call::{BLOCK_MAX, Call, CallNumber, decode, number},
};
use ringwheel_driver::{Handle, Lease, Ticket, op::job::Job};
use rustix::io::Errno;
use spare::Spare;
use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use whole::{CUT_HERE_BYTES, Tried, Writing};

/// The most bytes of a job's own memory for an answer: what is longer becomes a parcel.
const ROOM_MAX: usize = 16_384;
/// The most memory that is kept for parcels: 32 reads of 1 MiB.
const SPARE_BYTES: usize = 32 << 20;

/// Counters of calls since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Ran on the executor's thread.
    pub here: u64,
    /// Ran on the pool.
    pub pooled: u64,
    /// Times that calls had to wait for the next turn, since the budget of theirs was spent.
    pub postponed: u64,
    /// Answers that became parcels.
    pub parcels: u64,
    /// Parcels that wait to be taken.
    pub parcels_waiting: u64,
    /// Parcels in memory of earlier ones.
    pub parcels_reused: u64,
    /// Bytes of memory that are kept for parcels, and the most they may be.
    pub spare_bytes: u64,
    /// See there.
    pub spare_bytes_max: u64,
}

/// What became of a call.
pub(super) enum Called {
    /// It ran: result, the second word of its completion, and of [`Step::Stream`](out::Step::Stream) the file, where it was opened.
    Done(i32, u32, Option<OwnedFd>),
    /// A job for the pool. Hand it in, then say so with [`Calls::submitted`], or [`Calls::refused`].
    Job(u32, Job),
    /// Not in this turn.
    NextTurn,
}

/// A call on the pool.
#[derive(Debug)]
struct Running {
    pending: PendingId,
    lease: Lease,
    offset: usize,
    ticket: Option<Ticket>,
    shared: Arc<Shared>,
}

/// What a job and its executor share.
#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    answer: Mutex<Answer>,
}

#[derive(Debug, Default)]
struct Answer {
    room: Vec<u8>,
    parcel: Option<Parcel>,
    failure: u32,
    stream: Option<OwnedFd>,
}

/// A call whose job has ended.
pub(super) struct EndedCall {
    pub pending: PendingId,
    pub result: i32,
    /// The second word of its completion.
    pub extra: u32,
    pub lease: Lease,
    /// Where in the lease its answer lies.
    pub offset: usize,
    /// Of [`Step::Stream`](out::Step::Stream): the file, where it was opened.
    pub stream: Option<OwnedFd>,
}

/// The second word of a call about a stream.
pub(super) const STREAM: u32 = out::Step::Stream as u32;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Calls {
    policy: Policy,
    #[cfg(target_os = "linux")]
    remote: remote::Remote,
    /// Where blocks are copied to.
    block: Box<[u8; BLOCK_MAX]>,
    running: Vec<Option<Running>>,
    free: Vec<u32>,
    parcels: Parcels,
    spare: Spare,
    stats: CallStats,
}

impl Calls {
    pub fn new() -> Calls {
        Calls {
            policy: Policy::new(),
            #[cfg(target_os = "linux")]
            remote: remote::Remote::new(),
            block: Box::new([0; BLOCK_MAX]),
            running: Vec::new(),
            free: Vec::new(),
            parcels: Parcels::default(),
            spare: Spare::new(SPARE_BYTES),
            stats: CallStats::default(),
        }
    }

    /// A turn begins.
    pub fn begin_turn(&mut self) {
        self.policy.begin_turn();
        #[cfg(target_os = "linux")]
        self.remote.begin_turn();
    }

    /// The command that was read before was no call.
    #[inline]
    pub fn interrupted(&mut self) {
        self.policy.interrupted();
    }

    /// True of a regular file of which writes end in the page cache of this machine.
    #[cfg(target_os = "linux")]
    pub fn is_plain(&mut self, file: &Handle) -> bool {
        let remote = &mut self.remote;
        super::now::is_plain(file.as_fd(), |mount| remote.has(mount))
    }

    /// Keeps so many bytes of memory for parcels at most.
    pub fn keep_spare(&mut self, bytes: usize) {
        self.spare.set_limit(bytes);
    }

    /// For measurements: sends every call to the pool.
    pub fn always_pool(&mut self, always: bool) {
        self.policy.always_pool = always;
    }

    /// Copies a block (once: INV-5), and says which call it asks for.
    ///
    /// # Errors
    /// No call has its number.
    pub fn read(&mut self, block: &[u8]) -> Result<CallNumber, RejectCode> {
        let copy = self.block.get_mut(..block.len()).ok_or(RejectCode::Block)?;
        copy.copy_from_slice(block);
        number(copy).ok_or(RejectCode::Call)
    }

    /// Runs the call of the block that was read, `length` bytes, or makes a job of it. The lease comes back with what is done.
    ///
    /// # Errors
    /// The block's first broken rule, with the lease.
    pub fn run(
        &mut self,
        length: usize,
        number: CallNumber,
        pending: PendingId,
        file: Option<Handle>,
        lease: Lease,
        offset: usize,
    ) -> Result<(Called, Option<Lease>), (RejectCode, Lease)> {
        let mut lease = lease;
        let call = match decode(&mut self.block[..length]) {
            Ok(call) => call,
            Err(code) => return Err((code, lease)),
        };
        // Of a write: where the answer's room ends, and its bytes begin.
        let written = match call {
            Call::WriteFile { bytes, .. } => Some(bytes),
            _ => None,
        };
        let room = if written.is_some() { length } else { lease.len() - offset };
        if written.is_some_and(|bytes| bytes > (lease.len() - offset - length) as u64) {
            return Err((RejectCode::LeaseRange, lease));
        }
        let written = written.unwrap_or(0) as usize;
        let mut early = None;
        #[cfg(target_os = "linux")]
        let may_hang = self.remote.may_ask(&call, file.as_ref().map(AsFd::as_fd));
        #[cfg(not(target_os = "linux"))]
        let may_hang = false;
        let place = if !may_hang && runs_here(&call) { self.policy.place(number) } else { Place::Pool };
        match place {
            Place::NextTurn => {
                self.stats.postponed += 1;
                return Ok((Called::NextTurn, Some(lease)));
            }
            Place::Here => {
                let (room, data) = lease[offset..].split_at_mut(room);
                let mut out = Out::new(room, &self.spare);
                let data = data.get(..written).unwrap_or_default();
                let tried = try_here(&call, file.as_ref().map(AsFd::as_fd), data, &mut out);
                let (parcel, failure, stream) = (out.parcel.take(), out.failure, out.stream.take());
                self.policy.ended(number);
                let result = match tried {
                    Ok(Tried::Done(result)) => Some(result),
                    Ok(Tried::Blocks(opened)) => {
                        early = opened;
                        None
                    }
                    Err(errno) => Some(-errno.raw_os_error()),
                };
                if let Some(result) = result {
                    self.stats.here += 1;
                    let extra = if result < 0 { failure } else { self.keep(parcel) };
                    return Ok((Called::Done(result, extra, stream), Some(lease)));
                }
            }
            Place::Pool => {}
        }
        self.policy.interrupted();
        let waits = match call {
            Call::Copy { from, to, .. } => [from, to].into_iter().any(|path| {
                #[cfg(target_os = "linux")]
                let may_look = !may_hang || self.remote.is_local_at(path);
                #[cfg(not(target_os = "linux"))]
                let may_look = true;
                may_look && whole::leads_to_stream(path)
            }),
            _ => false,
        };
        let data = lease[offset + room..].get(..written).unwrap_or_default().to_vec();
        let room = room.min(ROOM_MAX);
        let block = Box::from(&self.block[..length]);
        let shared = Arc::new(Shared::default());
        let job =
            Job { waits, ..job(block, data, room, file, early, Arc::clone(&shared), self.spare.clone()) };
        let running = Running { pending, lease, offset, ticket: None, shared };
        let index = match self.free.pop() {
            Some(index) => {
                self.running[index as usize] = Some(running);
                index
            }
            None => {
                self.running.push(Some(running));
                self.running.len() as u32 - 1
            }
        };
        Ok((Called::Job(index, job), None))
    }

    /// The driver took the job.
    pub fn submitted(&mut self, index: u32, ticket: Ticket) {
        if let Some(Some(running)) = self.running.get_mut(index as usize) {
            running.ticket = Some(ticket);
            self.stats.pooled += 1;
        }
    }

    /// The driver did not take the job: its lease comes back.
    pub fn refused(&mut self, index: u32) -> Option<Lease> {
        self.take(index).map(|running| running.lease)
    }

    /// Asks a job to end early. Returns its ticket, to be cancelled where it still waits.
    pub fn cancel(&mut self, index: u32) -> Option<Ticket> {
        let running = self.running.get(index as usize)?.as_ref()?;
        running.shared.cancelled.store(true, Ordering::Relaxed);
        running.ticket
    }

    /// Asks all jobs to end early: the executor ends.
    pub fn cancel_all(&self) {
        for running in self.running.iter().flatten() {
            running.shared.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// A job has ended with this result.
    pub fn ended(&mut self, index: u32, result: i32) -> Option<EndedCall> {
        let Running { pending, mut lease, offset, shared, .. } = self.take(index)?;
        let answer = std::mem::take(&mut *shared.answer.lock().unwrap_or_else(PoisonError::into_inner));
        let Answer { room, parcel, failure, stream } = answer;
        if let Some(place) = lease.get_mut(offset..offset + room.len()) {
            place.copy_from_slice(&room);
        }
        let extra = if result < 0 { failure } else { self.keep(parcel) };
        Some(EndedCall { pending, result, extra, lease, offset, stream })
    }

    /// Gives a parcel to JavaScript.
    pub fn take_parcel(&mut self, number: u32) -> Option<Parcel> {
        self.parcels.take(number)
    }

    pub fn stats(&self) -> CallStats {
        let (bytes, most, parcels_reused) = self.spare.stats();
        CallStats {
            parcels_waiting: self.parcels.len() as u64,
            parcels_reused,
            spare_bytes: bytes as u64,
            spare_bytes_max: most as u64,
            ..self.stats
        }
    }

    fn keep(&mut self, parcel: Option<Parcel>) -> u32 {
        parcel.map_or(0, |parcel| {
            self.stats.parcels += 1;
            self.parcels.keep(parcel)
        })
    }

    fn take(&mut self, index: u32) -> Option<Running> {
        let running = self.running.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(running)
    }
}

/// Bounded calls, which the kernel mostly answers from its caches. The others go to the pool at once. ARCHITECTURE.md has the figures.
fn runs_here(call: &Call<'_>) -> bool {
    match call {
        // Blocks are marked, or freed, by the hundred thousand.
        Call::Copy { .. } | Call::FileAllocate { .. } => false,
        Call::FileAdvise { advice, length, .. } => !simple::moves_pages(*advice, *length),
        Call::Remove { recursive, .. } | Call::List { recursive, .. } => !recursive,
        Call::Unlink { path } => {
            !rustix::fs::lstat(*path).is_ok_and(|stat| stat.st_size > CUT_HERE_BYTES && stat.st_nlink == 1)
        }
        _ => true,
    }
}

fn try_here(
    call: &Call<'_>,
    file: Option<BorrowedFd<'_>>,
    data: &[u8],
    out: &mut Out<'_>,
) -> rustix::io::Result<Tried> {
    match *call {
        Call::ReadFile { path, flags, limit } => whole::read_here(path, flags, limit, out),
        Call::FileReadRest { limit } => whole::read_rest_here(file.ok_or(Errno::BADF)?, limit, out),
        Call::WriteFile { path, flags, mode, sync, .. } => {
            whole::write_here(Writing { path, flags, mode, sync, data }, out)
        }
        Call::List { path, .. } => {
            Ok(entries::list_here(path, out)?.map_or(Tried::Blocks(None), Tried::Done))
        }
        _ => perform(call, file, None, data, &AtomicBool::new(false), out).map(Tried::Done),
    }
}

/// Runs a call to its end, however long it takes.
fn perform(
    call: &Call<'_>,
    file: Option<BorrowedFd<'_>>,
    early: Option<OwnedFd>,
    data: &[u8],
    cancelled: &AtomicBool,
    out: &mut Out<'_>,
) -> rustix::io::Result<i32> {
    let open = || file.ok_or(Errno::BADF);
    match *call {
        Call::MakeDirectories { path, mode } => tree::make_directories(path, mode, out),
        Call::Remove { path, recursive, force } => tree::remove(path, recursive, force, cancelled, out),
        Call::Copy { from, to, mode } => whole::copy(from, to, mode, cancelled),
        Call::List { path, recursive, follow } => entries::list(path, recursive, follow, cancelled, out),
        Call::FileEntries => entries::next(open()?, out),
        Call::ReadFile { path, flags, limit } => whole::read_path(path, flags, limit, early, cancelled, out),
        Call::FileReadRest { limit } => whole::read_rest(open()?, limit, cancelled, out),
        Call::WriteFile { path, flags, mode, sync, .. } => {
            whole::write_whole(Writing { path, flags, mode, sync, data }, out)
        }
        _ => rustix::io::retry_on_intr(|| simple::run(call, file, out)),
    }
}

/// A job that owns all it needs. `file` stays with the driver until the job has ended, however late (INV-1).
fn job(
    mut block: Box<[u8]>,
    data: Vec<u8>,
    room: usize,
    file: Option<Handle>,
    early: Option<OwnedFd>,
    shared: Arc<Shared>,
    spare: Spare,
) -> Job {
    let descriptor = file.as_ref().map(AsRawFd::as_raw_fd);
    let run = move || {
        // SAFETY: `borrow_raw` needs the descriptor open for the borrow.
        // Holds: `Job::file` is that file, and the driver holds it until this closure has ended, at shutdown too (INV-1).
        // Checked: `a_job_that_outlives_its_executor_keeps_its_file` in tests/calls.rs.
        let file = descriptor.map(|descriptor| unsafe { BorrowedFd::borrow_raw(descriptor) });
        let mut room = vec![0; room];
        let mut out = Out::new(&mut room, &spare);
        let result = match decode(&mut block) {
            _ if shared.cancelled.load(Ordering::Relaxed) => Err(Errno::CANCELED),
            Ok(call) => perform(&call, file, early, &data, &shared.cancelled, &mut out),
            Err(_) => Err(Errno::INVAL), // It was decoded before.
        };
        let (parcel, failure, used, stream) = (out.parcel.take(), out.failure, out.used, out.stream.take());
        room.truncate(used);
        let answer = Answer { room, parcel, failure, stream };
        *shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        result.unwrap_or_else(|errno| -errno.raw_os_error())
    };
    Job { run: Some(Box::new(run)), file, waits: false }
}
