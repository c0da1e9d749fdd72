//! Limits of the system that are reached: descriptors, memory, threads. Each is a typed error that says what helps, nothing that
//! runs is disturbed, and with the limit raised everything works again.
//!
//! Limits belong to a process, so each test is a child of its own.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::{both_drivers, kinds, options, start};
use ringwheel_executor::{
    DriverKind, Executor, QueueError, QueueOptions, Removal, SpawnError, StartError, Target, TaskQueue, fs,
    net::{ListenOptions, Listener, Stream},
    pool::{ExecutorPool, PoolError, PoolOptions},
    spawn, spawn_into, thread, time, try_spawn, try_spawn_into, yield_if_needed,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{cell::Cell, future::Future, io, process::Command, rc::Rc, time::Duration};

/// Says to the child which part it plays.
const ROLE: &str = "RINGWHEEL_LIMITS_ROLE";

fn run_part(role: &str) {
    for kind in kinds() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "part", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ROLE, format!("{role} {kind:?}"))
            .output()
            .unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{role} {kind:?}: {:?}\n{text}", output.status);
        assert!(text.contains("1 passed"), "the part must have run: {text}");
    }
}

#[test]
fn no_descriptor_is_left() {
    run_part("descriptors");
}

#[test]
fn no_address_space_is_left() {
    run_part("memory");
}

#[test]
fn no_thread_is_left() {
    run_part("threads");
}

#[test]
fn our_own_limits_are_errors_too() {
    both_drivers(|mut executor| {
        let kind = executor.driver_kind();
        beside_others(&mut executor, async {
            // The default queue, the one beside, and 62 more.
            let queues: Vec<_> =
                std::iter::from_fn(|| TaskQueue::new(QueueOptions::default()).ok()).take(64).collect();
            assert_eq!(queues.len(), 62);
            let error = TaskQueue::new(QueueOptions::default()).unwrap_err();
            assert_eq!(error, QueueError::TooMany { max: 64 });
            for queue in &queues {
                assert_eq!(spawn_into(*queue, async { 1 }).await.unwrap(), 1);
                queue.remove(Removal::Drain).unwrap().await;
            }
            assert_eq!(try_spawn_into(queues[0], async {}).err(), Some(QueueError::Removed));
            TaskQueue::new(QueueOptions::default()).unwrap();
        });
        let mut small = start(kind, |options| options.tasks_max = 3);
        beside_others(&mut small, async {
            let last = spawn(std::future::pending::<()>());
            assert_eq!(try_spawn(async {}).err(), Some(SpawnError::Full));
            last.cancel();
            assert!(last.await.is_err());
            spawn(async {}).await.unwrap();
        });
    });
}

#[test]
fn executors_of_one_thread_take_turns_and_keep_what_is_theirs() {
    both_drivers(|mut outer| {
        let kind = outer.driver_kind();
        let mut inner = start(kind, |_| {});
        let kept = inner.enter(|| {
            let queue = TaskQueue::new(QueueOptions::default()).unwrap();
            drop(spawn_into(queue, async { time::sleep(Duration::from_millis(1)).await }));
            queue
        });
        outer
            .run(async {
                assert_eq!(try_spawn_into(kept, async {}).err(), Some(QueueError::Elsewhere));
                let task = spawn(async { 1 });
                // Not a second start of this one, which takes `&mut`: another's run, that blocks the thread until its future ends.
                let sum = inner.run(async { spawn_into(kept, async { 2 }).await.unwrap() }).unwrap();
                assert_eq!(sum + task.await.unwrap(), 3, "and then this one is the current one again");
                time::sleep(Duration::from_millis(1)).await;
            })
            .unwrap();
        assert_eq!(inner.run(async { 4 }).unwrap(), 4);
    });
}

/// Not a test: the child's part.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn part() {
    let role = std::env::var(ROLE).unwrap_or_default();
    let (role, kind) = role.split_once(' ').unwrap();
    let kind = if kind == "Uring" { DriverKind::Uring } else { DriverKind::Poll };
    match role {
        "descriptors" => descriptors(kind),
        "memory" => memory(kind),
        "threads" => threads(kind),
        other => panic!("no such part: {other:?}"),
    }
}

/// Sets a soft limit, and gives the one that was there.
fn limit(resource: Resource, current: u64) -> Rlimit {
    let before = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(current), maximum: before.maximum }).unwrap();
    before
}

/// The number of the lowest free descriptor: a limit of that many lets nothing more be opened.
fn descriptors_now() -> u64 {
    let lowest = std::fs::File::open("/dev/null").unwrap();
    std::os::fd::AsRawFd::as_raw_fd(&lowest) as u64
}

/// Runs `work` beside a task of another queue, which must have gone on meanwhile and go on after it.
fn beside_others<T>(executor: &mut Executor, work: impl Future<Output = T>) -> T {
    executor
        .run(async {
            let queue = TaskQueue::new(QueueOptions::default()).unwrap();
            let (rounds, stop) = (Rc::new(Cell::new(0_u32)), Rc::new(Cell::new(false)));
            let (counted, stopped) = (rounds.clone(), stop.clone());
            let other = spawn_into(queue, async move {
                while !stopped.get() {
                    counted.set(counted.get() + 1);
                    time::sleep(Duration::from_millis(1)).await;
                    yield_if_needed().await;
                }
            });
            let result = work.await;
            let before = rounds.get();
            while rounds.get() < before + 3 {
                time::sleep(Duration::from_millis(1)).await;
            }
            stop.set(true);
            other.await.unwrap();
            result
        })
        .unwrap()
}

