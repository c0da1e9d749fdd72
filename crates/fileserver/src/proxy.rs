//! Pipeline step 1a, where it is asked for: the PROXY protocol header, versions 1 and 2, which a proxy puts before all else.
//!
//! As <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt> has it, and nothing beside: one space, decimal ports, whole
//! TLVs, and never a guess. What is no header is refused without a word, since the other end is no proxy.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of the longest header that is taken. The addresses need 232; the rest is for TLVs, such as a client's certificate.
pub const HEADER_MAX: usize = 8192;

/// Bytes of the longest line of version 1, with its end.
const LINE_MAX: usize = 107;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const PREFIX: &[u8] = b"PROXY ";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The beginning of one.
    Partial,
    /// A whole one.
    Complete {
        /// The client as the proxy saw it; `None` where the proxy speaks for itself (LOCAL, a health check) or does not say.
        source: Option<SocketAddr>,
        /// Its bytes; what follows them is HTTP.
        length: usize,
    },
    /// None.
    Invalid,
}

/// Reads a header from the first bytes of a connection. Copies and allocates nothing.
///
/// ```
/// use ringwheel_fileserver::proxy::{Header, parse};
/// let bytes = b"PROXY TCP4 192.0.2.1 198.51.100.1 40000 80\r\nGET / HTTP/1.1\r\n";
/// assert_eq!(parse(bytes), Header::Complete { source: "192.0.2.1:40000".parse().ok(), length: 44 });
/// assert_eq!(parse(b"PROXY TCP4 192"), Header::Partial);
/// assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Header::Invalid);
/// ```
pub fn parse(bytes: &[u8]) -> Header {
    if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else if begins(bytes, PREFIX) {
        line(bytes)
    } else {
        Header::Invalid
    }
}

/// True when the bytes, as far as they have come, are those of `start`.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let common = bytes.len().min(start.len());
    bytes[..common] == start[..common]
}

/// Version 1: a line of text.
fn line(bytes: &[u8]) -> Header {
    let seen = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if seen.len() < LINE_MAX { Header::Partial } else { Header::Invalid };
    };
    let length = end + 1;
    let text = seen[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(PREFIX));
    let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else { return Header::Invalid };
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Header::Complete { source: None, length };
    }
    match addresses(text) {
        Some(source) => Header::Complete { source: Some(source), length },
        None => Header::Invalid,
    }
}

/// `TCP4 source destination port port`.
fn addresses(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    let family = words.next()?;
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse().ok().map(IpAddr::V4),
            "TCP6" => word.parse().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let source = address(words.next()?)?;
    address(words.next()?)?;
    let source_port = port(words.next()?)?;
    port(words.next()?)?;
    words.next().is_none().then(|| SocketAddr::new(source, source_port))
}

/// Decimal, without a sign and without zeros in front.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    plain.then(|| word.parse().ok()).flatten()
}

/// Version 2: signature, version and command, family and transport, length, addresses, TLVs.
fn binary(bytes: &[u8]) -> Header {
    let Some((&[version_and_command, family], _)) =
        bytes.get(12..).and_then(|rest| rest.split_first_chunk::<2>())
    else {
        return Header::Partial;
    };
    let local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Header::Invalid,
    };
    let Some((&size, rest)) = bytes[14..].split_first_chunk::<2>() else { return Header::Partial };
    let size = usize::from(u16::from_be_bytes(size));
    let length = 16 + size;
    if length > HEADER_MAX {
        return Header::Invalid;
    }
    let Some(rest) = rest.get(..size) else { return Header::Partial };
    if local {
        // What follows is for nobody to read.
        return Header::Complete { source: None, length };
    }
    let (source, addresses) = match family {
        0x00 => return Header::Complete { source: None, length },
        0x11 => (ipv4(rest), 12),
        0x21 => (ipv6(rest), 36),
        0x31 => (None, 216),
        _ => return Header::Invalid,
    };
    match rest.get(addresses..) {
        Some(tlvs) if are_whole(tlvs) => Header::Complete { source, length },
        _ => Header::Invalid,
    }
}

fn ipv4(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, rest) = bytes.split_first_chunk::<4>()?;
    let port = rest.get(4..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(Ipv4Addr::from(*address).into(), u16::from_be_bytes(*port)))
}

fn ipv6(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, rest) = bytes.split_first_chunk::<16>()?;
    let port = rest.get(16..)?.first_chunk::<2>()?;
    Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes(*port)))
}

