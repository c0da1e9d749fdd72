//! The run queue: spawn, wake, and a bounded slice of polls under one `catch_unwind`.
//!
//! A poll costs no catch of its own: the slice runs under one, `running` names the task that a panic belongs to, and the
//! slice goes on after it. Destructors of futures have their own, and only where the type has one.
use super::{
    arena::Arena,
    header::{Body, CANCEL, DONE, Header, JOINED, Payload, QUEUED, RUNNING, Stage, Task, WOKEN, quietly},
    slots::Slots,
    waker,
};
use crate::{SpawnError, remote, waker_ring::WakerRing};
use std::{
    cell::Cell,
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    task::{Context, Waker},
};

/// All tasks of one executor.
pub(crate) struct Tasks {
    slots: Slots,
    arena: Arena,
    first: Cell<Option<NonNull<Header>>>,
    last: Cell<Option<NonNull<Header>>>,
    running: Cell<Option<NonNull<Header>>>,
    closing: Cell<bool>,
    /// The upper bits of every waker.
    executor: u64,
    ring: &'static WakerRing,
    pub(crate) live: Cell<u32>,
    pub(crate) spawned: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) panics: Cell<u64>,
}

impl Tasks {
    pub(crate) fn new(executor: u64, ring: &'static WakerRing, tasks_max: u32) -> Tasks {
        Tasks {
            slots: Slots::new(tasks_max),
            arena: Arena::new(),
            first: Cell::new(None),
            last: Cell::new(None),
            running: Cell::new(None),
            closing: Cell::new(false),
            executor,
            ring,
            live: Cell::new(0),
            spawned: Cell::new(0),
            polls: Cell::new(0),
            panics: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn executor(&self) -> u64 {
        self.executor
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.arena.bytes()
    }

    /// True when a task is queued.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.first.get().is_some()
    }

    /// Puts a future into a block and queues it. The task has the flag JOINED: the caller makes the join handle.
    ///
    /// # Safety
    /// If `F` is not `'static`, the caller drops the task (`cancel_now`) before anything that `F` borrows ends.
    #[inline]
    pub(crate) unsafe fn spawn<F: Future>(&self, future: F) -> Result<NonNull<Header>, SpawnError> {
        if self.closing.get() {
            return Err(SpawnError::Closed);
        }
        let Some((slot, generation, fresh)) = self.slots.next() else { return Err(SpawnError::Full) };
        if fresh {
            self.ring.reserve(slot);
        }
        let vtable = Task::<F>::VTABLE;
        let task = self.arena.take(vtable.layout).cast::<Task<F>>();
        let header = Header {
            vtable,
            next: Cell::new(None),
            handle: remote::task_handle(self.executor, slot, generation),
            join_waker: Cell::new(None),
            flags: Cell::new(JOINED),
            stage: Cell::new(Stage::Future),
        };
        // SAFETY: needs room and alignment for a `Task<F>`. Holds: the block was taken with its layout.
        // Checked: `blocks_do_not_overlap` in arena.rs.
        unsafe { task.write(Task { header, body: Body { future: ManuallyDrop::new(future) } }) };
        let task = task.cast::<Header>();
        self.slots.put(task);
        self.live.set(self.live.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        self.push(task);
        Ok(task)
    }

    /// Spawns a task that nobody joins.
    pub(crate) fn spawn_detached<F: Future + 'static>(&self, future: F) -> Result<(), SpawnError> {
        // SAFETY: needs a `'static` future. Holds: the bound.
        let task = unsafe { self.spawn(future) }?;
        self.unjoin(task);
        Ok(())
    }

    /// False: `spawn` would say that it is full.
    pub(crate) fn has_room(&self) -> bool {
        self.closing.get() || self.slots.next().is_some()
    }

    #[inline]
    fn push(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: tasks are freed only when DONE and not QUEUED, and only live ones are pushed.
        let header = unsafe { task.as_ref() };
        debug_assert!(!header.has(QUEUED | DONE | RUNNING));
        header.set(QUEUED);
        header.next.set(None);
        match self.last.replace(Some(task)) {
            // SAFETY: a queued task is live.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
    }

    #[inline]
    fn pop(&self) -> Option<NonNull<Header>> {
        let task = self.first.get()?;
        // SAFETY: a queued task is live.
        let header = unsafe { task.as_ref() };
        self.first.set(header.next.get());
        if self.first.get().is_none() {
            self.last.set(None);
        }
        header.clear(QUEUED);
        Some(task)
    }

    /// Wakes the task of a handle of this executor, if it is still the same one.
    #[inline]
    pub(crate) fn wake(&self, handle: u64) {
        if let Some(task) = self.slots.get(remote::slot_of(handle), Some(remote::generation_of(handle))) {
            self.wake_task(task);
        }
    }

    /// Wakes whatever task is in a slot: for wakes from other threads, which are merged by slot.
    pub(crate) fn wake_slot(&self, slot: u32) {
        if let Some(task) = self.slots.get(slot, None) {
            self.wake_task(task);
        }
    }

    #[inline]
    fn wake_task(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: only live tasks are in the slots or joined.
        let header = unsafe { task.as_ref() };
        if header.has(RUNNING) {
            header.set(WOKEN);
        } else if !header.has(QUEUED | DONE) && !self.closing.get() {
            self.push(task);
        }
    }

    /// Wakes any waker: ours directly, a foreign one under a catch, since it is foreign code.
    #[inline]
    pub(crate) fn wake_any(&self, waker: Waker) {
        match waker::handle_of(&waker) {
            Some(handle) if remote::belongs_to(handle, self.executor) => self.wake(handle),
            _ => self.guarded(|| waker.wake()),
        }
    }

    /// Runs foreign code whose panic belongs to no task.
    pub(crate) fn guarded(&self, work: impl FnOnce()) {
        if quietly(work) {
            self.panics.set(self.panics.get() + 1);
        }
    }

    /// Polls at most `max` queued tasks. Never unwinds.
    pub(crate) fn run(&self, max: u32) {
        let left = Cell::new(max);
        while left.get() > 0 && self.is_ready() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.slice(&left))) {
                self.settle_panic(payload);
            }
        }
        self.polls.set(self.polls.get() + u64::from(max - left.get()));
    }

    fn slice(&self, left: &Cell<u32>) {
        while left.get() > 0 {
            let Some(task) = self.pop() else { return };
            left.set(left.get() - 1);
            // SAFETY: needs a live header. Holds: it was queued.
            let header = unsafe { task.as_ref() };
            if header.has(CANCEL) {
                self.discard(task, Stage::Cancelled);
                continue;
            }
            header.set(RUNNING);
            self.running.set(Some(task));
            // Our wakers need no drop; saying so saves a call per poll.
            let waker = ManuallyDrop::new(waker::waker(header.handle));
            // SAFETY: needs a live task in stage `Future`. Holds: it was queued, not DONE, and is not cancelled; RUNNING is set.
            // Checked: tests/tasks.rs.
            let done = unsafe { (header.vtable.poll)(task, &mut Context::from_waker(&waker)) };
            self.running.set(None);
            header.clear(RUNNING);
            if done {
                self.complete(task);
            } else if header.has(WOKEN) {
                header.clear(WOKEN);
                self.push(task);
            }
        }
    }

    /// Turns the panic that came out of the slice into the running task's result.
    #[cold]
    fn settle_panic(&self, payload: Payload) {
        self.panics.set(self.panics.get() + 1);
        let Some(task) = self.running.take() else {
            // All foreign code outside of polls runs under its own catch; if one was missed, its panic is counted and gone.
            quietly(move || drop(payload));
            return;
        };
        if let Some(second) = self.drop_future(task) {
            quietly(move || drop(second));
        }
        // SAFETY: needs a live task whose body is empty. Holds: it was running, and its future has just been dropped.
        let put = unsafe { task.as_ref() }.vtable.put_payload;
        // SAFETY: as above.
        unsafe { put(task, payload) };
        self.complete(task);
    }

    /// Drops a task's future in place. A panic is counted and given back.
    fn drop_future(&self, task: NonNull<Header>) -> Option<Payload> {
        // SAFETY: needs a live header. Holds: the callers have a task that is not done.
        let header = unsafe { task.as_ref() };
        header.set(RUNNING); // Wakes of itself from its destructor must not queue it.
        let drop_body = header.vtable.drop_body;
        // SAFETY: needs a live task that nobody else refers to. Holds: it is not being polled, RUNNING keeps others away.
        // Checked: tests/panics.rs, tests/tasks.rs.
        let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { drop_body(task) }));
        header.clear(RUNNING);
        dropped.err().inspect(|_| self.panics.set(self.panics.get() + 1))
    }

    /// Ends a task that is neither queued nor running without polling it. A panic of its destructor becomes its result.
    fn discard(&self, task: NonNull<Header>, why: Stage) -> bool {
        let panic = self.drop_future(task);
        let panicked = panic.is_some();
        // SAFETY: a live header, as in `drop_future`.
        let header = unsafe { task.as_ref() };
        match panic {
            // SAFETY: needs an empty body. Holds: `drop_future` has emptied it.
            Some(payload) => unsafe { (header.vtable.put_payload)(task, payload) },
            None => header.stage.set(why),
        }
        self.complete(task);
        panicked
    }

    /// A task will not run again: its wakers go stale, its joiner is woken, or its block is freed.
    #[inline]
    fn complete(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: it has just run.
        let header = unsafe { task.as_ref() };
        header.clear(RUNNING | WOKEN | CANCEL);
        header.set(DONE);
        self.slots.remove(remote::slot_of(header.handle));
        self.live.set(self.live.get() - 1);
        if header.has(JOINED) {
            // Foreign wakers may drop the join handle and with it the task: nothing touches it after this.
            if let Some(waker) = header.join_waker.take() {
                self.wake_any(waker);
            }
        } else {
            self.guarded(|| self.free(task));
        }
    }

    /// Drops what a finished, unjoined task holds and frees its block, even when that panics.
    #[inline]
    fn free(&self, task: NonNull<Header>) {
        struct Give<'a>(&'a Tasks, NonNull<Header>, std::alloc::Layout);
        impl Drop for Give<'_> {
            fn drop(&mut self) {
                // SAFETY: needs a block from this arena that is not used again. Holds: DONE, not JOINED, not queued, its slot is
                // gone. Checked: tests/tasks.rs, allocation counts in tests/allocations.rs.
                unsafe { self.0.arena.give(self.1.cast(), self.2) }
            }
        }
        // SAFETY: needs a live header. Holds: the block is freed by the guard below, once.
        let header = unsafe { task.as_ref() };
        let vtable = header.vtable;
        let holds = matches!(header.stage.get(), Stage::Output | Stage::Panicked);
        let _give = Give(self, task, vtable.layout);
        if !holds {
            return; // The usual end: the output was taken.
        }
        // SAFETY: needs a live task that nobody else refers to. Holds: as for the guard.
        unsafe { (vtable.drop_body)(task) };
    }

    /// Asks for the end of a task (not done, named by a live join handle).
    pub(super) fn cancel(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: a join handle keeps it.
        let header = unsafe { task.as_ref() };
        if !header.has(DONE) {
            header.set(CANCEL);
            self.wake_task(task);
        }
    }

    /// Drops a task's future at once, before this returns; for futures that borrow from the caller's stack.
    pub(crate) fn cancel_now(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: the caller's join handle keeps it.
        let header = unsafe { task.as_ref() };
        if header.has(DONE) {
            return;
        }
        if header.has(QUEUED) {
            self.unlink(task);
        }
        self.discard(task, Stage::Cancelled);
    }

    /// Takes a task out of the middle of the queue; walks it, so for rare ends only.
    fn unlink(&self, task: NonNull<Header>) {
        let mut rest = self.first.take();
        self.last.set(None);
        while let Some(queued) = rest {
            // SAFETY: a queued task is live.
            let header = unsafe { queued.as_ref() };
            rest = header.next.take();
            header.clear(QUEUED);
            if queued != task {
                self.push(queued);
            }
        }
    }

    /// The join handle of `task` goes away.
    #[inline]
    pub(super) fn unjoin(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: the join handle keeps it until here.
        let header = unsafe { task.as_ref() };
        header.clear(JOINED);
        let waker = header.join_waker.take();
        if header.has(DONE) {
            self.free(task);
        }
        drop(waker);
    }

    /// Drops every task; new ones are refused from now on. Returns how many, and how many destructors panicked.
    pub(crate) fn close(&self) -> (u32, u32) {
        self.closing.set(true);
        while self.pop().is_some() {}
        let (mut dropped, mut panics) = (0, 0);
        let mut slot = 0;
        // Nothing can be spawned any more, so one pass is all.
        while slot < self.slots.len() {
            if let Some(task) = self.slots.get(slot, None) {
                dropped += 1;
                panics += u32::from(self.discard(task, Stage::Closed));
            }
            slot += 1;
        }
        (dropped, panics)
    }
}
