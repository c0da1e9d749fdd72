//! Whole conversations over a socket: keep-alive, pipelining, pieces, versions, bodies, refusals. RFC 9110 and 9112.
mod common;
use common::{Client, get, on_each_driver, pattern, serve};
use ringwheel_fileserver::Limits;
use std::time::Duration;

#[test]
fn a_file_is_served_whole_with_all_its_headers() {
    on_each_driver(|site, driver| {
        site.write("hello.txt", "hello");
        let server = serve(&site, driver, |options| options.site.max_age = Some(60));
        for round in 0..3 {
            let reply = get(&server, "/hello.txt", "");
            assert_eq!((reply.status, reply.text()), (200, "hello"), "round {round}");
            assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!(reply.header("cache-control"), Some("public, max-age=60"));
            assert_eq!(reply.header("accept-ranges"), Some("bytes"));
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(reply.header("server"), Some("ringwheel"));
            assert_eq!(reply.header("connection"), None);
            assert!(reply.header("etag").unwrap().starts_with('"'));
            assert!(httpdate::parse_http_date(reply.header("last-modified").unwrap()).is_ok());
            let date = httpdate::parse_http_date(reply.header("date").unwrap()).unwrap();
            assert!(date.elapsed().unwrap() < Duration::from_secs(3));
        }
        let stats = server.stats().total;
        assert_eq!((stats.requests, stats.cache_hits, stats.loads), (3, 2, 1));
        assert_eq!(stats.statuses, vec![(200, 3)]);
    });
}

#[test]
fn head_is_get_without_the_body_for_small_and_large_and_missing() {
    on_each_driver(|site, driver| {
        site.write("small", "hello");
        site.write("large", pattern(300_000));
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        for path in ["/small", "/large", "/missing", "/small", "/large"] {
            let get = client.get(path, "");
            client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = client.reply_to(false);
            let strip = |head: &str| {
                head.lines().filter(|line| !line.starts_with("Date")).map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(strip(&head.head), strip(&get.head), "{path}");
        }
    });
}

#[test]
fn the_date_moves_on_while_the_response_comes_from_the_cache() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |options| options.cache.revalidate_ms = 60_000);
        let mut client = Client::connect(server.local_address());
        let first = client.get("/a", "");
        std::thread::sleep(Duration::from_millis(2100));
        let second = client.get("/a", "");
        assert_ne!(first.header("date"), second.header("date"));
        assert_eq!(second.text(), "a");
        assert_eq!(server.stats().total.loads, 1);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_whatever_they_are() {
    on_each_driver(|site, driver| {
        site.write("a", "aaa");
        site.write("b.txt", "bb");
        site.write("large", pattern(2_500_000));
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        let one = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        for round in 0..3 {
            let batch = [
                one("/a", ""),
                one("/b.txt", "Range: bytes=1-1\r\n"),
                one("/missing", ""),
                one("/large", ""),
                one("/a", ""),
                one("/large", "Range: bytes=2499990-\r\n"),
                one("/b.txt", ""),
            ]
            .concat();
            client.send(batch);
            let replies: Vec<_> = (0..7).map(|_| client.reply()).collect();
            let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
            assert_eq!(statuses, [200, 206, 404, 200, 200, 206, 200], "round {round}");
            assert_eq!(replies[0].text(), "aaa");
            assert_eq!(replies[1].text(), "b");
            assert!(replies[3].body == pattern(2_500_000));
            assert_eq!(replies[4].text(), "aaa");
            assert!(replies[5].body == pattern(2_500_000)[2_499_990..]);
            assert_eq!(replies[6].text(), "bb");
        }
    });
}

#[test]
fn a_thousand_pipelined_requests_in_one_write_all_come_back() {
    on_each_driver(|site, driver| {
        site.write("a", pattern(1000));
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        let batch = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
        let mut writer = client.stream.try_clone().unwrap();
        let sender =
            std::thread::spawn(move || std::io::Write::write_all(&mut writer, batch.as_bytes()).unwrap());
        for number in 0..1000 {
            assert!(client.reply().body == pattern(1000), "number {number}");
        }
        sender.join().unwrap();
        assert_eq!(server.stats().total.requests, 1000);
    });
}

#[test]
fn a_request_may_come_byte_by_byte() {
    on_each_driver(|site, driver| {
        site.write("a", "slow");
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        for _ in 0..2 {
            for byte in b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n" {
                client.send([*byte]);
            }
            assert_eq!(client.reply().text(), "slow");
        }
    });
}

#[test]
fn versions_and_connection_options_decide_when_it_closes() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |_| {});
        for (head, connection, closes) in [
            ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", None, false),
            ("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", Some("close"), true),
            ("GET /a HTTP/1.0\r\n\r\n", Some("close"), true),
            ("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("keep-alive"), false),
        ] {
            let mut client = Client::connect(server.local_address());
            client.send(head);
            let reply = client.reply();
            assert_eq!(
                (reply.status, reply.text(), reply.header("connection")),
                (200, "a", connection),
                "{head}"
            );
            assert!(reply.head.starts_with("HTTP/1.1 "));
            if closes {
                client.ends();
            } else {
                assert_eq!(client.get("/a", "").status, 200);
            }
        }
    });
}

