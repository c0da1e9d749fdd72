//! What only the poll backend promises: how it spends threads and system calls.
use crate::{
    Driver, DriverKind, Handle, Host, Operation, Options, Wait,
    memory::Target,
    op::{file::Read, ready::Ready},
};
use std::time::{Duration, Instant};

fn driver() -> Driver {
    Driver::start(&Options { kind: Some(DriverKind::Poll), host: Host::Native, ..Options::default() })
        .unwrap()
}

fn finish(driver: &mut Driver, count: usize) -> Vec<crate::Completion> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut completions = Vec::new();
    while completions.len() < count {
        assert!(Instant::now() < deadline, "{driver:?}");
        driver.enter(Wait::For(Duration::from_millis(100))).unwrap();
        driver.reap(usize::MAX, |completion| completions.push(completion));
    }
    completions
}

#[cfg(target_os = "linux")]
#[test]
fn cached_reads_complete_in_their_first_enter() {
    let path = std::env::temp_dir().join(format!("ringwheel-poll-{}", std::process::id()));
    std::fs::write(&path, [7; 40_000]).unwrap();
    let file = Handle::from_owned(std::fs::File::open(&path).unwrap().into());
    let mut driver = driver();
    for (offset, expected) in [(0, 4096), (39_000, 1000), (40_000, 0), (1 << 50, 0)] {
        let lease = driver.arena().lease(4096).unwrap();
        let read = Read { file: file.clone(), target: Target::Lease(lease, 0..4096), offset };
        driver.submit(Operation::Read(read), 1).unwrap();
        driver.enter(Wait::No).unwrap();
        let mut results = Vec::new();
        driver.reap(1, |completion| results.push(completion.result));
        assert_eq!(results, [expected], "at {offset}: on the driver's thread, without a wait");
    }
    assert_eq!(driver.stats().enters, 0, "and without asking the poller");
    // A turn copies a bounded number of bytes; the rest goes to the pool and is not lost.
    for token in 0..1000 {
        let target = Target::Vec(Vec::with_capacity(30_000));
        driver.submit(Operation::Read(Read { file: file.clone(), target, offset: 0 }), token).unwrap();
    }
    driver.enter(Wait::No).unwrap();
    let mut inline = 0;
    driver.reap(usize::MAX, |_| inline += 1);
    assert!((100..1000).contains(&inline), "{inline} of 1000 reads of 30,000 bytes in one turn of 4 MiB");
    let rest = finish(&mut driver, 1000 - inline);
    assert!(rest.iter().all(|completion| completion.result == 30_000));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn news_cost_no_more_than_a_wait_each() {
    let mut driver = driver();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let reader = driver.adopt(reader);
    let mut enters = 0;
    for token in 0..20 {
        let ready = Ready { file: reader.clone(), events: libc::POLLIN as u32 };
        driver.submit(Operation::Ready(ready), token).unwrap();
        driver.enter(Wait::No).unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(finish(&mut driver, 1)[0].token, token);
        rustix::io::read(&reader, &mut [0; 8]).unwrap();
        enters += 2;
    }
    assert!(driver.stats().enters <= enters, "{} waits for 20 events", driver.stats().enters);
}

#[test]
fn completions_at_hand_do_not_keep_the_news_away() {
    let mut driver = driver();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let ready = Ready { file: driver.adopt(reader), events: libc::POLLIN as u32 };
    driver.submit(Operation::Ready(ready), 99).unwrap();
    driver.enter(Wait::No).unwrap();
    rustix::io::write(&writer, b"x").unwrap();
    let before = driver.stats().enters;
    let mut turns = 0;
    let mut heard = false;
    while !heard {
        turns += 1;
        assert!(turns < 20, "a turn that always has completions of its own must still ask");
        driver.submit(Operation::Nop, 0).unwrap();
        driver.enter(Wait::Forever).unwrap();
        driver.reap(usize::MAX, |completion| heard |= completion.token == 99);
    }
    assert!(driver.stats().enters - before < turns, "but not every time");
}

#[test]
fn a_shut_down_driver_refuses() {
    use crate::{Arena, RefusedReason, memory::provided::ChunkPool};
    let options = Options { kind: Some(DriverKind::Poll), ..Options::default() };
    let (arena, chunks) = (Arena::new(65_536).unwrap(), ChunkPool::new(8, 512).unwrap());
    let mut poll = super::Poll::start(&options, arena, chunks, Vec::new()).unwrap();
    poll.submit_from(&mut Operation::Nop, 1).unwrap();
    let report = poll.shutdown(Duration::from_secs(1));
    assert_eq!((report.drained, report.leaked), (1, 0));
    let mut refused = Operation::Job(crate::op::job::Job { run: None, file: None, waits: false });
    assert_eq!(poll.submit_from(&mut refused, 2).unwrap_err(), RefusedReason::Closed);
    assert!(matches!(refused, Operation::Job(_)), "it stays where it was");
    assert_eq!(poll.shutdown(Duration::from_secs(1)).drained, 0, "once is enough");
    assert_eq!(poll.in_flight(), 0);
}
