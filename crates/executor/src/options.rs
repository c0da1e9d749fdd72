//! How an executor is started: the driver's options and the bounds of one turn.
use std::time::Duration;

/// Options of [`crate::Executor::start`]. `Default` is a native executor with the driver the kernel allows.
#[derive(Clone, Debug)]
pub struct Options {
    /// The driver: backend, entries, memory, provided buffers.
    pub driver: ringwheel_driver::Options,
    /// Task polls in one turn, in `1..=65536`. Default 256.
    pub polls_max: u32,
    /// Expired timers handled in one turn, in `1..=65536`. Default 1024.
    pub timers_max: u32,
    /// Completions handled in one turn, in `1..=65536`. Default 1024.
    pub completions_max: u32,
    /// Tasks alive at once, in `1..=4194304`. Default 1048576.
    pub tasks_max: u32,
    /// Longest time to look for work before the thread parks, adapted downwards while it does not pay.
    /// `None` (default) parks at once; at most one second.
    pub spin: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            driver: ringwheel_driver::Options {
                kind: None,
                host: ringwheel_driver::Host::Native,
                entries: 1024,
                completion_entries: None,
                memory: 4 << 20,
                chunks: 256,
                chunk_bytes: 4096,
                sqpoll: None,
                pool_threads: 4,
            },
            polls_max: 256,
            timers_max: 1024,
            completions_max: 1024,
            tasks_max: 1 << 20,
            spin: None,
        }
    }
}
