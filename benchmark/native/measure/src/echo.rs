//! The echo servers' beginning: a listening socket, whose port goes to the harness in a line of JSON.
use std::{io::Write, net::TcpListener};

/// Bytes of a server's receive buffer, for every contender: the largest message.
pub const ECHO_BYTES: usize = 16 << 10;

/// Listens on a port that the system chooses, and says which.
///
/// # Panics
/// When there is no loopback.
pub fn echo_listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
    said(listener.local_addr().expect("it has an address").port());
    listener
}

/// Says on which port a server listens that made its socket itself.
pub fn said(port: u16) {
    println!("{{\"port\":{port}}}");
    let _ = std::io::stdout().flush(); // The harness notices when nothing comes.
}
