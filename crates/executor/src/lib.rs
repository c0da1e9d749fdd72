//! One core: an [`Executor`] runs tasks, timers and kernel operations of one thread, one `turn` at a time.
//!
//! Read in this order: `turn.rs` (the six bounded steps), `task/` (tasks, their memory, their wakers), `remote.rs` and
//! `waker_ring.rs` (the only door for other threads), `operation/` (futures over the driver), then what users see:
//! [`time`], [`net`], [`fs`], [`thread`], [`event`], [`channel`]. `bridge/` is the embedded JavaScript client of a turn.
#![cfg(unix)]
#![warn(missing_docs)]

mod blocking;
pub mod bridge;
pub mod channel;
mod core;
mod current;
mod error;
pub mod event;
mod executor;
pub mod fs;
pub mod io;
pub mod net;
mod operation;
mod options;
pub mod placement;
pub mod pool;
mod preempt;
mod queue;
mod remote;
mod spin;
pub mod stall;
mod stats;
pub mod sync;
mod task;
pub mod thread;
pub mod time;
mod timers;
pub mod topology;
mod turn;
mod waker_ring;

pub use blocking::spawn_blocking;
pub use channel::submit::{Remote, SubmitError, submit_to};
pub use error::{JoinError, PanicPayload, QueueError, RunError, SpawnError, StartError};
pub use executor::{
    Executor, ExecutorWaker, ShutdownReport, driver_features, driver_kind, driver_notes, stats,
};
pub use options::Options;
pub use preempt::{YieldIfNeeded, need_preempt, yield_if_needed};
pub use queue::{
    Latency, QueueLatencies, QueueOptions, QueueStats, Removal, Removed, TaskQueue, queue_latencies,
    queue_stats, spawn_into, try_spawn_into,
};
pub use ringwheel_driver::{
    BUCKETS, Chunk, Distribution, DriverKind, Latency as OperationLatency, Lease, Times,
    memory::{Source, Target},
    preempt::{Preempt, PreemptKind, PreemptStats},
};
pub use stats::Stats;
pub use task::{JoinHandle, RemoteHandle, YieldNow, spawn, try_spawn, yield_now};
pub use turn::{CLIENT_TOKEN, Client, Edge, NoClient, Park, Turn};

/// The Rust examples of the guides compile and run as doc tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../../../docs/guides/queues-and-preemption.md")]
    mod queues {}
    #[doc = include_str!("../../../docs/guides/many-cores.md")]
    mod many_cores {}
    #[doc = include_str!("../../../docs/guides/adaptive-io.md")]
    mod adaptive_io {}
    #[doc = include_str!("../../../docs/guides/seeing-inside.md")]
    mod seeing_inside {}
    #[doc = include_str!("../../../docs/guides/from-glommio.md")]
    mod from_glommio {}
    #[doc = include_str!("../../../docs/guides/from-monoio-and-tokio.md")]
    mod from_monoio_and_tokio {}
}
