//! Instructions of the hot path: a child of this test runs it under callgrind, which counts the same on a busy machine and where there are no
//! hardware counters. They are those of the profile that tests are built with. Without valgrind the gate is skipped, and says so.
#![cfg(target_os = "linux")]
mod common;
use common::{both_drivers, kinds, start};
use ringwheel_counts::check;
use ringwheel_executor::{DriverKind, Executor, spawn, yield_now};
use std::{
    cell::Cell,
    collections::HashMap,
    future::poll_fn,
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
    rc::Rc,
    task::Poll,
};

/// Says to the child that it is one.
const ROLE: &str = "RINGWHEEL_INSTRUCTIONS_ROLE";
const COUNT: u64 = 1_000;

async fn spawn_and_join(count: u64) {
    for number in 0..count {
        assert_eq!(spawn(async move { number }).await.expect("not cancelled"), number);
    }
}

/// Two tasks take turns: `count` yields together.
async fn yields(count: u64) {
    let other = spawn(async move {
        for _ in 0..count / 2 {
            yield_now().await;
        }
    });
    for _ in 0..count / 2 {
        yield_now().await;
    }
    other.await.expect("not cancelled");
}

/// A task wakes another, which runs and sleeps again; a yield each lies between.
async fn local_wakes(count: u64) {
    let waker = Rc::new(Cell::new(None));
    let told = waker.clone();
    let sleeper = spawn(async move {
        for _ in 0..count {
            let mut slept = false;
            poll_fn(|context| {
                if std::mem::replace(&mut slept, true) {
                    return Poll::Ready(());
                }
                told.set(Some(context.waker().clone()));
                Poll::Pending
            })
            .await;
        }
    });
    while !sleeper.is_finished() {
        yield_now().await;
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

/// Callgrind counts inside of this.
#[inline(never)]
fn counted_part(executor: &mut Executor, operations: impl Future<Output = ()>) {
    executor.run(operations).expect("it ends");
}

#[test]
#[ignore = "the part of a child process"]
fn part() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let mut executor = start(DriverKind::Poll, |_| {});
    executor
        .run(async {
            spawn_and_join(10).await; // warm
            yields(10).await;
            local_wakes(10).await;
        })
        .expect("it ends");
    match role.as_str() {
        "tasks spawned and joined" => counted_part(&mut executor, spawn_and_join(COUNT)),
        "yields" => counted_part(&mut executor, yields(COUNT)),
        "wakes of another task, with a yield each" => counted_part(&mut executor, local_wakes(COUNT)),
        other => panic!("{other} is no part"),
    }
}

/// What callgrind says of one part.
struct Counted {
    instructions: u64,
    /// Calls by the name of what was called.
    calls: HashMap<String, u64>,
}

impl Counted {
    /// Calls of functions whose names contain all of `words`.
    fn calls_of(&self, words: &[&str]) -> f64 {
        let named = self.calls.iter().filter(|(name, _)| words.iter().all(|word| name.contains(word)));
        named.map(|(_, count)| *count).sum::<u64>() as f64
    }
}

/// Reads callgrind's file: `totals: N`, and for each call `cfn=(id) name`, of which later ones have the id alone, and `calls=N`.
fn read_counts(text: &str) -> Option<Counted> {
    let (mut names, mut calls) = (HashMap::new(), HashMap::new());
    let (mut instructions, mut callee) = (None, None);
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (id, name) = function.split_once(' ').unwrap_or((function, ""));
            if !name.is_empty() {
                names.insert(id.to_owned(), name.to_owned());
            }
            callee = line.starts_with("cfn=").then(|| id.to_owned());
        } else if let Some(count) = line.strip_prefix("calls=") {
            let name = names.get(&callee.take()?)?.clone();
            *calls.entry(name).or_insert(0) += count.split(' ').next()?.parse::<u64>().ok()?;
        } else if let Some(total) = line.strip_prefix("totals: ") {
            instructions = total.trim().parse().ok();
        }
    }
    Some(Counted { instructions: instructions?, calls })
}

/// Runs a child under callgrind. `None` without valgrind.
fn counts_of(role: &str, file: &Path) -> io::Result<Option<Counted>> {
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_part*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["--exact", "part", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        child => child?,
    };
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind: {said}");
    let text = std::fs::read_to_string(file)?;
    Ok(Some(
        read_counts(&text).expect("a file of callgrind has a line with the sum, and names for all calls"),
    ))
}

#[test]
fn the_hot_path_has_no_more_instructions_than_it_had() {
    let file = std::env::temp_dir().join(format!("ringwheel-instructions-{}", std::process::id()));
    for role in ["tasks spawned and joined", "yields", "wakes of another task, with a yield each"] {
        let Some(counted) = counts_of(role, &file).expect("run the child") else {
            let why =
                "skip: instructions of the hot path: valgrind is not installed (apt-get install valgrind)";
            let _unread = writeln!(io::stderr(), "{why}");
            return;
        };
        check(
            &format!("executor: instructions per 1,000 {role}, as tests are built"),
            "any",
            counted.instructions as f64,
        );
        // What a turn does once may; what a task does would be a thousand. (Calls of an edge that the part has taken, from the start of
        // the process on; allocations are counted in allocations.rs.)
        let clock = counted.calls_of(&["clock_gettime"]);
        check(&format!("executor: clock reads per 1,000 {role}"), "any", clock);
        let borrows = counted.calls_of(&["RefCell", "borrow"]);
        check(&format!("executor: RefCell borrows per 1,000 {role}"), "any", borrows);
    }
    let _left = std::fs::remove_file(&file);
}

#[test]
fn what_is_counted_works_on_both_drivers() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                spawn_and_join(10).await;
                yields(10).await;
                local_wakes(10).await;
            })
            .expect("they end");
    });
    assert!(!kinds().is_empty());
}
