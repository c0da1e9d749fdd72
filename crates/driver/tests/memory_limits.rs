//! Too little memory that may be locked: the ring gets smaller, then the arena is not registered, then the poll driver takes over; each
//! step is said, and everything works on each.
//!
//! A child without privileges meets the true limit. How much counts towards RLIMIT_MEMLOCK differs (from 5.12 on registered buffers
//! only, on 6.18 the rings too), so each step also has a seccomp filter that answers ENOMEM.
#![cfg(target_os = "linux")]
use ringwheel_driver::{
    Driver, DriverKind, Host, Operation, Options, StartError, Wait,
    memory::{Source, Target},
    op::file::{Read, Write},
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::{os::fd::OwnedFd, process::Command};

/// Says to the child which part it plays.
const ROLE: &str = "RINGWHEEL_MEMORY_ROLE";
const NOBODY: libc::uid_t = 65_534;
const ADVICE: &str = "limit of locked memory (ulimit -l)";

fn run_part(role: &str) {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "part", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .output()
        .expect("run the child");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{role}: {:?}\n{text}", output.status);
    assert!(text.contains("1 passed"), "the part must have run: {text}");
}

#[test]
fn enomem_halves_the_ring_until_it_fits() {
    run_part("128 entries");
}

#[test]
fn enomem_at_the_smallest_ring_is_the_poll_driver_or_says_the_remedy() {
    run_part("no ring");
}

#[test]
fn an_arena_that_may_not_be_locked_is_used_unregistered() {
    run_part("unlocked arena");
}

#[test]
fn with_no_locked_memory_at_all_something_starts_and_says_why() {
    run_part("nothing locked");
}

/// Not a test: the child's part.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn part() {
    match std::env::var(ROLE).unwrap_or_default().as_str() {
        "128 entries" => {
            deny_setup_above(128);
            for host in [Host::Native, Host::Embedded] {
                let mut driver = Driver::start(&Options { host, ..Options::default() }).expect("start");
                assert_eq!(driver.kind(), DriverKind::Uring);
                let note = driver.notes().join(" ");
                assert!(
                    note.contains("1024 submission entries, so there are 128") && note.contains(ADVICE),
                    "{note}"
                );
                works(&mut driver);
            }
        }
        "no ring" => {
            deny_setup_above(0);
            let mut driver = Driver::start(&Options::default()).expect("the poll driver needs no ring");
            assert_eq!(driver.kind(), DriverKind::Poll);
            assert!(driver.notes().join(" ").contains(ADVICE), "{:?}", driver.notes());
            works(&mut driver);
            let insisting = Options { kind: Some(DriverKind::Uring), ..Options::default() };
            let Err(StartError::Denied(why)) = Driver::start(&insisting) else { panic!("it is denied") };
            assert!(why.contains(ADVICE), "{why}");
        }
        "unlocked arena" => {
            become_nobody();
            let little = Rlimit { current: Some(64 << 10), maximum: Some(64 << 10) };
            setrlimit(Resource::Memlock, little).expect("lower a limit");
            for host in [Host::Native, Host::Embedded] {
                let mut driver = Driver::start(&Options { host, ..Options::default() }).expect("start");
                assert_eq!(driver.kind(), DriverKind::Uring, "{:?}", driver.notes());
                driver.register_memory();
                assert!(!driver.features().contains(&"registered-buffers"), "{:?}", driver.features());
                let note = driver.notes().join(" ");
                assert!(note.contains("is not registered") && note.contains(ADVICE), "{note}");
                works(&mut driver);
                reads_what_it_does_not_own(&mut driver);
                let said = driver.notes().iter().filter(|note| note.contains("not registered")).count();
                assert_eq!(said, 1, "{:?}", driver.notes());
            }
        }
        "nothing locked" => {
            become_nobody();
            setrlimit(Resource::Memlock, Rlimit { current: Some(0), maximum: Some(0) })
                .expect("lower a limit");
            let mut driver = Driver::start(&Options::default()).expect("one driver or the other");
            driver.register_memory();
            assert!(driver.notes().join(" ").contains(ADVICE), "{:?}", driver.notes());
            works(&mut driver);
        }
        other => panic!("no such part: {other:?}"),
    }
}

/// From here on io_uring_setup has no memory for more than `entries`.
fn deny_setup_above(entries: u64) {
    let more = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Gt, entries);
    let rule = SeccompRule::new(vec![more.expect("a condition")]).expect("a rule");
    let rules = [(libc::SYS_io_uring_setup, vec![rule])].into_iter().collect();
    let architecture = std::env::consts::ARCH.try_into().expect("an architecture that seccomp knows");
    let answer = SeccompAction::Errno(libc::ENOMEM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    apply_filter(&program).expect("apply the filter");
}

/// Gives up root and with it CAP_IPC_LOCK, under which nothing is limited.
fn become_nobody() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // SAFETY: `setresuid` has no precondition; glibc changes all threads.
    let changed = unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) };
    assert_eq!(changed, 0, "{}", std::io::Error::last_os_error());
}

/// Writes and reads through leases, more than fit into the smallest ring at once.
fn works(driver: &mut Driver) {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let file: OwnedFd = rustix::fs::open(std::env::temp_dir(), flags, mode).expect("a file");
    let file = driver.adopt(file);
    for index in 0..500_u32 {
        let mut lease = driver.arena().lease(64).expect("room");
        lease.fill(index as u8);
        let source = Source::Lease(lease, 0..64);
        let write = Write { file: file.clone(), source, offset: u64::from(index) * 64 };
        driver.submit(Operation::Write(write), u64::from(index)).expect("room");
        if index % 100 == 99 {
            finish(driver, |_| {});
        }
    }
    for index in 0..500_u32 {
        let target = Target::Lease(driver.arena().lease(64).expect("room"), 0..64);
        let read = Read { file: file.clone(), target, offset: u64::from(index) * 64 };
        driver.submit(Operation::Read(read), u64::from(index)).expect("room");
        if index % 100 == 99 {
            finish(driver, |completion| {
                let Some(Operation::Read(read)) = completion.operation else { panic!("its memory") };
                assert_eq!(read.target.bytes(), [completion.token as u8; 64]);
            });
        }
    }
    let stats = driver.stats();
    assert_eq!((stats.completed, stats.unexpected), (1000, 0));
}

/// This binary is root's and in the page cache: a read that is alone takes it from there.
fn reads_what_it_does_not_own(driver: &mut Driver) {
    let file: OwnedFd = std::fs::File::open("/proc/self/exe").expect("open this binary").into();
    let read = Read { file: driver.adopt(file), target: Target::Vec(Vec::with_capacity(64)), offset: 0 };
    driver.submit(Operation::Read(read), 0).expect("room");
    finish(driver, |completion| {
        let Some(Operation::Read(read)) = completion.operation else { panic!("its memory") };
        assert!(read.target.bytes().starts_with(b"\x7fELF"));
    });
}

/// Turns until nothing is in flight.
fn finish(driver: &mut Driver, mut see: impl FnMut(ringwheel_driver::Completion)) {
    while driver.in_flight() > 0 {
        driver.enter(Wait::For(std::time::Duration::from_secs(5))).expect("enter");
        driver.reap(usize::MAX, |completion| {
            assert_eq!(completion.result, 64);
            see(completion);
        });
    }
}
