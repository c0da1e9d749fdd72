//! Pipeline step 4: a request and a file's description to a head and a choice of bytes. No I/O: the same for a file in the
//! cache and one on the disk.
use super::{
    coding::Coding,
    conditional::{self, Validators, Verdict},
    date::DATE_BYTES,
    head::{self, Description, FixedLines, Persistence},
    page::{self, Page},
    parse::{Method, Request},
    range::{self, ByteRange, Selection},
    status::Status,
};

/// The bytes of the file that follow the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// None: the head (and a page) was all.
    None,
    /// One piece of the file, perhaps all of it.
    Piece(ByteRange),
    /// multipart/byteranges: before each piece its own head, after the last `tail`.
    Parts {
        /// Part head and piece, in order.
        parts: Vec<(Vec<u8>, ByteRange)>,
        /// The closing delimiter.
        tail: Vec<u8>,
    },
}

/// What every answer needs beside request and file.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Rendered lines.
    pub lines: &'a FixedLines,
    /// The current Date.
    pub date: &'a [u8; DATE_BYTES],
    /// What becomes of the connection.
    pub persistence: Persistence,
    /// The most pieces of a 206.
    pub ranges_max: usize,
}

/// Decides and writes the head to the end of `out`. Returns the status and which bytes of the file must follow.
pub fn write(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    file: &Description,
    context: &Context<'_>,
) -> (Status, Content) {
    // A date does not tell the representations of a file apart: what is continued by one might begin with another's bytes.
    let fresh = file.fresh || file.varies;
    let ours = Validators { etag: file.etag.as_bytes(), last_modified: file.modified, fresh };
    match conditional::evaluate(&request.conditions, &ours) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            head::start(out, Status::NotModified, context.date, context.lines);
            head::validators(out, file);
            head::finish(out, context.persistence);
            return (Status::NotModified, Content::None);
        }
        Verdict::Failed => return page(out, request, Status::PreconditionFailed, &[], context),
    }
    // RFC 9110 section 14.2: Range is defined for GET only.
    let selection = match request.range {
        Some(value)
            if request.method == Method::Get && conditional::range_applies(&request.conditions, &ours) =>
        {
            // Several ranges come as multipart/byteranges, of which Content-Encoding would say that it is packed as a whole: of packed
            // bytes there is one range or everything.
            let most =
                if file.coding == Coding::Identity { context.ranges_max } else { context.ranges_max.min(1) };
            range::select(value, file.size, most)
        }
        _ => Selection::Whole,
    };
    match selection {
        Selection::Whole => whole(out, request, file, context),
        Selection::One(piece) => {
            head::start(out, Status::PartialContent, context.date, context.lines);
            head::content(out, file);
            head::number_field(out, "Content-Length", piece.length());
            head::content_range(out, &piece, file.size);
            partial_end(out, file, context);
            (Status::PartialContent, Content::Piece(piece))
        }
        Selection::Many(pieces) => (Status::PartialContent, many(out, &pieces, file, context)),
        Selection::Unsatisfiable => {
            let size = format!("bytes */{}", file.size);
            page(out, request, Status::RangeNotSatisfiable, &[("Content-Range", size.as_bytes())], context)
        }
    }
}

fn whole(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    file: &Description,
    context: &Context<'_>,
) -> (Status, Content) {
    head::start(out, Status::Ok, context.date, context.lines);
    head::whole_fields(out, file);
    head::finish(out, context.persistence);
    if request.method == Method::Head || file.size == 0 {
        return (Status::Ok, Content::None);
    }
    (Status::Ok, Content::Piece(ByteRange { start: 0, end: file.size }))
}

fn many(out: &mut Vec<u8>, pieces: &[ByteRange], file: &Description, context: &Context<'_>) -> Content {
    let boundary = &context.lines.boundary;
    let mut parts = Vec::with_capacity(pieces.len());
    let mut length = 0u64;
    for (index, piece) in pieces.iter().enumerate() {
        let mut part = Vec::with_capacity(128 + boundary.len() + file.content_type.len());
        part.extend_from_slice(if index == 0 { b"--" } else { &b"\r\n--"[..] });
        part.extend_from_slice(boundary);
        part.extend_from_slice(b"\r\n");
        head::field(&mut part, "Content-Type", file.content_type.as_bytes());
        head::content_range(&mut part, piece, file.size);
        part.extend_from_slice(b"\r\n");
        length += part.len() as u64 + piece.length();
        parts.push((part, *piece));
    }
    let tail = [b"\r\n--", &boundary[..], b"--\r\n"].concat();
    length += tail.len() as u64;
    head::start(out, Status::PartialContent, context.date, context.lines);
    head::field(out, "Content-Type", &[b"multipart/byteranges; boundary=", &boundary[..]].concat());
    head::number_field(out, "Content-Length", length);
    partial_end(out, file, context);
    Content::Parts { parts, tail }
}

fn partial_end(out: &mut Vec<u8>, file: &Description, context: &Context<'_>) {
    head::validators(out, file);
    out.extend_from_slice(b"Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n");
    head::finish(out, context.persistence);
}

fn page(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    status: Status,
    fields: &[(&str, &[u8])],
    context: &Context<'_>,
) -> (Status, Content) {
    let head_only = request.method == Method::Head;
    let page = Page { status, fields, head_only, persistence: context.persistence };
    page::write(out, &page, context.date, context.lines);
    (status, Content::None)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
