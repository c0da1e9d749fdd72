//! What a routed request costs in allocations, counted: those of the server's core and of the handlers' end together. One test, so that no
//! other thread of the process allocates meanwhile.
mod common;
use common::{Client, on_each_driver};
use ringwheel_counts::{Counting, allocations_elsewhere, check};
use ringwheel_fileserver::{
    DriverKind, Limits, Server,
    route::{Attendant, Length, NUMBERS, Notice},
};
use std::{
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUESTS: usize = 1_000;
const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: test\r\n\r\n";
const HELLO: &[u8] = b"Hello, world!\n";

/// Answers all there is until it is told to end; as lib/api/route-desk.ts does, without JavaScript.
fn attend(mut attendant: Attendant, over: &AtomicBool) {
    let mut numbers = [0; NUMBERS * 16];
    let mut heads = Vec::with_capacity(128 << 10);
    while !over.load(Ordering::SeqCst) {
        let (count, more) = attendant.take(&mut numbers, &mut heads);
        for event in numbers.chunks_exact(NUMBERS).take(count) {
            if event[0] == Notice::Request as u32 {
                attendant.answer(event[1], 200, b"content-type\0text/plain\0", HELLO, Length::Whole);
            }
        }
        attendant.wake();
        heads.clear();
        if !more {
            thread::park();
        }
    }
}

/// 1,000 requests, one after the other.
fn requests(client: &mut Client, length: usize) {
    let mut bytes = [0; 1024];
    for _ in 0..REQUESTS {
        client.stream.write_all(REQUEST).expect("sent");
        client.stream.read_exact(&mut bytes[..length]).expect("a whole answer");
        assert!(bytes[..length].ends_with(HELLO));
    }
}

#[test]
fn a_routed_request_costs_few_allocations() {
    on_each_driver(|site, driver| {
        let name = match driver {
            DriverKind::Uring => "uring",
            DriverKind::Poll => "poll",
        };
        let over = Arc::new(AtomicBool::new(false));
        let (ready, threads) = std::sync::mpsc::channel::<thread::Thread>();
        let (give, taken) = std::sync::mpsc::channel::<Attendant>();
        let handlers = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                ready.send(thread::current()).expect("somebody waits");
                attend(taken.recv().expect("an attendant"), &over);
            }
        });
        let thread = threads.recv().expect("a thread");
        let attendant = Attendant::new(Box::new({
            let thread = thread.clone();
            move || thread.unpark()
        }));
        attendant.add("GET /hello").expect("a pattern");
        let mut options = site.options(driver);
        // The patrol's timer costs a few.
        options.limits = Limits { send_timeout: Duration::from_secs(4), ..options.limits };
        let server =
            Server::start_with(options, &attendant.routes()).unwrap_or_else(|error| panic!("{error}"));
        give.send(attendant).expect("the thread waits");
        let mut client = Client::connect(server.local_address());
        let reply = client.get("/hello", "");
        assert_eq!((reply.status, &reply.body[..]), (200, HELLO));
        let length = reply.head.len() + reply.body.len();
        requests(&mut client, length);
        let before = allocations_elsewhere();
        requests(&mut client, length);
        let allocations = allocations_elsewhere() - before;
        check("file server: allocations per 1,000 routed requests, 1 connection", name, allocations as f64);
        over.store(true, Ordering::SeqCst);
        thread.unpark();
        handlers.join().expect("the handlers' thread");
    });
}
