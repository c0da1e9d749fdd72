//! HTTP/1.1 static files from native executors, one per core, with no JavaScript per request.
//!
//! Start with [`Server`] and [`Options`]. Inside, a request goes through numbered steps, and each file says which is its:
//!
//! | step | where | what |
//! | --- | --- | --- |
//! | 0 accept | `listen/`, `core.rs` | a connection becomes a task on the core that accepted it |
//! | 1 receive | `connection.rs`, [`proxy`] | bytes in a provided buffer; before them a PROXY header and a TLS handshake (`tls/`), where they are asked for |
//! | 2 parse | [`http::parse`] | one head, borrowed |
//! | 3 find | `site.rs`, `auth/`, `cache.rs`, [`target`], `load.rs`, `find.rs`, `missing.rs`, `fallback.rs`, `listing/`, `on_the_fly.rs`, [`redirect`], `rewrite.rs` | the site of the host; raw path in the cache, else canonical path (which may have moved), else the disk, once for all who wait; packed on the fly where that is asked for |
//! | 4 decide | [`http::answer`] | preconditions and ranges |
//! | 5 write | [`http::head`], `outbox.rs` | the ready-made response, or a head |
//! | 3–6 route | [`route`] | where the path has one: what a handler on another thread answers, instead of a file |
//! | 6 send | `outbox.rs`, `body.rs`, `access/` | one send for what arrived together; large files by sendfile in windows; then the access log's line |
//!
//! What a client cannot do: name a file outside the root (`openat2` with RESOLVE_BENEATH, and `target.rs` before it), hold
//! more memory than [`Limits`] says, or hold a connection longer than its timeouts (`watch.rs`).
#![cfg(unix)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod access;
mod auth;
mod body;
pub mod cache;
mod clients;
mod compress;
mod connection;
mod control;
mod core;
pub mod error;
mod fallback;
mod file;
mod find;
pub mod http;
mod latency;
mod listen;
mod listing;
mod load;
mod missing;
mod on_the_fly;
pub mod options;
mod outbox;
mod pace;
pub mod pattern;
mod post;
pub mod proxy;
pub mod redirect;
mod reload;
mod respond;
mod rewrite;
pub mod route;
mod server;
mod setup;
mod site;
mod stats;
pub mod target;
mod tls;
mod trust;
mod watch;
mod whole;

pub use error::StartError;
pub use latency::LatencyStats;
pub use listen::Address;
pub use options::{
    AccessLogFormat, AccessLogOptions, AuthOptions, CacheOptions, CompressOptions, Cores, CorsOptions,
    Dotfiles, DownloadRule, DriverKind, EtagKind, HeaderRule, Immutable, Limits, Mount, Options,
    RedirectRule, RewriteRule, SiteOptions, Symlinks, TlsOptions, UnixOptions,
};
pub use reload::Reloader;
pub use server::{CloseOptions, CloseReport, Server, Stopper};
pub use stats::{CoreStats, ServerStats};
