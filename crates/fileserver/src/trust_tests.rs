//! Tests of trust.rs: networks, and who the client is.
use super::*;
use proptest::prelude::*;

fn trust(list: &[&str]) -> Trust {
    Trust::of(&list.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Of a request from 127.0.0.1 with these fields, where loopback and 10.0.0.0/8 are trusted.
fn client(fields: &str) -> String {
    let head = format!("GET / HTTP/1.1\r\nHost: t\r\n{fields}\r\n");
    let trust = trust(&["loopback", "10.0.0.0/8"]);
    let peer = address("127.0.0.1");
    trust.forwarded(peer, head.as_bytes()).unwrap_or(peer).to_string()
}

#[test]
fn a_network_is_an_address_or_a_prefix_and_knows_its_family() {
    for (list, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("0.0.0.0/0", "203.0.113.9", "::1"),
        ("::/0", "2001:db8::1", "203.0.113.9"),
        ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("loopback", "127.9.9.9", "128.0.0.1"),
        ("loopback", "::1", "::2"),
        ("private", "172.31.255.255", "172.32.0.0"),
        ("private", "fd00::1", "2001:db8::1"),
    ] {
        let trust = trust(&[list]);
        assert!(trust.has(address(inside)), "{inside} in {list}");
        assert!(!trust.has(address(outside)), "{outside} in {list}");
    }
    // As a socket that listens for both families has it.
    assert!(trust(&["10.0.0.0/8"]).has(address("::ffff:10.0.0.1")));
    for wrong in [
        "",
        "all",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/08",
        "10.0.0.0/+8",
        "10.0.0/8",
        "::/129",
        "2001:db8::1/32",
        "::ffff:10.0.0.0/104",
        " 10.0.0.0/8",
        "10.0.0.0/8/8",
        "[::1]",
        "Loopback",
    ] {
        assert!(!is_known(wrong), "{wrong:?}");
    }
}

#[test]
fn the_first_from_the_right_that_is_not_trusted_is_the_client() {
    for (fields, expected) in [
        ("", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
        ("x-forwarded-for:192.0.2.9, 192.0.2.1,10.0.0.1 , 10.0.0.2\r\n", "192.0.2.1"),
        (
            "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.1.1.1\r\n",
            "192.0.2.1",
        ),
        ("X-Forwarded-For: 10.0.0.3, 10.0.0.1\r\n", "10.0.0.3"),
        ("X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1, 10.0.0.2\r\n", "10.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1, unknown\r\n", "127.0.0.1"),
        ("X-Forwarded-For: , 192.0.2.1, ,\r\n", "192.0.2.1"),
        ("X-Forwarded-For: 0.0.0.0\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1"),
        ("X-Forwarded-For: [2001:db8::1]:4711\r\n", "2001:db8::1"),
        ("X-Forwarded-For: [2001:db8::2]\r\n", "2001:db8::2"),
        ("X-Forwarded-For: 2001:db8::3\r\n", "2001:db8::3"),
        ("X-Forwarded-For: ::ffff:192.0.2.4\r\n", "192.0.2.4"),
        ("X-Forwarded-For: [192.0.2.4]\r\n", "127.0.0.1"),
        ("X-Forwarded-For: 192.0.2.04\r\n", "127.0.0.1"),
        // Where there is one, Forwarded does not count, whatever it says.
        ("X-Forwarded-For: \r\nForwarded: for=192.0.2.9\r\n", "127.0.0.1"),
        ("Forwarded: for=192.0.2.9\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"),
    ] {
        assert_eq!(client(fields), expected, "{fields}");
    }
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    for (value, expected) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;proto=http;by=203.0.113.43", "192.0.2.1"),
        ("for=192.0.2.9, proto=https ; for=192.0.2.1 , for=10.0.0.1", "192.0.2.1"),
        ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("for=\"192.0.2.1:4711\", for=10.0.0.1", "192.0.2.1"),
        ("for=192.0.2.1;host=\"a,b;for=192.0.2.9\"", "192.0.2.1"),
        ("for=192.0.2.1, for=unknown", "127.0.0.1"),
        ("for=192.0.2.1, for=_hidden, for=10.0.0.1", "10.0.0.1"),
        ("for=192.0.2.1, proto=https", "127.0.0.1"),
        ("for=192.0.2.1;for=192.0.2.2", "127.0.0.1"),
        ("for=192.0.2.1;what", "127.0.0.1"),
        // An open quote of the client's makes nonsense of what is behind it on its line: the proxy's own address holds.
        ("for=\"192.0.2.9, for=192.0.2.1", "127.0.0.1"),
        ("for=\"192.0.2.9, for=\"[2001:db8::1]\"", "127.0.0.1"),
        ("for=\"\\\", for=192.0.2.1", "127.0.0.1"),
        // But not of another line.
        ("for=\"192.0.2.9\r\nForwarded: for=192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(client(&format!("Forwarded: {value}\r\n")), expected, "{value}");
    }
}

#[test]
fn who_is_not_trusted_says_nothing_of_anybody() {
    let head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n";
    let trust = trust(&["10.0.0.0/8"]);
    for peer in [address("192.0.2.7"), address("127.0.0.1"), address("::1")] {
        assert_eq!(trust.forwarded(peer, head), None);
        assert!(!trust.is_secure(peer, head));
    }
    assert_eq!(trust.forwarded(address("10.0.0.1"), head), Some(address("192.0.2.1")));
    assert_eq!(Trust::default().forwarded(address("10.0.0.1"), head), None);
}

#[test]
fn the_scheme_is_what_stands_last() {
    let trust = trust(&["loopback"]);
    let is_secure = |fields: &str| {
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        trust.is_secure(address("::1"), head.as_bytes())
    };
    assert!(is_secure("X-Forwarded-Proto: HTTPS\r\n"));
    assert!(is_secure("X-Forwarded-Proto: http, https\r\n"));
    assert!(is_secure("X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n"));
    for fields in
        ["", "X-Forwarded-Proto: https, http\r\n", "X-Forwarded-Proto: httpss\r\n", "X-Forwarded-Proto:\r\n"]
    {
        assert!(!is_secure(fields), "{fields}");
    }
}

proptest! {
    /// The walk as the guide tells it, from the right, comes to the same.
    #[test]
    fn forwards_and_from_the_right_are_one(kinds in proptest::collection::vec(0..5usize, 0..8)) {
        let elements: Vec<&str> =
            kinds.iter().map(|&kind| ["192.0.2.1", "10.0.0.1", "10.0.0.2", "2001:db8::1", "unknown"][kind]).collect();
        let mut expected = "127.0.0.1";
        for element in elements.iter().rev() {
            if *element == "unknown" {
                break;
            }
            expected = element;
            if !element.starts_with("10.") {
                break;
            }
        }
        prop_assert_eq!(client(&format!("X-Forwarded-For: {}\r\n", elements.join(", "))), expected);
    }
}
