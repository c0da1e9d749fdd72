//! The end of a ring: cancel all, drain to zero, and leak what does not end (INV-1).
//!
//! Closing a ring does not stop the kernel: on 6.18 it went on writing into the buffers of O_DIRECT reads after the ring
//! was closed, and also after a synchronous cancel had returned. Only a final completion says that memory is free again.
use super::{CANCEL, Place, Uring};
use crate::{
    Ticket,
    driver::{ShutdownReport, Wait},
    inflight::Slab,
    poll::pool::discard,
};
use io_uring::{opcode, squeue, types::CancelBuilder};
use std::{
    mem::ManuallyDrop,
    time::{Duration, Instant},
};

/// How long one wait of the drain lasts before the cancel is said again: work that moved from a queue into a kernel worker
/// in between is not found by the first.
const ROUND: Duration = Duration::from_millis(20);
/// The deadline of a drop.
const ON_DROP: Duration = Duration::from_secs(1);

impl Uring {
    /// Ends everything. What is in flight after `deadline` is leaked: its memory, its descriptors, the chunks, the arena.
    pub(crate) fn shutdown(&mut self, deadline: Duration) -> ShutdownReport {
        if std::mem::replace(&mut self.closed, true) {
            return ShutdownReport::default();
        }
        // A deadline that no clock can name is one for ever: a century will do.
        let end = Instant::now() + deadline.min(Duration::from_secs(100 * 365 * 24 * 3600));
        let before = self.slab.len();
        self.join_lone();
        self.end_paused_and_pooled();
        loop {
            while self.reap(usize::MAX, discard) > 0 {} // Jobs hold foreign destructors.
            let left = end.saturating_duration_since(Instant::now());
            if self.slab.len() == 0 || left.is_zero() {
                break;
            }
            self.cancel_all();
            // An error (no memory, say) is not the end: the deadline is.
            if self.enter(Wait::For(left.min(ROUND))).is_err() {
                std::thread::sleep(left.min(ROUND));
            }
        }
        let leaked = self.slab.len();
        self.pool.shutdown(end);
        self.waker.close();
        self.ring_again(); // What is still staged for others will not leave any more.
        self.rung.clear();
        self.close_ring(leaked > 0);
        self.stats.leaked += leaked as u64;
        ShutdownReport { drained: (before - leaked) as u32, leaked: leaked as u32 }
    }

    /// Operations that no ring entry will end.
    fn end_paused_and_pooled(&mut self) {
        for key in self.slab.keys() {
            let place = self.slab.get_mut(key).map(|entry| entry.place);
            if matches!(place, Some(Place::Paused | Place::Pool)) {
                self.cancel(Ticket(key));
            }
        }
    }

    /// Asks for the end of everything in the ring, the driver's own entries too.
    fn cancel_all(&mut self) {
        if self.capabilities.cancel_any {
            self.push(opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(CANCEL));
            return;
        }
        for key in self.slab.keys() {
            self.push(opcode::AsyncCancel::new(key).build().flags(squeue::Flags::empty()).user_data(CANCEL));
        }
    }

    /// Closes the ring; called once. With operations left, all memory that they might touch stays mapped and all their
    /// descriptors stay open for ever. Closing the ring all the same lets the kernel end them when it can.
    fn close_ring(&mut self, leak: bool) {
        if leak {
            // What an operation owns goes with the slab: leases (and through them the arena), vectors, chunks, descriptors.
            std::mem::forget(std::mem::replace(&mut self.slab, Slab::new()));
            self.chunks.leak();
            std::mem::forget(self.arena.clone());
            std::mem::forget(self.buffers.take());
        }
        // SAFETY: `ManuallyDrop::drop` needs that the value is not used again.
        // Holds: `closed` was set by the only caller, which runs once; `submit` refuses from then on, and the other methods are
        // out of reach because `Driver` calls this from its own end only.
        // Checked: tests/leaks.rs, tests/shutdown_inflight.rs.
        unsafe { ManuallyDrop::drop(&mut self.ring) }
        // After the ring, which the kernel used them through.
        self.buffers = None;
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.shutdown(ON_DROP);
    }
}
