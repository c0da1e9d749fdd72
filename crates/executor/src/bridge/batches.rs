//! READ_MANY: one command, many reads into pieces of one lease, one answer when all have ended.
//!
//! The table of ranges is copied out of the lease once (INV-5), and the results are written back into it at the end. At most
//! `concurrency` reads are in flight; a read that ends early, but not at the end of the file, goes on where it stopped.
use crate::io::Grant;
use ringwheel_command::{
    PendingId, RejectCode,
    ranges::{self, Head, RANGES_MAX, Range},
};
use ringwheel_driver::{
    Handle, Lease, Operation, RefusedReason, Ticket,
    memory::{Piece, Pieces, Target},
    op::file::Read,
};
use std::collections::VecDeque;

/// Where a range's index lies in a driver's token: 0 is no range, so it counts from 1. Below is the place of its batch, not the pending
/// slot: a script may name one slot twice. The place is not used again while a read of its batch is in flight.
const PART_SHIFT: u32 = 52;
const PART_MASK: u64 = 0x3ff;
const ECANCELED: i32 = 125;

const _: () = assert!(RANGES_MAX as u64 <= PART_MASK);

/// One range on its way.
#[derive(Debug)]
struct Part {
    range: Range,
    /// Bytes read so far, or minus an errno.
    done: i32,
    /// While its read is in flight.
    ticket: Option<Ticket>,
}

/// Where a part's read is, when submission is adaptive.
#[derive(Clone, Copy, Debug, Default)]
enum Share {
    /// Not under way, or it needed no grant.
    #[default]
    None,
    /// It waits for its turn, at this place of [`super::shares::Shares`].
    Waits(u32),
    /// In flight with this.
    Granted(Grant),
}

/// What became of a part's read that was to be submitted.
pub(super) enum Sent {
    /// The driver has it.
    Now(Ticket),
    /// The same when submission is adaptive.
    Granted(Ticket, Option<Grant>),
    /// It waits for its turn, at this place of [`super::shares::Shares`].
    Later(u32),
}

/// One command.
#[derive(Debug)]
struct Batch {
    pending: PendingId,
    /// The task queue that asked.
    queue: u16,
    file: Handle,
    pieces: Pieces,
    table: u32,
    head: Head,
    parts: Vec<Part>,
    /// By part, once one had to ask for its share of the disk.
    shares: Vec<Share>,
    /// The first range that was not begun.
    next: usize,
    /// Reads in flight, and reads that wait for their turn.
    running: u32,
    cancelled: bool,
    /// A part of it was not read because of that.
    cut_short: bool,
    /// Reads that go on where they stopped.
    again: Vec<(u32, Piece)>,
    /// It is in the list of those that have reads to submit.
    listed: bool,
}

/// All that are on their way. Slots and their vectors are used again.
#[derive(Debug, Default)]
pub(super) struct Batches {
    entries: Vec<Option<Batch>>,
    free: Vec<u32>,
    /// Those that have reads to submit, in the order in which they get to it.
    eager: VecDeque<u32>,
    /// Vectors of batches that ended.
    spare: Vec<Vec<Part>>,
    ranges: Vec<Range>,
}

/// A batch that has ended: its lease goes back and its answer is due.
pub(super) struct Ended {
    pub pending: PendingId,
    pub lease: Option<Lease>,
    pub result: i32,
}

/// The batch and the range that a driver's token names, if it is one of a batch's.
#[inline]
pub(super) fn part_of(token: u64) -> Option<(u32, u32)> {
    let part = ((token >> PART_SHIFT & PART_MASK) as u32).checked_sub(1)?;
    Some((token as u32, part))
}

/// The driver's token of a batch's range, beside the executor's own bit.
pub(super) fn token(index: u32, part: u32) -> u64 {
    u64::from(part + 1) << PART_SHIFT | u64::from(index)
}

