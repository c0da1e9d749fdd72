//! Clients that are slow, silent or too many: each meets its limit, and the others do not notice.
mod common;
use common::{Client, get, on_each_driver, pattern, serve};
use std::{
    io::Read,
    time::{Duration, Instant},
};

const SHORT: Duration = Duration::from_millis(200);

/// Late by at most an eighth of the shortest timeout, plus what a busy machine adds; never early.
fn within(start: Instant, least: Duration) {
    let took = start.elapsed();
    assert!(
        took >= least - Duration::from_millis(5) && took < least * 4 + Duration::from_secs(1),
        "took {took:?}, limit {least:?}"
    );
}

#[test]
fn a_head_that_does_not_end_gets_408_also_when_it_trickles() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |options| options.limits.header_timeout = SHORT);
        let mut client = Client::connect(server.local_address());
        assert_eq!(client.get("/a", "").status, 200);
        let start = Instant::now();
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n");
        let mut writer = client.stream.try_clone().unwrap();
        let trickle = std::thread::spawn(move || {
            while std::io::Write::write_all(&mut writer, b"X: y\r\n").is_ok()
                && start.elapsed() < Duration::from_secs(3)
            {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let reply = client.reply();
        assert_eq!((reply.status, reply.header("connection")), (408, Some("close")));
        within(start, SHORT);
        drop(client);
        trickle.join().unwrap();
        assert_eq!(get(&server, "/a", "").status, 200);
        assert_eq!(server.stats().total.timeouts, 1);
    });
}

#[test]
fn silent_connections_are_closed_without_a_word_new_and_idle() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |options| {
            options.limits.header_timeout = SHORT;
            options.limits.idle_timeout = SHORT * 2;
        });
        let start = Instant::now();
        Client::connect(server.local_address()).ends();
        within(start, SHORT);
        let mut client = Client::connect(server.local_address());
        assert_eq!(client.get("/a", "").status, 200);
        let start = Instant::now();
        client.ends();
        within(start, SHORT * 2);
    });
}

#[test]
fn a_busy_keep_alive_connection_outlives_the_timeouts() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |options| {
            options.limits.header_timeout = SHORT;
            options.limits.idle_timeout = SHORT;
        });
        let mut client = Client::connect(server.local_address());
        for _ in 0..10 {
            assert_eq!(client.get("/a", "").status, 200);
            std::thread::sleep(Duration::from_millis(60));
        }
    });
}

#[test]
fn a_reader_that_stops_is_cut_and_one_that_is_slow_is_not() {
    on_each_driver(|site, driver| {
        site.write("large", pattern(20 << 20));
        let server = serve(&site, driver, |options| options.limits.send_timeout = SHORT * 2);
        let mut stopped = Client::connect(server.local_address());
        let start = Instant::now();
        stopped.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        common::eventually("cut", || server.stats().total.cut == 1);
        within(start, SHORT * 2);
        assert!(stopped.rest().0.len() < 20 << 20);

        let mut slow = Client::connect(server.local_address());
        slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
        let start = Instant::now();
        while total < 20 << 20 {
            let count = slow.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "cut after {total}");
            total += count;
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(start.elapsed() > SHORT * 2, "it took longer than the timeout, and that is fine");
        assert_eq!(server.stats().total.cut, 1);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_reader_slower_than_a_window_per_timeout_is_not_cut_while_it_takes_bytes() {
    on_each_driver(|site, driver| {
        site.write("large", pattern(3 << 20));
        let server = serve(&site, driver, |options| options.limits.send_timeout = SHORT);
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.connect(&server.local_address().into()).unwrap();
        let mut client = Client::over(socket.into());
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        let (mut total, mut buffer) = (0, vec![0; 32 << 10]);
        let start = Instant::now();
        while total < 3 << 20 {
            let count = client.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "cut after {total} bytes and {:?}", start.elapsed());
            total += count;
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(start.elapsed() > SHORT * 4, "it was not slow");
        assert_eq!(server.stats().total.cut, 0);
    });
}

#[test]
fn a_client_that_pipelines_and_never_reads_does_not_stop_the_others() {
    on_each_driver(|site, driver| {
        site.write("a", pattern(10_000));
        let server = serve(&site, driver, |_| {});
        let mut greedy = Vec::new();
        for _ in 0..4 {
            let client = Client::connect(server.local_address());
            client.stream.set_nonblocking(true).unwrap();
            let batch = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4000);
            let (mut sent, start) = (0, Instant::now());
            // Until neither side takes more: 40 MB are owed to this client.
            while sent < 20 * batch.len() && start.elapsed() < Duration::from_millis(500) {
                match std::io::Write::write(&mut &client.stream, batch.as_bytes()) {
                    Ok(count) => sent += count,
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
            greedy.push(client);
        }
        let start = Instant::now();
        for _ in 0..50 {
            assert!(get(&server, "/a", "").body == pattern(10_000));
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn more_connections_than_the_limit_are_told_to_come_back() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |options| options.limits.connections = 3);
        let mut held: Vec<_> = (0..3).map(|_| Client::connect(server.local_address())).collect();
        for client in &mut held {
            assert_eq!(client.get("/a", "").status, 200);
        }
        let reply = get(&server, "/a", "");
        assert_eq!(
            (reply.status, reply.header("retry-after"), reply.header("connection")),
            (503, Some("1"), Some("close"))
        );
        assert_eq!(server.stats().total.shed, 1);
        held.pop();
        common::eventually("room", || server.stats().total.connections == 2);
        assert_eq!(get(&server, "/a", "").status, 200);
    });
}
