//! Placements on recorded machines: each algorithm's rule, each error with its remedy; and threads that sit down for real.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
#[path = "common/tree.rs"]
mod tree;
use ringwheel_executor::{
    placement::{Filter, Placement, Seat},
    thread,
    topology::Topology,
};
use tree::{Tree, set};

/// The CPUs of the members, one after the other.
fn on(placement: &Placement, topology: &Topology, size: usize) -> Vec<usize> {
    let seats = placement.seats(topology, Some(size)).unwrap();
    seats.iter().map(|seat| seat.cpus.as_ref().unwrap().first().unwrap()).collect()
}

fn refused(placement: &Placement, topology: &Topology, size: Option<usize>) -> String {
    placement.seats(topology, size).unwrap_err().to_string()
}

fn spread() -> Placement {
    Placement::MaxSpread(Filter::default())
}

fn pack() -> Placement {
    Placement::MaxPack(Filter::default())
}

#[test]
fn spread_takes_cores_before_siblings_and_fast_before_small() {
    let topology = Tree::recorded("hybrid").read();
    assert_eq!(on(&spread(), &topology, 6), [0, 2, 4, 6, 8, 10], "the six fast cores");
    assert_eq!(on(&spread(), &topology, 8)[6..], [12, 16], "small cores, from both clusters");
    assert_eq!(on(&spread(), &topology, 15)[14..], [1], "a sibling only when every core has a member");
    let all = on(&spread(), &topology, 20);
    assert_eq!(all.iter().copied().collect::<ringwheel_executor::topology::CpuSet>(), set("0-19"));
}

#[test]
fn spread_goes_round_packages_and_nodes() {
    let topology = Tree::recorded("two-sockets").read();
    assert_eq!(on(&spread(), &topology, 6), [0, 64, 32, 96, 1, 65]);
    let seats = spread().seats(&topology, Some(4)).unwrap();
    assert_eq!(seats.iter().map(|seat| seat.node).collect::<Vec<_>>(), [Some(0), Some(2), Some(1), Some(3)]);
}

#[test]
fn pack_takes_the_smallest_place_that_holds_all() {
    let topology = Tree::recorded("hybrid").read();
    assert_eq!(on(&pack(), &topology, 2), [0, 1], "both threads of one core");
    assert_eq!(on(&pack(), &topology, 5), [0, 1, 2, 3, 4]);
    assert_eq!(on(&pack(), &topology, 14)[12..], [12, 13], "small cores only when the fast ones are full");
    let topology = Tree::recorded("two-sockets").read();
    assert_eq!(on(&pack(), &topology, 32), (0..32).collect::<Vec<_>>(), "one node");
    assert_eq!(
        on(&pack(), &topology, 40)[32..],
        (32..40).collect::<Vec<_>>(),
        "the second node of that package"
    );
    assert_eq!(on(&pack(), &topology, 65)[64..], [64], "a second package only when one is full");
    // CPUs 0 to 39 are taken away: the second node of package 0 has 24 left, so 30 fit best on package 1.
    let left = Placement::MaxPack(Filter { cpus: Some(set("40-127")), ..Filter::default() });
    assert_eq!(on(&left, &topology, 24), (40..64).collect::<Vec<_>>());
    assert_eq!(on(&left, &topology, 30), (64..94).collect::<Vec<_>>());
}

#[test]
fn filters_are_met_together() {
    let topology = Tree::recorded("two-sockets").read();
    let filter = Filter { packages: Some(vec![1]), nodes: Some(vec![0, 2]), ..Filter::default() };
    assert_eq!(filter.cpus(&topology).unwrap(), set("64-95"));
    assert_eq!(on(&Placement::MaxSpread(filter.clone()), &topology, 2), [64, 65]);
    let fenced = Placement::Fenced(filter).seats(&topology, Some(3)).unwrap();
    assert_eq!(fenced, vec![Seat { cpus: Some(set("64-95")), node: Some(2) }; 3]);
    let cores = Filter { cores: Some(vec![5, 6]), ..Filter::default() };
    assert_eq!(cores.cpus(&Tree::recorded("hybrid").read()).unwrap(), set("10-12"));
}

