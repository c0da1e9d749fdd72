//! Pipeline step 5 for routes: the head of a handler's answer, and the framing of its body.
use super::{exchange::Answer, look::Routed};
use crate::{
    core::Core,
    http::{
        head::{self, Persistence, is_token},
        status::{self, Status},
    },
    options::Dotfiles,
    target,
};

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body, whatever the handler says.
    None,
    /// By its length; so many bytes are still to come.
    Length(u64),
    /// By its last chunk.
    Chunked,
    /// By the end of the connection, as HTTP/1.0 has it.
    Close,
}

/// What a handler may not say: it is the connection's.
const RESERVED: [&[u8]; 6] =
    [b"connection", b"content-length", b"date", b"keep-alive", b"transfer-encoding", b"upgrade"];

/// The handler's answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Impossible;

impl Framing {
    /// The framing of the body of an answer to a request.
    pub(crate) fn of(routed: &Routed, answer: &Answer) -> Framing {
        if routed.head_only || answer.status == 204 || answer.status == 304 {
            return Framing::None;
        }
        match answer.length {
            Some(length) => Framing::Length(length),
            None if routed.minor_version == 0 => Framing::Close,
            None => Framing::Chunked,
        }
    }

    /// Adds bytes of the body to `out`. False: there are more than were promised, of which none go out.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, bytes: &[u8]) -> bool {
        match self {
            Framing::None => {}
            Framing::Close => out.extend_from_slice(bytes),
            Framing::Length(left) => match left.checked_sub(bytes.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    out.extend_from_slice(bytes);
                }
                None => return false,
            },
            Framing::Chunked if bytes.is_empty() => {} // Would be the last chunk.
            Framing::Chunked => {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
        }
        true
    }

    /// Ends the body. False: less came than was promised.
    pub(crate) fn finish(self, out: &mut Vec<u8>) -> bool {
        match self {
            Framing::Length(left) => left == 0,
            Framing::Chunked => {
                out.extend_from_slice(b"0\r\n\r\n");
                true
            }
            Framing::None | Framing::Close => true,
        }
    }
}

/// Writes the head of an answer.
///
/// # Errors
/// When it has a status or a field that no answer has; nothing was written then.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    core: &Core,
    routed: &Routed,
    answer: &Answer,
    framing: Framing,
    persistence: Persistence,
) -> Result<(), Impossible> {
    let before = out.len();
    let written = try_write(out, core, routed, answer, framing, persistence);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

fn try_write(
    out: &mut Vec<u8>,
    core: &Core,
    routed: &Routed,
    answer: &Answer,
    framing: Framing,
    persistence: Persistence,
) -> Result<(), Impossible> {
    if !(200..=599).contains(&answer.status) {
        return Err(Impossible);
    }
    let site = core.sites.at(routed.site);
    out.extend_from_slice(b"HTTP/1.1 ");
    head::number(out, u64::from(answer.status));
    out.push(b' ');
    out.extend_from_slice(
        Status::of(answer.status).map_or(status::other_reason(answer.status), Status::reason).as_bytes(),
    );
    out.extend_from_slice(b"\r\nDate: ");
    {
        let mut shelf = core.shelf.borrow_mut();
        shelf.clock.advance(ringwheel_executor::time::now());
        out.extend_from_slice(shelf.clock.text());
    }
    out.extend_from_slice(b"\r\n");
    write_fixed(out, &site.lines_for(routed.origin.as_deref()).server, &answer.fields);
    let mut sniffed = false;
    for (name, value) in pairs(&answer.fields) {
        let visible = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if !name.iter().copied().all(is_token) || !value.iter().all(visible) {
            return Err(Impossible);
        }
        if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            continue;
        }
        sniffed |= name.eq_ignore_ascii_case(b"x-content-type-options");
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if site.has_rules() {
        let path = path_of(&routed.visit.exchange.head);
        for (name, value) in site.fields_of(&path) {
            if gives(&answer.fields, name.as_bytes()) {
                continue;
            }
            sniffed |= name.eq_ignore_ascii_case("x-content-type-options");
            head::field(out, name, value.as_bytes());
        }
    }
    if !sniffed {
        out.extend_from_slice(b"X-Content-Type-Options: nosniff\r\n");
    }
    match (framing, answer.length) {
        (Framing::Length(length), _) => head::number_field(out, "Content-Length", length),
        (Framing::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // What a GET would have had: the answer to a HEAD may say so, one without a body may not.
        (Framing::None, Some(length)) if routed.head_only && !matches!(answer.status, 204 | 304) => {
            head::number_field(out, "Content-Length", length);
        }
        (Framing::None | Framing::Close, _) => {}
    }
    head::finish(out, persistence);
    Ok(())
}

/// Names and values of a handler's fields.
fn pairs(fields: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut parts = fields.split(|&byte| byte == 0);
    std::iter::from_fn(move || {
        let name = parts.next().filter(|name| !name.is_empty())?;
        Some((name, parts.next().unwrap_or_default()))
    })
}

fn gives(fields: &[u8], name: &[u8]) -> bool {
    pairs(fields).any(|(given, _)| given.eq_ignore_ascii_case(name))
}

/// Writes what every answer of the site says, but for what the handler says itself: of CORS, which origin may read, and then it speaks for
/// the rest of it too, for what goes with one origin may be wrong for another. `Vary` is a list that both may add to.
fn write_fixed(out: &mut Vec<u8>, lines: &[u8], fields: &[u8]) {
    const CORS: &[u8] = b"access-control-";
    let is_cors = |name: &[u8]| name.get(..CORS.len()).is_some_and(|start| start.eq_ignore_ascii_case(CORS));
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let name = &line[..memchr::memchr(b':', line).unwrap_or(0)];
        let is_said = !name.eq_ignore_ascii_case(b"vary")
            && (gives(fields, name) || (is_cors(name) && gives(fields, b"access-control-allow-origin")));
        if !is_said {
            out.extend_from_slice(line);
        }
    }
}

/// The path that patterns are about: decoded, without its first slash.
fn path_of(head: &[u8]) -> Vec<u8> {
    let target = head.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
    let mut path = Vec::new();
    if let Some(target) = target::split(target) {
        // What has a route is well formed; an encoded slash is one here, where it can only match more.
        let _known = target::decode(target.path, Dotfiles::Allow, &mut path);
    }
    if !path.is_empty() {
        path.remove(0);
    }
    path
}
