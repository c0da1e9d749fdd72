//! One line of the access log: what is said of an answer, and how it is escaped.
//!
//! Everything that a client chose goes through [`escaped`]: what is not printable ASCII, `"` and `\` become `\xHH`, so that no request can end its
//! line, end its quotes, or steer the terminal of who reads it.
use crate::{
    http::{date::DATE_BYTES, head::number},
    options::AccessLogFormat,
};

/// Bytes of a request line that are written; what is left out is told by `...`.
const REQUEST_MAX: usize = 8 << 10;
/// Bytes of any other value of a client.
const FIELD_MAX: usize = 2 << 10;

/// What a line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The client's address, or `-`.
    pub(super) client: &'a str,
    /// An IMF-fixdate, and the milliseconds behind its second.
    pub(super) date: &'a [u8; DATE_BYTES],
    pub(super) millisecond: u16,
    /// As it came, without its end; empty when none came.
    pub(super) request: &'a [u8],
    /// Whose password was right.
    pub(super) user: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
    pub(super) status: u16,
    /// Bytes of the body that the kernel took.
    pub(super) bytes: u64,
    pub(super) referer: Option<&'a [u8]>,
    pub(super) agent: Option<&'a [u8]>,
    pub(super) microseconds: u64,
}

/// Writes one line with its end.
pub(super) fn write(out: &mut Vec<u8>, format: AccessLogFormat, facts: &Facts<'_>) {
    match format {
        AccessLogFormat::Json => object(out, facts),
        AccessLogFormat::Common => common(out, facts),
        AccessLogFormat::Combined => {
            common(out, facts);
            for field in [facts.referer, facts.agent] {
                out.extend_from_slice(b" \"");
                escaped(out, field.unwrap_or(b"-"), FIELD_MAX, b"\\x");
                out.push(b'"');
            }
        }
    }
    out.push(b'\n');
}

/// Apache's Common Log Format: `%h %l %u %t "%r" %>s %b`.
fn common(out: &mut Vec<u8>, facts: &Facts<'_>) {
    out.extend_from_slice(facts.client.as_bytes());
    out.extend_from_slice(b" - ");
    // The field has no quotes: a space would be its end.
    for (index, part) in facts.user.unwrap_or(b"-").split(|&byte| byte == b' ').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\\x20");
        }
        escaped(out, part, FIELD_MAX, b"\\x");
    }
    out.extend_from_slice(b" [");
    // "Sun, 06 Nov 1994 08:49:37 GMT" as "06/Nov/1994:08:49:37 +0000".
    for (part, end) in [(5..7, b'/'), (8..11, b'/'), (12..16, b':'), (17..25, b' ')] {
        out.extend_from_slice(&facts.date[part]);
        out.push(end);
    }
    out.extend_from_slice(b"+0000] \"");
    escaped(out, if facts.request.is_empty() { b"-" } else { facts.request }, REQUEST_MAX, b"\\x");
    out.extend_from_slice(b"\" ");
    number(out, u64::from(facts.status));
    out.push(b' ');
    match facts.bytes {
        0 => out.push(b'-'),
        bytes => number(out, bytes),
    }
}

fn object(out: &mut Vec<u8>, facts: &Facts<'_>) {
    const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = facts.date;
    let month = MONTHS.chunks(3).position(|name| name == &date[8..11]).unwrap_or(0) + 1;
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(&date[12..16]);
    out.push(b'-');
    padded(out, month, 10);
    out.push(b'-');
    out.extend_from_slice(&date[5..7]);
    out.push(b'T');
    out.extend_from_slice(&date[17..25]);
    out.push(b'.');
    padded(out, usize::from(facts.millisecond), 100);
    out.extend_from_slice(b"Z\",\"client\":\"");
    out.extend_from_slice(facts.client.as_bytes());
    out.extend_from_slice(b"\",\"request\":\"");
    escaped(out, facts.request, REQUEST_MAX, b"\\\\x");
    out.extend_from_slice(b"\",\"status\":");
    number(out, u64::from(facts.status));
    out.extend_from_slice(b",\"bytes\":");
    number(out, facts.bytes);
    out.extend_from_slice(b",\"durationUs\":");
    number(out, facts.microseconds);
    for (name, value) in
        [("user", facts.user), ("host", facts.host), ("referer", facts.referer), ("userAgent", facts.agent)]
    {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        match value {
            None => out.extend_from_slice(b"\":null"),
            Some(value) => {
                out.extend_from_slice(b"\":\"");
                escaped(out, value, FIELD_MAX, b"\\\\x");
                out.push(b'"');
            }
        }
    }
    out.push(b'}');
}