fn descriptors(kind: DriverKind) {
    let mut executor = start(kind, |_| {});
    let listener =
        executor.enter(|| Listener::bind("127.0.0.1:0".parse().unwrap(), ListenOptions::default())).unwrap();
    let address = listener.local_address().unwrap();
    // What accepts begins before the limit, and meets it.
    let client = std::net::TcpStream::connect(address).unwrap();
    let before = limit(Resource::Nofile, descriptors_now());

    let too_many = |error: &io::Error| error.raw_os_error() == Some(libc::EMFILE);
    beside_others(&mut executor, async {
        for _ in 0..3 {
            assert!(too_many(&fs::File::open("/dev/null", libc::O_RDONLY).await.unwrap_err()));
            assert!(too_many(&Stream::connect(address).await.unwrap_err()));
            assert!(too_many(&listener.accept().await.unwrap_err()));
        }
        let bound = Listener::bind("127.0.0.1:0".parse().unwrap(), ListenOptions::default());
        assert!(too_many(&bound.unwrap_err()));
    });
    let advice = "raise the limit of open files (ulimit -n)";
    let error = Executor::start(options(kind)).unwrap_err();
    assert!(matches!(&error, StartError::Driver(_)), "{error:?}");
    assert!(error.to_string().contains(advice), "{error}");
    let threads = thread::ThreadOptions { executor: options(kind), ..Default::default() };
    let error = thread::start(threads, || async {}).unwrap_err();
    assert!(error.to_string().contains(advice), "{error}");
    let pool = PoolOptions { size: Some(2), executor: options(kind), ..Default::default() };
    let error = ExecutorPool::start(pool).unwrap_err();
    assert!(matches!(&error, PoolError::Member { .. }) && error.to_string().contains(advice), "{error}");

    setrlimit(Resource::Nofile, before).unwrap();
    beside_others(&mut executor, async {
        let accepting = spawn(async move { listener.accept().await });
        let file = fs::File::open("/proc/self/exe", libc::O_RDONLY).await.unwrap();
        let (read, target) = file.read_at(Target::Vec(Vec::with_capacity(4)), 0).await;
        assert_eq!((read.unwrap(), target.bytes()), (4, &b"\x7fELF"[..]));
        accepting.await.unwrap().unwrap();
    });
    drop(client);
    assert_eq!(executor.shutdown(Duration::from_secs(1)).driver.leaked, 0);
    Executor::start(options(kind)).unwrap();
}

/// Bytes of address space in use.
fn address_space() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').next().unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

fn memory(kind: DriverKind) {
    let mut executor = start(kind, |_| {});
    // A little is left: what a program allocates in small pieces must still be had, as Rust ends the process without.
    let before = limit(Resource::As, address_space() + (12 << 20));
    let mut large = options(kind);
    large.driver.memory = 256 << 20;
    let error = Executor::start(large.clone()).unwrap_err();
    assert!(matches!(&error, StartError::Driver(_)), "{error:?}");
    assert!(error.to_string().contains("ask for less memory"), "{error}");
    let threads = thread::ThreadOptions { executor: large.clone(), ..Default::default() };
    drop(thread::start(threads, || async {}).unwrap_err());
    let pool = PoolOptions { size: Some(2), executor: large.clone(), ..Default::default() };
    assert!(matches!(ExecutorPool::start(pool), Err(PoolError::Member { .. })));
    beside_others(&mut executor, async {
        let error = fs::lease(1 << 30).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("larger `memory`"), "{error}");
        let file = fs::File::open("/proc/self/exe", libc::O_RDONLY).await.unwrap();
        let (read, _) = file.read_at(Target::Lease(fs::lease(4096).unwrap(), 0..4096), 0).await;
        assert_eq!(read.unwrap(), 4096);
    });
    setrlimit(Resource::As, before).unwrap();
    large.driver.memory = 32 << 20;
    Executor::start(large).unwrap();
}

/// RLIMIT_NPROC counts a user's threads, and root is exempt: another user's limit of none.
fn threads(kind: DriverKind) {
    const NOBODY: libc::uid_t = 65_533;
    let mut executor = start(kind, |options| options.driver.pool_threads = 1);
    if rustix::process::geteuid().is_root() {
        // SAFETY: `setresuid` has no precondition; glibc changes all threads. Checked: the asserts of this part.
        let changed = unsafe { libc::setresuid(NOBODY, NOBODY, NOBODY) };
        assert_eq!(changed, 0, "{}", io::Error::last_os_error());
    }
    setrlimit(Resource::Nproc, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let threads = thread::ThreadOptions { executor: options(kind), ..Default::default() };
    let error = thread::start(threads, || async {}).unwrap_err();
    assert!(matches!(&error, StartError::Thread(_)), "{error:?}");
    let pool = PoolOptions { size: Some(2), executor: options(kind), ..Default::default() };
    let error = ExecutorPool::start(pool).unwrap_err();
    assert!(matches!(&error, PoolError::Member { .. }), "{error}");
    beside_others(&mut executor, async {
        // The poll driver's threads are started when there is work for them, or it does the work itself, or says that it cannot.
        match fs::File::open("/dev/null", libc::O_RDONLY).await {
            Ok(file) => assert_eq!(file.read_at(Target::Vec(Vec::with_capacity(4)), 0).await.0.unwrap(), 0),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}"),
        }
    });
}