/// True when type, length and value follow each other to the last byte.
fn are_whole(mut tlvs: &[u8]) -> bool {
    while !tlvs.is_empty() {
        let Some((&[_, high, low], rest)) = tlvs.split_first_chunk::<3>() else { return false };
        let Some(rest) = rest.get(usize::from(u16::from_be_bytes([high, low]))..) else { return false };
        tlvs = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(source: &str, length: usize) -> Header {
        Header::Complete { source: source.parse().ok(), length }
    }

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let size = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &size, rest].concat()
    }

    #[test]
    fn a_line_has_one_form() {
        assert_eq!(parse(b"PROXY TCP4 1.2.3.4 5.6.7.8 65535 80\r\nGET"), complete("1.2.3.4:65535", 37));
        assert_eq!(parse(b"PROXY TCP6 2001:db8::1 ::1 1 0\r\n"), complete("[2001:db8::1]:1", 32));
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), complete("", 15));
        assert_eq!(parse(b"PROXY UNKNOWN what ever\r\n"), complete("", 25));
        for wrong in [
            "PROXY TCP4 1.2.3.4 5.6.7.8 65535 80\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 01 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 80 \r\n",
            "PROXY TCP4 1.2.3.4  5.6.7.8 1 80\r\n",
            "PROXY TCP4 1.2.3.04 5.6.7.8 1 80\r\n",
            "PROXY TCP4 1.2.3.4 ::1 1 80\r\n",
            "PROXY TCP6 1.2.3.4 ::1 1 80\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 80\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY  UNKNOWN\r\n",
            "proxy UNKNOWN\r\n",
            "PROXY \r\n",
            "GET / HTTP/1.1\r\n",
            "\r\n\r\nQUIT\n",
        ] {
            assert_eq!(parse(wrong.as_bytes()), Header::Invalid, "{wrong:?}");
        }
    }

    #[test]
    fn a_line_is_at_most_107_bytes() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
        assert_eq!(parse(longest.as_bytes()), complete("", 107));
        assert_eq!(parse(&longest.as_bytes()[..106]), Header::Partial);
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(108 - 16));
        assert_eq!(parse(longer.as_bytes()), Header::Invalid);
    }

    #[test]
    fn version_2_has_the_client_of_tcp_over_ip_and_nobody_of_the_rest() {
        let four = [1, 2, 3, 4, 5, 6, 7, 8, 0x12, 0x34, 0, 80];
        assert_eq!(parse(&version_2(0x21, 0x11, &four)), complete("1.2.3.4:4660", 28));
        let mut six = [0; 36];
        (six[15], six[33]) = (1, 9);
        assert_eq!(parse(&version_2(0x21, 0x21, &six)), complete("[::1]:9", 52));
        assert_eq!(parse(&version_2(0x21, 0x31, &[0; 216])), complete("", 232));
        assert_eq!(parse(&version_2(0x21, 0x00, b"any")), complete("", 19));
        assert_eq!(parse(&version_2(0x20, 0xff, b"any")), complete("", 19));
        let (short, tlv, torn) =
            (&four[..11], [&four[..], &[4, 0, 1, 7]].concat(), [&four[..], &[4, 0, 2, 7]].concat());
        assert_eq!(parse(&version_2(0x21, 0x11, &tlv)), complete("1.2.3.4:4660", 32));
        for (command, family, rest) in [
            (0x21, 0x11, short),
            (0x21, 0x11, &torn[..]),
            (0x21, 0x12, &four[..]),
            (0x21, 0x41, &four[..]),
            (0x22, 0x11, &four[..]),
            (0x11, 0x11, &four[..]),
            (0x21, 0x21, &six[..35]),
            (0x21, 0x31, &[0; 215]),
            (0x20, 0x00, &[0; HEADER_MAX - 15]),
        ] {
            assert_eq!(parse(&version_2(command, family, rest)), Header::Invalid, "{command:x} {family:x}");
        }
    }

    #[test]
    fn every_beginning_of_a_header_is_the_beginning_of_one() {
        let binary = version_2(0x21, 0x11, &[1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 80, 4, 0, 1, 7]);
        for whole in [&b"PROXY TCP4 1.2.3.4 5.6.7.8 1 80\r\n"[..], &binary] {
            for cut in 0..whole.len() {
                assert_eq!(parse(&whole[..cut]), Header::Partial, "{cut} of {whole:?}");
            }
            let longer = [whole, b"GET"].concat();
            assert_eq!(parse(&longer), parse(whole));
        }
    }
}
