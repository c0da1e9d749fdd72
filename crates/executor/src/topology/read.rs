//! Reads /sys/devices/system/{cpu,node}. See Documentation/ABI/testing/sysfs-devices-system-cpu of the kernel.
use super::{Cache, CacheKind, Core, Cpu, CpuSet, Node, Package, Topology, limits};
use std::{collections::BTreeMap, fs, path::Path};

/// Speeds within a tenth of each other are one kind of core: turbo bins differ by a few per cent, small cores by a quarter.
const SAME_KIND: f64 = 0.9;

pub(super) fn read(root: &Path) -> Topology {
    let limits = limits::read(root);
    let tree = Tree { root };
    let mut notes = Vec::new();
    let online = tree.set("cpu/online").filter(|online| !online.is_empty()).unwrap_or_else(|| {
        notes.push(
            "sysfs does not say which CPUs are online: the CPUs this process may use are taken for all"
                .to_owned(),
        );
        limits
            .affinity
            .clone()
            .or_else(|| limits.cpuset.as_ref().map(|cpuset| cpuset.cpus.clone()))
            .unwrap_or_else(|| {
                (0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).collect()
            })
    });
    let present = tree.set("cpu/present").unwrap_or_default();
    let offline = present.iter().filter(|cpu| !online.contains(*cpu)).collect();
    let mut topology = Topology { offline, limits, ..Topology::default() };
    topology.nodes = nodes(&tree, &online);
    topology.caches = caches(&tree, &online);
    cpus(&tree, &online, &mut topology, &mut notes);
    if topology.nodes.is_empty() {
        notes.push("sysfs names no NUMA node: memory is taken to be equally near to all CPUs".to_owned());
    }
    topology.notes = notes;
    topology
}

struct Tree<'a> {
    root: &'a Path,
}

impl Tree<'_> {
    fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join("sys/devices/system").join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn set(&self, path: &str) -> Option<CpuSet> {
        CpuSet::parse(&self.text(path)?)
    }

    fn number<T: std::str::FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// The numbers N of the entries `PREFIX<N>` in a directory, ascending.
    fn numbered(&self, directory: &str, prefix: &str) -> Vec<usize> {
        let Ok(entries) = fs::read_dir(self.root.join("sys/devices/system").join(directory)) else {
            return Vec::new();
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut numbers: Vec<usize> =
            names.filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }
}

fn cpus(tree: &Tree<'_>, online: &CpuSet, topology: &mut Topology, notes: &mut Vec<String>) {
    let kinds = kinds(tree, online);
    let mut assumed = CpuSet::default();
    for number in online.iter() {
        let kernel_id = tree.number(&format!("cpu/cpu{number}/topology/physical_package_id"));
        let siblings = ["core_cpus_list", "thread_siblings_list"]
            .iter()
            .find_map(|file| tree.set(&format!("cpu/cpu{number}/topology/{file}")))
            .map(|siblings| siblings.and(online))
            .filter(|siblings| siblings.contains(number));
        if kernel_id.is_none() || siblings.is_none() {
            assumed = assumed.or(&[number].into_iter().collect());
        }
        // -1 is a kernel that does not know.
        let package = package_of(&mut topology.packages, kernel_id.unwrap_or(0).max(0), number);
        let siblings = siblings.unwrap_or_else(|| [number].into_iter().collect());
        let core = match topology.cores.iter().position(|core| core.cpus.contains(number)) {
            Some(core) => core,
            None => {
                topology.cores.push(Core { package, cpus: siblings });
                topology.cores.len() - 1
            }
        };
        topology.cpus.push(Cpu {
            number,
            core,
            package,
            node: topology.nodes.iter().find(|node| node.cpus.contains(number)).map(|node| node.number),
            thread: topology.cores[core].cpus.iter().take_while(|sibling| *sibling < number).count(),
            kind: kinds.get(&number).copied().unwrap_or(0),
            caches: caches_of(&topology.caches, number),
        });
    }
    if !assumed.is_empty() {
        notes.push(format!(
            "sysfs does not describe CPUs {assumed}: each is taken for a core of its own in the first package"
        ));
    }
}

