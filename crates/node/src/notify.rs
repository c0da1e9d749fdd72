//! `notify`: one datagram for a service manager (sd_notify(3)); Node has no datagram sockets of the Unix family.
use crate::error::coded;
use napi::Result;
use napi_derive::napi;
use std::{io, os::unix::net::UnixDatagram};

/// Sends a text to a Unix socket of datagrams: to a path, or to an abstract name after `@`. Never waits: a socket that is full is an error.
#[napi]
pub fn notify(socket: String, text: String) -> Result<()> {
    send(&socket, &text).map_err(|error| coded("INTERNAL", error))
}

fn send(name: &str, text: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.strip_prefix('@') {
        Some(name) => send_to_name(&socket, name, text),
        None => socket.send_to(text.as_bytes(), name).map(drop),
    }
}

#[cfg(target_os = "linux")]
fn send_to_name(socket: &UnixDatagram, name: &str, text: &str) -> io::Result<()> {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let address = SocketAddr::from_abstract_name(name)?;
    socket.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn send_to_name(_: &UnixDatagram, _: &str, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
