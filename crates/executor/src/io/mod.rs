//! Who may give the disk work, and how much of it is on its way: shares between queues ([`Scheduler`]) over a depth that follows
//! what the disk does ([`Depth`]). Pure: no clock, no system call, so that `crates/simulator` runs the very same code.
//!
//! A disk that is given everything at once serves in its own order: who asks for little then waits behind who asks for much. So
//! what exceeds the depth waits here, where classes count; the depth is the least at which the disk still does its best.
mod depth;
mod flush;
mod gate;
mod properties;
mod scheduler;

pub use depth::{Arm, Depth};
pub use flush::Flush;
pub(crate) use gate::{Gate, Waiting};
pub use properties::{Costs, DiskProperties, PropertiesError, Rate};
use ringwheel_driver::Operation;
pub use scheduler::{AdaptiveStats, Class, Grant, Scheduler};

/// Classes of one executor: as many as it has queues.
pub const CLASSES: usize = ringwheel_command::layout::CLASSES as usize;
/// The depth to begin with where nothing is known of the disk: 128 reads of 4 KiB.
const FIRST_DEPTH: u64 = 1 << 20;
/// Bytes of a read of which the saturation depth counts some.
const SMALL: u64 = 4096;

/// How adaptive submission starts. `Default` knows nothing of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Adaptive {
    /// What `ringwheel calibrate` found: what operations cost, and the depth to begin with. Default: none; an operation costs its bytes
    /// and 4 KiB, and the depth begins at 1 MiB of that.
    pub properties: Option<DiskProperties>,
}

impl Adaptive {
    /// What operations cost.
    pub fn costs(&self) -> Costs {
        self.properties.as_ref().map_or_else(Costs::default, Costs::of)
    }

    /// The controller to begin with.
    pub fn depth(&self) -> Depth {
        let known = self.properties.as_ref();
        Depth::new(
            known.map_or(FIRST_DEPTH, |disk| u64::from(disk.saturation_depth) * Costs::of(disk).read(SMALL)),
        )
    }
}

/// What an operation asks of the disk; `None` for one that does not go through the scheduler.
pub(crate) fn work(costs: &Costs, operation: &Operation) -> Option<u64> {
    match operation {
        Operation::Read(read) => Some(costs.read(read.target.room() as u64)),
        Operation::Write(write) => Some(costs.write(write.source.len() as u64)),
        _ => None,
    }
}
