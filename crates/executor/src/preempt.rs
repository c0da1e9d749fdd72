//! Soft preemption: a long task asks whether its time is over, at the price of a load, and yields when it is.
use crate::{core::Core, current, task::Pace};
use ringwheel_driver::preempt::{NEVER, Preempt, PreemptKind, now_ns};
use std::{
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Instant,
};

/// Whether the running task should yield: its [`crate::Options::quota`] is used up, a task of a latency class waits, or another thread
/// has woken a task of this executor.
///
/// One plain load of a mapped word (about 1 ns) while the answer is no. The word is raised by a timer: a small io_uring of its own, or
/// a ticker thread; then the answer is confirmed by the clock. The first look of a slice sets the timer, at most one per quota
/// (1 µs); without looks there is none. A yes stays a yes until the task yields, in whatever way: that ends the slice. False outside of an executor, and with [`crate::Options::preempt`] `None`.
///
/// ```
/// use ringwheel_executor::{Executor, need_preempt};
///
/// let mut executor = Executor::start(Default::default())?;
/// executor.run(async {
///     let mut rounds = 0_u64;
///     while !need_preempt() {
///         rounds += 1; // work, in pieces well below the quota
///     }
///     assert!(rounds > 0);
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn need_preempt() -> bool {
    current::word().load(Ordering::Relaxed) != 0 && confirm()
}

#[cold]
fn confirm() -> bool {
    current::with(|core| core.is_some_and(Core::confirm_preempt))
}

/// Yields when [`need_preempt`] says so, else goes on at once, at its price. After a yield the kernel is looked at and other tasks
/// have their turn first.
///
/// ```
/// use ringwheel_executor::{Executor, yield_if_needed};
///
/// let mut executor = Executor::start(Default::default())?;
/// let sum = executor.run(async {
///     let mut sum = 0_u64;
///     for number in 0..100_000 {
///         sum += number;
///         if number % 64 == 0 {
///             yield_if_needed().await;
///         }
///     }
///     sum
/// })?;
/// assert_eq!(sum, 4_999_950_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn yield_if_needed() -> YieldIfNeeded {
    YieldIfNeeded { yielded: false }
}

/// The future of [`yield_if_needed`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct YieldIfNeeded {
    yielded: bool,
}

impl Future for YieldIfNeeded {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded || !need_preempt() {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Core {
    /// Preemption, if it was made.
    #[inline]
    pub(crate) fn made_preempt(&self) -> Option<&Preempt> {
        self.preempt.get()?.as_ref()
    }

    /// Preemption, made now if need be; `None` when it is off or the system has no room for it.
    pub(crate) fn preempt(&self) -> Option<&Preempt> {
        self.preempt.get_or_init(|| self.make_preempt()).as_ref()
    }

    #[cold]
    fn make_preempt(&self) -> Option<Preempt> {
        let preempt = self.bounds.preempt.and_then(|kind| {
            // The poll driver promises not one call of io_uring.
            let kind =
                if self.bounds.is_poll && kind == PreemptKind::Auto { PreemptKind::Ticker } else { kind };
            Preempt::start(kind, self.bounds.quota).ok()
        });
        let word = preempt.as_ref().map_or(&NEVER, Preempt::word);
        self.word.set(word);
        self.tasks.word.set(preempt.as_ref().map(Preempt::word));
        if current::with(|core| core.is_some_and(|core| std::ptr::eq(core, self))) {
            current::set_word(word);
        }
        if let (Some(registration), Some(_)) = (&*self.registration.borrow(), &preempt) {
            registration.raise(word);
        }
        preempt
    }

    /// Who is told that time is over has had the last poll of the slice, however it yields.
    fn confirm_preempt(&self) -> bool {
        let over = self.preempt().is_some_and(Preempt::confirm);
        if over {
            self.tasks.preempt();
        }
        over
    }

    /// Step 4 of a turn.
    #[inline]
    pub(crate) fn step_tasks(&self) {
        if !self.tasks.queues.is_single() {
            return self.step_queues();
        }
        if let Some(preempt) = self.made_preempt() {
            preempt.begin_lazily(None);
        }
        self.tasks.run_slice(self.bounds.polls_max, None);
    }

    #[inline(never)]
    fn step_queues(&self) {
        if !self.tasks.is_ready() {
            return;
        }
        let pace = Pace {
            polls_max: self.bounds.polls_max,
            quota: self.bounds.quota.as_nanos() as u64,
            preempt: self.made_preempt(),
            timer: if self.tasks.queues.has_latency() { self.next_timer() } else { None },
        };
        self.tasks.run_fairly(pace, |preempt| self.watch_completions(preempt));
    }

    /// When the next timer is due, on the clock of preemption.
    fn next_timer(&self) -> Option<u64> {
        let deadline = self.timers.borrow().next_deadline()?;
        let left = deadline.saturating_duration_since(Instant::now());
        Some(now_ns().saturating_add(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// A slice that may be long begins while a latency class may wait for the kernel: its completion shall raise the word.
    fn watch_completions(&self, preempt: &Preempt) {
        if !self.tasks.queues.latency_waits() {
            return;
        }
        let Ok(mut driver) = self.driver.try_borrow_mut() else { return };
        let Some(driver) = &mut *driver else { return };
        if driver.in_flight() > 0
            && let Some(fd) = driver.completion_fd()
        {
            preempt.watch(fd);
        }
    }
}
