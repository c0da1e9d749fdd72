//! What the driver can do: one folder per family, `mod.rs` = what it means, `uring.rs` = the SQE, `poll.rs` = the fallback.
//!
//! The enum is closed on purpose: every backend matches on all of it, so an operation without a backend does not compile.
pub mod file;
pub mod job;
pub mod ready;
pub mod socket;

/// One operation with everything it owns.
#[derive(Debug)]
pub enum Operation {
    /// Completes with 0. For self-checks and tests.
    Nop,
    /// Opens a file. See [`file::Open`].
    Open(file::Open),
    /// Closes a handle when it is the last one. See [`file::Close`].
    Close(file::Close),
    /// Reads at an offset. See [`file::Read`].
    Read(file::Read),
    /// Writes at an offset. See [`file::Write`].
    Write(file::Write),
    /// fsync or fdatasync. See [`file::Sync`].
    Sync(file::Sync),
    /// Sets a file's length. See [`file::Truncate`].
    Truncate(file::Truncate),
    /// Metadata into memory. See [`file::Stat`].
    Stat(file::Stat),
    /// Accepts connections, multishot. See [`socket::Accept`].
    Accept(socket::Accept),
    /// Receives into provided buffers, multishot. See [`socket::Receive`].
    Receive(socket::Receive),
    /// Sends bytes. See [`socket::Send`].
    Send(socket::Send),
    /// Connects a socket. See [`socket::Connect`].
    Connect(socket::Connect),
    /// Waits for readiness, one shot. See [`ready::Ready`].
    Ready(ready::Ready),
    /// Runs a closure on the blocking pool. See [`job::Job`].
    Job(job::Job),
}