/// A number with zeros before it; `place` is that of its first digit.
fn padded(out: &mut Vec<u8>, value: usize, mut place: usize) {
    while place > 0 {
        out.push(b'0' + (value / place % 10) as u8);
        place /= 10;
    }
}

/// Writes at most `most` bytes of a value; `mark` goes before the two digits of what is not written as it is.
fn escaped(out: &mut Vec<u8>, value: &[u8], most: usize, mark: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let shown = &value[..value.len().min(most)];
    let mut rest = shown;
    while let Some(at) =
        rest.iter().position(|&byte| !(b' '..=b'~').contains(&byte) || matches!(byte, b'"' | b'\\'))
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(mark);
        out.extend_from_slice(&[DIGITS[usize::from(rest[at] >> 4)], DIGITS[usize::from(rest[at] & 15)]]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    if shown.len() < value.len() {
        out.extend_from_slice(b"...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date;
    use proptest::prelude::*;

    fn line(format: AccessLogFormat, request: &[u8], agent: Option<&[u8]>) -> String {
        let facts = Facts {
            client: "192.0.2.7",
            date: &date::format(784_111_777),
            millisecond: 42,
            request,
            user: agent.filter(|agent| *agent == b"curl/8").map(|_| &b"a \nn"[..]),
            host: Some(b"a.example"),
            status: 200,
            bytes: 0,
            referer: None,
            agent,
            microseconds: 87,
        };
        let mut out = Vec::new();
        write(&mut out, format, &facts);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_formats_are_those_that_tools_read() {
        let common = "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 -";
        assert_eq!(line(AccessLogFormat::Common, b"GET /a HTTP/1.1", None), format!("{common}\n"));
        let combined = format!("{common} \"-\" \"curl/8\"\n").replace(" - - ", " - a\\x20\\x0An ");
        assert_eq!(line(AccessLogFormat::Combined, b"GET /a HTTP/1.1", Some(b"curl/8")), combined);
        let json = "{\"time\":\"1994-11-06T08:49:37.042Z\",\"client\":\"192.0.2.7\",\"request\":\"GET /a HTTP/1.1\",\"status\":200,\
                    \"bytes\":0,\"durationUs\":87,\"user\":\"a \\\\x0An\",\"host\":\"a.example\",\"referer\":null,\"userAgent\":\"curl/8\"}\n";
        assert_eq!(line(AccessLogFormat::Json, b"GET /a HTTP/1.1", Some(b"curl/8")), json);
    }

    #[test]
    fn what_is_long_is_cut_and_the_longest_line_fits_into_the_smallest_buffer() {
        let (request, agent) = ([0xff; 20_000], [0xff; 20_000]);
        for format in [AccessLogFormat::Combined, AccessLogFormat::Json] {
            let line = line(format, &request, Some(&agent));
            assert_eq!(line.matches("xFF").count(), REQUEST_MAX + FIELD_MAX);
            assert!(line.contains("xFF...\"") && line.len() + 2 * 5 * FIELD_MAX < 80 << 10, "{}", line.len());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_end_a_line_or_its_quotes(request: Vec<u8>, agent: Vec<u8>) {
            let combined = line(AccessLogFormat::Combined, &request, Some(&agent));
            prop_assert!(combined.trim_end_matches('\n').bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(combined.matches('"').count(), 6);
            prop_assert_eq!(combined.lines().count(), 1);
            let json = line(AccessLogFormat::Json, &request, Some(&agent));
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            // The same text as in the other format.
            let mut text = Vec::new();
            escaped(&mut text, &agent, FIELD_MAX, b"\\x");
            prop_assert_eq!(value["userAgent"].as_str().unwrap().as_bytes(), &text[..]);
        }
    }
}
