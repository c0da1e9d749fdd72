//! Pipeline step 3a: names that have moved: patterns of paths, and where each leads.
//!
//! A pattern is a path whose segments are literal, `:name` (any one segment) or, last, `*` (all the rest, nothing too): what hosters'
//! `_redirects` files have. It is compared with the canonical path, so that no spelling of a name gets around it, and what it captured
//! is encoded again where it is put in: no request chooses the host it is sent to, or ends the line.
use crate::{
    http::status::Status,
    target::{self, NAME, PATH},
};
use percent_encoding::{AsciiSet, percent_encode};
use rustc_hash::FxHashMap;

/// What the rest of a path is called that `*` stands for.
const SPLAT: &str = "splat";

/// Redirects in a row that browsers follow (the Fetch standard's number).
const HOPS_MAX: usize = 20;

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<[u8]>),
    /// Any one segment.
    Named,
}

/// One piece of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    /// What the pattern captured, by its number.
    Capture(usize),
}

/// One pattern and where it leads.
///
/// ```
/// use ringwheel_fileserver::redirect::Redirect;
/// let moved = Redirect::new("/blog/:year/*", "https://blog.example/:splat?year=:year", 301)?;
/// assert_eq!(moved.location(b"/blog/2024/a b/", Some(b"x=1")).unwrap(), b"https://blog.example/a%20b/?year=2024&x=1");
/// assert_eq!(moved.location(b"/about", None), None);
/// assert!(Redirect::new("/a", "//other.example/", 301).is_err());
/// # Ok::<(), ringwheel_fileserver::redirect::Wrong>(())
/// ```
#[derive(Clone, Debug)]
pub struct Redirect {
    segments: Vec<Segment>,
    /// It ends with `*`.
    splat: bool,
    /// The destination up to its query, the query, and the fragment with its `#`.
    to: Vec<Piece>,
    query: Vec<Piece>,
    fragment: Box<[u8]>,
    pub(crate) status: Status,
}

/// What is wrong with a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// `from`, `to` or `status`.
    pub part: &'static str,
    /// What it may be, as a sentence's end.
    pub allowed: &'static str,
}

impl Redirect {
    /// Compiles a redirect. `from` is a path with its first slash, `to` a path or an http or https URL that may hold `:name` and `:splat`
    /// behind its host, each 1 to 2048 bytes; a `status` is one of 301, 302, 303, 307 and 308.
    ///
    /// # Errors
    /// Which part is wrong, and what it may be.
    pub fn new(from: &str, to: &str, status: u16) -> Result<Redirect, Wrong> {
        let redirect = Redirect::compile(from, to, status)?;
        let example = redirect.example();
        if redirect.next(&example).is_some_and(|path| redirect.captures(&path).is_some()) {
            let allowed = "a place that from does not match: this one would redirect for ever";
            return Err(Wrong { part: "to", allowed });
        }
        Ok(redirect)
    }

    /// One that leads to a path of the same site and is never seen by a client: that it fits its own destination is no harm.
    pub(crate) fn inside(from: &str, to: &str) -> Result<Redirect, Wrong> {
        if !to.starts_with('/') || to.contains(['?', '#']) {
            return Err(Wrong { part: "to", allowed: "a path with one first slash, without a query" });
        }
        Redirect::compile(from, to, 301)
    }

