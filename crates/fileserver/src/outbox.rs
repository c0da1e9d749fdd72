//! What a connection is about to send: one shared response, or several responses run together into one send.
use ringwheel_executor::{Source, net::Stream};
use std::{io, ops::Range, rc::Rc};

/// More than this is not run together: the copy would cost more than the send it saves, and a client that does not read
/// would make us hold more.
pub(crate) const TOGETHER_MAX: usize = 64 << 10;

/// Bytes waiting for one send.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    shared: Option<(Rc<[u8]>, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Outbox {
    /// Bytes waiting.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.shared.as_ref().map_or(0, |(_, range)| range.len()) + self.bytes.len()
    }

    /// Adds a range of shared bytes. The first is not copied; a second one copies both.
    #[inline]
    pub(crate) fn push(&mut self, shared: &Rc<[u8]>, range: Range<usize>) {
        if self.shared.is_none() && self.bytes.is_empty() {
            self.shared = Some((Rc::clone(shared), range));
        } else {
            self.buffer().extend_from_slice(&shared[range]);
        }
    }

    /// Everything waiting as one vector, to write to its end.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if let Some((shared, range)) = self.shared.take() {
            debug_assert!(self.bytes.is_empty());
            self.bytes.extend_from_slice(&shared[range]);
        }
        &mut self.bytes
    }

    /// Sends what is waiting, if anything. `more` says that a body follows at once.
    pub(crate) async fn flush(&mut self, stream: &Stream, more: bool) -> io::Result<()> {
        if let Some((shared, range)) = self.shared.take() {
            return stream.send(Source::Shared(shared, range), more).await.0.map(drop);
        }
        if self.bytes.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.bytes);
        let length = bytes.len();
        let (result, source) = stream.send(Source::Vec(bytes, 0..length), more).await;
        if let Source::Vec(mut bytes, _) = source {
            bytes.clear();
            self.bytes = bytes; // The same memory for the next response.
        }
        result.map(drop)
    }

    /// What is waiting, to be sent in another shape.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.shared {
            Some((shared, range)) => &shared[range.clone()],
            None => &self.bytes,
        }
    }

    /// Throws away what is waiting, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.shared = None;
        self.bytes.clear();
    }

    /// Sends at once as much of what is waiting as the socket takes; a file's bytes follow. True: all of it went.
    pub(crate) fn flush_now(&mut self, stream: &Stream) -> io::Result<bool> {
        if let Some((shared, range)) = &mut self.shared {
            range.start += stream.send_now(&shared[range.clone()], true)?;
            if range.start >= range.end {
                self.shared = None;
            }
        } else if !self.bytes.is_empty() {
            let sent = stream.send_now(&self.bytes, true)?;
            self.bytes.drain(..sent);
        }
        Ok(self.len() == 0)
    }

    /// Gives the vector away while nothing waits, so that an idle connection holds none.
    pub(crate) fn release(&mut self) -> Option<Vec<u8>> {
        if self.len() > 0 || self.bytes.capacity() == 0 {
            return None;
        }
        Some(std::mem::take(&mut self.bytes))
    }

    /// True while it has no vector to write into.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.bytes.capacity() == 0
    }

    /// Takes a vector to write into, if it has none.
    pub(crate) fn adopt(&mut self, bytes: Vec<u8>) {
        debug_assert!(bytes.is_empty());
        if self.is_bare() {
            self.bytes = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shared_response_is_not_copied_and_two_become_one_vector_in_order() {
        let mut outbox = Outbox::default();
        let response: Rc<[u8]> = Rc::from(&b"abcdef"[..]);
        outbox.push(&response, 0..3);
        assert_eq!((Rc::strong_count(&response), outbox.len()), (2, 3));
        outbox.push(&response, 3..6);
        assert_eq!((Rc::strong_count(&response), outbox.len()), (1, 6));
        outbox.buffer().extend_from_slice(b"!");
        assert_eq!(outbox.buffer(), b"abcdef!");
        assert!(outbox.release().is_none());
    }
}
