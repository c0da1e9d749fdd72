//! The waker of a task: 64 bits (see `remote.rs`), no memory, no count. On the executor's own thread during a turn it
//! queues the task directly; anywhere else it goes through the waker ring.
use super::header::quietly;
use crate::{
    current,
    remote::{self, SELF_SLOT},
};
use std::{
    ptr,
    task::{RawWaker, RawWakerVTable, Waker},
};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, forget);

#[inline]
fn raw(handle: u64) -> RawWaker {
    RawWaker::new(ptr::without_provenance(handle as usize), &VTABLE)
}

fn clone(bits: *const ()) -> RawWaker {
    raw(bits.addr() as u64)
}

fn wake(bits: *const ()) {
    wake_handle(bits.addr() as u64);
}

fn forget(_bits: *const ()) {}

/// The waker of `handle`.
#[inline]
pub(crate) fn waker(handle: u64) -> Waker {
    // SAFETY: needs functions that are thread-safe and keep RawWaker's contract for any clone, at any time. Holds: the data is a
    // number that is copied and never dereferenced; waking goes to the own core only when this thread is in its turn, else
    // to the ring, which is for all threads. Checked: tests/wakers.rs, loom tests of the ring.
    unsafe { Waker::from_raw(raw(handle)) }
}

/// The bits of a waker, if it is one of ours.
#[inline]
pub(crate) fn handle_of(waker: &Waker) -> Option<u64> {
    ptr::eq(waker.vtable(), &VTABLE).then(|| waker.data().addr() as u64)
}

/// Wakes from anywhere.
#[inline]
pub(crate) fn wake_handle(handle: u64) {
    current::with(|core| match core {
        Some(core) if remote::belongs_to(handle, core.tasks.executor()) => core.tasks.wake(handle),
        Some(_) | None => remote::wake(handle),
    });
}

/// Wakes from anywhere; a foreign waker's panic is contained, so this may be called while another one unwinds.
pub(crate) fn wake_quietly(waker: Waker) {
    match handle_of(&waker) {
        Some(handle) => wake_handle(handle),
        None => drop(quietly(|| waker.wake())),
    }
}

/// Wakes from anywhere, but another executor's task only with this turn's system call: for our own cross-core messages, of which
/// a turn may send many. What others wake is woken at once, as they may block for it.
pub(crate) fn wake_soon(waker: Waker) {
    match handle_of(&waker) {
        Some(handle) => wake_handle_soon(handle),
        None => drop(quietly(|| waker.wake())),
    }
}

/// As [`wake_soon`], by its bits.
#[inline]
pub(crate) fn wake_handle_soon(handle: u64) {
    current::with(|core| match core {
        Some(core)
            if remote::belongs_to(handle, core.tasks.executor()) && remote::slot_of(handle) != SELF_SLOT =>
        {
            core.tasks.wake(handle);
        }
        Some(core) => core.wake_elsewhere(handle),
        None => remote::wake(handle),
    });
}
