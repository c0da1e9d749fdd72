//! One connection: it asks, reads the answer, and asks again or ends.
use crate::{
    Found,
    answer::Answer,
    plan::{Order, Plan},
    tls::{self, Ciphered},
};
use polling::{Event, PollMode, Poller};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    error::Error,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

enum Stream {
    Plain(TcpStream),
    Tls(Box<Ciphered>),
}

/// What a connection is to do next.
pub enum Progress {
    /// It waits for more.
    Waiting,
    /// It was closed, as it should be: another one takes its place.
    Closed,
    /// It was the last one: there is nothing left to ask.
    Done,
}

/// A connection with one request in flight.
pub struct Connection {
    stream: Stream,
    asked: Instant,
    request: usize,
    answer: Answer,
    /// The answer is there, the server's end is not yet.
    answered: bool,
}

/// What a slow client's socket holds: small, or the kernel would read what the client does not.
const SLOW_RECEIVE_BYTES: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

impl Connection {
    /// Connects and asks.
    pub fn open(plan: &Plan, request: usize) -> Result<Connection, Box<dyn Error>> {
        let asked = Instant::now();
        let socket = Socket::new(Domain::for_address(plan.address), Type::STREAM, Some(Protocol::TCP))?;
        if plan.slow.is_some() {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BYTES)?;
        }
        socket.connect_timeout(&plan.address.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let stream: TcpStream = socket.into();
        let stream = match &plan.tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let mut session = tls::session(config, stream)?;
                // Begins the handshake; its end comes with the first reads.
                session.conn.write_tls(&mut session.sock)?;
                Stream::Tls(Box::new(session))
            }
        };
        let mut connection =
            Connection { stream, asked, request, answer: Answer::default(), answered: false };
        connection.socket().set_nonblocking(true)?;
        connection.ask(plan)?;
        Ok(connection)
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(session) => &session.sock,
        }
    }

    /// Has a poller watch it.
    pub fn join(&self, poller: &Poller, event: Event) -> io::Result<()> {
        // SAFETY: `add` needs the source to be deleted before it is dropped. Holds: `fast` calls `leave` before it replaces a
        // connection, and the others live until the process ends. Checked: a stale key would name a connection that never answers.
        unsafe { poller.add_with_mode(self.socket(), event, PollMode::Level) }
    }

    /// Ends what `join` began.
    pub fn leave(&self, poller: &Poller) -> io::Result<()> {
        poller.delete(self.socket())
    }

    /// Reads what is there; asks again whenever an answer is complete.
    pub fn advance(
        &mut self,
        plan: &Plan,
        order: &mut Order,
        buffer: &mut [u8],
        found: &mut Found,
    ) -> io::Result<Progress> {
        loop {
            let Some(count) = self.read(buffer)? else { return Ok(Progress::Waiting) };
            if count == 0 {
                return if self.answered {
                    Ok(Progress::Closed)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
            if let Some(progress) = self.take(&buffer[..count], plan, order, found)? {
                return Ok(progress);
            }
            // A socket that filled less was emptied; what comes later wakes the poller again. A session may hold more.
            if count < buffer.len() && matches!(self.stream, Stream::Plain(_)) {
                return Ok(Progress::Waiting);
            }
        }
    }

    /// Reads once, as much as the buffer takes.
    pub fn advance_once(
        &mut self,
        plan: &Plan,
        order: &mut Order,
        buffer: &mut [u8],
        found: &mut Found,
    ) -> io::Result<()> {
        match self.read(buffer)? {
            None => Ok(()),
            Some(0) => Err(ErrorKind::UnexpectedEof.into()),
            Some(count) => self.take(&buffer[..count], plan, order, found).map(|_| ()),
        }
    }

    /// How many bytes came; `None` when none are there yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(buffer),
            Stream::Tls(session) => session.read(buffer),
        };
        match read {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            // After the whole answer it does not matter how politely a session or connection ends.
            Err(error)
                if self.answered
                    && matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
            {
                Ok(Some(0))
            }
            Err(error) => Err(error),
        }
    }

    fn take(
        &mut self,
        bytes: &[u8],
        plan: &Plan,
        order: &mut Order,
        found: &mut Found,
    ) -> io::Result<Option<Progress>> {
        found.bytes += bytes.len() as u64;
        if !self.answer.take(bytes, &plan.requests[self.request])? {
            return Ok(None);
        }
        found.answered(self.asked);
        if plan.close {
            self.answered = true;
            return Ok(None);
        }
        let Some(next) = order.next() else { return Ok(Some(Progress::Done)) };
        self.answer.clear();
        self.asked = Instant::now();
        self.request = next;
        self.ask(plan)?;
        Ok(None)
    }

    fn ask(&mut self, plan: &Plan) -> io::Result<()> {
        let head = plan.requests[self.request].head.as_bytes();
        match &mut self.stream {
            // One small request into an empty socket: it is taken whole or the connection is broken.
            Stream::Plain(stream) => match stream.write(head)? {
                count if count == head.len() => Ok(()),
                _ => Err(ErrorKind::WriteZero.into()),
            },
            // A session keeps it until the handshake is over; `read` sends what a session has to send.
            Stream::Tls(session) => {
                session.conn.writer().write_all(head)?;
                while session.conn.wants_write() {
                    session.conn.write_tls(&mut session.sock)?;
                }
                Ok(())
            }
        }
    }
}
