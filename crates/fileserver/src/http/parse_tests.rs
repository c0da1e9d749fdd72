//! What the parser accepts and refuses, one RFC rule a test.
use super::{super::conditional::JOINED_MAX, *};
use proptest::prelude::*;

const LIMITS: Limits = Limits { bytes: 1024, fields: 16, target: 256 };

fn complete(text: &str) -> Request<'_> {
    match parse(text.as_bytes(), &LIMITS) {
        Parsed::Complete(request, length) => {
            assert_eq!(length, text.len());
            request
        }
        other => panic!("{text:?} gave {other:?}"),
    }
}

fn refused(text: &str) -> Status {
    match parse(text.as_bytes(), &LIMITS) {
        Parsed::Refused(status) => status,
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn a_browsers_get_is_plain_and_keeps_the_connection() {
    let request = complete("GET /a?b HTTP/1.1\r\nHost: localhost:80\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n");
    assert_eq!((request.method, request.target, request.minor_version), (Method::Get, &b"/a?b"[..], 1));
    assert!(request.keep_alive && request.is_plain());
}

#[test]
fn connection_options_decide_keep_alive_per_version() {
    for (head, keep) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false),
    ] {
        assert_eq!(complete(head).keep_alive, keep, "{head}");
    }
}

#[test]
fn only_an_untouched_1_1_get_or_head_is_plain() {
    for extra in [
        "Range: bytes=0-1",
        "If-None-Match: \"a\"",
        "If-Match: *",
        "If-Modified-Since: x",
        "If-Unmodified-Since: x",
        "Connection: close",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
    ] {
        assert!(!complete(&format!("GET / HTTP/1.1\r\nHost: a\r\n{extra}\r\n\r\n")).is_plain(), "{extra}");
    }
    assert!(complete("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").is_plain());
    assert!(!complete("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").is_plain());
    assert!(!complete("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").is_plain());
}

#[test]
fn host_is_needed_once_and_must_look_like_one() {
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), Status::BadRequest);
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), Status::BadRequest);
    assert_eq!(refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), Status::BadRequest);
    for bad in ["a b", "a/b", "a@b", "a,b", "a?b", "a#b", "a\\b", "\u{e9}"] {
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n")), Status::BadRequest, "{bad}");
    }
    for good in ["a", "a.b:8080", "[::1]:80", "xn--bcher-kva.example", ""] {
        complete(&format!("GET / HTTP/1.1\r\nHost: {good}\r\n\r\n"));
    }
    complete("GET / HTTP/1.0\r\n\r\n");
}

#[test]
fn framing_that_could_smuggle_is_refused() {
    for (fields, status) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Status::BadRequest),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", Status::BadRequest),
        ("Content-Length: 5\r\nContent-Length: 6", Status::BadRequest),
        ("Content-Length: 5\r\nContent-Length: 5", Status::BadRequest),
        ("Content-Length: 5, 5", Status::BadRequest),
        ("Content-Length: -5", Status::BadRequest),
        ("Content-Length: +5", Status::BadRequest),
        ("Content-Length: 0x5", Status::BadRequest),
        ("Content-Length:", Status::BadRequest),
        ("Content-Length: 99999999999999999999", Status::BadRequest),
        ("Transfer-Encoding: gzip, chunked", Status::NotImplemented),
        ("Transfer-Encoding: identity", Status::NotImplemented),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Status::BadRequest),
        ("Transfer-Encoding : chunked", Status::BadRequest),
        ("Content-Length : 5", Status::BadRequest),
        ("X: a\r\n b", Status::BadRequest),
        (" X: a", Status::BadRequest),
        ("X: a\nY: b", Status::BadRequest),
        ("X: a\rY: b", Status::BadRequest),
        ("X: a\0b", Status::BadRequest),
        ("X y: a", Status::BadRequest),
        ("no colon", Status::BadRequest),
        ("Expect: magic", Status::ExpectationFailed),
    ] {
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")), status, "{fields:?}");
    }
    assert_eq!(refused("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Status::BadRequest);
    complete("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n");
}

#[test]
fn line_ends_are_crlf_everywhere() {
    for text in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(refused(text), Status::BadRequest, "{text:?}");
    }
    complete("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"); // RFC 9112 section 2.2: an empty line before is skipped.
}

