//! What one executor is made of. Shared, by `Rc`, between the executor and everything that belongs to it (futures, sockets,
//! join handles), so that those may outlive it: after shutdown the driver is gone and every operation fails.
//!
//! Nothing here is borrowed while foreign code (a future, a waker, a destructor, a client) runs, except the driver during a
//! client's own callbacks; what could need it then is deferred.
use crate::{
    StartError,
    channel::{
        inbox::{Inbox, Item},
        shared::{Door, Ends},
        submit::Remote,
    },
    io::Gate,
    operation::{DeferredList, Operations},
    options::Options,
    remote::{self, Registration, SELF_SLOT},
    stall::{self, Heart, StallOptions, Watch},
    task::Tasks,
    timers::{Fired, Timers},
};
use ringwheel_driver::{
    Driver, DriverKind, Handle,
    preempt::{self, Preempt},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
    fmt,
    os::fd::OwnedFd,
    sync::{Arc, atomic::AtomicU32},
    task::Waker,
    time::{Duration, Instant},
};

/// One executor's parts.
pub(crate) struct Core {
    pub(crate) tasks: Tasks,
    /// `None` after shutdown.
    pub(crate) driver: RefCell<Option<Driver>>,
    pub(crate) operations: RefCell<Operations>,
    pub(crate) deferred: DeferredList,
    /// Where file operations wait when [`Options::adaptive`] is on.
    pub(crate) gate: Option<Gate>,
    pub(crate) waiting_for_room: RefCell<VecDeque<Waker>>,
    pub(crate) timers: RefCell<Timers>,
    /// What fired in this turn; keeps its memory.
    pub(crate) fired: Cell<Vec<Fired>>,
    /// `None` after shutdown: then all wakers are no-ops.
    pub(crate) registration: RefCell<Option<Registration>>,
    /// Calls of other threads; closed by shutdown.
    pub(crate) inbox: Arc<Inbox>,
    /// Calls taken from there that are not tasks yet.
    pub(crate) calls: Cell<VecDeque<Item>>,
    /// The inbox, or `calls`, may hold something.
    pub(crate) called: Cell<bool>,
    /// This turn's system call is still to come.
    pub(crate) submits_soon: Cell<bool>,
    /// Channels that this turn has sent into or received from: their other ends are told before that.
    pub(crate) messages: RefCell<Vec<Door>>,
    /// The ends of channels that belong here; closed by shutdown.
    pub(crate) ends: RefCell<Ends>,
    /// Wakes of other executors that go along with it.
    pub(crate) outgoing: RefCell<Vec<u64>>,
    /// Made at the first use; `None` inside when it could not be made.
    pub(crate) preempt: OnceCell<Option<Preempt>>,
    /// The word that `need_preempt` loads.
    pub(crate) word: Cell<&'static AtomicU32>,
    now: Cell<Option<Instant>>,
    /// Until shutdown, when stalls are watched for.
    pub(crate) watch: RefCell<Option<Watch>>,
    /// The same's heart, one branch away.
    pub(crate) heart: OnceCell<Arc<Heart>>,
    pub(crate) bounds: Bounds,
    pub(crate) counts: Counts,
    pub(crate) spin: crate::spin::Spin,
}

/// How much one turn does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) polls_max: u32,
    pub(crate) timers_max: usize,
    pub(crate) completions_max: usize,
    pub(crate) quota: Duration,
    pub(crate) preempt: Option<preempt::PreemptKind>,
    pub(crate) is_poll: bool,
}

/// Counters of the turn; the rest is counted where it happens.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) turns: Cell<u64>,
    pub(crate) parks: Cell<u64>,
    pub(crate) remote_wakes: Cell<u64>,
    pub(crate) remote_scans: Cell<u64>,
    pub(crate) timers_fired: Cell<u64>,
}

/// Adds to a counter.
pub(crate) fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get() + count);
}

