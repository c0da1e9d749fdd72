//! One turn, in six named and bounded steps, and the embedded client's part in it.
use ringwheel_driver::{Completion, Driver};
use std::{any::Any, marker::PhantomData, time::Instant};

/// The bit that marks a token as the client's. All other tokens are the executor's own.
pub const CLIENT_TOKEN: u64 = 1 << 63;

/// The embedded side of a turn (the JavaScript commands). A panic in one of these is caught and reported in
/// [`Turn::panic`]. None of them may call into the executor that runs the turn, except through `Edge`.
pub trait Client {
    /// Step 2: hands in commands, a bounded number. True when more are waiting already.
    fn commands(&mut self, edge: &mut Edge<'_>) -> bool;
    /// Step 3: a timer set through [`Edge::insert_timer`] fired.
    fn timer(&mut self, timer: u64);
    /// Step 6: a completion whose token has [`CLIENT_TOKEN`] set.
    fn completion(&mut self, completion: Completion);
}

/// The client of a native executor: has no commands.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoClient;

impl Client for NoClient {
    fn commands(&mut self, _edge: &mut Edge<'_>) -> bool {
        false
    }
    fn timer(&mut self, _timer: u64) {}
    fn completion(&mut self, _completion: Completion) {}
}

/// What to do when a turn finds no more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Park {
    /// Return; another turn follows at once.
    No,
    /// Return; the host sleeps on `host_fd` and the next deadline. Wakes from other threads make `host_fd` readable.
    Host,
    /// Block the thread in the driver until a completion, a wake or the next deadline.
    Thread,
}

/// What a turn left behind.
#[derive(Debug, Default)]
pub struct Turn {
    /// There is more to do now: call again without sleeping.
    pub ready: bool,
    /// When the next timer is due: the host arms its one timer for it.
    pub next_deadline: Option<Instant>,
    /// Client completions handed over in this turn.
    pub client_completions: u32,
    /// Client timers handed over in this turn.
    pub client_timers: u32,
    /// The driver's system call failed: nothing will complete any more; shut down.
    pub driver_error: Option<ringwheel_driver::Errno>,
    /// A client callback panicked: its payload.
    pub panic: Option<Box<dyn Any + Send>>,
}

/// Names a timer of the client. Stale keys are harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey(pub(crate) u64);

/// The driver and the wheel, lent to the client.
#[derive(Debug)]
pub struct Edge<'a> {
    /// The driver. Tokens must have [`CLIENT_TOKEN`] set.
    pub driver: &'a mut Driver,
    _wheel: PhantomData<&'a mut ()>,
}

#[expect(unused_variables, reason = "the seam: filled in within the hour")]
impl Edge<'_> {
    /// Now, read once per turn.
    pub fn now(&mut self) -> Instant {
        unimplemented!()
    }
    /// Sets a timer; [`Client::timer`] is called with `timer` once the deadline has passed.
    pub fn insert_timer(&mut self, deadline: Instant, timer: u64) -> TimerKey {
        unimplemented!()
    }
    /// Takes a timer back. False when it has fired or was taken back already.
    pub fn cancel_timer(&mut self, key: TimerKey) -> bool {
        unimplemented!()
    }
}
