//! Names and hashed passwords: the lines of htpasswd(1), bcrypt alone. Its other hashes take no time to guess.
use crate::{error::StartError, whole};
use rustc_hash::FxHashMap;
use std::path::Path;

/// Names of one part of a site.
pub(crate) const USERS_MAX: usize = 10_000;
/// Bytes of a file.
const BYTES_MAX: u64 = 4 << 20;
/// bcrypt's cost: below nobody is protected, above a core is busy for seconds.
const COSTS: std::ops::RangeInclusive<u32> = 4..=15;

/// Hashes by name.
pub(crate) type Users = FxHashMap<Box<[u8]>, Box<str>>;

/// Checks one entry.
pub(crate) fn check(user: &[u8], hash: &str) -> Result<(), &'static str> {
    if user.is_empty()
        || user.len() > 255
        || user.iter().any(|&byte| byte == b':' || byte < b' ' || byte == 127)
    {
        return Err("is no name: 1 to 255 bytes without a colon and control characters");
    }
    let parts = ["$2y$", "$2b$", "$2a$", "$2x$"].iter().find_map(|version| hash.strip_prefix(version));
    let Some((cost, rest)) = parts.and_then(|rest| rest.split_once('$')) else {
        return Err("is not hashed with bcrypt: make it with htpasswd -B");
    };
    let is_cost = cost.len() == 2 && cost.parse().is_ok_and(|cost| COSTS.contains(&cost));
    if !is_cost {
        return Err("has a cost that is not from 04 to 15: make it with htpasswd -B -C 10");
    }
    if rest.len() != 53
        || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
    {
        return Err("is no whole bcrypt hash: copy all 60 characters");
    }
    Ok(())
}

/// Reads a file; all lines must be good, so that nobody is locked out, or let in, by half of one.
pub(crate) fn read(path: &Path, users: &mut Users) -> Result<(), StartError> {
    let wrong = |reason: String| StartError::Auth { path: path.to_owned(), reason };
    let bytes = whole::read(path, BYTES_MAX).map_err(|error| {
        wrong(format!("cannot be read: {error}; check the path, and that this user may read it"))
    })?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong(format!("has more than {BYTES_MAX} bytes; name the file of htpasswd")));
    }
    // An editor's mark at the head of a file (U+FEFF) is no part of the first name.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let at = |reason: &str| wrong(format!("has line {} that {reason}", index + 1));
        let (user, hash) = line.split_at(
            line.iter().position(|&byte| byte == b':').ok_or_else(|| at("has no colon: NAME:HASH"))?,
        );
        let hash = std::str::from_utf8(&hash[1..]).unwrap_or_default();
        check(user, hash).map_err(at)?;
        if users.insert(user.into(), hash.into()).is_some() {
            return Err(at("names somebody a second time"));
        }
        if users.len() > USERS_MAX {
            return Err(wrong(format!("has more than {USERS_MAX} names; split it by the parts of the site")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

    #[test]
    fn whole_bcrypt_hashes_of_a_cost_that_ends_are_taken_and_nothing_else() {
        assert_eq!(check(b"ann", HASH), Ok(()));
        for (user, hash, reason) in [
            (&b""[..], HASH, "no name"),
            (b"a:b", HASH, "no name"),
            (b"a\n", HASH, "no name"),
            (b"ann", "$apr1$abc$def", "not hashed with bcrypt"),
            (b"ann", "secret", "not hashed with bcrypt"),
            (b"ann", &HASH.replace("$05$", "$31$"), "a cost"),
            (b"ann", &HASH.replace("$05$", "$5$"), "a cost"),
            (b"ann", &HASH[..59], "no whole"),
            (b"ann", &HASH.replace('/', "\u{7f}"), "no whole"),
        ] {
            assert!(check(user, hash).unwrap_err().contains(reason), "{hash}");
        }
    }
}
