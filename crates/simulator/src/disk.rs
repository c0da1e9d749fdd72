//! A disk: units that work side by side, each on one operation at a time, first come, first served.
use crate::Random;

/// What a disk is like. Times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// For tables.
    pub name: &'static str,
    /// What works side by side.
    pub units: usize,
    /// Each operation has its unit (a flash channel holds its own blocks); else whoever is free takes the next.
    pub bound: bool,
    /// Of an operation without its bytes; a fixed part, and the mean of an exponential one.
    pub base: (f64, f64),
    /// Of one byte.
    pub byte: f64,
    /// How much longer a write takes.
    pub write: f64,
    /// A unit that has written this many bytes rests this long (flash that collects its garbage). 0: never.
    pub rest: (u64, f64),
}

impl Model {
    /// A fast drive: any of 32 units takes the next operation.
    pub const FLASH: Model = Model {
        name: "flash, shared queue",
        units: 32,
        bound: false,
        base: (60_000.0, 20_000.0),
        byte: 2.0,
        write: 1.0,
        rest: (0, 0.0),
    };
    /// A drive whose units rest while they collect garbage; whoever is free takes the next operation.
    pub const GARBAGE: Model = Model {
        name: "flash that collects garbage",
        units: 16,
        bound: false,
        base: (50_000.0, 30_000.0),
        byte: 1.5,
        write: 1.5,
        rest: (64 << 20, 2_000_000.0),
    };
    /// A drive whose blocks lie in 16 channels that rest while they collect garbage.
    pub const CHANNELS: Model = Model {
        name: "flash, 16 bound channels",
        units: 16,
        bound: true,
        base: (50_000.0, 30_000.0),
        byte: 1.5,
        write: 1.5,
        rest: (64 << 20, 2_000_000.0),
    };
    /// A disk that turns.
    pub const TURNING: Model = Model {
        name: "turning disk",
        units: 1,
        bound: false,
        base: (4_000_000.0, 2_000_000.0),
        byte: 6.0,
        write: 1.0,
        rest: (0, 0.0),
    };
}

/// A disk in a run.
#[derive(Clone, Debug)]
pub struct Disk {
    model: Model,
    free_at: Vec<f64>,
    written: Vec<u64>,
}

impl Disk {
    /// Nothing to do yet.
    pub fn new(model: Model) -> Disk {
        Disk { model, free_at: vec![0.0; model.units.max(1)], written: vec![0; model.units.max(1)] }
    }

    /// When an operation that comes now will have been done.
    pub fn accept(&mut self, bytes: u64, is_write: bool, now: f64, random: &mut Random) -> f64 {
        let units = self.free_at.len();
        let unit = if self.model.bound {
            (random.bits() % units as u64) as usize
        } else {
            (0..units).min_by(|one, other| self.free_at[*one].total_cmp(&self.free_at[*other])).unwrap_or(0)
        };
        let (fixed, mean) = self.model.base;
        let mut takes = fixed + random.exponential(mean) + self.model.byte * bytes as f64;
        if is_write {
            takes *= self.model.write;
            self.written[unit] += bytes;
            if self.model.rest.0 > 0 && self.written[unit] >= self.model.rest.0 {
                self.written[unit] = 0;
                takes += self.model.rest.1;
            }
        }
        let done = self.free_at[unit].max(now) + takes;
        self.free_at[unit] = done;
        done
    }
}
