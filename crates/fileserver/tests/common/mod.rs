//! A site on disk, a server over it on each driver, and a client that reads raw bytes: what all integration tests stand on.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "test code: a part of it in each test file, and a failure may panic"
)]
#![allow(
    clippy::allow_attributes,
    reason = "an expectation would be unfulfilled in the test file that uses everything"
)]
use ringwheel_fileserver::{Cores, DriverKind, Options, Server};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

/// A directory that goes with the test.
pub struct Site {
    pub root: PathBuf,
}

impl Site {
    pub fn new() -> Site {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("ringwheel-http-{}-{number}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Site { root }
    }

    /// Writes a file an hour old, so that its tag is strong.
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.write_now(path, bytes);
        age(&path, Duration::from_secs(3600));
        path
    }

    pub fn write_now(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn options(&self, driver: DriverKind) -> Options {
        Options { port: 0, cores: Cores::Count(1), driver: Some(driver), ..Options::new(&self.root) }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

pub fn age(path: &Path, by: Duration) {
    fs::File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
}

/// Bytes that differ everywhere, so that a shifted body shows.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 + index / 251 * 7 + index / 65_536) as u8).collect()
}

/// The drivers to test on: poll always, io_uring where the kernel gives it.
pub fn drivers() -> Vec<DriverKind> {
    let mut drivers = vec![DriverKind::Poll];
    let mut options = ringwheel_executor::Options::default();
    options.driver.kind = Some(DriverKind::Uring);
    match ringwheel_executor::Executor::start(options) {
        Ok(_) => drivers.push(DriverKind::Uring),
        Err(error) => eprintln!("skipped on io_uring: {error}"),
    }
    drivers
}

/// Runs a test body on each driver with a fresh site.
pub fn on_each_driver(body: impl Fn(Site, DriverKind)) {
    for driver in drivers() {
        eprintln!("driver: {driver:?}");
        body(Site::new(), driver);
    }
}

/// Starts a server with `change` applied to the test's options.
pub fn serve(site: &Site, driver: DriverKind, change: impl FnOnce(&mut Options)) -> Server {
    let mut options = site.options(driver);
    change(&mut options);
    Server::start(options).unwrap_or_else(|error| panic!("{error}"))
}

/// A response as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A client that sends what it is told and reads what comes.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// A plain GET of HTTP/1.1 with more fields.
    pub fn get(&mut self, path: &str, fields: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{fields}\r\n"));
        self.reply()
    }

    pub fn reply(&mut self) -> Reply {
        self.reply_to(true)
    }

    /// The next response; `with_body` is false after HEAD.
    pub fn reply_to(&mut self, with_body: bool) -> Reply {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.fill() > 0, "closed in a head: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new() };
        if with_body && status != 304 && status != 204 {
            let length: usize = reply.header("content-length").unwrap().parse().unwrap();
            while self.buffer.len() < length {
                assert!(self.fill() > 0, "closed in a body, {} of {length}", self.buffer.len());
            }
            reply.body = self.buffer.drain(..length).collect();
        }
        reply
    }

    /// Everything until the server closes; false in the second place when it was a reset.
    pub fn rest(&mut self) -> (Vec<u8>, bool) {
        loop {
            let mut bytes = [0; 65_536];
            match self.stream.read(&mut bytes) {
                Ok(0) => return (std::mem::take(&mut self.buffer), true),
                Ok(count) => self.buffer.extend_from_slice(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                    return (std::mem::take(&mut self.buffer), false);
                }
                // Closing a ring leaves work to this thread, which interrupts what it does next.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the server neither sent nor closed: {error}"),
            }
        }
    }

    /// Asserts that the server closes cleanly with nothing more to say.
    pub fn ends(&mut self) {
        let (rest, clean) = self.rest();
        assert!(rest.is_empty() && clean, "left {:?}, clean: {clean}", String::from_utf8_lossy(&rest));
    }

    fn fill(&mut self) -> usize {
        let mut bytes = [0; 65_536];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    return count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let so_far = String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(300)]);
                    panic!("no answer: {error}; so far {so_far:?}")
                }
            }
        }
    }
}

/// One request on a connection of its own.
pub fn get(server: &Server, path: &str, fields: &str) -> Reply {
    Client::connect(server.local_address()).get(path, fields)
}

/// Waits for a condition that another thread brings about.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not within 5 s: {what}");
}
