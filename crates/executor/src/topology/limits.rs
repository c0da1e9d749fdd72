//! What narrows a process on a machine: the affinity mask, the cgroup's cpuset, the cgroup's CPU quota. cgroup v1 and v2.
use super::CpuSet;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What narrows this process. Everything is `None` where nothing does, or where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// The CPUs of the affinity mask (taskset(1), sched_setaffinity(2)): of all threads together, since a thread that was
    /// pinned does not narrow the process. The kernel keeps it within the cpuset.
    pub affinity: Option<CpuSet>,
    /// The cgroup's cpuset.
    pub cpuset: Option<Limit>,
    /// The cgroup's quota of CPU time.
    pub quota: Option<Quota>,
}

impl Eq for Limits {}

/// A cpuset and where it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The CPUs it allows.
    pub cpus: CpuSet,
    /// The file that says so.
    pub file: PathBuf,
}

/// A quota of CPU time and where it is set.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    /// CPUs' worth of time, more than 0: 1.5 is a CPU and a half.
    pub cpus: f64,
    /// The file that says so.
    pub file: PathBuf,
}

impl Limits {
    /// Whether the process may run on this CPU.
    pub fn allows(&self, cpu: usize) -> bool {
        self.affinity.as_ref().is_none_or(|affinity| affinity.contains(cpu))
            && self.cpuset.as_ref().is_none_or(|cpuset| cpuset.cpus.contains(cpu))
    }
}

pub(super) fn read(root: &Path) -> Limits {
    let groups = Groups::read(root);
    Limits { affinity: affinity(root), cpuset: cpuset(&groups), quota: quota(&groups) }
}

/// The CPUs that any thread of the process may run on.
fn affinity(root: &Path) -> Option<CpuSet> {
    let threads = fs::read_dir(root.join("proc/self/task")).ok()?;
    let masks = threads.flatten().filter_map(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        CpuSet::parse(line)
    });
    masks.reduce(|all, mask| all.or(&mask)).filter(|mask| !mask.is_empty())
}

/// The process's control groups as directories, from its own up to the topmost that is visible.
#[derive(Debug, Default)]
struct Groups {
    unified: Vec<PathBuf>,
    cpuset: Vec<PathBuf>,
    cpu: Vec<PathBuf>,
}

impl Groups {
    /// Joins /proc/self/cgroup (which group, per hierarchy) with /proc/self/mountinfo (where each hierarchy is mounted, and from
    /// which group on: in a container the mount begins at the container's own group). See cgroups(7), proc(5).
    fn read(root: &Path) -> Groups {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (memberships, mounts) = (text("proc/self/cgroup"), text("proc/self/mountinfo"));
        let mut groups = Groups::default();
        for line in memberships.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let has = |name: &str| controllers.split(',').any(|controller| controller == name);
            if controllers.is_empty() {
                groups.unified = directories(root, &mounts, None, group);
            }
            if has("cpuset") {
                groups.cpuset = directories(root, &mounts, Some("cpuset"), group);
            }
            if has("cpu") {
                groups.cpu = directories(root, &mounts, Some("cpu"), group);
            }
        }
        groups
    }
}

/// `controller` is a v1 one, or `None` for the unified hierarchy of v2.
fn directories(root: &Path, mounts: &str, controller: Option<&str>, group: &str) -> Vec<PathBuf> {
    let mounted = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let fits = match controller {
            None => kind == "cgroup2",
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        let mut left = left.split(' ').skip(3);
        let (from, at) = (left.next()?, left.next()?);
        fits.then_some((from, at))
    });
    let Some((from, at)) = mounted else { return Vec::new() };
    // A group outside of what is mounted is not visible here (another namespace's path): then the mount itself is ours.
    let below = Path::new(group).strip_prefix(from).unwrap_or(Path::new(""));
    let relative = |path: &Path| path.strip_prefix("/").unwrap_or(path).to_path_buf();
    let top = root.join(relative(Path::new(at)));
    if below.components().any(|part| part.as_os_str() == "..") {
        return vec![top];
    }
    let mut all: Vec<PathBuf> = below.ancestors().map(|part| top.join(part)).collect();
    if let Some(last) = all.last_mut() {
        *last = top; // Without the slash that joining with nothing leaves behind.
    }
    all
}

/// The nearest group that says which CPUs are its own; its "effective" file already counts all above it.
fn cpuset(groups: &Groups) -> Option<Limit> {
    let v2 = groups.unified.iter().map(|group| group.join("cpuset.cpus.effective"));
    let v1 = groups
        .cpuset
        .iter()
        .flat_map(|group| [group.join("cpuset.effective_cpus"), group.join("cpuset.cpus")]);
    v1.chain(v2).find_map(|file| {
        let cpus = CpuSet::parse(&fs::read_to_string(&file).ok()?).filter(|cpus| !cpus.is_empty())?;
        Some(Limit { cpus, file })
    })
}

/// The smallest quota on the way up: each group's holds for all below it.
fn quota(groups: &Groups) -> Option<Quota> {
    let v2 = groups.unified.iter().filter_map(|group| {
        let file = group.join("cpu.max");
        let text = fs::read_to_string(&file).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        share(quota, period).map(|cpus| Quota { cpus, file })
    });
    let v1 = groups.cpu.iter().filter_map(|group| {
        let file = group.join("cpu.cfs_quota_us");
        let quota = fs::read_to_string(&file).ok()?;
        let period = fs::read_to_string(group.join("cpu.cfs_period_us")).ok()?;
        share(quota.trim(), period.trim()).map(|cpus| Quota { cpus, file })
    });
    v1.chain(v2).min_by(|one, other| one.cpus.total_cmp(&other.cpus))
}

/// CPUs' worth of time; `None` for "max", -1 and nonsense.
fn share(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (i64, i64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}
