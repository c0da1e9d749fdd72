//! Where the members of a pool run: a [`Placement`] and a [`Topology`] give each member a [`Seat`], or an error that says why
//! not and what would.
//!
//! `choose.rs` has the two algorithms, `error.rs` the reasons, `seat.rs` and `memory.rs` put a thread and its memory there.
mod choose;
mod error;
mod memory;
mod seat;

pub use error::PlacementError;
pub use seat::{Seat, sit};

use crate::topology::{CpuSet, Topology};
use std::fmt;

/// Most members of one pool; the address book of executors has four times as many entries.
pub const MEMBERS_MAX: usize = 1024;

/// How members are laid over the machine.
///
/// ```
/// use ringwheel_executor::{placement::{Filter, Placement}, topology::Topology};
///
/// let topology = Topology::read();
/// let seats = Placement::MaxSpread(Filter::default()).seats(&topology, Some(1))?;
/// assert_eq!(seats[0].cpus.as_ref().map(|cpus| cpus.len()), Some(1));
/// # Ok::<(), ringwheel_executor::placement::PlacementError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The kernel places and moves the threads. Default.
    #[default]
    Unbound,
    /// Each member may run on every CPU of the filter.
    Fenced(Filter),
    /// Member i on CPU i of the list; a CPU may be named more than once.
    Fixed(Vec<usize>),
    /// Each member on a CPU of its own, as far from the others as the machine allows: physical cores before SMT siblings, fast
    /// cores before small ones, then evenly over packages, nodes and caches. For bandwidth: the members share little.
    MaxSpread(Filter),
    /// Each member on a CPU of its own, as close to the others as the machine allows: the fewest packages, nodes, caches and
    /// cores. For members that talk much: they share what they can.
    MaxPack(Filter),
    /// Member i on any CPU of set i.
    Custom(Vec<CpuSet>),
}

impl Placement {
    /// Seats for `size` members, in `1..=1024`. Without a size: as many as the list or the sets have; else one for each CPU of the
    /// filter, as far as a CPU quota goes.
    ///
    /// # Errors
    /// [`PlacementError`]: a CPU, package, core or node that is not there or not for this process; more members than CPUs; a
    /// list of another length than `size`.
    pub fn seats(&self, topology: &Topology, size: Option<usize>) -> Result<Vec<Seat>, PlacementError> {
        if let Some(size) = size
            && !(1..=MEMBERS_MAX).contains(&size)
        {
            return Err(PlacementError::Size { size, most: MEMBERS_MAX });
        }
        let sets: Vec<Option<CpuSet>> = match self {
            Placement::Unbound => {
                vec![None; size.unwrap_or_else(|| topology.parallelism()).min(MEMBERS_MAX)]
            }
            Placement::Fenced(filter) => {
                let cpus = filter.cpus(topology)?;
                vec![Some(cpus.clone()); size.unwrap_or_else(|| default_size(topology, &cpus))]
            }
            Placement::Fixed(cpus) => {
                let sets: Vec<CpuSet> = cpus.iter().map(|cpu| [*cpu].into_iter().collect()).collect();
                listed(&sets, topology, self, size)?
            }
            Placement::Custom(sets) => listed(sets, topology, self, size)?,
            Placement::MaxSpread(filter) | Placement::MaxPack(filter) => {
                let cpus = filter.cpus(topology)?;
                let size = size.unwrap_or_else(|| default_size(topology, &cpus));
                if size > cpus.len() {
                    return Err(PlacementError::NotEnough {
                        placement: self.name(),
                        size,
                        cpus,
                        why: error::why(topology, filter),
                    });
                }
                let chosen = match self {
                    Placement::MaxPack(_) => choose::pack(topology, &cpus, size),
                    _ => choose::spread(topology, &cpus, size),
                };
                chosen.into_iter().map(|cpu| Some([cpu].into_iter().collect())).collect()
            }
        };
        let seat = |cpus: Option<CpuSet>| {
            let node = cpus.as_ref().filter(|_| topology.nodes.len() > 1);
            Seat { node: node.and_then(|cpus| topology.node_of(cpus)), cpus }
        };
        Ok(sets.into_iter().map(seat).collect())
    }

