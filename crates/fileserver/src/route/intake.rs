//! The body of a routed request, out of what the connection receives into its exchange, a window at a time.
use super::{
    chunked::Decoder,
    exchange::{Arrival, Exchange, WINDOW},
};
use crate::http::{parse::Body, status::Status};

#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked(Decoder),
}

/// How far a request's body has been read.
#[derive(Debug)]
pub(crate) struct Intake {
    framing: Framing,
    /// Bytes of the body that it may still have.
    allowed: u64,
}

impl Intake {
    /// The reader of such a body, of which at most `allowed` bytes are taken.
    pub(crate) fn new(body: Body, allowed: u64) -> Intake {
        let framing = match body {
            Body::None => Framing::Length(0),
            Body::Length(length) => Framing::Length(length),
            Body::Chunked => Framing::Chunked(Decoder::new()),
        };
        Intake { framing, allowed }
    }

    /// All of it has arrived; what comes now is the next request.
    pub(crate) fn is_done(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(decoder) => decoder.is_done(),
        }
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.framing {
            Framing::Length(left) => Some(*left),
            Framing::Chunked(decoder) => decoder.is_done().then_some(0),
        }
    }

    /// Moves what it can from `input`. True: who waits for it is to be told. What was refused is answered with the status, and is the
    /// connection's last.
    pub(crate) fn take(&mut self, input: &mut Vec<u8>, exchange: &Exchange) -> Result<bool, Status> {
        if input.is_empty() || self.is_done() {
            return Ok(false);
        }
        let mut state = exchange.state();
        let before = if state.spurned { 0 } else { state.arrived.len() };
        let room = WINDOW.saturating_sub(before);
        let used = match &mut self.framing {
            Framing::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len()).min(room);
                state.arrived.extend_from_slice(&input[..here]);
                *left -= here as u64;
                here
            }
            Framing::Chunked(decoder) => {
                decoder.read(input, &mut state.arrived, room).map_err(|_| Status::BadRequest)?
            }
        };
        input.drain(..used);
        let Some(allowed) = self.allowed.checked_sub((state.arrived.len() - before) as u64) else {
            state.arrived.truncate(before);
            return Err(Status::ContentTooLarge);
        };
        self.allowed = allowed;
        if state.spurned {
            state.arrived.clear();
        }
        if self.is_done() {
            state.arrival = Arrival::Whole;
        }
        let tell = state.hungry && (!state.arrived.is_empty() || state.arrival != Arrival::Going);
        state.hungry &= !tell;
        Ok(tell)
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(exchange: &Exchange) -> bool {
        let state = exchange.state();
        state.spurned || state.arrived.len() < WINDOW
    }
}