impl Batches {
    /// Takes one in.
    ///
    /// # Errors
    /// The reject, and the lease back.
    pub fn insert(
        &mut self,
        pending: PendingId,
        queue: u16,
        file: Handle,
        lease: Lease,
        table: u32,
    ) -> Result<u32, (RejectCode, Lease)> {
        let head = match ranges::decode(&lease, table, &mut self.ranges) {
            Ok(head) => head,
            Err(code) => return Err((code, lease)),
        };
        let mut parts = self.spare.pop().unwrap_or_default();
        parts.extend(self.ranges.iter().map(|&range| Part { range, done: 0, ticket: None }));
        let batch = Batch {
            pending,
            queue,
            file,
            pieces: Pieces::new(lease),
            table,
            head,
            parts,
            shares: Vec::new(),
            next: 0,
            running: 0,
            cancelled: false,
            cut_short: false,
            again: Vec::new(),
            listed: true,
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        self.entries[index as usize] = Some(batch);
        self.eager.push_back(index);
        Ok(index)
    }

    /// True when reads could be submitted.
    pub fn has_next(&self) -> bool {
        !self.eager.is_empty()
    }

    /// Has `submit` take reads, of a queue, a batch and a part, batch after batch, until no more may go.
    ///
    /// # Errors
    /// The batch and the range that were refused. When the driver has no room that range goes first next time; else [`Batches::ended`] is to be told.
    pub fn submit(
        &mut self,
        mut submit: impl FnMut(&mut Operation, u16, u32, u32) -> Result<Sent, RefusedReason>,
    ) -> Result<(), (u32, u32, RefusedReason)> {
        while let Some(&index) = self.eager.front() {
            if let Some(Some(batch)) = self.entries.get_mut(index as usize) {
                while let Some((part, mut operation)) = batch.next() {
                    match submit(&mut operation, batch.queue, index, part) {
                        Ok(sent) => {
                            batch.running += 1;
                            batch.note_sent(part, sent);
                        }
                        Err(reason) => {
                            if reason == RefusedReason::Full
                                && let Some(piece) = piece_of(operation)
                            {
                                batch.again.push((part, piece));
                            }
                            return Err((index, part, reason));
                        }
                    }
                }
                batch.listed = false;
            }
            self.eager.pop_front();
        }
        Ok(())
    }

    /// A read has ended: with a result of the driver's, or because it was refused. Gives the batch out when it was the last one.
    #[inline]
    pub fn ended(
        &mut self,
        index: u32,
        part: u32,
        result: i32,
        operation: Option<Operation>,
        was_sent: bool,
    ) -> Option<Ended> {
        let batch = self.entries.get_mut(index as usize)?.as_mut()?;
        batch.running -= u32::from(was_sent);
        batch.note(part, result, operation);
        if !batch.listed && batch.has_next() {
            batch.listed = true;
            self.eager.push_back(index);
        }
        self.take_ended(index)
    }

    /// A part's read that waited for its turn went to the driver.
    pub fn sent(&mut self, index: u32, part: u32, ticket: Ticket, grant: Option<Grant>) {
        if let Some(Some(batch)) = self.entries.get_mut(index as usize) {
            batch.note_sent(part, Sent::Granted(ticket, grant));
        }
    }

    /// Takes out the grant of a part's read that has ended.
    pub fn take_grant(&mut self, index: u32, part: u32) -> Option<Grant> {
        let batch = self.entries.get_mut(index as usize)?.as_mut()?;
        match std::mem::take(batch.shares.get_mut(part as usize)?) {
            Share::Granted(grant) => Some(grant),
            Share::Waits(_) | Share::None => None,
        }
    }

    /// Ends one early: what was not begun never is. The tickets of what is in flight go to `cancel`; `withdraw` takes the reads back that
    /// wait for their turn, by part and place.
    pub fn cancel(
        &mut self,
        index: u32,
        mut cancel: impl FnMut(Ticket),
        mut withdraw: impl FnMut(u32, u32) -> Option<Operation>,
    ) -> Option<Ended> {
        let batch = self.entries.get_mut(index as usize)?.as_mut()?;
        batch.cut_short |= batch.has_work();
        batch.cancelled = true;
        batch.again.clear();
        for (part, share) in batch.shares.iter_mut().enumerate() {
            // What it lends of the lease comes back as the operation is dropped.
            if let Share::Waits(place) = *share
                && withdraw(part as u32, place).is_some()
            {
                *share = Share::None;
                batch.running -= 1;
                batch.cut_short = true;
            }
        }
        batch.parts.iter().filter_map(|part| part.ticket).for_each(&mut cancel);
        self.take_ended(index)
    }

    /// Takes a batch out of which nothing is in flight or to be begun.
    #[inline]
    fn take_ended(&mut self, index: u32) -> Option<Ended> {
        let entry = self.entries.get_mut(index as usize)?;
        let batch = entry.take_if(|batch| batch.running == 0 && !batch.has_work())?;
        if batch.listed {
            self.eager.retain(|&listed| listed != index);
        }
        self.free.push(index);
        let Batch { pending, pieces, table, mut parts, cut_short, .. } = batch;
        // All reads gave their pieces back; were one missing, the lease would stay with it, and the answer still be due.
        let mut lease = pieces.whole().ok();
        // Reads that filled their ranges, the usual case, are told of by a 0 alone: nobody reads the table then.
        let uneven = parts.iter().any(|part| part.done as u32 != part.range.length);
        if let Some(lease) = &mut lease
            && uneven
        {
            for (at, part) in parts.iter().enumerate() {
                ranges::write_result(lease, table, at, part.done);
            }
        }
        parts.clear();
        self.spare.push(parts);
        Some(Ended { pending, lease, result: if cut_short { -ECANCELED } else { uneven.into() } })
    }
}

impl Batch {
    /// True when something is left that may be begun, now or later.
    fn has_work(&self) -> bool {
        !self.cancelled && (self.next < self.parts.len() || !self.again.is_empty())
    }

