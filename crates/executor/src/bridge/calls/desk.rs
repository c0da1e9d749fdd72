//! CALL at the desk: the lease out of JavaScript's hand, the file by its name, and jobs to and from the driver.
use super::{Called, EndedCall, STREAM};
use crate::{
    Edge,
    bridge::{
        desk::{Desk, Outcome},
        pending::Running,
    },
    turn::CLIENT_TOKEN,
};
use ringwheel_command::{FileId, LeaseRange, PendingId, Reject, RejectCode};
use ringwheel_driver::{Handle, Lease, Operation};
use std::os::fd::OwnedFd;

/// Marks the token of a call's job, whose low half is the job's index: a pending slot and its generation have 52 bits.
pub(in crate::bridge) const CALL_TOKEN: u64 = 1 << 62;

impl Desk {
    /// Runs a call, or sends it to the pool.
    pub fn call(
        &mut self,
        edge: &mut Edge<'_>,
        pending: PendingId,
        file: FileId,
        range: LeaseRange,
    ) -> Outcome {
        match self.try_call(edge, pending, file, range) {
            Ok(outcome) => outcome,
            Err(code) => self.refuse(Reject { pending: Some(pending), code }),
        }
    }

    fn try_call(
        &mut self,
        edge: &mut Edge<'_>,
        pending: PendingId,
        file: FileId,
        range: LeaseRange,
    ) -> Result<Outcome, RejectCode> {
        if self.closing {
            return Err(RejectCode::Closed);
        }
        let (lease, block) = self.memory(range)?;
        let block = block.start as usize..block.end as usize;
        let (start, length) = (block.start, block.len());
        let read = self.calls.read(&lease[block]).and_then(|number| {
            let file = if number.takes_file() { Some(self.file(file)?) } else { None };
            Ok((number, file))
        });
        let (number, file) = match read {
            Ok(read) => read,
            Err(code) => {
                self.arena.lend(lease);
                return Err(code);
            }
        };
        match self.calls.run(length, number, pending, file, lease, start) {
            Ok((mut called, lease)) => {
                if let Some(mut lease) = lease {
                    if let Called::Done(..0, STREAM, stream) = &mut called {
                        self.hand_over(stream.take(), &mut lease, start);
                    }
                    self.arena.lend(lease);
                }
                Ok(self.called(edge, pending, called))
            }
            Err((code, lease)) => {
                self.arena.lend(lease);
                Err(code)
            }
        }
    }

    fn called(&mut self, edge: &mut Edge<'_>, pending: PendingId, called: Called) -> Outcome {
        let (index, job) = match called {
            Called::Done(result, extra, _) => {
                self.unanswered += 1;
                self.answer(pending, result, extra);
                return Outcome::Taken;
            }
            Called::NextTurn => return Outcome::NextTurn,
            Called::Job(index, job) => (index, job),
        };
        match edge.driver.submit(Operation::Job(job), CLIENT_TOKEN | CALL_TOKEN | u64::from(index)) {
            Ok(ticket) => {
                self.calls.submitted(index, ticket);
                self.pending.insert(pending, Running::Call(index));
                self.unanswered += 1;
                Outcome::Taken
            }
            Err(refused) => {
                if let Some(lease) = self.calls.refused(index) {
                    self.arena.lend(lease);
                }
                self.not_submitted(pending, refused.reason)
            }
        }
    }

    pub fn call_ended(&mut self, index: u32, result: i32) {
        let Some(EndedCall { pending, result, extra, mut lease, offset, stream }) =
            self.calls.ended(index, result)
        else {
            return;
        };
        if result < 0 && extra == STREAM {
            self.hand_over(stream, &mut lease, offset);
        }
        self.arena.lend(lease);
        self.pending.remove(pending);
        self.answer(pending, result, extra);
    }

    /// Gives an open stream to JavaScript; without one, or room for one, JavaScript opens it.
    fn hand_over(&mut self, stream: Option<OwnedFd>, lease: &mut Lease, offset: usize) {
        let file = stream.and_then(|file| self.files.insert(Handle::from_owned(file)));
        let (slot, generation) = file.map_or((-1, 0), |file| (file.slot as i32, file.generation));
        if let Some(place) = lease.get_mut(offset..offset + 8) {
            place[..4].copy_from_slice(&slot.to_le_bytes());
            place[4..].copy_from_slice(&generation.to_le_bytes());
        }
    }
}
