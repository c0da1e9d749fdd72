//! Pipeline step 5: response heads as bytes.
//!
//! A head is written into a vector the connection keeps, so writing one costs no allocation in steady state. The Date comes
//! right after the status line: where it stands in a ready-made response is known, and it is patched there once a second.
use super::{coding::Coding, date::DATE_BYTES, range::ByteRange, status::Status};

/// Lines that are the same in every response of a server, rendered once at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FixedLines {
    /// `Server: …` with its line end, or nothing.
    pub server: Vec<u8>,
    /// What answers that are no file's say beside it: lines with their ends.
    pub pages: Vec<u8>,
    /// The separator of multipart/byteranges, without dashes; random per start, so that no file holds it on purpose.
    pub boundary: Vec<u8>,
}

/// What the response says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays, as HTTP/1.1 does by default: no field.
    Implied,
    /// It stays, and an HTTP/1.0 client is told so.
    KeepAlive,
    /// It ends after this response.
    Close,
}

impl Persistence {
    /// Of an answer to a request of this minor version.
    pub fn of(keep: bool, minor_version: u8) -> Persistence {
        match (keep, minor_version) {
            (false, _) => Persistence::Close,
            (true, 0) => Persistence::KeepAlive,
            (true, _) => Persistence::Implied,
        }
    }
}

/// True for a byte of a token, such as the name of a field (RFC 9110 section 5.6.2).
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What a head says about the file behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Bytes of the whole representation.
    pub size: u64,
    /// With quotes and perhaps `W/`; empty when tags are off.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
    /// `modified` as an HTTP date; `None` for a state that must not be recognized again.
    pub modified_text: Option<[u8; DATE_BYTES]>,
    /// The file may have changed within the clock's step.
    pub fresh: bool,
    /// Content-Type: of what the bytes are once they are unpacked.
    pub content_type: String,
    /// How they are packed.
    pub coding: Coding,
    /// The file has other representations, or may have: `Vary: Accept-Encoding` goes with 200, 206 and 304.
    pub varies: bool,
    /// The line of Cache-Control with its end, or nothing. Sent with 200, 206 and 304, like `lines`.
    pub cache_control: Vec<u8>,
    /// More field lines with their ends.
    pub lines: Vec<u8>,
    /// The part of its site that the file's own name is in, which asks for a password.
    pub part: Option<usize>,
}

impl FixedLines {
    /// The lines of a server of this name, with a boundary of its own.
    pub fn of(server: Option<&str>) -> FixedLines {
        let server = server.map_or_else(Vec::new, |name| format!("Server: {name}\r\n").into_bytes());
        FixedLines { server, pages: Vec::new(), boundary: boundary() }
    }
}

/// 128 random bits in hex: std's hasher keys are random per process, which is all a separator needs.
fn boundary() -> Vec<u8> {
    use std::hash::{BuildHasher, RandomState};
    let state = RandomState::new();
    format!("ringwheel-{:016x}{:016x}", state.hash_one(1u8), state.hash_one(2u8)).into_bytes()
}

impl Description {
    /// Describes `size` bytes of a file that changed while they were read: perhaps a mixture that never was. No validator
    /// may vouch for it, no condition be true of it, and nobody keep it.
    pub fn waive(&mut self, size: u64) {
        *self = Description {
            size,
            etag: String::new(),
            modified: i64::MAX,
            modified_text: None,
            fresh: true,
            content_type: std::mem::take(&mut self.content_type),
            coding: self.coding,
            varies: self.varies,
            cache_control: b"Cache-Control: no-store\r\n".to_vec(),
            lines: std::mem::take(&mut self.lines),
            part: self.part,
        };
    }
}

/// Writes the status line, Date and Server. Returns where the date's bytes start.
pub fn start(out: &mut Vec<u8>, status: Status, date: &[u8; DATE_BYTES], lines: &FixedLines) -> usize {
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, u64::from(status.code()));
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    let date_at = out.len();
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&lines.server);
    date_at
}

/// Writes one field. The caller vouches that neither part holds a line end.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!value.contains(&b'\r') && !value.contains(&b'\n'));
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field whose value is a number.
pub fn number_field(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    number(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Writes ETag, Last-Modified, Vary, Cache-Control and the lines of rules: what 200, 206 and 304 share.
pub fn validators(out: &mut Vec<u8>, file: &Description) {
    if !file.etag.is_empty() {
        field(out, "ETag", file.etag.as_bytes());
    }
    if let Some(modified) = &file.modified_text {
        field(out, "Last-Modified", modified);
    }
    if file.varies {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    out.extend_from_slice(&file.cache_control);
    out.extend_from_slice(&file.lines);
}

/// Writes what the bytes are: Content-Type and, where they are packed, Content-Encoding.
pub fn content(out: &mut Vec<u8>, file: &Description) {
    field(out, "Content-Type", file.content_type.as_bytes());
    if file.coding != Coding::Identity {
        field(out, "Content-Encoding", file.coding.token().as_bytes());
    }
}

/// Writes Connection where one is needed, and the empty line.
pub fn finish(out: &mut Vec<u8>, persistence: Persistence) {
    out.extend_from_slice(match persistence {
        Persistence::Implied => b"\r\n",
        Persistence::KeepAlive => b"Connection: keep-alive\r\n\r\n",
        Persistence::Close => &b"Connection: close\r\n\r\n"[..],
    });
}

/// Writes `Content-Range: bytes first-last/size`.
pub fn content_range(out: &mut Vec<u8>, range: &ByteRange, size: u64) {
    out.extend_from_slice(b"Content-Range: bytes ");
    number(out, range.start);
    out.push(b'-');
    number(out, range.end - 1);
    out.push(b'/');
    number(out, size);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The head of the ready-made 200 response of a connection that stays. Returns where the date's bytes start.
pub fn ready(out: &mut Vec<u8>, file: &Description, date: &[u8; DATE_BYTES], lines: &FixedLines) -> usize {
    let date_at = start(out, Status::Ok, date, lines);
    whole_fields(out, file);
    finish(out, Persistence::Implied);
    date_at
}

/// The fields of a 200 after its start.
pub fn whole_fields(out: &mut Vec<u8>, file: &Description) {
    content(out, file);
    number_field(out, "Content-Length", file.size);
    validators(out, file);
    out.extend_from_slice(b"Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date;

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 1234567890, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }

    #[test]
    fn the_ready_head_is_complete_and_its_date_is_where_it_says() {
        let file = Description {
            size: 5,
            etag: "\"5-1\"".to_owned(),
            modified: 784_111_777,
            modified_text: Some(date::format(784_111_777)),
            fresh: false,
            content_type: "text/plain; charset=utf-8".to_owned(),
            coding: Coding::Gzip,
            varies: true,
            cache_control: b"Cache-Control: max-age=60\r\n".to_vec(),
            lines: b"X-A: 1\r\n".to_vec(),
            part: None,
        };
        let lines = FixedLines { server: b"Server: ringwheel\r\n".to_vec(), ..FixedLines::default() };
        let mut out = Vec::new();
        let date_at = ready(&mut out, &file, &date::format(0), &lines);
        assert_eq!(out[date_at..date_at + DATE_BYTES], date::format(0));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: ringwheel\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\nETag: \"5-1\"\r\n\
             Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nVary: Accept-Encoding\r\nCache-Control: max-age=60\r\nX-A: 1\r\n\
             Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n\r\n"
        );
    }
}
