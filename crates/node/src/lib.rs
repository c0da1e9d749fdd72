//! The addon: what lib/wire/binding.ts sees of the Rust side. Translation only, no policy; nothing process-wide (INV-9).
//!
//! `executor.rs`, `server.rs`, `notify.rs`, `times.rs` and `topology.rs` are the exports. `host.rs` joins an executor to the environment's event loop through
//! `uv.rs` and `alarm.rs`; `env.rs` ends it in order; `shared.rs`, `parcel.rs`, `shown.rs` and `values.rs` are the memory and the
//! objects that cross.

#[cfg(unix)]
mod alarm;
#[cfg(unix)]
mod diagnose;
#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod env;
#[cfg(unix)]
mod error;
#[cfg(unix)]
mod executor;
#[cfg(unix)]
mod host;
#[cfg(unix)]
mod notify;
#[cfg(unix)]
mod parcel;
#[cfg(unix)]
mod routes;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod shared;
#[cfg(unix)]
mod shown;
#[cfg(unix)]
mod stalls;
#[cfg(unix)]
mod times;
#[cfg(unix)]
mod topology;
#[cfg(unix)]
mod uv;
#[cfg(unix)]
mod values;
#[cfg(unix)]
mod wake;

use napi_derive::napi;

/// Version of the shared memory's layout; lib/wire/layout.generated.ts has the same.
#[napi]
pub fn layout_version() -> u32 {
    ringwheel_command::layout::LAYOUT_VERSION
}

/// Bytes of the shared memory.
#[napi]
pub fn region_bytes() -> u32 {
    ringwheel_command::Geometry::DEFAULT.bytes() as u32
}
