//! What a server can be told, each option with its unit, range and default, checked in one place before anything starts.
use crate::{error::StartError, http::parse::FIELDS_MAX};
use std::{path::PathBuf, time::Duration};

pub use crate::http::etag::EtagKind;
pub use ringwheel_executor::DriverKind;

/// How names that start with a dot are treated, in any segment of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dotfiles {
    /// 404, except below `/.well-known/` (RFC 8615). Default.
    #[default]
    Deny,
    /// Served like other files.
    Allow,
    /// 404 without exception: as if they did not exist.
    Ignore,
}

/// On which cores the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// One executor pinned to each CPU this process may run on.
    All,
    /// This many executors, `1..=1024`, placed by the kernel.
    Count(usize),
    /// One executor pinned to each CPU of the list; each must be one this process may run on.
    List(Vec<usize>),
}

/// What the cache of small files and of open large files may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Bytes of ready-made responses per core, up to 1 TiB. 0 turns the cache of small files off. Default 32 MiB.
    pub bytes: usize,
    /// Files up to this many bytes are kept whole, at most 16 MiB. Default 64 KiB.
    pub file_bytes_max: usize,
    /// Open large files kept per core, up to 65,536. Default 256.
    pub open_files: usize,
    /// Milliseconds an entry is trusted before its file is looked at again, up to a day. 0 looks at every request.
    /// Default 1000.
    pub revalidate_ms: u64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        CacheOptions { bytes: 32 << 20, file_bytes_max: 64 << 10, open_files: 256, revalidate_ms: 1000 }
    }
}

/// What one client may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head, `256..=1 MiB`. Default 16 KiB. Beyond: 431.
    pub header_bytes: usize,
    /// Header fields, `1..=128`. Default 100. Beyond: 431.
    pub header_count: usize,
    /// Bytes of the request target, `16..=header_bytes`. Default 8 KiB. Beyond: 414.
    pub uri_bytes: usize,
    /// Bytes of a request body that are read and thrown away to keep the connection, up to 64 MiB. Default 64 KiB. Beyond:
    /// the connection closes after the response.
    pub body_bytes: u64,
    /// Pieces of one multipart/byteranges response, up to 256. Default 16. More get the whole file; 0 turns ranges off.
    pub ranges: usize,
    /// Open connections of all cores, `1..=10,000,000`. Default 100,000. Beyond: 503.
    pub connections: usize,
    /// Time for a whole request head from its first byte, and for a new connection to send it, `10 ms..=1 day`. Default 15 s.
    /// Beyond: 408.
    pub header_timeout: Duration,
    /// Time a connection may stay open between requests, `10 ms..=1 day`. Default 60 s.
    pub idle_timeout: Duration,
    /// Time without any progress while sending, `10 ms..=1 day`. Default 30 s. Beyond: the connection is cut.
    pub send_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_bytes: 16 << 10,
            header_count: 100,
            uri_bytes: 8 << 10,
            body_bytes: 64 << 10,
            ranges: 16,
            connections: 100_000,
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(30),
        }
    }
}

/// Everything [`crate::Server::start`] can be told. Only `root` has no default.
///
/// ```
/// use ringwheel_fileserver::{Cores, Options};
/// let options = Options { port: 0, cores: Cores::Count(1), max_age: Some(60), ..Options::new(".") };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The directory to serve. Nothing outside it is ever served.
    pub root: PathBuf,
    /// An IP address or a name that resolves to one. Default `127.0.0.1`.
    pub host: String,
    /// `0..=65535`; 0 takes a free port. Default 8080.
    pub port: u16,
    /// Default [`Cores::All`].
    pub cores: Cores,
    /// Names tried in a directory, in order; at most 16, each one a plain file name. Default `index.html`. Empty turns it off.
    pub index: Vec<String>,
    /// Default [`Dotfiles::Deny`].
    pub dotfiles: Dotfiles,
    /// What ETags are made from.
    pub etag: EtagKind,
    /// Seconds of `Cache-Control: public, max-age=…`, up to 2³¹. Default none.
    pub max_age: Option<u64>,
    /// The whole value of Cache-Control, instead of `max_age`. Default none.
    pub cache_control: Option<String>,
    /// The value of the Server header; `None` leaves it out. Default `ringwheel`.
    pub server: Option<String>,
    /// The caches.
    pub cache: CacheOptions,
    /// Limits on clients.
    pub limits: Limits,
    /// `None` chooses io_uring when the kernel allows it, else poll. `Some` insists.
    pub driver: Option<DriverKind>,
}

impl Options {
    /// The defaults, for `root`.
    pub fn new(root: impl Into<PathBuf>) -> Options {
        Options {
            root: root.into(),
            host: "127.0.0.1".to_owned(),
            port: 8080,
            cores: Cores::All,
            index: vec!["index.html".to_owned()],
            dotfiles: Dotfiles::default(),
            etag: EtagKind::default(),
            max_age: None,
            cache_control: None,
            server: Some("ringwheel".to_owned()),
            cache: CacheOptions::default(),
            limits: Limits::default(),
            driver: None,
        }
    }

