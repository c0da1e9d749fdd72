//! Cases: cancelling, at every moment.
use super::{
    Case, Rig, Skip,
    jobs::job,
    rig::{Scratch, listener, open, open_descriptors, room, source},
};
use crate::{
    Operation, Ticket,
    op::{
        file::Read,
        ready::Ready,
        socket::{Accept, Receive, Send},
    },
};
use std::{sync::mpsc, time::Duration};

pub(super) const CASES: &[Case] = &[
    Case { name: "everything that waits can be cancelled, and gives its memory back", run: waiting },
    Case { name: "cancelling before the first enter ends it once", run: staged },
    Case { name: "cancelling late, twice or with a stale ticket is harmless", run: late },
    Case { name: "a queued job can be cancelled and gives its closure back", run: queued_job },
    Case { name: "a running job ends with its result", run: running_job },
    Case { name: "an open that ends after its cancel leaves no descriptor", run: late_open },
    Case { name: "a cancelled receive loses nothing that was received", run: received },
    Case { name: "other operations of the same descriptor go on", run: neighbours },
];

fn waiting(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (listening, _) = listener();
    let listening = drive.driver.adopt(listening);
    let (socket, _plain) = drive.tcp();
    let (full, _unread) = drive.tcp();
    let (reader, _writer) = drive.pipe();
    let lease = drive.lease(64);
    let target = crate::memory::Target::Lease(lease, 0..64);
    let filler = vec![0; 16 << 20];
    let operations: [Operation; 6] = [
        Accept { listener: listening }.into(),
        Receive { socket: socket.clone() }.into(),
        Ready { file: reader.clone(), events: libc::POLLIN as u32 }.into(),
        Read { file: reader.clone(), target: room(10), offset: u64::MAX }.into(),
        Read { file: reader, target, offset: u64::MAX }.into(),
        Send { socket: full, source: source(&filler), more: false }.into(),
    ];
    let submitted = operations.map(|operation| {
        let described = kind(&operation);
        (drive.submit(operation), described)
    });
    drive.nothing_happens();
    assert_eq!(drive.driver.in_flight(), 6);
    for ((ticket, token), described) in submitted {
        drive.driver.cancel(ticket);
        let last = drive.next(token);
        assert!(!last.more);
        let sent_some = described == "Send" && last.result > 0;
        assert!(last.result == -libc::ECANCELED || sent_some, "{described}: {}", last.result);
        assert_eq!(kind(&last.operation.expect("the operation comes back")), described);
    }
    assert_eq!(drive.driver.in_flight(), 0);
    drive.nothing_happens();
    Ok(())
}

/// The variant's name.
fn kind(operation: &Operation) -> String {
    format!("{operation:?}").split(['(', ' ']).next().unwrap_or_default().to_owned()
}

fn staged(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (reader, _writer) = drive.pipe();
    let (ticket, token) = drive.submit(Read { file: reader, target: room(10), offset: u64::MAX });
    drive.driver.cancel(ticket);
    let last = drive.next(token);
    assert_eq!((last.result, last.more), (-libc::ECANCELED, false));
    assert!(last.operation.is_some());
    let (ticket, token) = drive.submit(Operation::Nop);
    drive.driver.cancel(ticket);
    let last = drive.next(token);
    assert!(last.result == -libc::ECANCELED || last.result == 0, "cancelled, or faster: {}", last.result);
    drive.nothing_happens();
    Ok(())
}

fn late(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (ticket, token) = drive.submit(Operation::Nop);
    assert_eq!(drive.next(token).result, 0);
    for _ in 0..3 {
        drive.driver.cancel(ticket);
    }
    drive.driver.cancel(Ticket(u64::MAX));
    drive.driver.cancel(Ticket(u64::from(u32::MAX)));
    // The slot's next operation is not hurt by the old ticket.
    let (reader, writer) = drive.pipe();
    let (fresh, token) = drive.submit(Read { file: reader, target: room(10), offset: u64::MAX });
    drive.driver.cancel(ticket);
    drive.nothing_happens();
    rustix::io::write(&writer, b"x").expect("write");
    assert_eq!(drive.next(token).result, 1);
    drive.driver.cancel(fresh);
    let (reader, _writer) = drive.pipe();
    let (ticket, token) = drive.submit(Read { file: reader, target: room(10), offset: u64::MAX });
    drive.nothing_happens();
    drive.driver.cancel(ticket);
    drive.driver.cancel(ticket);
    assert_eq!(drive.next(token).result, -libc::ECANCELED);
    drive.nothing_happens();
    assert_eq!(drive.driver.in_flight(), 0);
    Ok(())
}