#[test]
fn request_lines_that_are_none_are_refused() {
    for text in [
        "GET\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        "GET / FTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "\x16\x03\x01",
    ] {
        assert_eq!(refused(text), Status::BadRequest, "{text:?}");
    }
    for text in [
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.2\r\n\r\n",
        "GET / HTTP/0.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        assert_eq!(refused(text), Status::VersionNotSupported, "{text:?}");
    }
}

#[test]
fn each_limit_has_its_status_also_while_the_head_is_partial() {
    let long = "a".repeat(300);
    assert_eq!(refused(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), Status::UriTooLong);
    assert_eq!(refused(&format!("GET /{long}")), Status::UriTooLong);
    let value = "a".repeat(1024);
    assert_eq!(
        refused(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n")),
        Status::HeaderFieldsTooLarge
    );
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}")), Status::HeaderFieldsTooLarge);
    let fields = "X: y\r\n".repeat(17);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), Status::HeaderFieldsTooLarge);
    assert!(matches!(parse(b"GET / HT", &LIMITS), Parsed::Partial));
    assert!(matches!(parse(b"", &LIMITS), Parsed::Partial));
}

#[test]
fn two_range_fields_are_no_range_and_repeated_conditions_are_lists_or_nothing() {
    let request = complete(
        "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\nIf-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n\r\n",
    );
    assert_eq!(request.range, None);
    let mut both = List::default();
    assert!(both.push(b"\"a\"") && both.push(b"\"b\""));
    assert_eq!(request.conditions.if_none_match, both);
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, value) in [("If-Modified-Since", date), ("If-Unmodified-Since", date), ("If-Range", "\"a\"")] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n{name}: {value}\r\n\r\n");
        let Conditions { if_modified_since, if_unmodified_since, if_range, .. } =
            complete(&request).conditions;
        let found = [if_modified_since, if_unmodified_since, if_range];
        assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), [b""], "{name}");
    }
    let many = "If-Match: \"a\"\r\n".repeat(JOINED_MAX + 1);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")), Status::HeaderFieldsTooLarge);
}

#[test]
fn four_fields_of_accept_encoding_count_and_leave_the_request_plain() {
    let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "accept-encoding: a\r\n".repeat(5));
    let request = complete(&text);
    assert_eq!(request.accept_encoding.values().collect::<Vec<_>>(), [&b"a"[..]; 4]);
    assert!(request.is_plain());
    assert!(complete("GET / HTTP/1.1\r\nHost: a\r\n\r\n").accept_encoding.is_absent());
}

#[test]
fn pipelined_requests_are_taken_one_at_a_time() {
    let one = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let text = format!("{one}GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    let Parsed::Complete(request, length) = parse(text.as_bytes(), &LIMITS) else { panic!() };
    assert_eq!((request.target, length), (&b"/1"[..], one.len()));
}

#[test]
fn the_end_of_a_head_is_seen_wherever_the_pieces_break() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for cut in 1..text.len() {
        assert!(!may_be_complete(&text[..cut], 0), "{cut}");
        assert!(may_be_complete(text, cut), "{cut}");
    }
    assert!(may_be_complete(b"GET / HTTP/1.1\n\n", 15));
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        if let Parsed::Complete(_, length) = parse(&bytes, &LIMITS) {
            prop_assert!(length <= bytes.len());
        }
        may_be_complete(&bytes, bytes.len() / 2);
    }

    #[test]
    fn a_head_cut_anywhere_is_partial_and_whole_is_the_same(
        path in "/[a-z0-9/]{0,40}", value in "[ -~]{0,40}", cut in 0.0f64..1.0
    ) {
        let text = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Y: {value}\r\n\r\n");
        let at = (text.len() as f64 * cut) as usize;
        prop_assert!(matches!(parse(&text.as_bytes()[..at], &LIMITS), Parsed::Partial));
        let Parsed::Complete(request, length) = parse(text.as_bytes(), &LIMITS) else {
            return Err(TestCaseError::fail("refused"));
        };
        prop_assert_eq!(length, text.len());
        prop_assert_eq!(request.target, path.as_bytes());
    }
}
