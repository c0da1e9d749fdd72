//! What examples that measure calls share: commands pushed as a script pushes them, and the process's CPU.
use ringwheel_command::{
    CallNumber, Command, Consumer, Geometry, Opcode, Producer, Region, ScriptSide,
    call::{BLOCK_HEADER, field},
    layout::{COMMAND_WORDS, COMPLETION_WORDS},
};
use ringwheel_driver::LeaseId;
use ringwheel_executor::{Executor, Options, Park, bridge::Bridge};
use std::time::Duration;

/// A script's side of an executor's rings.
pub struct Rig {
    executor: Executor,
    pub bridge: Bridge,
    commands: Producer<Region, COMMAND_WORDS>,
    completions: Consumer<Region, COMPLETION_WORDS>,
    leases: Vec<LeaseId>,
}

impl Rig {
    /// With so many leases: a call each at once.
    pub fn new(at_once: usize) -> Rig {
        let mut executor = Executor::start(Options::default()).unwrap();
        let region = Region::owned(Geometry::DEFAULT);
        let ScriptSide { commands, completions } = region.script_side();
        let arena = executor.edge(|edge| edge.driver.arena().clone()).unwrap();
        let mut bridge = Bridge::new(region, arena, None);
        let leases = (0..at_once).map(|_| bridge.lease(16_384).unwrap().0).collect();
        Rig { executor, bridge, commands, completions, leases }
    }

    /// Runs calls at once, to their end. Answers that are parcels are taken, and dropped.
    pub fn batch(&mut self, blocks: &[Vec<u8>]) {
        for (slot, block) in blocks.iter().enumerate() {
            let lease = self.leases[slot];
            self.bridge.with_lease(lease, |_, place| place[..block.len()].copy_from_slice(block)).unwrap();
            // A write's bytes are whatever the lease holds behind the block.
            let command = Command {
                opcode: Opcode::Call as u8,
                pending_slot: slot as u32,
                lease_slot: lease.slot,
                lease_generation: lease.generation,
                length: block.len() as u32,
                ..Command::ZERO
            };
            self.commands.push(command.to_words()).unwrap();
        }
        self.commands.publish();
        let mut left = blocks.len();
        while left > 0 {
            let busy = self.bridge.has_commands();
            let park = if busy { Park::No } else { Park::Thread };
            self.executor.turn(&mut self.bridge, park);
            self.bridge.publish();
            let mut batch = self.completions.batch().unwrap();
            while let Some([_, result]) = batch.peek() {
                assert!(result as u32 as i32 >= 0, "errno {}", result as u32 as i32);
                drop(self.bridge.take_parcel((result >> 32) as u32));
                left -= 1;
                batch.advance();
            }
        }
    }
}

/// A call's request block.
pub fn block(number: CallNumber, flags: u32, mode: u32, [a, b]: [f64; 2], paths: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_HEADER];
    let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    put(field::NUMBER, number as u32);
    put(field::FLAGS, flags);
    put(field::MODE, mode);
    for (path, at) in paths.iter().zip([field::FIRST, field::SECOND]) {
        put(at, path.len() as u32);
    }
    bytes[field::A..field::A + 8].copy_from_slice(&a.to_le_bytes());
    bytes[field::B..field::B + 8].copy_from_slice(&b.to_le_bytes());
    for path in paths {
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// CPU time of the process so far: pool threads and the kernel's workers, too.
pub fn cpu() -> Duration {
    // SAFETY: `getrusage` needs a place to write to; zeros are a valid one.
    let mut usage = unsafe { std::mem::zeroed::<libc::rusage>() };
    // SAFETY: as above.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let of =
        |time: libc::timeval| Duration::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64);
    of(usage.ru_utime) + of(usage.ru_stime)
}
