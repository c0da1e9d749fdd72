//! Stalls of JavaScript's thread: found by the watchdog's threads, told to JavaScript by its own once it is free again.
use crate::values::{self, Reference};
use napi::sys;
use ringwheel_executor::{
    Executor, StartError,
    stall::{Heart, Stall, StallOptions},
};
use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What is to be told, left by another thread.
#[derive(Default)]
struct Mailbox {
    waits: AtomicBool,
    stalls: Mutex<Vec<Stall>>,
}

/// One executor's watch. Dropping it stops nothing: the executor's shutdown does.
pub struct Stalls {
    heart: Arc<Heart>,
    mailbox: Arc<Mailbox>,
    report: Reference,
}

impl Stalls {
    /// Begins to watch; `report` is called with a text for each stall that is over.
    ///
    /// # Errors
    /// A threshold out of range, or no thread to be had.
    pub fn watch(
        executor: &mut Executor,
        threshold: Duration,
        stack: bool,
        report: Reference,
    ) -> Result<Stalls, (Reference, StartError)> {
        let mailbox = Arc::new(Mailbox::default());
        let (sink, remote) = (Arc::clone(&mailbox), executor.remote());
        let deliver = move |stall: &Stall| {
            if stall.over {
                sink.stalls.lock().unwrap_or_else(PoisonError::into_inner).push(stall.clone());
                sink.waits.store(true, Ordering::Release);
                remote.wake();
            }
        };
        let options = StallOptions { threshold, stack, report: Some(Arc::new(deliver)) };
        match executor.watch_stalls(&options) {
            Ok(()) => {}
            Err(error) => return Err((report, error)),
        }
        let Some(heart) = executor.heart().cloned() else {
            return Err((report, StartError::Option("stalls are watched already".to_owned())));
        };
        // It was JavaScript that called: the thread is busy until the loop goes to sleep.
        heart.busy();
        Ok(Stalls { heart, mailbox, report })
    }

    /// JavaScript may run from here on.
    pub fn busy(&self) {
        self.heart.busy();
    }

    /// The loop goes to sleep.
    pub fn idle(&self) {
        self.heart.idle();
    }

    /// Something is to be told.
    pub fn waits(&self) -> bool {
        self.mailbox.waits.load(Ordering::Relaxed)
    }

    /// Tells JavaScript what there is.
    ///
    /// # Safety
    /// `env` must be live, on its thread, outside of any JavaScript.
    pub unsafe fn tell(&self, env: sys::napi_env) {
        self.mailbox.waits.store(false, Ordering::Relaxed);
        let stalls = std::mem::take(&mut *self.mailbox.stalls.lock().unwrap_or_else(PoisonError::into_inner));
        for stall in stalls {
            // SAFETY: the caller's contract; `report` is released with the environment only.
            unsafe { values::call(env, &self.report, Some(&text_of(&stall))) };
        }
    }

    /// Lets go of JavaScript's function.
    ///
    /// # Safety
    /// As for [`Reference::release`].
    pub unsafe fn release(self, env: sys::napi_env) {
        // SAFETY: the caller's contract.
        unsafe { self.report.release(env) };
    }
}

/// Lines: nanoseconds of the stall, nanoseconds since its end, stalls not told of before, then a frame of the stack each.
fn text_of(stall: &Stall) -> String {
    let ago = Instant::now().saturating_duration_since(stall.at);
    let mut text = format!("{}\n{}\n{}", stall.duration.as_nanos(), ago.as_nanos(), stall.suppressed);
    for frame in stall.stack.iter() {
        let line = frame.to_string();
        let _ = write!(text, "\n{}", line.replace('\n', " ")); // Writing to a string cannot fail.
    }
    text
}
