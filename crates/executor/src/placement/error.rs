//! Why a placement cannot be met: what was asked for, what there is, and what would help.
use super::Filter;
use crate::topology::{CpuSet, Limit, Topology};
use std::fmt;

/// Why a placement cannot be met. Every message ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementError {
    /// More members than CPUs to place each on one of its own.
    NotEnough {
        /// The placement's name.
        placement: &'static str,
        /// Members asked for.
        size: usize,
        /// The CPUs to choose from.
        cpus: CpuSet,
        /// What narrows them; empty when they are the whole machine.
        why: String,
    },
    /// A CPU that was named is not there, offline, or not for this process.
    Unusable {
        /// The CPU.
        cpu: usize,
        /// Why.
        why: String,
        /// The CPUs that could be named.
        usable: CpuSet,
    },
    /// A package, core or node that was named is not there.
    Unknown {
        /// `package`, `core` or `NUMA node`.
        what: &'static str,
        /// The number that was named.
        value: usize,
        /// The numbers there are.
        known: CpuSet,
    },
    /// Nothing passes the filter that this process may use.
    NothingLeft {
        /// The filter.
        filter: String,
        /// The CPUs that this process may use.
        usable: CpuSet,
        /// What narrows them; empty when they are the whole machine.
        why: String,
    },
    /// A list that is empty, too long, or not as long as the pool is large.
    Length {
        /// The placement's name.
        placement: &'static str,
        /// Entries in the list.
        listed: usize,
        /// Members asked for.
        size: Option<usize>,
    },
    /// A member's set has no CPU.
    EmptySet,
    /// A pool of this size cannot be.
    Size {
        /// Members asked for.
        size: usize,
        /// The most.
        most: usize,
    },
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ERR_RINGWHEEL_PLACEMENT: ")?;
        match self {
            PlacementError::NotEnough { placement, size, cpus, why } => write!(
                f,
                "{placement} places each member on a CPU of its own, and {size} members have only {} to choose from ({cpus}{why}); use a size of at most {}, or \"unbound\" or \"fenced\", whose members share CPUs",
                count(cpus.len(), "CPU"),
                cpus.len()
            ),
            PlacementError::Unusable { cpu, why, usable } => {
                write!(f, "CPU {cpu} {why}; this process may use {usable}")
            }
            PlacementError::Unknown { what, value, known } => {
                write!(f, "there is no {what} {value}; ")?;
                match known.len() {
                    0 => write!(f, "the kernel names none here, so leave that filter out"),
                    1 => write!(f, "there is only {known} (see `ringwheel topology`)"),
                    _ => write!(f, "there are {known} (see `ringwheel topology`)"),
                }
            }
            PlacementError::NothingLeft { filter, usable, why } => write!(
                f,
                "no CPU is left: of those that this process may use ({usable}{why}) none is on every list of the filter ({filter}); widen one of them"
            ),
            PlacementError::Length { placement, listed, size } => {
                write!(f, "{placement} lists {}", count(*listed, "member"))?;
                match size {
                    Some(size) => {
                        write!(f, ", and the pool has a size of {size}; leave the size out, or list as many")
                    }
                    None => write!(f, "; list 1 to {}", super::MEMBERS_MAX),
                }
            }
            PlacementError::EmptySet => {
                f.write_str("custom has a set without a CPU; name at least one for each member")
            }
            PlacementError::Size { size, most } => write!(f, "size is {size}; it must be in 1..={most}"),
        }
    }
}

impl std::error::Error for PlacementError {}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Every CPU of a set that was named has to be usable.
pub(super) fn usable(topology: &Topology, cpus: &CpuSet) -> Result<(), PlacementError> {
    let usable = topology.usable();
    let Some(cpu) = cpus.iter().find(|cpu| !usable.contains(*cpu)) else { return Ok(()) };
    let limits = &topology.limits;
    let why = if topology.offline.contains(cpu) {
        "is offline".to_owned()
    } else if topology.cpu(cpu).is_none() {
        "is not there".to_owned()
    } else {
        match &limits.cpuset {
            Some(Limit { cpus, file }) if !cpus.contains(cpu) => {
                format!("is not in this process's cpuset ({cpus} in {})", file.display())
            }
            Some(_) | None => "is not in this process's affinity mask (taskset)".to_owned(),
        }
    };
    Err(PlacementError::Unusable { cpu, why, usable })
}

/// What keeps the rest of the machine's CPUs away, as the end of a sentence.
pub(super) fn why(topology: &Topology, filter: &Filter) -> String {
    let all: CpuSet = topology.cpus.iter().map(|cpu| cpu.number).collect();
    let mut reasons = Vec::new();
    if *filter != Filter::default() {
        reasons.push(format!("the filter {filter}"));
    }
    if let Some(Limit { cpus, file }) = &topology.limits.cpuset
        && all.iter().any(|cpu| !cpus.contains(cpu))
    {
        reasons.push(format!("the cpuset in {}", file.display()));
    } else if topology.usable() != all {
        reasons.push("the affinity mask (taskset)".to_owned());
    }
    if !topology.offline.is_empty() {
        reasons.push(format!("CPUs {} being offline", topology.offline));
    }
    if reasons.is_empty() { String::new() } else { format!(", because of {}", reasons.join(" and ")) }
}
