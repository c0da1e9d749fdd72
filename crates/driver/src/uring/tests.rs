//! The ring's own paths: what the contract suite, which knows no backend, cannot see or force.
use super::*;
use crate::{
    Completion, Driver, Refused, RefusedReason, Ticket, Wait,
    driver::DriverKind,
    memory::{Source, Target},
    op::{file, job, ready, socket},
};
use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    time::{Duration, Instant},
};

fn options(host: Host) -> Options {
    Options { kind: Some(DriverKind::Uring), host, entries: 64, memory: 1 << 20, ..Options::default() }
}

fn driver(host: Host) -> Driver {
    Driver::start(&options(host)).expect("io_uring; these tests are for machines that have it")
}

/// Enters and reaps until `count` completions came.
fn collect(driver: &mut Driver, count: usize) -> Vec<Completion> {
    let mut all = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    while all.len() < count {
        assert!(Instant::now() < end, "{} of {count} completions: {all:#?}\n{driver:#?}", all.len());
        driver.enter(Wait::For(Duration::from_millis(100))).unwrap();
        driver.reap(usize::MAX, |completion| all.push(completion));
    }
    all
}

fn one(driver: &mut Driver, operation: Operation) -> Completion {
    driver.submit(operation, 7).unwrap();
    let mut all = collect(driver, 1);
    assert_eq!(all.len(), 1);
    let completion = all.remove(0);
    assert_eq!(completion.token, 7);
    completion
}

fn handle(fd: impl Into<OwnedFd>) -> Handle {
    Handle::from_owned(fd.into())
}

