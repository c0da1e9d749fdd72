//! The io_uring backend: one ring of one thread.
use crate::{
    Arena, Completion, Errno, Handle, Operation, Options, Refused, ShutdownReport, StartError, Ticket, Wait,
    Waker, driver::Stats, memory::provided::ChunkPool,
};
use std::{convert::Infallible, os::fd::RawFd, time::Duration};

/// No value of it exists yet: the owner of this folder replaces it.
#[derive(Debug)]
pub(crate) struct Uring {
    never: Infallible,
}

impl Uring {
    pub(crate) fn start(_options: &Options, _arena: Arena, _chunks: ChunkPool) -> Result<Uring, StartError> {
        Err(StartError::System { what: "io_uring_setup", errno: Errno(libc::ENOSYS) })
    }
    pub(crate) fn features(&self) -> &[&'static str] {
        match self.never {}
    }
    pub(crate) fn notes(&self) -> &[String] {
        match self.never {}
    }
    pub(crate) fn submit(&mut self, _operation: Operation, _token: u64) -> Result<Ticket, Refused> {
        match self.never {}
    }
    pub(crate) fn cancel(&mut self, _ticket: Ticket) {
        match self.never {}
    }
    pub(crate) fn enter(&mut self, _wait: Wait) -> Result<(), Errno> {
        match self.never {}
    }
    pub(crate) fn reap(&mut self, _max: usize, _sink: impl FnMut(Completion)) -> usize {
        match self.never {}
    }
    pub(crate) fn has_completions(&mut self) -> bool {
        match self.never {}
    }
    pub(crate) fn has_staged(&self) -> bool {
        match self.never {}
    }
    pub(crate) fn in_flight(&self) -> usize {
        match self.never {}
    }
    pub(crate) fn arena(&self) -> &Arena {
        match self.never {}
    }
    pub(crate) fn adopt(&mut self, _fd: std::os::fd::OwnedFd) -> Handle {
        match self.never {}
    }
    pub(crate) fn host_fd(&self) -> RawFd {
        match self.never {}
    }
    pub(crate) fn acknowledge(&mut self) {
        match self.never {}
    }
    pub(crate) fn waker(&self) -> Waker {
        match self.never {}
    }
    pub(crate) fn stats(&self) -> Stats {
        match self.never {}
    }
    pub(crate) fn shutdown(&mut self, _deadline: Duration) -> ShutdownReport {
        match self.never {}
    }
}
