//! What the machine is made of, and what of it this process may use: packages, cores, SMT siblings, caches, NUMA nodes, read
//! from sysfs; the affinity mask, cgroup cpusets and CPU quotas, read from proc and cgroupfs.
//!
//! `read.rs` reads the tree, `limits.rs` what narrows it. Every path begins at a root, so that a recorded tree reads like the
//! machine it came from (`tests/topology.rs`). A file that is missing or makes no sense is a note, never an error: containers
//! hide parts of sysfs, and a program there has to start all the same.
mod cpus;
mod limits;
mod read;

pub use cpus::CpuSet;
pub use limits::{Limit, Limits, Quota};
use std::path::Path;

/// One logical CPU that is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number.
    pub number: usize,
    /// Index in [`Topology::cores`].
    pub core: usize,
    /// Index in [`Topology::packages`].
    pub package: usize,
    /// The kernel's number of its NUMA node; `None` where the kernel names none.
    pub node: Option<usize>,
    /// 0 for the core's first thread, 1 for its SMT sibling, and so on.
    pub thread: usize,
    /// 0 for the machine's fastest kind of core, 1 for the next (small cores of big.LITTLE and hybrid chips).
    pub kind: usize,
    /// Indices in [`Topology::caches`] of those it reads data through, the last (largest) level first.
    pub caches: Vec<usize>,
}

/// A physical core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// Index in [`Topology::packages`].
    pub package: usize,
    /// Its SMT siblings that are online.
    pub cpus: CpuSet,
}

/// A package: a socket, or what a hypervisor shows as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What the kernel calls it; not dense (36 and 8442 on one machine), so everything else uses the index.
    pub kernel_id: i64,
    /// Its CPUs that are online.
    pub cpus: CpuSet,
}

/// A NUMA node with CPUs, memory, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The kernel's number, as numactl(8) uses it.
    pub number: usize,
    /// Its CPUs that are online; empty for a node of memory alone.
    pub cpus: CpuSet,
    /// Bytes of memory; `None` where the kernel does not say.
    pub memory_bytes: Option<u64>,
    /// Relative cost of reaching each node of [`Topology::nodes`] from here, 10 being the node itself.
    pub distances: Vec<u32>,
}

/// One cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// 1 to 4.
    pub level: u32,
    /// Data, instructions or both.
    pub kind: CacheKind,
    /// Bytes; 0 where the kernel does not say.
    pub bytes: u64,
    /// Its CPUs that are online.
    pub cpus: CpuSet,
}

/// What a cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheKind {
    /// Data only.
    Data,
    /// Instructions only.
    Instruction,
    /// Both.
    Unified,
}

/// The machine, and what this process may use of it. A copy of one moment: CPUs that go offline later are not seen.
///
/// ```
/// use ringwheel_executor::topology::Topology;
///
/// let topology = Topology::read();
/// let usable = topology.usable();
/// assert!(topology.parallelism() >= 1);
/// for cpu in topology.cpus.iter().filter(|cpu| usable.contains(cpu.number)) {
///     println!("CPU {} is thread {} of core {}", cpu.number, cpu.thread, cpu.core);
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Online CPUs, by number.
    pub cpus: Vec<Cpu>,
    /// Physical cores, by their lowest CPU.
    pub cores: Vec<Core>,
    /// Packages, by their lowest CPU.
    pub packages: Vec<Package>,
    /// NUMA nodes, by number; empty where the kernel has none.
    pub nodes: Vec<Node>,
    /// Caches, by level, kind and lowest CPU.
    pub caches: Vec<Cache>,
    /// CPUs that the machine has and that are switched off.
    pub offline: CpuSet,
    /// What narrows this process.
    pub limits: Limits,
    /// What could not be read, one sentence each.
    pub notes: Vec<String>,
}

impl Topology {
    /// Reads this machine: some thirty small files for each CPU, half a millisecond for two CPUs. Meant for starts.
    ///
    /// It cannot fail: what is hidden is assumed (every CPU a core of its own, one package, no nodes) and said in
    /// [`Topology::notes`].
    ///
    /// ```
    /// let topology = ringwheel_executor::topology::Topology::read();
    /// assert!(!topology.usable().is_empty());
    /// ```
    pub fn read() -> Topology {
        Topology::read_at(Path::new("/"))
    }

    /// Reads a tree that looks like this machine's `/sys` and `/proc`, beneath another root.
    pub fn read_at(root: &Path) -> Topology {
        read::read(root)
    }

    /// The CPUs that this process may use: online, and in its affinity mask and cpuset.
    pub fn usable(&self) -> CpuSet {
        self.cpus.iter().map(|cpu| cpu.number).filter(|cpu| self.limits.allows(*cpu)).collect()
    }

    /// How many threads can run at once: the usable CPUs, or the CPU quota rounded down when that is less; at least 1.
    pub fn parallelism(&self) -> usize {
        let quota = self.limits.quota.as_ref().map_or(usize::MAX, |quota| quota.cpus as usize);
        self.usable().len().min(quota).max(1)
    }

    /// The CPU of this number, if it is online.
    pub fn cpu(&self, number: usize) -> Option<&Cpu> {
        self.cpus.binary_search_by_key(&number, |cpu| cpu.number).ok().map(|index| &self.cpus[index])
    }

    /// The one NUMA node that all these CPUs are on, if there is one.
    pub fn node_of(&self, cpus: &CpuSet) -> Option<usize> {
        let mut nodes = cpus.iter().map(|cpu| self.cpu(cpu)?.node);
        let first = nodes.next()??;
        nodes.all(|node| node == Some(first)).then_some(first)
    }
}
