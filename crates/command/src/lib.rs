//! The memory that JavaScript and Rust share: who writes which word, in which order, and what a reader may assume.
//!
//! ```text
//!   JavaScript (lib/ring)                      one SharedArrayBuffer                      Rust (executor/bridge)
//!   command-writer ──▶ commands[4096] × 64 B ── commandTail ▶ ─────────── ◀ commandHead ──▶ Consumer → decode → Request
//!   completion-reader ◀── completions[4096] × 16 B ── completionHead ▶ ── ◀ completionTail ──◀ CompletionWriter
//! ```
//!
//! * Each ring has one producer and one consumer. The producer owns the *tail* (the next index it will write), the
//!   consumer the *head* (the next index it will read). Both run freely through `u32` and are masked at use.
//! * The producer fills entries, then stores the tail with release. The consumer loads the tail once a turn with acquire,
//!   copies each entry into a local, and stores the head once, with release, after its last copy.
//! * A full ring is backpressure: [`Producer::push`] says [`RingError::Full`] and changes nothing.
//! * JavaScript is distrusted (INV-5): capacities and the indices that Rust owns live in Rust and are never read back; an
//!   index of JavaScript's that cannot be true is [`RingError::Corrupt`]; an entry is 64 bytes of noise until
//!   [`decode`](decode::decode) turned its copy into a [`Request`].
//! * In an embedded executor both sides run on one thread, so JavaScript may use plain typed-array accesses. A producer
//!   on another thread must use `Atomics.store` for the tail; `tests/loom_ring.rs` checks that this is enough.
//!
//! ```
//! use ringwheel_command::{Action, Command, Geometry, Opcode, Region, Rings};
//!
//! let region = Region::owned(Geometry::DEFAULT);
//! let mut javascript = region.script_side();
//! let Rings { mut commands, mut completions } = region.rings();
//!
//! let truncate = Command { opcode: Opcode::Truncate as u8, pending_slot: 7, pending_generation: 1, operand: 2.0, ..Command::ZERO };
//! javascript.commands.push(truncate.to_words()).unwrap();
//! javascript.commands.publish();
//!
//! let mut batch = commands.batch().unwrap();
//! let request = batch.request().unwrap().unwrap();
//! let Action::Truncate { length: 2, file } = request.action else { panic!("decoded as something else") };
//! # let _ = file;
//! batch.advance();
//! drop(batch); // Publishes the head, once.
//!
//! completions.reply(request.pending, 0, 0).unwrap();
//! assert_eq!(completions.publish(), 1);
//! ```

pub mod call;
pub mod decode;
pub mod layout;
pub mod opcode;
pub mod parts;
pub mod ranges;
pub mod reply;
pub mod ring;
pub mod shared;

pub use call::{Call, CallNumber};
pub use decode::{Action, FileId, LeaseRange, PendingId, Position, Request};
pub use layout::{Command, Completion, Geometry};
pub use opcode::Opcode;
pub use reply::{CompletionWriter, Reject, RejectCode};
pub use ring::{Batch, CommandReader, Consumer, Memory, Producer, RingError};
pub use shared::{AttachError, Region, Rings, ScriptSide};
