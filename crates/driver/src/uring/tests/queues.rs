//! The ring's queues, waits and wakes: what the contract suite, which knows no backend, cannot see or force.
use super::*;

#[test]
fn both_hosts_run_operations() {
    for host in [Host::Native, Host::Embedded] {
        let mut driver = driver(host);
        assert_eq!(driver.kind(), DriverKind::Uring);
        let completion = one(&mut driver, Operation::Nop);
        assert_eq!((completion.result, completion.more), (0, false));
        assert_eq!(driver.in_flight(), 0);
    }
}

#[test]
fn a_host_sees_completions_and_wakes_on_its_descriptor() {
    let mut driver = driver(Host::Embedded);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    driver
        .submit(Operation::Ready(ready::Ready { file: handle(reader), events: libc::POLLIN as u32 }), 1)
        .unwrap();
    driver.enter(Wait::No).unwrap();
    assert!(!readable(driver.host_fd(), 0));
    let writing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        rustix::io::write(&writer, b"x").unwrap();
        writer
    });
    assert!(readable(driver.host_fd(), 5000), "a completion shows");
    driver.acknowledge();
    driver.enter(Wait::No).unwrap();
    let mut result = 0;
    assert_eq!(driver.reap(10, |completion| result = completion.result), 1);
    assert_eq!(result, i32::from(libc::POLLIN));
    let _writer = writing.join().unwrap();
    driver.acknowledge();
    driver.enter(Wait::No).unwrap();
    assert!(!readable(driver.host_fd(), 0));
    let waker = driver.waker();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    assert!(readable(driver.host_fd(), 5000), "a wake shows");
    driver.acknowledge();
    assert!(!readable(driver.host_fd(), 0));
}

#[test]
fn a_wake_ends_a_block_on_both_hosts() {
    for host in [Host::Native, Host::Embedded] {
        let mut driver = driver(host);
        for round in 0..3 {
            let waker = driver.waker();
            let waking = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(10 * round));
                waker.wake();
            });
            let start = Instant::now();
            driver.enter(Wait::For(Duration::from_secs(10))).unwrap();
            assert!(start.elapsed() < Duration::from_secs(5), "{host:?}");
            driver.reap(10, |completion| panic!("{completion:?}"));
            waking.join().unwrap();
            // The wake may have come before the wait and its signal after: swallow it.
            driver.enter(Wait::For(Duration::from_millis(1))).unwrap();
        }
        let start = Instant::now();
        driver.enter(Wait::For(Duration::from_millis(30))).unwrap();
        driver.enter(Wait::For(Duration::from_millis(30))).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(30), "{host:?} does not sleep");
    }
}

#[test]
fn singles_are_bounded_by_the_completion_queue() {
    let small = Options { completion_entries: Some(8), entries: 8, ..options(Host::Native) };
    let mut driver = Driver::start(&small).unwrap();
    for token in 0..8 {
        driver.submit(Operation::Nop, token).unwrap();
    }
    let Err(Refused { reason, operation: Operation::Nop }) = driver.submit(Operation::Nop, 9) else {
        panic!()
    };
    assert_eq!(reason, RefusedReason::Full);
    assert_eq!(collect(&mut driver, 8).len(), 8);
    driver.submit(Operation::Nop, 9).unwrap();
    assert_eq!(collect(&mut driver, 1).len(), 1);
}

#[test]
fn more_entries_than_the_queue_holds_are_all_run() {
    let small = Options { completion_entries: Some(1024), entries: 8, ..options(Host::Native) };
    let mut driver = Driver::start(&small).unwrap();
    for token in 0..1000 {
        driver.submit(Operation::Nop, token).unwrap();
    }
    let mut tokens: Vec<_> =
        collect(&mut driver, 1000).into_iter().map(|completion| completion.token).collect();
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq(0..1000));
}

#[test]
fn jobs_run_beside_the_ring_and_wake_it() {
    for host in [Host::Native, Host::Embedded] {
        let mut driver = driver(host);
        let run = || {
            std::thread::sleep(Duration::from_millis(20));
            42
        };
        let done =
            one(&mut driver, Operation::Job(job::Job { run: Some(Box::new(run)), file: None, waits: false }));
        assert_eq!(done.result, 42);
        let failed = one(
            &mut driver,
            Operation::Job(job::Job {
                run: Some(Box::new(|| panic!("on purpose"))),
                file: None,
                waits: false,
            }),
        );
        assert_eq!(failed.result, -libc::EIO);
        let Err(refused) = driver.submit(Operation::Job(job::Job { run: None, file: None, waits: false }), 1)
        else {
            panic!()
        };
        assert_eq!(refused.reason, RefusedReason::Unsupported(Errno(libc::EINVAL)));
    }
}

#[test]
fn a_stale_or_second_cancel_is_harmless() {
    let mut driver = driver(Host::Native);
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let file = handle(reader);
    let read = |file: &Handle| {
        Operation::Read(file::Read { file: file.clone(), target: Target::Vec(vec![0; 10]), offset: u64::MAX })
    };
    let first = driver.submit(read(&file), 1).unwrap();
    driver.cancel(first);
    driver.cancel(first);
    assert_eq!(collect(&mut driver, 1)[0].result, -libc::ECANCELED);
    let second = driver.submit(read(&file), 2).unwrap();
    driver.cancel(first);
    driver.cancel(Ticket(u64::MAX));
    driver.enter(Wait::For(Duration::from_millis(20))).unwrap();
    assert_eq!(driver.reap(10, drop), 0, "the second read is untouched");
    driver.cancel(second);
    assert_eq!(collect(&mut driver, 1)[0].token, 2);
}
