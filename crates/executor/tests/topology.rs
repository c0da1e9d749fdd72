//! Topology::read on recorded machines, in containers and on what is broken. Every expectation is a fact of the recorded machine.
#[path = "common/tree.rs"]
mod tree;
use ringwheel_executor::topology::{CacheKind, Topology};
use tree::{Tree, set};

#[test]
fn one_socket_with_smt_and_small_cores() {
    let topology = Tree::recorded("hybrid").read();
    assert_eq!((topology.packages.len(), topology.cores.len(), topology.cpus.len()), (1, 14, 20));
    assert_eq!(topology.cores[5].cpus, set("10-11"), "the last core with two threads");
    assert_eq!(topology.cores[6].cpus, set("12"), "the first small core");
    let cpu = |number| topology.cpu(number).unwrap();
    assert_eq!((cpu(10).thread, cpu(11).thread, cpu(12).thread), (0, 1, 0));
    // 5.0 and 5.2 GHz are one kind of core, 3.9 GHz another.
    assert_eq!((cpu(0).kind, cpu(4).kind, cpu(12).kind), (0, 0, 1));
    let l2: Vec<_> = topology.caches.iter().filter(|cache| cache.level == 2).collect();
    assert_eq!(l2.len(), 8, "one for each large core, one for each four small ones");
    assert_eq!((l2[6].cpus.clone(), l2[6].bytes), (set("12-15"), 2 << 20));
    let l3 = &topology.caches[cpu(0).caches[0]];
    assert_eq!(
        (l3.level, l3.kind, l3.cpus.clone(), l3.bytes),
        (3, CacheKind::Unified, set("0-19"), 24 << 20)
    );
    assert_eq!(topology.nodes[0].memory_bytes, Some(32_489_480 * 1024));
    assert_eq!(topology.usable(), set("0-19"));
    assert!(topology.notes.is_empty(), "{:?}", topology.notes);
}

#[test]
fn two_sockets_with_four_nodes() {
    let topology = Tree::recorded("two-sockets").read();
    assert_eq!((topology.packages.len(), topology.cores.len(), topology.cpus.len()), (2, 128, 128));
    assert_eq!((topology.packages[0].kernel_id, topology.packages[1].kernel_id), (36, 8442));
    assert_eq!(topology.packages[1].cpus, set("64-127"));
    let nodes: Vec<_> = topology.nodes.iter().map(|node| (node.number, node.cpus.to_string())).collect();
    assert_eq!(nodes, [(0, "0-31".into()), (1, "32-63".into()), (2, "64-95".into()), (3, "96-127".into())]);
    assert_eq!(topology.nodes[1].distances, [16, 10, 25, 32]);
    assert_eq!((topology.cpu(64).unwrap().package, topology.cpu(64).unwrap().node), (1, Some(2)));
    assert_eq!(topology.node_of(&set("64-95")), Some(2));
    assert_eq!(topology.node_of(&set("63-64")), None, "that spans two");
    assert_eq!(topology.node_of(&set("")), None);
}

#[test]
fn offline_cpus_are_named_and_not_used() {
    let topology = Tree::recorded("offline").read();
    assert_eq!(topology.offline, set("0-3,21-23"));
    assert_eq!(topology.usable(), set("4-20"));
    assert!(topology.cpu(0).is_none());
    assert_eq!(topology.nodes[0].number, 1, "node 0 is offline as a whole");
    assert_eq!(topology.nodes[0].cpus, set("5,7,9,11,13,15,17,19"), "its offline CPUs are left out");
    assert_eq!(topology.cpu(4).unwrap().node, None, "a CPU of the node that is offline");
    // The last cache is listed with CPUs 0 and 2, which are offline.
    let last = topology.cpu(4).unwrap().caches[0];
    assert_eq!(
        (topology.caches[last].level, topology.caches[last].cpus.clone()),
        (3, set("4,6,8,10,12,14,16,18,20"))
    );
}

#[test]
fn big_and_little_cores_are_told_apart_by_capacity() {
    let topology = Tree::recorded("big-little").read();
    let kind = |number| topology.cpu(number).unwrap().kind;
    // Capacities 1024, 1017 and 997 are one kind, 731 and 718 the other.
    assert_eq!((5..10).chain(15..20).map(kind).max(), Some(0));
    assert_eq!((0..5).chain(10..15).map(kind).min(), Some(1));
    assert_eq!((0..20).map(kind).max(), Some(1));
    assert_eq!(topology.packages[0].kernel_id, 36);
}

#[test]
fn a_kernel_without_nodes_and_caches() {
    let topology = Tree::recorded("no-nodes").read();
    assert_eq!((topology.packages.len(), topology.cores.len(), topology.nodes.len()), (1, 2, 0));
    assert!(topology.caches.is_empty());
    assert_eq!((topology.cpu(1).unwrap().node, topology.cpu(1).unwrap().caches.len()), (None, 0));
    assert!(topology.notes.iter().any(|note| note.contains("no NUMA node")), "{:?}", topology.notes);
}

const V2_MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

#[test]
fn a_container_with_cgroup_v2() {
    // What Docker makes of `--cpuset-cpus 4-7 --cpus 1.5`: a namespace of its own, so the group is "/".
    let tree = Tree::recorded("hybrid")
        .with("proc/self/cgroup", "0::/")
        .with("proc/self/mountinfo", V2_MOUNT)
        .with("proc/self/task/1/status", "Name:\tnode\nCpus_allowed_list:\t4-7")
        .with("sys/fs/cgroup/cpuset.cpus.effective", "4-7")
        .with("sys/fs/cgroup/cpu.max", "150000 100000");
    let topology = tree.read();
    assert_eq!(topology.usable(), set("4-7"));
    let (quota, cpuset) = (topology.limits.quota.clone().unwrap(), topology.limits.cpuset.clone().unwrap());
    assert_eq!((quota.cpus, quota.file), (1.5, tree.path().join("sys/fs/cgroup/cpu.max")));
    assert_eq!(cpuset.file, tree.path().join("sys/fs/cgroup/cpuset.cpus.effective"));
    assert_eq!(topology.parallelism(), 1, "a quota of a CPU and a half is one thread's");
}