fn temporary() -> std::fs::File {
    let directory = std::env::temp_dir();
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    rustix::fs::open(&directory, flags, rustix::fs::Mode::RUSR).unwrap().into()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

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
fn a_file_is_written_read_and_measured_through_leases() {
    let mut driver = driver(Host::Native);
    let file = handle(temporary());
    let mut lease = driver.arena().lease(8192).unwrap();
    lease.fill(b'x');
    let written = one(
        &mut driver,
        Operation::Write(file::Write {
            file: file.clone(),
            source: Source::Lease(lease, 100..5100),
            offset: 0,
        }),
    );
    assert_eq!(written.result, 5000);
    let registered = driver.features().contains(&"registered-buffers");
    assert!(registered || driver.notes()[0].contains("locked memory"), "{:?}", driver.notes());

    let lease = driver.arena().lease(8192).unwrap();
    let read = file::Read { file: file.clone(), target: Target::Lease(lease, 0..8192), offset: 1000 };
    let completion = one(&mut driver, Operation::Read(read));
    assert_eq!(completion.result, 4000);
    let Some(Operation::Read(read)) = completion.operation else { panic!() };
    assert!(read.target.bytes()[..4000].iter().all(|byte| *byte == b'x'));

    let truncated = one(&mut driver, Operation::Truncate(file::Truncate { file: file.clone(), length: 10 }));
    assert_eq!(truncated.result, 0);
    let synced = one(&mut driver, Operation::Sync(file::Sync { file: file.clone(), data_only: true }));
    assert_eq!(synced.result, 0);
    let completion = one(
        &mut driver,
        Operation::Stat(file::Stat { file: file.clone(), target: Target::Vec(Vec::with_capacity(256)) }),
    );
    assert_eq!(completion.result, 0);
    let Some(Operation::Stat(stat)) = completion.operation else { panic!() };
    let size = u64::from_ne_bytes(stat.target.bytes()[40..48].try_into().unwrap());
    assert_eq!(size, 10);
    let closed = one(&mut driver, Operation::Close(file::Close { file: file.clone() }));
    assert_eq!(closed.result, 0, "a clone is alive");
    drop(closed);
    drop(stat);
    drop(read);
    drop(synced);
    drop(truncated);
    drop(written);
    assert!(file.is_unique());
    let raw = file.as_raw_fd();
    assert_eq!(one(&mut driver, Operation::Close(file::Close { file })).result, 0);
    assert!(!std::path::Path::new(&format!("/proc/self/fd/{raw}")).exists());
}

#[test]
fn opening_gives_a_handle_or_the_errno() {
    let mut driver = driver(Host::Native);
    let open = |path: &str, resolve: u64| {
        let directory = rustix::fs::open(
            "/proc/self",
            rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
        );
        Operation::Open(file::Open {
            directory: Some(handle(directory.unwrap())),
            path: std::ffi::CString::new(path).unwrap(),
            flags: libc::O_RDONLY,
            mode: 0,
            resolve,
        })
    };
    let opened = one(&mut driver, open("status", 0));
    assert_eq!(opened.result, 0);
    assert!(opened.handle.is_some());
    assert_eq!(one(&mut driver, open("nothing", 0)).result, -libc::ENOENT);
    let beneath = rustix::fs::ResolveFlags::BENEATH.bits();
    assert!(one(&mut driver, open("status", beneath)).handle.is_some());
    assert_eq!(one(&mut driver, open("../1/status", beneath)).result, -libc::EXDEV);
    assert_eq!(driver.stats().unexpected, 0);
}

#[test]
fn sockets_accept_connect_send_and_receive() {
    let mut driver = driver(Host::Native);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let accept = driver.submit(Operation::Accept(socket::Accept { listener: handle(listener) }), 1).unwrap();
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let client = handle(client);
    driver.submit(Operation::Connect(socket::Connect { socket: client.clone(), address }), 2).unwrap();
    let mut server = None;
    for completion in collect(&mut driver, 2) {
        assert_eq!(completion.result, 0);
        assert_eq!(completion.more, completion.token == 1);
        server = server.or(completion.handle);
    }
    let server = server.unwrap();
    let receive = driver.submit(Operation::Receive(socket::Receive { socket: server.clone() }), 3).unwrap();
    let source = Source::Vec(b"..hello..".to_vec(), 2..7);
    driver.submit(Operation::Send(socket::Send { socket: client.clone(), source, more: false }), 4).unwrap();
    for completion in collect(&mut driver, 2) {
        assert_eq!(completion.result, 5);
        assert_eq!(
            completion.chunk.map(|chunk| chunk.to_vec()),
            (completion.token == 3).then(|| b"hello".to_vec())
        );
    }
    // The peer's end is the receive's last completion.
    rustix::net::shutdown(&client, rustix::net::Shutdown::Write).unwrap();
    let ended = collect(&mut driver, 1).remove(0);
    assert_eq!((ended.token, ended.result, ended.more), (3, 0, false));
    driver.cancel(receive); // Stale by now.
    driver.cancel(accept);
    let ended = collect(&mut driver, 1).remove(0);
    assert_eq!((ended.token, ended.result, ended.more), (1, -libc::ECANCELED, false));
    assert_eq!(driver.in_flight(), 0);
    assert_eq!(driver.stats().unexpected, 0);
}

#[test]
fn a_host_sees_completions_and_wakes_on_its_descriptor() {
    let mut driver = driver(Host::Embedded);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    driver
        .submit(Operation::Ready(ready::Ready { file: handle(reader), events: libc::POLLIN as u32 }), 1)
        .unwrap();
    driver.enter(Wait::No).unwrap();
    let readable = |driver: &Driver, milliseconds: i32| {
        let mut watched = libc::pollfd { fd: driver.host_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: `poll` needs one valid pollfd.
        unsafe { libc::poll(&raw mut watched, 1, milliseconds) == 1 }
    };
    assert!(!readable(&driver, 0));
    let writing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        rustix::io::write(&writer, b"x").unwrap();
        writer
    });
    assert!(readable(&driver, 5000), "a completion shows");
    driver.acknowledge();
    driver.enter(Wait::No).unwrap();
    let mut result = 0;
    assert_eq!(driver.reap(10, |completion| result = completion.result), 1);
    assert_eq!(result, i32::from(libc::POLLIN));
    let _writer = writing.join().unwrap();
    driver.acknowledge();
    driver.enter(Wait::No).unwrap();
    assert!(!readable(&driver, 0));
    let waker = driver.waker();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    assert!(readable(&driver, 5000), "a wake shows");
    driver.acknowledge();
    assert!(!readable(&driver, 0));
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
fn a_small_completion_queue_loses_nothing() {
    let small = Options {
        completion_entries: Some(8),
        entries: 8,
        chunks: 8,
        chunk_bytes: 512,
        ..options(Host::Native)
    };
    let mut driver = Driver::start(&small).unwrap();
    let mut peers = Vec::new();
    for token in 0..20 {
        let (client, server) = pair();
        driver.submit(Operation::Receive(socket::Receive { socket: handle(server) }), token).unwrap();
        peers.push(client);
    }
    driver.enter(Wait::No).unwrap();
    let bytes = 20_000;
    let writing = std::thread::spawn(move || {
        for peer in &mut peers {
            peer.write_all(&vec![b'y'; bytes]).unwrap();
        }
        drop(peers);
    });
    let mut received = [0; 20];
    let mut ended = 0;
    let end = Instant::now() + Duration::from_secs(20);
    while ended < 20 {
        assert!(Instant::now() < end, "{received:?} {:?}", driver.stats());
        driver.enter(Wait::For(Duration::from_millis(50))).unwrap();
        driver.reap(3, |completion| {
            assert!(completion.result >= 0, "{completion:?}");
            received[completion.token as usize] += completion.chunk.map_or(0, |chunk| chunk.len());
            ended += usize::from(!completion.more);
        });
    }
    writing.join().unwrap();
    assert_eq!(received, [bytes; 20]);
    let stats = driver.stats();
    assert!(stats.no_chunk > 0, "{stats:?}");
    assert!(stats.rearmed > 0, "{stats:?}");
    assert_eq!((stats.unexpected, stats.in_flight), (0, 0), "{stats:?}");
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
fn a_receive_waits_for_a_chunk_and_can_be_cancelled_meanwhile() {
    let few = Options { chunks: 8, chunk_bytes: 512, ..options(Host::Native) };
    let mut driver = Driver::start(&few).unwrap();
    let (mut client, server) = pair();
    let receive = driver.submit(Operation::Receive(socket::Receive { socket: handle(server) }), 1).unwrap();
    client.write_all(&[1; 8 * 512]).unwrap();
    let mut held = collect(&mut driver, 8);
    client.write_all(&[2; 512]).unwrap();
    for _ in 0..3 {
        driver.enter(Wait::For(Duration::from_millis(5))).unwrap();
        assert_eq!(driver.reap(10, |completion| panic!("{completion:?}")), 0);
    }
    assert!(driver.stats().no_chunk >= 1);
    assert!(!driver.has_staged());
    held.pop();
    assert!(driver.has_staged(), "there is a chunk to go on with");
    let next = collect(&mut driver, 1).remove(0);
    assert_eq!(next.chunk.unwrap()[..], [2; 512]);
    held.push(collect_paused(&mut driver, &mut client));
    driver.cancel(receive);
    let last = collect(&mut driver, 1).remove(0);
    assert_eq!((last.result, last.more), (-libc::ECANCELED, false));
}

/// Takes the last free chunk and makes the receive pause once more.
fn collect_paused(driver: &mut Driver, client: &mut TcpStream) -> Completion {
    client.write_all(&[3; 512]).unwrap();
    let held = collect(driver, 1).remove(0);
    client.write_all(&[4; 512]).unwrap();
    let before = driver.stats().no_chunk;
    while driver.stats().no_chunk == before {
        driver.enter(Wait::For(Duration::from_millis(5))).unwrap();
        assert_eq!(driver.reap(10, |completion| panic!("{completion:?}")), 0);
    }
    held
}

#[test]
fn often_used_files_are_registered_and_really_closed() {
    let mut driver = driver(Host::Native);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let reader = handle(reader);
    let writer = handle(writer);
    for _ in 0..30 {
        let source = Source::Vec(vec![1], 0..1);
        let sent = one(
            &mut driver,
            Operation::Write(file::Write { file: writer.clone(), source, offset: u64::MAX }),
        );
        assert_eq!(sent.result, 1);
        let target = Target::Vec(Vec::with_capacity(1));
        let got =
            one(&mut driver, Operation::Read(file::Read { file: reader.clone(), target, offset: u64::MAX }));
        assert_eq!(got.result, 1);
    }
    assert!(format!("{writer:?}").contains("slot: 0"), "{writer:?}");
    drop(writer);
    assert!(driver.has_staged(), "the slot is to be cleared");
    driver.enter(Wait::No).unwrap();
    // End of file: the last writer is gone, in the ring's table too.
    let target = Target::Vec(Vec::with_capacity(1));
    let end =
        one(&mut driver, Operation::Read(file::Read { file: reader.clone(), target, offset: u64::MAX }));
    assert_eq!(end.result, 0);
}

#[test]
fn jobs_run_beside_the_ring_and_wake_it() {
    for host in [Host::Native, Host::Embedded] {
        let mut driver = driver(host);
        let run = || {
            std::thread::sleep(Duration::from_millis(20));
            42
        };
        let done = one(&mut driver, Operation::Job(job::Job { run: Some(Box::new(run)) }));
        assert_eq!(done.result, 42);
        let failed =
            one(&mut driver, Operation::Job(job::Job { run: Some(Box::new(|| panic!("on purpose"))) }));
        assert_eq!(failed.result, -libc::EIO);
        let Err(refused) = driver.submit(Operation::Job(job::Job { run: None }), 1) else { panic!() };
        assert_eq!(refused.reason, RefusedReason::Unsupported(Errno(libc::EINVAL)));
    }
}

#[test]
fn ranges_outside_their_memory_are_refused() {
    let mut driver = driver(Host::Native);
    let file = handle(temporary());
    let lease = |driver: &Driver| driver.arena().lease(100).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let wrong = [
        Operation::Read(file::Read {
            file: file.clone(),
            target: Target::Lease(lease(&driver), 0..101),
            offset: 0,
        }),
        Operation::Read(file::Read {
            file: file.clone(),
            target: Target::Lease(lease(&driver), 50..10),
            offset: 0,
        }),
        Operation::Write(file::Write {
            file: file.clone(),
            source: Source::Vec(vec![0; 4], 2..5),
            offset: 0,
        }),
        Operation::Stat(file::Stat { file: file.clone(), target: Target::Vec(Vec::with_capacity(255)) }),
        Operation::Truncate(file::Truncate { file, length: u64::MAX }),
    ];
    for operation in wrong {
        let Err(refused) = driver.submit(operation, 1) else { panic!() };
        assert_eq!(refused.reason, RefusedReason::Unsupported(Errno(libc::EINVAL)));
    }
    assert_eq!(driver.in_flight(), 0);
    assert_eq!(driver.arena().leases(), 0);
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

#[test]
fn without_buffer_rings_and_multishot_the_same_arrives() {
    let mut uring = {
        let arena = Arena::new(65_536).unwrap();
        Uring::start(&options(Host::Native), arena, ChunkPool::new(8, 512).unwrap()).unwrap()
    };
    // The ring keeps its chunks: take others.
    uring.chunks = ChunkPool::new(8, 512).unwrap();
    uring.buffers = None;
    uring.capabilities =
        Capabilities { multishot: false, skip_success: false, cancel_any: false, ftruncate: false };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    uring.submit(Operation::Accept(socket::Accept { listener: handle(listener) }), 1).unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut servers = Vec::new();
    while servers.len() < 3 {
        uring.enter(Wait::For(Duration::from_secs(1))).unwrap();
        uring.reap(10, |completion| servers.extend(completion.handle));
    }
    uring.submit(Operation::Receive(socket::Receive { socket: servers[0].clone() }), 2).unwrap();
    let position = servers[0].as_fd();
    let peer = rustix::net::getpeername(position).unwrap().unwrap();
    let peer = std::net::SocketAddr::try_from(peer).unwrap();
    let client = clients.iter_mut().find(|client| client.local_addr().unwrap() == peer).unwrap();
    client.write_all(&[9; 5000]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut bytes, mut ended) = (0, false);
    while !ended {
        uring.enter(Wait::For(Duration::from_secs(1))).unwrap();
        uring.reap(10, |completion| {
            bytes += completion.chunk.map_or(0, |chunk| chunk.len());
            ended = completion.token == 2 && !completion.more;
        });
    }
    assert_eq!(bytes, 5000);
    let file = handle(temporary());
    uring.submit(Operation::Truncate(file::Truncate { file: file.clone(), length: 4096 }), 3).unwrap();
    let mut result = None;
    while result.is_none() {
        uring.enter(Wait::For(Duration::from_secs(1))).unwrap();
        uring.reap(10, |completion| result = Some(completion.result));
    }
    assert_eq!(result, Some(0));
    assert_eq!(rustix::fs::fstat(&file).unwrap().st_size, 4096);
    let report = uring.shutdown(Duration::from_secs(5));
    assert_eq!((report.drained, report.leaked), (1, 0), "the accept");
}

#[test]
fn a_handle_registered_with_one_ring_names_the_same_file_on_another() {
    let (mut first, mut second) = (driver(Host::Native), driver(Host::Native));
    let files = [b'a', b'b'].map(|byte| {
        let mut file = temporary();
        file.write_all(&[byte]).unwrap();
        handle(file)
    });
    let read = |driver: &mut Driver, file: &Handle| {
        let target = Target::Vec(Vec::with_capacity(1));
        let completion = one(driver, Operation::Read(file::Read { file: file.clone(), target, offset: 0 }));
        let Some(Operation::Read(read)) = completion.operation else { panic!() };
        read.target.bytes().to_vec()
    };
    // Both get slot 0, each of its own ring.
    for _ in 0..30 {
        assert_eq!(read(&mut first, &files[0]), b"a");
        assert_eq!(read(&mut second, &files[1]), b"b");
    }
    assert_eq!(read(&mut second, &files[0]), b"a");
    assert_eq!(read(&mut first, &files[1]), b"b");
    drop(first);
    assert_eq!(read(&mut second, &files[0]), b"a");
}
