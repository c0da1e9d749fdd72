//! CALL at the desk: the lease out of JavaScript's hand, the file by its name, and jobs to and from the driver.
use super::Called;
use crate::{
    Edge,
    bridge::{
        desk::{Desk, Outcome},
        pending::Running,
    },
    turn::CLIENT_TOKEN,
};
use ringwheel_command::{FileId, LeaseRange, PendingId, Reject, RejectCode};
use ringwheel_driver::Operation;

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
            Ok((called, lease)) => {
                if let Some(lease) = lease {
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
            Called::Done(result, extra) => {
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
        if let Some((pending, result, extra, lease)) = self.calls.ended(index, result) {
            self.arena.lend(lease);
            self.pending.remove(pending);
            self.answer(pending, result, extra);
        }
    }
}