#[test]
fn the_smallest_quota_on_the_way_up_counts() {
    let topology = Tree::recorded("hybrid")
        .with("proc/self/cgroup", "0::/system.slice/web.service/worker")
        .with("proc/self/mountinfo", V2_MOUNT)
        .with("sys/fs/cgroup/system.slice/cpu.max", "max 100000")
        .with("sys/fs/cgroup/system.slice/web.service/cpu.max", "300000 100000")
        .with("sys/fs/cgroup/system.slice/web.service/worker/cpu.max", "400000 100000")
        .with("sys/fs/cgroup/cpuset.cpus.effective", "0-19")
        .with("sys/fs/cgroup/system.slice/cpuset.cpus.effective", "0-9")
        .read();
    assert_eq!(topology.limits.quota.as_ref().unwrap().cpus, 3.0);
    assert_eq!(topology.usable(), set("0-9"), "the nearest group that has the file");
    assert_eq!(topology.parallelism(), 3);
}

#[test]
fn a_container_with_cgroup_v1() {
    // Without a cgroup namespace the path is the host's, and the mount begins at the container's own group.
    let mounts = "40 30 0:30 /docker/0af3 /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n\
                  41 30 0:31 /docker/0af3 /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct";
    let topology = Tree::recorded("hybrid")
        .with(
            "proc/self/cgroup",
            "5:cpuset:/docker/0af3\n4:cpu,cpuacct:/docker/0af3\n1:name=systemd:/docker/0af3",
        )
        .with("proc/self/mountinfo", mounts)
        .with("sys/fs/cgroup/cpuset/cpuset.cpus", "2-3,6")
        .with("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000")
        .with("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
        .read();
    assert_eq!(topology.usable(), set("2-3,6"));
    assert_eq!(topology.limits.quota.as_ref().unwrap().cpus, 0.5);
    assert_eq!(topology.parallelism(), 1);
}

#[test]
fn no_quota_is_no_limit() {
    for (quota, period) in [("-1", "100000"), ("0", "100000"), ("x", "100000"), ("50000", "0")] {
        let topology = Tree::recorded("hybrid")
            .with("proc/self/cgroup", "4:cpu:/")
            .with("proc/self/mountinfo", "41 30 0:31 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu")
            .with("sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota)
            .with("sys/fs/cgroup/cpu/cpu.cfs_period_us", period)
            .read();
        assert_eq!(topology.limits.quota, None, "{quota} of {period}");
    }
}

#[test]
fn a_path_that_climbs_out_of_the_mount_stays_at_the_mount() {
    let topology = Tree::recorded("hybrid")
        .with("proc/self/cgroup", "0::/../../other")
        .with("proc/self/mountinfo", V2_MOUNT)
        .with("sys/fs/cgroup/cpu.max", "200000 100000")
        .read();
    assert_eq!(topology.limits.quota.as_ref().unwrap().cpus, 2.0);
}

#[test]
fn a_pinned_thread_does_not_narrow_the_process() {
    let topology = Tree::recorded("hybrid")
        .with("proc/self/task/10/status", "Cpus_allowed_list:\t3")
        .with("proc/self/task/11/status", "Cpus_allowed_list:\t2-9")
        .read();
    assert_eq!(topology.usable(), set("2-9"));
}

#[test]
fn hidden_and_broken_files_are_notes() {
    let nothing = Tree::empty().read();
    assert!(!nothing.cpus.is_empty() && nothing.parallelism() >= 1);
    assert!(nothing.notes[0].contains("does not say which CPUs are online"), "{:?}", nothing.notes);

    let masked = Tree::recorded("hybrid").without("sys/devices/system/cpu/cpu3/topology").read();
    assert_eq!(masked.cpus.len(), 20);
    assert!(masked.notes[0].contains("does not describe CPUs 3:"), "{:?}", masked.notes);

    let broken = Tree::recorded("hybrid")
        .with("sys/devices/system/cpu/cpu0/topology/physical_package_id", "-1")
        .with("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "banana")
        .with("sys/devices/system/cpu/cpu0/cache/index3/size", "99999999999999999999K")
        .with("sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq", "fast")
        .with("sys/devices/system/node/node0/cpulist", "0-")
        .with("proc/self/task/1/status", "Cpus_allowed_list:\tall")
        .with("proc/self/cgroup", "::::\n0::")
        .with("proc/self/mountinfo", "- - -\n1 2 - cgroup2")
        .read();
    assert_eq!(broken.cpus.len(), 20);
    assert_eq!(broken.cpu(0).unwrap().kind, 0, "one CPU without a speed makes all of one kind");
    assert!(broken.nodes.is_empty());
}

#[test]
fn this_machine() {
    let topology = Topology::read();
    let usable = topology.usable();
    assert_eq!(
        usable.len(),
        std::thread::available_parallelism().unwrap().get().max(usable.len().min(topology.parallelism())),
        "{topology:?}"
    );
    for cpu in &topology.cpus {
        assert!(topology.cores[cpu.core].cpus.contains(cpu.number));
        assert!(topology.packages[cpu.package].cpus.contains(cpu.number));
    }
}