    fn compile(from: &str, to: &str, status: u16) -> Result<Redirect, Wrong> {
        let wrong = |part, allowed| Err(Wrong { part, allowed });
        const STATUSES: [Status; 5] = [
            Status::MovedPermanently,
            Status::Found,
            Status::SeeOther,
            Status::TemporaryRedirect,
            Status::PermanentRedirect,
        ];
        let Some(status) = STATUSES.into_iter().find(|each| each.code() == status) else {
            return wrong("status", "301, 302, 303, 307 or 308");
        };
        let (segments, names, splat) = pattern(from)?;
        let printable = to.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte));
        if to.len() > 2048 || !printable {
            return wrong("to", "1 to 2048 bytes as they go into Location, all others %-encoded");
        }
        let Some((origin, rest)) = origin(to) else {
            return wrong("to", "a path with one first slash, or http:// or https:// and a host");
        };
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (Some(path), Some(query)) = (pieces(path, &names), pieces(query, &names)) else {
            return wrong("to", "names of from after colons (a colon that is meant as one is %3A)");
        };
        let to = [vec![Piece::Literal(origin.as_bytes().into())], path].concat();
        Ok(Redirect { segments, splat, to, query, fragment: fragment.as_bytes().into(), status })
    }

    /// The pattern without names, if it has none: then it is one path.
    fn literal(&self) -> Option<Vec<u8>> {
        let mut path = Vec::new();
        for segment in &self.segments {
            let Segment::Literal(bytes) = segment else { return None };
            path.push(b'/');
            path.extend_from_slice(bytes);
        }
        (!self.splat).then_some(path)
    }

    /// What the pattern captures of a canonical path.
    fn captures<'p>(&self, path: &'p [u8]) -> Option<Vec<&'p [u8]>> {
        let mut captures = Vec::new();
        let mut rest = path.strip_prefix(b"/")?;
        for segment in &self.segments {
            let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
            let (here, behind) = rest.split_at(end);
            match segment {
                _ if here.is_empty() => return None,
                Segment::Literal(bytes) if **bytes == *here => {}
                Segment::Literal(_) => return None,
                Segment::Named => captures.push(here),
            }
            rest = behind.strip_prefix(b"/").unwrap_or(behind);
        }
        match self.splat {
            true => captures.push(rest),
            false if !rest.is_empty() => return None,
            false => {}
        }
        Some(captures)
    }

    /// The value of Location for a canonical path, if it is for that path; `query` is the request's, and goes on.
    pub fn location(&self, path: &[u8], query: Option<&[u8]>) -> Option<Vec<u8>> {
        let captures = self.captures(path)?;
        let mut location = Vec::with_capacity(64 + path.len());
        fill(&mut location, &self.to, &captures, PATH);
        // Two slashes at its beginning, an empty capture between them, would name a host.
        let slashes = location.iter().take_while(|byte| **byte == b'/').count();
        location.drain(..slashes.saturating_sub(1));
        let mut separator = b'?';
        if !self.query.is_empty() {
            location.push(separator);
            fill(&mut location, &self.query, &captures, NAME);
            separator = b'&';
        }
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            location.push(separator);
            location.extend_from_slice(query);
        }
        location.extend_from_slice(&self.fragment);
        Some(location)
    }

    /// Where it leads depends on the rest of the path, last of all.
    pub(crate) fn ends_with_splat(&self) -> bool {
        let named = self.segments.iter().filter(|segment| matches!(segment, Segment::Named)).count();
        self.splat && self.to.last() == Some(&Piece::Capture(named))
    }

    /// A canonical path that the pattern fits.
    pub(crate) fn example(&self) -> Vec<u8> {
        let mut path = Vec::new();
        for segment in &self.segments {
            path.push(b'/');
            path.extend_from_slice(match segment {
                Segment::Literal(bytes) => bytes,
                Segment::Named => b"x",
            });
        }
        path.extend_from_slice(match (self.splat, self.segments.is_empty()) {
            (true, _) => b"/x",
            (false, true) => b"/",
            (false, false) => b"",
        });
        path
    }

    /// The canonical path that a client asks for next, if it asks this host.
    pub(crate) fn next(&self, path: &[u8]) -> Option<Vec<u8>> {
        let location = self.location(path, None)?;
        let end = location.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(location.len());
        let mut next = Vec::new();
        let here = location.starts_with(b"/");
        (here && target::decode(&location[..end], crate::options::Dotfiles::Allow, &mut next).is_ok())
            .then_some(next)
    }
}

