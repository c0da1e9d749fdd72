//! A connection's answers that are not wholly sent: what their lines will say.
//!
//! Positions are bytes of the connection's stream as HTTP has it, before TLS; they tell how much of an answer the kernel took, also when it was cut.
use super::{AccessLog, Facts};
use crate::http::date::{DATE_BYTES, DateClock};
use std::{
    collections::VecDeque,
    net::IpAddr,
    ops::Range,
    time::{Duration, Instant},
};

/// The answers of one connection.
#[derive(Debug)]
pub(crate) struct Pending {
    client: Box<str>,
    answers: VecDeque<Answer>,
    /// What their requests said, one behind the other.
    said: Vec<u8>,
    /// Whose password was right in the request at hand.
    user: Option<Box<[u8]>>,
    /// When the last bytes were received.
    pub(crate) received: Instant,
}

#[derive(Debug)]
struct Answer {
    /// Where it is not the connection's.
    client: Option<IpAddr>,
    request: Range<usize>,
    user: Option<Range<usize>>,
    host: Option<Range<usize>>,
    referer: Option<Range<usize>>,
    agent: Option<Range<usize>>,
    status: u16,
    body: Range<u64>,
    date: [u8; DATE_BYTES],
    millisecond: u16,
    received: Instant,
}

/// As logs show it.
fn shown(client: Option<IpAddr>) -> Box<str> {
    client.map_or_else(|| "-".into(), |address| address.to_canonical().to_string().into())
}

impl Pending {
    pub(crate) fn new(client: Option<IpAddr>) -> Pending {
        Pending {
            client: shown(client),
            answers: VecDeque::new(),
            said: Vec::new(),
            user: None,
            received: Instant::now(),
        }
    }

    /// Notes whose password was right in the request at hand.
    pub(crate) fn user(&mut self, name: &[u8]) {
        self.user = Some(name.into());
    }

    /// Notes an answer: what its request said, as far as it came, and the answer as it is to be sent from `at` on: its head, and perhaps its
    /// body; `more` bytes of the body follow. `client`: for whom a proxy has passed it on.
    pub(crate) fn note(
        &mut self,
        (client, request): (Option<IpAddr>, &[u8]),
        answer: &[u8],
        at: u64,
        more: u64,
        clock: &DateClock,
    ) {
        let (status, head) = status_and_head(answer);
        let lines = Lines::of(request);
        let user = self.user.take();
        let mut keep = |bytes: &[u8]| {
            let start = self.said.len();
            self.said.extend_from_slice(bytes);
            start..self.said.len()
        };
        let answer = Answer {
            client,
            request: keep(lines.request),
            user: user.as_deref().map(&mut keep),
            host: lines.host.map(&mut keep),
            referer: lines.referer.map(&mut keep),
            agent: lines.agent.map(&mut keep),
            status,
            body: at + head as u64..at + answer.len() as u64 + more,
            date: *clock.text(),
            millisecond: clock.millisecond(ringwheel_executor::time::now()),
            received: self.received,
        };
        self.answers.push_back(answer);
    }

    /// Writes the lines of the answers that the kernel has whole, by the position it has got to; of all, when it gets no further.
    pub(crate) fn settle(&mut self, log: &AccessLog, core: usize, position: u64, is_over: bool) {
        if self.answers.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(answer) = self.answers.pop_front_if(|answer| is_over || answer.body.end <= position) {
            let of = |range: &Range<usize>| &self.said[range.clone()];
            let sent = position.clamp(answer.body.start, answer.body.end) - answer.body.start;
            let passed_on = answer.client.map(|client| shown(Some(client)));
            let facts = Facts {
                client: passed_on.as_ref().unwrap_or(&self.client),
                date: &answer.date,
                millisecond: answer.millisecond,
                request: of(&answer.request),
                user: answer.user.as_ref().map(of),
                host: answer.host.as_ref().map(of),
                status: answer.status,
                bytes: sent,
                referer: answer.referer.as_ref().map(of),
                agent: answer.agent.as_ref().map(of),
                microseconds: microseconds(now.saturating_duration_since(answer.received)),
            };
            log.append(core, &facts);
        }
        if self.answers.is_empty() {
            self.said.clear();
        }
    }
}

/// Writes the line of a connection that was refused before anything was read; `sent` is how much of the answer the kernel took.
pub(crate) fn refused(
    log: &AccessLog,
    core: usize,
    client: Option<IpAddr>,
    answer: &[u8],
    sent: u64,
    clock: &DateClock,
) {
    let (status, head) = status_and_head(answer);
    let facts = Facts {
        client: &shown(client),
        date: clock.text(),
        millisecond: clock.millisecond(ringwheel_executor::time::now()),
        request: b"",
        user: None,
        host: None,
        status,
        bytes: sent.saturating_sub(head as u64),
        referer: None,
        agent: None,
        microseconds: 0,
    };
    log.append(core, &facts);
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The status of an answer, and the bytes of its head.
fn status_and_head(answer: &[u8]) -> (u16, usize) {
    let digits = answer.get(9..12).unwrap_or_default();
    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
    let end = memchr::memmem::find(answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    (status, end)
}

/// What a log says of a request's head.
#[derive(Debug, Default)]
struct Lines<'b> {
    request: &'b [u8],
    host: Option<&'b [u8]>,
    referer: Option<&'b [u8]>,
    agent: Option<&'b [u8]>,
}

impl<'b> Lines<'b> {
    fn of(head: &'b [u8]) -> Lines<'b> {
        let mut lines = Lines::default();
        // Empty lines may come before a request (RFC 9112 section 2.2).
        let mut rest = head.trim_ascii_start();
        let mut first = true;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            rest = end.map_or(&[], |end| &rest[end + 1..]);
            if std::mem::take(&mut first) {
                lines.request = line.strip_suffix(b"\r").unwrap_or(line);
                continue;
            }
            let (slot, length) = match line.first().map(u8::to_ascii_lowercase) {
                Some(b'h') if begins(line, b"host:") => (&mut lines.host, 5),
                Some(b'r') if begins(line, b"referer:") => (&mut lines.referer, 8),
                Some(b'u') if begins(line, b"user-agent:") => (&mut lines.agent, 11),
                _ => continue,
            };
            slot.get_or_insert(line[length..].trim_ascii());
        }
        lines
    }
}

fn begins(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_head_are_found_whatever_their_case_and_the_first_counts() {
        let lines = Lines::of(
            b"\r\nGET / HTTP/1.1\r\nHOST:  a \r\nX: 1\r\nuser-Agent: u\r\nReferer: r\r\nReferer: s\r\n\r\n",
        );
        assert_eq!(lines.request, b"GET / HTTP/1.1");
        assert_eq!(
            (lines.host, lines.agent, lines.referer),
            (Some(&b"a"[..]), Some(&b"u"[..]), Some(&b"r"[..]))
        );
        assert_eq!(Lines::of(b"\x16\x03").request, b"\x16\x03");
        assert_eq!(Lines::of(b"").request, b"");
    }

    #[test]
    fn status_and_head_are_read_from_the_answer() {
        assert_eq!(status_and_head(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nbody"), (404, 32));
        assert_eq!(status_and_head(b"HTTP/1.1 304 Not Modified\r\n\r\n"), (304, 29));
    }
}
