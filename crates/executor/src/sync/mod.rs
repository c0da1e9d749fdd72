//! What tasks of one core wait for: [`Semaphore`], [`RwLock`], [`Gate`], [`Barrier`], [`DeadlineQueue`], and [`Event`] across cores too.
//!
//! All of them belong to one thread: no atomic instruction, no lock. Whoever waits is served in the order of asking, and a future
//! that is dropped while it waits, or just after it was served, takes nothing along. Waiting allocates only until as many have
//! waited at once before.
mod barrier;
mod deadline;
mod gate;
pub(crate) mod raw;
mod rwlock;
mod semaphore;
mod waiters;

pub use crate::event::Event;
pub use barrier::{Barrier, BarrierWait};
pub use deadline::{DeadlineQueue, Progress};
pub use gate::{Gate, GateClose, GateClosed, Pass};
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::{Acquire, Permit, Semaphore, SemaphoreClosed, TryAcquireError};