    /// True when a read may be submitted now.
    fn has_next(&self) -> bool {
        self.has_work() && self.running < self.head.concurrency
    }

    /// A read to submit.
    #[inline]
    fn next(&mut self) -> Option<(u32, Operation)> {
        if !self.has_next() {
            return None;
        }
        let (part, piece) = match self.again.pop() {
            Some(stopped) => stopped,
            None => {
                let part = self.next;
                // `decode` checked that the lengths add up to no more than the lease has before its table.
                let piece = self.pieces.cut(self.parts[part].range.length)?;
                self.next += 1;
                (part as u32, piece)
            }
        };
        let Part { range, done, .. } = &self.parts[part as usize];
        let offset = range.position + *done as u64;
        Some((part, Operation::Read(Read { file: self.file.clone(), target: Target::Piece(piece), offset })))
    }

    /// Notes where a part's read went.
    #[inline]
    fn note_sent(&mut self, part: u32, sent: Sent) {
        let (ticket, share) = match sent {
            Sent::Now(ticket) => {
                self.parts[part as usize].ticket = Some(ticket);
                return;
            }
            Sent::Granted(ticket, grant) => (Some(ticket), grant.map_or(Share::None, Share::Granted)),
            Sent::Later(place) => (None, Share::Waits(place)),
        };
        self.parts[part as usize].ticket = ticket;
        if self.shares.is_empty() {
            self.shares.resize(self.parts.len(), Share::None);
        }
        self.shares[part as usize] = share;
    }

    /// Adds what a read has brought. One that ended early goes on, unless it met the end of the file.
    #[inline]
    fn note(&mut self, part: u32, result: i32, operation: Option<Operation>) {
        let entry = &mut self.parts[part as usize];
        entry.ticket = None;
        if result < 0 {
            entry.done = result;
            return;
        }
        entry.done += result;
        let stopped = result > 0
            && (entry.done as u32) < entry.range.length
            && (entry.done as u32).is_multiple_of(self.head.granule);
        self.cut_short |= stopped && self.cancelled;
        if stopped
            && !self.cancelled
            && let Some(mut piece) = operation.and_then(piece_of)
        {
            piece.skip(result as u32);
            self.again.push((part, piece));
        }
    }
}

/// The memory of a batch's read.
fn piece_of(operation: Operation) -> Option<Piece> {
    match operation {
        Operation::Read(Read { target: Target::Piece(piece), .. }) => Some(piece),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_part() {
        for part in [0, 1, RANGES_MAX - 1] {
            assert_eq!(part_of(token(u32::MAX, part) | crate::turn::CLIENT_TOKEN), Some((u32::MAX, part)));
        }
        assert_eq!(part_of(crate::turn::CLIENT_TOKEN | ((1 << 52) - 1)), None);
    }
}
