//! The access log: a line for each answer, written by a thread of its own, so that no disk stops a core.
//!
//! ```text
//! connection ── pending.rs: what is being answered ──▶ a buffer for each core ── writer.rs: one thread, batches ──▶ sink.rs
//! ```
//! A line is made when the kernel has the whole answer, or when the connection ends before; a buffer that is full drops lines and counts them.
//! The buffers are behind a lock each, which the writer holds for a swap of two vectors, a few times a second.
mod line;
mod pending;
mod sink;
mod writer;

pub(crate) use pending::{Pending, refused};
pub(crate) use writer::start;

use crate::{
    error::StartError,
    options::{AccessLogOptions, Options},
};
use line::Facts;
use sink::Sink;
use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a stuck reader may hold a close, and a reload.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines of one core that wait, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Buffer {
    waiting: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
}

/// What the writer is told.
#[derive(Debug, Default)]
struct Desk {
    /// There are lines; they may wait a moment for more.
    some: bool,
    /// There are many.
    many: bool,
    /// Write what there is, and end by then.
    close_by: Option<Instant>,
    /// Takes the place of the open file.
    next: Option<Sink>,
    /// Why the last write failed.
    error: Option<String>,
    ended: bool,
}

/// What the cores of a server and its writer share.
#[derive(Debug)]
pub(crate) struct AccessLog {
    options: AccessLogOptions,
    buffers: Box<[Buffer]>,
    desk: Mutex<Desk>,
    /// Rung for the writer.
    bell: Condvar,
    /// Rung by the writer.
    answer: Condvar,
    dropped: AtomicU64,
    /// Lines that the writer has in its hand.
    in_hand: AtomicU64,
}

/// Fails where a start would.
pub(crate) fn check(options: &Options) -> Result<(), StartError> {
    match options.access_log.as_ref().and_then(|log| log.file.as_ref()) {
        Some(path) => sink::check(path, options),
        None => Ok(()),
    }
}

impl AccessLog {
    pub(crate) fn new(options: &AccessLogOptions, cores: usize) -> AccessLog {
        AccessLog {
            options: options.clone(),
            buffers: std::iter::repeat_with(Buffer::default).take(cores).collect(),
            desk: Mutex::default(),
            bell: Condvar::new(),
            answer: Condvar::new(),
            dropped: AtomicU64::new(0),
            in_hand: AtomicU64::new(0),
        }
    }

    /// Lines that were not written: a buffer was full, or a write failed.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Why the last write failed, if it did.
    pub(crate) fn error(&self) -> Option<String> {
        self.desk().error.clone()
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines_of(&self, core: usize) -> MutexGuard<'_, Lines> {
        self.buffers[core].waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line to the buffer of a core.
    fn append(&self, core: usize, facts: &Facts<'_>) {
        let mut lines = self.lines_of(core);
        let before = lines.bytes.len();
        line::write(&mut lines.bytes, self.options.format, facts);
        let after = lines.bytes.len();
        if after > self.options.buffer_bytes {
            lines.bytes.truncate(before);
            drop(lines);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.count += 1;
        drop(lines);
        let half = self.options.buffer_bytes / 2;
        if before == 0 || (before < half && after >= half) {
            let mut desk = self.desk();
            desk.some = true;
            desk.many |= after >= half;
            self.bell.notify_one();
        }
    }

    /// Opens the file again, for who has moved it away, and returns when nothing is written to the old one any more. Where it cannot be
    /// opened the old one stays.
    pub(crate) fn reopen(&self) -> Result<(), StartError> {
        let sink = Sink::open(self.options.file.as_deref())?;
        let mut desk = self.desk();
        desk.next = Some(sink);
        self.bell.notify_one();
        let taken = self.answer.wait_timeout_while(desk, PATIENCE, |desk| desk.next.is_some() && !desk.ended);
        drop(taken);
        Ok(())
    }

    /// Has everything written that waits, and ends the writer; nothing is appended any more. False: the writer is stuck, and what it could
    /// not write is counted.
    pub(crate) fn close(&self) -> bool {
        let mut desk = self.desk();
        desk.close_by.get_or_insert_with(|| Instant::now() + PATIENCE);
        self.bell.notify_one();
        let waited = self.answer.wait_timeout_while(desk, 2 * PATIENCE, |desk| !desk.ended);
        let ended = waited.is_ok_and(|(desk, _)| desk.ended);
        if !ended {
            let waiting: u64 =
                (0..self.buffers.len()).map(|core| std::mem::take(&mut self.lines_of(core).count)).sum();
            self.dropped.fetch_add(waiting + self.in_hand.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
        ended
    }
}
