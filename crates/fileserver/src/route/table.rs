//! Which route a request is for: patterns by method and path segment, the most specific first.
use crate::target;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// The most routes of a server, and the most segments of a pattern.
const ROUTES_MAX: usize = 10_000;
const SEGMENTS_MAX: usize = 64;
/// Methods that a route answers only where it names them.
const NAMED: [&[u8]; 3] = [b"OPTIONS", b"TRACE", b"CONNECT"];

/// The routes of a server. A copy is made to add one: it is read without a lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    root: Node,
    count: usize,
}

/// What comes after some segments.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: FxHashMap<Box<[u8]>, Node>,
    /// `:name`.
    parameter: Option<Box<Node>>,
    /// Routes that end here.
    here: Vec<Route>,
    /// Routes that end with `*`: for everything below.
    below: Vec<Route>,
}

/// One route: of which method (`None`: every), and its number.
#[derive(Clone, Debug)]
struct Route {
    method: Option<Box<[u8]>>,
    number: u32,
}

/// What was found for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The route of this number.
    Route(u32),
    /// No route of this path has the method; these are theirs, `*` for every one.
    Methods(Vec<Box<[u8]>>),
    /// No route has this path.
    Nothing,
}

impl Found {
    /// Whether routes have nothing to say.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Found::Nothing)
    }

    /// Whether a handler would have the request.
    pub(crate) fn has_handler(&self) -> bool {
        matches!(self, Found::Route(_))
    }
}

impl Table {
    /// Adds a route: `/a/:b/*`, with methods before it (`GET /a`, `GET,POST /a`) unless it is for every one. Returns its number.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn add(&mut self, pattern: &str) -> Result<u32, String> {
        if self.count == ROUTES_MAX {
            return Err(format!("there are {ROUTES_MAX} routes already"));
        }
        let (methods, path) = match pattern.split_once(' ') {
            None => (Vec::new(), pattern),
            Some((methods, path)) => (methods.split(',').collect(), path.trim_start()),
        };
        for method in &methods {
            let token = |byte: u8| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_';
            if method.is_empty() || !method.bytes().all(token) || *method == "CONNECT" {
                return Err(format!("{method:?} is no method, such as GET or GET,POST"));
            }
        }
        let Some(path) = path.strip_prefix('/') else {
            return Err("its path must begin with /".to_owned());
        };
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        check_segments(&segments)?;
        let number = self.count as u32;
        let mut node = &mut self.root;
        let mut ends_below = false;
        for segment in segments {
            if segment == "*" {
                ends_below = true;
            } else if segment.starts_with(':') {
                node = node.parameter.get_or_insert_default();
            } else {
                node = node.literals.entry(segment.as_bytes().into()).or_default();
            }
        }
        let routes = if ends_below { &mut node.below } else { &mut node.here };
        let mut given: Vec<Option<Box<[u8]>>> = Vec::new();
        for method in methods {
            given.push(Some(method.as_bytes().into()));
        }
        if given.is_empty() {
            given.push(None);
        }
        for method in given {
            if routes.iter().any(|route| route.method == method) {
                return Err("there is a route for the same requests already".to_owned());
            }
            routes.push(Route { method, number });
        }
        self.count += 1;
        Ok(number)
    }

    /// The route of a request. A slash at the end and doubled ones make no difference; escapes are decoded, segment by segment.
    pub(crate) fn find(&self, method: &[u8], path: &[u8]) -> Found {
        let mut methods = Vec::new();
        match self.root.find(method, path, &mut methods) {
            Some(number) => Found::Route(number),
            None if methods.is_empty() => Found::Nothing,
            None => Found::Methods(methods),
        }
    }
}

fn check_segments(segments: &[&str]) -> Result<(), String> {
    if segments.len() > SEGMENTS_MAX {
        return Err(format!("its path has more than {SEGMENTS_MAX} segments"));
    }
    for (index, segment) in segments.iter().enumerate() {
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"*%?#\\".contains(&byte);
        let named = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let fits = match segment.strip_prefix(':') {
            Some(name) => named(name),
            None if *segment == "*" => index + 1 == segments.len(),
            None => segment.bytes().all(plain) && *segment != "." && *segment != "..",
        };
        if !fits {
            return Err(format!(
                "the segment {segment:?} must be text without * % ? # and spaces, :name (letters, digits, _), or * at the end"
            ));
        }
    }
    Ok(())
}

impl Node {
    fn find(&self, method: &[u8], path: &[u8], others: &mut Vec<Box<[u8]>>) -> Option<u32> {
        let start = path.iter().position(|&byte| byte != b'/');
        let Some(start) = start else {
            return of_method(&self.here, method, others).or_else(|| of_method(&self.below, method, others));
        };
        let rest = &path[start..];
        let (segment, rest) = rest.split_at(memchr::memchr(b'/', rest).unwrap_or(rest.len()));
        let segment = decoded(segment)?;
        let literal = self.literals.get(&*segment).and_then(|node| node.find(method, rest, others));
        literal
            .or_else(|| self.parameter.as_ref().and_then(|node| node.find(method, rest, others)))
            .or_else(|| is_clean(rest).then(|| of_method(&self.below, method, others)).flatten())
    }
}

