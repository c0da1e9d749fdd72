//! One answer as it comes: its head is checked, its body is counted.
use crate::plan::Request;
use std::io::{self, ErrorKind};

/// An answer of which some is still to come.
#[derive(Default)]
pub struct Answer {
    /// Bytes of the head so far, until the empty line was seen.
    head: Vec<u8>,
    /// Bytes of the body that are still to come, once the head was read.
    body_left: Option<usize>,
}

const HEAD_MAX: usize = 65_536;

impl Answer {
    /// Digests bytes; true when the answer is whole. More than one answer cannot come: only one is asked for at a time.
    pub fn take(&mut self, mut bytes: &[u8], request: &Request) -> io::Result<bool> {
        let left = match self.body_left {
            Some(left) => left,
            None => {
                let before = self.head.len();
                self.head.extend_from_slice(bytes);
                // The empty line may have begun in what came before.
                let from = before.saturating_sub(3);
                let Some(end) = self.head[from..].windows(4).position(|four| four == b"\r\n\r\n") else {
                    let endless = self.head.len() > HEAD_MAX;
                    return if endless { Err(invalid("the head has no end")) } else { Ok(false) };
                };
                let end = from + end + 4;
                bytes = &bytes[end - before..];
                check(&self.head[..end], request)?
            }
        };
        let left =
            left.checked_sub(bytes.len()).ok_or_else(|| invalid("more bytes than Content-Length says"))?;
        self.body_left = Some(left);
        Ok(left == 0)
    }

    /// Begins anew, in the same memory.
    pub fn clear(&mut self) {
        self.head.clear();
        self.body_left = None;
    }
}

/// The length of the body, if the head is what was expected.
fn check(head: &[u8], request: &Request) -> io::Result<usize> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = lines.next().unwrap_or_default();
    let code = status.strip_prefix(b"HTTP/1.1 ").and_then(|rest| number(rest.get(..3)?));
    if code != Some(usize::from(request.status)) {
        return Err(invalid(&format!("{} instead of {}", String::from_utf8_lossy(status), request.status)));
    }
    if request.status == 304 {
        return Ok(0);
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_at_checked("content-length:".len())?;
        if name.eq_ignore_ascii_case(b"content-length:") { number(value.trim_ascii()) } else { None }
    });
    match (length, request.length) {
        (None, _) => Err(invalid("no Content-Length")),
        (Some(said), Some(expected)) if said != expected => {
            Err(invalid(&format!("Content-Length {said} instead of {expected}")))
        }
        (Some(said), _) => Ok(said),
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 5\r\n\r\nhello";

    fn request(status: u16, length: Option<usize>) -> Request {
        Request { head: String::new(), status, length }
    }

    #[test]
    fn an_answer_may_come_in_any_pieces() {
        for cut in 1..HEAD.len() {
            let mut answer = Answer::default();
            assert!(!answer.take(&HEAD[..cut], &request(200, Some(5))).unwrap());
            assert!(answer.take(&HEAD[cut..], &request(200, None)).unwrap());
        }
    }

    #[test]
    fn another_status_another_length_or_more_bytes_are_errors() {
        let take =
            |bytes: &[u8], wanted: Request| Answer::default().take(bytes, &wanted).unwrap_err().to_string();
        assert_eq!(take(HEAD, request(206, None)), "HTTP/1.1 200 OK instead of 206");
        assert_eq!(take(HEAD, request(200, Some(6))), "Content-Length 5 instead of 6");
        assert_eq!(take(b"HTTP/1.1 200 OK\r\n\r\n", request(200, None)), "no Content-Length");
        let more = [HEAD, b"!"].concat();
        assert_eq!(take(&more, request(200, None)), "more bytes than Content-Length says");
    }

    #[test]
    fn a_304_has_no_body_whatever_its_length_says() {
        let head = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
        assert!(Answer::default().take(head, &request(304, None)).unwrap());
    }
}