fn queued_job(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start_with(|options| options.pool_threads = 1);
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (_, first) = drive.submit(job(move || {
        started.send(()).expect("send");
        released.recv().map_or(-1, |()| 1)
    }));
    drive.driver.enter(crate::Wait::No).expect("enter");
    has_started.recv().expect("the first job runs");
    let (ticket, second) = drive.submit(job(|| 2));
    drive.driver.enter(crate::Wait::No).expect("enter");
    drive.driver.cancel(ticket);
    let last = drive.next(second);
    assert_eq!(last.result, -libc::ECANCELED);
    let Some(Operation::Job(mut returned)) = last.operation else { panic!("the job comes back") };
    let run = returned.run.take().expect("with its closure, which never ran");
    assert_eq!(run(), 2);
    release.send(()).expect("send");
    assert_eq!(drive.next(first).result, 1);
    Ok(())
}

fn running_job(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (started, has_started) = mpsc::channel();
    let (ticket, token) = drive.submit(job(move || {
        started.send(()).expect("send");
        std::thread::sleep(Duration::from_millis(10));
        9
    }));
    drive.driver.enter(crate::Wait::No).expect("enter");
    has_started.recv().expect("it runs");
    drive.driver.cancel(ticket);
    assert_eq!(drive.next(token).result, 9);
    Ok(())
}

fn late_open(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.file("file", b"x");
    assert_eq!(drive.run(open(&path, libc::O_RDONLY)).result, 0); // Starts what is started on first use.
    let before = open_descriptors();
    for round in 0..300 {
        let (ticket, token) = drive.submit(open(&path, libc::O_RDONLY));
        if round % 3 > 0 {
            drive.driver.enter(crate::Wait::No).expect("enter");
        }
        if round % 3 > 1 {
            std::thread::yield_now();
        }
        drive.driver.cancel(ticket);
        let last = drive.next(token);
        assert!(last.result == 0 || last.result == -libc::ECANCELED, "{}", last.result);
        assert_eq!(last.handle.is_some(), last.result == 0, "a handle comes with success only");
    }
    assert_eq!(open_descriptors(), before);
    Ok(())
}

fn received(rig: &Rig) -> Result<(), Skip> {
    use std::io::Write as _;
    let mut drive = rig.start();
    for _ in 0..50 {
        let (socket, mut plain) = drive.tcp();
        let (ticket, token) = drive.submit(Receive { socket: socket.clone() });
        drive.driver.enter(crate::Wait::No).expect("enter");
        plain.write_all(b"abc").expect("write");
        drive.driver.cancel(ticket);
        let mut got = Vec::new();
        loop {
            let completion = drive.next(token);
            if let Some(chunk) = &completion.chunk {
                got.extend_from_slice(chunk);
            }
            if !completion.more {
                break;
            }
        }
        // What the first did not receive is still the socket's.
        let (ticket, token) = drive.submit(Receive { socket });
        while got.len() < 3 {
            got.extend_from_slice(&drive.next(token).chunk.expect("bytes"));
        }
        assert_eq!(got, b"abc");
        drive.driver.cancel(ticket);
        drive.last(token);
    }
    Ok(())
}

fn neighbours(rig: &Rig) -> Result<(), Skip> {
    use std::io::Write as _;
    let mut drive = rig.start();
    let (socket, mut plain) = drive.tcp();
    let (_, receive) = drive.submit(Receive { socket: socket.clone() });
    let (ready, ready_token) = drive.submit(Ready { file: socket.clone(), events: libc::POLLPRI as u32 });
    drive.nothing_happens();
    drive.driver.cancel(ready);
    assert_eq!(drive.next(ready_token).result, -libc::ECANCELED);
    plain.write_all(b"still here").expect("write");
    assert_eq!(drive.next(receive).chunk.as_deref(), Some(&b"still here"[..]));
    assert_eq!(drive.result(Send { socket, source: source(b"x"), more: false }), 1);
    Ok(())
}