impl Core {
    pub(crate) fn new(driver: Driver, registration: Registration, options: &Options) -> Core {
        let driver_kind = driver.kind();
        Core {
            tasks: Tasks::new(registration.handle(), registration.ring(), options.tasks_max),
            driver: RefCell::new(Some(driver)),
            operations: RefCell::new(Operations::new(options.driver.chunks)),
            deferred: RefCell::new(Vec::new()),
            gate: options.adaptive.as_ref().map(Gate::new),
            waiting_for_room: RefCell::new(VecDeque::new()),
            timers: RefCell::new(Timers::new(registration.handle())),
            fired: Cell::new(Vec::new()),
            registration: RefCell::new(Some(registration)),
            inbox: Arc::default(),
            calls: Cell::new(VecDeque::new()),
            called: Cell::new(false),
            submits_soon: Cell::new(false),
            messages: RefCell::new(Vec::new()),
            ends: RefCell::default(),
            outgoing: RefCell::new(Vec::new()),
            preempt: OnceCell::new(),
            word: Cell::new(if options.preempt.is_some() { &preempt::UNMADE } else { &preempt::NEVER }),
            now: Cell::new(None),
            heart: OnceCell::new(),
            watch: RefCell::new(None),
            bounds: Bounds {
                polls_max: options.polls_max,
                timers_max: options.timers_max as usize,
                completions_max: options.completions_max as usize,
                quota: options.quota,
                preempt: options.preempt,
                is_poll: driver_kind == DriverKind::Poll,
            },
            counts: Counts::default(),
            spin: crate::spin::Spin::new(options.spin),
        }
    }

    /// Watches for stalls until shutdown.
    pub(crate) fn watch_stalls(&self, options: &StallOptions) -> Result<(), StartError> {
        if self.heart.get().is_none() {
            let watch = stall::watch(options).map_err(StartError::Thread)?;
            let heart = self.heart.get_or_init(|| Arc::clone(watch.heart()));
            self.tasks.heart.get_or_init(|| Arc::clone(heart));
            *self.watch.borrow_mut() = Some(watch);
        }
        Ok(())
    }

    /// The time of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        match self.now.get() {
            Some(now) => now,
            None => self.read_now(),
        }
    }

    /// The waker bits of the executor itself.
    pub(crate) fn own_handle(&self) -> u64 {
        remote::task_handle(self.tasks.executor(), SELF_SLOT, 0)
    }

    /// Wakes another executor with this turn's system call; at once when that is over. Only then is the wake entered in the
    /// other's ring: a wake by someone else meanwhile must not think that this one is on its way.
    pub(crate) fn wake_elsewhere(&self, handle: u64) {
        if !self.submits_soon.get() {
            return remote::wake(handle);
        }
        let mut outgoing = self.outgoing.borrow_mut();
        if outgoing.last() != Some(&handle) {
            outgoing.push(handle);
        }
    }

    /// Lets go of the wakes that wait for this turn's system call: the caller is about to block without it.
    pub(crate) fn wake_outgoing(&self) {
        for handle in self.outgoing.borrow_mut().drain(..) {
            remote::wake(handle);
        }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::new(self.own_handle(), self.inbox.clone())
    }

    /// Wraps a descriptor for this executor's driver; a plain handle once that is gone.
    pub(crate) fn adopt(&self, fd: OwnedFd) -> Handle {
        match self.driver.try_borrow_mut().as_deref_mut() {
            Ok(Some(driver)) => driver.adopt(fd),
            Ok(None) | Err(_) => Handle::from_owned(fd),
        }
    }

    /// Reads the clock again, for the rest of the turn too.
    pub(crate) fn read_now(&self) -> Instant {
        let now = Instant::now();
        self.now.set(Some(now));
        now
    }

    /// Makes the next `now` read the clock.
    pub(crate) fn forget_now(&self) {
        self.now.set(None);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("tasks", &self.tasks.live.get())
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
