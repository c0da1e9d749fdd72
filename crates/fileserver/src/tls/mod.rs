//! Pipeline steps 1 and 6 where the server speaks TLS: rustls between the socket's bytes and the connection's.
//!
//! A connection without TLS has no session and never comes here. Keys are the server's, sessions the cores': a handshake runs where its
//! connection was accepted, and its tickets are good on every core.
mod keys;

pub(crate) use keys::{Keys, check};

use crate::{connection::Connection, http::status::Status, respond::refuse};
use ringwheel_executor::{Chunk, Source};
use rustls::{ServerConfig, ServerConnection};
use std::{
    io::{self, Read, Write},
    ops::Deref,
    sync::Arc,
};

/// Bytes of the conversation in a whole record (RFC 8446 section 5.1).
const RECORD: usize = 16 << 10;
/// Bytes around those at most: the head, in TLS 1.2 a nonce, and the seal.
const AROUND_RECORD: usize = 5 + 8 + 1 + 16;

/// One connection's TLS.
#[derive(Debug)]
pub(crate) struct Session {
    rustls: ServerConnection,
    /// The client said that it sends no more (close_notify).
    ended: bool,
    /// Bytes of the conversation that the kernel has in records.
    pub(crate) sent: u64,
}

/// What a connection receives: from the socket as it is, or out of TLS records.
#[derive(Debug)]
pub(crate) enum Received {
    /// The buffer that the kernel put it into.
    Chunk(Chunk),
    /// Decrypted.
    Clear(Vec<u8>),
}

impl Deref for Received {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Received::Chunk(chunk) => chunk,
            Received::Clear(bytes) => bytes,
        }
    }
}

impl Session {
    fn start(config: &Arc<ServerConfig>) -> io::Result<Session> {
        let mut rustls = ServerConnection::new(Arc::clone(config)).map_err(invalid)?;
        // What waits is bounded by the outbox, and a refused write would have to be answered for.
        rustls.set_buffer_limit(None);
        Ok(Session { rustls, ended: false, sent: 0 })
    }

    /// Takes records in; returns what they were about.
    fn open(&mut self, mut records: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut clear = Vec::new();
        while !records.is_empty() && !self.ended {
            // Fails when a handshake message is longer than rustls keeps.
            self.rustls.read_tls(&mut records).map_err(|error| rustls::Error::General(error.to_string()))?;
            let state = self.rustls.process_new_packets()?;
            let start = clear.len();
            clear.resize(start + state.plaintext_bytes_to_read(), 0);
            if self.rustls.reader().read_exact(&mut clear[start..]).is_err() {
                clear.truncate(start); // Cannot be: that many are there.
            }
            self.ended = state.peer_has_closed();
        }
        Ok(clear)
    }

    /// Puts bytes into records, behind what TLS itself has to say.
    pub(crate) fn seal(&mut self, clear: &[u8]) -> io::Result<Vec<u8>> {
        self.rustls.writer().write_all(clear)?;
        // One allocation: a vector that doubles would be held at up to twice its length.
        self.records_into(Vec::with_capacity(clear.len() + (clear.len() / RECORD + 1) * AROUND_RECORD))
    }

    /// What TLS itself has to say: the handshake, tickets, alerts.
    fn records(&mut self) -> io::Result<Vec<u8>> {
        self.records_into(Vec::new())
    }

    fn records_into(&mut self, mut records: Vec<u8>) -> io::Result<Vec<u8>> {
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut records)?;
        }
        Ok(records)
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Shakes hands on a new connection; `input` holds bytes that came already, and what follows the handshake is left in it. False: there is
/// nothing to serve, and the client was told why, if it could understand.
pub(crate) async fn handshake(connection: &mut Connection, input: &mut Vec<u8>) -> io::Result<bool> {
    let Some(keys) = connection.core().setup.keys.as_ref() else { return Ok(true) };
    let mut session = Session::start(keys.config())?;
    let mut records = std::mem::take(input);
    let mut first = true;
    while session.rustls.is_handshaking() {
        if records.is_empty() {
            match connection.stream().receive().await {
                Ok(Some(chunk)) => records.extend_from_slice(&chunk),
                // Ended or reset by the peer, or by the patrol: the time of a head runs from the accept.
                Ok(None) | Err(_) => return Ok(false),
            }
        }
        if std::mem::take(&mut first) && records.first().is_some_and(u8::is_ascii_uppercase) {
            // HTTP on a port of HTTPS.
            refuse(connection, Status::BadRequest, &records);
            connection.flush(false).await?;
            return Ok(false);
        }
        let opened = session.open(&records);
        records.clear();
        let answer = session.records()?;
        if !answer.is_empty() {
            send(connection, answer, false).await?;
        }
        match opened {
            Ok(clear) => input.extend_from_slice(&clear),
            Err(error) => {
                connection.counters().cut.add(1);
                connection.unread = true; // The alert would be lost if what the client still sends met a closed socket.
                drop(error);
                return Ok(false);
            }
        }
    }
    connection.tls = Some(Box::new(session));
    Ok(true)
}

/// The next bytes of the client; `None` after its end.
pub(crate) async fn receive(connection: &mut Connection) -> io::Result<Option<Received>> {
    loop {
        if connection.tls.as_ref().is_some_and(|session| session.ended) {
            return Ok(None);
        }
        let Some(chunk) = connection.stream().receive().await? else { return Ok(None) };
        let received = unseal(connection, chunk).await?;
        if !received.is_empty() {
            return Ok(Some(received));
        }
    }
}

/// What a chunk from the socket is about: itself without TLS, else what its records hold, which may be nothing. Must be awaited to its
/// end, for it may have to say something.
pub(crate) async fn unseal(connection: &mut Connection, chunk: Chunk) -> io::Result<Received> {
    let Some(session) = &mut connection.tls else { return Ok(Received::Chunk(chunk)) };
    let opened = session.open(&chunk);
    drop(chunk);
    let answer = session.records()?;
    if !answer.is_empty() {
        send(connection, answer, false).await?;
    }
    opened.map(Received::Clear).map_err(invalid)
}

/// Whether the client has said that it sends no more.
pub(crate) fn has_ended(connection: &Connection) -> bool {
    connection.tls.as_ref().is_some_and(|session| session.ended)
}

/// Sends bytes in records; they are let go before the client has taken any.
pub(crate) async fn send_sealed(
    connection: &mut Connection,
    clear: impl AsRef<[u8]>,
    more: bool,
) -> io::Result<()> {
    let Some(session) = &mut connection.tls else { return Ok(()) };
    let length = clear.as_ref().len() as u64;
    let records = session.seal(clear.as_ref())?;
    drop(clear);
    send(connection, records, more).await?;
    if let Some(session) = &mut connection.tls {
        session.sent += length;
    }
    Ok(())
}

/// Tells the peer that no more follows (close_notify), so that it knows the end from a cut; as far as the socket has room.
pub(crate) fn say_goodbye(connection: &mut Connection) {
    let Some(session) = &mut connection.tls else { return };
    session.rustls.send_close_notify();
    if let Ok(records) = session.records() {
        drop(connection.stream().send_now(&records, false)); // Nobody is owed anything any more.
    }
}

async fn send(connection: &Connection, records: Vec<u8>, more: bool) -> io::Result<()> {
    let length = records.len();
    connection.stream().send(Source::Vec(records, 0..length), more).await.0.map(drop)
}
