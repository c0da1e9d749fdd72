//! Unparking a driver from any thread: the handshake that both backends share.
//!
//! One byte says what the driver's thread does. `wake` turns it to NOTIFIED and makes a system call only when it was
//! PARKED; the driver turns it to PARKED as its last step before blocking and does not block when it finds NOTIFIED. Both
//! sides put a sequentially consistent fence between their own write and their look at the other's (what was queued for
//! the driver, and this byte), so one of the two always sees the other.
use std::sync::{
    Arc,
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
    Eventfd(rustix::fd::OwnedFd),
    /// A poller.
    Poller(Arc<polling::Poller>),
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    signal: Signal,
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
        Waker { shared: Arc::new(Shared { state: AtomicU8::new(RUNNING), signal }) }
    }

    /// Makes the current or next `enter` return, or makes the host fd readable. Never blocks. Costs a fence and a load or
    /// an exchange while the driver is not parked, one system call when it is.
    #[inline]
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.shared.state.load(Ordering::Relaxed) == NOTIFIED {
            return; // Somebody else's wake is still to be seen, and it will show our work too.
        }
        if self.shared.state.swap(NOTIFIED, Ordering::AcqRel) == PARKED {
            self.signal();
        }
    }

    /// The last step before blocking. False: a wake came since the last [`Waker::unpark`], so do not block.
    #[inline]
    pub(crate) fn park(&self) -> bool {
        let parked =
            self.shared.state.compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire).is_ok();
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
        match &self.shared.signal {
            #[cfg(target_os = "linux")]
            Signal::Eventfd(fd) => {
                // EAGAIN (the counter is full) means it is readable already; nothing else can fail on an open eventfd.
                let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
            }
            Signal::Poller(poller) => {
                // It fails only when the poller's descriptors are gone, and they live as long as this Arc.
                let _ = poller.notify();
            }
        }
    }

    /// The descriptor that becomes readable.
    #[cfg(target_os = "linux")]
    pub(crate) fn eventfd(&self) -> Option<rustix::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd;
        match &self.shared.signal {
            Signal::Eventfd(fd) => Some(fd.as_fd()),
            Signal::Poller(_) => None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};

    fn waker() -> Waker {
        Waker::new(Signal::Eventfd(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()))
    }

    fn signalled(waker: &Waker) -> bool {
        rustix::io::read(waker.eventfd().unwrap(), &mut [0u8; 8]).is_ok()
    }

    #[test]
    fn a_running_driver_costs_no_system_call() {
        let waker = waker();
        waker.wake();
        waker.wake();
        assert!(!signalled(&waker));
        assert!(!waker.park(), "but its next park is refused");
        assert!(waker.unpark());
        assert!(waker.park(), "once");
    }

    #[test]
    fn a_parked_driver_is_signalled_once() {
        let waker = waker();
        assert!(waker.park());
        waker.wake();
        waker.wake();
        assert!(signalled(&waker));
        assert!(!signalled(&waker));
        assert!(waker.unpark());
        assert!(!waker.unpark());
    }
}
