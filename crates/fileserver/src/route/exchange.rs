//! One routed request between the core that has its connection and the thread that has its handler. Each side leaves what it has to say
//! under one short lock, and tells the other once.
//!
//! ```text
//!             core (converse.rs)                    handler's thread (attendant.rs)
//!  request    Event::Request ─────────────────────▶ the handler is called
//!  its body   `arrived`, at most a window ────────▶ taken when it is read; told of by Event::Body to who waits
//!  answer     written to the socket ◀────────────── `Answer`: head, and the body if it is whole
//!  its body   Event::Room to who waits ◀─────────── `outgoing`, about a window; then `finished`
//!  the end    Event::Gone ────────────────────────▶ request.signal
//! ```
use crate::http::status::Status;
use std::{
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Bytes of a body, either way, that wait for who reads them.
pub(crate) const WINDOW: usize = 64 << 10;

/// What a request is, beside its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The number of its route.
    pub(crate) route: u32,
    /// Bytes of the method, with which the head begins.
    pub(crate) method: u32,
    /// Bytes of the target, which follows it.
    pub(crate) target: u32,
    /// Whether a body follows.
    pub(crate) has_body: bool,
    /// Who asks, as far as anybody knows.
    pub(crate) client: Option<IpAddr>,
    /// A trusted proxy says that the client spoke HTTPS.
    pub(crate) is_secure: bool,
}

/// How much of a request's body has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// More may come.
    Going,
    /// All of it.
    Whole,
    /// No more comes, though it should: the client has gone, or sent too much.
    Cut,
}

/// What a handler answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names and values, each with a NUL behind it.
    pub(crate) fields: Vec<u8>,
    /// Bytes of the body, where they are known.
    pub(crate) length: Option<u64>,
}

/// What both sides know.
#[derive(Debug)]
pub(crate) struct State {
    /// The core's task, while it waits.
    waker: Option<Waker>,
    /// Something is new to the core.
    news: bool,
    pub(crate) arrived: Vec<u8>,
    pub(crate) arrival: Arrival,
    /// The handler has asked for the body.
    pub(crate) asked: bool,
    /// It waits for bytes, and is to be told.
    pub(crate) hungry: bool,
    /// It will not read what is left.
    pub(crate) spurned: bool,
    pub(crate) answer: Option<Answer>,
    pub(crate) outgoing: Vec<u8>,
    /// The body of the answer is whole.
    pub(crate) finished: bool,
    /// The handler, or its thread, failed.
    pub(crate) failed: bool,
    /// The handler waits for room, and is to be told.
    pub(crate) crowded: bool,
    /// The core is done with it.
    pub(crate) gone: bool,
    /// The client has got this in place of an answer.
    pub(crate) refused: Option<Status>,
}

/// One routed request.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) head: Box<[u8]>,
    pub(crate) facts: Facts,
    /// What the handler's thread knows it by; 0 before it has taken it.
    number: AtomicU32,
    state: Mutex<State>,
}

impl Exchange {
    pub(crate) fn new(head: &[u8], facts: Facts) -> Exchange {
        let arrival = if facts.has_body { Arrival::Going } else { Arrival::Whole };
        let state = State {
            waker: None,
            news: false,
            arrived: Vec::new(),
            arrival,
            asked: false,
            hungry: false,
            spurned: false,
            answer: None,
            outgoing: Vec::new(),
            finished: false,
            failed: false,
            crowded: false,
            gone: false,
            refused: None,
        };
        Exchange { head: head.into(), facts, number: AtomicU32::new(0), state: Mutex::new(state) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    pub(crate) fn set_number(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// For the core: completes when the other side has said something since the last time.
    pub(crate) fn poll_news(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if std::mem::take(&mut state.news) {
            return Poll::Ready(());
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// For the handler's thread: says something. Returns what wakes the core, if it waits; to be called without the lock.
    pub(crate) fn tell(&self, say: impl FnOnce(&mut State)) -> Option<Waker> {
        let mut state = self.state();
        say(&mut state);
        state.news = true;
        state.waker.take()
    }
}
