//! Unparking a driver from any thread: the handshake that both backends share.
//!
//! One byte says what the driver's thread does. `wake` turns it to NOTIFIED and makes a system call only when it was
//! PARKED; the driver turns it to PARKED as its last step before blocking and does not block when it finds NOTIFIED. Both
//! sides put a sequentially consistent fence between their own write and their look at the other's (what was queued for
//! the driver, and this byte), so one of the two always sees the other.
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, Ordering, fence},
};

const RUNNING: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

/// What makes a blocked driver return.
#[derive(Debug)]
pub(crate) enum Signal {
    /// An eventfd that the ring watches or that is the host's descriptor.
    #[cfg(target_os = "linux")]
    Eventfd(Arc<rustix::fd::OwnedFd>),
    /// A ring whose thread sleeps in it: other rings may post to `ring`, anyone else writes `eventfd`, which it watches.
    #[cfg(target_os = "linux")]
    Ring { ring: crate::uring::Address, eventfd: Arc<rustix::fd::OwnedFd> },
    /// A poller.
    Poller(Arc<polling::Poller>),
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    /// `None` once the driver is gone: wakers may outlive drivers by the thousand and must not keep descriptors. Locked
    /// only by a wake that finds the driver parked.
    signal: Mutex<Option<Signal>>,
}

/// Unparks the driver's thread from any thread. Cloneable, `Send + Sync`; harmless after the driver is gone.
///
/// ```
/// use ringwheel_driver::{Driver, Options, Wait};
///
/// let mut driver = Driver::start(&Options::default())?;
/// let waker = driver.waker();
/// std::thread::spawn(move || waker.wake());
/// driver.enter(Wait::Forever).expect("enter"); // returns because of the wake
/// # Ok::<(), ringwheel_driver::StartError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

impl Waker {
    pub(crate) fn new(signal: Signal) -> Waker {
        Waker { shared: Arc::new(Shared { state: AtomicU8::new(RUNNING), signal: Mutex::new(Some(signal)) }) }
    }

    /// Makes the current or next `enter` return, or makes the host fd readable. Never blocks. Costs a fence and a load or
    /// an exchange while the driver is not parked, one system call when it is.
    #[inline]
    pub fn wake(&self) {
        if self.claim() {
            self.signal();
        }
    }

    /// The wake without its system call. True: the driver sleeps, and the caller is the one who must make it return.
    #[inline]
    pub(crate) fn claim(&self) -> bool {
        fence(Ordering::SeqCst);
        // NOTIFIED: somebody else's wake is still to be seen, and it will show our work too.
        self.shared.state.load(Ordering::Relaxed) != NOTIFIED
            && self.shared.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED
    }

    /// The ring that the driver sleeps in, if it does that.
    #[cfg(target_os = "linux")]
    pub(crate) fn ring(&self) -> Option<Arc<rustix::fd::OwnedFd>> {
        match &mut *self.shared.signal.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Signal::Ring { ring, .. }) => ring.descriptor(),
            Some(Signal::Eventfd(_) | Signal::Poller(_)) | None => None,
        }
    }

    /// The last step before blocking. False: a wake came since the last [`Waker::unpark`], so do not block.
    #[inline]
    pub(crate) fn park(&self) -> bool {
        // PARKED already: a host that parks on its own (`park_host`) is told to block as well.
        let seen = self.shared.state.compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire);
        let parked = !matches!(seen, Err(NOTIFIED));
        fence(Ordering::SeqCst);
        parked
    }

    /// The first step after blocking, or after a refused [`Waker::park`]. True when a wake had come.
    #[inline]
    pub(crate) fn unpark(&self) -> bool {
        let woken = self.shared.state.swap(RUNNING, Ordering::AcqRel) == NOTIFIED;
        fence(Ordering::SeqCst);
        woken
    }

    /// Makes a blocked driver return, whatever the state says.
    #[cold]
    pub(crate) fn signal(&self) {
        match &*self.shared.signal.lock().unwrap_or_else(PoisonError::into_inner) {
            #[cfg(target_os = "linux")]
            Some(Signal::Eventfd(fd) | Signal::Ring { eventfd: fd, .. }) => {
                // EAGAIN (the counter is full) means it is readable already; nothing else can fail on an open eventfd.
                let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
            }
            Some(Signal::Poller(poller)) => {
                // It fails only when the poller's descriptors are gone, and they live as long as this Arc.
                let _ = poller.notify();
            }
            None => {} // The driver is gone.
        }
    }

    /// The driver is gone: lets go of its descriptors, whatever wakers live on.
    pub(crate) fn close(&self) {
        *self.shared.signal.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// For a host that parks on its own after any `enter`: every wake from now on makes the host's descriptor readable,
    /// also one that came a moment ago.
    pub(crate) fn park_host(&self) {
        if self.shared.state.swap(PARKED, Ordering::AcqRel) == NOTIFIED {
            self.signal();
        }
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};

    fn waker() -> (Waker, Arc<rustix::fd::OwnedFd>) {
        let fd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd"));
        (Waker::new(Signal::Eventfd(Arc::clone(&fd))), fd)
    }

    fn signalled(fd: &Arc<rustix::fd::OwnedFd>) -> bool {
        rustix::io::read(fd, &mut [0u8; 8]).is_ok()
    }

    #[test]
    fn a_waker_keeps_no_descriptor_of_a_driver_that_is_gone() {
        let (waker, fd) = waker();
        assert!(waker.park());
        waker.close();
        waker.wake();
        assert_eq!(Arc::strong_count(&fd), 1);
        assert!(!signalled(&fd));
    }

    #[test]
    fn a_host_that_parks_hears_a_wake_of_a_moment_ago() {
        let (waker, fd) = waker();
        waker.wake();
        waker.park_host();
        assert!(signalled(&fd));
        waker.wake();
        assert!(signalled(&fd));
    }

    #[test]
    fn a_running_driver_costs_no_system_call() {
        let (waker, fd) = waker();
        waker.wake();
        waker.wake();
        assert!(!signalled(&fd));
        assert!(!waker.park(), "but its next park is refused");
        assert!(waker.unpark());
        assert!(waker.park(), "once");
    }

    #[test]
    fn a_parked_driver_is_signalled_once() {
        let (waker, fd) = waker();
        assert!(waker.park());
        waker.wake();
        waker.wake();
        assert!(signalled(&fd));
        assert!(!signalled(&fd));
        assert!(waker.unpark());
        assert!(!waker.unpark());
    }
}
