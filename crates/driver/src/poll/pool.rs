//! The bounded blocking pool of one driver: system calls that would block, and closures ([`crate::op::job::Job`]).
//!
//! ```text
//!  driver's thread                                   pool threads (at most N, started when work finds none idle)
//!  submit ──► [ queue, bounded ] ──► condvar ──────► run ──► catch a panic ──┐
//!  drain  ◄── [ done ] ◄── notify (only when `done` was empty) ◄─────────────┘
//! ```
//!
//! Both queues sit behind one small mutex each, held for a push or a swap and never while work runs. A full queue gives the
//! work back: its owner parks it and submits again when something was done (backpressure, never loss).
use crate::limits::GIVEN_UP;
use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// What a pool thread runs. Zero or more: the result; negative: minus an errno.
pub(crate) type Work = Box<dyn FnOnce() -> i32 + Send + 'static>;

/// Makes the driver's thread look at the pool. Called from pool threads.
pub(crate) type Notify = Box<dyn Fn() + Send + Sync + 'static>;

/// The result of work that panicked.
const PANICKED: i32 = -rustix::io::Errno::IO.raw_os_error();

/// Bytes of stack per pool thread: it makes system calls and runs short closures; an idle thread touches two pages of it.
const STACK_BYTES: usize = 512 * 1024;

/// Work that was not taken.
pub(crate) struct Rejected {
    /// The work as it was given.
    pub(crate) work: Work,
    /// Why.
    pub(crate) reason: Reason,
}

/// Why work was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The queue is full. Submit again after something was done.
    Full,
    /// Not one thread could be started; the errno of the attempt.
    NoThread(i32),
    /// The pool was shut down.
    Closed,
}

impl Reason {
    /// What an operation ends with whose work was not taken.
    pub(crate) fn errno(self) -> i32 {
        match self {
            Reason::NoThread(errno) => errno,
            Reason::Full | Reason::Closed => rustix::io::Errno::CANCELED.raw_os_error(),
        }
    }
}

impl fmt::Debug for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("reason", &self.reason).finish_non_exhaustive()
    }
}

/// The pool. Belongs to its driver; dropping it discards what is queued and lets running work end on its own.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    /// Results taken from `Shared::done`, kept so that both vectors keep their memory.
    batch: Vec<(u64, i32)>,
}

struct Shared {
    inbox: Mutex<Inbox>,
    /// Idle threads wait here for work.
    work_came: Condvar,
    /// `Pool::shutdown` waits here for threads to end.
    thread_ended: Condvar,
    done: Mutex<Vec<(u64, i32)>>,
    /// True when `done` may hold something: spares the driver a lock per turn.
    has_done: AtomicBool,
    notify: Notify,
    threads_max: usize,
    queue_max: usize,
}

struct Inbox {
    queue: VecDeque<(u64, Work)>,
    threads: usize,
    idle: usize,
    closed: bool,
    /// What threads run now, and those of it that nobody wants any more.
    running: Vec<u64>,
    given_up: Vec<u64>,
}

impl Inbox {
    /// Whether one more thread is to be started, of `most` beside those that run what was given up.
    fn has_room(&self, most: usize) -> bool {
        // Idle threads are those that the queued work has not claimed yet.
        self.idle <= self.queue.len() && self.threads < most + self.given_up.len()
    }
}