#[test]
fn lists_seat_each_member_as_told() {
    let topology = Tree::recorded("two-sockets").read();
    assert_eq!(on(&Placement::Fixed(vec![7, 3, 3]), &topology, 3), [7, 3, 3]);
    let custom = Placement::Custom(vec![set("0-3"), set("30-35")]).seats(&topology, None).unwrap();
    let node = |node, cpus| Seat { cpus: Some(set(cpus)), node };
    assert_eq!(
        custom,
        [node(Some(0), "0-3"), node(None, "30-35")],
        "memory is bound where one node is meant"
    );
    assert_eq!(Placement::Unbound.seats(&topology, Some(2)).unwrap(), vec![Seat::default(); 2]);
}

#[test]
fn without_a_size_there_is_a_member_for_each_cpu_that_the_quota_pays_for() {
    let container = Tree::recorded("hybrid")
        .with("proc/self/cgroup", "0::/")
        .with("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
        .with("sys/fs/cgroup/cpuset.cpus.effective", "4-9")
        .with("sys/fs/cgroup/cpu.max", "350000 100000")
        .read();
    for placement in [Placement::Unbound, Placement::Fenced(Filter::default()), spread(), pack()] {
        assert_eq!(placement.seats(&container, None).unwrap().len(), 3, "{placement:?}");
    }
    assert_eq!(on(&spread(), &container, 6), [4, 6, 8, 5, 7, 9], "who asks for more gets it");
    let topology = Tree::recorded("no-nodes").read();
    assert_eq!(pack().seats(&topology, None).unwrap().len(), 2);
}

#[test]
fn what_cannot_be_met_says_why_and_what_would() {
    let topology = Tree::recorded("offline")
        .with("proc/self/cgroup", "0::/")
        .with("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
        .with("sys/fs/cgroup/cpuset.cpus.effective", "4-7")
        .with("proc/self/task/1/status", "Cpus_allowed_list:\t4-6")
        .read();
    let error = refused(&spread(), &topology, Some(5));
    assert!(
        error.starts_with("ERR_RINGWHEEL_PLACEMENT: max-spread places each member on a CPU of its own"),
        "{error}"
    );
    for part in [
        "5 members",
        "3 CPUs",
        "4-6",
        "cpuset.cpus.effective",
        "CPUs 0-3,21-23 being offline",
        "at most 3",
        "\"fenced\"",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let cases = [
        (Placement::Fixed(vec![4, 0]), None, vec!["CPU 0 is offline", "may use 4-6"]),
        (Placement::Fixed(vec![99]), None, vec!["CPU 99 is not there"]),
        (
            Placement::Fixed(vec![9]),
            None,
            vec!["CPU 9 is not in this process's cpuset (4-7 in ", "may use 4-6"],
        ),
        (Placement::Fixed(vec![7]), None, vec!["CPU 7 is not in this process's affinity mask (taskset)"]),
        (
            Placement::Fixed(vec![4, 5]),
            Some(3),
            vec!["fixed lists 2 members", "size of 3", "leave the size out"],
        ),
        (Placement::Fixed(vec![]), None, vec!["fixed lists 0 members", "1 to 1024"]),
        (Placement::Custom(vec![set("4"), set("")]), None, vec!["custom has a set without a CPU"]),
        (Placement::Custom(vec![set("4-8")]), None, vec!["CPU 7"]),
        (Placement::Unbound, Some(0), vec!["size is 0", "1..=1024"]),
        (Placement::Unbound, Some(1025), vec!["size is 1025"]),
        (
            Placement::Fenced(Filter { packages: Some(vec![36]), ..Filter::default() }),
            None,
            vec!["no package 36", "there are 0-1"],
        ),
        (
            Placement::MaxPack(Filter { nodes: Some(vec![0]), ..Filter::default() }),
            None,
            vec!["no NUMA node 0", "only 1"],
        ),
        (
            Placement::MaxPack(Filter { cores: Some(vec![16]), ..Filter::default() }),
            None,
            vec!["no CPU is left", "cores 16", "4-6", "widen"],
        ),
        (
            Placement::Fenced(Filter { cpus: Some(set("")), ..Filter::default() }),
            None,
            vec!["may use (4-6, because of the cpuset", "filter (cpus of none)"],
        ),
        (
            Placement::MaxPack(Filter { cpus: Some(set("12")), ..Filter::default() }),
            None,
            vec!["CPU 12 is not in this process's cpuset"],
        ),
    ];
    for (placement, size, parts) in cases {
        let error = refused(&placement, &topology, size);
        for part in parts {
            assert!(error.contains(part), "{placement:?}: {part}: {error}");
        }
    }
    let nodes = Filter { nodes: Some(vec![0]), ..Filter::default() };
    let error = refused(&Placement::Fenced(nodes), &Tree::recorded("no-nodes").read(), None);
    assert!(error.contains("the kernel names none here, so leave that filter out"), "{error}");
}

/// Where the kernel says a thread may run, from inside it.
#[cfg(target_os = "linux")]
fn mask() -> ringwheel_executor::topology::CpuSet {
    let mask = rustix::thread::sched_getaffinity(None).unwrap();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| mask.is_set(*cpu)).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn a_seated_thread_runs_where_its_seat_is() {
    let topology = Topology::read();
    common::both_drivers(|executor| {
        let kind = executor.driver_kind();
        for cpu in topology.usable().iter() {
            let options = thread::ThreadOptions {
                seat: Seat::on(cpu),
                executor: common::options(kind),
                ..Default::default()
            };
            let worker =
                thread::start(options, || async { (mask(), rustix::thread::sched_getcpu()) }).unwrap();
            assert_eq!(worker.join().unwrap(), ([cpu].into_iter().collect(), cpu));
        }
        let seats = Placement::Fenced(Filter::default()).seats(&topology, Some(1)).unwrap();
        let options = thread::ThreadOptions {
            seat: seats[0].clone(),
            executor: common::options(kind),
            ..Default::default()
        };
        let worker = thread::start(options, || async { mask() }).unwrap();
        assert_eq!(worker.join().unwrap(), topology.usable());
    });
}

/// The node of the page at an address, from get_mempolicy(2).
#[cfg(target_os = "linux")]
fn node_of_page(address: *const u8) -> Option<usize> {
    let mut node: libc::c_int = -1;
    let flags = 1_usize | 2; // MPOL_F_NODE | MPOL_F_ADDR
    // SAFETY: get_mempolicy(2) writes one int; the address is only looked up.
    let result = unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            &raw mut node,
            std::ptr::null_mut::<u64>(),
            0_usize,
            address,
            flags,
        )
    };
    (result == 0).then_some(node as usize)
}

#[test]
#[cfg(target_os = "linux")]
fn memory_comes_from_the_node_of_the_seat() {
    let topology = Topology::read();
    let Some(node) = topology.nodes.iter().find(|node| !node.cpus.and(&topology.usable()).is_empty()) else {
        println!("skip: this kernel has no NUMA nodes");
        return;
    };
    let cpus = node.cpus.and(&topology.usable());
    // With one node a placement would not bind memory; bind it all the same, so that the calls are made.
    let seat = Seat { cpus: Some(cpus), node: Some(node.number) };
    for kind in common::kinds() {
        let (seat, number) = (seat.clone(), node.number);
        let thread = std::thread::spawn(move || {
            let note = ringwheel_executor::placement::sit(&seat).unwrap();
            if let Some(note) = note {
                println!("skip: {note}");
                return;
            }
            let mut executor = common::start(kind, |_| {});
            let mut lease = executor.edge(|edge| edge.driver.arena().lease(4096).unwrap()).unwrap();
            lease.fill(1);
            let task = vec![1_u8; 1 << 20];
            assert_eq!(node_of_page(lease.as_ptr()), Some(number), "{kind:?}: the arena");
            assert_eq!(node_of_page(task.as_ptr()), Some(number), "{kind:?}: other memory of the thread");
            // The policy is a preference: sitting down again is no conflict with it.
            assert_eq!(ringwheel_executor::placement::sit(&seat).unwrap(), None);
        });
        thread.join().unwrap();
    }
    let far = Seat { cpus: None, node: Some(5000) };
    let note = std::thread::spawn(move || ringwheel_executor::placement::sit(&far).unwrap()).join().unwrap();
    assert!(note.unwrap().contains("below 1024"));
    let gone = Seat { cpus: None, node: Some(1000) };
    let note = std::thread::spawn(move || ringwheel_executor::placement::sit(&gone).unwrap()).join().unwrap();
    assert!(note.unwrap().contains("first touch"), "a node that is not there is a note, not an error");
}
