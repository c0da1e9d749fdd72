//! Patterns and destinations: what fits what, and that no request chooses a host or breaks a line.
use super::*;
use crate::options::Dotfiles;
use proptest::prelude::*;

fn location(from: &str, to: &str, path: &str, query: Option<&str>) -> Option<String> {
    let redirect = Redirect::new(from, to, 301).unwrap();
    let location = redirect.location(path.as_bytes(), query.map(str::as_bytes))?;
    Some(String::from_utf8(location).unwrap())
}

#[test]
fn patterns_capture_segments_and_the_rest() {
    for (from, to, path, expected) in [
        ("/old", "/new", "/old", Some("/new")),
        ("/old", "/new", "/old/", Some("/new")),
        ("/old/", "/new", "/old", Some("/new")),
        ("/old", "/new", "/older", None),
        ("/old", "/new", "/old/x", None),
        ("/a%20b/%3Ax", "/new", "/a b/:x", Some("/new")),
        ("/größe", "/size", "/größe", Some("/size")),
        ("/:year/:slug", "/blog/post/:slug-:year", "/2024/a b", Some("/blog/post/a%20b-2024")),
        ("/:year/:slug", "/blog/post/:slug", "/2024", None),
        ("/:year/:slug", "/blog/post/:slug", "/2024/", None),
        ("/docs/*", "/v2/:splat", "/docs/a/b/", Some("/v2/a/b/")),
        ("/docs/*", "/v2/:splat", "/docs/", Some("/v2/")),
        ("/docs/*", "/v2/:splat", "/docs", Some("/v2/")),
        ("/docs/*", "/v2/:splat", "/docsx", None),
        ("/*", "https://b.example/:splat", "/", Some("https://b.example/")),
        ("/*", "https://b.example/:splat", "/x/y?z", Some("https://b.example/x/y%3Fz")),
        ("/", "/home", "/", Some("/home")),
        ("/p/:id", "/?page=:id", "/p/a&b=c/", Some("/?page=a%26b%3Dc")),
        ("/p/:id", "/q#:id", "/p/7", Some("/q#:id")),
    ] {
        assert_eq!(location(from, to, path, None).as_deref(), expected, "{from} {to} {path}");
    }
}

#[test]
fn the_query_goes_on() {
    assert_eq!(location("/a", "/b", "/a", Some("x=1&y")).unwrap(), "/b?x=1&y");
    assert_eq!(location("/a", "/b?z=2#part", "/a", Some("x=1")).unwrap(), "/b?z=2&x=1#part");
    assert_eq!(location("/a", "/b#part", "/a", Some("")).unwrap(), "/b#part");
    assert_eq!(location("/a", "https://b.example", "/a", Some("x")).unwrap(), "https://b.example?x");
}

#[test]
fn what_is_wrong_is_told_apart() {
    for (from, to, status, part) in [
        ("old", "/new", 301, "from"),
        ("/a//b", "/new", 301, "from"),
        ("/a/../b", "/new", 301, "from"),
        ("/a/*/b", "/new", 301, "from"),
        ("/a*", "/new", 301, "from"),
        ("/a?b", "/new", 301, "from"),
        ("/%zz", "/new", 301, "from"),
        ("/:", "/new", 301, "from"),
        ("/:a/:a", "/new", 301, "from"),
        ("/:splat", "/new", 301, "from"),
        ("/old", "", 301, "to"),
        ("/old", "new", 301, "to"),
        ("/old", "//evil.example/", 301, "to"),
        ("/old", "/\\evil.example/", 301, "to"),
        ("/old", "javascript:alert(1)", 301, "to"),
        ("/old", "https://", 301, "to"),
        ("/old", "https:///x", 301, "to"),
        ("/old", "https://user@b.example/", 301, "to"),
        ("/old", "https://b.example:port/", 301, "to"),
        ("/old/:a", "https://:a.example/", 301, "to"),
        ("/old/:a", "https://b.example:a/", 301, "to"),
        ("/old", "/new/:splat", 301, "to"),
        ("/old", "/a b", 301, "to"),
        ("/old", "/a\r\nX: y", 301, "to"),
        ("/old", "/old/", 301, "to"),
        ("/*", "/all/:splat", 302, "to"),
        ("/old", "/new", 300, "status"),
        ("/old", "/new", 200, "status"),
    ] {
        assert_eq!(Redirect::new(from, to, status).unwrap_err().part, part, "{from} {to} {status}");
    }
    for to in ["https://b.example", "http://[::1]:80/x", "https://b.example:8443?x", "/b/%3Ac"] {
        Redirect::new("/old", to, 308).unwrap();
    }
}

