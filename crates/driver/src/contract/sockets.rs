//! Cases: what connected sockets do: receive, send, end.
use super::{
    Case, Drive, Rig, Skip,
    rig::{LONG, SHORT, pattern, source},
};
use crate::{
    Chunk, Operation,
    op::socket::{Receive, Send},
};
use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    os::fd::AsFd,
    time::Instant,
};

pub(super) const CASES: &[Case] = &[
    Case { name: "bytes are received in order up to the peer's end", run: receives },
    Case { name: "a reset is ECONNRESET", run: reset },
    Case { name: "receiving from a file is ENOTSOCK", run: not_a_socket },
    Case { name: "receiving pauses while all chunks are held, and loses no byte", run: no_chunks },
    Case { name: "connections share few chunks without loss", run: shared_chunks },
    Case { name: "a send larger than the socket's buffer is sent whole", run: large_send },
    Case { name: "sends of one socket keep their order", run: send_order },
    Case { name: "sending to a peer that is gone fails", run: send_errors },
    Case { name: "received bytes are sent back from the same memory", run: echo },
    Case { name: "one socket receives and sends at once", run: both_ways },
    Case { name: "urgent data does not keep the driver busy", run: urgent },
];

/// Receives until `bytes` came or the end; returns them with the last completion's result, if it came.
fn receive_all(drive: &mut Drive, token: u64, expected: usize) -> (Vec<u8>, Option<i32>) {
    let mut all = Vec::new();
    while all.len() < expected {
        let completion = drive.next(token);
        match completion.chunk {
            Some(chunk) => {
                assert_eq!(completion.result as usize, chunk.len());
                all.extend_from_slice(&chunk);
            }
            None => return (all, Some(completion.result)),
        }
    }
    (all, None)
}

fn receives(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, mut plain) = drive.tcp();
    let (_, token) = drive.submit(Receive { socket: socket.clone() });
    drive.nothing_happens();
    let bytes = pattern(200_000);
    let copy = bytes.clone();
    let writer = std::thread::spawn(move || {
        for piece in copy.chunks(7919) {
            plain.write_all(piece).expect("write");
        }
        plain.shutdown(Shutdown::Write).expect("shutdown");
        plain
    });
    let (all, last) = receive_all(&mut drive, token, usize::MAX);
    assert!(all == bytes, "{} of {} bytes, or in another order", all.len(), bytes.len());
    assert_eq!(last, Some(0));
    assert!(drive.seen.is_empty(), "nothing follows the last");
    let again = drive.result(Receive { socket });
    assert_eq!(again, 0, "the end stays the end");
    drop(writer.join());
    Ok(())
}

fn reset(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, plain) = drive.tcp();
    let (_, token) = drive.submit(Receive { socket });
    drive.turn(SHORT / 10);
    let plain = socket2::Socket::from(plain);
    plain.set_linger(Some(std::time::Duration::ZERO)).expect("linger"); // Close resets.
    drop(plain);
    let last = drive.next(token);
    assert_eq!((last.result, last.more), (-libc::ECONNRESET, false));
    assert!(matches!(last.operation, Some(Operation::Receive(_))));
    Ok(())
}

fn not_a_socket(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, _writer) = drive.pipe();
    assert_eq!(drive.last_result(Receive { socket: reader.clone() }), -libc::ENOTSOCK);
    assert_eq!(drive.result(Send { socket: reader, source: source(b"x"), more: false }), -libc::ENOTSOCK);
    Ok(())
}

impl Drive {
    /// The result of the last completion of a multishot operation.
    fn last_result(&mut self, operation: impl Into<Operation>) -> i32 {
        let (_, token) = self.submit(operation);
        self.last(token).result
    }
}

