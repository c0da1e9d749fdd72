//! What every task begins with, and the one place that knows the concrete type behind it.
//!
//! ```text
//!  block of the arena:  Header (48 bytes)  │  Body<F>: the future, later its output or a panic's payload, in the same place
//! ```
//!
//! `Stage` says what the body holds. It is changed *before* user code that may panic runs (a destructor), so that no panic
//! can make anything be dropped twice.
use std::{
    any::Any,
    cell::Cell,
    future::Future,
    mem::{ManuallyDrop, needs_drop},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll, Waker},
};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// What the body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The future.
    Future,
    /// The output, not yet taken.
    Output,
    /// A panic's payload, not yet taken.
    Panicked,
    /// Nothing: the output was taken, or something is being dropped right now.
    Empty,
    /// Nothing: the task was cancelled.
    Cancelled,
    /// Nothing: the executor shut down.
    Closed,
}

/// In the run queue.
pub(crate) const QUEUED: u8 = 1;
/// Being polled or dropped right now.
pub(crate) const RUNNING: u8 = 2;
/// Woken while it ran: to be queued again.
pub(crate) const WOKEN: u8 = 4;
/// Will not run again.
pub(crate) const DONE: u8 = 8;
/// A join handle points here; it frees the block if it goes last.
pub(crate) const JOINED: u8 = 16;
/// To be dropped instead of polled.
pub(crate) const CANCEL: u8 = 32;

/// The head of every task.
#[repr(C)]
pub(crate) struct Header {
    pub(super) vtable: &'static VTable,
    /// The next task in the run queue.
    pub(super) next: Cell<Option<NonNull<Header>>>,
    /// The bits of its wakers.
    pub(super) handle: u64,
    /// Who waits in the join handle.
    pub(super) join_waker: Cell<Option<Waker>>,
    pub(super) flags: Cell<u8>,
    pub(super) stage: Cell<Stage>,
    /// Which of its executor's queues it belongs to.
    pub(super) queue: Cell<u8>,
}

impl Header {
    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags.get() & flag != 0
    }
    #[inline]
    pub(super) fn set(&self, flag: u8) {
        self.flags.set(self.flags.get() | flag);
    }
    #[inline]
    pub(super) fn clear(&self, flag: u8) {
        self.flags.set(self.flags.get() & !flag);
    }
}

/// The type-dependent part.
pub(crate) struct VTable {
    /// Polls. True when the body now holds an output or a payload. May unwind out of the future's own poll: then the stage
    /// is still `Future`.
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    /// Drops what the body holds and leaves the stage `Empty`. May unwind.
    pub(super) drop_body: unsafe fn(NonNull<Header>),
    /// Puts a payload in an empty body.
    pub(super) put_payload: unsafe fn(NonNull<Header>, Payload),
    /// Takes a payload out and leaves the stage `Empty`.
    pub(super) take_payload: unsafe fn(NonNull<Header>) -> Payload,
    /// Where the output is, in bytes from the header.
    pub(super) body_offset: usize,
    /// The block's layout.
    pub(super) layout: std::alloc::Layout,
}

/// A task of a known type.
#[repr(C)]
pub(super) struct Task<F: Future> {
    pub(super) header: Header,
    pub(super) body: Body<F>,
}

/// One place for three things; `Header::stage` says which.
#[repr(C)]
pub(super) union Body<F: Future> {
    pub(super) future: ManuallyDrop<F>,
    output: ManuallyDrop<F::Output>,
    payload: ManuallyDrop<Payload>,
}

