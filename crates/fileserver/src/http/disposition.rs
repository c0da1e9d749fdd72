//! Content-Disposition: under which name a browser saves a file (RFC 6266, RFC 8187).
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// What is encoded of a name in `filename*`: all but the attr-char of RFC 8187.
const EXTENDED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The value for a file of this name: `filename` for every client, and `filename*` beside it where that cannot say the name.
///
/// ```
/// use ringwheel_fileserver::http::disposition::attachment;
/// assert_eq!(attachment("a b.zip".as_bytes()), "attachment; filename=\"a b.zip\"");
/// assert_eq!(attachment("größe.pdf".as_bytes()), "attachment; filename=\"gr__e.pdf\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.pdf");
/// ```
pub fn attachment(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let mut value = String::from("attachment; filename=\"");
    // Some clients read escapes where there are none: 100%25.txt.
    let mut plain = !name.contains('%');
    for character in name.chars() {
        match character {
            '"' | '\\' => value.extend(['\\', character]),
            ' '..='~' => value.push(character),
            _ => {
                plain = false;
                value.push('_');
            }
        }
    }
    value.push('"');
    if !plain {
        value.push_str("; filename*=UTF-8''");
        value.extend(percent_encode(name.as_bytes(), EXTENDED));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_quotes_cannot_say_are_said_twice() {
        for (name, value) in [
            (&b"a.zip"[..], "attachment; filename=\"a.zip\""),
            (b"say \"hi\"\\.txt", "attachment; filename=\"say \\\"hi\\\"\\\\.txt\""),
            (b"100%25.txt", "attachment; filename=\"100%25.txt\"; filename*=UTF-8''100%2525.txt"),
            (b"a\r\nX: 1", "attachment; filename=\"a__X: 1\"; filename*=UTF-8''a%0D%0AX%3A%201"),
            (b"\xff.bin", "attachment; filename=\"_.bin\"; filename*=UTF-8''%EF%BF%BD.bin"),
            (
                "€ 5*(1)'.txt".as_bytes(),
                "attachment; filename=\"_ 5*(1)'.txt\"; filename*=UTF-8''%E2%82%AC%205%2A%281%29%27.txt",
            ),
        ] {
            assert_eq!(attachment(name), value);
        }
    }

    proptest! {
        #[test]
        fn it_is_one_line_that_ends_where_it_should(name in proptest::collection::vec(any::<u8>(), 0..60)) {
            let value = attachment(&name);
            prop_assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            let quoted = value.strip_prefix("attachment; filename=\"").unwrap();
            let mut escaped = false;
            let end = quoted.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            }).unwrap();
            let rest = &quoted[end + 1..];
            prop_assert!(rest.is_empty() || rest.starts_with("; filename*=UTF-8''") && !rest[19..].contains(['"', ' ', '\\']));
            if let Some(extended) = rest.strip_prefix("; filename*=UTF-8''") {
                let decoded: Vec<u8> = percent_encoding::percent_decode_str(extended).collect();
                prop_assert_eq!(String::from_utf8(decoded).unwrap(), String::from_utf8_lossy(&name).into_owned());
            }
        }
    }
}
