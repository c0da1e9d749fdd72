//! Who may give the disk work, and how much of it is on its way: shares between queues ([`Scheduler`]) over a depth that follows
//! what the disk does ([`Depth`]). Pure: no clock, no system call, so that `crates/simulator` runs the very same code.
//!
//! A disk that is given everything at once serves in its own order: who asks for little then waits behind who asks for much. So
//! what exceeds the depth waits here, where classes count; the depth is the least at which the disk still does its best.
mod depth;
mod gate;
mod scheduler;

pub use depth::{Arm, Depth};
pub(crate) use gate::{Gate, Waiting};
pub use scheduler::{Class, Grant, Scheduler};

/// Work of an operation that moves no byte, in bytes: what a small operation costs a disk beside its bytes.
pub const WORK_BASE: u64 = 4096;

/// What an operation of `bytes` asks of the disk.
pub fn work(bytes: u64) -> u64 {
    bytes.saturating_add(WORK_BASE)
}
