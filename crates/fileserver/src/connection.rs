//! One connection: the numbered pipeline from received bytes to sent bytes.
//!
//! 1. Receive: bytes arrive in a provided buffer; they are copied only when a request is not whole. Where it is asked for, a PROXY
//!    header comes first (`proxy.rs`), then a TLS handshake (`tls/`), once a connection.
//! 2. Parse: one head, borrowed (`http/parse.rs`).
//! 3. Find: the raw path in the cache; else decode it (`target.rs`), look again, load (`load.rs`).
//! 4. Decide: preconditions and ranges (`http/answer.rs`).
//! 5. Write: the ready-made response as it is, or a head into the outbox (`http/head.rs`, `outbox.rs`).
//! 6. Send: everything that pipelined requests of one arrival came to in one send; then bodies (`body.rs`).
//!
//! Steps 2 to 5 are `respond.rs`, which never waits; this file is what waits.
//!
//! A plain GET of a cached file passes 1, 2, 3, 6 and touches the system once: the send.
use crate::{
    access::Pending,
    auth, body,
    clients::{Place, Rate},
    core::{Core, Guard},
    fallback,
    file::Loaded,
    http::{date::DateClock, parse, status::Status},
    outbox::Outbox,
    pace::Pace,
    proxy::{self, Header},
    respond::{Next, refuse, take},
    route,
    stats::Counters,
    tls::{self, Received, Session},
    watch::Phase,
};
use ringwheel_executor::{net::Shutdown, net::Stream, time};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    time::{Duration, Instant},
};

/// How long and how much a refused client may still send before the connection is closed on it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 << 10;
/// While a handler has the request its conversation keeps its own times.
const ROUTE: Duration = Duration::from_secs(86_400);

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Connection {
    guard: Guard,
    pub(crate) outbox: Outbox,
    /// A request is answered; the response was the last.
    pub(crate) last: bool,
    /// The client has sent, or may still send, what nobody will read.
    pub(crate) unread: bool,
    /// Between the socket and what is served, where the server speaks TLS.
    pub(crate) tls: Option<Box<Session>>,
    /// The client: as a proxy introduced it, else as the socket has it, once somebody wanted to know.
    client: Option<IpAddr>,
    /// The socket was asked who the client is; of some, as of Unix sockets, it does not know.
    asked: bool,
    /// Nobody has an address there.
    is_unix: bool,
    /// Answers that are to be logged.
    pub(crate) log: Option<Box<Pending>>,
    /// What came of the password of the request at hand, when it was hashed just now.
    pub(crate) hashed: Option<auth::Outcome>,
    /// The request at hand has been counted for its client.
    pub(crate) admitted: bool,
    place: Option<Place>,
    pace: Option<Pace>,
}

