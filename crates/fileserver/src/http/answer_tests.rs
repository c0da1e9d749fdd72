//! Whole heads for whole requests: what a client reads, with no socket between.
use super::*;
use crate::http::{
    coding::Coding,
    date,
    parse::{self, Limits, Parsed},
};

const LIMITS: Limits = Limits { bytes: 4096, fields: 32, target: 1024 };

fn file() -> Description {
    Description {
        size: 1000,
        etag: "\"3e8-1\"".to_owned(),
        modified: 784_111_777,
        modified_text: Some(date::format(784_111_777)),
        fresh: false,
        content_type: "text/plain; charset=utf-8".to_owned(),
        coding: Coding::Identity,
        varies: false,
        cache_control: Vec::new(),
        lines: Vec::new(),
        part: None,
    }
}

fn ask(method: &str, fields: &str, file: &Description) -> (Status, String, Content) {
    let text = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let Parsed::Complete(request, _) = parse::parse(text.as_bytes(), &LIMITS) else { panic!("{text}") };
    let lines = FixedLines { boundary: b"BOUNDARY".to_vec(), ..FixedLines::default() };
    let date = date::format(0);
    let context = Context { lines: &lines, date: &date, persistence: Persistence::Implied, ranges_max: 4 };
    let mut out = Vec::new();
    let (status, content) = write(&mut out, &request, file, &context);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with(&format!("HTTP/1.1 {}", status.code())));
    (status, text, content)
}

fn piece(start: u64, end: u64) -> Content {
    Content::Piece(ByteRange { start, end })
}

#[test]
fn get_and_head_have_the_same_head() {
    let (status, get, content) = ask("GET", "", &file());
    assert_eq!((status, content), (Status::Ok, piece(0, 1000)));
    let (status, head, content) = ask("HEAD", "", &file());
    assert_eq!((status, content), (Status::Ok, Content::None));
    assert_eq!(get, head);
    assert!(get.contains("Content-Length: 1000\r\n") && get.contains("Accept-Ranges: bytes\r\n"));
}

#[test]
fn an_empty_file_has_a_head_and_nothing_else() {
    let empty = Description { size: 0, ..file() };
    let (status, head, content) = ask("GET", "", &empty);
    assert_eq!((status, content), (Status::Ok, Content::None));
    assert!(head.contains("Content-Length: 0\r\n"));
    let (status, head, _) = ask("GET", "Range: bytes=0-\r\n", &empty);
    assert_eq!(status, Status::RangeNotSatisfiable);
    assert!(head.contains("Content-Range: bytes */0\r\n"));
}

#[test]
fn one_range_is_a_206_with_its_content_range() {
    let (status, head, content) = ask("GET", "Range: bytes=10-19\r\n", &file());
    assert_eq!((status, content), (Status::PartialContent, piece(10, 20)));
    assert!(head.contains("Content-Range: bytes 10-19/1000\r\n") && head.contains("Content-Length: 10\r\n"));
    assert!(head.contains("ETag: \"3e8-1\"\r\n") && head.contains("Last-Modified: "));
}

#[test]
fn range_is_ignored_for_head_and_for_a_validator_that_is_not_ours() {
    assert_eq!(ask("HEAD", "Range: bytes=0-1\r\n", &file()).0, Status::Ok);
    assert_eq!(ask("GET", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n", &file()).0, Status::Ok);
    assert_eq!(ask("GET", "Range: bytes=0-1\r\nIf-Range: \"3e8-1\"\r\n", &file()).0, Status::PartialContent);
}

#[test]
fn several_ranges_are_multipart_and_the_length_is_true() {
    let (status, head, content) = ask("GET", "Range: bytes=0-9, 990-\r\n", &file());
    assert_eq!(status, Status::PartialContent);
    assert!(head.contains("Content-Type: multipart/byteranges; boundary=BOUNDARY\r\n"));
    assert!(!head.contains("Content-Range"), "only the parts have one");
    let Content::Parts { parts, tail } = content else { panic!() };
    let mut body = Vec::new();
    for (part, piece) in &parts {
        body.extend_from_slice(part);
        body.extend(std::iter::repeat_n(b'x', piece.length() as usize));
    }
    body.extend_from_slice(&tail);
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "--BOUNDARY\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-9/1000\r\n\r\nxxxxxxxxxx\
         \r\n--BOUNDARY\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 990-999/1000\r\n\r\nxxxxxxxxxx\
         \r\n--BOUNDARY--\r\n"
    );
}

#[test]
fn preconditions_come_before_ranges() {
    let (status, head, content) = ask("GET", "Range: bytes=0-1\r\nIf-None-Match: \"3e8-1\"\r\n", &file());
    assert_eq!((status, content), (Status::NotModified, Content::None));
    assert!(
        head.contains("ETag: \"3e8-1\"\r\n")
            && !head.contains("Content-Length")
            && head.ends_with("\r\n\r\n")
    );
    let (status, page, _) = ask("GET", "Range: bytes=5000-\r\nIf-Match: \"x\"\r\n", &file());
    assert_eq!(status, Status::PreconditionFailed);
    assert!(page.contains("<h1>412 Precondition Failed</h1>"));
    assert_eq!(ask("GET", "Range: bytes=5000-\r\n", &file()).0, Status::RangeNotSatisfiable);
}

#[test]
fn a_state_that_may_be_a_mixture_has_no_validator_and_meets_no_condition() {
    let mut file = file();
    file.waive(10);
    let (status, head, content) = ask("GET", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n", &file);
    assert_eq!((status, content), (Status::Ok, piece(0, 10)));
    assert!(head.contains("Cache-Control: no-store\r\n"), "{head}");
    assert!(!head.contains("ETag") && !head.contains("Last-Modified"), "{head}");
    let if_range = "Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(ask("GET", if_range, &file).0, Status::Ok);
    assert_eq!(ask("GET", "If-Match: \"3e8-1\"\r\n", &file).0, Status::PreconditionFailed);
}
