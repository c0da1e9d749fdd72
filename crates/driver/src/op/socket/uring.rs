//! Socket operations on the ring.
use super::{Accept, Connect, Receive, Send};
use crate::{
    error::Errno,
    op::Aside,
    uring::{Kit, Plan, descriptor},
};
use io_uring::{opcode, types};
use rustix::io::Errno as E;
use std::{os::fd::AsRawFd, ptr::null_mut};

/// New connections do not block: sendfile(2) needs that, and the ring does not mind.
const CONNECTION: i32 = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

pub(crate) fn accept(accept: &Accept, kit: Kit) -> Plan {
    let fd = types::Fd(accept.listener.as_raw_fd());
    Plan::Entry(if kit.capabilities.multishot {
        opcode::AcceptMulti::new(fd).flags(CONNECTION).build()
    } else {
        opcode::Accept::new(fd, null_mut(), null_mut()).flags(CONNECTION).build()
    })
}

/// Into the buffer ring, or readiness where there is none.
pub(crate) fn receive(receive: &Receive, kit: Kit) -> Plan {
    let (fd, flags) = descriptor(&receive.socket, kit);
    Plan::Entry(match kit.buffer_group {
        Some(group) => opcode::RecvMulti::new(fd, group).build().flags(flags),
        None => opcode::PollAdd::new(fd, libc::POLLIN as u32).build().flags(flags),
    })
}

#[inline]
pub(crate) fn send(send: &Send, kit: Kit) -> Plan {
    let Some((pointer, length)) = send.source.origin() else {
        return Plan::Refuse(Errno(E::INVAL.raw_os_error()));
    };
    let (fd, flags) = descriptor(&send.socket, kit);
    let more = if send.more { libc::MSG_MORE } else { 0 };
    let how = libc::MSG_NOSIGNAL | libc::MSG_WAITALL | more;
    Plan::Entry(opcode::Send::new(fd, pointer, length).flags(how).build().flags(flags))
}

pub(crate) fn connect(connect: &Connect, aside: &mut Option<Box<Aside>>, kit: Kit) -> Plan {
    let (fd, flags) = descriptor(&connect.socket, kit);
    let address = aside.insert(Box::new(Aside::Address(socket2::SockAddr::from(connect.address))));
    let Aside::Address(address) = &**address else { return Plan::Refuse(Errno(E::INVAL.raw_os_error())) };
    Plan::Entry(opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build().flags(flags))
}
