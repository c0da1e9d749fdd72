//! Echo servers: one with a receive and a send at a time, one with multishot receive and a small ring of provided buffers.
use crate::push;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use measure::ECHO_BYTES;
use std::{
    net::TcpListener,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicU16, Ordering},
};

/// The `user_data` of the accept, and the bits that mark a send's.
const ACCEPT: u64 = u64::MAX;
const SEND: u64 = 1 << 62;
/// Provided buffers, a power of two.
const BUFFERS: u16 = 128;

struct Connection {
    socket: OwnedFd,
    buffer: Box<[u8]>,
    received: usize,
    sent: usize,
}

impl Connection {
    fn receive(&mut self, number: u64) -> squeue::Entry {
        let (fd, buffer) = (types::Fd(self.socket.as_raw_fd()), self.buffer.as_mut_ptr());
        opcode::Recv::new(fd, buffer, ECHO_BYTES as u32).build().user_data(number)
    }

    fn send(&self, number: u64) -> squeue::Entry {
        let rest = &self.buffer[self.sent..self.received];
        let fd = types::Fd(self.socket.as_raw_fd());
        opcode::Send::new(fd, rest.as_ptr(), rest.len() as u32).build().user_data(number | SEND)
    }
}

fn accepted(result: i32) -> OwnedFd {
    assert!(result >= 0, "a connection comes");
    // SAFETY: `from_raw_fd` needs an open descriptor that nobody else owns: the accept just made it. Checked: by using it.
    let socket = unsafe { OwnedFd::from_raw_fd(result) };
    let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
    socket
}

fn accept(ring: &mut IoUring, listener: &TcpListener) {
    let entry = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build().user_data(ACCEPT);
    // SAFETY: the entry has no pointers. Checked: connections come.
    unsafe { push(ring, &entry) };
}

/// Each connection has a buffer of its own.
pub(crate) fn single_shot(listener: TcpListener) {
    let mut ring = crate::ring(1024);
    accept(&mut ring, &listener);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut done: Vec<(u64, i32)> = Vec::with_capacity(2048);
    loop {
        ring.submit_and_wait(1).expect("the kernel takes entries");
        done.extend(ring.completion().map(|entry| (entry.user_data(), entry.result())));
        for (data, result) in done.drain(..) {
            let number = if data == ACCEPT { connections.len() } else { (data & !SEND) as usize };
            if data == ACCEPT {
                let buffer = vec![0; ECHO_BYTES].into_boxed_slice();
                connections.push(Some(Connection { socket: accepted(result), buffer, received: 0, sent: 0 }));
            }
            let Some(connection) = &mut connections[number] else { continue };
            let entry = match data {
                ACCEPT => connection.receive(number as u64),
                _ if result <= 0 => {
                    connections[number] = None;
                    continue;
                }
                _ if data & SEND == 0 => {
                    (connection.received, connection.sent) = (result as usize, 0);
                    connection.send(number as u64)
                }
                _ => {
                    connection.sent += result as usize;
                    if connection.sent < connection.received {
                        connection.send(number as u64)
                    } else {
                        connection.receive(number as u64)
                    }
                }
            };
            // SAFETY: `push` needs the buffer valid until the completion. Holds: it is on the heap, and a connection goes only
            // with its one operation's completion. Checked: the load compares every byte.
            unsafe { push(&mut ring, &entry) };
        }
    }
}

/// Buffers that the kernel takes from, last in first out as far as its queue allows.
struct Provided {
    entries: *mut types::BufRingEntry,
    tail: u16,
    bytes: Box<[u8]>,
}

/// The ring of entries, aligned as the kernel wants it.
#[repr(C, align(4096))]
struct Entries([u8; BUFFERS as usize * size_of::<types::BufRingEntry>()]);

impl Provided {
    fn register(ring: &IoUring) -> Provided {
        // Leaked on purpose: the kernel keeps it as long as the ring, and the server runs until it is ended.
        let entries: *mut Entries = Box::leak(Box::new(Entries([0; _])));
        // SAFETY: `register_buf_ring` needs aligned memory that stays: it is leaked. Checked: it registers.
        let registered =
            unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0) };
        registered.expect("there are buffer rings since Linux 5.19");
        let bytes = vec![0; usize::from(BUFFERS) * ECHO_BYTES].into_boxed_slice();
        let mut provided = Provided { entries: entries.cast(), tail: 0, bytes };
        (0..BUFFERS).for_each(|index| provided.give(index));
        provided
    }

    fn at(&mut self, index: u16) -> *mut u8 {
        self.bytes[usize::from(index) * ECHO_BYTES..].as_mut_ptr()
    }

    fn give(&mut self, index: u16) {
        let address = self.at(index) as u64;
        let place = self.entries.wrapping_add(usize::from(self.tail & (BUFFERS - 1)));
        // SAFETY: the place is within the ring of entries by the mask, and the kernel reads it only once the tail has passed it.
        let entry = unsafe { &mut *place };
        entry.set_addr(address);
        entry.set_len(ECHO_BYTES as u32);
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `tail` needs the first entry of a registered ring, which `entries` is.
        let tail = unsafe { types::BufRingEntry::tail(self.entries) };
        // SAFETY: the tail is two aligned bytes that the kernel reads atomically. Checked: receives find their buffers.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Multishot receive into provided buffers, sent from where it was received.
pub(crate) fn multishot(listener: TcpListener) {
    let mut ring = crate::ring(1024);
    let mut provided = Provided::register(&ring);
    accept(&mut ring, &listener);
    let mut sockets: Vec<OwnedFd> = Vec::new();
    let mut done: Vec<(u64, i32, u32)> = Vec::with_capacity(2048);
    let receive = |socket: &OwnedFd, number: u64| {
        opcode::RecvMulti::new(types::Fd(socket.as_raw_fd()), 0).build().user_data(number)
    };
    loop {
        ring.submit_and_wait(1).expect("the kernel takes entries");
        done.extend(ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())));
        for (data, result, flags) in done.drain(..) {
            if data == ACCEPT {
                sockets.push(accepted(result));
                let number = sockets.len() - 1;
                // SAFETY: the entry has no pointers. Checked: receives come.
                unsafe { push(&mut ring, &receive(&sockets[number], number as u64)) };
                continue;
            }
            if data & SEND != 0 {
                provided.give((data >> 32) as u16 & (BUFFERS - 1));
                continue;
            }
            let socket = &sockets[data as usize];
            if let (Some(index), 1..) = (cqueue::buffer_select(flags), result) {
                let fd = types::Fd(socket.as_raw_fd());
                // MSG_WAITALL: the kernel goes on after a short send.
                let send = opcode::Send::new(fd, provided.at(index), result as u32).flags(0x100);
                let entry = send.build().user_data(SEND | u64::from(index) << 32 | data);
                // SAFETY: `push` needs the buffer valid until the completion. Holds: the server never ends, and gives the
                // buffer back only then. Checked: the load compares every byte.
                unsafe { push(&mut ring, &entry) };
            }
            let ended = result == 0 || (result < 0 && result != -rustix::io::Errno::NOBUFS.raw_os_error());
            if !cqueue::more(flags) && !ended {
                // SAFETY: the entry has no pointers.
                unsafe { push(&mut ring, &receive(socket, data)) };
            }
        }
    }
}
