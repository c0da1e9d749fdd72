//! Cases: more completions at once than the queue holds (INV-4), interrupted waits, and fairness.
use super::{
    Case, Rig, Skip,
    raw::under_signals,
    rig::{LONG, SHORT, listener, pattern},
};
use crate::{
    Handle,
    op::socket::{Accept, Receive},
};
use std::{
    io::Write as _,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub(super) const CASES: &[Case] = &[
    Case { name: "many multishot receives at once lose no byte", run: many_receives },
    Case { name: "a burst of connections is accepted to the last", run: many_accepts },
    Case { name: "a connection that never pauses does not starve the others", run: fairness },
    Case { name: "signals interrupt nothing", run: signals },
];

const CONNECTIONS: usize = 40;

fn many_receives(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let mut plain: Vec<TcpStream> = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..CONNECTIONS {
        let (socket, peer) = drive.tcp();
        tokens.push(drive.submit(Receive { socket }).1);
        plain.push(peer);
    }
    drive.turn(SHORT / 10);
    let bytes = pattern(CONNECTIONS * 3000);
    // All of them at once, while nobody reaps: more completions than a small queue holds.
    for round in 0..30 {
        for (n, peer) in plain.iter_mut().enumerate() {
            let start = n * 3000 + round * 100;
            peer.write_all(&bytes[start..start + 100]).expect("write");
        }
        if round % 10 == 0 {
            drive.turn(SHORT / 30);
        }
    }
    drop(plain);
    let mut all = vec![Vec::new(); CONNECTIONS];
    let mut open = CONNECTIONS;
    drive.until("every peer's end", |drive| {
        for completion in drive.seen.drain(..) {
            let n = tokens.iter().position(|token| *token == completion.token).expect("a known token");
            if let Some(chunk) = completion.chunk {
                all[n].extend_from_slice(&chunk);
            }
            if !completion.more {
                assert_eq!(completion.result, 0, "only the peer ends it");
                open -= 1;
            }
        }
        open == 0
    });
    for (n, got) in all.iter().enumerate() {
        assert!(*got == bytes[n * 3000..(n + 1) * 3000], "connection {n}: {} bytes", got.len());
    }
    assert_eq!(drive.driver.in_flight(), 0);
    Ok(())
}

fn many_accepts(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (listening, address) = listener();
    let (_, token) = drive.submit(Accept { listener: Handle::from_owned(listening) });
    drive.turn(SHORT / 10);
    let plain: Vec<_> = (0..100).map(|_| TcpStream::connect(address).expect("connect")).collect();
    let mut handles = Vec::new();
    drive.until("a hundred connections", |drive| {
        for completion in drive.seen.drain(..) {
            assert_eq!((completion.token, completion.more), (token, true), "{completion:?}");
            handles.push(completion.handle.expect("a connection"));
        }
        handles.len() == 100
    });
    drive.nothing_happens();
    drop(plain);
    Ok(())
}

fn fairness(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (loud, mut shouting) = drive.tcp();
    let (quiet, mut whispering) = drive.tcp();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let noise = vec![0; 256 * 1024];
        while !stopped.load(Ordering::Relaxed) && shouting.write_all(&noise).is_ok() {}
    });
    let (loud_ticket, loud_token) = drive.submit(Receive { socket: loud });
    let (_, quiet_token) = drive.submit(Receive { socket: quiet });
    drive.until("noise", |drive| !drive.seen.is_empty());
    for round in 0..20u8 {
        whispering.write_all(&[round]).expect("write");
        let sent = Instant::now();
        let mut heard = false;
        while !heard {
            assert!(sent.elapsed() < LONG / 4, "round {round}: the quiet one starves");
            drive.turn(Duration::from_millis(1));
            for completion in drive.seen.drain(..) {
                heard |= completion.token == quiet_token;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    drive.driver.cancel(loud_ticket);
    drive.last(loud_token);
    drop(drive);
    writer.join().expect("writer");
    Ok(())
}

fn signals(rig: &Rig) -> Result<(), Skip> {
    use super::rig::{Scratch, bytes_of, room};
    use crate::op::file::Read;
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let bytes = pattern(100_000);
    let path = scratch.file("file", &bytes);
    under_signals(|| {
        let file = drive.open(&path, libc::O_RDONLY);
        for _ in 0..200 {
            let read = drive.run(Read { file: file.clone(), target: room(100_000), offset: 0 });
            assert_eq!(read.result, 100_000, "not EINTR, and not cut short");
            assert!(bytes_of(read) == bytes);
        }
        let (socket, mut plain) = drive.tcp();
        let (_, token) = drive.submit(Receive { socket });
        let mut got = 0;
        for piece in bytes.chunks(10_000) {
            plain.write_all(piece).expect("write");
            let end = got + piece.len();
            while got < end {
                let completion = drive.next(token);
                got += completion.chunk.unwrap_or_else(|| panic!("{}", completion.result)).len();
            }
        }
        let start = Instant::now();
        while start.elapsed() < SHORT {
            drive.driver.enter(crate::Wait::For(Duration::from_millis(5))).expect("EINTR is not an error");
        }
        drop(plain);
        assert_eq!(drive.last(token).result, 0);
    });
    Ok(())
}
