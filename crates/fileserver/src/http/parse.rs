//! Pipeline step 2: bytes to a request, borrowed from the receive buffer; strict where leniency lets requests be smuggled.
//!
//! httparse finds the pieces; what RFC 9112 leaves to the server is checked here: bare LF (httparse accepts it), Host, the
//! framing headers, and the limits. Nothing is copied and nothing is allocated.
use super::{
    conditional::{Conditions, List},
    status::Status,
};
use crate::target::Target;
use std::mem::MaybeUninit;

/// The most header fields [`Limits::fields`] may ask for: their array lives on the stack.
pub const FIELDS_MAX: usize = 128;

/// What a request head may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, request line to empty line.
    pub bytes: usize,
    /// Header fields, at most [`FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
}

/// The methods that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// OPTIONS.
    Options,
    /// Another of RFC 9110, or PATCH: 405.
    Other,
    /// One that nobody here knows: 501.
    Unknown,
}

/// How much follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// Content-Length, more than zero.
    Length(u64),
    /// Chunked: an end that only a decoder finds.
    Chunked,
}

/// One request head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'b> {
    /// The method.
    pub method: Method,
    /// The request target as it came.
    pub target: &'b [u8],
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor_version: u8,
    /// The client lets the connection stay open.
    pub keep_alive: bool,
    /// What follows the head.
    pub body: Body,
    /// The client waits for 100 before it sends the body.
    pub expects_continue: bool,
    /// Preconditions and If-Range.
    pub conditions: Conditions<'b>,
    /// Accept-Encoding; of more than four fields the first four.
    pub accept_encoding: List<'b>,
    /// Range, when there is exactly one.
    pub range: Option<&'b [u8]>,
    /// Host; empty when HTTP/1.0 has none.
    pub host: &'b [u8],
    /// Origin, when there is exactly one.
    pub origin: Option<&'b [u8]>,
}

impl<'b> Request<'b> {
    /// The host that the request is for.
    #[inline]
    pub fn site(&self, target: &Target<'b>) -> &'b [u8] {
        target.authority.unwrap_or(self.host)
    }

    /// True for what the ready-made response answers as it is: a GET or HEAD of HTTP/1.1 on a connection that stays, with
    /// no condition, no range and no body.
    #[inline]
    pub fn is_plain(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head)
            && self.minor_version == 1
            && self.keep_alive
            && self.body == Body::None
            && self.range.is_none()
            && self.conditions.is_empty()
    }
}

/// What was found at the start of the buffer.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "one a request, in place: a box would be an allocation")]
pub enum Parsed<'b> {
    /// The head is not complete yet.
    Partial,
    /// A request and the bytes its head takes.
    Complete(Request<'b>, usize),
    /// Answer this and close.
    Refused(Status),
}

/// Reads one request head from the start of `buffer`.
#[inline]
pub fn parse<'b>(buffer: &'b [u8], limits: &Limits) -> Parsed<'b> {
    let mut fields = [const { MaybeUninit::<httparse::Header<'b>>::uninit() }; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let wanted = limits.fields.min(FIELDS_MAX);
    let length = match head.parse_with_uninit_headers(buffer, &mut fields[..wanted]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return partial(buffer, limits),
        Err(error) => return Parsed::Refused(refusal(error, buffer, limits)),
    };
    let (Some(method), Some(target), Some(minor_version)) = (head.method, head.path, head.version) else {
        return Parsed::Refused(Status::BadRequest);
    };
    if target.len() > limits.target {
        return Parsed::Refused(Status::UriTooLong);
    }
    if length > limits.bytes {
        return Parsed::Refused(Status::HeaderFieldsTooLarge);
    }
    if has_bare_line_feed(&buffer[..length]) {
        return Parsed::Refused(Status::BadRequest);
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "POST" | "PUT" | "PATCH" | "DELETE" | "CONNECT" | "TRACE" => Method::Other,
        _ => Method::Unknown,
    };
    let mut request = Request {
        method,
        target: target.as_bytes(),
        minor_version,
        keep_alive: minor_version == 1,
        body: Body::None,
        expects_continue: false,
        conditions: Conditions::default(),
        accept_encoding: List::default(),
        range: None,
        host: b"",
        origin: None,
    };
    match read_fields(head.headers, &mut request) {
        Ok(()) => Parsed::Complete(request, length),
        Err(status) => Parsed::Refused(status),
    }
}

/// True when the end of a head is in `buffer[from..]`, looking back as far as an end can reach. Lets a head that arrives
/// byte by byte be parsed when it is whole instead of at every byte.
pub fn may_be_complete(buffer: &[u8], from: usize) -> bool {
    let start = from.saturating_sub(3);
    let new = &buffer[start..];
    memchr::memchr_iter(b'\n', new).any(|at| matches!(new[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// Each field by its length first, so that the usual request costs one comparison a field.
#[inline]
fn read_fields<'b>(fields: &[httparse::Header<'b>], request: &mut Request<'b>) -> Result<(), Status> {
    let mut host = 0u32;
    let mut ranges = 0u32;
    let mut length: Option<u64> = None;
    let mut chunked = false;
    for field in fields {
        let name = field.name;
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                host += 1;
                if !is_host(field.value) {
                    return Err(Status::BadRequest);
                }
                request.host = field.value;
            }
            5 if name.eq_ignore_ascii_case("range") => {
                ranges += 1;
                request.range = Some(field.value);
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                if !field.value.trim_ascii().eq_ignore_ascii_case(b"100-continue") {
                    return Err(Status::ExpectationFailed);
                }
                request.expects_continue = true;
            }
            6 if name.eq_ignore_ascii_case("origin") => keep_one(&mut request.origin, field.value),
            8 if name.eq_ignore_ascii_case("if-match") => {
                join(&mut request.conditions.if_match, field.value)?
            }
            8 if name.eq_ignore_ascii_case("if-range") => {
                keep_one(&mut request.conditions.if_range, field.value)
            }
            10 if name.eq_ignore_ascii_case("connection") => read_connection(field.value, request),
            13 if name.eq_ignore_ascii_case("if-none-match") => {
                join(&mut request.conditions.if_none_match, field.value)?
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                // Also twice the same: RFC 9112 section 6.3 lets it be refused, and who is between may have read one of two.
                if length.is_some() {
                    return Err(Status::BadRequest);
                }
                length = Some(read_length(field.value).ok_or(Status::BadRequest)?);
            }
            15 if name.eq_ignore_ascii_case("accept-encoding") => {
                // What does not fit could only refuse codings, or name more of them: the request stands without it.
                let _fits = request.accept_encoding.push(field.value);
            }
            17 if name.eq_ignore_ascii_case("if-modified-since") => {
                keep_one(&mut request.conditions.if_modified_since, field.value);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if chunked || request.minor_version == 0 {
                    return Err(Status::BadRequest);
                }
                if !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err(Status::NotImplemented);
                }
                chunked = true;
            }
            19 if name.eq_ignore_ascii_case("if-unmodified-since") => {
                keep_one(&mut request.conditions.if_unmodified_since, field.value);
            }
            _ => {}
        }
    }
    // RFC 9112 section 3.2: exactly one Host in HTTP/1.1, at most one ever.
    if host > 1 || (host == 0 && request.minor_version == 1) {
        return Err(Status::BadRequest);
    }
    // RFC 9112 section 6.3: both framings at once is how requests are smuggled.
    if chunked && length.is_some() {
        return Err(Status::BadRequest);
    }
    if ranges > 1 {
        request.range = None; // Two Range fields are no Range (it is not a list field): the whole file.
    }
    request.body = match (chunked, length) {
        (true, _) => Body::Chunked,
        (false, None | Some(0)) => Body::None,
        (false, Some(length)) => Body::Length(length),
    };
    Ok(())
}

