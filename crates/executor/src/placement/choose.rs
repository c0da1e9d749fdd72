//! The two ways to pick CPUs: far apart and close together.
use crate::topology::{Cpu, CpuSet, Topology};
use std::{cmp::Reverse, collections::BTreeMap};

/// `size` of `cpus`, far apart, in the order of the members. One after the other, each on the free CPU with the least of: members
/// on its core; slowness of its kind of core; members on its package, on its node, behind its caches from the last on; number.
pub(super) fn spread(topology: &Topology, cpus: &CpuSet, size: usize) -> Vec<usize> {
    let mut free: Vec<&Cpu> = topology.cpus.iter().filter(|cpu| cpus.contains(cpu.number)).collect();
    let mut taken: Vec<&Cpu> = Vec::with_capacity(size);
    while taken.len() < size {
        let load = |same: &dyn Fn(&Cpu) -> bool| taken.iter().filter(|cpu| same(cpu)).count();
        let best = free.iter().enumerate().min_by_key(|(_, cpu)| {
            (
                load(&|other| other.core == cpu.core),
                cpu.kind,
                load(&|other| other.package == cpu.package),
                load(&|other| other.node == cpu.node),
                cpu.caches
                    .iter()
                    .map(|cache| load(&|other| other.caches.contains(cache)))
                    .collect::<Vec<_>>(),
                cpu.number,
            )
        });
        let Some((index, _)) = best else { break };
        taken.push(free.remove(index));
    }
    taken.iter().map(|cpu| cpu.number).collect()
}

/// What CPUs share at a level, from the widest to the narrowest: package, node, each cache from the last on, core. `None` ends it.
fn shared(cpus: &[&Cpu], level: usize) -> Option<fn(&Cpu, usize) -> usize> {
    let caches = cpus.iter().map(|cpu| cpu.caches.len()).max().unwrap_or(0);
    match level {
        0 => Some(|cpu, _| cpu.package),
        1 => Some(|cpu, _| cpu.node.unwrap_or(0)),
        level if level < 2 + caches => {
            Some(|cpu, level| cpu.caches.get(level - 2).copied().unwrap_or(usize::MAX))
        }
        level if level == 2 + caches => Some(|cpu, _| cpu.core),
        _ => None,
    }
}

/// `size` of `cpus`, close together, in the order of the members. At each level, among the groups with the
/// fastest cores, the smallest that holds all; where none does, the largest whole, and then the rest.
pub(super) fn pack(topology: &Topology, cpus: &CpuSet, size: usize) -> Vec<usize> {
    let free: Vec<&Cpu> = topology.cpus.iter().filter(|cpu| cpus.contains(cpu.number)).collect();
    let mut chosen = Vec::with_capacity(size);
    pack_level(&free, size, 0, &mut chosen);
    chosen
}

fn pack_level(cpus: &[&Cpu], mut size: usize, level: usize, chosen: &mut Vec<usize>) {
    let Some(shared) = shared(cpus, level) else {
        chosen.extend(cpus.iter().take(size).map(|cpu| cpu.number));
        return;
    };
    let mut groups: BTreeMap<usize, Vec<&Cpu>> = BTreeMap::new();
    for cpu in cpus {
        groups.entry(shared(cpu, level)).or_default().push(cpu);
    }
    let mut groups: Vec<Vec<&Cpu>> = groups.into_values().collect();
    while size > 0 && !groups.is_empty() {
        let kind = |group: &Vec<&Cpu>| group.iter().map(|cpu| cpu.kind).min();
        let fastest = groups.iter().map(kind).min().flatten();
        let of_fastest = || groups.iter().enumerate().filter(|(_, group)| kind(group) == fastest);
        let fits = of_fastest().filter(|(_, group)| group.len() >= size);
        let smallest = fits.min_by_key(|(index, group)| (group.len(), *index));
        let largest = || of_fastest().min_by_key(|(index, group)| (Reverse(group.len()), *index));
        let Some((index, _)) = smallest.or_else(largest) else { break };
        let group = groups.remove(index);
        let count = size.min(group.len());
        pack_level(&group, count, level + 1, chosen);
        size -= count;
    }
}
