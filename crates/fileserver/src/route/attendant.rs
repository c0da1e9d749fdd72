//! The handlers' thread at the desk: takes requests, reads their bodies, leaves answers.
use super::{
    desk::{Bell, Desk, Event},
    exchange::{Answer, Arrival, Exchange, WINDOW},
};
use std::{io::Write, sync::Arc, task::Waker};

/// Numbers that [`Attendant::take`] writes for each event, and [`Attendant::answer`] reads for each answer.
pub const NUMBERS: usize = 8;
/// Bytes of heads that are given out at once, but for the first.
const HEADS_MAX: usize = 64 << 10;
/// In the last number of a request.
const SECURE: u32 = 1 << 16;
/// A number of an exchange: its place, and a generation above it.
const PLACE_BITS: u32 = 22;

/// The routes of a server, to start it with: [`Server::start_with`](crate::Server::start_with).
#[derive(Clone, Debug, Default)]
pub struct Routes {
    pub(crate) desk: Arc<Desk>,
}

/// What an event is about; written as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Notice {
    /// A request: its number, its route, bytes of its head, of its method, of its target, whether it has a body, and bytes of the client's
    /// address, which follows the head: 0 where nobody knows it, and `SECURE` more where a proxy says that the client spoke HTTPS.
    Request = 1,
    /// More of the body that was waited for has come, or its end.
    Body = 2,
    /// There is room again for the body of the answer.
    Room = 3,
    /// The client has ended its side, or gone altogether: who can tell. An answer is sent all the same.
    Ended = 4,
    /// Nobody waits for an answer any more: which status the client has got in its place, 0 if it has gone. The number means nothing from now on.
    Gone = 5,
}

/// What there is of a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing yet; [`Notice::Body`] tells.
    Later,
    /// Nothing any more.
    End,
    /// Less than was promised, or more than is allowed: the client is gone, or refused.
    Cut,
}

/// How many bytes the body of an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// These, which come with the answer.
    Whole,
    /// As many as the field says; they follow.
    Promised(u64),
    /// Nobody knows; they follow.
    Open,
}

/// The one thread that handles a server's routed requests. Dropping it fails all of them, and those to come.
#[derive(Debug)]
pub struct Attendant {
    desk: Arc<Desk>,
    /// Each place: its generation, and who is there.
    places: Vec<(u32, Option<Arc<Exchange>>)>,
    free: Vec<u32>,
    /// Those to wake once everything is said.
    wakers: Vec<Waker>,
}

impl Attendant {
    /// An attendant that `bell` calls.
    pub fn new(bell: Bell) -> Attendant {
        Attendant {
            desk: Arc::new(Desk::new(bell)),
            places: Vec::new(),
            free: Vec::new(),
            wakers: Vec::new(),
        }
    }

    /// The routes, for the server.
    pub fn routes(&self) -> Routes {
        Routes { desk: Arc::clone(&self.desk) }
    }

    /// Adds a route, such as `GET /users/:id`; for requests from now on. Returns its number, from 0 on.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the pattern.
    pub fn add(&self, pattern: &str) -> Result<u32, String> {
        self.desk.add(pattern)
    }

    /// Takes what there is: [`NUMBERS`] of each event into `numbers`, a notice first and the exchange's number then, and the heads of
    /// requests, each with its client's address, to the end of `heads`, one behind the other. Returns how many events, and whether there are more.
    pub fn take(&mut self, numbers: &mut [u32], heads: &mut Vec<u8>) -> (usize, bool) {
        let desk = Arc::clone(&self.desk);
        desk.answer_bell();
        let mut tray = desk.tray();
        let (places, mut count) = (numbers.len() / NUMBERS, 0);
        while count < places && heads.len() < HEADS_MAX {
            let Some(event) = tray.events.pop_front() else { break };
            let entry = &mut numbers[count * NUMBERS..][..NUMBERS];
            count += usize::from(self.note(event, entry, heads));
        }
        (count, !tray.events.is_empty())
    }

    /// Writes an event down. False: it is about nobody who is known here.
    fn note(&mut self, event: Event, entry: &mut [u32], heads: &mut Vec<u8>) -> bool {
        let (notice, exchange) = match event {
            Event::Request(exchange) => {
                // Who has gone meanwhile was never heard of: what says so is about nobody.
                if exchange.state().gone {
                    return false;
                }
                let facts = exchange.facts;
                let head = exchange.head.len() as u32;
                let has_body = u32::from(facts.has_body);
                entry[2..7].copy_from_slice(&[facts.route, head, facts.method, facts.target, has_body]);
                heads.extend_from_slice(&exchange.head);
                let before = heads.len();
                if let Some(client) = facts.client {
                    let _infallible = write!(heads, "{client}");
                }
                entry[7] = (heads.len() - before) as u32 + if facts.is_secure { SECURE } else { 0 };
                entry[0] = Notice::Request as u32;
                entry[1] = self.seat(exchange);
                return true;
            }
            Event::Body(exchange) => (Notice::Body, exchange),
            Event::Room(exchange) => (Notice::Room, exchange),
            Event::Ended(exchange) => (Notice::Ended, exchange),
            Event::Gone(exchange) => (Notice::Gone, exchange),
        };
        let number = exchange.number();
        let known = self.find(number).is_some();
        (entry[0], entry[1]) = (notice as u32, number);
        if notice == Notice::Gone {
            entry[2] = exchange.state().refused.map_or(0, |status| u32::from(status.code()));
            self.release(number);
        }
        known
    }

