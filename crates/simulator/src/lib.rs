//! Disks that do not exist, in time that does not pass: latency models with a seed, and the executor's own scheduler before them.
//!
//! A run is a pure function of its models and its seed, so that a claim about latencies can be tested: `tests/adaptive.rs` compares
//! [`Policy::Adaptive`] with every fixed depth and batch of a sweep.
#![forbid(unsafe_code)]
mod disk;
mod random;
mod run;

pub use disk::{Disk, Model};
pub use random::Random;
pub use run::{Outcome, Policy, Stream, run};
