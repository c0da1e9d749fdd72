//! Life of a command, stage 4 of 6: kernel. Before: crates/driver/src/uring/submit.rs. After: crates/driver/src/uring/complete.rs.
//!
//! One `io_uring_enter` for the whole batch, which also collects deferred completions, flushes an overflowed completion
//! queue and, on a thread of its own, is where the thread sleeps.
use super::{Place, Uring, WAKE};
use crate::{
    Errno,
    driver::{Host, Wait},
};
use io_uring::{opcode, types};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno as E,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::atomic::{Ordering, fence},
    time::Duration,
};

impl Uring {
    pub(crate) fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        self.stage();
        let result = match (wait, self.host) {
            (Wait::No, _) => self.enter_now(),
            (wait, Host::Native) => self.block_in_ring(wait),
            (wait, Host::Embedded) => self.block_on_eventfd(wait),
        };
        if self.host == Host::Embedded {
            self.waker.park_host();
        }
        result
    }

    /// Everything that goes along with the next system call.
    fn stage(&mut self) {
        if self.lone.key.is_some() {
            self.try_lone();
        }
        if let Some(buffers) = &mut self.buffers {
            buffers.top_up();
        }
        if !self.paused.is_empty() {
            self.resume();
        }
        if self.registry.has_retired() {
            self.clear_files();
        }
        if !self.backlog.is_empty() {
            self.push_backlog();
        }
    }

    /// Arms receives again for which there are chunks now: one per chunk, first paused first.
    fn resume(&mut self) {
        let mut chunks = match &self.buffers {
            Some(buffers) => buffers.filled(),
            None => self.chunks.free(),
        };
        while chunks > 0
            && let Some(key) = self.paused.pop_front()
        {
            if self.slab.get_mut(key).is_some_and(|entry| entry.place == Place::Paused) {
                self.stats.rearmed += 1;
                self.arm(key);
                chunks -= 1;
            }
        }
    }

    /// Submits and collects without waiting; no system call when there is nothing to submit or collect.
    fn enter_now(&mut self) -> Result<(), Errno> {
        loop {
            let queue = self.ring.submission();
            let (taskrun, overflow) = (queue.taskrun(), queue.cq_overflow());
            drop(queue);
            if self.staged == 0 && !taskrun && !overflow {
                return Ok(());
            }
            self.stats.overflows += u64::from(overflow);
            self.stats.enters += 1;
            let entered = self.submit_quietly();
            self.entered(entered)?;
            // More than the queue holds at once: the rest follows, unless the kernel took nothing.
            if self.backlog.is_empty() || !self.make_room() {
                return Ok(());
            }
        }
    }

    /// What completes in the call itself is seen by `has_completions` right after it, so it need not wake the host too:
    /// that would be a turn of the host's loop for nothing, each time.
    fn submit_quietly(&mut self) -> io::Result<usize> {
        if self.host == Host::Native {
            return self.ring.submitter().submit_and_wait(0);
        }
        // The flag spares the kernel the signal. But whoever queues a completion reads the flag after saying so in TASKRUN,
        // with no barrier in between that Linux promises on every machine: elsewhere than on x86 the signal is taken back.
        let by_flag = cfg!(target_arch = "x86_64");
        if by_flag {
            self.ring.completion().disable_eventfd();
        }
        let entered = self.ring.submitter().submit_and_wait(0);
        if by_flag {
            self.ring.completion().enable_eventfd();
            fence(Ordering::SeqCst);
        } else {
            let _ = rustix::io::read(&*self.eventfd, &mut [0; 8]);
        }
        // Something came meanwhile that is not in the queue yet, and its signal may be lost: make up for it.
        if self.ring.submission().taskrun() {
            self.waker.signal();
        }
        entered
    }

    /// Sleeps in the kernel until a completion, a wake or the end of the time.
    fn block_in_ring(&mut self, wait: Wait) -> Result<(), Errno> {
        if !self.wake_armed {
            let event = types::Fd(self.eventfd.as_raw_fd());
            self.push(opcode::PollAdd::new(event, libc::POLLIN as u32).multi(true).build().user_data(WAKE));
            self.wake_armed = true;
        }
        if !self.backlog.is_empty() {
            self.enter_now()?;
        }
        if self.has_completions() || !self.backlog.is_empty() || !self.waker.park() {
            self.waker.unpark();
            return self.enter_now();
        }
        self.stats.enters += 1;
        let entered = match wait {
            Wait::For(time) => {
                let time = types::Timespec::from(time.min(Duration::from_secs(i32::MAX as u64)));
                self.ring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&time))
            }
            Wait::Forever | Wait::No => self.ring.submitter().submit_and_wait(1),
        };
        self.waker.unpark();
        self.entered(entered)
    }

    /// For an embedded driver that is told to block all the same: its eventfd tells of completions and wakes alike.
    fn block_on_eventfd(&mut self, wait: Wait) -> Result<(), Errno> {
        self.enter_now()?;
        if self.has_completions() || !self.waker.park() {
            self.acknowledge();
            return Ok(());
        }
        let timeout = match wait {
            Wait::For(time) => Timespec::try_from(time).ok(),
            Wait::Forever | Wait::No => None,
        };
        let eventfd = std::sync::Arc::clone(&self.eventfd);
        let mut watched = [PollFd::from_borrowed_fd(eventfd.as_fd(), PollFlags::IN)];
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(E::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.acknowledge();
        self.enter_now()
    }

    /// Submits what is staged, without waiting, whatever comes of it: `enter` will say.
    pub(super) fn submit_staged(&mut self) {
        self.stats.enters += 1;
        let entered = self.ring.submitter().submit();
        let _ = self.entered(entered);
        if self.is_sqpoll {
            self.make_room();
        }
    }

    /// Fills the submission queue from the backlog. False: not one entry fitted.
    fn make_room(&mut self) -> bool {
        let before = self.backlog.len();
        if self.is_sqpoll {
            // Waits until the kernel thread took something; it is awake, since `submit` wakes it.
            let _ = self.ring.submitter().squeue_wait();
        }
        self.push_backlog();
        self.backlog.len() < before
    }

    /// What a system call took and said.
    fn entered(&mut self, entered: io::Result<usize>) -> Result<(), Errno> {
        let error = match entered {
            Ok(taken) => {
                self.staged = if self.is_sqpoll { 0 } else { self.staged.saturating_sub(taken) };
                if !self.cleared.is_empty() {
                    self.free_cleared();
                }
                return Ok(());
            }
            Err(error) => error,
        };
        match E::from_io_error(&error) {
            // A signal; the end of the time; no memory or no room right now: what is staged stays staged.
            Some(E::INTR | E::TIME | E::BUSY | E::AGAIN) => {
                self.recount();
                Ok(())
            }
            // A completion was dropped for want of memory: NODROP kernels say so once, and go on.
            Some(E::BADR) => {
                self.stats.unexpected += 1;
                self.recount();
                Ok(())
            }
            _ => Err(Errno::of(&error)),
        }
    }

    /// An interrupted call does not say how many entries it took; the queue does.
    fn recount(&mut self) {
        self.staged = if self.is_sqpoll { 0 } else { self.ring.submission().len() };
    }

    /// Slots may be given out again once the kernel has run their clearing: with nothing left in the queues, it has.
    fn free_cleared(&mut self) {
        if !self.backlog.is_empty() || !self.ring.submission().is_empty() {
            return;
        }
        for slot in self.cleared.drain(..) {
            self.registry.cleared(slot);
        }
    }

    #[inline]
    pub(crate) fn has_staged(&self) -> bool {
        self.staged > 0
            || self.lone.key.is_some()
            || !self.backlog.is_empty()
            || self.registry.has_retired()
            || (!self.paused.is_empty() && self.has_chunks())
    }

    fn has_chunks(&self) -> bool {
        self.chunks.free() > 0 || self.buffers.as_ref().is_some_and(|buffers| buffers.filled() > 0)
    }
}
