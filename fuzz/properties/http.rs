//! Whatever a client sends: a request that keeps the parser's promises, a refusal, or "not complete yet"; and a path that cannot climb.
use ringwheel_fileserver::{
    Dotfiles,
    http::{
        coding::{Coding, Codings, Preference},
        conditional::{List, Validators, evaluate, range_applies},
        date,
        etag::list_matches,
        parse::{Limits, Parsed, may_be_complete, parse},
        range::{Selection, select},
    },
    proxy::{self, Header},
    target,
};

const LIMITS: Limits = Limits { bytes: 4096, fields: 32, target: 1024 };
const SIZE: u64 = 100_000;

/// Takes the bytes as what one connection received.
pub fn check(bytes: &[u8]) {
    check_proxy(bytes);
    check_target(bytes);
    check_range(bytes);
    date::parse(bytes);
    list_matches(bytes, b"\"tag\"", true);
    check_codings(bytes);
    let mut rest = bytes;
    // Pipelined requests: each one consumes at least a byte, so this ends.
    while let Parsed::Complete(request, length) = parse(rest, &LIMITS) {
        assert!(length > 0 && length <= rest.len() && length <= LIMITS.bytes);
        assert!(request.target.len() <= LIMITS.target);
        assert!(request.minor_version <= 1);
        assert!(may_be_complete(&rest[..length], 0), "a whole head looks incomplete");
        assert!(matches!(parse(&rest[..length], &LIMITS), Parsed::Complete(_, same) if same == length));
        for cut in [0, length / 2, length - 1] {
            let partly = parse(&rest[..cut], &LIMITS);
            assert!(!matches!(partly, Parsed::Complete(_, more) if more > cut));
        }
        let ours = Validators { etag: b"W/\"tag\"", last_modified: 1_700_000_000, fresh: false };
        evaluate(&request.conditions, &ours);
        range_applies(&request.conditions, &ours);
        Preference::of(&request.accept_encoding);
        check_target(request.target);
        if let Some(range) = request.range {
            check_range(range);
        }
        rest = &rest[length..];
    }
}

/// A PROXY header is bounded, each of its beginnings is one, and what follows does not change it.
fn check_proxy(bytes: &[u8]) {
    match proxy::parse(bytes) {
        Header::Partial => assert!(bytes.len() < proxy::HEADER_MAX),
        Header::Invalid => {}
        complete @ Header::Complete { length, .. } => {
            assert!(length <= bytes.len() && length <= proxy::HEADER_MAX);
            assert_eq!(proxy::parse(&bytes[..length]), complete);
            for cut in [0, length / 2, length - 1] {
                assert_eq!(proxy::parse(&bytes[..cut]), Header::Partial);
            }
        }
    }
}

/// A canonical path has one form and stays below the root.
fn check_target(raw: &[u8]) {
    let Some(target) = target::split(raw) else { return };
    assert_eq!(target.path.first(), Some(&b'/'));
    let mut canonical = Vec::new();
    for dotfiles in [Dotfiles::Allow, Dotfiles::Deny, Dotfiles::Ignore] {
        if target::decode(target.path, dotfiles, &mut canonical).is_err() {
            continue;
        }
        assert_eq!(canonical.first(), Some(&b'/'));
        assert!(!canonical.contains(&0) && !canonical.contains(&b'\\'));
        let inner = canonical.strip_suffix(b"/").unwrap_or(&canonical);
        for segment in inner.split(|byte| *byte == b'/').skip(1) {
            assert!(!segment.is_empty() && segment != b"." && segment != b"..");
            assert!(dotfiles != Dotfiles::Ignore || segment[0] != b'.');
        }
        let location = target::location(&canonical, target.query);
        assert!(location.starts_with(b"/") && !location.starts_with(b"//"));
    }
}

/// Only what is there is chosen, and what is left out of the order changes no other choice.
fn check_codings(value: &[u8]) {
    let mut fields = List::default();
    assert!(fields.push(value));
    let preference = Preference::of(&fields);
    for here in [
        Codings::NONE,
        Codings::NONE.with(Coding::Gzip),
        Codings::NONE.with(Coding::Zstd).with(Coding::Brotli),
    ] {
        let chosen = preference.choose(here);
        assert!(here.has(chosen));
        assert_eq!(preference.within(here).choose(here), chosen);
    }
}

/// Ranges lie inside the representation, do not overlap, and are few.
fn check_range(value: &[u8]) {
    let inside = |start: u64, end: u64| assert!(start < end && end <= SIZE);
    match select(value, SIZE, 8) {
        Selection::Whole | Selection::Unsatisfiable => {}
        Selection::One(range) => inside(range.start, range.end),
        Selection::Many(ranges) => {
            assert!((2..=8).contains(&ranges.len()));
            for (index, range) in ranges.iter().enumerate() {
                inside(range.start, range.end);
                for other in &ranges[..index] {
                    assert!(range.end <= other.start || other.end <= range.start, "overlap");
                }
            }
        }
    }
    assert_eq!(select(value, SIZE, 0), Selection::Whole);
    assert!(!matches!(select(value, 0, 8), Selection::One(_) | Selection::Many(_)));
}
