//! Pipeline step 3: a request target to a canonical path below the root.
//!
//! A canonical path starts with `/`, has no empty, `.` or `..` segment, and ends with `/` only when the target did. It is
//! decoded exactly once, so `%252e` stays the three characters `%2e`. The kernel confines the open as well
//! (RESOLVE_BENEATH); this page is about giving each file one name and each bad name one answer.
use crate::{http::parse, options::Dotfiles};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// All but the unreserved characters of RFC 3986: what is encoded of a name, or of a value in a query.
pub(crate) const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is encoded of a path that goes into a Location.
pub(crate) const PATH: &AsciiSet = &NAME.remove(b'/');

/// A request target, cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'b> {
    /// The raw path, starting with `/`.
    pub path: &'b [u8],
    /// The raw query without its `?`.
    pub query: Option<&'b [u8]>,
    /// The host, perhaps with a port, of a target in absolute form: it stands above the Host field (RFC 9112 section 3.2.2).
    pub authority: Option<&'b [u8]>,
}

/// Why a target names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: no path at all, a broken escape, a NUL, or a segment that climbs.
    Malformed,
    /// 404: well formed, but never the name of a served file.
    Absent,
}

/// Cuts a target in origin form (`/a?b`) or absolute form (`http://host/a?b`, RFC 9112 section 3.2.2).
#[inline]
pub fn split(target: &[u8]) -> Option<Target<'_>> {
    let (authority, rest) = match target.first() {
        Some(b'/') => (None, target),
        _ => authority(target).map(|(authority, rest)| (Some(authority), rest))?,
    };
    Some(match memchr::memchr2(b'?', b'#', rest) {
        None => Target { path: rest, query: None, authority },
        // A fragment never belongs on the wire; who sends one is broken or probing.
        Some(at) if rest[at] == b'#' || rest[at..].contains(&b'#') => return None,
        Some(at) => Target { path: &rest[..at], query: Some(&rest[at + 1..]), authority },
    })
}

#[cold]
fn authority(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let scheme = target.iter().position(|&byte| byte == b':')?;
    if !(target[..scheme].eq_ignore_ascii_case(b"http") || target[..scheme].eq_ignore_ascii_case(b"https")) {
        return None;
    }
    let rest = target[scheme + 1..].strip_prefix(b"//")?;
    let slash = rest.iter().position(|&byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, rest) = match slash {
        Some(at) if rest[at] == b'/' => rest.split_at(at),
        Some(_) => return None,
        None => (rest, &b"/"[..]),
    };
    // As of the Host field: whoever reads it as a URL must not find a name and password there, nor a part of the path.
    (!authority.is_empty() && parse::is_host(authority)).then_some((authority, rest))
}

/// Decodes `raw` (see [`Target::path`]) into `canonical`, which is cleared first.
pub fn decode(raw: &[u8], dotfiles: Dotfiles, canonical: &mut Vec<u8>) -> Result<(), Refusal> {
    canonical.clear();
    let mut ends_with_slash = false;
    let mut absent = false;
    for segment in raw.split(|&byte| byte == b'/') {
        ends_with_slash = segment.is_empty();
        if segment.is_empty() {
            continue; // `//` is `/`: one file, one name, and no Location that starts with two slashes.
        }
        canonical.push(b'/');
        let start = canonical.len();
        decode_segment(segment, canonical)?;
        let decoded = &canonical[start..];
        if decoded == b".." || decoded == b"." || decoded.contains(&0) {
            return Err(Refusal::Malformed);
        }
        // An encoded slash is no separator and no file name has one. A backslash is a separator on other systems: the
        // same answer everywhere.
        absent |= decoded.iter().any(|&byte| byte == b'/' || byte == b'\\');
        absent |= is_hidden(decoded, dotfiles);
    }
    if ends_with_slash || canonical.is_empty() {
        canonical.push(b'/');
    }
    if absent { Err(Refusal::Absent) } else { Ok(()) }
}

fn is_hidden(segment: &[u8], dotfiles: Dotfiles) -> bool {
    segment.first() == Some(&b'.')
        && match dotfiles {
            Dotfiles::Allow => false,
            Dotfiles::Ignore => true,
            // RFC 8615: certificates and contacts live there, and a site that has the directory means it.
            Dotfiles::Deny => segment != b".well-known",
        }
}

pub(crate) fn decode_segment(segment: &[u8], into: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut rest = segment;
    while let Some(at) = memchr::memchr(b'%', rest) {
        into.extend_from_slice(&rest[..at]);
        let (Some(high), Some(low)) = (hex(rest.get(at + 1)), hex(rest.get(at + 2))) else {
            return Err(Refusal::Malformed);
        };
        into.push(high << 4 | low);
        rest = &rest[at + 3..];
    }
    into.extend_from_slice(rest);
    Ok(())
}