/// A segment as it is meant; `None` for one that no path has, which the file server refuses.
fn decoded(segment: &[u8]) -> Option<Cow<'_, [u8]>> {
    if segment.contains(&b'\\') {
        return None; // What reads the path as a URL takes it for a slash: `/x\..\admin` would be `/admin` there.
    }
    let segment = if segment.contains(&b'%') {
        let mut decoded = Vec::with_capacity(segment.len());
        target::decode_segment(segment, &mut decoded).ok()?;
        Cow::Owned(decoded)
    } else {
        Cow::Borrowed(segment)
    };
    (*segment != *b"." && *segment != *b".." && !segment.contains(&0)).then_some(segment)
}

/// Whether what `*` stands for has good segments only.
fn is_clean(rest: &[u8]) -> bool {
    rest.split(|&byte| byte == b'/').all(|segment| decoded(segment).is_some())
}

/// The route for a method: its own, that of GET for HEAD, that for every method but those that are about the connection or ask what there is.
fn of_method(routes: &[Route], method: &[u8], others: &mut Vec<Box<[u8]>>) -> Option<u32> {
    let named = |wanted: &[u8]| routes.iter().find(|route| route.method.as_deref() == Some(wanted));
    let own = named(method).or_else(|| if method == b"HEAD" { named(b"GET") } else { None });
    let every = || routes.iter().find(|route| route.method.is_none() && !NAMED.contains(&method));
    let found = own.or_else(every);
    if found.is_none() {
        others.extend(routes.iter().map(|route| route.method.clone().unwrap_or(b"*".as_slice().into())));
    }
    found.map(|route| route.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(patterns: &[&str]) -> Table {
        let mut table = Table::default();
        for pattern in patterns {
            table.add(pattern).unwrap();
        }
        table
    }

    fn find(table: &Table, method: &str, path: &str) -> Found {
        table.find(method.as_bytes(), path.as_bytes())
    }

    #[test]
    fn the_most_specific_route_is_found_whatever_the_order() {
        let patterns = ["/a/*", "/a/:x", "/a/b", "/a/:x/c", "/", "GET /m", "POST,PUT /m", "/*"];
        let table = table(&patterns);
        for (path, number) in [
            ("/", 4),
            ("/a/b", 2),
            ("/a/b/", 2),
            ("//a//b", 2),
            ("/a/%62", 2),
            ("/a/z", 1),
            ("/a/z%2fy", 1),
            ("/a/b/c", 3),
            ("/a/b/d", 0),
            ("/a", 0),
            ("/else/where", 7),
            ("/A/b", 7),
        ] {
            assert_eq!(find(&table, "GET", path), Found::Route(number), "{path}");
        }
        assert_eq!(find(&table, "HEAD", "/m"), Found::Route(5));
        assert_eq!(find(&table, "PUT", "/m"), Found::Route(6));
        assert_eq!(find(&table, "DELETE", "/m"), Found::Route(7));
    }

    #[test]
    fn a_path_without_the_method_tells_those_it_has() {
        let table = table(&["GET /m", "POST /m", "/other"]);
        let methods = Found::Methods(vec![b"GET".as_slice().into(), b"POST".as_slice().into()]);
        assert_eq!(find(&table, "DELETE", "/m"), methods);
        assert_eq!(find(&table, "DELETE", "/n"), Found::Nothing);
        let every = Found::Methods(vec![b"*".as_slice().into()]);
        assert_eq!(["OPTIONS", "TRACE"].map(|method| find(&table, method, "/other")), [every.clone(), every]);
    }

    #[test]
    fn what_the_file_server_refuses_is_no_route_s() {
        let table = table(&["/a/*", "/a/:x"]);
        for path in [
            "/a/..",
            "/a/%2e%2e",
            "/a/./b",
            "/a/b/../c",
            "/a/%zz",
            "/a/b/%",
            "/a/%00",
            "/a/b\\c",
            "/a/\\",
            "/a\\b",
        ] {
            assert_eq!(find(&table, "GET", path), Found::Nothing, "{path}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        let mut table = table(&["GET /a", "/b/:x"]);
        let bad = [
            "",
            "a",
            "GET a",
            "get /a",
            "GET, /a",
            " /a",
            "CONNECT /a",
            "/*/a",
            "/a*",
            "/:",
            "/:a-b",
            "/a?b",
            "/%61",
            "/../a",
            "/a\\b",
        ];
        for pattern in bad.iter().chain(&["GET /a", "GET,POST /a", "/b/:other", "GET,GET /c"]) {
            assert!(table.add(pattern).is_err(), "{pattern}");
        }
        assert!(table.add(&"/a".repeat(65)).is_err());
        assert!(table.add("POST /a").is_ok());
    }

    proptest! {
        #[test]
        fn no_path_panics(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            let table = table(&["/a/*", "/a/:x", "/:y/b", "GET /"]);
            let _ = table.find(b"GET", &path);
        }
    }
}
