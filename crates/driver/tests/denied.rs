//! What a sandbox that denies io_uring does to the driver: a child process of this test puts itself under a seccomp filter.
//!
//! Docker, containerd and most CI services answer EPERM; some sandboxes kill on the first call. So the automatic choice
//! must fall back on an errno, and the poll driver must make not one io_uring call.
#![cfg(target_os = "linux")]
use ringwheel_driver::{
    Driver, DriverKind, Errno, Host, Operation, Options, StartError, Wait,
    contract::{Rig, cases},
    limits::STATX,
    op::file::{numbers, stat_file, stat_path},
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use std::{
    os::fd::AsFd,
    os::unix::process::ExitStatusExt,
    process::{Command, Output},
};

/// Says to the child which part it plays.
const ROLE: &str = "RINGWHEEL_DENIED_ROLE";

/// From here on this thread and those it starts get `answer` for every io_uring call.
fn deny(answer: SeccompAction) {
    deny_calls(&[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register], answer);
}

fn deny_calls(calls: &[i64], answer: SeccompAction) {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().expect("an architecture that seccomp knows");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    apply_filter(&program).expect("apply the filter");
}

/// Runs this test binary again, in the given part.
fn child(role: &str) -> Output {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "part", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .output()
        .expect("run the child")
}

fn assert_success(role: &str) {
    let output = child(role);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{role}: {:?}\n{text}", output.status);
    assert!(text.contains("1 passed"), "the part must have run: {text}");
}

#[test]
fn an_errno_makes_the_automatic_choice_fall_back() {
    assert_success("fall back on EPERM");
    assert_success("fall back on ENOSYS");
}

#[test]
fn an_insisted_io_uring_says_what_denies_it() {
    assert_success("insist under EPERM");
}

#[test]
fn the_poll_driver_makes_not_one_io_uring_call() {
    assert_success("poll or die");
}

/// Without this the test above would pass with a filter that does nothing.
#[test]
fn the_deadly_filter_is_deadly() {
    let status = child("die").status;
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status:?}");
}

#[test]
fn without_statx_the_older_calls_are_asked() {
    assert_success("no statx: EPERM");
    assert_success("no statx: ENOSYS");
}

/// Not a test: the child's part.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn part() {
    match std::env::var(ROLE).unwrap_or_default().as_str() {
        "fall back on EPERM" => fall_back(libc::EPERM),
        "fall back on ENOSYS" => fall_back(libc::ENOSYS),
        "insist under EPERM" => insist(),
        "poll or die" => poll_or_die(),
        "no statx: EPERM" => no_statx(libc::EPERM),
        "no statx: ENOSYS" => no_statx(libc::ENOSYS),
        "die" => {
            deny(SeccompAction::KillProcess);
            // SAFETY: io_uring_setup with a null pointer reads nothing; the filter answers before the kernel looks.
            unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null::<u8>()) };
        }
        other => panic!("no such part: {other:?}"),
    }
}

fn fall_back(errno: i32) {
    deny(SeccompAction::Errno(errno as u32));
    for host in [Host::Native, Host::Embedded] {
        let mut driver = Driver::start(&Options { host, ..Options::default() }).expect("start");
        assert_eq!(driver.kind(), DriverKind::Poll);
        let notes = driver.notes().join(" ");
        assert!(notes.contains("io_uring"), "the note names what is missing: {notes:?}");
        driver.submit(Operation::Nop, 5).expect("room");
        driver.enter(Wait::No).expect("enter");
        let mut tokens = Vec::new();
        driver.reap(10, |completion| tokens.push(completion.token));
        assert_eq!(tokens, [5]);
    }
}

fn insist() {
    deny(SeccompAction::Errno(libc::EPERM as u32));
    let options = Options { kind: Some(DriverKind::Uring), ..Options::default() };
    let Err(StartError::Denied(sentence)) = Driver::start(&options) else { panic!("it is denied") };
    assert!(sentence.contains("poll"), "the remedy names the other driver: {sentence:?}");
}

fn poll_or_die() {
    deny(SeccompAction::KillProcess);
    for host in [Host::Native, Host::Embedded] {
        let options = Options { kind: Some(DriverKind::Poll), host, ..Options::default() };
        let rig = Rig { name: "poll or die", options };
        for case in cases() {
            // A skip says that the rig's host cannot try it: the contract test reports it.
            let _skipped = (case.run)(&rig);
        }
    }
}

fn no_statx(errno: i32) {
    let path = c"/proc/self/exe";
    let of = |stat: Result<[u8; STATX], Errno>| numbers(&stat.expect("metadata"))[..13].to_vec();
    deny_calls(&[libc::SYS_statx], SeccompAction::Errno(errno as u32));
    let file = std::fs::File::open("/proc/self/exe").expect("this binary");
    let wanted = rustix::fs::fstat(&file).expect("fstat");
    for follow in [true, false] {
        let found = of(stat_path(path, follow));
        assert_eq!(found[1] as u32 & 0o170_000, if follow { 0o100_000 } else { 0o120_000 });
    }
    for alignment in [true, false] {
        let found = of(stat_file(file.as_fd(), alignment));
        assert_eq!((found[7] as u64, found[8] as i64), (wanted.st_ino, wanted.st_size));
    }
    assert_eq!(stat_path(c"/none", true), Err(Errno(libc::ENOENT)));
}
