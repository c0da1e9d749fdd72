//! The embedded host's turns: what it may sleep on, what wakes it, and what a turn without work costs.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::both_drivers;
use ringwheel_driver::{Completion, Host, Operation};
use ringwheel_executor::{
    CLIENT_TOKEN, Client, DriverKind, Edge, Executor, NoClient, Park, event::Event, spawn, time,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    cell::Cell,
    os::fd::BorrowedFd,
    rc::Rc,
    time::{Duration, Instant},
};

fn both_embedded(test: impl Fn(Executor)) {
    both_drivers(|native| {
        let kind = native.driver_kind();
        drop(native);
        test(start(kind));
    });
}

fn start(kind: DriverKind) -> Executor {
    common::start(kind, |options| options.driver.host = Host::Embedded)
}

/// What libuv does between turns: sleeps on the host descriptor until the deadline. True when the descriptor was readable.
fn host_sleeps(executor: &mut Executor, until: Option<Instant>) -> bool {
    let limit = until.map_or(Duration::from_secs(5), |until| until.saturating_duration_since(Instant::now()));
    // libuv's timers are in milliseconds, and round up.
    let limit = Timespec::try_from(limit + Duration::from_millis(1)).expect("it fits");
    // SAFETY: the descriptor is the driver's, which lives as long as the executor that is borrowed here.
    let fd = unsafe { BorrowedFd::borrow_raw(executor.host_fd()) };
    let readable = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit)).expect("poll") > 0;
    if readable {
        executor.edge(|edge| edge.driver.acknowledge());
    }
    readable
}

/// Turns until `done`, sleeping as a host would. Panics when it takes more than 1000 turns.
fn drive(executor: &mut Executor, client: &mut impl Client, done: impl Fn() -> bool) {
    for _ in 0..1000 {
        let turn = executor.turn(client, Park::Host);
        if done() {
            return;
        }
        if !turn.ready {
            host_sleeps(executor, turn.next_deadline);
        }
    }
    panic!("the host slept or turned for nothing");
}

#[test]
fn tasks_timers_and_operations_make_progress_by_turns() {
    both_embedded(|mut executor| {
        let done = Rc::new(Cell::new(0));
        let seen = done.clone();
        executor.enter(|| {
            drop(spawn(async move {
                time::sleep(Duration::from_millis(5)).await;
                let file = ringwheel_executor::fs::File::open("/dev/zero", 0).await.unwrap();
                let target = ringwheel_executor::Target::Vec(Vec::with_capacity(100));
                seen.set(file.read_at(target, 0).await.0.unwrap());
            }));
        });
        drive(&mut executor, &mut NoClient, || done.get() == 100);
    });
}

#[test]
fn a_wake_from_another_thread_makes_the_host_descriptor_readable() {
    both_embedded(|mut executor| {
        for round in 0..20 {
            let event = Event::new();
            let (seen, waiting) = (Rc::new(Cell::new(false)), event.clone());
            let inside = seen.clone();
            executor.enter(|| {
                drop(spawn(async move {
                    waiting.wait().await;
                    inside.set(true);
                }));
            });
            let setter = std::thread::spawn(move || {
                if round % 2 == 0 {
                    std::thread::sleep(Duration::from_millis(3));
                }
                event.set();
            });
            let start = Instant::now();
            drive(&mut executor, &mut NoClient, || seen.get());
            assert!(start.elapsed() < Duration::from_secs(4), "the wake ended the sleep");
            setter.join().unwrap();
        }
        let waker = executor.waker();
        while executor.turn(&mut NoClient, Park::Host).ready {}
        std::thread::spawn(move || waker.wake()).join().unwrap();
        let soon = Instant::now() + Duration::from_secs(5);
        assert!(host_sleeps(&mut executor, Some(soon)));
    });
}

/// A FIFO's open is tried without waiting and goes to the kernel a second time from the middle of its own completion: nothing but that completion tells.
#[test]
fn what_a_completion_begins_anew_is_submitted_before_the_host_sleeps() {
    let path = std::env::temp_dir().join(format!("ringwheel-embedded-{}", std::process::id()));
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    both_embedded(|mut executor| {
        let opened = Rc::new(Cell::new(0));
        for round in 1..=3 {
            let (seen, path) = (opened.clone(), path.clone());
            executor.enter(|| {
                drop(spawn(async move {
                    let fifo = ringwheel_executor::fs::File::open(&path, libc::O_RDWR).await.unwrap();
                    seen.set(seen.get() + 1);
                    drop(fifo);
                }));
            });
            while opened.get() < round {
                let turn = executor.turn(&mut NoClient, Park::Host);
                assert!(
                    turn.ready || opened.get() == round || host_sleeps(&mut executor, None),
                    "slept for nothing"
                );
            }
        }
    });
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_turn_without_work_makes_no_system_call_of_the_driver() {
    both_embedded(|mut executor| {
        for park in [Park::No, Park::Host] {
            executor.turn(&mut NoClient, park);
            let before = executor.stats().driver.enters;
            for _ in 0..100 {
                let turn = executor.turn(&mut NoClient, park);
                assert!(!turn.ready);
                assert_eq!(turn.next_deadline, None);
            }
            assert_eq!(executor.stats().driver.enters, before);
        }
    });
}

/// Counts what it is told.
#[derive(Default)]
struct Told {
    to_submit: Vec<u64>,
    completions: Rc<Cell<u32>>,
}

impl Client for Told {
    fn commands(&mut self, edge: &mut Edge<'_>) -> bool {
        if let Some(token) = self.to_submit.pop() {
            edge.driver.submit(Operation::Nop, token).unwrap();
        }
        !self.to_submit.is_empty()
    }
    fn completion(&mut self, completion: Completion) {
        assert_ne!(completion.token & CLIENT_TOKEN, 0);
        self.completions.set(self.completions.get() + 1);
    }
}

#[test]
fn more_commands_than_one_turn_takes_keep_the_host_awake() {
    both_embedded(|mut executor| {
        let mut client =
            Told { to_submit: (0..10).map(|index| CLIENT_TOKEN | index).collect(), ..Told::default() };
        let completions = client.completions.clone();
        for _ in 0..9 {
            assert!(executor.turn(&mut client, Park::Host).ready);
        }
        drive(&mut executor, &mut client, || completions.get() == 10);
    });
}
