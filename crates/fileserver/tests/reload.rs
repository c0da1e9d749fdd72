//! A configuration is changed while the server runs: no connection and no request is lost, and a wrong one changes nothing.
mod common;
use common::{Client, get, on_each_driver, pattern, serve};
use ringwheel_fileserver::{Cores, Options, StartError};
use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

type Change = fn(&mut Options);

#[test]
fn the_next_request_of_every_connection_is_answered_with_the_new_options() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        site.write("other/a", "other");
        let mut server = serve(&site, driver, |_| {});
        let options = site.options(driver);
        let reloader = server.reloader();
        let mut kept = Client::connect(server.local_address());
        assert_eq!(kept.get("/a", "").text(), "a");
        // In the middle of a head, and with a request behind it.
        let mut half = Client::connect(server.local_address());
        half.send("GET /a HT");
        let mut changed = options.clone();
        changed.site.roots = vec![site.root.join("other")];
        changed.site.max_age = Some(7);
        changed.server = None;
        changed.limits.uri_bytes = 64;
        reloader.reload(changed.clone()).unwrap();
        let reply = kept.get("/a", "");
        assert_eq!((reply.text(), reply.header("cache-control")), ("other", Some("public, max-age=7")));
        assert_eq!(reply.header("server"), None);
        assert_eq!(kept.get(&format!("/{}", "x".repeat(100)), "").status, 414);
        half.send("TP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((half.reply().text(), half.reply().text()), ("other", "other"));
        // And back, with caches of another size and compression that was off.
        let mut back = options.clone();
        back.cache.bytes = 0;
        back.site.compress = Some(Default::default());
        back.cache.compressed_bytes = 1 << 16;
        site.write("text.txt", "text ".repeat(1000));
        reloader.reload(back).unwrap();
        assert_eq!(half.get("/a", "").text(), "a");
        common::eventually("it is packed", || {
            let reply = get(&server, "/text.txt", "Accept-Encoding: gzip\r\n");
            reply.header("content-encoding") == Some("gzip")
        });
        let stats = server.stats().total;
        assert!(stats.accepted > 2 && stats.requests > 6, "counters go on");
        assert_eq!((stats.cut, stats.cache_entries), (0, 0));
        server.close(Duration::from_secs(5));
        assert!(matches!(reloader.reload(options), Err(StartError::Closed)));
    });
}

#[test]
fn what_cannot_change_or_is_wrong_changes_nothing() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |options| options.cores = Cores::Count(2));
        let reloader = server.reloader();
        let options = Options { cores: Cores::Count(2), ..site.options(driver) };
        let changes: [(&str, Change); 6] = [
            ("option port is 1; allowed: 0, as long as the server runs", |options| options.port = 1),
            ("option host is \"::1\"; allowed: \"127.0.0.1\"", |options| options.host = "::1".to_owned()),
            ("option cores is 3; allowed: 2", |options| options.cores = Cores::Count(3)),
            ("does not exist", |options| options.site.roots.push("/none/such".into())),
            ("option limits.uri_bytes is 1", |options| options.limits.uri_bytes = 1),
            ("cannot be read", |options| options.tls.push(Default::default())),
        ];
        for (message, change) in changes {
            let mut changed = options.clone();
            changed.site.max_age = Some(7);
            change(&mut changed);
            let error = reloader.reload(changed).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert_eq!(get(&server, "/a", "").header("cache-control"), None);
        }
    });
}

#[test]
fn a_response_that_is_being_sent_ends_as_it_began() {
    on_each_driver(|site, driver| {
        let large = pattern(32 << 20);
        site.write("large", &large);
        site.write("other/large", "other");
        let server = serve(&site, driver, |_| {});
        let mut busy = Client::connect(server.local_address());
        busy.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2));
        common::eventually("it is being sent", || server.stats().total.bytes > 0);
        let mut changed = site.options(driver);
        changed.site.roots = vec![site.root.join("other")];
        server.reloader().reload(changed).unwrap();
        assert!(busy.reply().body == large);
        assert_eq!(busy.reply().text(), "other");
    });
}

#[test]
fn a_load_runs_through_many_reloads_without_one_failure() {
    on_each_driver(|site, driver| {
        for number in 0..4 {
            site.write(&format!("{number}/small"), format!("small {number}"));
            site.write(&format!("{number}/large"), pattern(300_000 + number));
        }
        // A link that is moved, as a deployment does: the roots are opened again.
        let link = site.root.join("current");
        std::os::unix::fs::symlink("0", &link).unwrap();
        let mut options = Options { cores: Cores::Count(2), ..site.options(driver) };
        options.site.roots = vec![link.clone()];
        let server = ringwheel_fileserver::Server::start(options.clone()).unwrap();
        let (address, reloader) = (server.local_address(), server.reloader());
        let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for keeps in [true, true, false] {
                let (over, asked) = (&over, &asked);
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    while !over.load(Ordering::Relaxed) {
                        if !keeps {
                            client = Client::connect(address);
                        }
                        let small = client.get("/small", "");
                        assert!(small.status == 200 && small.text().starts_with("small "));
                        let large = client.get("/large", "");
                        assert!(
                            large.status == 200 && large.body[..] == pattern(300_003)[..large.body.len()]
                        );
                        asked.fetch_add(2, Ordering::Relaxed);
                    }
                });
            }
            for round in 0..60 {
                let next = site.root.join("next");
                std::os::unix::fs::symlink((round % 4).to_string(), &next).unwrap();
                fs::rename(&next, &link).unwrap();
                options.site.max_age = Some(round);
                reloader.reload(options.clone()).unwrap();
                let before = asked.load(Ordering::Relaxed);
                let reply = get(&server, "/small", "");
                assert_eq!(reply.text(), format!("small {}", round % 4));
                assert_eq!(reply.header("cache-control"), Some(&*format!("public, max-age={round}")));
                common::eventually("the load goes on", || asked.load(Ordering::Relaxed) > before);
            }
            over.store(true, Ordering::Relaxed);
        });
        let stats = server.stats().total;
        assert_eq!((stats.cut, stats.shed, stats.timeouts), (0, 0, 0));
        assert!(stats.requests >= asked.load(Ordering::Relaxed) + 60);
    });
}
