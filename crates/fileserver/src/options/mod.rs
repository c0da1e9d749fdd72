//! What a server can be told, each option with its unit, range and default, checked in one place before anything starts.
//!
//! All of it can be read from JSON (`serde`) and written as such, in the names that lib/api/server-options.ts has.
mod access_log;
mod auth;
mod compress;
mod cors;
mod limits;
mod site;

use crate::{error::StartError, trust};
use serde::{Deserialize, Serialize, Serializer};
use std::{borrow::Cow, path::PathBuf};

pub use crate::http::etag::EtagKind;
pub use access_log::{AccessLogFormat, AccessLogOptions};
pub use auth::AuthOptions;
pub use compress::CompressOptions;
pub use cors::CorsOptions;
pub use limits::{CacheOptions, Limits};
pub use ringwheel_executor::DriverKind;
pub use site::{
    Dotfiles, DownloadRule, HeaderRule, Immutable, Mount, RedirectRule, RewriteRule, SiteOptions, Symlinks,
};

/// On which cores the server runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cores {
    /// One executor pinned to each CPU this process may run on; where a quota of CPU time lets fewer run at once, as many as that, placed by the
    /// kernel. Default.
    #[default]
    All,
    /// This many executors, `1..=1024`, placed by the kernel.
    Count(usize),
    /// One executor pinned to each CPU of the list; each must be one this process may run on.
    List(Vec<usize>),
}

/// A Unix socket to listen on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnixOptions {
    /// Its path, of 1 to 107 bytes (103 on macOS). A socket that nobody listens on is taken over; the path is removed as the server closes.
    pub path: PathBuf,
    /// Who may connect: those who may write, up to `0o777`. `None`: as the process's umask says.
    #[serde(default)]
    pub mode: Option<u32>,
}

/// A certificate and its key, both in PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsOptions {
    /// The server's certificate, and behind it those of its issuers.
    pub cert: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub key: PathBuf,
}

/// Bytes of a Unix socket's path, by sockaddr_un.
const UNIX_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

impl UnixOptions {
    fn validate(&self) -> Result<(), Invalid> {
        let bytes = self.path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() || bytes.len() > UNIX_PATH_MAX || bytes.contains(&0) {
            let allowed = format!("a path of 1 to {UNIX_PATH_MAX} bytes, without NUL");
            return Err(wrong("unix.path", format!("{:?} ({} bytes)", self.path, bytes.len()), &allowed));
        }
        within("unix.mode", self.mode.unwrap_or(0), 0, 0o777)
    }
}

/// Everything [`crate::Server::start`] can be told. Only the root of the site has no default.
///
/// ```
/// use ringwheel_fileserver::{Cores, Options, SiteOptions};
/// let site = SiteOptions { max_age: Some(60), ..SiteOptions::new(".") };
/// let options = Options { port: 0, cores: Cores::Count(1), site, ..Options::default() };
/// assert!(options.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Options {
    /// An IP address or a name that resolves to one. Default `127.0.0.1`.
    pub host: String,
    /// `0..=65535`; 0 takes a free port. Default 8080.
    pub port: u16,
    /// A Unix socket to listen on instead of `host` and `port`.
    pub unix: Option<UnixOptions>,
    /// Descriptors of sockets that listen already, TCP or Unix, to serve from instead of an address of its own; at most 1024. They are
    /// duplicated: closing the server leaves these open, and what connects then waits in their queues.
    pub fds: Vec<i32>,
    /// Default [`Cores::All`].
    pub cores: Cores,
    /// The value of the Server header; `None` leaves it out. Default `ringwheel`.
    pub server: Option<String>,
    /// Each connection must begin with a PROXY protocol header of version 1 or 2, and one that does not is closed without a word. Only for
    /// a port that nobody but the proxy reaches. Default false.
    pub proxy_protocol: bool,
    /// Proxies that are believed when they say in `X-Forwarded-For`, else in `Forwarded`, whose request they pass on: addresses, networks such as
    /// `10.0.0.0/8`, `loopback` (a Unix socket too) and `private`; at most 100. Default nobody.
    pub trust_proxy: Vec<String>,
    /// Certificates with their keys: the server speaks HTTPS, and nothing else, when there is one; at most 100. Of several, a client gets the first
    /// that is valid for the name it asks for, else the first.
    pub tls: Vec<TlsOptions>,
    /// A line for each answer. Default none.
    pub access_log: Option<AccessLogOptions>,
    /// The caches.
    pub cache: CacheOptions,
    /// Limits on clients.
    pub limits: Limits,
    /// `None` chooses io_uring when the kernel allows it, else poll. `Some` insists.
    #[serde(serialize_with = "driver_name", deserialize_with = "driver")]
    pub driver: Option<DriverKind>,
    /// What is served to every host that no other site is for.
    pub site: SiteOptions,
    /// Sites for hosts of their own, at most 1000.
    pub sites: Vec<SiteOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            host: "127.0.0.1".to_owned(),
            port: 8080,
            unix: None,
            fds: Vec::new(),
            cores: Cores::default(),
            server: Some("ringwheel".to_owned()),
            proxy_protocol: false,
            trust_proxy: Vec::new(),
            tls: Vec::new(),
            access_log: None,
            cache: CacheOptions::default(),
            limits: Limits::default(),
            driver: None,
            site: SiteOptions::default(),
            sites: Vec::new(),
        }
    }
}

