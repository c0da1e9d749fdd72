//! Runs the contract suite on every driver there is. Without libtest: the list of cases is the crate's, and a skip is shown
//! with its reason. `cargo test --test contract -- WORD…` runs the cases whose full name contains every word.
use ringwheel_driver::{
    Driver, DriverKind, Host, Options, Sqpoll, StartError,
    contract::{Case, Rig, Skip, cases},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::mpsc,
    time::{Duration, Instant},
};

/// No case takes this long, even with a debug build on a busy machine (each bounds its own waits by 20 s).
const CASE_DEADLINE: Duration = Duration::from_secs(45);

fn rigs() -> Vec<Rig> {
    let options = |kind, host| Options { kind: Some(kind), host, ..Options::default() };
    let (uring, poll) = (DriverKind::Uring, DriverKind::Poll);
    let sqpoll = Sqpoll { idle_ms: 1, cpu: None, force: true };
    vec![
        Rig { name: "uring native", options: options(uring, Host::Native) },
        Rig { name: "uring embedded", options: options(uring, Host::Embedded) },
        Rig {
            name: "uring native with 8 completion entries",
            options: Options { entries: 8, completion_entries: Some(8), ..options(uring, Host::Native) },
        },
        Rig {
            name: "uring embedded with 8 completion entries",
            options: Options { entries: 8, completion_entries: Some(8), ..options(uring, Host::Embedded) },
        },
        Rig {
            name: "uring with a submission thread",
            options: Options { sqpoll: Some(sqpoll), ..options(uring, Host::Native) },
        },
        Rig { name: "poll native", options: options(poll, Host::Native) },
        Rig { name: "poll embedded", options: options(poll, Host::Embedded) },
        Rig {
            name: "poll native with 8 completion entries",
            options: Options { entries: 8, completion_entries: Some(8), ..options(poll, Host::Native) },
        },
    ]
}

/// Whether this kernel lets this process use io_uring: asked of the kernel, not of the driver under test.
#[cfg(target_os = "linux")]
fn kernel_has_uring() -> bool {
    if std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|text| text.trim() != "0") {
        return false;
    }
    // A null argument is refused with EFAULT by a kernel that has the call and lets us make it.
    // SAFETY: io_uring_setup with a null pointer reads nothing and makes nothing.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null::<u8>()) };
    let error = std::io::Error::last_os_error().raw_os_error();
    result < 0 && !matches!(error, Some(libc::EPERM | libc::ENOSYS))
}

#[cfg(not(target_os = "linux"))]
fn kernel_has_uring() -> bool {
    false
}

/// Runs a case on a thread of its own, so that one that hangs is a failure.
fn run(case: Case, rig: &Rig) -> Result<(), Outcome> {
    let (sender, receiver) = mpsc::channel();
    let rig = rig.clone();
    std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&rig)));
        let _ = sender.send(outcome.is_ok().then(|| outcome.unwrap_or(Ok(()))));
    });
    match receiver.recv_timeout(CASE_DEADLINE) {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(skip))) => Err(Outcome::Skipped(skip)),
        Ok(None) => Err(Outcome::Failed("it panicked")),
        Err(_) => Err(Outcome::Failed("it hangs")),
    }
}

enum Outcome {
    Skipped(Skip),
    Failed(&'static str),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let start = Instant::now();
    let (mut passed, mut failed, mut skipped, mut filtered) = (0, Vec::new(), 0, 0);
    for rig in rigs() {
        let chosen: Vec<Case> = cases()
            .into_iter()
            .filter(|case| {
                let name = format!("{}: {}", rig.name, case.name);
                words.iter().all(|word| name.contains(word.as_str()))
            })
            .collect();
        filtered += cases().len() - chosen.len();
        if chosen.is_empty() {
            continue;
        }
        if let Err(error) = Driver::start(&rig.options) {
            let denied = matches!(error, StartError::Denied(_)) && !kernel_has_uring();
            if denied {
                println!("test {}: {} cases ... ignored, {error}", rig.name, chosen.len());
                skipped += chosen.len();
            } else {
                println!("test {}: it does not start ... FAILED, {error}", rig.name);
                failed.push(format!("{}: it does not start: {error}", rig.name));
            }
            continue;
        }
        for case in chosen {
            let name = format!("{}: {}", rig.name, case.name);
            match run(case, &rig) {
                Ok(()) => {
                    passed += 1;
                    println!("test {name} ... ok");
                }
                Err(Outcome::Skipped(Skip(reason))) => {
                    skipped += 1;
                    println!("test {name} ... ignored, {reason}");
                }
                Err(Outcome::Failed(how)) => {
                    println!("test {name} ... FAILED, {how}");
                    failed.push(name);
                }
            }
        }
    }
    if !failed.is_empty() {
        println!("\nfailures:");
        failed.iter().for_each(|name| println!("    {name}"));
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {} failed; {skipped} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        failed.len(),
        start.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
