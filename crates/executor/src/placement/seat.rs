//! One member's place: its CPUs and the node its memory is on; and how a thread sits down there.
use super::memory;
use crate::topology::CpuSet;
use std::{fmt, io};

/// Where a thread runs and where its memory is taken from. `Default` leaves both to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// The CPUs it may run on; `None` leaves its mask as it is.
    pub cpus: Option<CpuSet>,
    /// The NUMA node its memory is taken from while that has any; `None` where there is only one, or the CPUs span several.
    pub node: Option<usize>,
}

impl Seat {
    /// A seat on one CPU, its memory left to the kernel, which takes it from the nearest node.
    pub fn on(cpu: usize) -> Seat {
        Seat { cpus: Some([cpu].into_iter().collect()), node: None }
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cpus {
            None => f.write_str("any CPU")?,
            Some(cpus) if cpus.len() == 1 => write!(f, "CPU {cpus}")?,
            Some(cpus) => write!(f, "CPUs {cpus}")?,
        }
        self.node.map_or(Ok(()), |node| write!(f, ", memory of node {node}"))
    }
}

/// Puts the calling thread there: pins it, and lets what it allocates from now on come from its node: its rings, which the kernel
/// allocates for it, and the arena, whose pages it is the first to touch. At most three system calls.
///
/// Returns a sentence when the memory part was refused (seccomp of a container) or left alone (numactl(8) chose a policy): then
/// the kernel's default holds, which takes the node of the CPU that first touches a page.
///
/// # Errors
/// When the thread cannot be pinned; the message has the CPUs and the remedy.
pub fn sit(seat: &Seat) -> io::Result<Option<String>> {
    if let Some(cpus) = &seat.cpus {
        pin(cpus)?;
    }
    Ok(seat.node.and_then(|node| memory::prefer(node).err()))
}

#[cfg(target_os = "linux")]
fn pin(cpus: &CpuSet) -> io::Result<()> {
    use rustix::thread::{CpuSet as Mask, sched_setaffinity};
    let mut mask = Mask::new();
    for cpu in cpus.iter() {
        if cpu >= Mask::MAX_CPU {
            let text = format!("cpu is {cpu}; this system numbers them below {}", Mask::MAX_CPU);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        mask.set(cpu);
    }
    sched_setaffinity(None, &mask).map_err(|errno| {
        io::Error::new(
            io::Error::from(errno).kind(),
            format!("pinning to cpu {cpus}: {errno}; choose one that this process may use"),
        )
    })
}

/// Other systems have no way, or only a hint.
#[cfg(not(target_os = "linux"))]
fn pin(_: &CpuSet) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "pinning a thread needs Linux; use the placement \"unbound\"",
    ))
}