#[test]
fn methods_other_than_get_and_head_are_told_what_is_allowed() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
            client.send(format!("{method} /a HTTP/1.1\r\nHost: a\r\n\r\n"));
            let reply = client.reply();
            assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
        }
        for target in ["*", "/a"] {
            client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let reply = client.reply();
            assert_eq!((reply.status, reply.header("allow")), (204, Some("GET, HEAD, OPTIONS")));
        }
        client.send("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.reply().status, 405);
        for method in ["BREW", "get"] {
            let mut client = Client::connect(server.local_address());
            client.send(format!("{method} /a HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.reply().status, 501, "{method}");
        }
    });
}

#[test]
fn request_bodies_are_thrown_away_within_the_limit_and_end_the_connection_beyond_it() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        site.write("large", pattern(200_000));
        let server = serve(&site, driver, |options| options.limits.body_bytes = 10_000);
        let mut client = Client::connect(server.local_address());
        for path in ["/a", "/large", "/a"] {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n"));
            client.send(vec![b'G'; 10_000]);
            assert_eq!(client.reply().status, 200);
        }
        client.send(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        assert_eq!((client.reply().status, client.reply().status), (405, 200));
        for fields in [
            "Content-Length: 10001\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nExpect: 100-continue\r\n",
        ] {
            for path in ["/a", "/large"] {
                let mut client = Client::connect(server.local_address());
                let reply = client.get(path, fields);
                assert_eq!((reply.status, reply.header("connection")), (200, Some("close")), "{fields}");
                client.send("5\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
                client.stream.shutdown(std::net::Shutdown::Write).unwrap();
                client.ends();
            }
        }
    });
}

#[test]
fn what_is_no_request_gets_its_status_a_page_and_the_end() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let limits = Limits { header_bytes: 1024, uri_bytes: 128, header_count: 10, ..Limits::default() };
        let server = serve(&site, driver, |options| options.limits = limits);
        let long = "a".repeat(200);
        let large = "a".repeat(2000);
        let many = "X: y\r\n".repeat(20);
        for (text, status) in [
            ("nonsense\r\n\r\n".to_owned(), 400),
            ("GET /a HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
            ("GET /a HTTP/1.1\nHost: a\n\n".to_owned(), 400),
            ("GET /a HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n".to_owned(), 400),
            (
                "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                    .to_owned(),
                400,
            ),
            ("GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), 501),
            ("GET /a HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n".to_owned(), 417),
            ("GET /a HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
            (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
            (format!("GET /{long}"), 414),
            (format!("GET /a HTTP/1.1\r\nHost: a\r\nX: {large}\r\n\r\n"), 431),
            (format!("GET /a HTTP/1.1\r\nHost: a\r\nX: {large}"), 431),
            (format!("GET /a HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        ] {
            let mut client = Client::connect(server.local_address());
            assert_eq!(client.get("/a", "").status, 200);
            client.send(&text);
            let reply = client.reply();
            assert_eq!((reply.status, reply.header("connection")), (status, Some("close")), "{text}");
            assert!(
                reply.text().contains(&format!("<h1>{status} "))
                    && reply.header("content-type") == Some("text/html; charset=utf-8")
            );
            client.stream.shutdown(std::net::Shutdown::Write).unwrap();
            client.ends();
        }
        assert_eq!(server.stats().total.cut, 0);
    });
}

#[test]
fn a_target_in_absolute_form_is_its_path() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        assert_eq!(client.get("http://test/a?x", "").text(), "a");
        for bad in ["*", "a", "/a#b"] {
            assert_eq!(client.get(bad, "").status, 400, "{bad}");
            client = Client::connect(server.local_address());
        }
    });
}

#[test]
fn a_client_that_resets_in_the_middle_leaves_the_others_alone() {
    on_each_driver(|site, driver| {
        site.write("large", pattern(4_000_000));
        let server = serve(&site, driver, |_| {});
        for _ in 0..20 {
            let mut client = Client::connect(server.local_address());
            client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        assert!(get(&server, "/large", "").body == pattern(4_000_000));
        common::eventually("all gone", || server.stats().total.connections <= 1);
    });
}

#[test]
fn a_fragment_is_refused_whether_the_file_is_cached_or_not() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        site.write("a#b", "named with a hash");
        let server = serve(&site, driver, |_| {});
        let answer = |target: &str| {
            let mut client = Client::connect(server.local_address());
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.reply().status
        };
        for _cold_then_cached in 0..2 {
            assert_eq!(answer("/a?x#y"), 400);
            assert_eq!(answer("/a#b"), 400);
            assert_eq!((answer("/a?x"), answer("/a%23b")), (200, 200));
        }
    });
}

#[test]
fn repeated_conditions_are_one_list() {
    on_each_driver(|site, driver| {
        site.write("a", "a");
        let server = serve(&site, driver, |_| {});
        let mut client = Client::connect(server.local_address());
        let reply = client.get("/a", "");
        let (tag, date) = (reply.header("etag").unwrap(), reply.header("last-modified").unwrap());
        let mut ask = |fields: String| client.get("/a", &fields).status;
        assert_eq!(ask(format!("If-None-Match: \"no\"\r\nIf-None-Match: \"nor\", {tag}\r\n")), 304);
        assert_eq!(ask(format!("If-Match: \"no\"\r\nIf-Match: {tag}\r\n")), 200);
        assert_eq!(ask("If-Match: \"no\"\r\nIf-Match: \"nor\"\r\n".to_owned()), 412);
        assert_eq!(ask(format!("If-Modified-Since: {date}\r\n")), 304);
        assert_eq!(ask(format!("If-Modified-Since: {date}\r\nIf-Modified-Since: {date}\r\n")), 200);
        assert_eq!(ask(format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n")), 206);
        assert_eq!(ask(format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\nIf-Range: {tag}\r\n")), 200);
    });
}