fn no_chunks(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start_with(|options| (options.chunks, options.chunk_bytes) = (8, 512));
    let (socket, mut plain) = drive.tcp();
    let (_, token) = drive.submit(Receive { socket });
    let bytes = pattern(300_000);
    let copy = bytes.clone();
    let writer = std::thread::spawn(move || {
        plain.write_all(&copy).expect("write");
    });
    let mut all: Vec<u8> = Vec::new();
    let mut held: Vec<Chunk> = Vec::new();
    let (mut pauses, mut ended) = (0, false);
    while all.len() < bytes.len() {
        // Hold what comes until nothing comes any more, then give it all back.
        let waited = Instant::now();
        while held.len() < 8 && waited.elapsed() < LONG && all.len() + held_bytes(&held) < bytes.len() {
            drive.turn(SHORT);
            for completion in drive.seen.drain(..) {
                assert_eq!(completion.token, token);
                match completion.chunk {
                    Some(chunk) => held.push(chunk),
                    None => {
                        let came = all.len() + held_bytes(&held);
                        assert_eq!(
                            (completion.result, completion.more),
                            (0, false),
                            "no chunks never ends it"
                        );
                        assert_eq!(came, bytes.len(), "the peer's end comes last");
                        ended = true;
                    }
                }
            }
        }
        assert!(waited.elapsed() < LONG, "it does not come back: {:?}", drive.driver);
        if pauses == 0 {
            drive.nothing_happens();
        }
        pauses += 1;
        held.drain(..).for_each(|chunk| all.extend_from_slice(&chunk));
    }
    assert!(all == bytes, "no byte is lost, none comes twice");
    assert!(drive.driver.stats().no_chunk > 0, "{:?}", drive.driver.stats());
    if !ended {
        let last = drive.next(token);
        assert_eq!((last.result, last.more), (0, false));
    }
    writer.join().expect("writer");
    Ok(())
}

fn held_bytes(held: &[Chunk]) -> usize {
    held.iter().map(|chunk| chunk.len()).sum()
}

fn shared_chunks(rig: &Rig) -> Result<(), Skip> {
    const CONNECTIONS: usize = 12;
    let mut drive = rig.start_with(|options| (options.chunks, options.chunk_bytes) = (8, 512));
    let bytes = pattern(40_000);
    let mut writers = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..CONNECTIONS {
        let (socket, mut plain) = drive.tcp();
        tokens.push(drive.submit(Receive { socket }).1);
        let bytes = bytes.clone();
        writers.push(std::thread::spawn(move || plain.write_all(&bytes).expect("write")));
    }
    let mut all = vec![Vec::new(); CONNECTIONS];
    let mut open = CONNECTIONS;
    drive.until("every peer's end", |drive| {
        for completion in drive.seen.drain(..) {
            let index = tokens.iter().position(|token| *token == completion.token).expect("a known token");
            if let Some(chunk) = completion.chunk {
                all[index].extend_from_slice(&chunk);
            }
            if !completion.more {
                assert_eq!(completion.result, 0);
                open -= 1;
            }
        }
        open == 0
    });
    assert!(all.iter().all(|got| *got == bytes));
    writers.into_iter().for_each(|writer| writer.join().expect("writer"));
    Ok(())
}

fn large_send(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, mut plain) = drive.tcp();
    let bytes = pattern(12 << 20);
    let expected = bytes.clone();
    let (_, token) = drive.submit(Send { socket: socket.clone(), source: source(&bytes), more: false });
    drive.nothing_happens(); // The peer does not read.
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        plain.read_to_end(&mut all).expect("read");
        all
    });
    let mut sent = drive.next(token).result;
    assert!(sent > 0, "{sent}");
    while (sent as usize) < bytes.len() {
        let rest = source(&bytes[sent as usize..]); // A short send is the caller's to continue.
        let more = drive.result(Send { socket: socket.clone(), source: rest, more: false });
        assert!(more > 0, "{more}");
        sent += more;
    }
    drop(socket);
    assert!(reader.join().expect("reader") == expected);
    Ok(())
}

fn send_order(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, mut plain) = drive.tcp();
    let mut expected = Vec::new();
    for n in 0..30u8 {
        let piece = vec![n; 1000];
        expected.extend_from_slice(&piece);
        let sent = drive.result(Send { socket: socket.clone(), source: source(&piece), more: n % 2 == 0 });
        assert_eq!(sent, 1000);
    }
    assert_eq!(drive.result(Send { socket: socket.clone(), source: source(b""), more: false }), 0);
    drop(socket);
    drive.turn(SHORT / 30); // A registered descriptor is closed at the next enter.
    let mut all = Vec::new();
    plain.read_to_end(&mut all).expect("read");
    assert!(all == expected);
    Ok(())
}

