//! Connections and bytes that come on the ring: what the contract suite, which knows no backend, cannot see or force.
use super::*;

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
fn without_buffer_rings_and_multishot_the_same_arrives() {
    let mut uring = {
        let arena = Arena::new(65_536).unwrap();
        Uring::start(&options(Host::Native), arena, ChunkPool::new(8, 512).unwrap()).unwrap()
    };
    uring.capabilities = Capabilities {
        multishot: false,
        skip_success: false,
        cancel_any: false,
        ftruncate: false,
        msg_ring: false,
    };
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
