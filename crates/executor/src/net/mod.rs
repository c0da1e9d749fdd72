//! TCP on the executor: listening, receiving into provided buffers, sending, and files to sockets.
//!
//! ```
//! use ringwheel_executor::{Executor, Source, net, spawn};
//!
//! let mut executor = Executor::start(Default::default())?;
//! executor.run(async {
//!     let listener = net::Listener::bind("127.0.0.1:0".parse().unwrap(), Default::default())?;
//!     let address = listener.local_address()?;
//!     let echo = spawn(async move {
//!         let stream = listener.accept().await?;
//!         while let Some(chunk) = stream.receive().await? {
//!             let all = 0..chunk.len();
//!             stream.send(Source::Chunk(chunk, all), false).await.0?; // sent from where it was received
//!         }
//!         std::io::Result::Ok(())
//!     });
//!     let client = net::Stream::connect(address).await?;
//!     client.send(Source::Vec(b"hello".to_vec(), 0..5), false).await.0?;
//!     assert_eq!(&client.receive().await?.unwrap()[..], b"hello");
//!     client.shutdown(net::Shutdown::Write)?;
//!     assert!(client.receive().await?.is_none());
//!     echo.await.unwrap()
//! })??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod inherited;
mod listener;
mod progress;
mod send_file;
mod stream;

pub use inherited::inherit;
pub use listener::{ListenOptions, Listener, check_listening};
pub use progress::Peer;
pub use std::net::Shutdown;
pub use stream::Stream;

use std::io;

/// A completion's result as std has it.
pub(crate) fn outcome(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.wrapping_neg()))
}
