//! A process that runs out of descriptors answers 503, sheds, and recovers. Alone in its binary: the limit is the process's.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::{Client, Site, drivers, get, pattern, serve};
use ringwheel_fileserver::{AccessLogOptions, DriverKind, SiteOptions, StartError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

#[test]
fn running_out_of_descriptors_sheds_and_recovers() {
    let before = getrlimit(Resource::Nofile);
    for driver in drivers() {
        eprintln!("driver: {driver:?}");
        a_reload_without_descriptors_changes_nothing(driver, &before);
        let site = Site::new();
        site.write("a", "a");
        for index in 0..20 {
            site.write(&format!("large{index}"), pattern(100_000));
        }
        // Client and server are one process: the clients' descriptors are made first, so that only the server can be short.
        // The limit is set before the server starts: io_uring's accept keeps the one it was armed under.
        let sockets: Vec<socket2::Socket> = (0..41)
            .map(|_| socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap())
            .collect();
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        setrlimit(Resource::Nofile, Rlimit { current: Some(open + 40), maximum: before.maximum }).unwrap();
        let server = serve(&site, driver, |_| {});
        let address = server.local_address();
        let mut sockets = sockets.into_iter().map(|socket| {
            socket.connect(&address.into()).unwrap();
            TcpStream::from(socket)
        });
        let mut first = Client::over(sockets.next().unwrap());
        for index in 0..20 {
            assert_eq!(first.get(&format!("/large{index}"), "").status, 200);
        }
        assert_eq!(server.stats().total.open_files, 20);
        let mut held: Vec<TcpStream> = Vec::new();
        for stream in sockets {
            held.push(stream);
            std::thread::sleep(Duration::from_millis(3));
        }
        common::eventually("the open files were given up", || server.stats().total.open_files == 0);
        common::eventually("someone was shed", || server.stats().total.shed > 0);
        // Those who are in are answered: with the file when the spare descriptor happens to be free, else with 503.
        assert!(matches!(first.get("/large0", "").status, 200 | 503));
        let shed = held.iter_mut().any(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let mut bytes = [0; 12];
            stream.read_exact(&mut bytes).is_ok() && bytes == *b"HTTP/1.1 503"
        });
        assert!(shed, "one of {} was told", held.len());
        drop(held);
        setrlimit(Resource::Nofile, before).unwrap();
        common::eventually("it serves again", || {
            let Ok(mut stream) = TcpStream::connect(address) else { return false };
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            let mut bytes = Vec::new();
            let asked =
                stream.write_all(b"GET /large1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").is_ok();
            asked && stream.read_to_end(&mut bytes).is_ok() && bytes.starts_with(b"HTTP/1.1 200")
        });
    }
}

/// The access log neither: it is opened again once every core has what is new.
fn a_reload_without_descriptors_changes_nothing(driver: DriverKind, before: &Rlimit) {
    let (site, logs) = (Site::new(), Site::new());
    site.write("a", "a");
    let log = logs.root.join("log");
    let mut options = site.options(driver);
    options.access_log = Some(AccessLogOptions { file: Some(log.clone()), ..Default::default() });
    let server = serve(&site, driver, |served| served.access_log.clone_from(&options.access_log));
    std::fs::rename(&log, logs.root.join("moved")).unwrap();
    // Each site needs its root.
    let mut large = options.clone();
    large.sites = (0..40).map(|number| named(&site, number)).collect();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    let limit = Rlimit { current: Some(open + 20), maximum: before.maximum };
    setrlimit(Resource::Nofile, limit).unwrap();
    let refused = server.reloader().reload(large.clone());
    setrlimit(Resource::Nofile, *before).unwrap();
    assert!(matches!(refused, Err(StartError::Root { .. })), "{refused:?}");
    assert!(!log.exists());
    assert_eq!(get(&server, "/a", "").status, 200);
    common::eventually("the line is where it was", || {
        std::fs::metadata(logs.root.join("moved")).unwrap().len() > 0
    });
    server.reloader().reload(large).unwrap();
    assert!(log.exists());
}

fn named(site: &Site, number: usize) -> SiteOptions {
    SiteOptions { hosts: vec![format!("site{number}.test")], ..SiteOptions::new(&site.root) }
}
