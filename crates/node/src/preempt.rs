//! Soft preemption of JavaScript: the word that it looks at, set up when it first asks.
use crate::error::coded;
use napi::Result;
use ringwheel_driver::{
    DriverKind,
    preempt::{Preempt, PreemptKind},
};
use std::{cell::RefCell, sync::atomic::AtomicU32, time::Duration};

/// The time of what runs in no queue's slice, from its first look on.
const QUOTA: Duration = Duration::from_millis(1);

/// How much time what runs has left. Costs nothing until somebody looks.
#[derive(Debug, Default)]
pub struct Time {
    preempt: RefCell<Option<Preempt>>,
}

impl Time {
    /// The word: not 0 means that [`Time::is_over`] must be asked.
    ///
    /// # Errors
    /// ERR_RINGWHEEL_DRIVER when there is neither a ring nor a thread for a ticker.
    pub fn word(&self, driver: DriverKind) -> Result<&'static AtomicU32> {
        let mut preempt = self.preempt.borrow_mut();
        if let Some(preempt) = &*preempt {
            return Ok(preempt.word());
        }
        let kind = match driver {
            DriverKind::Uring => PreemptKind::Auto,
            DriverKind::Poll => PreemptKind::Ticker, // Not one io_uring call.
        };
        let made = Preempt::start(kind, QUOTA)
            .map_err(|errno| coded("DRIVER", format_args!("soft preemption cannot be set up: {errno}")))?;
        Ok(preempt.insert(made).word())
    }

    /// The word is raised: is the time over? If not, the word is 0 again.
    pub fn is_over(&self) -> bool {
        self.preempt.borrow().as_ref().is_none_or(Preempt::confirm)
    }

    /// What runs from here on has its time until `deadline` (nanoseconds of the monotonic clock), or a quota.
    pub fn begin(&self, deadline: Option<u64>) {
        if let Some(preempt) = &*self.preempt.borrow() {
            preempt.begin_lazily(deadline);
        }
    }

    /// Ends it: the executor is closed. The word stays valid memory, and is nobody's.
    pub fn end(&self) {
        self.preempt.borrow_mut().take();
    }
}
