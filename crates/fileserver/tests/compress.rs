//! Compression on the fly, over sockets: what is packed, that it is packed once, that it follows its file, and that it ends.
mod common;
use common::{Client, Reply, Site, eventually, get, on_each_driver, pattern, serve};
use ringwheel_fileserver::{CompressOptions, DriverKind, EtagKind, Options, Server};
use std::{
    io::Read,
    time::{Duration, Instant},
};

/// What Chrome and Firefox send.
const BROWSER: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";
const GZIP: &str = "Accept-Encoding: gzip\r\n";

fn serve_compressed(site: &Site, driver: DriverKind, change: impl FnOnce(&mut Options)) -> Server {
    serve(site, driver, |options| {
        options.site.compress = Some(CompressOptions::default());
        options.cache.revalidate_ms = 20;
        change(options);
    })
}

/// Words and numbers: packed it is half as long.
fn text(length: usize) -> Vec<u8> {
    let line =
        |number: u64| format!("line {:016x}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes();
    (0..).flat_map(line).take(length).collect()
}

/// As the server has it.
const WAIT: Duration = Duration::from_secs(5);

/// The answer in the coding that is expected. On a machine that is too busy a client may get the file as it is, but never before it has
/// waited.
fn get_packed(client: &mut Client, path: &str, fields: &str, coding: Option<&str>) -> Reply {
    for _ in 0..10 {
        let began = Instant::now();
        let reply = client.get(path, fields);
        if coding.is_none() || reply.header("content-encoding").is_some() {
            return reply;
        }
        assert!(began.elapsed() > WAIT - WAIT / 50, "{path}: as it is after {:?}", began.elapsed());
    }
    panic!("ten times as it is: {path}")
}

fn unpacked(coding: Option<&str>, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        Some("gzip") => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        _ => (&*bytes).read_to_end(&mut out),
    }
    .expect("it unpacks");
    out
}

/// Kept whole as it is; and sent from the disk as it is, packed still more than what is run together into one send.
const SIZES: [usize; 2] = [5000, 200_000];

