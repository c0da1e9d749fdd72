//! The run queue: spawn, wake, and a bounded slice of polls under one `catch_unwind`.
//!
//! The list of the *active* queue is here, those of the others in `queues.rs`: with one queue there is nothing to look up. What ends a slice
//! early does so by taking its polls away (`end_slice`), so that a poll costs no question.
//!
//! A poll costs no catch of its own: the slice runs under one, `running` names the task that a panic belongs to, and the
//! slice goes on after it. Destructors of futures have their own, and only where the type has one.
use super::{
    arena::Arena,
    header::{Body, CANCEL, DONE, Header, JOINED, QUEUED, RUNNING, Stage, Task, WOKEN, quietly},
    queues::{DEFAULT, List, Queues},
    slots::Slots,
    waker,
};
use crate::{SpawnError, remote, stall::Heart, waker_ring::WakerRing};
use ringwheel_driver::preempt::{self, Preempt};
use std::{
    cell::{Cell, OnceCell},
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    sync::{Arc, atomic::AtomicU32},
    task::{Context, Waker},
};

/// No queue's index.
const NONE: u8 = u8::MAX;

/// All tasks of one executor.
pub(crate) struct Tasks {
    pub(super) slots: Slots,
    pub(super) arena: Arena,
    pub(super) list: List,
    /// Whose list that is; the default queue's outside of step 4.
    pub(super) active: Cell<u8>,
    /// The active queue where tasks are pushed without a question; `NONE` outside of step 4 when there are several, since then the
    /// moment counts in which the active one becomes ready.
    pub(super) direct: Cell<u8>,
    /// Where `spawn` puts tasks: the queue of the running one.
    pub(super) current: Cell<u8>,
    pub(crate) queues: Queues,
    /// Polls left in this slice, and how many `end_slice` took from it.
    left: Cell<u32>,
    cut: Cell<u32>,
    /// The step has to end too: somebody was preempted.
    pub(super) preempted: Cell<bool>,
    /// The word of preemption, once there is one.
    pub(crate) word: Cell<Option<&'static AtomicU32>>,
    /// The word is looked at after each poll.
    pub(super) watched: Cell<bool>,
    pub(super) running: Cell<Option<NonNull<Header>>>,
    pub(super) closing: Cell<bool>,
    /// The upper bits of every waker.
    executor: u64,
    ring: &'static WakerRing,
    pub(crate) live: Cell<u32>,
    pub(crate) spawned: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) panics: Cell<u64>,
    /// Whom to tell of the queue that runs, when stalls are watched for.
    pub(crate) heart: OnceCell<Arc<Heart>>,
}

