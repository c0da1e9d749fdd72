//! READV and WRITEV: the leases that their table names, put together into one operation's memory, and given back when that has ended.
use super::desk::Desk;
use ringwheel_command::{LeaseRange, RejectCode, parts};
use ringwheel_driver::{Lease, LeaseId, memory::Vector};

/// Vectors that are kept for use: more operations than these at once allocate.
const SPARE_MAX: usize = 128;

/// Memory that is used again, so that a command allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    parts: Vec<LeaseRange>,
    #[expect(clippy::vec_box, reason = "an operation has it behind a pointer, which is not to be made anew")]
    spare: Vec<Box<Vector>>,
}

impl Desk {
    /// Takes the lease with the table, and all that the table names, out of JavaScript's hand.
    pub fn vector(&mut self, range: LeaseRange) -> Result<Box<Vector>, RejectCode> {
        let (own, _) = self.memory(range)?;
        // In bounds: `memory` compared the range, which starts at 0, with the lease.
        let bytes = own.get(..range.length as usize).unwrap_or_default();
        if let Err(code) = parts::decode(bytes, range, &mut self.vectors.parts) {
            self.arena.lend(own);
            return Err(code);
        }
        let mut vector = self.vectors.spare.pop().unwrap_or_default();
        match self.fill(&mut vector, own, range) {
            Ok(()) => Ok(vector),
            Err(code) => {
                self.give_back(vector);
                Err(code)
            }
        }
    }

    fn fill(&self, vector: &mut Vector, own: Lease, range: LeaseRange) -> Result<(), RejectCode> {
        let own = vector.hold(own);
        for part in &self.vectors.parts {
            let LeaseRange { slot, generation, offset, length } = *part;
            let lease = if (slot, generation) == (range.slot, range.generation) {
                own
            } else {
                // A lease that is named twice is in the operation's hand the second time.
                let taken = self.arena.take(LeaseId { slot, generation });
                vector.hold(taken.map_err(|_| RejectCode::StaleLease)?)
            };
            // `decode` checked that the end does not overflow.
            if !vector.push(lease, offset..offset + length) {
                return Err(RejectCode::LeaseRange);
            }
        }
        Ok(())
    }

    /// Puts its leases back into JavaScript's hand.
    pub fn give_back(&mut self, mut vector: Box<Vector>) {
        for lease in vector.empty() {
            self.arena.lend(lease);
        }
        if self.vectors.spare.len() < SPARE_MAX {
            self.vectors.spare.push(vector);
        }
    }
}