fn hex(digit: Option<&u8>) -> Option<u8> {
    char::from(*digit?).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The Location of a canonical path: encoded, with the query as it came. It starts with exactly one slash, so it never names another host.
pub fn location(canonical: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let mut location = Vec::with_capacity(canonical.len() + 16);
    for piece in percent_encode(canonical, PATH) {
        location.extend_from_slice(piece.as_bytes());
    }
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(raw: &str, dotfiles: Dotfiles) -> Result<String, Refusal> {
        let mut canonical = b"left over".to_vec();
        decode(raw.as_bytes(), dotfiles, &mut canonical)?;
        Ok(String::from_utf8(canonical).unwrap())
    }

    #[test]
    fn targets_are_cut_in_both_forms() {
        let cut = |text: &'static str| {
            split(text.as_bytes()).map(|target| {
                (
                    std::str::from_utf8(target.path).unwrap(),
                    target.query.map(|query| std::str::from_utf8(query).unwrap()),
                )
            })
        };
        assert_eq!(cut("/a/b"), Some(("/a/b", None)));
        assert_eq!(cut("/a?b?c"), Some(("/a", Some("b?c"))));
        assert_eq!(cut("/?"), Some(("/", Some(""))));
        assert_eq!(cut("http://host/a?b"), Some(("/a", Some("b"))));
        assert_eq!(cut("HTTPS://host"), Some(("/", None)));
        assert_eq!(split(b"http://host:1/a?b").and_then(|target| target.authority), Some(&b"host:1"[..]));
        for bad in [
            "",
            "*",
            "a",
            "?",
            "//#",
            "/a#b",
            "/a?b#c",
            "http:/a",
            "http://",
            "http:///a",
            "ftp://host/a",
            "host:80",
            "http://user:password@host/a",
            "http://host\\a/b",
            "http://host a/b",
        ] {
            assert_eq!(cut(bad), None, "{bad}");
        }
    }

    #[test]
    fn paths_become_canonical() {
        for (raw, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("//a///b//", "/a/b/"),
            ("/a%20b", "/a b"),
            ("/%61", "/a"),
            ("/%E2%82%ac", "/\u{20ac}"),
            ("/a%3Fb", "/a?b"),
            ("/a%23", "/a#"),
            ("/a+b", "/a+b"),
            ("/...", "/..."),
            ("/a..b", "/a..b"),
            ("/%252e%252e", "/%2e%2e"),
            ("/%252f", "/%2f"),
            ("/%25", "/%"),
        ] {
            assert_eq!(decoded(raw, Dotfiles::Allow).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn the_traversal_corpus_never_names_a_file() {
        for raw in [
            "/..",
            "/../",
            "/../etc/passwd",
            "/a/../b",
            "/a/..",
            "/%2e%2e/etc/passwd",
            "/.%2e/a",
            "/%2E./a",
            "/.",
            "/./a",
            "/a/./b",
            "/%00",
            "/a%00.html",
            "/%",
            "/%2",
            "/%zz",
            "/%u002e",
            "/a%",
            "/%c0%zz",
        ] {
            assert_eq!(decoded(raw, Dotfiles::Allow), Err(Refusal::Malformed), "{raw}");
        }
        for raw in [
            "/..%2f..%2fetc",
            "/%2e%2e%2fetc",
            "/a%2Fb",
            "/%2f",
            "/..\\etc",
            "/..%5c..%5cetc",
            "/\\",
            "/a\\b",
        ] {
            assert_eq!(decoded(raw, Dotfiles::Allow), Err(Refusal::Absent), "{raw}");
        }
    }

    #[test]
    fn dotfiles_follow_the_policy_also_when_encoded() {
        for raw in ["/.env", "/%2eenv", "/.git/config", "/a/.b/c", "/.a/"] {
            assert_eq!(decoded(raw, Dotfiles::Deny), Err(Refusal::Absent), "{raw}");
            assert_eq!(decoded(raw, Dotfiles::Ignore), Err(Refusal::Absent), "{raw}");
            assert!(decoded(raw, Dotfiles::Allow).is_ok(), "{raw}");
        }
        assert!(decoded("/.well-known/acme-challenge/x", Dotfiles::Deny).is_ok());
        assert_eq!(decoded("/.well-known/x", Dotfiles::Ignore), Err(Refusal::Absent));
        assert_eq!(decoded("/.well-known/.x", Dotfiles::Deny), Err(Refusal::Absent));
    }

    #[test]
    fn a_location_stays_on_this_host_and_keeps_its_query() {
        let location = |canonical: &[u8], query: Option<&[u8]>| {
            String::from_utf8(super::location(canonical, query)).unwrap()
        };
        assert_eq!(location(b"/a/b/", None), "/a/b/");
        assert_eq!(location(b"/a b\r\n", Some(b"x=1&y=%20")), "/a%20b%0D%0A?x=1&y=%20");
        let mut canonical = Vec::new();
        decode(b"//evil.example/%0d", Dotfiles::Deny, &mut canonical).unwrap();
        assert_eq!(location(&canonical, None), "/evil.example/%0D");
    }

    proptest! {
        #[test]
        fn any_path_is_refused_or_canonical(raw in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut path = b"/".to_vec();
            path.extend_from_slice(&raw);
            let mut canonical = Vec::new();
            if decode(&path, Dotfiles::Deny, &mut canonical).is_ok() {
                prop_assert_eq!(canonical[0], b'/');
                prop_assert!(!canonical.contains(&0));
                let inner = canonical[1..].strip_suffix(b"/").unwrap_or(&canonical[1..]);
                if !inner.is_empty() {
                    for segment in inner.split(|&byte| byte == b'/') {
                        prop_assert!(!segment.is_empty() && segment != b".." && segment != b".");
                        prop_assert!(segment[0] != b'.' || segment == b".well-known");
                    }
                }
                prop_assert!(!location(&canonical, None).starts_with(b"//"));
            }
        }

        #[test]
        fn encoding_a_canonical_path_and_decoding_it_is_the_identity(name in "[^/\\\\\0.][^/\\\\\0]{0,20}") {
            let encoded = percent_encoding::percent_encode(name.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string();
            let mut canonical = Vec::new();
            decode(format!("/{encoded}").as_bytes(), Dotfiles::Deny, &mut canonical).unwrap();
            prop_assert_eq!(&canonical[1..], name.as_bytes());
        }
    }
}