/// A list that comes in pieces.
fn join<'b>(list: &mut List<'b>, value: &'b [u8]) -> Result<(), Status> {
    if list.push(value) { Ok(()) } else { Err(Status::HeaderFieldsTooLarge) }
}

/// A condition that has one value: two are none, whatever they say, and an empty one is never true.
fn keep_one<'b>(slot: &mut Option<&'b [u8]>, value: &'b [u8]) {
    *slot = Some(if slot.is_none() { value } else { b"" });
}

fn read_connection(value: &[u8], request: &mut Request<'_>) {
    for option in value.split(|&byte| byte == b',') {
        let option = option.trim_ascii();
        if option.eq_ignore_ascii_case(b"close") {
            request.keep_alive = false;
            return;
        }
        if request.minor_version == 0 && option.eq_ignore_ascii_case(b"keep-alive") {
            request.keep_alive = true;
        }
    }
}

fn read_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// uri-host and port of RFC 3986, by their bytes: enough to refuse spaces, slashes, user names and lists.
pub(crate) fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]!$&'()*+;=%".contains(byte))
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r')
}

#[cold]
fn partial<'b>(buffer: &'b [u8], limits: &Limits) -> Parsed<'b> {
    match over_limit(buffer, limits) {
        Some(status) => Parsed::Refused(status),
        None => Parsed::Partial,
    }
}

/// The limit that an incomplete head has passed already.
pub fn over_limit(buffer: &[u8], limits: &Limits) -> Option<Status> {
    // The request line is method (short), target, version: when no end of line is there and even the allowed target
    // would have ended, it is the target that is too long.
    const AROUND_TARGET: usize = 32;
    let start = buffer.trim_ascii_start();
    if start.len() > limits.target + AROUND_TARGET && memchr::memchr(b'\n', start).is_none() {
        return Some(Status::UriTooLong);
    }
    (buffer.len() >= limits.bytes).then_some(Status::HeaderFieldsTooLarge)
}

#[cold]
fn refusal(error: httparse::Error, buffer: &[u8], limits: &Limits) -> Status {
    match error {
        httparse::Error::TooManyHeaders => Status::HeaderFieldsTooLarge,
        httparse::Error::Version => {
            let start = buffer.trim_ascii_start();
            let line = &start[..memchr::memchr(b'\n', start).unwrap_or(start.len())];
            if line.len() > limits.target + 32 {
                return Status::UriTooLong;
            }
            let words: Vec<&[u8]> = line.trim_ascii_end().splitn(4, |&byte| byte == b' ').collect();
            match words[..] {
                [_, _, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]]
                    if major.is_ascii_digit() && minor.is_ascii_digit() =>
                {
                    Status::VersionNotSupported
                }
                _ => Status::BadRequest,
            }
        }
        _ => Status::BadRequest,
    }
}

/// The values of a field in a head that was parsed; `name` is in small letters, with its colon.
pub fn values_of<'b>(head: &'b [u8], name: &'static [u8]) -> impl Iterator<Item = &'b [u8]> {
    head.split(|&byte| byte == b'\n').filter_map(move |line| {
        let (start, value) = line.split_at_checked(name.len())?;
        start.eq_ignore_ascii_case(name).then_some(value.trim_ascii())
    })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
