//! Readiness on the ring.
use super::Ready;
use crate::uring::{Plan, descriptor};
use io_uring::opcode;

pub(crate) fn ready(ready: &Ready) -> Plan {
    let (fd, flags) = descriptor(&ready.file);
    Plan::Entry(opcode::PollAdd::new(fd, ready.events).build().flags(flags))
}
