//! What the executor costs in the steady state, counted: system calls of reads, commands, sleeps, an echo, and of idling.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::{both_drivers, kinds, start};
use ringwheel_command::{Command, Consumer, Geometry, Opcode, Producer, Region, ScriptSide};
use ringwheel_counts::{Counting, allocations_here, check};
use ringwheel_driver::Host;
use ringwheel_executor::{
    DriverKind, Executor, Park, Source, Target,
    bridge::{Bridge, plain_open},
    fs, net, spawn, time,
};
use std::{
    ffi::CString,
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn name(executor: &Executor) -> &'static str {
    match executor.driver_kind() {
        DriverKind::Uring => "uring",
        DriverKind::Poll => "poll",
    }
}

/// As a thread of its own would run it.
fn native(test: impl Fn(Executor)) {
    for kind in kinds() {
        test(start(kind, |options| options.driver.host = Host::Native));
    }
}

fn enters(executor: &Executor) -> u64 {
    executor.stats().driver.enters
}

/// `tasks` tasks that read one after the other, 1,000 reads together.
async fn reads(file: &std::rc::Rc<fs::File>, tasks: u64) {
    let mut joins = Vec::new();
    for _ in 0..tasks {
        let file = std::rc::Rc::clone(file);
        joins.push(spawn(async move {
            let mut target = Target::Vec(Vec::with_capacity(4096));
            for round in 0..1_000 / tasks {
                let (read, back) = file.read_at(target, (round % 16) * 4096).await;
                assert_eq!(read.unwrap(), 4096);
                target = back;
            }
        }));
    }
    for join in joins {
        join.await.unwrap();
    }
}

#[test]
fn reads_of_one_turn_share_a_system_call() {
    native(|mut executor| {
        let driver = name(&executor);
        let file = executor.run(async { fs::File::open("/proc/self/exe", 0).await.unwrap() }).unwrap();
        let file = std::rc::Rc::new(file);
        for depth in [1, 50] {
            executor.run(reads(&file, depth)).unwrap();
            let before = enters(&executor);
            executor.run(reads(&file, depth)).unwrap();
            let count = format!("executor: enters per 1,000 reads, depth {depth}");
            check(&count, driver, (enters(&executor) - before) as f64);
        }
        drop(file);
    });
}

#[test]
fn an_echo_needs_few_system_calls() {
    native(|mut executor| {
        let driver = name(&executor);
        let (client, server) = executor
            .run(async {
                let listener =
                    net::Listener::bind("127.0.0.1:0".parse().unwrap(), Default::default()).unwrap();
                let address = listener.local_address().unwrap();
                let client = spawn(async move { net::Stream::connect(address).await.unwrap() });
                let server = listener.accept().await.unwrap();
                (client.await.unwrap(), server)
            })
            .unwrap();
        executor.enter(|| {
            drop(spawn(async move {
                while let Some(chunk) = server.receive().await.unwrap() {
                    let all = 0..chunk.len();
                    server.send(Source::Chunk(chunk, all), false).await.0.unwrap();
                }
            }));
        });
        let mut counted = 0;
        for _ in 0..2 {
            let before = enters(&executor);
            executor
                .run(async {
                    let mut bytes = vec![7; 64];
                    for _ in 0..1_000 {
                        let (sent, back) = client.send(Source::Vec(bytes, 0..64), false).await;
                        sent.unwrap();
                        let Source::Vec(back, _) = back else { panic!("it was a vector") };
                        bytes = back;
                        let mut received = 0;
                        while received < 64 {
                            received += client.receive().await.unwrap().unwrap().len();
                        }
                    }
                })
                .unwrap();
            counted = enters(&executor) - before;
        }
        check("executor: enters per 1,000 echoes over loopback, both ends", driver, counted as f64);
        drop(client);
    });
}

#[test]
fn sleeps_of_one_deadline_share_a_timer() {
    native(|mut executor| {
        let driver = name(&executor);
        let sleeps = async {
            // Long enough for all of them to begin before, on a busy machine too.
            let deadline = Instant::now() + Duration::from_secs(1);
            let joins: Vec<_> = (0..1_000).map(|_| spawn(time::sleep_until(deadline))).collect();
            for join in joins {
                join.await.unwrap();
            }
        };
        let before = executor.stats();
        executor.run(sleeps).unwrap();
        let after = executor.stats();
        assert_eq!(after.timers_fired - before.timers_fired, 1_000);
        check(
            "executor: turns per 1,000 sleeps of one deadline",
            driver,
            (after.turns - before.turns) as f64,
        );
        let enters = after.driver.enters - before.driver.enters;
        check("executor: enters per 1,000 sleeps of one deadline", driver, enters as f64);
    });
}

#[test]
fn an_idle_executor_wakes_at_most_three_times_in_a_second() {
    native(|mut executor| {
        let driver = name(&executor);
        let before = executor.stats();
        executor.run(time::sleep(Duration::from_secs(1))).unwrap();
        check("executor: parks of one 1 s timer", driver, (executor.stats().parks - before.parks) as f64);
    });
}