/// The segments of `from`, the names it captures in their order, and whether it ends with `*`.
fn pattern(from: &str) -> Result<(Vec<Segment>, Vec<&str>, bool), Wrong> {
    const ALLOWED: &str =
        "a path such as /old, /blog/:year/:slug or /docs/*, of at most 2048 bytes, each name once";
    let wrong = Wrong { part: "from", allowed: ALLOWED };
    let Some(inner) = from.strip_prefix('/').filter(|_| from.len() <= 2048) else { return Err(wrong) };
    let (mut segments, mut names) = (Vec::new(), Vec::new());
    let mut parts = inner.split('/').peekable();
    while let Some(part) = parts.next() {
        if part == "*" && parts.peek().is_none() {
            names.push(SPLAT);
            return Ok((segments, names, true));
        }
        if part.is_empty() && parts.peek().is_none() {
            break; // A slash at the end makes no difference.
        }
        if let Some(name) = part.strip_prefix(':') {
            if name.is_empty() || name == SPLAT || names.contains(&name) || !name.bytes().all(is_of_name) {
                return Err(wrong);
            }
            names.push(name);
            segments.push(Segment::Named);
            continue;
        }
        let mut literal = Vec::new();
        let decoded =
            target::decode(format!("/{part}").as_bytes(), crate::options::Dotfiles::Allow, &mut literal);
        if decoded.is_err() || literal.len() < 2 || part.contains(['*', '?', '#']) {
            return Err(wrong);
        }
        segments.push(Segment::Literal(literal[1..].into()));
    }
    Ok((segments, names, false))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Cuts `https://host:1` off. A path has no origin; what is neither leads nowhere that is safe.
fn origin(to: &str) -> Option<(&str, &str)> {
    if to.starts_with('/') {
        return (!to.starts_with("//")).then_some(("", to));
    }
    let scheme = ["http://", "https://"].into_iter().find(|scheme| to.starts_with(scheme))?;
    let end = to[scheme.len()..].find(['/', '?', '#']).map_or(to.len(), |at| scheme.len() + at);
    let host = &to[scheme.len()..end];
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, "0"),
    };
    let bracketed = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let fits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    (fits && port.parse::<u16>().is_ok()).then(|| to.split_at(end))
}

/// A part of a destination; `None` when a colon stands before no name of the pattern.
fn pieces(text: &str, names: &[&str]) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    pieces.push(Piece::Literal(first.as_bytes().into()));
    for part in parts {
        let (name, behind) =
            part.split_at(part.bytes().position(|byte| !is_of_name(byte)).unwrap_or(part.len()));
        pieces.push(Piece::Capture(names.iter().position(|each| *each == name)?));
        pieces.push(Piece::Literal(behind.as_bytes().into()));
    }
    pieces.retain(|piece| *piece != Piece::Literal(Box::default()));
    Some(pieces)
}

fn fill(out: &mut Vec<u8>, pieces: &[Piece], captures: &[&[u8]], set: &'static AsciiSet) {
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => out.extend_from_slice(bytes),
            Piece::Capture(number) => {
                for part in percent_encode(captures.get(*number).copied().unwrap_or_default(), set) {
                    out.extend_from_slice(part.as_bytes());
                }
            }
        }
    }
}

/// All redirects of a site: the first whose pattern fits is taken.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    all: Vec<Redirect>,
    /// Of the patterns that are one path: which number it has. Without its last slash.
    paths: FxHashMap<Box<[u8]>, usize>,
    /// The numbers of the others.
    patterns: Vec<usize>,
}

impl Redirects {
    pub(crate) fn of(all: Vec<Redirect>) -> Redirects {
        let (mut paths, mut patterns) = (FxHashMap::default(), Vec::new());
        for (number, redirect) in all.iter().enumerate() {
            match redirect.literal() {
                Some(path) => drop(paths.entry(path.into()).or_insert(number)),
                None => patterns.push(number),
            }
        }
        Redirects { all, paths, patterns }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Where a canonical path has moved.
    pub(crate) fn find(&self, path: &[u8], query: Option<&[u8]>) -> Option<(Status, Vec<u8>)> {
        let redirect = self.rule(path)?;
        Some((redirect.status, redirect.location(path, query)?))
    }

    /// The first rule for a canonical path.
    pub(crate) fn rule(&self, path: &[u8]) -> Option<&Redirect> {
        let exact = self.paths.get(path.strip_suffix(b"/").unwrap_or(path)).copied();
        let earlier = self.patterns.iter().take_while(|number| exact.is_none_or(|exact| **number < exact));
        let mut fitting = earlier.copied().chain(exact).map(|number| &self.all[number]);
        fitting.find(|redirect| redirect.captures(path).is_some())
    }

    /// The first rule from which a client would be sent on and on, and the paths it would be sent to. Followed are an example of each pattern and
    /// where it leads, so a way round that depends on what a name stands for may be missed; clients end that themselves.
    pub(crate) fn endless(&self) -> Option<(usize, Vec<Vec<u8>>)> {
        self.all.iter().enumerate().find_map(|(number, redirect)| {
            let mut way = vec![redirect.example()];
            while let Some(next) = way.last().and_then(|path| self.rule(path)?.next(path)) {
                let again = way.contains(&next);
                way.push(next);
                if again || way.len() > HOPS_MAX {
                    return Some((number, way));
                }
            }
            None
        })
    }
}

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