    /// Checks every option against its range. [`crate::Server::start`] does this first.
    ///
    /// # Errors
    /// [`StartError::Option`] for the first that is out of range.
    pub fn validate(&self) -> Result<(), StartError> {
        let Options { limits, cache, .. } = self;
        match &self.cores {
            Cores::All => {}
            Cores::Count(count) => within("cores", *count, 1, 1024)?,
            Cores::List(list) => {
                within("cores (length of the list)", list.len(), 1, 1024)?;
                for cpu in list {
                    within("cores (a CPU of the list)", *cpu, 0, 4095)?;
                }
            }
        }
        within("index (number of names)", self.index.len(), 0, 16)?;
        for name in &self.index {
            if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
                return Err(wrong("index", format!("{name:?}"), "plain file names without / \\ or NUL"));
            }
        }
        within("max_age", self.max_age.unwrap_or(0), 0, 1 << 31)?;
        if self.max_age.is_some() && self.cache_control.is_some() {
            return Err(wrong("max_age", "given beside cache_control".to_owned(), "one of the two"));
        }
        field_value("cache_control", self.cache_control.as_deref())?;
        field_value("server", self.server.as_deref())?;
        within("cache.bytes", cache.bytes as u64, 0, 1 << 40)?;
        within("cache.file_bytes_max", cache.file_bytes_max, 0, 16 << 20)?;
        within("cache.open_files", cache.open_files, 0, 65_536)?;
        within("cache.revalidate_ms", cache.revalidate_ms, 0, 86_400_000)?;
        within("limits.header_bytes", limits.header_bytes, 256, 1 << 20)?;
        within("limits.header_count", limits.header_count, 1, FIELDS_MAX)?;
        within("limits.uri_bytes", limits.uri_bytes, 16, limits.header_bytes)?;
        within("limits.body_bytes", limits.body_bytes, 0, 64 << 20)?;
        within("limits.ranges", limits.ranges, 0, 256)?;
        within("limits.connections", limits.connections, 1, 10_000_000)?;
        for (name, time) in [
            ("limits.header_timeout (ms)", limits.header_timeout),
            ("limits.idle_timeout (ms)", limits.idle_timeout),
            ("limits.send_timeout (ms)", limits.send_timeout),
        ] {
            within(name, time.as_millis(), 10, 86_400_000)?;
        }
        Ok(())
    }
}

fn wrong(name: &'static str, value: String, allowed: &str) -> StartError {
    StartError::Option { name, value, allowed: allowed.to_owned() }
}

fn within<T: PartialOrd + std::fmt::Display>(
    name: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), StartError> {
    if value < low || value > high {
        return Err(wrong(name, value.to_string(), &format!("{low} to {high}")));
    }
    Ok(())
}

/// A header value must not end its line: that would let an option write the response.
fn field_value(name: &'static str, value: Option<&str>) -> Result<(), StartError> {
    match value {
        Some(text)
            if text.is_empty()
                || text.len() > 1024
                || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) =>
        {
            Err(wrong(name, format!("{text:?}"), "1 to 1024 printable ASCII characters"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options::new(".");
        change(&mut options);
        options.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        Options::new(".").validate().unwrap();
    }

    #[test]
    fn what_is_out_of_range_is_named_with_its_range() {
        assert_eq!(refused(|o| o.cores = Cores::Count(0)), "option cores is 0; allowed: 1 to 1024");
        assert!(refused(|o| o.cores = Cores::List(vec![])).contains("1 to 1024"));
        assert!(refused(|o| o.cores = Cores::List(vec![5000])).contains("5000"));
        assert!(refused(|o| o.index = vec!["../x".into()]).contains("plain file names"));
        assert!(refused(|o| o.server = Some("a\r\nSet-Cookie: x".into())).contains("printable"));
        assert!(refused(|o| o.cache_control = Some(String::new())).contains("printable"));
        assert!(refused(|o| o.limits.header_bytes = 10).contains("256 to 1048576"));
        assert!(refused(|o| o.limits.uri_bytes = 1 << 20).contains("16 to 16384"));
        assert!(refused(|o| o.limits.header_count = 1000).contains("1 to 128"));
        assert!(refused(|o| o.limits.idle_timeout = Duration::ZERO).contains("idle_timeout"));
        assert!(refused(|o| o.cache.file_bytes_max = 1 << 30).contains("file_bytes_max"));
        assert!(
            refused(|o| {
                o.max_age = Some(1);
                o.cache_control = Some("no-store".into());
            })
            .contains("one of the two")
        );
    }
}
