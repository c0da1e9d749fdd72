//! Life of a command, stages 3 to 5: the kernel edge. One contract, two backends.
//!
//! A [`Driver`] takes whole [`Operation`]s: everything the kernel may read or write (file descriptors, memory, paths) is
//! moved in, kept in the in-flight slab, and given back with the final [`Completion`] (INV-1). `op/` says what each
//! operation means and how each backend runs it; `uring/` and `poll/` are the backends; `memory/` owns every byte the
//! kernel sees.
#![warn(missing_docs)]

#[cfg(feature = "testing")]
pub mod contract;
mod distribution;
pub mod driver;
pub mod error;
pub mod handle;
mod inflight;
mod latency;
pub mod limits;
pub mod memory;
pub mod op;
mod options;
mod poll;
pub mod preempt;
#[cfg(target_os = "linux")]
mod uring;
mod wake;

pub use distribution::{BUCKETS, Distribution, Times};
pub use driver::{
    Completion, Driver, DriverKind, Host, Options, Refused, RefusedReason, ShutdownReport, Sqpoll, Stats,
    Ticket, Wait,
};
pub use error::{Errno, StartError};
pub use handle::Handle;
pub use latency::Latency;
pub use memory::{Arena, Chunk, Lease, LeaseId};
pub use op::Operation;
pub use wake::Waker;