/// Locks also after a panic elsewhere: both mutexes guard plain queues that are whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool without threads yet. `threads` ≥ 1, `queue` ≥ 1 entries may wait beside those that run.
    pub(crate) fn new(threads: u16, queue: usize, notify: Notify) -> Pool {
        assert!(threads > 0, "Options are checked before a pool is made");
        assert!(queue > 0, "a pool without a queue would refuse everything");
        let inbox = Inbox {
            queue: VecDeque::new(),
            threads: 0,
            idle: 0,
            closed: false,
            running: Vec::new(),
            given_up: Vec::new(),
        };
        let shared = Shared {
            inbox: Mutex::new(inbox),
            work_came: Condvar::new(),
            thread_ended: Condvar::new(),
            done: Mutex::new(Vec::new()),
            has_done: AtomicBool::new(false),
            notify,
            threads_max: usize::from(threads),
            queue_max: queue,
        };
        Pool { shared: Arc::new(shared), batch: Vec::new() }
    }

    /// Queues work under the submitter's `id`, which comes back with the result. Starts a thread when none is idle and
    /// the bound allows one more. Never blocks.
    pub(crate) fn submit(&mut self, id: u64, work: Work) -> Result<(), Rejected> {
        let mut inbox = lock(&self.shared.inbox);
        if inbox.closed {
            return Err(Rejected { work, reason: Reason::Closed });
        }
        if inbox.queue.len() >= self.shared.queue_max {
            return Err(Rejected { work, reason: Reason::Full });
        }
        if inbox.has_room(self.shared.threads_max)
            && let Err(error) = self.start_thread(&mut inbox)
            && inbox.threads == 0
        {
            let errno = error.raw_os_error().unwrap_or(-PANICKED);
            return Err(Rejected { work, reason: Reason::NoThread(errno) });
        }
        inbox.queue.push_back((id, work));
        let idle = inbox.idle > 0;
        drop(inbox);
        if idle {
            self.shared.work_came.notify_one();
        }
        Ok(())
    }

    /// Takes work back that no thread has begun; `None` when it runs or has run. Walks the queue: cancelling is rare.
    pub(crate) fn cancel(&mut self, id: u64) -> Option<Work> {
        let mut inbox = lock(&self.shared.inbox);
        let index = inbox.queue.iter().position(|(queued, _)| *queued == id)?;
        inbox.queue.remove(index).map(|(_, work)| work)
    }

    /// Of work that a thread runs, and nothing can interrupt: nobody waits for it. Another thread takes its thread's place until it has ended, for
    /// so many at a time.
    pub(crate) fn give_up(&mut self, id: u64) {
        let mut inbox = lock(&self.shared.inbox);
        let runs = inbox.running.contains(&id) && !inbox.given_up.contains(&id);
        if !runs || inbox.given_up.len() >= GIVEN_UP {
            return;
        }
        inbox.given_up.push(id);
        if !inbox.queue.is_empty() && inbox.has_room(self.shared.threads_max) {
            let _those_that_are_there_will_come_to_it = self.start_thread(&mut inbox);
        }
    }

    /// Dropping the handle detaches: the count of threads, not a join, says when they are gone, so that shutdown can have a deadline.
    fn start_thread(&self, inbox: &mut Inbox) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let builder = std::thread::Builder::new().name("ringwheel-pool".into()).stack_size(STACK_BYTES);
        builder.spawn(move || serve(&shared))?;
        inbox.threads += 1;
        Ok(())
    }

    /// True when [`Pool::drain`] would find something.
    #[inline]
    pub(crate) fn has_done(&self) -> bool {
        !self.batch.is_empty() || self.shared.has_done.load(Ordering::Acquire)
    }

    /// Hands every result to `sink`, in the order the work ended. Returns how many.
    pub(crate) fn drain(&mut self, mut sink: impl FnMut(u64, i32)) -> usize {
        if self.shared.has_done.load(Ordering::Acquire) {
            let mut done = lock(&self.shared.done);
            self.shared.has_done.store(false, Ordering::Release);
            if self.batch.is_empty() {
                std::mem::swap(&mut self.batch, &mut done);
            } else {
                self.batch.append(&mut done);
            }
        }
        let count = self.batch.len();
        for (id, result) in self.batch.drain(..) {
            sink(id, result);
        }
        count
    }

    /// Discards what is queued, waits until `deadline` for what runs, and returns how many threads still run: they are
    /// left alone, and end when their work does. Results of work that ended stay for [`Pool::drain`].
    pub(crate) fn shutdown(&mut self, deadline: Instant) -> usize {
        self.close();
        let mut inbox = lock(&self.shared.inbox);
        while inbox.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.thread_ended.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        inbox.threads
    }

    fn close(&self) {
        let mut inbox = lock(&self.shared.inbox);
        inbox.closed = true;
        let queued = std::mem::take(&mut inbox.queue);
        let threads = inbox.threads;
        drop(inbox); // Dropping a closure runs its owner's code: outside the lock, and guarded.
        if threads > 0 {
            self.shared.work_came.notify_all(); // A system call, whoever waits.
        }
        for (_, work) in queued {
            discard(work);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inbox = lock(&self.shared.inbox);
        f.debug_struct("Pool")
            .field("threads", &inbox.threads)
            .field("idle", &inbox.idle)
            .field("queued", &inbox.queue.len())
            .field("closed", &inbox.closed)
            .finish()
    }
}

/// A pool thread's life: take, run, report, until the pool is closed.
fn serve(shared: &Shared) {
    let mut inbox = lock(&shared.inbox);
    loop {
        if inbox.threads > shared.threads_max + inbox.given_up.len() {
            break; // It was in the place of one that has come back.
        } else if let Some((id, work)) = inbox.queue.pop_front() {
            inbox.running.push(id);
            drop(inbox);
            let result = run(work);
            report(shared, id, result);
            inbox = lock(&shared.inbox);
            inbox.running.retain(|running| *running != id);
            inbox.given_up.retain(|given_up| *given_up != id);
        } else if inbox.closed {
            break;
        } else {
            inbox.idle += 1;
            inbox = shared.work_came.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            inbox.idle -= 1;
        }
    }
    inbox.threads -= 1;
    drop(inbox);
    shared.thread_ended.notify_all();
}

/// Runs one piece of work. A panic becomes a result, and so does a panic from dropping the first one's payload.
fn run(work: Work) -> i32 {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(payload) => {
            discard(payload);
            PANICKED
        }
    }
}

/// Drops what may hold foreign code (a closure, a panic's payload), whatever its destructor does (INV-8).
pub(crate) fn discard<T>(foreign: T) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(foreign))) {
        // A destructor that panics with a payload whose destructor panics …: leaking ends it.
        std::mem::forget(second);
    }
}

fn report(shared: &Shared, id: u64, result: i32) {
    let mut done = lock(&shared.done);
    done.push((id, result));
    // One notification per batch: the driver takes all that is there when it comes.
    let first = !shared.has_done.swap(true, Ordering::AcqRel);
    drop(done);
    if first {
        (shared.notify)();
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
