//! Why a server did not start: each error names the value, the allowed range and the remedy.
use std::{
    borrow::Cow,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Why [`crate::Server::start`] failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An option is out of range.
    Option {
        /// The option's name as in [`crate::Options`].
        name: Cow<'static, str>,
        /// What it was.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// The root cannot be served.
    Root {
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The host has no address.
    Host {
        /// The name.
        host: String,
        /// The resolver's error.
        error: io::Error,
    },
    /// The address cannot be listened on.
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// The path of the Unix socket cannot be listened on.
    Unix {
        /// The path.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A descriptor that was passed on is no socket to serve from.
    Descriptor {
        /// Its number.
        fd: i32,
        /// What is wrong with it.
        error: io::Error,
    },
    /// A certificate or a key cannot be used.
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with its remedy.
        reason: String,
    },
    /// A file of names and passwords cannot be used.
    Auth {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, with its remedy.
        reason: String,
    },
    /// The access log cannot be written.
    AccessLog {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it, with its remedy.
        reason: String,
    },
    /// The server drains or has ended.
    Closed,
    /// A core's thread or executor did not start.
    Core {
        /// The CPU or index of the core.
        core: usize,
        /// Why, with its remedy.
        reason: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use io::ErrorKind;
        match self {
            StartError::Option { name, value, allowed } => {
                write!(f, "option {name} is {value}; allowed: {allowed}")
            }
            StartError::Root { path, error } => {
                // As Rust quotes a string: a path may hold what steers a terminal.
                let path = format!("{path:?}");
                match error.kind() {
                    ErrorKind::NotFound => {
                        write!(f, "root {path} does not exist; create it or name another directory")
                    }
                    ErrorKind::NotADirectory => {
                        write!(f, "root {path} is not a directory; name the directory that holds the file")
                    }
                    ErrorKind::PermissionDenied => {
                        write!(
                            f,
                            "root {path} may not be read by this user; give it read and search permission (chmod o+rx) or run as its owner"
                        )
                    }
                    _ => write!(f, "root {path} cannot be opened: {error}"),
                }
            }
            StartError::Host { host, error } => {
                write!(
                    f,
                    "host {host} has no address ({error}); use an IP address of this machine, 127.0.0.1, 0.0.0.0 or ::"
                )
            }
            StartError::Bind { address, error } => match error.kind() {
                ErrorKind::AddrInUse => write!(
                    f,
                    "port {} on {} is in use; stop its owner or choose another port (0 takes any free one)",
                    address.port(),
                    address.ip()
                ),
                ErrorKind::PermissionDenied => write!(
                    f,
                    "port {} needs a privilege this user lacks; choose a port from 1024 up",
                    address.port()
                ),
                ErrorKind::AddrNotAvailable => write!(
                    f,
                    "{} is not an address of this machine; use one that is, 127.0.0.1, 0.0.0.0 or ::",
                    address.ip()
                ),
                _ => write!(f, "cannot listen on {address}: {error}"),
            },
            StartError::Unix { path, error } => unix(f, path, error),
            StartError::Descriptor { fd, error } => match error.raw_os_error() {
                Some(_) => {
                    write!(
                        f,
                        "descriptor {fd} cannot be served from ({error}); pass on a socket that listens"
                    )
                }
                None => write!(f, "descriptor {fd} cannot be served from: {error}"),
            },
            StartError::Tls { path, reason } | StartError::Auth { path, reason } => {
                write!(f, "{path:?} {reason}")
            }
            StartError::AccessLog { path, reason } => write!(f, "the access log {path:?} {reason}"),
            StartError::Closed => f.write_str("the server is closed"),
            StartError::Core { core, reason } => write!(f, "core {core} did not start: {reason}"),
        }
    }
}

fn unix(f: &mut fmt::Formatter<'_>, path: &Path, error: &io::Error) -> fmt::Result {
    use io::ErrorKind;
    let path = format!("{path:?}");
    match error.kind() {
        ErrorKind::AddrInUse => {
            write!(f, "somebody listens on {path}; stop it or choose another path")
        }
        ErrorKind::AlreadyExists => {
            write!(f, "{path} exists and is no socket; remove it or choose another path")
        }
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            write!(f, "there is no directory for the socket {path}; create it")
        }
        ErrorKind::PermissionDenied => {
            write!(f, "{path} may not be made by this user; choose a directory that it may write to")
        }
        _ => write!(f, "cannot listen on {path}: {error}"),
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.system().map(|error| error as _)
    }
}

impl StartError {
    /// A thread could not be had.
    pub(crate) fn no_thread(core: usize, error: &io::Error) -> StartError {
        let reason = format!("no thread ({error}); raise the limit on processes (ulimit -u)");
        StartError::Core { core, reason }
    }

    /// The stable code of this error, as the TypeScript API shows it.
    pub fn code(&self) -> &'static str {
        match self {
            StartError::Option { .. } => "ERR_RINGWHEEL_INVALID_OPTION",
            StartError::Root { .. } => "ERR_RINGWHEEL_ROOT",
            StartError::Host { .. } => "ERR_RINGWHEEL_HOST",
            StartError::Bind { .. } | StartError::Unix { .. } | StartError::Descriptor { .. } => {
                "ERR_RINGWHEEL_LISTEN"
            }
            StartError::Tls { .. } => "ERR_RINGWHEEL_TLS",
            StartError::Auth { .. } => "ERR_RINGWHEEL_AUTH",
            StartError::AccessLog { .. } => "ERR_RINGWHEEL_ACCESS_LOG",
            StartError::Closed => "ERR_RINGWHEEL_CLOSED",
            StartError::Core { .. } => "ERR_RINGWHEEL_CORE",
        }
    }

    /// The path that it is about, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            StartError::Root { path, .. }
            | StartError::Unix { path, .. }
            | StartError::AccessLog { path, .. }
            | StartError::Auth { path, .. }
            | StartError::Tls { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The errno behind it, where the system gave one.
    pub fn errno(&self) -> Option<i32> {
        self.system()?.raw_os_error()
    }

    /// What the system said.
    fn system(&self) -> Option<&io::Error> {
        match self {
            StartError::Root { error, .. }
            | StartError::Host { error, .. }
            | StartError::Unix { error, .. }
            | StartError::Descriptor { error, .. }
            | StartError::Bind { error, .. } => Some(error),
            StartError::Option { .. }
            | StartError::Tls { .. }
            | StartError::AccessLog { .. }
            | StartError::Auth { .. }
            | StartError::Closed
            | StartError::Core { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_names_the_value_and_a_remedy() {
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let bind =
            |kind: io::ErrorKind| StartError::Bind { address, error: io::Error::from(kind) }.to_string();
        assert!(
            bind(io::ErrorKind::AddrInUse).starts_with("port 8080 on 127.0.0.1 is in use; stop its owner")
        );
        assert!(bind(io::ErrorKind::PermissionDenied).contains("from 1024 up"));
        let root = |kind: io::ErrorKind| {
            StartError::Root { path: "/srv".into(), error: io::Error::from(kind) }.to_string()
        };
        assert!(root(io::ErrorKind::NotFound).contains("\"/srv\" does not exist; create it"));
        assert!(root(io::ErrorKind::PermissionDenied).contains("chmod"));
        assert!(root(io::ErrorKind::NotADirectory).contains("not a directory"));
    }
}
