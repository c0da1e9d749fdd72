//! One connection: the numbered pipeline from received bytes to sent bytes.
//!
//! 1. Receive: bytes arrive in a provided buffer; they are copied only when a request is not whole.
//! 2. Parse: one head, borrowed (`http/parse.rs`).
//! 3. Find: the raw path in the cache; else decode it (`target.rs`), look again, load (`load.rs`).
//! 4. Decide: preconditions and ranges (`http/answer.rs`).
//! 5. Write: the ready-made response as it is, or a head into the outbox (`http/head.rs`, `outbox.rs`).
//! 6. Send: everything that pipelined requests of one arrival came to in one send; then bodies (`body.rs`).
//!
//! A plain GET of a cached file passes 1, 2, 3, 6 and touches the system once: the send.
use crate::{
    body::{self, Body, Bytes},
    core::{Core, Guard, Shelf},
    file::Loaded,
    http::{
        answer::{self, Content, Context},
        head::{FixedLines, Persistence},
        page::{self, Page},
        parse::{self, Method, Parsed, Request},
        status::Status,
    },
    load::{self, Check},
    outbox::{Outbox, TOGETHER_MAX},
    stats::Counters,
    target::{self, Refusal},
    watch::Phase,
};
use ringwheel_executor::{net::Shutdown, net::Stream, time};
use std::{io, rc::Rc, time::Duration};

/// How long and how much a refused client may still send before the connection is closed on it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 << 10;

/// What one synchronous step came to.
#[derive(Debug)]
enum Next {
    /// The bytes that are left are no whole request.
    Input,
    /// The outbox is full; go on after sending it.
    Flush,
    /// This canonical path must be loaded; then the same request again.
    Load(Box<[u8]>),
    /// The head is in the outbox, this follows it; then a request body of this length is thrown away.
    Body(Body, u64),
    /// The response is in the outbox; then a request body of this length is thrown away.
    Skip(u64),
    /// The response is in the outbox; then the connection ends.
    Close,
}

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Connection {
    guard: Guard,
    pub(crate) outbox: Outbox,
    /// A request is answered; the response was the last.
    last: bool,
    /// The client has sent, or may still send, what nobody will read.
    unread: bool,
}

impl Connection {
    fn core(&self) -> &Rc<Core> {
        &self.guard.core
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.guard.watch.stream
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.guard.core.counters()
    }

    /// Enters a phase with its full time.
    pub(crate) fn enter(&self, phase: Phase) {
        let limits = &self.core().options.limits;
        let time = match phase {
            Phase::Idle => limits.idle_timeout,
            Phase::Head => limits.header_timeout,
            Phase::Send => limits.send_timeout,
            Phase::Linger => LINGER,
        };
        self.guard.watch.enter(phase, time::now() + time);
    }

    /// Sends what is in the outbox.
    pub(crate) async fn flush(&mut self, more: bool) -> io::Result<()> {
        let length = self.outbox.len();
        if length > 0 {
            self.enter(Phase::Send);
            self.outbox.flush(&self.guard.watch.stream, more).await?;
            self.counters().bytes.add(length as u64);
        }
        Ok(())
    }

    /// Leaves nothing behind while the connection waits.
    fn rest(&mut self) {
        if let Some(buffer) = self.outbox.release() {
            self.core().keep_buffer(buffer);
        }
    }

    /// The vector to write a response into.
    pub(crate) fn writer(&mut self) -> &mut Vec<u8> {
        self.equip();
        self.outbox.buffer()
    }

    /// Adds a range of a ready-made response.
    #[inline]
    pub(crate) fn push(&mut self, ready: &Rc<[u8]>, range: std::ops::Range<usize>) {
        if self.outbox.len() > 0 {
            self.equip(); // The second response and those after it are copied together.
        }
        self.outbox.push(ready, range);
    }

