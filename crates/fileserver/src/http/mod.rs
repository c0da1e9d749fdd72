//! HTTP/1.1 without a socket: pure functions from bytes to decisions and from decisions to bytes.
//!
//! Nothing here waits, opens or allocates more than it says; every RFC 9110 and 9112 rule the server keeps has its test
//! beside the function that keeps it.
pub mod answer;
pub mod coding;
pub mod conditional;
pub mod date;
pub mod disposition;
pub mod etag;
pub mod head;
pub mod mime;
pub mod page;
pub mod parse;
pub mod range;
pub mod status;
