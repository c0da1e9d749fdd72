//! Packed files made ahead, over sockets: which representation answers, what is said of it, and that change is seen.
mod common;
use common::{Client, Site, age, eventually, get, on_each_driver, pattern, serve};
use ringwheel_fileserver::{DriverKind, Server};
use std::time::Duration;

/// What Chrome and Firefox send.
const BROWSER: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";
const HOUR: Duration = Duration::from_secs(3600);

fn serve_packed(site: &Site, driver: DriverKind) -> Server {
    serve(site, driver, |options| {
        (options.site.brotli, options.site.zstd, options.site.gzip) = (true, true, true);
        options.cache.revalidate_ms = 20;
    })
}

/// The sizes of a file and of its packed ones: all in memory, all by sendfile, and each mixture of both.
const SIZES: [(usize, usize); 4] = [(5000, 3000), (300_000, 200_000), (300_000, 3000), (5000, 300_000)];

#[test]
fn the_coding_is_chosen_and_every_answer_says_what_it_is() {
    on_each_driver(|site, driver| {
        for (index, (size, packed)) in SIZES.into_iter().enumerate() {
            let name = format!("/f{index}.css");
            site.write(&name[1..], pattern(size));
            for (extension, more) in [("br", 1), ("zst", 2), ("gz", 3)] {
                site.write(&format!("{}.{extension}", &name[1..]), pattern(packed + more));
            }
            let server = serve_packed(&site, driver);
            let mut client = Client::connect(server.local_address());
            // Twice: the second round is answered from the cache.
            for _ in 0..2 {
                let mut tags = Vec::new();
                for (fields, coding, length) in [
                    ("", None, size),
                    (BROWSER, Some("br"), packed + 1),
                    ("Accept-Encoding: zstd, gzip\r\n", Some("zstd"), packed + 2),
                    ("Accept-Encoding: gzip\r\nAccept-Encoding: br;q=0.1\r\n", Some("gzip"), packed + 3),
                ] {
                    let reply = client.get(&name, fields);
                    assert_eq!((reply.status, reply.header("content-encoding")), (200, coding), "{fields}");
                    assert_eq!(reply.body, pattern(length));
                    assert_eq!(reply.header("content-type"), Some("text/css; charset=utf-8"));
                    assert_eq!(reply.header("vary"), Some("Accept-Encoding"));
                    let tag = reply.header("etag").unwrap().to_owned();
                    client.send(format!("HEAD {name} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
                    // All but the Date, which may have moved on.
                    let fields_of = |head: &str| head.split_once("Server: ").unwrap().1.to_owned();
                    assert_eq!(fields_of(&client.reply_to(false).head), fields_of(&reply.head));
                    let same = client.get(&name, &format!("{fields}If-None-Match: {tag}\r\n"));
                    assert_eq!((same.status, same.header("vary")), (304, Some("Accept-Encoding")));
                    assert_eq!((same.header("etag"), same.header("content-encoding")), (Some(&*tag), None));
                    let range =
                        client.get(&name, &format!("{fields}Range: bytes=-10\r\nIf-Range: {tag}\r\n"));
                    assert_eq!((range.status, range.header("content-encoding")), (206, coding));
                    assert_eq!(
                        (range.body.as_slice(), range.header("vary")),
                        (&pattern(length)[length - 10..], Some("Accept-Encoding"))
                    );
                    // multipart/byteranges has no way to say that its parts are packed.
                    let parts = client.get(&name, &format!("{fields}Range: bytes=0-1,5-6\r\n"));
                    assert_eq!(parts.status, if coding.is_some() { 200 } else { 206 });
                    tags.push(tag);
                }
                // A tag is one representation's: no other answers 304 to it, nor continues its download.
                for (at, tag) in tags.iter().enumerate() {
                    let status = client.get(&name, &format!("{BROWSER}If-None-Match: {tag}\r\n")).status;
                    assert_eq!(status, if at == 1 { 304 } else { 200 });
                    let fields = format!("{BROWSER}Range: bytes=0-9\r\nIf-Range: {tag}\r\n");
                    assert_eq!(client.get(&name, &fields).status, if at == 1 { 206 } else { 200 });
                }
            }
        }
    });
}

#[test]
fn packed_files_that_appear_change_age_or_go_are_seen() {
    on_each_driver(|site, driver| {
        site.write("a.js", "original");
        let server = serve_packed(&site, driver);
        let comes = |what: &str, body: &str, coding: Option<&str>| {
            eventually(what, || {
                let reply = get(&server, "/a.js", BROWSER);
                reply.body == body.as_bytes() && reply.header("content-encoding") == coding
            });
            assert_eq!(get(&server, "/a.js", "").header("content-encoding"), None);
        };
        comes("the file itself", "original", None);
        site.write_now("a.js.gz", "gzip");
        comes("gzip, now that it is there", "gzip", Some("gzip"));
        let brotli = site.write_now("a.js.br", "brotli");
        comes("br before gzip", "brotli", Some("br"));
        age(&brotli, 2 * HOUR);
        comes("gzip, since br is older than the file", "gzip", Some("gzip"));
        site.write_now("a.js.gz", "gzip, made again");
        comes("the new gzip", "gzip, made again", Some("gzip"));
        site.write_now("a.js.gz", "");
        comes("an empty file is nothing packed", "original", None);
        std::fs::remove_file(site.root.join("a.js.gz")).unwrap();
        std::fs::create_dir(site.root.join("a.js.gz")).unwrap();
        comes("a directory is nothing packed", "original", None);
        site.write_now("a.js.zst", "zstd");
        comes("zstd", "zstd", Some("zstd"));
        std::fs::remove_file(site.root.join("a.js.zst")).unwrap();
        comes("the file again", "original", None);
        std::fs::remove_file(site.root.join("a.js")).unwrap();
        site.write_now("a.js.zst", "zstd");
        eventually("packed alone is nothing", || get(&server, "/a.js", BROWSER).status == 404);
        assert_eq!(get(&server, "/a.js.zst", BROWSER).body, b"zstd");
    });
}

#[test]
fn a_time_cut_to_seconds_is_no_older_and_the_option_is_off_at_first() {
    on_each_driver(|site, driver| {
        let at = |seconds: u64, nanoseconds: u32| std::time::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
        let set = |path: &std::path::Path, time| {
            std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
        };
        set(&site.write("a", "original"), at(1_700_000_000, 500));
        let gzip = site.write("a.gz", "gzip");
        for (time, coding) in [
            (at(1_700_000_000, 0), Some("gzip")),
            (at(1_700_000_000, 499), None),
            (at(1_700_000_000, 500), Some("gzip")),
            (at(1_699_999_999, 999), None),
        ] {
            set(&gzip, time);
            assert_eq!(get(&serve_packed(&site, driver), "/a", BROWSER).header("content-encoding"), coding);
        }
        set(&gzip, at(1_700_000_001, 0));
        let off = serve(&site, driver, |_| {});
        let reply = get(&off, "/a", BROWSER);
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None));
        // What each coding is for is its own: with brotli alone no gzip is sent.
        let brotli = serve(&site, driver, |options| options.site.brotli = true);
        let reply = get(&brotli, "/a", BROWSER);
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, Some("Accept-Encoding")));
    });
}