    /// Its name, as the command line and TypeScript spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Placement::Unbound => "unbound",
            Placement::Fenced(_) => "fenced",
            Placement::Fixed(_) => "fixed",
            Placement::MaxSpread(_) => "max-spread",
            Placement::MaxPack(_) => "max-pack",
            Placement::Custom(_) => "custom",
        }
    }
}

fn default_size(topology: &Topology, cpus: &CpuSet) -> usize {
    cpus.len().min(topology.parallelism()).min(MEMBERS_MAX)
}

/// Sets that were named one by one: each has to be usable, and there has to be one for each member.
fn listed(
    sets: &[CpuSet],
    topology: &Topology,
    placement: &Placement,
    size: Option<usize>,
) -> Result<Vec<Option<CpuSet>>, PlacementError> {
    if size.is_some_and(|size| size != sets.len()) || sets.is_empty() || sets.len() > MEMBERS_MAX {
        return Err(PlacementError::Length { placement: placement.name(), listed: sets.len(), size });
    }
    for set in sets {
        if set.is_empty() {
            return Err(PlacementError::EmptySet);
        }
        error::usable(topology, set)?;
    }
    Ok(sets.iter().cloned().map(Some).collect())
}

/// Which CPUs a placement chooses from: those that are on every list that is given. `Default` is all that the process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Indices of packages in [`Topology::packages`].
    pub packages: Option<Vec<usize>>,
    /// Indices of physical cores in [`Topology::cores`].
    pub cores: Option<Vec<usize>>,
    /// The kernel's numbers of NUMA nodes.
    pub nodes: Option<Vec<usize>>,
    /// The kernel's numbers of CPUs.
    pub cpus: Option<CpuSet>,
}

impl Filter {
    /// The usable CPUs that pass.
    ///
    /// # Errors
    /// [`PlacementError`] when a list names what is not there, a CPU that this process may not use, or when nothing is left.
    pub fn cpus(&self, topology: &Topology) -> Result<CpuSet, PlacementError> {
        let nodes: Vec<usize> = topology.nodes.iter().map(|node| node.number).collect();
        known("package", self.packages.as_deref(), &(0..topology.packages.len()).collect::<Vec<_>>())?;
        known("core", self.cores.as_deref(), &(0..topology.cores.len()).collect::<Vec<_>>())?;
        known("NUMA node", self.nodes.as_deref(), &nodes)?;
        if let Some(cpus) = &self.cpus {
            error::usable(topology, cpus)?;
        }
        let usable = topology.usable();
        let passes = |list: &Option<Vec<usize>>, value: Option<usize>| match list {
            None => true,
            Some(list) => value.is_some_and(|value| list.contains(&value)),
        };
        let passing = topology.cpus.iter().filter(|cpu| {
            usable.contains(cpu.number)
                && passes(&self.packages, Some(cpu.package))
                && passes(&self.cores, Some(cpu.core))
                && passes(&self.nodes, cpu.node)
                && self.cpus.as_ref().is_none_or(|cpus| cpus.contains(cpu.number))
        });
        let passing: CpuSet = passing.map(|cpu| cpu.number).collect();
        if passing.is_empty() {
            return Err(PlacementError::NothingLeft {
                filter: self.to_string(),
                usable,
                why: error::why(topology, &Filter::default()),
            });
        }
        Ok(passing)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |list: &Option<Vec<usize>>| {
            list.as_ref().map(|list| list.iter().copied().collect::<CpuSet>().to_string())
        };
        let parts = [
            ("packages", list(&self.packages)),
            ("cores", list(&self.cores)),
            ("nodes", list(&self.nodes)),
            ("cpus", self.cpus.as_ref().map(CpuSet::to_string)),
        ];
        let given = parts.iter().filter_map(|(name, list)| match list.as_deref()? {
            "" => Some(format!("{name} of none")),
            list => Some(format!("{name} {list}")),
        });
        let given: Vec<String> = given.collect();
        f.write_str(if given.is_empty() { "no filter" } else { "" })?;
        f.write_str(&given.join(" and "))
    }
}

fn known(what: &'static str, list: Option<&[usize]>, all: &[usize]) -> Result<(), PlacementError> {
    match list.into_iter().flatten().find(|value| !all.contains(value)) {
        None => Ok(()),
        Some(value) => {
            Err(PlacementError::Unknown { what, value: *value, known: all.iter().copied().collect() })
        }
    }
}
