//! Routes: requests that are handled by a thread of the server's owner, such as JavaScript's, instead of by a file.
//!
//! ```text
//!   core                                                         the handlers' thread
//!   look.rs      which route (table.rs), who may come in
//!   converse.rs  flushes what went before, leaves the request ─▶ desk.rs ─▶ attendant.rs: takes all that is there
//!      │         reads the body (intake.rs, chunked.rs)     ─▶ exchange.rs ─▶ reads it
//!      ▼         writes the answer (reply.rs)               ◀─ exchange.rs ◀─ answers; wakes the cores once for all
//! ```
//! A server without routes looks at one number a request. What a core leaves in one turn rings the bell once; what the handlers'
//! thread answers in one go wakes each core once.
mod attendant;
mod chunked;
mod converse;
mod desk;
mod exchange;
mod intake;
mod look;
mod refusal;
mod reply;
mod table;

pub use attendant::{Attendant, Length, NUMBERS, Notice, Piece, Routes};
pub(crate) use converse::converse;
pub use desk::Bell;
pub(crate) use desk::{Desk, View};
pub(crate) use look::{Look, Routed, find, look};
pub(crate) use refusal::{Refused, refuse};
