//! Cases: connections coming and going: accept, connect, close.
use super::{
    Case, Drive, Rig, Skip,
    rig::{LONG, SHORT, listener, open, open_descriptors, source},
};
use crate::{
    Handle, Operation, Wait,
    op::socket::{Accept, Connect, Receive, Send},
};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

pub(super) const CASES: &[Case] = &[
    Case { name: "each connection is accepted once, non-blocking and close-on-exec", run: accepts },
    Case { name: "accepting from what does not listen ends with the kernel's errno", run: accept_errors },
    Case { name: "a connection that nobody takes is closed", run: untaken },
    Case { name: "connections that come while accepting is cancelled are taken or closed", run: late_accept },
    Case { name: "a process without free descriptors can accept and open again later", run: no_descriptors },
    Case { name: "connecting works and is refused", run: connects },
    Case { name: "a socket's number may be used again", run: reused_numbers },
];

/// Connects plainly.
fn dial(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("connect")
}

fn accepts(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (listening, address) = listener();
    let listening = drive.driver.adopt(listening);
    let (ticket, token) = drive.submit(Accept { listener: listening });
    drive.turn(SHORT / 10);
    let plain: Vec<_> = (0..20).map(|_| dial(address)).collect();
    let mut peers = Vec::new();
    for _ in 0..20 {
        let completion = drive.next(token);
        assert!(completion.more && completion.result >= 0, "{completion:?}");
        let handle = completion.handle.expect("an accepted connection");
        let flags = rustix::fs::fcntl_getfl(&handle).expect("flags");
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        let flags = rustix::io::fcntl_getfd(&handle).expect("flags");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let peer = socket2::SockRef::from(&handle).peer_addr().expect("peer");
        peers.push(peer.as_socket().expect("an internet address"));
    }
    let mut expected: Vec<_> = plain.iter().map(|plain| plain.local_addr().expect("address")).collect();
    expected.sort();
    peers.sort();
    assert_eq!(peers, expected);
    drive.nothing_happens();
    drive.driver.cancel(ticket);
    let last = drive.next(token);
    assert_eq!((last.result, last.more), (-libc::ECANCELED, false));
    assert!(matches!(last.operation, Some(Operation::Accept(_))), "the listener comes back");
    Ok(())
}

fn accept_errors(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, _plain) = drive.tcp();
    assert_eq!(drive.result(Accept { listener: socket }), -libc::EINVAL);
    let (reader, _writer) = drive.pipe();
    assert_eq!(drive.result(Accept { listener: reader }), -libc::ENOTSOCK);
    Ok(())
}

fn untaken(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (listening, address) = listener();
    let listening = drive.driver.adopt(listening);
    let (ticket, token) = drive.submit(Accept { listener: listening.clone() });
    drive.turn(SHORT / 10);
    let before = open_descriptors();
    let mut plain = dial(address);
    drop(drive.next(token)); // With its handle.
    assert_eq!(open_descriptors(), before + 1, "ours is closed, the plain one is open");
    plain.set_read_timeout(Some(LONG)).expect("timeout");
    assert_eq!(plain.read(&mut [0]).expect("the peer's end"), 0);
    // And those that the driver still holds when it goes.
    let more: Vec<_> = (0..5).map(|_| dial(address)).collect();
    drive.until("five connections", |drive| drive.seen.len() == 5);
    drive.driver.cancel(ticket);
    drive.seen.clear();
    drive.last(token);
    drop(more);
    drop(plain);
    assert_eq!(open_descriptors(), before);
    let late = dial(address);
    drive.submit(Accept { listener: listening });
    drive.driver.enter(Wait::No).expect("enter");
    drive.driver.enter(Wait::No).expect("enter");
    drop(drive);
    drop(late);
    Ok(())
}

fn connects(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (listening, address) = listener();
    let socket = new_socket(&mut drive);
    assert_eq!(drive.result(Connect { socket: socket.clone(), address }), 0);
    let listening = std::net::TcpListener::from(listening);
    let (mut peer, _) = listening.accept().expect("accept");
    assert_eq!(drive.result(Send { socket: socket.clone(), source: source(b"hi"), more: false }), 2);
    let mut got = [0; 2];
    peer.read_exact(&mut got).expect("read");
    assert_eq!(&got, b"hi");
    assert_eq!(drive.result(Connect { socket, address }), -libc::EISCONN);
    drop(listening);
    let socket = new_socket(&mut drive);
    assert_eq!(drive.result(Connect { socket, address }), -libc::ECONNREFUSED);
    Ok(())
}