#[test]
fn each_coding_is_packed_once_and_every_answer_says_what_it_is() {
    on_each_driver(|site, driver| {
        for size in SIZES {
            let (name, body) = (format!("/{size}.js"), text(size));
            site.write(&name[1..], &body);
            let server = serve_compressed(&site, driver, |_| {});
            let mut client = Client::connect(server.local_address());
            // Twice: the second round is answered from the cache.
            for _ in 0..2 {
                let mut tags = Vec::new();
                for (fields, coding) in [("", None), (BROWSER, Some("br")), (GZIP, Some("gzip"))] {
                    let reply = get_packed(&mut client, &name, fields, coding);
                    assert_eq!((reply.status, reply.header("content-encoding")), (200, coding), "{fields}");
                    assert!(coding.is_none() || reply.body.len() < size * 2 / 3);
                    assert_eq!(unpacked(coding, &reply.body), body);
                    assert_eq!(reply.header("content-type"), Some("text/javascript; charset=utf-8"));
                    assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
                    let tag = reply.header("etag").unwrap().to_owned();
                    assert!(!tag.starts_with("W/"));
                    client.send(format!("HEAD {name} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
                    // All but the Date, which may have moved on.
                    let fields_of = |head: &str| head.split_once("Server: ").unwrap().1.to_owned();
                    assert_eq!(fields_of(&client.reply_to(false).head), fields_of(&reply.head));
                    let same = client.get(&name, &format!("{fields}If-None-Match: {tag}\r\n"));
                    assert_eq!((same.status, same.header("vary")), (304, Some("Accept-Encoding")));
                    let range =
                        client.get(&name, &format!("{fields}Range: bytes=10-29\r\nIf-Range: {tag}\r\n"));
                    assert_eq!((range.status, range.header("content-encoding")), (206, coding));
                    assert_eq!(range.body, &reply.body[10..30]);
                    // All have one date: with it alone a range of one could be put behind a part of another.
                    let date = reply.header("last-modified").unwrap();
                    let range =
                        client.get(&name, &format!("{fields}Range: bytes=10-29\r\nIf-Range: {date}\r\n"));
                    assert_eq!((range.status, range.body), (200, reply.body));
                    tags.push(tag);
                }
                tags.sort();
                tags.dedup();
                assert_eq!(tags.len(), 3, "each has a tag of its own");
            }
            let stats = server.stats();
            assert_eq!(stats.total.compressions, 2);
            assert!((500..size as u64).contains(&stats.compressed_bytes));
        }
    });
}

#[test]
fn only_what_gains_is_packed() {
    on_each_driver(|site, driver| {
        for name in
            ["small.css", "dir/index.html", "a.css", "a.png", "large.css", "noise.css", "raw.css", "a%25.css"]
        {
            let bytes = match name {
                "small.css" => text(1023),
                "large.css" => text(200_001),
                "noise.css" => pattern_of_noise(5000),
                _ => text(5000),
            };
            site.write(&name.replace("%25", "%"), bytes);
        }
        site.write("noise-large.css", pattern_of_noise(100_000));
        site.write("a.json", text(5000));
        site.write("a.json.gz", pattern(300));
        let server = serve_compressed(&site, driver, |options| {
            options.site.gzip = true;
            options.site.compress = Some(CompressOptions { max_bytes: 200_000, ..Default::default() });
            options.site.mime = [("png".to_owned(), "image/png".to_owned())].into();
            options.site.headers = vec![ringwheel_fileserver::HeaderRule {
                pattern: "raw.css".into(),
                fields: vec![("Cache-Control".into(), Some("no-transform".into()))],
            }];
        });
        let mut client = Client::connect(server.local_address());
        for _ in 0..3 {
            for (path, coding) in [
                ("/small.css", None),
                ("/large.css", None),
                ("/a.png", None),
                ("/noise.css", None),
                ("/noise-large.css", None),
                ("/raw.css", None),
                ("/dir/", Some("br")),
                ("/dir/index.html", Some("br")),
                ("/a.css", Some("br")),
                ("/a%25.css", Some("br")),
            ] {
                let reply = get_packed(&mut client, path, BROWSER, coding);
                assert_eq!((reply.status, reply.header("content-encoding")), (200, coding), "{path}");
                assert_eq!(reply.header("vary"), Some("Accept-Encoding"), "gzip may be made ahead");
            }
            // What was packed ahead goes before what would be packed now, in its own coding.
            assert_eq!(client.get("/a.json", GZIP).body, pattern(300));
            let made = get_packed(&mut client, "/a.json", BROWSER, Some("br"));
            assert_eq!(made.header("content-encoding"), Some("br"));
        }
        // The two without gain are tried once; the index is the same file as its directory's page.
        assert_eq!(server.stats().total.compressions, 6);
    });
}

fn pattern_of_noise(length: usize) -> Vec<u8> {
    let mut state = 7u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(length)
    .collect()
}

#[test]
fn a_changed_file_is_packed_again_and_one_that_was_packed_ahead_takes_over() {
    on_each_driver(|site, driver| {
        for size in [5000, 100_000] {
            site.write("a.js", text(size));
            let server = serve_compressed(&site, driver, |options| options.site.brotli = true);
            let comes = |what: &str, body: &[u8], coding: &str| {
                eventually(what, || {
                    let reply = get(&server, "/a.js", BROWSER);
                    reply.header("content-encoding") == Some(coding)
                        && unpacked(Some(coding), &reply.body) == body
                });
            };
            comes("the file", &text(size), "br");
            // Fresh now: packed at each look until its stamp stands for its bytes.
            let other = [b"changed\n", &text(size)[..]].concat();
            site.write_now("a.js", &other);
            comes("its next version", &other, "br");
            let third = [b"CHANGED\n", &text(size)[..]].concat();
            site.write_now("a.js", &third);
            comes("a version with the same length and perhaps the same stamp", &third, "br");
            let mut ahead = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams::default();
            brotli::BrotliCompress(&mut &b"ahead"[..], &mut ahead, &parameters).unwrap();
            site.write_now("a.js.br", &ahead);
            comes("the one made ahead", b"ahead", "br");
            std::fs::remove_file(site.root.join("a.js.br")).unwrap();
            comes("the file again", &third, "br");
            std::fs::remove_file(site.root.join("a.js")).unwrap();
            eventually("nothing", || get(&server, "/a.js", BROWSER).status == 404);
        }
    });
}

#[test]
fn cores_and_clients_share_what_is_packed_and_no_cache_keeps_it_right_too() {
    on_each_driver(|site, driver| {
        site.write("a.js", text(200_000));
        let server = serve_compressed(&site, driver, |options| {
            options.cores = ringwheel_fileserver::Cores::Count(2);
            options.cache.revalidate_ms = 60_000;
        });
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let reply = get(&server, "/a.js", BROWSER);
                    let coding = reply.header("content-encoding");
                    assert!(coding == Some("br") || began.elapsed() > WAIT - WAIT / 50);
                    assert_eq!(unpacked(coding, &reply.body), text(200_000));
                });
            }
        });
        assert_eq!(server.stats().total.compressions, 1);
        for etag in [EtagKind::ContentHash, EtagKind::Off] {
            let bare = serve_compressed(&site, driver, |options| {
                (options.cache.bytes, options.cache.compressed_bytes) = (0, 0);
                options.site.etag = etag;
            });
            for _ in 0..2 {
                let mut client = Client::connect(bare.local_address());
                let reply = get_packed(&mut client, "/a.js", GZIP, Some("gzip"));
                assert_eq!(unpacked(Some("gzip"), &reply.body), text(200_000));
                assert_eq!(reply.header("etag").is_some(), etag != EtagKind::Off);
            }
            assert_eq!((bare.stats().total.compressions, bare.stats().compressed_bytes), (2, 0));
        }
    });
}

#[test]
fn a_server_ends_in_the_middle_of_packing() {
    on_each_driver(|site, driver| {
        site.write("a.js", pattern_of_noise(12 << 20));
        let mut server = serve_compressed(&site, driver, |options| {
            options.site.compress =
                Some(CompressOptions { brotli: Some(9), max_bytes: 16 << 20, ..Default::default() });
        });
        let mut client = Client::connect(server.local_address());
        client.send(format!("GET /a.js HTTP/1.1\r\nHost: test\r\n{BROWSER}\r\n"));
        eventually("packing", || server.stats().total.compressions == 1);
        server.close(Duration::ZERO);
        // Had it been packed to its end, it would be known that there is nothing to gain.
        assert_eq!(server.stats().compressed_bytes, 0);
    });
}
