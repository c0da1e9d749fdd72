//! The one suite that every driver must pass: named cases, run against whatever driver a [`Rig`] starts.
//!
//! A case panics where the contract is broken. It gets the driver's options, not the driver: some cases need few chunks, a
//! small pool or many drivers. `tests/contract.rs` runs all of them on every backend, host and queue size.
mod accounting;
mod cancel;
mod connections;
mod faults;
mod fifos;
mod files;
mod jobs;
mod lifecycle;
mod overflow;
mod raw;
mod rig;
mod sockets;
mod streams;
mod vectors;
mod wake;

pub use rig::{Drive, Rig, Skip};

/// One promise of the contract, with the code that tries it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// A sentence about behaviour.
    pub name: &'static str,
    /// Panics when the promise is broken; `Err` says why this rig cannot try it.
    pub run: fn(&Rig) -> Result<(), Skip>,
}

/// Every case, in the order that a reader would ask.
pub fn cases() -> Vec<Case> {
    [
        files::CASES,
        faults::CASES,
        vectors::CASES,
        streams::CASES,
        fifos::CASES,
        connections::CASES,
        sockets::CASES,
        jobs::CASES,
        cancel::CASES,
        accounting::CASES,
        overflow::CASES,
        wake::CASES,
        lifecycle::CASES,
    ]
    .concat()
}
