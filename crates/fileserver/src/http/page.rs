//! The pages for what is not a file: errors, redirects, and the answer to OPTIONS.
use super::{
    date::DATE_BYTES,
    head::{self, Description, FixedLines, Persistence},
    status::Status,
};

/// What this server answers to: sent with 405 and OPTIONS.
pub const ALLOW: &str = "GET, HEAD, OPTIONS";

/// One page to write.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its status.
    pub status: Status,
    /// Fields beside the usual ones.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// HEAD: everything but the body.
    pub head_only: bool,
    /// What becomes of the connection.
    pub persistence: Persistence,
}

/// Writes the page, head and body, to the end of `out`.
pub fn write(out: &mut Vec<u8>, page: &Page<'_>, date: &[u8; DATE_BYTES], lines: &FixedLines) {
    let (code, reason) = (page.status.code(), page.status.reason());
    head::start(out, page.status, date, lines);
    for (name, value) in page.fields {
        head::field(out, name, value);
    }
    out.extend_from_slice(&lines.pages);
    if page.status == Status::NoContent {
        head::finish(out, page.persistence);
        return;
    }
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{code} {reason}</title>\n\
         <h1>{code} {reason}</h1>\n</html>\n"
    );
    head::field(out, "Content-Type", b"text/html; charset=utf-8");
    head::number_field(out, "Content-Length", body.len() as u64);
    head::field(out, "X-Content-Type-Options", b"nosniff");
    head::finish(out, page.persistence);
    if !page.head_only {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Writes the head of a page whose body is a file. No validator goes with it: a condition or a range is about the file that was asked for,
/// which is not this one.
pub fn write_head(
    out: &mut Vec<u8>,
    page: &Page<'_>,
    file: &Description,
    cache_control: &[u8],
    date: &[u8; DATE_BYTES],
    lines: &FixedLines,
) {
    head::start(out, page.status, date, lines);
    for (name, value) in page.fields {
        head::field(out, name, value);
    }
    head::content(out, file);
    head::number_field(out, "Content-Length", file.size);
    if file.varies {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    out.extend_from_slice(cache_control);
    out.extend_from_slice(&file.lines);
    head::field(out, "X-Content-Type-Options", b"nosniff");
    head::finish(out, page.persistence);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date;

    #[test]
    fn every_page_has_a_true_content_length_and_head_has_no_body() {
        for status in Status::ALL {
            let mut page = Page {
                status,
                fields: &[("Allow", ALLOW.as_bytes())],
                head_only: false,
                persistence: Persistence::Close,
            };
            let (mut get, mut only_head) = (Vec::new(), Vec::new());
            write(&mut get, &page, &date::format(0), &FixedLines::default());
            page.head_only = true;
            write(&mut only_head, &page, &date::format(0), &FixedLines::default());
            let text = String::from_utf8(get).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(only_head, format!("{head}\r\n\r\n").into_bytes());
            assert!(head.starts_with(&format!("HTTP/1.1 {} {}\r\n", status.code(), status.reason())));
            assert!(head.contains("\r\nAllow: GET, HEAD, OPTIONS") && head.contains("\r\nConnection: close"));
            if status == Status::NoContent {
                assert!(body.is_empty() && !head.contains("Content-Length"));
            } else {
                assert!(
                    head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())) && !body.is_empty()
                );
            }
        }
    }
}
