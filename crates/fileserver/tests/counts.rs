//! What a keep-alive request for a cached file costs the server's thread, counted: allocations, turns, system calls. One
//! test, so that no other thread of the process allocates meanwhile.
mod common;
use common::{Client, on_each_driver, pattern, serve};
use ringwheel_counts::{Counting, allocations_elsewhere, check};
use ringwheel_fileserver::{DriverKind, Limits, Server};
use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const REQUESTS: usize = 1_000;
const PIPELINED_MAX: usize = 10;
/// Larger than what the cache takes, small enough for a socket's buffers.
const LARGE: usize = 128 << 10;
const REQUEST: &[u8] = b"GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n";

/// How often the patrol comes by: rarely, since its timer costs a few allocations and a system call.
const PATROL: Duration = Duration::from_millis(500);

/// The server's counters after the patrol has published them.
fn enters_and_turns(server: &Server) -> (u64, u64) {
    thread::sleep(PATROL + PATROL / 4);
    let total = server.stats().total;
    (total.enters, total.turns)
}

/// 1,000 requests over these connections, `together` at a time on each. Its allocations are its own thread's.
fn requests(clients: &mut [Client], together: usize, length: usize) {
    let request = [REQUEST; PIPELINED_MAX].concat();
    let mut bytes = [0; 16 << 10];
    for _ in 0..REQUESTS / clients.len() / together {
        for client in &mut *clients {
            client.stream.write_all(&request[..REQUEST.len() * together]).expect("sent");
        }
        for client in &mut *clients {
            let responses = &mut bytes[..length * together];
            client.stream.read_exact(responses).expect("whole responses");
            assert!(responses.chunks(length).all(|response| response.starts_with(b"HTTP/1.1 200 OK\r\n")));
        }
    }
}

#[test]
fn a_cached_file_costs_no_allocation_and_few_system_calls() {
    on_each_driver(|site, driver| {
        let name = match driver {
            DriverKind::Uring => "uring",
            DriverKind::Poll => "poll",
        };
        site.write("a.txt", pattern(1024));
        // Nothing is looked at again meanwhile: revalidation has its own price.
        let server = serve(&site, driver, |options| {
            options.limits = Limits { send_timeout: 8 * PATROL, ..options.limits };
            options.cache.revalidate_ms = 60_000;
        });
        let mut clients: Vec<Client> = (0..50).map(|_| Client::connect(server.local_address())).collect();
        let mut length = 0;
        for client in &mut clients {
            let reply = client.get("/a.txt", "");
            length = reply.head.len() + reply.body.len();
        }
        for (connections, together, text) in
            [(1, 1, "1 connection"), (1, PIPELINED_MAX, "10 pipelined"), (50, 1, "50 connections")]
        {
            requests(&mut clients[..connections], together, length);
            let (before, allocations) = (enters_and_turns(&server), allocations_elsewhere());
            requests(&mut clients[..connections], together, length);
            let allocations = allocations_elsewhere() - allocations;
            let after = enters_and_turns(&server);
            let of = |what: &str| format!("file server: {what} per 1,000 requests of 1 KiB, {text}");
            check(&of("allocations"), name, allocations as f64);
            if connections > 1 {
                continue; // How many requests of many connections share a turn is a matter of time.
            }
            check(&of("enters"), name, (after.0 - before.0) as f64);
            check(&of("turns"), name, (after.1 - before.1) as f64);
        }
        // A large file: head and body go inline, in the turn that the request came in.
        site.write("b.bin", pattern(LARGE));
        let client = &mut clients[0];
        let reply = client.get("/b.bin", "");
        let mut response = vec![0; reply.head.len() + reply.body.len()];
        let mut downloads = || {
            for _ in 0..REQUESTS {
                client.stream.write_all(b"GET /b.bin HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
                client.stream.read_exact(&mut response).expect("whole responses");
            }
        };
        downloads();
        let before = enters_and_turns(&server);
        downloads();
        let after = enters_and_turns(&server);
        let enters = "file server: enters per 1,000 requests of 128 KiB, 1 connection";
        check(enters, name, (after.0 - before.0) as f64);
        match system_calls(|| requests(&mut clients[..1], 1, length)) {
            Ok(calls) => {
                check(
                    "file server: system calls per 1,000 requests of 1 KiB, 1 connection (strace)",
                    name,
                    calls as f64,
                );
            }
            Err(why) => drop(writeln!(std::io::stderr(), "skip: counts of strace, {name}: {why}")),
        }
    });
}

/// What strace counts on the server's thread meanwhile, whatever our own counters say.
fn system_calls(work: impl FnOnce()) -> Result<u64, String> {
    let thread = server_thread()?;
    let mut strace = Command::new("strace")
        .args(["-c", "-U", "calls,name", "-p", &thread])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("strace does not start: {error}"))?;
    let mut report = strace.stderr.take().ok_or("no pipe")?;
    // "strace: Process N attached", or why not.
    let mut first = Vec::new();
    let mut byte = [0];
    while report.read(&mut byte).is_ok_and(|read| read > 0) && byte != *b"\n" {
        first.push(byte[0]);
    }
    let attached = String::from_utf8_lossy(&first).into_owned();
    if attached.contains("attached") {
        work();
    }
    let interrupted = Command::new("kill").args(["-INT", &strace.id().to_string()]).status();
    let mut text = String::new();
    let read = report.read_to_string(&mut text);
    let _ended = strace.wait();
    interrupted.and(read).map_err(|error| error.to_string())?;
    if !attached.contains("attached") {
        return Err(attached);
    }
    let total = text.lines().rev().find_map(|line| line.trim().strip_suffix(" total")?.trim().parse().ok());
    total.ok_or_else(|| format!("strace printed no total: {text}"))
}

/// The id of the thread that the server runs on.
fn server_thread() -> Result<String, String> {
    let tasks = std::fs::read_dir("/proc/self/task").map_err(|error| error.to_string())?;
    tasks
        .flatten()
        .find(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "ringwheel-0")
        })
        .map(|task| task.file_name().to_string_lossy().into_owned())
        .ok_or_else(|| "there is no thread named ringwheel-0 in /proc/self/task".to_owned())
}
