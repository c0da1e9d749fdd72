//! `topology` and `place`: what the machine has, and where a placement puts members. Translation of crates/executor's.
use crate::error::coded;
use napi::Result;
use napi_derive::napi;
use ringwheel_executor::{
    placement::{Filter, Placement, PlacementError, Seat},
    topology::{CacheKind, CpuSet, Topology},
};

/// The machine, as lib/api/topology.ts describes it.
#[napi(object)]
pub struct NativeTopology {
    pub cpus: Vec<NativeCpu>,
    pub cores: Vec<NativeCore>,
    pub packages: Vec<NativePackage>,
    pub nodes: Vec<NativeNode>,
    pub caches: Vec<NativeCache>,
    pub offline: Vec<u32>,
    pub usable: Vec<u32>,
    pub parallelism: u32,
    pub limits: NativeLimits,
    pub notes: Vec<String>,
}

/// One logical CPU.
#[napi(object)]
pub struct NativeCpu {
    pub number: u32,
    pub core: u32,
    pub package: u32,
    pub node: Option<u32>,
    pub thread: u32,
    pub kind: u32,
    pub caches: Vec<u32>,
}

/// A physical core.
#[napi(object)]
pub struct NativeCore {
    pub package: u32,
    pub cpus: Vec<u32>,
}

/// A package.
#[napi(object)]
pub struct NativePackage {
    pub kernel_id: i64,
    pub cpus: Vec<u32>,
}

/// A NUMA node.
#[napi(object)]
pub struct NativeNode {
    pub number: u32,
    pub cpus: Vec<u32>,
    pub memory_bytes: Option<f64>,
    pub distances: Vec<u32>,
}

/// A cache.
#[napi(object)]
pub struct NativeCache {
    pub level: u32,
    pub kind: String,
    pub bytes: f64,
    pub cpus: Vec<u32>,
}

/// What narrows this process.
#[napi(object)]
pub struct NativeLimits {
    pub affinity: Option<Vec<u32>>,
    pub cpuset: Option<NativeCpuset>,
    pub quota: Option<NativeQuota>,
}

/// A cpuset and where it is set.
#[napi(object)]
pub struct NativeCpuset {
    pub cpus: Vec<u32>,
    pub file: String,
}

/// A quota and where it is set.
#[napi(object)]
pub struct NativeQuota {
    pub cpus: f64,
    pub file: String,
}

/// A placement and a size, as lib/api/placement.ts has checked them.
#[napi(object)]
pub struct NativePlacement {
    pub kind: String,
    pub size: Option<u32>,
    pub packages: Option<Vec<u32>>,
    pub cores: Option<Vec<u32>>,
    pub nodes: Option<Vec<u32>>,
    pub cpus: Option<Vec<u32>>,
    pub sets: Option<Vec<Vec<u32>>>,
}

/// Where one member runs.
#[napi(object)]
pub struct NativeSeat {
    /// Left out: the kernel places it.
    pub cpus: Option<Vec<u32>>,
    pub node: Option<u32>,
}

fn list(cpus: &CpuSet) -> Vec<u32> {
    cpus.iter().map(|cpu| cpu as u32).collect()
}

fn set(cpus: &[u32]) -> CpuSet {
    cpus.iter().map(|cpu| *cpu as usize).collect()
}

fn numbers(list: Option<Vec<u32>>) -> Option<Vec<usize>> {
    list.map(|list| list.into_iter().map(|number| number as usize).collect())
}

