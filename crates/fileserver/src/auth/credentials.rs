//! The name and the password of a request (RFC 7617).
use crate::http::parse;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Bytes of a field's value that are looked at: no name and password is longer.
const VALUE_MAX: usize = 4096;

/// Padding is not demanded: some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A name and a password, as they were sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    bytes: Vec<u8>,
    colon: usize,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials") // Nothing of them belongs into a log.
    }
}

impl Credentials {
    /// Out of a request's head; `None` without exactly one Authorization field, of the Basic scheme, with a colon in it.
    pub(crate) fn of(head: &[u8]) -> Option<Credentials> {
        let mut values = parse::values_of(head, b"authorization:");
        let value = values.next().filter(|value| value.len() <= VALUE_MAX)?;
        if values.next().is_some() {
            return None;
        }
        let (scheme, rest) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let bytes = BASE64.decode(rest.trim_ascii()).ok()?;
        let colon = bytes.iter().position(|&byte| byte == b':')?;
        Some(Credentials { bytes, colon })
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.bytes[..self.colon]
    }

    pub(crate) fn password(&self) -> &[u8] {
        &self.bytes[self.colon + 1..]
    }

    /// Both, with what is between them.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<(String, String)> {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nauthORIZATION: {value}\r\n\r\n");
        let found = Credentials::of(head.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((text(found.name()), text(found.password())))
    }

    #[test]
    fn one_field_of_the_basic_scheme_is_read_and_all_else_is_nothing() {
        let expected = Some(("ann".to_owned(), "a:b".to_owned()));
        for value in ["Basic YW5uOmE6Yg==", "bAsIc  YW5uOmE6Yg", "Basic YW5uOmE6Yg= "] {
            assert_eq!(of(value), expected, "{value}");
        }
        assert_eq!(of("Basic Og=="), Some((String::new(), String::new())));
        for value in [
            "",
            "Basic",
            "Basic ",
            "Basic !!!!",
            "Basic YW5u",
            "Bearer YW5uOmE6Yg==",
            "Basic YW5uOmE6Yg==\r\nAuthorization: Basic YW5uOmE6Yg==",
        ] {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(of(&format!("Basic {}", "QUFB".repeat(20_000))), None);
    }
}