impl Options {
    /// The defaults, for a site of one root.
    pub fn new(root: impl Into<PathBuf>) -> Options {
        Options { site: SiteOptions::new(root), ..Options::default() }
    }

    /// Checks every option against its range. [`crate::Server::start`] does this first.
    ///
    /// # Errors
    /// [`StartError::Option`] for the first that is out of range.
    pub fn validate(&self) -> Result<(), StartError> {
        self.check().map_err(|Invalid { name, value, allowed }| StartError::Option { name, value, allowed })
    }

    fn check(&self) -> Result<(), Invalid> {
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
        if let Some(unix) = &self.unix {
            unix.validate()?;
        }
        within("fds (length of the list)", self.fds.len(), 0, 1024)?;
        for fd in &self.fds {
            within("fds (an entry of the list)", *fd, 0, i32::MAX)?;
        }
        if self.unix.is_some() && !self.fds.is_empty() {
            return Err(wrong("unix", "beside fds", "one of the two"));
        }
        within("trustProxy (length of the list)", self.trust_proxy.len(), 0, 100)?;
        if let Some(entry) = self.trust_proxy.iter().find(|entry| !trust::is_known(entry)) {
            return Err(wrong("trustProxy", format!("{entry:?}"), trust::ALLOWED));
        }
        within("tls (length of the list)", self.tls.len(), 0, 100)?;
        field_value("server", self.server.as_deref())?;
        if let Some(log) = &self.access_log {
            log.validate()?;
        }
        self.cache.validate()?;
        self.limits.validate()?;
        within("sites (length of the list)", self.sites.len(), 0, 1000)?;
        self.site.validate().map_err(|error| error.of_site(None))?;
        for (index, site) in self.sites.iter().enumerate() {
            site.validate().map_err(|error| error.of_site(Some(index)))?;
        }
        site::hosts_are_distinct(self)
    }

    /// Whether anything is packed on the fly.
    pub(crate) fn packs(&self) -> bool {
        self.all_sites().any(|site| site.compress.is_some())
    }

    /// The default site and those for hosts of their own.
    pub(crate) fn all_sites(&self) -> impl Iterator<Item = &SiteOptions> {
        std::iter::once(&self.site).chain(&self.sites)
    }
}

fn driver<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<DriverKind>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Driver {
        Auto,
        Uring,
        Poll,
    }
    Ok(match Driver::deserialize(from)? {
        Driver::Auto => None,
        Driver::Uring => Some(DriverKind::Uring),
        Driver::Poll => Some(DriverKind::Poll),
    })
}

#[expect(clippy::ref_option, reason = "serde wants it so")]
fn driver_name<S: Serializer>(driver: &Option<DriverKind>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match driver {
        None => "auto",
        Some(DriverKind::Uring) => "uring",
        Some(DriverKind::Poll) => "poll",
    })
}

/// An option that is out of range.
#[derive(Debug)]
struct Invalid {
    name: Cow<'static, str>,
    value: String,
    allowed: String,
}

impl Invalid {
    /// The same with the place of its site before its name.
    fn of_site(self, index: Option<usize>) -> Invalid {
        let Some(index) = index else { return self };
        Invalid { name: format!("sites[{index}].{}", self.name).into(), ..self }
    }
}

fn wrong(name: impl Into<Cow<'static, str>>, value: impl Into<String>, allowed: &str) -> Invalid {
    Invalid { name: name.into(), value: value.into(), allowed: allowed.to_owned() }
}

fn within<T: PartialOrd + std::fmt::Display>(
    name: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), Invalid> {
    if value < low || value > high {
        return Err(wrong(name, value.to_string(), &format!("{low} to {high}")));
    }
    Ok(())
}

/// A header value must not end its line: that would let an option write the response.
fn field_value(name: impl Into<Cow<'static, str>>, value: Option<&str>) -> Result<(), Invalid> {
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
#[path = "tests.rs"]
mod tests;