#[test]
fn the_first_that_fits_is_taken() {
    let rules =
        [("/a/:x", "/named"), ("/a/b", "/late"), ("/c", "/first"), ("/c/", "/second"), ("/c/*", "/rest")];
    let redirects =
        Redirects::of(rules.iter().map(|(from, to)| Redirect::new(from, to, 307).unwrap()).collect());
    let found = |path: &str| {
        redirects.find(path.as_bytes(), None).map(|(_, location)| String::from_utf8(location).unwrap())
    };
    assert_eq!(found("/a/b").as_deref(), Some("/named"));
    assert_eq!(found("/c").as_deref(), Some("/first"));
    assert_eq!(found("/c/d").as_deref(), Some("/rest"));
    assert_eq!(found("/d"), None);
}

proptest! {
    #[test]
    fn no_request_chooses_a_host_or_breaks_the_line(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut path = Vec::new();
        let raw = [b"/", &raw[..]].concat();
        prop_assume!(target::decode(&raw, Dotfiles::Allow, &mut path).is_ok());
        for (from, to) in [
            ("/*", "https://b.example/:splat"),
            ("/:a/*", "/:splat/:a"),
            ("/:a/:b/*", "/x/../:splat:b/:a"),
            ("/:a/*", "/:splat?q=:splat"),
        ] {
            // Some of these lead back to themselves, which is refused; the rendering must be safe all the same.
            let mut redirect = Redirect::new("/never/:a/:b/*", "/", 301).unwrap();
            let (segments, names, splat) = pattern(from).unwrap();
            let (origin, rest) = origin(to).unwrap();
            let (way, query) = rest.split_once('?').unwrap_or((rest, ""));
            redirect.segments = segments;
            redirect.splat = splat;
            redirect.to = [vec![Piece::Literal(origin.as_bytes().into())], pieces(way, &names).unwrap()].concat();
            redirect.query = pieces(query, &names).unwrap();
            if let Some(location) = redirect.location(&path, None) {
                prop_assert!(location.iter().all(u8::is_ascii_graphic));
                prop_assert!(location.starts_with(b"https://b.example/") || location.starts_with(b"/"));
                prop_assert!(!location.starts_with(b"//") && !location.contains(&b'\\'));
            }
        }
    }
}

#[test]
fn rules_that_send_a_client_on_and_on_are_found() {
    let endless = |rules: &[(&str, &str)]| {
        let all = rules.iter().map(|(from, to)| Redirect::new(from, to, 301).unwrap()).collect();
        let (number, way) = Redirects::of(all).endless()?;
        Some((number, way.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect::<Vec<_>>()))
    };
    let way = |rules| endless(rules).map(|(number, way)| format!("{number}: {}", way.join(" ")));
    assert_eq!(way(&[("/c", "/d"), ("/a", "/b"), ("/b", "/a")]).unwrap(), "1: /a /b /a");
    assert_eq!(way(&[("/a", "/b?x#y"), ("/b/", "/c/"), ("/c", "/a")]).unwrap(), "0: /a /b /c/ /a");
    assert_eq!(way(&[("/x/:a", "/y/:a"), ("/y/*", "/x/:splat")]).unwrap(), "0: /x/x /y/x /x/x");
    assert_eq!(way(&[("/:a", "/p/:a"), ("/p/q", "/q")]).unwrap(), "1: /p/q /q /p/q");
    // It grows and grows.
    let (number, long) = endless(&[("/a/*", "/b/a/:splat"), ("/b/*", "/a/:splat")]).unwrap();
    assert_eq!((number, long.len()), (0, HOPS_MAX + 1));
    for fine in [
        &[("/a", "/b"), ("/b", "/c"), ("/c", "/d")][..],
        &[("/a", "/b"), ("/b", "https://a.example/a")],
        &[("/x", "/home"), ("/old/*", "/:splat"), ("/:a", "/p/:a")],
        &[("/", "/home"), ("/home/*", "https://b.example/")],
        &[("/p/q", "/r"), ("/p/*", "/p/q")][..0],
    ] {
        assert_eq!(way(fine), None, "{fine:?}");
    }
}
