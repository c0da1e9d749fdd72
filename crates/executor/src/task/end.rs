//! How tasks end: by themselves, by a panic, cancelled, with their queue, or with the executor.
use super::{
    header::{CANCEL, DONE, Header, JOINED, Payload, QUEUED, RUNNING, Stage, quietly},
    queues::{DEFAULT, State},
    run::Tasks,
};
use crate::remote;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
};

impl Tasks {
    /// Turns the panic that came out of the slice into the running task's result.
    #[cold]
    pub(super) fn settle_panic(&self, payload: Payload) {
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
    pub(super) fn discard(&self, task: NonNull<Header>, why: Stage) -> bool {
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
    pub(super) fn complete(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: it has just run.
        let header = unsafe { task.as_ref() };
        header.flags.set(header.flags.get() & JOINED | DONE);
        self.slots.remove(remote::slot_of(header.handle));
        self.live.set(self.live.get() - 1);
        if header.queue.get() != DEFAULT {
            self.leave_queue(header.queue.get());
        }
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

    /// A task of a queue other than the default one has ended.
    fn leave_queue(&self, index: u8) {
        let queue = self.queues.at(index);
        queue.live.set(queue.live.get() - 1);
        // The active queue is freed when its slice is over (fair.rs).
        if queue.live.get() == 0 && queue.state.get() == State::Leaving && index != self.active.get() {
            self.free_queue(index);
        }
    }

    /// Frees the place of a queue that was removed and has no task any more.
    pub(super) fn free_queue(&self, index: u8) {
        let waiting = self.queues.free(index);
        if self.queues.is_single() {
            self.direct.set(DEFAULT); // The active one, too: a queue that is active is not freed.
        }
        for waker in waiting {
            self.wake_any(waker);
        }
    }

    /// Removes a queue: it takes no new tasks of others. With `cancel` those that it has are cancelled.
    pub(crate) fn remove_queue(&self, index: u8, cancel: bool) {
        let queue = self.queues.at(index);
        queue.state.set(State::Leaving);
        if cancel {
            for slot in 0..self.slots.len() {
                let Some(task) = self.slots.get(slot, None) else { continue };
                // SAFETY: needs a live header. Holds: it is in the slots.
                if unsafe { task.as_ref() }.queue.get() == index {
                    self.cancel(task);
                }
            }
        }
        if queue.live.get() == 0 && index != self.active.get() {
            self.free_queue(index);
        }
    }

    /// Takes a task out of the middle of its queue; walks it, so for rare ends only.
    fn unlink(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: it is queued.
        let index = unsafe { task.as_ref() }.queue.get();
        let list = if index == self.active.get() { &self.list } else { &self.queues.at(index).list };
        let mut rest = list.first.take();
        list.last.set(None);
        while let Some(queued) = rest {
            // SAFETY: a queued task is live.
            let header = unsafe { queued.as_ref() };
            rest = header.next.take();
            if queued == task {
                header.clear(QUEUED);
            } else {
                list.push(queued, header);
            }
        }
        if index != self.active.get() && list.first.get().is_none() {
            self.queues.ready.set(self.queues.ready.get() & !(1 << index));
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
        for index in self.queues.indices() {
            self.activate(index);
            while let Some(task) = self.pop() {
                // SAFETY: a queued task is live.
                unsafe { task.as_ref() }.clear(QUEUED);
            }
        }
        self.activate(DEFAULT);
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
        for index in self.queues.indices().filter(|index| *index != DEFAULT) {
            self.free_queue(index);
        }
        (dropped, panics)
    }
}
