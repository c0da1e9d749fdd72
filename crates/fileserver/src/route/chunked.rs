//! Chunked request bodies, byte for byte as RFC 9112 section 7.1 has them: what other servers read leniently, requests are smuggled by.
use crate::http::head::is_token;
use memchr::memchr;

/// The longest line of a chunk's size with its extensions, and of a trailer field.
const LINE_MAX: usize = 256;
/// Bytes of all trailer fields, and of all extensions.
const ASIDE_MAX: usize = 8 << 10;

/// Where in a chunked body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    Bytes(u64),
    AfterBytes,
    Trailer,
    End,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct Decoder {
    place: Place,
    /// Bytes of lines that are thrown away.
    aside: usize,
}

/// The body is no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Decoder {
    pub(crate) fn new() -> Decoder {
        Decoder { place: Place::Size, aside: 0 }
    }

    /// The body has ended; what follows is the next request.
    pub(crate) fn is_done(&self) -> bool {
        self.place == Place::End
    }

    /// Reads from `bytes`, and puts at most `room` bytes of the body into `body`. Returns how many bytes were used: what is left over needs
    /// more bytes behind it, or more room.
    pub(crate) fn read(&mut self, bytes: &[u8], body: &mut Vec<u8>, room: usize) -> Result<usize, Malformed> {
        let mut used = 0;
        let full = body.len() + room;
        loop {
            let rest = &bytes[used..];
            match self.place {
                Place::End => return Ok(used),
                Place::Bytes(left) => {
                    let take =
                        rest.len().min(usize::try_from(left).unwrap_or(usize::MAX)).min(full - body.len());
                    body.extend_from_slice(&rest[..take]);
                    used += take;
                    let left = left - take as u64;
                    self.place = if left == 0 { Place::AfterBytes } else { Place::Bytes(left) };
                    if left > 0 {
                        return Ok(used);
                    }
                }
                Place::AfterBytes => {
                    match rest {
                        [b'\r', b'\n', ..] => used += 2,
                        [] | [b'\r'] => return Ok(used),
                        _ => return Err(Malformed),
                    }
                    self.place = Place::Size;
                }
                Place::Size | Place::Trailer => {
                    let Some(line) = line(rest)? else { return Ok(used) };
                    used += line.len() + 2;
                    if self.place == Place::Trailer {
                        self.aside(line.len() + 2)?;
                        if line.is_empty() {
                            self.place = Place::End;
                        } else if !is_field(line) {
                            return Err(Malformed);
                        }
                        continue;
                    }
                    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                    let size = size(&line[..digits])?;
                    self.aside(line.len() - digits)?;
                    if !is_extension(&line[digits..]) {
                        return Err(Malformed);
                    }
                    self.place = if size == 0 { Place::Trailer } else { Place::Bytes(size) };
                }
            }
        }
    }

    fn aside(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.aside += bytes;
        if self.aside > ASIDE_MAX { Err(Malformed) } else { Ok(()) }
    }
}

/// A whole line without its end; `None` while it is not whole.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let within = &bytes[..bytes.len().min(LINE_MAX + 2)];
    match memchr(b'\n', within) {
        Some(end) => {
            let line = bytes[..end].strip_suffix(b"\r").ok_or(Malformed)?;
            if line.contains(&b'\r') { Err(Malformed) } else { Ok(Some(line)) }
        }
        None if within.len() > LINE_MAX + 1 => Err(Malformed),
        None => Ok(None),
    }
}

fn size(digits: &[u8]) -> Result<u64, Malformed> {
    if digits.is_empty() || digits.len() > 15 {
        return Err(Malformed); // More digits than 15 could only be zeros, or more than any limit.
    }
    let text = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    u64::from_str_radix(text, 16).map_err(|_| Malformed)
}

/// Nothing, or `;` and visible text.
fn is_extension(text: &[u8]) -> bool {
    let trimmed = text.trim_ascii_start();
    text.is_empty()
        || (trimmed.first() == Some(&b';')
            && trimmed.iter().all(|&byte| byte == b'\t' || (b' '..=b'~').contains(&byte)))
}

fn is_field(line: &[u8]) -> bool {
    let Some(colon) = memchr(b':', line) else { return false };
    colon > 0 && line[..colon].iter().copied().all(is_token) && !line[colon..].contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a body that arrives in pieces, with little room. Returns it, and what follows it.
    fn read(bytes: &[u8], piece: usize, room: usize) -> Result<(Vec<u8>, Vec<u8>, bool), Malformed> {
        let (mut decoder, mut body, mut input) = (Decoder::new(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            input.extend_from_slice(piece);
            loop {
                let before = (input.len(), body.len());
                let used = decoder.read(&input, &mut body, room)?;
                input.drain(..used);
                if (input.len(), body.len()) == before {
                    break;
                }
            }
        }
        Ok((body, input, decoder.is_done()))
    }

    #[test]
    fn bodies_are_read_however_they_arrive() {
        let text = b"5\r\nhello\r\n6;a=\"b c\" ; d\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET / ";
        for piece in 1..text.len() {
            for room in [1, 3, 100] {
                let (body, rest, done) = read(text, piece, room).unwrap();
                assert_eq!(
                    (&body[..], &rest[..], done),
                    (&b"hello world"[..], &b"GET / "[..], true),
                    "{piece} {room}"
                );
            }
        }
    }

    #[test]
    fn what_smuggles_is_refused() {
        for bad in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"\r\n",
            b" 5\r\n",
            b"+5\r\n",
            b"-1\r\n",
            b"0x5\r\n",
            b"5 \r\nhello",
            b"5;a\rb\r\n",
            b"5;\0\r\n",
            b"fffffffffffffffff\r\n",
            b"0\r\nno field\r\n\r\n",
            b"0\r\n: a\r\n\r\n",
            b"0\r\nx: a\n\r\n",
        ] {
            assert!(read(bad, bad.len(), 100).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let long = [b"5;".to_vec(), vec![b'a'; 300]].concat();
        assert!(read(&long, 7, 100).is_err());
        let trailers = [b"0\r\n".to_vec(), b"X-A: 0123456789\r\n".repeat(600)].concat();
        assert!(read(&trailers, 1000, 100).is_err());
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), Just(b';'), any::<u8>()], 0..64), piece in 1usize..9) {
            prop_assert_eq!(read(&bytes, piece, 5).ok(), read(&bytes, 64, 100).ok());
        }
    }
}
