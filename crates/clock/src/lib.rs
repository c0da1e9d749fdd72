//! The timing wheel: what a tick is, what range and resolution timers have, what happens to late ones.
//!
//! * A **tick** is one millisecond since an origin that the caller chose; ticks are plain `u64`, so tests own the clock.
//!   [`deadline_tick`] rounds a time up, [`now_tick`] rounds it down: together they make "never early" hold.
//! * A timer fires when [`Wheel::expire`] is called with `now >= deadline`, in the order of deadlines; the order within one
//!   tick is not promised. A deadline that has passed already counts as the wheel's current tick. Any `u64` is a deadline.
//! * Insert, cancel and re-arm are O(1) and allocate only when they grow (a page of timers, a slot of keys).
//! * One call of `expire` does bounded work; what is left over comes first in the next call.
//!
//! ```
//! use ringwheel_clock::Wheel;
//!
//! let mut wheel = Wheel::new(0);
//! wheel.insert(30, "later");
//! let timeout = wheel.insert(20, "timeout");
//! wheel.insert(10, "soon");
//! assert_eq!(wheel.cancel(timeout), Some("timeout"));
//! assert_eq!(wheel.next_deadline(), Some(10));
//!
//! let mut fired = Vec::new();
//! assert_eq!(wheel.expire(1000, 64, |value| fired.push(value)), 2);
//! assert_eq!(fired, ["soon", "later"]);
//! ```
//!
//! ## How it works
//!
//! ```text
//!   slab: pages of 1024 timers         four byte wheels (hierarchical_hash_wheel_timer): 256 slots of plain keys each
//!   ┌────┬──────────┬──┬─┐┌────────┐   level 0: one tick a slot      level 2: 65,536 ticks a slot
//!   │slot│generation│at│T││deadline│ ◀ level 1: 256 ticks a slot     level 3: 16,777,216 ticks a slot
//!   └────┴──────────┴──┴─┘└────────┘   occupancy: a bit for each slot, and the earliest deadline behind it
//! ```
//!
//! The wheel carries 4-byte keys, slots of the slab; the truth is in the slab. `at` is the tick at which the timer's key comes
//! up: a key that comes up at another one is stale. Cancel bumps a number in the slab and leaves a stale key behind;
//! re-arming to a later deadline changes only the slab, and the key is placed again when it comes up. When stale keys
//! outnumber live ones, the wheel is rebuilt from the slab: at once when there are few timers, else a few pages a turn, while
//! the old wheel ticks on beside the new one.
//!
//! A timer that is not due within the current 256 ticks waits not at its deadline but at the first tick of its slot. So every
//! key comes back through [`Wheel::expire`], which places it again more finely: no key moves by itself, the occupancy bits
//! are always exact, and moving a crowded slot is spread over bounded turns.
#![forbid(unsafe_code)]

mod occupancy;
mod placement;
mod slab;
mod source;
mod wheel;

pub use slab::TimerKey;
pub use source::{deadline_tick, now_tick};
#[doc(hidden)]
pub use wheel::Rebuild;
pub use wheel::Wheel;