fn package_of(packages: &mut Vec<Package>, kernel_id: i64, cpu: usize) -> usize {
    let cpus: CpuSet = [cpu].into_iter().collect();
    match packages.iter().position(|package| package.kernel_id == kernel_id) {
        Some(index) => {
            packages[index].cpus = packages[index].cpus.or(&cpus);
            index
        }
        None => {
            packages.push(Package { kernel_id, cpus });
            packages.len() - 1
        }
    }
}

/// The kind of each CPU's core, 0 the fastest, from `cpu_capacity` or else the highest frequency. Where a kernel gives neither
/// for some CPU, all are of one kind.
fn kinds(tree: &Tree<'_>, online: &CpuSet) -> BTreeMap<usize, usize> {
    for file in ["cpu_capacity", "cpufreq/cpuinfo_max_freq"] {
        let speed = |cpu| Some((tree.number::<f64>(&format!("cpu/cpu{cpu}/{file}"))?, cpu));
        let Some(mut speeds) = online.iter().map(speed).collect::<Option<Vec<_>>>() else { continue };
        speeds.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut kinds = BTreeMap::new();
        let (mut kind, mut fastest) = (0, speeds.first().map_or(0.0, |(speed, _)| *speed));
        for (speed, cpu) in speeds {
            if speed < fastest * SAME_KIND {
                (kind, fastest) = (kind + 1, speed);
            }
            kinds.insert(cpu, kind);
        }
        return kinds;
    }
    BTreeMap::new()
}

fn nodes(tree: &Tree<'_>, online: &CpuSet) -> Vec<Node> {
    let numbers = tree.numbered("node", "node");
    let node = |number: &usize| {
        let path = format!("node/node{number}");
        let memory = tree.text(&format!("{path}/meminfo"));
        let total = memory.as_deref().and_then(|text| text.lines().find(|line| line.contains("MemTotal:")));
        let kib = total.and_then(|line| line.split_whitespace().rev().nth(1)?.parse::<u64>().ok());
        let distances = tree.text(&format!("{path}/distance")).unwrap_or_default();
        Some(Node {
            number: *number,
            cpus: tree.set(&format!("{path}/cpulist"))?.and(online),
            memory_bytes: kib.map(|kib| kib.saturating_mul(1024)),
            distances: distances.split_whitespace().filter_map(|distance| distance.parse().ok()).collect(),
        })
    };
    numbers.iter().filter_map(node).collect()
}

fn caches(tree: &Tree<'_>, online: &CpuSet) -> Vec<Cache> {
    let mut caches: Vec<Cache> = Vec::new();
    for cpu in online.iter() {
        for index in tree.numbered(&format!("cpu/cpu{cpu}/cache"), "index") {
            let path = format!("cpu/cpu{cpu}/cache/index{index}");
            let kind = match tree.text(&format!("{path}/type")).as_deref() {
                Some("Data") => CacheKind::Data,
                Some("Instruction") => CacheKind::Instruction,
                Some("Unified") => CacheKind::Unified,
                Some(_) | None => continue,
            };
            let Some(level) = tree.number(&format!("{path}/level")) else { continue };
            let cpus = tree.set(&format!("{path}/shared_cpu_list")).unwrap_or_default().and(online);
            if !cpus.contains(cpu) || cpus.first() != Some(cpu) {
                continue; // Counted with its lowest CPU.
            }
            let bytes = tree.text(&format!("{path}/size")).and_then(|size| bytes(&size)).unwrap_or(0);
            caches.push(Cache { level, kind, bytes, cpus });
        }
    }
    caches.sort_by_key(|cache| (cache.level, cache.kind, cache.cpus.first()));
    caches
}

/// `32K`, `8192K`, `1M`.
fn bytes(size: &str) -> Option<u64> {
    let (digits, unit) = size.split_at(size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len()));
    let unit: u64 = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The caches that a CPU reads data through, last level first.
fn caches_of(caches: &[Cache], cpu: usize) -> Vec<usize> {
    let data = caches.iter().enumerate().filter(|(_, cache)| cache.kind != CacheKind::Instruction);
    let mine = data.filter(|(_, cache)| cache.cpus.contains(cpu));
    mine.map(|(index, _)| index).rev().collect() // They are sorted by level.
}
