//! What a cached request costs, counted: no allocation. Alone in its binary, because the allocator is the process's.
mod common;
use common::{Client, eventually, get, on_each_driver, pattern, serve};
use ringwheel_counts::{Counting, allocations_elsewhere};
use ringwheel_fileserver::CompressOptions;
use std::io::{Read, Write};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One exchange with nothing allocated on the client's side either.
fn exchange(client: &mut Client, request: &[u8], length: usize, buffer: &mut [u8]) {
    client.stream.write_all(request).expect("the server reads");
    let mut read = 0;
    while read < length {
        match client.stream.read(&mut buffer[read..]) {
            Ok(count) => read += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(read, length);
}

#[test]
fn a_cached_request_allocates_nothing_and_neither_does_a_304_or_a_range() {
    on_each_driver(|site, driver| {
        site.write("a", pattern(1024));
        site.write("b", pattern(1024));
        site.write("b.br", pattern(700));
        site.write("c.css", "a { color: red }\n".repeat(100));
        let server = serve(&site, driver, |options| {
            options.cache.revalidate_ms = 60_000;
            (options.site.brotli, options.site.zstd, options.site.gzip) = (true, true, true);
            options.site.compress = Some(CompressOptions::default());
        });
        let mut client = Client::connect(server.local_address());
        let tag = client.get("/a", "").header("etag").unwrap().to_owned();
        let one = b"GET /a HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n".to_vec();
        let pipelined = one.repeat(8);
        let not_modified =
            format!("GET /a HTTP/1.1\r\nHost: test\r\nIf-None-Match: {tag}\r\n\r\n").into_bytes();
        let range = b"GET /a HTTP/1.1\r\nHost: test\r\nRange: bytes=10-19\r\n\r\n".to_vec();
        let packed =
            b"GET /b HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n".to_vec();
        let compressed =
            b"GET /c.css HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n".to_vec();
        // At once, but on a machine that is too busy.
        eventually("compressed", || {
            get(&server, "/c.css", "Accept-Encoding: br\r\n").header("content-encoding") == Some("br")
        });
        let mut buffer = vec![0; 1 << 20];
        for (name, request) in [
            ("one", one),
            ("eight", pipelined),
            ("304", not_modified),
            ("range", range),
            ("packed", packed),
            ("compressed", compressed),
        ] {
            client.send(&request);
            std::thread::sleep(std::time::Duration::from_millis(50));
            let length = client.stream.read(&mut buffer).unwrap();
            for _ in 0..200 {
                exchange(&mut client, &request, length, &mut buffer);
            }
            let before = allocations_elsewhere();
            for _ in 0..1000 {
                exchange(&mut client, &request, length, &mut buffer);
            }
            let count = allocations_elsewhere() - before;
            eprintln!("{name}: {count} allocations in 1000 exchanges");
            // Once a second the Date moves on, and a response that is just being sent is copied for that.
            assert!(count <= 20, "{name}: {count}");
        }
    });
}
