//! Pipeline step 6: a file's bytes to the socket, in windows, so that memory is bounded.
//!
//! Resident windows go by sendfile straight from the page cache. A window that is not resident is read ahead through the
//! ring first, and while it is being sent the next one is already on its way from the disk: the executor never blocks on it.
use crate::{
    connection::Connection,
    file::{LargeFile, SmallFile},
    http::{answer::Content, head::Description, range::ByteRange},
    outbox::TOGETHER_MAX,
    tls,
    watch::Phase,
};
use ringwheel_executor::{JoinHandle, Target, try_spawn};
use std::{io, ops::Range, rc::Rc};

/// Bytes of one window: large enough that its system calls do not count, small enough that one download cannot hold a core
/// for long.
pub(crate) const WINDOW: u64 = 1 << 20;

/// Bytes of a file that are put into TLS records at once: four of the largest.
const PIECE: usize = 64 << 10;

/// Where the bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    /// A ready-made response.
    Memory(Rc<SmallFile>, Rc<[u8]>),
    /// An open file.
    File(Rc<LargeFile>),
}

impl Bytes {
    pub(crate) fn description(&self) -> &Description {
        match self {
            Bytes::Memory(file, _) => &file.description,
            Bytes::File(file) => &file.description,
        }
    }
}

/// The pieces of a response that did not fit beside its head.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) content: Content,
}

impl Body {
    /// Bytes that follow the head.
    pub(crate) fn length(&self) -> u64 {
        match &self.content {
            Content::None => 0,
            Content::Piece(piece) => piece.length(),
            Content::Parts { parts, tail } => {
                parts.iter().map(|(head, piece)| head.len() as u64 + piece.length()).sum::<u64>()
                    + tail.len() as u64
            }
        }
    }
}

/// Sends the whole body. An error means that the connection must be closed: the client was promised more.
pub(crate) async fn send(connection: &mut Connection, body: Body) -> io::Result<()> {
    match body.content {
        Content::None => Ok(()),
        Content::Piece(piece) => send_piece(connection, &body.bytes, piece).await,
        Content::Parts { parts, tail } => {
            for (head, piece) in parts {
                connection.writer().extend_from_slice(&head);
                send_piece(connection, &body.bytes, piece).await?;
            }
            connection.writer().extend_from_slice(&tail);
            Ok(()) // The caller flushes what is left together with whatever comes next.
        }
    }
}

async fn send_piece(connection: &mut Connection, bytes: &Bytes, piece: ByteRange) -> io::Result<()> {
    match bytes {
        Bytes::Memory(file, ready) => {
            let mut at = file.body_at + offset_in(ready, piece.start);
            let end = file.body_at + offset_in(ready, piece.end);
            while at < end {
                let most = connection.allowance(TOGETHER_MAX as u64).await?;
                let next = end.min(at + offset_in(ready, most).min(TOGETHER_MAX));
                if connection.outbox.len() + (next - at) > TOGETHER_MAX {
                    connection.flush(true).await?;
                }
                connection.push(ready, at..next);
                at = next;
                if most < TOGETHER_MAX as u64 {
                    connection.flush(at < end).await?;
                }
            }
            Ok(())
        }
        Bytes::File(large) => {
            connection.flush_ahead().await?;
            send_file(connection, large, piece).await
        }
    }
}

/// An offset into bytes that are in memory, so that it fits.
fn offset_in(ready: &[u8], offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(ready.len())
}

async fn send_file(connection: &mut Connection, large: &Rc<LargeFile>, piece: ByteRange) -> io::Result<()> {
    let mut at = piece.start;
    let mut ahead: Option<JoinHandle<io::Result<u64>>> = None;
    while at < piece.end {
        let length = connection.allowance(WINDOW.min(piece.end - at)).await?;
        let was_ahead = ahead.is_some();
        if let Some(handle) = ahead.take() {
            // A failed read ahead is not the end: sendfile will meet the same error and report it.
            drop(handle.await);
        }
        if was_ahead || !large.is_resident(at, length) {
            if !was_ahead {
                connection.enter(Phase::Send);
                drop(large.file.prefetch(at, length).await);
            }
            ahead = read_ahead(large, at + length, piece.end);
        }
        connection.enter(Phase::Send);
        let sent = if connection.tls.is_some() {
            Box::pin(send_sealed(connection, large, at..at + length, piece.end)).await?
        } else {
            let is_last = at + length == piece.end;
            let look = || if is_last { look_again(large) } else { Ok(()) };
            connection.stream().send_file_unless(&large.file, at, length, look).await?
        };
        connection.counters().bytes.add(sent);
        connection.spend(sent);
        at += sent;
        if sent < length {
            // The file is shorter than its description: nothing else can be put in its place.
            look_again(large)?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// A file that was written to since it was described: the client has bytes of both, and must not take them for a whole.
fn look_again(large: &LargeFile) -> io::Result<()> {
    if large.is_as_said() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// What sendfile does not do: a window read piece by piece, and sent in TLS records. Returns how many of its bytes went. The last piece
/// before `last` is sent when a look at the file says that it is still the same.
async fn send_sealed(
    connection: &mut Connection,
    large: &LargeFile,
    window: Range<u64>,
    last: u64,
) -> io::Result<u64> {
    let (offset, length) = (window.start, window.end - window.start);
    let mut sent = 0;
    while sent < length {
        // Made anew for each piece: while its records wait for the client they are all that is held.
        let buffer = Vec::with_capacity(PIECE);
        let (read, target) = large.file.read_at(Target::Vec(buffer), offset + sent).await;
        let count = (read? as u64).min(length - sent);
        let Target::Vec(mut bytes) = target else { return Err(io::ErrorKind::Other.into()) };
        if count == 0 {
            break;
        }
        if offset + sent + count == last {
            look_again(large)?;
        }
        bytes.truncate(offset_in(&bytes, count));
        tls::send_sealed(connection, bytes, sent + count < length).await?;
        sent += count;
    }
    Ok(sent)
}

/// Starts reading the window at `start` in, unless the range ends before it or the window is there already.
fn read_ahead(large: &Rc<LargeFile>, start: u64, end: u64) -> Option<JoinHandle<io::Result<u64>>> {
    let length = WINDOW.min(end.checked_sub(start).filter(|rest| *rest > 0)?);
    if large.file.is_resident(start, length) {
        return None;
    }
    let large = Rc::clone(large);
    try_spawn(async move { large.file.prefetch(start, length).await }).ok()
}
