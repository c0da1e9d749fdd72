//! Cases: every operation completes exactly once, and the counts say so (INV-4).
use super::{
    Case, Rig, Skip,
    jobs::job,
    rig::{SHORT, Scratch, pattern, room, source},
};
use crate::{
    Operation, Refused, RefusedReason, Ticket, Wait,
    op::{
        file::{Read, Sync, Write},
        ready::Ready,
    },
};
use std::collections::HashMap;

pub(super) const CASES: &[Case] = &[
    Case { name: "a token comes back untouched", run: tokens },
    Case { name: "thousands of operations, cancelled at random, complete once each", run: thousands },
    Case { name: "a full driver refuses, gives the operation back, and takes it later", run: full },
    Case { name: "what waits without memory leaves room for others", run: room_beside_what_waits },
    Case { name: "reap hands out no more than asked", run: reap_bound },
    Case { name: "one operation in 64 is timed, by its kind, and in order of magnitude", run: latencies },
    Case { name: "the statistics agree with what was seen", run: statistics },
];

/// A small generator (xorshift64): the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn tokens(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    for token in [0, 1, u64::MAX, 1 << 63, u64::from(u32::MAX)] {
        drive.driver.submit(Operation::Nop, token).expect("room");
        assert_eq!(drive.next(token).result, 0);
    }
    for _ in 0..3 {
        drive.driver.submit(Operation::Nop, 7).expect("room"); // A token may be used twice: it is the caller's.
    }
    drive.until("three completions", |drive| drive.seen.len() == 3);
    assert!(drive.seen.iter().all(|completion| completion.token == 7));
    Ok(())
}

fn thousands(rig: &Rig) -> Result<(), Skip> {
    const OPERATIONS: u64 = 6000;
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let bytes = pattern(100_000);
    let file = drive.open(&scratch.file("file", &bytes), libc::O_RDWR);
    let (reader, _writer) = drive.pipe();
    let mut numbers = Numbers(0x5eed_0bad_cafe_f00d);
    let mut open: HashMap<u64, Ticket> = HashMap::new();
    let (mut submitted, mut completed) = (0, 0);
    let mut cancelled = 0;
    while completed < OPERATIONS {
        let burst = 1 + numbers.below(64);
        for _ in 0..burst {
            if submitted == OPERATIONS || drive.driver.in_flight() >= rig.limit() {
                break;
            }
            let offset = numbers.below(99_000);
            let operation: Operation = match numbers.below(7) {
                0 => Operation::Nop,
                1 | 2 => Read { file: file.clone(), target: room(1000), offset }.into(),
                3 => Write { file: file.clone(), source: source(&bytes[offset as usize..][..100]), offset }
                    .into(),
                4 => Sync { file: file.clone(), data_only: true }.into(),
                5 => job(|| 5).into(),
                // Never ready: only a cancel ends it.
                _ => Ready { file: reader.clone(), events: libc::POLLIN as u32 }.into(),
            };
            let (ticket, token) = drive.submit(operation);
            open.insert(token, ticket);
            submitted += 1;
        }
        // Cancel some, whatever their state; all that wait for ever when the driver is full or the end is near.
        let all = submitted == OPERATIONS || drive.driver.in_flight() >= rig.limit();
        for ticket in open.values() {
            if all || numbers.below(10) == 0 {
                drive.driver.cancel(*ticket);
                cancelled += 1;
            }
        }
        drive.driver.enter(if all { Wait::For(super::rig::LONG) } else { Wait::No }).expect("enter");
        let mut seen = Vec::new();
        drive.driver.reap(usize::MAX, |completion| seen.push(completion));
        for completion in seen {
            assert!(!completion.more);
            assert!(open.remove(&completion.token).is_some(), "{completion:?} came twice");
            assert!(completion.operation.is_some());
            if let (Some(Operation::Read(read)), 1..) = (&completion.operation, completion.result) {
                let start = read.offset as usize;
                assert_eq!(read.target.bytes(), &bytes[start..start + completion.result as usize]);
            }
            completed += 1;
        }
    }
    assert!(open.is_empty());
    assert!(cancelled > 100, "{cancelled}");
    assert_eq!(drive.driver.in_flight(), 0);
    assert_eq!(drive.driver.stats().unexpected, 0, "{:?}", drive.driver.stats());
    drive.nothing_happens();
    Ok(())
}

