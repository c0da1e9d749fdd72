//! Pipeline step 6 for routes: one request's conversation between its client and its handler, until the answer is sent.
//!
//! It waits for three things at once: what the handler says, what the client sends, and the time that both have. A wait for the client
//! can be given up at any moment and loses nothing: TLS records are opened after it.
use super::{
    desk::Event,
    exchange::{Arrival, Exchange},
    intake::Intake,
    look::Routed,
    refusal,
    reply::{self, Framing},
};
use crate::{
    body,
    connection::Connection,
    core::Core,
    http::{head::Persistence, page::Page, status::Status},
    tls,
    watch::Phase,
};
use ringwheel_executor::{
    Chunk,
    net::{Peer, Stream},
    time::{self, Sleep},
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

/// Bytes of requests behind this one that are received while it waits: after that, a client that ends is not noticed.
const BEHIND_MAX: usize = 16 << 10;

/// Between two looks at a client from which nothing is received.
const LOOK: Duration = Duration::from_secs(1);

/// What a wait came to.
enum Heard {
    /// The handler said something.
    Handler,
    /// The client sent something, or ended.
    Client(Option<Chunk>),
    /// Time is over.
    Time,
}

/// What became of the connection's conversation so far.
struct Talk<'a> {
    core: Rc<Core>,
    routed: &'a Routed,
    intake: Intake,
    /// The answer's framing, once its head is written.
    framing: Option<Framing>,
    /// The client has ended its side.
    ended: bool,
    /// It has sent more requests before.
    behind: bool,
    /// 100 was sent, or is not waited for.
    continued: bool,
    /// Where the answer begins, and its head, where answers are logged.
    logged: Option<(u64, Box<[u8]>)>,
    /// By when the handler must have answered.
    answer_by: Instant,
    /// By when the client must have sent more of its body.
    body_by: Instant,
    /// By when there must be more of the answer for a client that has ended its side: most have gone, and nothing but a send can tell.
    more_by: Option<Instant>,
}

/// Has a handler answer, and sends what it says. False: the connection is to be closed; its outbox may hold bytes.
pub(crate) async fn converse(
    connection: &mut Connection,
    input: &mut Vec<u8>,
    routed: Box<Routed>,
) -> io::Result<bool> {
    let core = Rc::clone(connection.core());
    let limits = &core.options.limits;
    let now = time::now();
    let mut talk = Talk {
        routed: &routed,
        intake: Intake::new(routed.body, limits.route_body_bytes),
        framing: None,
        ended: false,
        behind: false,
        logged: None,
        continued: !routed.expects_continue,
        answer_by: now + limits.route_timeout,
        body_by: now + limits.send_timeout,
        more_by: None,
        core: Rc::clone(&core),
    };
    connection.flush(false).await?;
    connection.enter(Phase::Route);
    let went = talk.run(connection, input).await;
    talk.note(connection);
    match went? {
        Some(goes_on) => Ok(goes_on),
        None => talk.close_or_go_on(connection, input).await,
    }
}

impl Talk<'_> {
    /// Until the answer is sent (`None`), or something else was said in its place, after which the connection goes on or does not.
    async fn run(&mut self, connection: &mut Connection, input: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let talk = self;
        let core = Rc::clone(&talk.core);
        let limits = &core.options.limits;
        let routed = talk.routed;
        let mut timer = pin!(time::sleep_until(talk.answer_by));
        let mut listened = false;
        loop {
            if let Err(status) = talk.take_in(input) {
                return talk.give_up(connection, status).await.map(Some);
            }
            match talk.hear_handler(connection).await? {
                Said::Nothing => {}
                Said::All => return Ok(None),
                Said::Refused(status) => return talk.give_up(connection, status).await.map(Some),
            }
            let wants_body = !talk.intake.is_done();
            let listens = !talk.ended
                && if wants_body {
                    Intake::has_room(&routed.visit.exchange)
                } else {
                    input.len() < BEHIND_MAX
                };
            // While there was no room the client could not send.
            if listens && !listened {
                talk.body_by = time::now() + limits.send_timeout;
            }
            listened = listens;
            connection.rest();
            let due = talk.deadline(listens);
            // What does not listen does not hear of a reset either.
            let look = (!listens).then(|| time::now() + LOOK);
            let deadline = due.into_iter().chain(look).min();
            match hear(connection.stream(), &routed.visit.exchange, listens, timer.as_mut(), deadline).await?
            {
                Heard::Handler => {}
                Heard::Time if due.is_none_or(|due| time::now() < due) => talk.look(connection.stream())?,
                Heard::Client(chunk) => {
                    let received = match chunk {
                        Some(chunk) => Some(Box::pin(tls::unseal(connection, chunk)).await?),
                        None => None,
                    };
                    talk.body_by = time::now() + limits.send_timeout;
                    if let Some(bytes) = &received {
                        input.extend_from_slice(bytes);
                    }
                    if received.is_none() || tls::has_ended(connection) {
                        talk.client_ended(input)?;
                    }
                }
                Heard::Time => {
                    let is_client = talk.is_slow_client(listens);
                    let status = if is_client { Status::RequestTimeout } else { Status::ServiceUnavailable };
                    return talk.give_up(connection, status).await.map(Some);
                }
            }
        }
    }

    /// Has the answer logged, as far as it went: its head, and what of the stream came behind it.
    fn note(&mut self, connection: &mut Connection) {
        let Some((at, head)) = self.logged.take() else { return };
        let end = connection.position() + connection.outbox.len() as u64;
        let more = end.saturating_sub(at + head.len() as u64);
        let request = &self.routed.visit.exchange.head;
        let client = connection.forwarded(request);
        if let Some(log) = &mut connection.log {
            log.note((client, request), &head, at, more, &self.core.shelf.borrow().clock);
        }
    }
}