fn send_errors(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, plain) = drive.tcp();
    socket2::SockRef::from(&socket).shutdown(Shutdown::Write).expect("shutdown");
    let sent = drive.result(Send { socket, source: source(b"x"), more: false });
    assert_eq!(sent, -libc::EPIPE, "and no SIGPIPE");
    drop(plain);
    let (socket, plain) = drive.tcp();
    let plain = socket2::Socket::from(plain);
    plain.set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    drop(plain);
    let sent = drive.result(Send { socket: socket.clone(), source: source(b"x"), more: false });
    assert!(sent == -libc::ECONNRESET || sent == -libc::EPIPE, "{sent}");
    // A send that waits learns of it too.
    let (socket, plain) = drive.tcp();
    let bytes = vec![0; 16 << 20];
    let (_, token) = drive.submit(Send { socket, source: source(&bytes), more: false });
    drive.nothing_happens();
    let plain = socket2::Socket::from(plain);
    plain.set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    drop(plain);
    let sent = drive.next(token).result;
    assert!(sent < bytes.len() as i32, "what was sent before, or the error: {sent}");
    Ok(())
}

fn echo(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, mut plain) = drive.tcp();
    let (_, receive) = drive.submit(Receive { socket: socket.clone() });
    for round in 0..50u8 {
        let message = vec![round; 1 + usize::from(round) * 20];
        plain.write_all(&message).expect("write");
        let mut back = 0;
        while back < message.len() {
            let chunk = drive.next(receive).chunk.expect("bytes");
            let length = chunk.len();
            let echoed = Send {
                socket: socket.clone(),
                source: crate::memory::Source::Chunk(chunk, 0..length),
                more: false,
            };
            assert_eq!(drive.result(echoed) as usize, length);
            back += length;
        }
        let mut got = vec![0; message.len()];
        plain.read_exact(&mut got).expect("read");
        assert_eq!(got, message);
    }
    drop(plain);
    assert_eq!(drive.last(receive).result, 0);
    Ok(())
}

fn both_ways(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, plain) = drive.tcp();
    let bytes = pattern(4 << 20);
    let (_, receive) = drive.submit(Receive { socket: socket.clone() });
    let (_, mut send) = drive.submit(Send { socket: socket.clone(), source: source(&bytes), more: false });
    let (mut reading, mut writing) = (plain.try_clone().expect("clone"), plain);
    let (copy, expected) = (bytes.clone(), bytes.clone());
    let writer = std::thread::spawn(move || writing.write_all(&copy).expect("write"));
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; expected.len()];
        reading.read_exact(&mut all).expect("read");
        all == expected
    });
    let (mut got, mut sent) = (Vec::new(), 0);
    drive.until("both directions", |drive| {
        for completion in std::mem::take(&mut drive.seen) {
            if completion.token == receive {
                match completion.chunk {
                    Some(chunk) => got.extend_from_slice(&chunk),
                    None => assert_eq!((completion.result, got.len()), (0, bytes.len()), "the peer's end"),
                }
            } else {
                assert_eq!(completion.token, send);
                assert!(completion.result > 0, "{completion:?}");
                sent += completion.result as usize;
                if sent < bytes.len() {
                    let source = source(&bytes[sent..]);
                    send = drive.submit(Send { socket: socket.clone(), source, more: false }).1;
                }
            }
        }
        got.len() == bytes.len() && sent == bytes.len()
    });
    assert!(got == bytes);
    writer.join().expect("writer");
    assert!(reader.join().expect("reader"), "the peer got every byte");
    Ok(())
}

fn urgent(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (socket, plain) = drive.tcp();
    let (_, token) = drive.submit(Receive { socket });
    drive.turn(SHORT / 10);
    rustix::net::send(plain.as_fd(), b"!", rustix::net::SendFlags::OOB).expect("urgent byte");
    let before = drive.driver.stats().enters;
    let start = Instant::now();
    while start.elapsed() < SHORT * 3 {
        drive.turn(SHORT);
    }
    let enters = drive.driver.stats().enters - before;
    assert!(enters < 30, "{enters} system calls in {:?} for one byte that nobody reads", SHORT * 3);
    (&plain).write_all(b"data").expect("write");
    let received = drive.next(token).chunk.expect("bytes");
    assert!(received.ends_with(b"data") || b"data".starts_with(&received[..]), "{received:?}");
    Ok(())
}