impl<F: Future> Task<F> {
    pub(super) const VTABLE: &'static VTable = &VTable {
        poll: Self::poll,
        drop_body: Self::drop_body,
        put_payload: Self::put_payload,
        take_payload: Self::take_payload,
        body_offset: std::mem::offset_of!(Self, body),
        layout: std::alloc::Layout::new::<Self>(),
    };

    /// The body's address. `task` must be the start of a block with a `Task<F>` in it.
    unsafe fn body<T>(task: NonNull<Header>) -> *mut T {
        // SAFETY: needs the offset to lie within the block. Holds by the caller's promise and `offset_of`.
        // Checked: tests/tasks.rs with futures of many sizes.
        unsafe { task.as_ptr().cast::<u8>().add(std::mem::offset_of!(Self, body)) }.cast()
    }

    /// SAFETY: `task` is a live `Task<F>` in stage `Future`, and nothing else refers to its body.
    unsafe fn poll(task: NonNull<Header>, context: &mut Context<'_>) -> bool {
        // SAFETY: a live block, by the caller's promise.
        let future: *mut F = unsafe { Self::body(task) };
        // SAFETY: needs the only reference to a valid F. Holds: stage `Future`; RUNNING keeps everyone else away.
        // Checked: tests/tasks.rs.
        let reference = unsafe { &mut *future };
        // SAFETY: needs that it never moves before it is dropped. Holds: the arena never moves blocks, and the future is
        // dropped in place. Checked: tests/tasks.rs.
        let pinned = unsafe { Pin::new_unchecked(reference) };
        let Poll::Ready(output) = pinned.poll(context) else { return false };
        // SAFETY: a live header, by the caller's promise.
        let header = unsafe { task.as_ref() };
        header.stage.set(Stage::Empty);
        if needs_drop::<F>() {
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                // SAFETY: needs a valid F that is not used again. Holds: the stage is `Empty` from two lines above on.
                // Checked: `a_destructor_that_panics_is_an_error` in tests/panics.rs.
                unsafe { std::ptr::drop_in_place(future) }
            }));
            if let Err(payload) = dropped {
                quietly(move || drop(output));
                // SAFETY: the body is empty.
                unsafe { Self::put_payload(task, payload) };
                return true;
            }
        }
        // SAFETY: a live block, by the caller's promise.
        let place: *mut F::Output = unsafe { Self::body(task) };
        // SAFETY: needs room and alignment for an output. Holds: it is a field of the union, whose body is empty.
        unsafe { place.write(output) };
        header.stage.set(Stage::Output);
        true
    }

    /// SAFETY: `task` is a live `Task<F>`, and nothing else refers to its body.
    unsafe fn drop_body(task: NonNull<Header>) {
        // SAFETY: a live header, by the caller's promise.
        let stage = unsafe { task.as_ref() }.stage.replace(Stage::Empty);
        // SAFETY: a live block, by the caller's promise.
        let body: *mut Body<F> = unsafe { Self::body(task) };
        match stage {
            // SAFETY: needs a valid F, dropped once. Holds: the stage said so and is `Empty` now.
            Stage::Future => unsafe { std::ptr::drop_in_place(body.cast::<F>()) },
            // SAFETY: needs a valid output, dropped once. Holds as above.
            Stage::Output => unsafe { std::ptr::drop_in_place(body.cast::<F::Output>()) },
            // SAFETY: needs a valid payload, dropped once. Holds as above.
            Stage::Panicked => unsafe { std::ptr::drop_in_place(body.cast::<Payload>()) },
            Stage::Empty | Stage::Cancelled | Stage::Closed => {}
        }
    }

    /// SAFETY: `task` is a live `Task<F>` whose body is empty.
    unsafe fn put_payload(task: NonNull<Header>, payload: Payload) {
        // SAFETY: a live block, by the caller's promise.
        let place: *mut Payload = unsafe { Self::body(task) };
        // SAFETY: needs room and alignment for a payload. Holds: it is a field of the union.
        unsafe { place.write(payload) };
        // SAFETY: a live header, by the caller's promise.
        unsafe { task.as_ref() }.stage.set(Stage::Panicked);
    }

    /// SAFETY: `task` is a live `Task<F>` in stage `Panicked`.
    unsafe fn take_payload(task: NonNull<Header>) -> Payload {
        // SAFETY: a live header, by the caller's promise.
        unsafe { task.as_ref() }.stage.set(Stage::Empty);
        // SAFETY: a live block, by the caller's promise.
        let place: *mut Payload = unsafe { Self::body(task) };
        // SAFETY: needs a valid payload, read once. Holds: the stage was `Panicked` and is `Empty` now.
        unsafe { place.read() }
    }
}

/// Runs user code whose panic nobody can be told of; a payload that panics as it is dropped is leaked. True when it panicked.
pub(crate) fn quietly(work: impl FnOnce()) -> bool {
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else { return false };
    if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(worse);
    }
    true
}