    /// Sees to it that the outbox has memory of its own, from those who rest.
    fn equip(&mut self) {
        if self.outbox.is_bare() {
            let buffer = self.core().take_buffer();
            self.outbox.adopt(buffer);
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(guard: Guard) {
    let mut connection = Connection { guard, outbox: Outbox::default(), last: false, unread: false };
    match converse(&mut connection).await {
        // The peer ended, or everything it asked for is sent and it will not send more.
        Ok(()) if !connection.unread => {}
        Ok(()) => linger(&connection).await,
        Err(_) => connection.counters().cut.add(1),
    }
    connection.rest();
}

async fn converse(connection: &mut Connection) -> io::Result<()> {
    let mut input: Vec<u8> = Vec::new(); // An incomplete request, or what was pipelined behind a wait. Empty otherwise.
    let mut loaded: Option<Loaded> = None;
    let mut hungry = true;
    loop {
        // Step 1.
        let next = if hungry {
            if input.is_empty() && connection.core().draining.get() {
                return Ok(());
            }
            let chunk = match connection.stream().receive().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return ended(connection, &input).await,
                // A reset while nothing is owed is an end like another.
                Err(_) if input.is_empty() => return Ok(()),
                Err(error) => return Err(error),
            };
            if input.is_empty() {
                let (used, next) = take(connection, &chunk, None);
                input.extend_from_slice(&chunk[used..]);
                next
            } else {
                let before = input.len();
                input.extend_from_slice(&chunk);
                drop(chunk);
                let limits = &connection.core().limits;
                if !parse::may_be_complete(&input, before) && parse::over_limit(&input, limits).is_none() {
                    continue;
                }
                let (used, next) = take(connection, &input, None);
                input.drain(..used);
                next
            }
        } else {
            let (used, next) = take(connection, &input, loaded.take());
            input.drain(..used);
            next
        };
        hungry = false;
        // Step 6.
        match next {
            Next::Input => {
                connection.flush(false).await?;
                connection.rest();
                if input.is_empty() {
                    connection.enter(Phase::Idle);
                    input = Vec::new();
                } else if connection.guard.watch.phase() != Phase::Head {
                    // The time of a head runs from its first byte: more bytes do not buy more time.
                    connection.enter(Phase::Head);
                }
                hungry = true;
            }
            Next::Flush => connection.flush(false).await?,
            Next::Load(path) => {
                connection.flush(false).await?;
                connection.enter(Phase::Send);
                loaded = Some(load::load(&Rc::clone(connection.core()), &path).await);
            }
            Next::Body(body, length) => {
                body::send(connection, body).await?;
                if connection.last {
                    connection.unread |= !input.is_empty();
                    return connection.flush(false).await;
                }
                if !skip(connection, &mut input, length).await? {
                    return Ok(());
                }
            }
            Next::Skip(length) => {
                if !skip(connection, &mut input, length).await? {
                    return Ok(());
                }
            }
            Next::Close => {
                connection.unread |= !input.is_empty();
                return connection.flush(false).await;
            }
        }
    }
}

/// The peer ended its side, or the patrol ended it for being slow.
async fn ended(connection: &mut Connection, input: &[u8]) -> io::Result<()> {
    if connection.guard.watch.is_expired() && !input.is_empty() {
        refuse(connection, Status::RequestTimeout);
        connection.flush(false).await?;
    }
    Ok(())
}

/// Throws a request body away. False: the peer ended first.
async fn skip(connection: &mut Connection, input: &mut Vec<u8>, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    connection.flush(false).await?;
    let here = usize::try_from(length).unwrap_or(usize::MAX).min(input.len());
    input.drain(..here);
    let mut rest = length - here as u64;
    connection.enter(Phase::Head);
    while rest > 0 {
        let Some(chunk) = connection.stream().receive().await? else { return Ok(false) };
        let here = usize::try_from(rest).unwrap_or(usize::MAX).min(chunk.len());
        input.extend_from_slice(&chunk[here..]);
        rest -= here as u64;
    }
    Ok(true)
}

/// Waits for the peer's end, so that closing with bytes unread does not reset the connection and lose the response.
async fn linger(connection: &Connection) {
    connection.enter(Phase::Linger);
    if connection.stream().shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut read = 0;
    while let Ok(Some(chunk)) = connection.stream().receive().await {
        read += chunk.len();
        if read > LINGER_BYTES {
            return;
        }
    }
}

/// Steps 2 to 5 for as many requests as `buffer` holds whole. Returns the bytes used and what must happen first.
/// `loaded` is what the first of them waited for.
fn take(connection: &mut Connection, buffer: &[u8], mut loaded: Option<Loaded>) -> (usize, Next) {
    let core = Rc::clone(connection.core());
    let mut shelf = core.shelf.borrow_mut();
    let now = time::now();
    shelf.clock.advance(now);
    let mut used = 0;
    while used < buffer.len() {
        let (request, length) = match parse::parse(&buffer[used..], &core.limits) {
            Parsed::Complete(request, length) => (request, length),
            Parsed::Partial => break,
            Parsed::Refused(status) => {
                drop(shelf);
                refuse(connection, status);
                return (buffer.len(), Next::Close);
            }
        };
        if connection.outbox.len() >= TOGETHER_MAX {
            return (used, Next::Flush);
        }
        // The fast path: one lookup, one reference, no copy.
        if request.is_plain() && !core.draining.get() && loaded.is_none() {
            let path =
                &request.target[..memchr::memchr(b'?', request.target).unwrap_or(request.target.len())];
            let Shelf { clock, small, .. } = &mut *shelf;
            if let Some(entry) = small.get(path)
                && now.saturating_duration_since(entry.checked) < core.revalidate
            {
                let ready = entry.current(clock);
                let end = if request.method == Method::Head { entry_head(entry) } else { ready.len() };
                let ready = &entry.ready;
                if connection.outbox.len() + end > TOGETHER_MAX && connection.outbox.len() > 0 {
                    return (used, Next::Flush);
                }
                connection.push(ready, 0..end);
                let counters = core.counters();
                counters.requests.add(1);
                counters.hits.add(1);
                counters.ok.add(1);
                used += length;
                continue;
            }
        }
        match answer(connection, &core, &mut shelf, &request, loaded.take()) {
            Step::Load(path) => return (used, Next::Load(path)),
            Step::Done(body) => {
                used += length;
                let skip = match request.body {
                    parse::Body::Length(length) if !connection.last => length,
                    _ => 0,
                };
                match body {
                    Some(body) => return (used, Next::Body(body, skip)),
                    None if connection.last => return (used, Next::Close),
                    None if skip > 0 => return (used, Next::Skip(skip)),
                    None => {}
                }
            }
        }
    }
    (used, Next::Input)
}

fn entry_head(entry: &crate::file::SmallEntry) -> usize {
    entry.file.body_at
}

/// What answering one request came to.
enum Step {
    Load(Box<[u8]>),
    Done(Option<Body>),
}

/// Steps 3 to 5 off the fast path.
fn answer(
    connection: &mut Connection,
    core: &Rc<Core>,
    shelf: &mut Shelf,
    request: &Request<'_>,
    loaded: Option<Loaded>,
) -> Step {
    let mut keep = request.keep_alive && !core.draining.get();
    keep &= match request.body {
        parse::Body::None => true,
        parse::Body::Length(length) => length <= core.options.limits.body_bytes && !request.expects_continue,
        parse::Body::Chunked => false,
    };
    let reply = |connection: &mut Connection, shelf: &Shelf, status: Status, fields: &[(&str, &[u8])]| {
        let persistence = persist(connection, request, keep && !status.closes());
        let page = Page { status, fields, head_only: request.method == Method::Head, persistence };
        let date = *shelf.clock.text();
        page::write(connection.writer(), &page, &date, &core.lines);
        count(core, status);
        Step::Done(None)
    };
    match request.method {
        Method::Get | Method::Head => {}
        Method::Options => {
            return reply(connection, shelf, Status::NoContent, &[("Allow", page::ALLOW.as_bytes())]);
        }
        Method::Other => {
            return reply(connection, shelf, Status::MethodNotAllowed, &[("Allow", page::ALLOW.as_bytes())]);
        }
    }
    // Step 3.
    let Some(target) = target::split(request.target) else {
        return reply(connection, shelf, Status::BadRequest, &[]);
    };
    match target::decode(target.path, core.options.dotfiles, &mut shelf.path) {
        Ok(()) => {}
        Err(Refusal::Malformed) => return reply(connection, shelf, Status::BadRequest, &[]),
        Err(Refusal::Absent) => return reply(connection, shelf, Status::NotFound, &[]),
    }
    let loaded = match loaded {
        Some(loaded) => loaded,
        None => match look_up(core, shelf) {
            Some(loaded) => {
                core.counters().hits.add(1);
                loaded
            }
            None => return Step::Load(shelf.path.as_slice().into()),
        },
    };
    let (bytes, status_and_content) = match loaded {
        Loaded::Failed(Status::ServiceUnavailable) => {
            return reply(connection, shelf, Status::ServiceUnavailable, &[("Retry-After", b"1")]);
        }
        Loaded::Failed(status) => return reply(connection, shelf, status, &[]),
        Loaded::Directory => {
            let location = target::directory_location(&shelf.path, target.query);
            return reply(connection, shelf, Status::MovedPermanently, &[("Location", &location)]);
        }
        // Steps 4 and 5.
        Loaded::Small(file, ready) => {
            let decided = decide(connection, core, shelf, request, &file.description, keep);
            (Bytes::Memory(file, ready), decided)
        }
        Loaded::Large(file) => {
            let decided = decide(connection, core, shelf, request, &file.description, keep);
            (Bytes::File(file), decided)
        }
    };
    let (status, content) = status_and_content;
    count(core, status);
    Step::Done(attach(connection, bytes, content))
}

fn decide(
    connection: &mut Connection,
    core: &Core,
    shelf: &Shelf,
    request: &Request<'_>,
    file: &crate::http::head::Description,
    keep: bool,
) -> (Status, Content) {
    let persistence = persist(connection, request, keep);
    let date = *shelf.clock.text();
    let context =
        Context { lines: &core.lines, date: &date, persistence, ranges_max: core.options.limits.ranges };
    answer::write(connection.writer(), request, file, &context)
}

/// Puts a small piece from memory beside its head; what is larger follows in its own sends.
fn attach(connection: &mut Connection, bytes: Bytes, content: Content) -> Option<Body> {
    match (&bytes, &content) {
        (_, Content::None) => None,
        (Bytes::Memory(file, ready), Content::Piece(piece)) if piece.length() <= TOGETHER_MAX as u64 => {
            let start = file.body_at + usize::try_from(piece.start).unwrap_or(usize::MAX);
            let end = file.body_at + usize::try_from(piece.end).unwrap_or(usize::MAX);
            connection.push(ready, start..end);
            None
        }
        _ => Some(Body { bytes, content }),
    }
}

/// What is on the shelf under `shelf.path` and still true.
fn look_up(core: &Core, shelf: &mut Shelf) -> Option<Loaded> {
    let now = time::now();
    let Shelf { small, large, path, .. } = shelf;
    if let Some(entry) = small.get(path) {
        if now.saturating_duration_since(entry.checked) >= core.revalidate {
            let file = &entry.file;
            if load::check(core, path, &file.stamp, file.description.fresh) != Check::Same {
                return None; // The load replaces or removes it.
            }
            entry.checked = now;
        }
        return Some(Loaded::Small(Rc::clone(&entry.file), Rc::clone(&entry.ready)));
    }
    if let Some(entry) = large.get(path) {
        if now.saturating_duration_since(entry.checked) >= core.revalidate {
            let file = &entry.file;
            if load::check(core, path, &file.stamp, file.description.fresh) != Check::Same {
                return None;
            }
            entry.checked = now;
        }
        return Some(Loaded::Large(Rc::clone(&entry.file)));
    }
    None
}

/// What the response says about the connection, and remembers it.
fn persist(connection: &mut Connection, request: &Request<'_>, keep: bool) -> Persistence {
    if !keep {
        connection.last = true;
        connection.unread |= request.body != parse::Body::None;
        return Persistence::Close;
    }
    if request.minor_version == 0 { Persistence::KeepAlive } else { Persistence::Implied }
}

fn count(core: &Core, status: Status) {
    core.counters().requests.add(1);
    core.counters().status(status);
}

/// Refuses bytes that are no request: a page, and the end.
fn refuse(connection: &mut Connection, status: Status) {
    connection.last = true;
    connection.unread = true;
    let core = Rc::clone(connection.core());
    let date = *core.shelf.borrow().clock.text();
    let page = Page { status, fields: &[], head_only: false, persistence: Persistence::Close };
    let lines: &FixedLines = &core.lines;
    page::write(connection.writer(), &page, &date, lines);
    count(&core, status);
}