/// Reads this machine.
#[napi]
pub fn topology() -> NativeTopology {
    let topology = Topology::read();
    let cpus = topology.cpus.iter().map(|cpu| NativeCpu {
        number: cpu.number as u32,
        core: cpu.core as u32,
        package: cpu.package as u32,
        node: cpu.node.map(|node| node as u32),
        thread: cpu.thread as u32,
        kind: cpu.kind as u32,
        caches: cpu.caches.iter().map(|cache| *cache as u32).collect(),
    });
    let cores = topology.cores.iter();
    let nodes = topology.nodes.iter().map(|node| NativeNode {
        number: node.number as u32,
        cpus: list(&node.cpus),
        memory_bytes: node.memory_bytes.map(|bytes| bytes as f64),
        distances: node.distances.clone(),
    });
    let caches = topology.caches.iter().map(|cache| NativeCache {
        level: cache.level,
        kind: match cache.kind {
            CacheKind::Data => "data",
            CacheKind::Instruction => "instruction",
            CacheKind::Unified => "unified",
        }
        .to_owned(),
        bytes: cache.bytes as f64,
        cpus: list(&cache.cpus),
    });
    let limits = &topology.limits;
    NativeTopology {
        cpus: cpus.collect(),
        cores: cores
            .map(|core| NativeCore { package: core.package as u32, cpus: list(&core.cpus) })
            .collect(),
        packages: topology
            .packages
            .iter()
            .map(|package| NativePackage { kernel_id: package.kernel_id, cpus: list(&package.cpus) })
            .collect(),
        nodes: nodes.collect(),
        caches: caches.collect(),
        offline: list(&topology.offline),
        usable: list(&topology.usable()),
        parallelism: topology.parallelism() as u32,
        limits: NativeLimits {
            affinity: limits.affinity.as_ref().map(list),
            cpuset: limits.cpuset.as_ref().map(|limit| NativeCpuset {
                cpus: list(&limit.cpus),
                file: limit.file.display().to_string(),
            }),
            quota: limits
                .quota
                .as_ref()
                .map(|quota| NativeQuota { cpus: quota.cpus, file: quota.file.display().to_string() }),
        },
        notes: topology.notes.clone(),
    }
}

/// The seats that a placement gives on this machine.
#[napi]
pub fn place(wish: NativePlacement) -> Result<Vec<NativeSeat>> {
    let size = wish.size.map(|size| size as usize);
    let placement = placement(wish)?;
    let seats = placement.seats(&Topology::read(), size).map_err(|error| refused(&error))?;
    let seat = |seat: Seat| NativeSeat {
        cpus: seat.cpus.as_ref().map(list),
        node: seat.node.map(|node| node as u32),
    };
    Ok(seats.into_iter().map(seat).collect())
}

fn placement(wish: NativePlacement) -> Result<Placement> {
    let filter = |wish: NativePlacement| Filter {
        packages: numbers(wish.packages),
        cores: numbers(wish.cores),
        nodes: numbers(wish.nodes),
        cpus: wish.cpus.as_deref().map(set),
    };
    Ok(match wish.kind.as_str() {
        "unbound" => Placement::Unbound,
        "fenced" => Placement::Fenced(filter(wish)),
        "fixed" => Placement::Fixed(numbers(wish.cpus).unwrap_or_default()),
        "max-spread" => Placement::MaxSpread(filter(wish)),
        "max-pack" => Placement::MaxPack(filter(wish)),
        "custom" => Placement::Custom(wish.sets.unwrap_or_default().iter().map(|cpus| set(cpus)).collect()),
        other => return Err(coded("INVALID_OPTION", format_args!("placement {other:?} is unknown"))),
    })
}

/// Its text begins with the code already.
fn refused(error: &PlacementError) -> napi::Error {
    napi::Error::from_reason(error.to_string())
}

/// Pins the calling thread and prefers memory of its node. Gives a note when the latter was refused.
pub fn sit_on(cpus: &[u32]) -> Result<Option<String>> {
    let seats = Placement::Custom(vec![set(cpus)]).seats(&Topology::read(), None);
    let seats = seats.map_err(|error| refused(&error))?;
    let seat = seats.first().ok_or_else(|| coded("INTERNAL", "one set gives one seat"))?;
    ringwheel_executor::placement::sit(seat).map_err(|error| coded("PLACEMENT", error))
}