impl Connection {
    pub(crate) fn core(&self) -> &Rc<Core> {
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
            Phase::Route => ROUTE,
        };
        self.guard.watch.enter(phase, time::now() + time);
    }

    /// Before a request: goes on with the newest configuration.
    #[inline]
    pub(crate) fn move_on(&mut self) {
        if self.guard.core.is_retired() {
            self.guard.move_on();
            self.keep_limits();
        }
    }

    /// Holds the client to the limits of the configuration at hand. One that has more connections than it may keeps those that it has.
    fn keep_limits(&mut self) {
        let core = Rc::clone(&self.guard.core);
        let limits = &core.options.limits;
        if self.pace.as_ref().map_or(0, Pace::rate) != limits.bytes_per_second {
            self.pace = Pace::of(limits.bytes_per_second, limits.bytes_at_full_speed, Instant::now());
        }
        if limits.connections_per_client > 0 && self.place.is_none() {
            self.place = self.enter_clients(u32::MAX);
        }
    }

    /// Counts the connection for its client, unless that has `max`; `None` too where nobody knows who it is, and for a trusted proxy, whose
    /// connections are those of many.
    fn enter_clients(&mut self, max: u32) -> Option<Place> {
        let client = self.client()?;
        if self.is_trusted() {
            return None;
        }
        self.guard.core.post.control.clients.enter(client.into(), max)
    }

    /// Who the client is, as far as anybody knows.
    fn client(&mut self) -> Option<IpAddr> {
        if self.client.is_none() && !self.asked {
            self.asked = true;
            let peer = self.stream().peer_address();
            // Of a peer that has gone nothing is known; it is not for that at home.
            self.is_unix = peer.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Unsupported);
            self.introduce(peer.ok());
        }
        self.client
    }

    /// What the other end is held for where it is asked whether it is a trusted proxy: on a Unix socket it is on this machine.
    fn neighbour(&mut self) -> Option<IpAddr> {
        self.client().or(self.is_unix.then_some(Ipv4Addr::LOCALHOST.into()))
    }

    /// Whether the other end is a proxy that is believed.
    fn is_trusted(&mut self) -> bool {
        !self.core().setup.trust.is_empty()
            && self.neighbour().is_some_and(|peer| self.core().setup.trust.has(peer))
    }

    /// For whom a trusted proxy has passed on the request that begins so; `None` where no whole head is there, or it does not say.
    pub(crate) fn forwarded(&mut self, request: &[u8]) -> Option<IpAddr> {
        if self.core().setup.trust.is_empty() {
            return None;
        }
        let request = request.trim_ascii_start();
        let head = &request[..memchr::memmem::find(request, b"\r\n\r\n")?];
        let peer = self.neighbour()?;
        self.core().setup.trust.forwarded(peer, head)
    }

    /// The client of a request with this head, and whether a trusted proxy says that it spoke HTTPS.
    pub(crate) fn asker(&mut self, head: &[u8]) -> (Option<IpAddr>, bool) {
        let client = self.forwarded(head).or_else(|| self.client());
        let peer = if self.core().setup.trust.is_empty() { None } else { self.neighbour() };
        (client, peer.is_some_and(|peer| self.core().setup.trust.is_secure(peer, head)))
    }

    fn introduce(&mut self, client: Option<SocketAddr>) {
        self.client = client.map(|address| address.ip().to_canonical());
    }

    /// Sends what is in the outbox.
    pub(crate) async fn flush(&mut self, more: bool) -> io::Result<()> {
        let length = self.outbox.len();
        if length > 0 {
            if self.pace.is_some() {
                Box::pin(self.keep_pace()).await?;
            }
            self.enter(Phase::Send);
            if self.tls.is_some() {
                let mut outbox = std::mem::take(&mut self.outbox);
                let sent = Box::pin(tls::send_sealed(self, outbox.bytes(), more)).await;
                outbox.clear();
                self.outbox = outbox;
                sent?;
            } else {
                self.outbox.flush(&self.guard.watch.stream, more).await?;
            }
            self.counters().bytes.add(length as u64);
            self.spend(length as u64);
        }
        self.settle(false);
        Ok(())
    }

    /// The next bytes of the client; `None` after its end.
    #[inline]
    async fn receive(&mut self) -> io::Result<Option<Received>> {
        if self.tls.is_some() {
            return Box::pin(tls::receive(self)).await;
        }
        Ok(self.stream().receive().await?.map(Received::Chunk))
    }

    /// Sends what is in the outbox ahead of a file: inline like the file, so that a response costs one turn.
    pub(crate) async fn flush_ahead(&mut self) -> io::Result<()> {
        if self.tls.is_some() {
            return self.flush(true).await;
        }
        self.enter(Phase::Send);
        let length = self.outbox.len();
        let all = self.outbox.flush_now(&self.guard.watch.stream)?;
        let sent = (length - self.outbox.len()) as u64;
        self.counters().bytes.add(sent);
        self.spend(sent);
        if all { Ok(()) } else { self.flush(true).await }
    }

    /// Bytes of the conversation that the kernel has; those of TLS are not counted, and of a record that failed none.
    pub(crate) fn position(&self) -> u64 {
        self.tls.as_ref().map_or_else(|| self.stream().sent(), |session| session.sent)
    }

    /// Has an answer logged once it is sent, or cut: `request` is what came of its head, `start` how long the outbox was before it, and
    /// `more` how many bytes of its body follow the outbox. For every answer, whoever makes it; costs a look at an option where nothing is logged.
    #[inline]
    pub(crate) fn note(&mut self, request: &[u8], start: usize, more: u64, clock: &DateClock) {
        if self.log.is_some() {
            self.note_down(request, start, more, clock);
        }
    }

    #[cold]
    fn note_down(&mut self, request: &[u8], start: usize, more: u64, clock: &DateClock) {
        let position = self.position() + start as u64;
        let client = self.forwarded(request);
        if let Some(log) = &mut self.log {
            log.note((client, request), &self.outbox.bytes()[start..], position, more, clock);
        }
    }

    /// Writes the lines of answers that the kernel has; with `is_over` also of those that it will never have whole.
    #[inline]
    pub(crate) fn settle(&mut self, is_over: bool) {
        if self.log.is_none() {
            return;
        }
        let position = self.position();
        if let (Some(pending), Some(log)) = (&mut self.log, &self.guard.core.post.control.access_log) {
            pending.settle(log, self.guard.core.post.index, position, is_over);
        }
    }

    /// Counts the request at hand for its client, once; says how long to wait when there were too many.
    #[cold]
    pub(crate) fn over_rate(&mut self, head: &[u8], rate: &Rate, now: Instant) -> Option<Duration> {
        if self.admitted {
            return None;
        }
        let client = self.forwarded(head).or_else(|| self.client())?;
        let wait = self.guard.core.post.control.clients.request(client.into(), rate, now).err();
        self.admitted = wait.is_none();
        wait
    }

    /// The request at hand has its answer: what was found out about it holds for no other.
    #[inline]
    pub(crate) fn forget_request(&mut self) {
        self.admitted = false;
        self.hashed = None;
    }

    /// Waits until more may be sent.
    async fn keep_pace(&mut self) -> io::Result<()> {
        while let Some(pace) = &mut self.pace {
            let wait = pace.wait(Instant::now());
            if wait.is_zero() {
                break;
            }
            self.enter(Phase::Send);
            let core = self.core();
            if !core.post.control.drain.is_set() {
                // A drain ends the wait, so that its deadline is seen.
                let _ = time::timeout(wait.min(Duration::from_secs(1)), core.post.control.drain.wait()).await;
            } else if core.post.control.is_over(Instant::now()) {
                return Err(io::ErrorKind::TimedOut.into());
            } else {
                time::sleep(wait.min(Duration::from_millis(10))).await;
            }
        }
        Ok(())
    }

    /// Bytes to send of a body at once, when more may be sent.
    pub(crate) async fn allowance(&mut self, most: u64) -> io::Result<u64> {
        if self.pace.is_none() {
            return Ok(most);
        }
        self.keep_pace().await?;
        Ok(self.pace.as_ref().map_or(most, |pace| pace.piece().min(most)))
    }

    /// These bytes went.
    pub(crate) fn spend(&mut self, bytes: u64) {
        if let Some(pace) = &mut self.pace {
            pace.spend(bytes);
        }
    }

    /// Before the first request: `introduced` is who a proxy says that the client is. False: it has too many connections.
    fn meet(&mut self, introduced: Option<SocketAddr>) -> bool {
        self.introduce(introduced);
        if self.core().post.control.access_log.is_some() {
            let client = self.client();
            self.log = Some(Box::new(Pending::new(client)));
        }
        let most = self.core().options.limits.connections_per_client;
        if most > 0 && self.client().is_some() && !self.is_trusted() {
            self.place = self.enter_clients(most);
            if self.place.is_none() {
                return false;
            }
        }
        self.keep_limits();
        true
    }

    /// The kernel has all that a timed request is owed.
    #[inline]
    fn answered(&self, since: &mut Option<Instant>) {
        if let Some(since) = since.take() {
            self.counters().latency.record(since.elapsed());
        }
    }

    /// Leaves nothing behind while the connection waits.
    pub(crate) fn rest(&mut self) {
        if let Some(buffer) = self.outbox.release() {
            self.core().post.keep_buffer(buffer);
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
            let buffer = self.core().post.take_buffer();
            self.outbox.adopt(buffer);
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(guard: Guard) {
    let mut connection = Connection {
        guard,
        outbox: Outbox::default(),
        last: false,
        unread: false,
        tls: None,
        client: None,
        asked: false,
        is_unix: false,
        log: None,
        hashed: None,
        admitted: false,
        place: None,
        pace: None,
    };
    match converse(&mut connection).await {
        Ok(()) => {
            tls::say_goodbye(&mut connection);
            // Unless the peer ended, or everything it asked for is sent and it will not send more.
            if connection.unread {
                linger(&connection).await;
            }
        }
        Err(_) => connection.counters().cut.add(1),
    }
    connection.settle(true);
    connection.rest();
}

async fn converse(connection: &mut Connection) -> io::Result<()> {
    let mut input: Vec<u8> = Vec::new(); // An incomplete request, or what was pipelined behind a wait. Empty otherwise.
    let mut loaded: Option<Loaded> = None;
    let mut since: Option<Instant> = None; // When the request arrived whose answer is timed.
    let mut client = None;
    if connection.core().options.proxy_protocol {
        match introduced(connection, &mut input).await? {
            Some(source) => client = source,
            None => return Ok(()),
        }
    }
    if !connection.meet(client) {
        connection.counters().shed.add(1);
        if connection.core().setup.keys.is_none() {
            refuse(connection, Status::TooManyRequests, &input);
            connection.flush(false).await?;
        }
        return Ok(());
    }
    if connection.core().setup.keys.is_some() && !Box::pin(tls::handshake(connection, &mut input)).await? {
        return Ok(());
    }
    let mut hungry = input.is_empty();
    loop {
        // Step 1.
        let next = if hungry {
            if input.is_empty() && connection.core().post.closing.get() {
                return Ok(());
            }
            let chunk = match connection.receive().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return ended(connection, &input).await,
                // A reset while nothing is owed is an end like another.
                Err(_) if input.is_empty() => return Ok(()),
                Err(error) => return Err(error),
            };
            if let Some(log) = &mut connection.log {
                log.received = Instant::now();
            }
            if input.is_empty() {
                since = connection.counters().is_timed().then(Instant::now);
                let (used, next) = take(connection, &chunk, None);
                input.extend_from_slice(&chunk[used..]);
                next
            } else {
                since = None; // A client that sends its request in pieces makes the time, not this server.
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
                    connection.answered(&mut since);
                    connection.enter(Phase::Idle);
                    input = Vec::new();
                } else if connection.guard.watch.phase() != Phase::Head {
                    // The time of a head runs from its first byte: more bytes do not buy more time.
                    connection.enter(Phase::Head);
                }
                hungry = true;
            }
            Next::Flush => connection.flush(false).await?,
            Next::Load { site, key, preference, view } => {
                connection.flush(false).await?;
                connection.enter(Phase::Send);
                loaded =
                    Some(fallback::load(&Rc::clone(connection.core()), site, &key, preference, view).await);
            }
            Next::Hash(attempt) => {
                connection.flush(false).await?;
                connection.enter(Phase::Send);
                connection.hashed = Some(Box::pin(auth::hash(&Rc::clone(connection.core()), attempt)).await);
            }
            Next::Page { site, status, preference } => {
                connection.flush(false).await?;
                connection.enter(Phase::Send);
                loaded = Some(fallback::page(&Rc::clone(connection.core()), site, status, preference).await);
            }
            Next::Body(body, length) => {
                body::send(connection, body).await?;
                connection.settle(false);
                if connection.last {
                    break;
                }
                if !skip(connection, &mut input, length).await? {
                    return Ok(());
                }
            }
            Next::Route(routed) => {
                if !Box::pin(route::converse(connection, &mut input, routed)).await? {
                    break;
                }
            }
            Next::Refuse(refused) => {
                Box::pin(route::refuse(connection, &refused)).await?;
                if connection.last {
                    break;
                }
            }
            Next::Skip(length) => {
                if !skip(connection, &mut input, length).await? {
                    return Ok(());
                }
            }
            Next::Close => break,
        }
    }
    connection.unread |= !input.is_empty();
    connection.flush(false).await?;
    connection.answered(&mut since);
    Ok(())
}

