//! `NativeRoutes`: JavaScript's thread as the attendant of a server's routes. One call takes what a turn's requests are, one leaves what
//! a turn's answers are; lib/api/route-desk.ts makes them.
use crate::error::coded;
use napi::{
    Env, JsString, Result, Status,
    bindgen_prelude::{Either, Function, Uint8Array, Uint32ArraySlice},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use ringwheel_fileserver::route::{Attendant, Length, NUMBERS, Piece, Routes};

/// The bell as JavaScript hears it: nothing is passed, nobody is kept alive.
type Ring = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Routes of one server. Collected with it, or with its environment: then every request of theirs fails.
#[napi]
pub struct NativeRoutes {
    attendant: Attendant,
    heads: Vec<u8>,
}

#[napi]
impl NativeRoutes {
    /// Routes that call `bell` when there is something to take.
    #[napi(constructor)]
    pub fn new(bell: Function<(), ()>) -> Result<NativeRoutes> {
        let ring: Ring = bell.build_threadsafe_function().weak::<true>().build()?;
        let bell = Box::new(move || {
            // Refused only by an environment that ends: its attendant fails what waits.
            let _status = ring.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        Ok(NativeRoutes { attendant: Attendant::new(bell), heads: Vec::new() })
    }

    /// Adds a route; returns its number.
    #[napi]
    pub fn add(&self, pattern: String) -> Result<u32> {
        self.attendant.add(&pattern).map_err(|reason| coded("INVALID_OPTION", reason))
    }

    /// Takes events: eight numbers each, how many at the last place but one, whether there are more at the last. Returns the heads of
    /// requests, one behind the other.
    #[napi]
    pub fn take<'env>(
        &mut self,
        env: &'env Env,
        mut numbers: Uint32ArraySlice<'_>,
    ) -> Result<JsString<'env>> {
        // SAFETY: needs memory that nobody else reads or writes during the call. Holds: lib/api/route-desk.ts made the array and passes it to
        // nobody else, and JavaScript does not run meanwhile. Checked: __test__/http/routes.spec.ts.
        let numbers = unsafe { numbers.as_mut() };
        let Some((more, rest)) = numbers.split_last_mut() else { return env.create_string_latin1("") };
        let Some((count, events)) = rest.split_last_mut() else { return env.create_string_latin1("") };
        self.heads.clear();
        let (taken, left) = self.attendant.take(events, &mut self.heads);
        (*count, *more) = (taken as u32, u32::from(left));
        env.create_string_latin1(&self.heads)
    }

    /// Leaves answers: eight numbers each (the request's, status, bytes of its fields, bytes of its body here, 0 when that is all, 1 when so
    /// many follow as the next two numbers say, 2 when nobody knows how many), and the bytes, one behind the other.
    #[napi]
    pub fn answer(&mut self, numbers: &[u32], bytes: &[u8]) {
        let mut rest = bytes;
        for answer in numbers.chunks_exact(NUMBERS) {
            let mut next = |length: u32| {
                let (piece, after) = rest.split_at((length as usize).min(rest.len()));
                rest = after;
                piece
            };
            let (fields, body) = (next(answer[2]), next(answer[3]));
            let length = match answer[4] {
                0 => Length::Whole,
                1 => Length::Promised(u64::from(answer[5]) << 32 | u64::from(answer[6])),
                _ => Length::Open,
            };
            self.attendant.answer(answer[0], answer[1] as u16, fields, body, length);
        }
        self.attendant.wake();
    }

    /// More of an answer's body. False: no more before the desk says so.
    #[napi]
    pub fn send(&mut self, number: u32, bytes: &[u8]) -> bool {
        let room = self.attendant.send(number, bytes);
        self.attendant.wake();
        room
    }

    /// An answer's body is whole.
    #[napi]
    pub fn finish(&mut self, number: u32) {
        self.attendant.finish(number);
        self.attendant.wake();
    }

    /// There is no answer, or no more of it.
    #[napi]
    pub fn fail(&mut self, number: u32) {
        self.attendant.fail(number);
        self.attendant.wake();
    }

    /// What there is of a request's body: bytes, null when the desk will say so, 0 at its end, 1 when it was cut.
    #[napi]
    pub fn read(&mut self, number: u32) -> Option<Either<Uint8Array, u32>> {
        let piece = self.attendant.read(number);
        self.attendant.wake();
        match piece {
            Piece::Bytes(bytes) => Some(Either::A(bytes.into())),
            Piece::Later => None,
            Piece::End => Some(Either::B(0)),
            Piece::Cut => Some(Either::B(1)),
        }
    }

    /// Nobody reads the rest of a request's body.
    #[napi]
    pub fn spurn(&mut self, number: u32) {
        self.attendant.spurn(number);
        self.attendant.wake();
    }
}

impl NativeRoutes {
    /// For the start of the server.
    pub fn routes(&self) -> Routes {
        self.attendant.routes()
    }
}
