//! What it costs to create, run and drop an executor, and what each one leaves behind.
use crate::{Report, percentile, process_cpu_ns};
use std::time::Instant;

/// Lives a contender may leave descriptors behind in before it is stopped: far below the usual limit of open files.
const DESCRIPTORS_MAX: usize = 8_000;

/// Calls `live`, which makes an executor, runs something short on it and drops it, `count` times.
/// Prints the time of one life, and what grew: descriptors, mappings and resident memory.
///
/// # Panics
/// When /proc cannot be read.
pub fn lives(count: usize, mut live: impl FnMut()) {
    // Twice to begin with: what is made once per process is not a leak.
    live();
    live();
    // In memory from the start, as it would be counted as what the lives leave behind.
    let mut times: Vec<u32> = vec![1; count];
    times.clear();
    let before = [descriptors(), mappings(), resident_kib()];
    let (cpu, begun) = (process_cpu_ns(), Instant::now());
    for _ in 0..count {
        let start = Instant::now();
        live();
        times.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
        if times.len().is_multiple_of(100) && descriptors() > DESCRIPTORS_MAX {
            break;
        }
    }
    let wall = begun.elapsed().as_secs_f64() * 1e6;
    let cpu = (process_cpu_ns() - cpu) as f64 / 1e3;
    let done = times.len() as f64;
    let [fds, maps, kib] = [descriptors(), mappings(), resident_kib()];
    let grown = |after: usize, before: usize| (after as f64 - before as f64) * 1000.0 / done;
    Report::default()
        .with("life", wall / done)
        .with("p99", percentile(&mut times, 0.99) / 1e3)
        .with("CPU", cpu / done)
        .with("descriptors", grown(fds, before[0]))
        .with("mappings", grown(maps, before[1]))
        .with("resident", grown(kib, before[2]))
        .print();
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is there").count() - 1
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("/proc is there").lines().count()
}

fn resident_kib() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("/proc is there");
    pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4
}