/// Receives the PROXY header, which may say who the client is; what came behind it is left in `input`. `None`: the peer ended before it
/// was whole, or the patrol ended it, for the time of a head runs from the accept.
async fn introduced(connection: &Connection, input: &mut Vec<u8>) -> io::Result<Option<Option<SocketAddr>>> {
    loop {
        match proxy::parse(input) {
            Header::Complete { source, length } => {
                input.drain(..length);
                return Ok(Some(source));
            }
            Header::Partial => {}
            Header::Invalid => return Err(io::ErrorKind::InvalidData.into()),
        }
        match connection.stream().receive().await {
            Ok(Some(chunk)) => input.extend_from_slice(&chunk),
            Ok(None) | Err(_) => return Ok(None),
        }
    }
}

/// The peer ended its side, or the patrol ended it for being slow.
async fn ended(connection: &mut Connection, input: &[u8]) -> io::Result<()> {
    if connection.guard.watch.is_expired() && !input.is_empty() {
        refuse(connection, Status::RequestTimeout, input);
        connection.flush(false).await?;
    }
    Ok(())
}

/// Throws a request body away. False: the peer ended first.
pub(crate) async fn skip(connection: &mut Connection, input: &mut Vec<u8>, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    connection.flush(false).await?;
    let here = usize::try_from(length).unwrap_or(usize::MAX).min(input.len());
    input.drain(..here);
    let mut rest = length - here as u64;
    connection.enter(Phase::Head);
    while rest > 0 {
        let Some(chunk) = connection.receive().await? else { return Ok(false) };
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