/// What the handler's side came to.
enum Said {
    Nothing,
    /// The whole answer is sent, or in the outbox.
    All,
    Refused(Status),
}

impl Talk<'_> {
    fn exchange(&self) -> &Exchange {
        &self.routed.visit.exchange
    }

    /// Gives the handler what it has room for.
    fn take_in(&mut self, input: &mut Vec<u8>) -> Result<(), Status> {
        loop {
            let before = input.len();
            let tell = self.intake.take(input, &self.routed.visit.exchange)?;
            if tell {
                self.routed.visit.leave(Event::Body);
            }
            if input.len() == before || input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends what the handler has said until it says no more.
    async fn hear_handler(&mut self, connection: &mut Connection) -> io::Result<Said> {
        loop {
            let (answer, bytes, finished, failed, asked, crowded) = {
                let mut state = self.exchange().state();
                let crowded = std::mem::take(&mut state.crowded);
                let bytes = std::mem::take(&mut state.outgoing);
                (state.answer.take(), bytes, state.finished, state.failed, state.asked, crowded)
            };
            if failed {
                // What was promised cannot be kept; before that, it is a page.
                return match self.framing {
                    None => Ok(Said::Refused(Status::InternalServerError)),
                    Some(_) => Err(io::ErrorKind::ConnectionAborted.into()),
                };
            }
            if asked && !self.continued {
                self.continued = true;
                if self.framing.is_none() && !self.intake.is_done() {
                    connection.writer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    connection.flush(false).await?;
                    connection.enter(Phase::Route);
                }
            }
            if let Some(answer) = answer {
                let framing = Framing::of(self.routed, &answer);
                let start = connection.outbox.len();
                let before = (connection.last, connection.unread);
                let persistence = self.persistence(connection, framing, asked && !finished);
                let written = reply::write_head(
                    connection.writer(),
                    &self.core,
                    self.routed,
                    &answer,
                    framing,
                    persistence,
                );
                if written.is_err() {
                    (connection.last, connection.unread) = before;
                    return Ok(Said::Refused(Status::InternalServerError));
                }
                self.remember(connection, start);
                self.core.counters().requests.add(1);
                self.core.counters().count_status(answer.status);
                self.framing = Some(framing);
            }
            let Some(mut framing) = self.framing else { return Ok(Said::Nothing) };
            if framing == Framing::None {
                return Ok(Said::All); // The handler is told that nobody wants its body.
            }
            let out = connection.writer();
            let kept = framing.write(out, &bytes) && (!finished || framing.finish(out));
            self.framing = Some(framing);
            if !kept {
                connection.outbox.clear();
                return Err(io::ErrorKind::InvalidData.into());
            }
            if finished {
                return Ok(Said::All); // A whole answer is one send, and it is with the connection that it goes on.
            }
            if connection.outbox.len() == 0 {
                return Ok(Said::Nothing);
            }
            connection.flush(false).await?;
            connection.enter(Phase::Route);
            if self.more_by.is_some() {
                self.needs_more();
            }
            if crowded {
                self.routed.visit.leave(Event::Room);
            }
        }
    }

    /// Keeps what the access log wants, where there is one.
    fn remember(&mut self, connection: &Connection, start: usize) {
        if connection.log.is_some() {
            let head = connection.outbox.bytes()[start..].into();
            self.logged = Some((connection.position() + start as u64, head));
        }
    }

    /// What the answer says about the connection, and remembers it.
    fn persistence(&self, connection: &mut Connection, framing: Framing, reads_on: bool) -> Persistence {
        let limits = &self.core.options.limits;
        let skipped = self.continued && self.intake.left().is_some_and(|left| left <= limits.body_bytes);
        let keep = self.routed.keep_alive
            && !self.core.post.draining.get()
            && !self.is_last()
            && framing != Framing::Close
            && (skipped || reads_on);
        if !keep {
            connection.last = true;
            connection.unread |= !self.intake.is_done() || self.routed.keep_alive;
            return Persistence::Close;
        }
        Persistence::of(true, self.routed.minor_version)
    }

    /// Whether the client is still there, though nothing is received from it.
    fn look(&mut self, stream: &Stream) -> io::Result<()> {
        match stream.peer() {
            Peer::There => {}
            // What it has sent before may be wanted yet.
            Peer::Ended if self.more_by.is_some() => {}
            Peer::Ended => {
                self.needs_more();
                // All of a body may have come, and lie in the socket until the handler reads it.
                if self.intake.is_done() {
                    self.routed.visit.leave(Event::Ended);
                }
            }
            Peer::Gone => return Err(io::ErrorKind::ConnectionReset.into()),
        }
        Ok(())
    }

    /// No request comes behind this one.
    fn is_last(&self) -> bool {
        self.ended && !self.behind
    }

    /// From now on the answer must go on to be worth the wait.
    fn needs_more(&mut self) {
        self.more_by = Some(time::now() + self.core.options.limits.send_timeout);
    }

    /// The client sends no more.
    fn client_ended(&mut self, input: &mut Vec<u8>) -> io::Result<()> {
        self.ended = true;
        self.needs_more();
        // At the end of a drain it is the server that ended it.
        if self.core.post.draining.get() && self.core.post.control.is_over(Instant::now()) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let _refused = self.take_in(input);
        self.behind = !input.is_empty();
        if self.intake.is_done() {
            self.routed.visit.leave(Event::Ended);
            return Ok(());
        }
        self.exchange().state().arrival = Arrival::Cut;
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn waits_for_body(&self, listens: bool) -> bool {
        listens && !self.intake.is_done() && self.continued
    }

    fn deadline(&self, listens: bool) -> Option<Instant> {
        let answer = self.framing.is_none().then_some(self.answer_by);
        let body = self.waits_for_body(listens).then_some(self.body_by);
        let more = self.more_by.filter(|_| self.framing.is_some());
        answer.into_iter().chain(body).chain(more).min()
    }

    fn is_slow_client(&self, listens: bool) -> bool {
        self.waits_for_body(listens) && (self.framing.is_some() || self.body_by <= self.answer_by)
    }

    /// A page in place of the answer; where that has begun, nothing can be put in its place.
    async fn give_up(&mut self, connection: &mut Connection, status: Status) -> io::Result<bool> {
        if self.framing.is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.exchange().state().refused = Some(status);
        let keep = status == Status::InternalServerError && self.intake.is_done() && self.routed.keep_alive;
        let keep = keep && !self.is_last() && !self.core.post.draining.get();
        let persistence = Persistence::of(keep, self.routed.minor_version);
        if !keep {
            connection.last = true;
            connection.unread = true;
        }
        let fields: &[(&str, &[u8])] =
            if status == Status::ServiceUnavailable { &[("Retry-After", b"1")] } else { &[] };
        let page = Page { status, fields, head_only: self.routed.head_only, persistence };
        let asker = (self.routed.site, self.routed.origin.as_deref());
        let (start, body) = refusal::write(connection, &self.core, asker, &page).await?;
        self.remember(connection, start);
        if let Some(body) = body {
            body::send(connection, body).await?;
        }
        Ok(keep)
    }

    /// After the answer: the next request, once the rest of this one's body is thrown away.
    async fn close_or_go_on(&mut self, connection: &mut Connection, input: &mut Vec<u8>) -> io::Result<bool> {
        if connection.last {
            return Ok(false);
        }
        match self.intake.left() {
            Some(0) => Ok(true),
            Some(left) if left <= self.core.options.limits.body_bytes => {
                crate::connection::skip(connection, input, left).await
            }
            _ => {
                connection.last = true;
                connection.unread = true;
                Ok(false)
            }
        }
    }
}

/// Waits. The timer is set anew only when its time has changed.
async fn hear(
    stream: &Stream,
    exchange: &Exchange,
    listens: bool,
    mut timer: Pin<&mut Sleep>,
    deadline: Option<Instant>,
) -> io::Result<Heard> {
    if let Some(deadline) = deadline
        && timer.deadline() != deadline
    {
        timer.as_mut().get_mut().reset(deadline);
    }
    let mut receive = pin!(stream.receive());
    poll_fn(|context| {
        if exchange.poll_news(context).is_ready() {
            return Poll::Ready(Ok(Heard::Handler));
        }
        if listens && let Poll::Ready(chunk) = receive.as_mut().poll(context) {
            return Poll::Ready(chunk.map(Heard::Client));
        }
        if deadline.is_some() && timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(Heard::Time));
        }
        Poll::Pending
    })
    .await
}
