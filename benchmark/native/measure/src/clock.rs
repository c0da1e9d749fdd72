//! Time stamps cheap enough to put around 10 ns of work, and the CPU time of the process.
use std::time::Instant;

/// A clock of a few nanoseconds' cost: the time stamp counter where there is one, `Instant` elsewhere.
#[derive(Debug)]
pub struct Ticks {
    #[cfg(not(target_arch = "x86_64"))]
    start: Instant,
    per_nanosecond: f64,
    overhead: u64,
}

impl Ticks {
    /// Calibrates for 50 ms.
    pub fn calibrated() -> Ticks {
        let mut ticks = Ticks {
            #[cfg(not(target_arch = "x86_64"))]
            start: Instant::now(),
            per_nanosecond: 1.0,
            overhead: 0,
        };
        let (start, first) = (Instant::now(), ticks.now());
        while start.elapsed().as_millis() < 50 {
            std::hint::spin_loop();
        }
        ticks.per_nanosecond = (ticks.now() - first) as f64 / start.elapsed().as_nanos() as f64;
        ticks.overhead = (0..10_000)
            .map(|_| {
                let first = ticks.now();
                ticks.now() - first
            })
            .min()
            .unwrap_or(0);
        ticks
    }

    /// A time stamp.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub fn now(&self) -> u64 {
        // SAFETY: `_rdtsc` needs a processor with a time stamp counter. Every x86-64 has one. Checked by `calibrated`, which divides by what it gives.
        unsafe { core::arch::x86_64::_rdtsc() }
    }

    /// A time stamp.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    pub fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Nanoseconds since the time stamp `first`, without the cost of the two stamps.
    #[inline]
    pub fn nanoseconds_since(&self, first: u64) -> f64 {
        (self.now() - first).saturating_sub(self.overhead) as f64 / self.per_nanosecond
    }
}

/// CPU nanoseconds of this process, all threads.
pub fn process_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