fn new_socket(drive: &mut Drive) -> Handle {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    drive.driver.adopt(socket.into())
}

fn reused_numbers(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    for round in 0..200u32 {
        let (socket, mut plain) = drive.tcp();
        let duplicate = rustix::io::dup(&socket).expect("dup"); // Keeps the old connection alive under another number.
        let (ticket, token) = drive.submit(Receive { socket });
        drive.turn(SHORT / 30);
        drive.driver.cancel(ticket);
        assert_eq!(drive.last(token).result, -libc::ECANCELED);
        let (next, mut next_plain) = drive.tcp();
        let (_, next_token) = drive.submit(Receive { socket: next });
        plain.write_all(b"old").expect("write");
        next_plain.write_all(b"new").expect("write");
        let received = drive.next(next_token);
        assert_eq!(received.chunk.as_deref(), Some(&b"new"[..]), "round {round}");
        drop(next_plain);
        assert_eq!(drive.last(next_token).result, 0);
        drop(duplicate);
    }
    Ok(())
}

fn late_accept(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (listening, address) = listener();
    let listening = drive.driver.adopt(listening);
    for warm_up in [true, false] {
        let before = open_descriptors();
        for round in 0..60 {
            let (ticket, token) = drive.submit(Accept { listener: listening.clone() });
            drive.driver.enter(Wait::No).expect("enter");
            let plain = dial(address);
            if round % 2 == 0 {
                drive.driver.enter(Wait::No).expect("enter");
            }
            drive.driver.cancel(ticket);
            let mut taken = 0;
            loop {
                let completion = drive.next(token);
                assert_eq!(completion.more, completion.handle.is_some(), "{completion:?}");
                taken += usize::from(completion.more);
                if !completion.more {
                    assert_eq!(completion.result, -libc::ECANCELED);
                    break;
                }
            }
            assert!(taken <= 2, "this round's, and one that the round before left in the queue: {taken}");
            drop(plain);
        }
        assert!(
            warm_up || open_descriptors() == before,
            "{} descriptors, {before} before",
            open_descriptors()
        );
    }
    Ok(())
}

fn no_descriptors(rig: &Rig) -> Result<(), Skip> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (mut drive, scratch) = (rig.start(), super::rig::Scratch::new());
    let path = scratch.file("file", b"x");
    let (listening, address) = listener();
    let listening = drive.driver.adopt(listening);
    assert_eq!(drive.result(open(&path, libc::O_RDONLY)), 0); // Starts what is started on first use.
    let plain = dial(address);
    let limit = getrlimit(Resource::Nofile);
    // The lowest free number is the first that this forbids.
    let lowest = rustix::io::dup(&listening).map(|fd| std::os::fd::AsRawFd::as_raw_fd(&fd)).expect("dup");
    setrlimit(Resource::Nofile, Rlimit { current: Some(lowest as u64), ..limit }).expect("lower the limit");
    let (_, accept) = drive.submit(Accept { listener: listening.clone() });
    let (_, opened) = drive.submit(open(&path, libc::O_RDONLY));
    let results = (drive.next(accept), drive.next(opened));
    setrlimit(Resource::Nofile, limit).expect("raise it again");
    assert_eq!((results.0.result, results.0.more), (-libc::EMFILE, false));
    assert_eq!(results.1.result, -libc::EMFILE);
    let (ticket, accept) = drive.submit(Accept { listener: listening });
    let handle = drive.next(accept).handle.expect("the connection waited");
    let peer = socket2::SockRef::from(&handle).peer_addr().expect("peer").as_socket();
    assert_eq!(peer, plain.local_addr().ok());
    assert_eq!(drive.result(open(&path, libc::O_RDONLY)), 0);
    drive.driver.cancel(ticket);
    drive.last(accept);
    Ok(())
}
