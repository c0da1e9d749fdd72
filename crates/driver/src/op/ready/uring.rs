//! Readiness on the ring.
use super::Ready;
use crate::uring::{Kit, Plan, descriptor};
use io_uring::opcode;

pub(crate) fn ready(ready: &Ready, kit: Kit) -> Plan {
    let (fd, flags) = descriptor(&ready.file, kit);
    Plan::Entry(opcode::PollAdd::new(fd, ready.events).build().flags(flags))
}
