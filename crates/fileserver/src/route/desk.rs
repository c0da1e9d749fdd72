//! Where cores leave what a handler's thread is to look at. The thread is called once, and takes all that is there.
use super::{
    exchange::Exchange,
    table::{Found, Table},
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// Calls the handlers' thread to [`Attendant::take`](super::Attendant::take); from any thread, and never blocking.
pub type Bell = Box<dyn Fn() + Send + Sync>;

/// What the handlers' thread is to know.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Request(Arc<Exchange>),
    Body(Arc<Exchange>),
    Room(Arc<Exchange>),
    Ended(Arc<Exchange>),
    Gone(Arc<Exchange>),
}

/// What lies on the desk.
#[derive(Debug, Default)]
pub(crate) struct Tray {
    pub(crate) events: VecDeque<Event>,
    /// Nobody comes any more.
    pub(crate) closed: bool,
}

/// The desk of one server.
#[derive(Default)]
pub(crate) struct Desk {
    /// How many routes there are.
    count: AtomicUsize,
    table: Mutex<Arc<Table>>,
    tray: Mutex<Tray>,
    bell: Option<Bell>,
    rung: AtomicBool,
    /// Requests that are with their handlers.
    open: AtomicUsize,
}

impl fmt::Debug for Desk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Desk")
            .field("count", &self.count)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Desk {
    pub(crate) fn new(bell: Bell) -> Desk {
        Desk { bell: Some(bell), ..Desk::default() }
    }

    fn table(&self) -> MutexGuard<'_, Arc<Table>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a route.
    pub(crate) fn add(&self, pattern: &str) -> Result<u32, String> {
        let mut table = self.table();
        let mut next = Table::clone(&table);
        let number = next.add(pattern)?;
        *table = Arc::new(next);
        drop(table);
        self.count.fetch_add(1, Ordering::Release);
        Ok(number)
    }

    /// How many routes there are: one plain load where there are none.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// The table as it is now.
    pub(crate) fn current(&self) -> Arc<Table> {
        Arc::clone(&self.table())
    }

    /// Counts a request in, unless `max` are with their handlers.
    pub(crate) fn enter(&self, max: usize) -> bool {
        if self.open.fetch_add(1, Ordering::Relaxed) < max {
            return true;
        }
        self.leave();
        false
    }

    /// Counts a request out.
    pub(crate) fn leave(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Leaves something; whoever does must see to it that the bell is rung afterwards. False: nobody comes any more.
    pub(crate) fn leave_event(&self, event: Event) -> bool {
        let mut tray = self.tray();
        if tray.closed {
            return false;
        }
        tray.events.push_back(event);
        true
    }

    /// Calls the handlers' thread, unless it was called and has not come yet.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(bell) = &self.bell
        {
            bell();
        }
    }

    /// The handlers' thread has come: what is left from now on needs another call.
    pub(crate) fn answer_bell(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

/// A core's look at the table: its own copy, as old as the last route that was added.
#[derive(Debug, Default)]
pub(crate) struct View {
    count: usize,
    table: Arc<Table>,
}

impl View {
    /// What there is for a request.
    pub(crate) fn find(&mut self, desk: &Desk, method: &[u8], path: &[u8]) -> Found {
        let count = desk.count();
        if count != self.count {
            *self = View { count, table: desk.current() };
        }
        self.table.find(method, path)
    }
}