/// JavaScript's side, played by the test: rings, and the executor with its bridge on the other end.
struct Script {
    executor: Executor,
    bridge: Bridge,
    commands: Producer<Region, { ringwheel_command::layout::COMMAND_WORDS }>,
    completions: Consumer<Region, { ringwheel_command::layout::COMPLETION_WORDS }>,
    /// Calls into JavaScript that a host would have made.
    calls: u64,
}

impl Script {
    fn new(mut executor: Executor) -> Script {
        let region = Region::owned(Geometry::DEFAULT);
        let ScriptSide { commands, completions } = region.script_side();
        let arena = executor.edge(|edge| edge.driver.arena().clone()).unwrap();
        Script { executor, bridge: Bridge::new(region, arena, None), commands, completions, calls: 0 }
    }

    /// Writes commands, and turns until each is answered. Returns the last completion.
    fn run(&mut self, commands: impl Iterator<Item = Command>) -> ringwheel_command::Completion {
        let mut wanted = 0;
        for command in commands {
            self.commands.push(command.to_words()).unwrap();
            wanted += 1;
        }
        self.commands.publish();
        self.answers(wanted)
    }

    fn answers(&mut self, wanted: usize) -> ringwheel_command::Completion {
        let mut last = None;
        let mut seen = 0;
        while seen < wanted {
            let turn = self.executor.turn(&mut self.bridge, Park::No);
            assert!(turn.panic.is_none() && turn.driver_error.is_none());
            if self.bridge.publish() > 0 {
                self.calls += 1;
                let mut batch = self.completions.batch().unwrap();
                while let Some(words) = batch.peek() {
                    last = Some(ringwheel_command::Completion::from_words(words));
                    assert!(last.unwrap().result >= 0, "{last:?}");
                    seen += 1;
                    batch.advance();
                }
            } else if seen < wanted && !turn.ready {
                std::thread::yield_now(); // A pool thread of the poll driver has the rest.
            }
        }
        last.unwrap()
    }
}

#[test]
fn commands_allocate_nothing_and_share_their_system_calls() {
    for kind in kinds() {
        let executor = start(kind, |options| options.driver.entries = 128); // A batch fits in.
        let driver = name(&executor);
        let mut script = Script::new(executor);
        let path = CString::new("/proc/self/exe").unwrap();
        let pending = ringwheel_command::PendingId { slot: 0, generation: 1 };
        let Script { executor, bridge, .. } = &mut script;
        executor.edge(|edge| bridge.open(edge, pending, plain_open(path, 0, 0))).unwrap().unwrap();
        let opened = script.answers(1);
        // The arena of `common` has 64 KiB: leases of 512 bytes.
        let leases: Vec<_> = (0..100).map(|_| script.bridge.lease(512).unwrap().0).collect();
        let read = |slot: u32| Command {
            opcode: Opcode::Read as u8,
            pending_slot: slot,
            pending_generation: 1,
            file_slot: opened.result as u32,
            file_generation: opened.flags,
            length: 512,
            operand: f64::from(slot) * 512.0,
            ..Command::ZERO
        };
        let mut counts = (0, 0, 0);
        for _ in 0..3 {
            let before = (allocations_here(), enters(&script.executor), script.calls);
            for _ in 0..10 {
                script.run((0..100).map(|slot| Command {
                    lease_slot: leases[slot as usize].slot,
                    lease_generation: leases[slot as usize].generation,
                    ..read(slot)
                }));
            }
            counts =
                (allocations_here() - before.0, enters(&script.executor) - before.1, script.calls - before.2);
        }
        check("bridge: allocations per 1,000 read commands, 100 at a time", driver, counts.0 as f64);
        check("bridge: enters per 1,000 read commands, 100 at a time", driver, counts.1 as f64);
        check(
            "bridge: calls into JavaScript per 1,000 read commands, 100 at a time",
            driver,
            counts.2 as f64,
        );
    }
}

#[test]
fn commands_that_need_no_system_call_make_none_and_allocate_nothing() {
    both_drivers(|executor| {
        let driver = name(&executor);
        let mut script = Script::new(executor);
        let nop = |slot: u32| Command {
            opcode: Opcode::Nop as u8,
            pending_slot: slot,
            pending_generation: 1,
            ..Command::ZERO
        };
        let mut counts = (0, 0, 0);
        for _ in 0..3 {
            let before = (allocations_here(), enters(&script.executor), script.calls);
            script.run((0..1_000).map(nop));
            counts =
                (allocations_here() - before.0, enters(&script.executor) - before.1, script.calls - before.2);
        }
        check("bridge: allocations per 1,000 nop commands", driver, counts.0 as f64);
        check("bridge: enters per 1,000 nop commands", driver, counts.1 as f64);
        check("bridge: calls into JavaScript per 1,000 nop commands", driver, counts.2 as f64);
    });
}
