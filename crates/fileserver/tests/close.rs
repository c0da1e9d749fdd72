//! How a server starts and ends: errors with a remedy, graceful drain, deadline, drop.
mod common;
use common::{Client, Site, get, on_each_driver, pattern, serve};
use ringwheel_fileserver::{Cores, Options, Server, StartError};
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn close_ends_idle_connections_at_once_and_lets_responses_finish() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        site.write("large", pattern(32 << 20));
        let mut server = serve(&site, driver, |_| {});
        let address = server.local_address();
        let mut idle = Client::connect(address);
        assert_eq!(idle.get("/a", "").status, 200);
        let mut busy = Client::connect(address);
        busy.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut half = Client::connect(address);
        half.send("GET /a HTTP/1.1\r\nHo");
        std::thread::sleep(Duration::from_millis(100));
        let stopper = server.stopper();
        let closing = std::thread::spawn(move || (server.close(LONG), server));
        let start = Instant::now();
        idle.ends();
        assert!(start.elapsed() < Duration::from_secs(5));
        common::eventually("no new connections", || TcpStream::connect(address).is_err());
        half.send("st: a\r\n\r\n");
        let reply = half.reply();
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
        half.ends();
        assert!(busy.reply().body == pattern(32 << 20));
        busy.ends();
        let (report, mut server) = closing.join().unwrap();
        assert_eq!((report.cut, report.panicked), (0, 0));
        assert!(start.elapsed() < LONG, "it ended with the last response");
        assert_eq!(
            server.close(LONG),
            ringwheel_fileserver::CloseReport::default(),
            "a second close has nothing to do"
        );
        assert_eq!(server.stats().total.connections, 0);
        stopper.finish(Duration::ZERO);
    });
}

#[test]
fn heads_that_never_end_do_not_hold_a_drain_to_its_deadline() {
    on_each_driver(|site, driver| {
        let mut server = serve(&site, driver, |_| {});
        let mut half = Client::connect(server.local_address());
        half.send("GET / HT");
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        let report = server.close(LONG);
        assert!(start.elapsed() < LONG / 2, "{:?}", start.elapsed());
        assert_eq!(report.cut, 0, "it was answered, not cut");
        assert_eq!(half.reply().status, 408);
    });
}

#[test]
fn the_deadline_cuts_and_a_second_signal_shortens_it() {
    on_each_driver(|site, driver| {
        site.write("large", pattern(32 << 20));
        for second_signal in [false, true] {
            let mut server = serve(&site, driver, |_| {});
            let mut busy = Client::connect(server.local_address());
            busy.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            std::thread::sleep(Duration::from_millis(100));
            let stopper = server.stopper();
            let start = Instant::now();
            let closing = std::thread::spawn(move || {
                server.close(if second_signal { LONG } else { Duration::from_millis(200) })
            });
            if second_signal {
                std::thread::sleep(Duration::from_millis(100));
                stopper.finish(Duration::ZERO);
            }
            assert_eq!(closing.join().unwrap().cut, 1);
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
            assert!(busy.rest().0.len() < 32 << 20);
        }
    });
}

#[test]
fn dropping_a_server_frees_its_port_its_threads_and_its_descriptors() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let first = serve(&site, driver, |_| {});
        let port = first.local_address().port();
        drop(first);
        // Other tests of this process open descriptors too: only a leak that grows with every round is one of ours.
        let before = count();
        for _ in 0..30 {
            let server = serve(&site, driver, |options| options.port = port);
            let mut client = Client::connect(server.local_address());
            assert_eq!(client.get("/a", "").status, 200);
        }
        common::eventually("descriptors are back", || count() < before + 30);
    });
}

#[test]
fn several_cores_share_one_port_and_each_can_serve() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |options| options.cores = Cores::Count(3));
        assert_eq!(server.cores().len(), 3);
        for _ in 0..300 {
            assert_eq!(get(&server, "/a", "").status, 200);
        }
        let stats = server.stats();
        assert_eq!(stats.total.requests, 300);
        assert!(stats.cores.iter().all(|core| core.requests > 0), "{:?}", stats.cores);
    });
}

#[test]
fn every_wrong_start_is_one_clear_error() {
    on_each_driver(|site, driver| {
        site.write("file", "x");
        let error = |change: &dyn Fn(&mut Options)| {
            let mut options = site.options(driver);
            change(&mut options);
            Server::start(options).unwrap_err()
        };
        let root = site.root.clone();
        let missing = error(&|options| options.site.roots = vec![root.join("missing")]);
        assert!(
            matches!(missing, StartError::Root { .. })
                && missing.to_string().contains("does not exist; create it")
        );
        assert_eq!(missing.errno(), Some(2));
        assert!(
            error(&|options| options.site.roots = vec![root.join("file")])
                .to_string()
                .contains("is not a directory")
        );
        assert!(error(&|options| options.cores = Cores::List(vec![4000])).to_string().contains("CPU 4000"));
        assert!(
            error(&|options| options.host = "no.such.host.invalid".into())
                .to_string()
                .contains("has no address")
        );
        assert!(
            error(&|options| options.host = "192.0.2.1".into())
                .to_string()
                .contains("not an address of this machine")
        );

        let one = serve(&site, driver, |_| {});
        let many = serve(&site, driver, |options| options.cores = Cores::Count(2));
        for port in [one.local_address().port(), many.local_address().port()] {
            for cores in [1, 2] {
                let busy = error(&|options| {
                    options.port = port;
                    options.cores = Cores::Count(cores);
                });
                assert!(
                    busy.to_string().contains(&format!("port {port} on 127.0.0.1 is in use; stop its owner")),
                    "{busy}"
                );
                assert_eq!(busy.code(), "ERR_RINGWHEEL_LISTEN");
            }
        }
        assert_eq!(get(&one, "/file", "").status, 200, "and the first still serves");
    });
}

#[test]
fn ipv6_and_names_are_hosts() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        for host in ["::1", "[::1]", "localhost"] {
            match Server::start(Options { host: host.into(), ..site.options(driver) }) {
                Ok(server) => assert_eq!(get(&server, "/a", "").status, 200, "{host}"),
                Err(error) => {
                    assert!(host != "localhost" && error.to_string().contains("not an address"), "{error}")
                }
            }
        }
    });
}

#[test]
fn a_server_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Server>();
    is_send::<ringwheel_fileserver::Stopper>();
    drop(Site::new());
}