impl Tasks {
    pub(crate) fn new(executor: u64, ring: &'static WakerRing, tasks_max: u32) -> Tasks {
        Tasks {
            slots: Slots::new(tasks_max),
            arena: Arena::new(),
            list: List::default(),
            active: Cell::new(DEFAULT),
            direct: Cell::new(DEFAULT),
            current: Cell::new(DEFAULT),
            queues: Queues::new(),
            left: Cell::new(0),
            cut: Cell::new(0),
            preempted: Cell::new(false),
            word: Cell::new(None),
            watched: Cell::new(false),
            running: Cell::new(None),
            closing: Cell::new(false),
            executor,
            ring,
            live: Cell::new(0),
            spawned: Cell::new(0),
            polls: Cell::new(0),
            panics: Cell::new(0),
            heart: OnceCell::new(),
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
        self.is_active_ready() || self.queues.ready.get() != 0
    }

    #[inline]
    pub(super) fn is_active_ready(&self) -> bool {
        self.list.first.get().is_some()
    }

    /// The queue of the task that runs now; the default one outside of tasks.
    #[inline]
    pub(crate) fn current_queue(&self) -> u8 {
        self.current.get()
    }

    /// Puts a future into a block and queues it. The task has the flag JOINED: the caller makes the join handle.
    ///
    /// # Safety
    /// If `F` is not `'static`, the caller drops the task (`cancel_now`) before anything that `F` borrows ends.
    #[inline]
    pub(crate) unsafe fn spawn<F: Future>(&self, future: F) -> Result<NonNull<Header>, SpawnError> {
        // SAFETY: the caller's promise.
        unsafe { self.spawn_in(self.current.get(), future) }
    }

    /// As `spawn`, into a queue that is not free.
    ///
    /// # Safety
    /// As for `spawn`.
    #[inline]
    pub(crate) unsafe fn spawn_in<F: Future>(
        &self,
        queue: u8,
        future: F,
    ) -> Result<NonNull<Header>, SpawnError> {
        if self.closing.get() {
            return Err(SpawnError::Closed);
        }
        let vtable = Task::<F>::VTABLE;
        let mut handle = 0;
        let put = self.slots.put(|slot, generation, fresh| {
            if fresh {
                self.ring.reserve(slot);
            }
            handle = remote::task_handle(self.executor, slot, generation);
            self.arena.take(vtable.layout).cast::<Header>()
        });
        let Some(task) = put else { return Err(SpawnError::Full) };
        let header = Header {
            vtable,
            next: Cell::new(None),
            handle,
            join_waker: Cell::new(None),
            flags: Cell::new(JOINED),
            stage: Cell::new(Stage::Future),
            queue: Cell::new(queue),
        };
        let body = Body { future: ManuallyDrop::new(future) };
        // SAFETY: needs room and alignment for a `Task<F>`, and that nobody reads the block before: it is in the slots already.
        // Holds: the block was taken with its layout, and nothing of others has run since. Checked: `blocks_do_not_overlap` in arena.rs.
        unsafe { task.cast::<Task<F>>().write(Task { header, body }) };
        self.live.set(self.live.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        if queue != DEFAULT {
            let live = &self.queues.at(queue).live;
            live.set(live.get() + 1);
        }
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
        self.closing.get() || self.slots.has_room()
    }

    #[inline]
    fn push(&self, task: NonNull<Header>) {
        // SAFETY: needs a live header. Holds: tasks are freed only when DONE and not QUEUED, and only live ones are pushed.
        let header = unsafe { task.as_ref() };
        debug_assert!(!header.has(QUEUED | DONE | RUNNING));
        header.set(QUEUED);
        if header.queue.get() == self.direct.get() {
            self.list.push(task, header);
        } else {
            self.push_elsewhere(task, header);
        }
    }

    /// Queues a task of a queue whose slice does not run. A latency class that wakes ends the slice of who is less urgent; so does
    /// every queue when the slice was begun for one queue alone.
    #[inline(never)]
    fn push_elsewhere(&self, task: NonNull<Header>, header: &Header) {
        let index = header.queue.get();
        let queue = self.queues.at(index);
        if index == self.active.get() {
            if !self.is_active_ready() {
                queue.times.ready(preempt::now_ns);
            }
            return self.list.push(task, header);
        }
        if queue.list.first.get().is_none() {
            queue.times.ready(preempt::now_ns);
            self.queues.wake(index, queue);
            let (theirs, ours) = (queue.latency.get(), self.queues.at(self.active.get()).latency.get());
            let urgent = theirs > 0 && (ours == 0 || ours > theirs);
            if urgent && let Some(word) = self.word.get() {
                preempt::raise_for_latency(word);
            }
            if urgent || !self.watched.get() {
                self.end_slice();
            }
        }
        queue.list.push(task, header);
    }

    /// Makes another queue the active one.
    pub(super) fn activate(&self, index: u8) {
        let active = self.active.get();
        if active == index {
            return;
        }
        let exchange = |here: &Cell<Option<NonNull<Header>>>, from: &Cell<_>, to: &Cell<_>| {
            from.set(here.replace(to.take()));
        };
        let (from, to) = (&self.queues.at(active).list, &self.queues.at(index).list);
        exchange(&self.list.first, &from.first, &to.first);
        exchange(&self.list.last, &from.last, &to.last);
        let ready = self.queues.ready.get() & !(1 << index);
        self.queues.ready.set(ready | u64::from(from.first.get().is_some()) << active);
        self.active.set(index);
        self.direct.set(NONE);
        if let Some(heart) = self.heart.get() {
            heart.queue(index.into());
        }
    }

    /// The slice of the active queue begins: what its tasks wake goes straight into its list.
    pub(super) fn open_list(&self) {
        self.direct.set(self.active.get());
    }

    /// The last slice of the step is over.
    pub(super) fn close_list(&self) {
        self.direct.set(if self.queues.is_single() { DEFAULT } else { NONE });
    }

    /// The poll that runs is the last of its slice.
    #[inline]
    pub(crate) fn end_slice(&self) {
        self.cut.set(self.cut.get() + self.left.replace(0));
    }

    /// The running task gives its core up because its time is over: the slice ends, and so does step 4.
    pub(crate) fn preempt(&self) {
        self.preempted.set(true);
        self.end_slice();
    }

    /// Takes the first task off the active queue; its flag QUEUED is still set.
    #[inline]
    pub(super) fn pop(&self) -> Option<NonNull<Header>> {
        let task = self.list.first.get()?;
        // SAFETY: a queued task is live.
        let next = unsafe { task.as_ref() }.next.get();
        self.list.first.set(next);
        if next.is_none() {
            self.list.last.set(None);
        }
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
    pub(super) fn wake_task(&self, task: NonNull<Header>) {
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

    /// Polls at most `max` tasks of the active queue; returns how many. With `watch` its word ends the slice. Never unwinds.
    pub(crate) fn run_slice(&self, max: u32, watch: Option<&Preempt>) -> u32 {
        self.left.set(max);
        self.cut.set(0);
        self.current.set(self.active.get());
        while self.left.get() > 0 && self.is_active_ready() {
            let slice = || match watch {
                None => self.slice(|| {}),
                Some(preempt) => self.slice(|| {
                    if preempt.is_raised() && preempt.confirm() {
                        self.preempt();
                    }
                }),
            };
            if let Err(payload) = catch_unwind(AssertUnwindSafe(slice)) {
                self.settle_panic(payload);
            }
        }
        self.current.set(DEFAULT);
        let used = max - self.left.replace(0) - self.cut.get();
        self.polls.set(self.polls.get() + u64::from(used));
        used
    }

    #[inline]
    fn slice(&self, after_poll: impl Fn()) {
        while self.left.get() > 0 {
            let Some(task) = self.pop() else { return };
            self.left.set(self.left.get() - 1);
            // SAFETY: needs a live header. Holds: it was queued.
            let header = unsafe { task.as_ref() };
            let flags = header.flags.get() & !QUEUED;
            if flags & CANCEL != 0 {
                header.flags.set(flags);
                self.discard(task, Stage::Cancelled);
                continue;
            }
            header.flags.set(flags | RUNNING);
            self.running.set(Some(task));
            // Our wakers need no drop; saying so saves a call per poll.
            let waker = ManuallyDrop::new(waker::waker(header.handle));
            // SAFETY: needs a live task in stage `Future`. Holds: it was queued, not DONE, and is not cancelled; RUNNING is set.
            // Checked: tests/tasks.rs.
            let done = unsafe { (header.vtable.poll)(task, &mut Context::from_waker(&waker)) };
            self.running.set(None);
            if done {
                self.complete(task);
            } else {
                let flags = header.flags.get();
                if flags & WOKEN == 0 {
                    header.flags.set(flags & !RUNNING);
                } else {
                    // `push` without its question: the queue of the running task is the active one.
                    header.flags.set(flags & !(RUNNING | WOKEN) | QUEUED);
                    self.list.push(task, header);
                }
            }
            after_poll();
        }
    }
}
