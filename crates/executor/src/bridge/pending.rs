//! What each pending slot of JavaScript's stands for now, so that CANCEL can name it.
use ringwheel_command::PendingId;
use ringwheel_driver::Ticket;

/// What a command became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    /// An operation of the driver.
    Operation(Ticket),
    /// A read or write that waits for the disk's turn, at this place of [`super::shares::Shares`].
    Waiting(u32),
    /// A call on the pool, under this index of [`super::calls::Calls`].
    Call(u32),
    /// Many reads: this place of [`super::batches::Batches`].
    Batch(u32),
}

/// Slot → generation and what runs. Grows to the highest slot used, which `decode` bounds. It serves cancels only: a script
/// that lies about a slot in use loses the right to cancel the older command, nothing else.
#[derive(Debug, Default)]
pub(super) struct PendingTable {
    entries: Vec<(u32, Option<Running>)>,
}

impl PendingTable {
    /// A slot and its generation in the 52 low bits of a driver's token.
    #[inline]
    pub fn token(pending: PendingId) -> u64 {
        u64::from(pending.generation) << 20 | u64::from(pending.slot)
    }

    /// The inverse of [`PendingTable::token`]; bits above are ignored.
    #[inline]
    pub fn name(token: u64) -> PendingId {
        PendingId { slot: token as u32 & 0xf_ffff, generation: (token >> 20) as u32 }
    }

    /// Notes what a command became.
    #[inline]
    pub fn insert(&mut self, pending: PendingId, running: Running) {
        let index = pending.slot as usize;
        if index >= self.entries.len() {
            self.entries.resize(index + 1, (0, None));
        }
        self.entries[index] = (pending.generation, Some(running));
    }

    /// What a command became, while it runs.
    #[inline]
    pub fn get(&self, pending: PendingId) -> Option<Running> {
        let (generation, running) = self.entries.get(pending.slot as usize)?;
        if *generation == pending.generation { *running } else { None }
    }

    /// It ended.
    #[inline]
    pub fn remove(&mut self, pending: PendingId) {
        if let Some((generation, running)) = self.entries.get_mut(pending.slot as usize)
            && *generation == pending.generation
        {
            *running = None;
        }
    }
}

const _: () = assert!(ringwheel_command::layout::PENDING_CAPACITY == 1 << 20);
const _: () = assert!(crate::turn::CLIENT_TOKEN == 1 << 63);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_slot_and_generation() {
        for (slot, generation) in [(0, 0), (0xf_ffff, u32::MAX), (77, 1 << 31)] {
            let pending = PendingId { slot, generation };
            assert_eq!(PendingTable::name(crate::turn::CLIENT_TOKEN | PendingTable::token(pending)), pending);
        }
    }
}