fn full(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, writer) = drive.pipe();
    let read = || Operation::from(Read { file: reader.clone(), target: room(1), offset: u64::MAX });
    let mut accepted = 0u64;
    let refused = loop {
        match drive.driver.submit(read(), accepted) {
            Ok(_) => accepted += 1,
            Err(refused) => break refused,
        }
        assert!(accepted <= rig.limit() as u64, "the limit is {}", rig.limit());
    };
    let Refused { operation: Operation::Read(given_back), reason: RefusedReason::Full } = refused else {
        panic!("{refused:?}");
    };
    assert!(accepted >= 8, "{accepted}");
    assert_eq!(drive.driver.in_flight(), accepted as usize);
    drive.nothing_happens();
    drop(writer);
    drive.until("every completion", |drive| drive.seen.len() == accepted as usize);
    let mut tokens: Vec<_> = drive.seen.drain(..).map(|completion| completion.token).collect();
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq(0..accepted), "each once");
    drive.driver.submit(Operation::Read(given_back), 12_345).expect("room again");
    assert_eq!(drive.next(12_345).result, 0);
    Ok(())
}

fn room_beside_what_waits(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let (reader, writer) = drive.pipe();
    let tokens = 1 << 32..(1 << 32) + 2 * rig.limit() as u64 + 100;
    let many = tokens.clone().count();
    for token in tokens.clone() {
        let ready = Ready { file: reader.clone(), events: libc::POLLIN as u32 };
        drive.driver.submit(ready.into(), token).expect("room for all that waits without memory");
    }
    drive.turn(SHORT / 10);
    let file = drive.open(&scratch.file("file", &pattern(100)), libc::O_RDONLY);
    for _ in 0..100 {
        assert_eq!(drive.result(Read { file: file.clone(), target: room(100), offset: 7 }), 93);
    }
    assert_eq!(drive.driver.in_flight(), many, "all of them wait");
    rustix::io::write(&writer, b"x").expect("write");
    drive.until("every completion", |drive| drive.seen.len() == many);
    let mut seen: Vec<_> = drive.seen.drain(..).map(|completion| completion.token).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(tokens), "each once, however few completions the queue holds");
    assert_eq!(drive.driver.in_flight(), 0);
    Ok(())
}

fn reap_bound(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    for token in 0..8 {
        drive.driver.submit(Operation::Nop, token).expect("room");
    }
    let mut total = 0;
    let deadline = std::time::Instant::now() + super::rig::LONG;
    while total < 8 {
        assert!(std::time::Instant::now() < deadline);
        drive.driver.enter(Wait::No).expect("enter");
        let mut count = 0;
        let reported = drive.driver.reap(3, |_| count += 1);
        assert_eq!(count, reported);
        assert!(count <= 3, "{count}");
        total += count;
        assert_eq!(drive.driver.in_flight(), 8 - total);
    }
    assert!(!drive.driver.has_completions());
    assert_eq!(drive.driver.reap(0, |_| panic!("nothing was asked for")), 0);
    Ok(())
}

fn latencies(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let file = drive.open(&scratch.file("file", &pattern(4096)), libc::O_RDONLY);
    for _ in 0..640 {
        assert_eq!(drive.result(Read { file: file.clone(), target: room(100), offset: 7 }), 100);
    }
    for _ in 0..256 {
        drive.result(job(|| {
            std::thread::sleep(std::time::Duration::from_micros(500));
            0
        }));
    }
    let latencies = drive.driver.latencies();
    let of = |name: &str| &latencies.iter().find(|latency| latency.operation == name).expect(name).took;
    let (read, job) = (of("read"), of("job"));
    assert!((5..=20).contains(&read.samples), "{read:?}");
    assert!((2..=8).contains(&job.samples), "{job:?}");
    assert!(job.min.as_micros() >= 490 && job.max.as_secs() < 20, "{job:?}");
    assert!(read.p50 < job.p50, "{read:?} {job:?}");
    Ok(())
}

fn statistics(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let before = drive.driver.stats();
    let (reader, _writer) = drive.pipe();
    let (ticket, token) = drive.submit(Ready { file: reader, events: libc::POLLIN as u32 });
    for _ in 0..5 {
        drive.result(Operation::Nop);
    }
    let during = drive.driver.stats();
    assert_eq!(during.in_flight, 1);
    assert_eq!(during.submitted - before.submitted, 6);
    assert_eq!(during.completed - before.completed, 5);
    assert!(during.in_flight_max >= 2);
    drive.driver.cancel(ticket);
    drive.next(token);
    let after = drive.driver.stats();
    assert_eq!((after.in_flight, after.cancels - before.cancels), (0, 1));
    assert_eq!(after.completed - before.completed, 6);
    assert_eq!((after.unexpected, after.leaked), (0, 0));
    Ok(())
}