    fn seat(&mut self, exchange: Arc<Exchange>) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push((1, None));
            self.places.len() as u32 - 1
        });
        debug_assert!(place < 1 << PLACE_BITS, "limits.route_requests is less");
        let (generation, who) = &mut self.places[place as usize];
        let number = *generation << PLACE_BITS | place;
        exchange.set_number(number);
        *who = Some(exchange);
        number
    }

    fn find(&self, number: u32) -> Option<&Arc<Exchange>> {
        let (generation, who) = self.places.get((number & ((1 << PLACE_BITS) - 1)) as usize)?;
        who.as_ref().filter(|_| *generation == number >> PLACE_BITS)
    }

    fn release(&mut self, number: u32) {
        if self.find(number).is_none() {
            return;
        }
        let place = number & ((1 << PLACE_BITS) - 1);
        let (generation, who) = &mut self.places[place as usize];
        *who = None;
        *generation = (*generation % ((1 << (32 - PLACE_BITS)) - 1)) + 1; // Never 0, so that no number is.
        self.free.push(place);
    }

    /// Answers the request of this number; a number of nobody is of somebody who has gone. `fields`: names and values, each with a NUL
    /// behind it. `body` is all of it, or its beginning. Nobody is woken before [`Attendant::wake`].
    pub fn answer(&mut self, number: u32, status: u16, fields: &[u8], body: &[u8], length: Length) {
        let Some(exchange) = self.find(number) else { return };
        let answer = Answer {
            status,
            fields: fields.to_vec(),
            length: match length {
                Length::Whole => Some(body.len() as u64),
                Length::Promised(length) => Some(length),
                Length::Open => None,
            },
        };
        let body = body.to_vec();
        let waker = exchange.tell(|state| {
            state.answer = Some(answer);
            state.outgoing = body;
            state.finished = length == Length::Whole;
        });
        self.wakers.extend(waker);
        if length == Length::Whole {
            self.release(number);
        }
    }

    /// Wakes the cores for what was left since the last time.
    pub fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// More of the body of an answer. True: there is room for more; else [`Notice::Room`] tells, or [`Notice::Gone`].
    pub fn send(&mut self, number: u32, bytes: &[u8]) -> bool {
        let Some(exchange) = self.find(number) else { return false };
        let mut room = false;
        let waker = exchange.tell(|state| {
            state.outgoing.extend_from_slice(bytes);
            room = state.outgoing.len() < WINDOW;
            state.crowded = !room;
        });
        self.wakers.extend(waker);
        room
    }

    /// The body of an answer is whole.
    pub fn finish(&mut self, number: u32) {
        let Some(exchange) = self.find(number) else { return };
        let waker = exchange.tell(|state| state.finished = true);
        self.wakers.extend(waker);
        self.release(number);
    }

    /// There is no answer, or no more of it: 500 where nothing was sent, else the connection is cut.
    pub fn fail(&mut self, number: u32) {
        let Some(exchange) = self.find(number) else { return };
        let waker = exchange.tell(|state| state.failed = true);
        self.wakers.extend(waker);
        self.release(number);
    }

    /// What there is of a request's body; the core is woken, for there is room now.
    pub fn read(&mut self, number: u32) -> Piece {
        let Some(exchange) = self.find(number) else { return Piece::Cut };
        let mut piece = Piece::Later;
        let waker = exchange.tell(|state| {
            state.asked = true;
            let bytes = std::mem::take(&mut state.arrived);
            piece = match state.arrival {
                _ if !bytes.is_empty() => Piece::Bytes(bytes),
                Arrival::Whole => Piece::End,
                Arrival::Cut => Piece::Cut,
                Arrival::Going => Piece::Later,
            };
            state.hungry = piece == Piece::Later;
        });
        self.wakers.extend(waker);
        piece
    }

    /// Nobody will read the rest of a request's body.
    pub fn spurn(&mut self, number: u32) {
        let Some(exchange) = self.find(number) else { return };
        let waker = exchange.tell(|state| {
            state.spurned = true;
            state.arrived = Vec::new();
        });
        self.wakers.extend(waker);
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let events = {
            let mut tray = self.desk.tray();
            tray.closed = true;
            std::mem::take(&mut tray.events)
        };
        let waiting = events.into_iter().filter_map(|event| match event {
            Event::Request(exchange) => Some(exchange),
            Event::Body(_) | Event::Room(_) | Event::Ended(_) | Event::Gone(_) => None,
        });
        let seated = self.places.drain(..).filter_map(|(_, who)| who);
        for exchange in waiting.chain(seated) {
            self.wakers.extend(exchange.tell(|state| state.failed = true));
        }
        self.wake();
    }
}
