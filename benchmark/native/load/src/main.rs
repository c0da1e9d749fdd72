//! `load ADDRESS PATH CONNECTIONS SECONDS LENGTH`: keeps one GET in flight on each connection and prints one line of JSON.
//! Every answer must be a 200 with a body of LENGTH bytes; anything else is counted as an error.
use polling::{Event, Events, PollMode, Poller};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// One connection and the answer it is reading.
struct Connection {
    stream: TcpStream,
    asked: Instant,
    /// Bytes of the head so far, until the empty line was seen.
    head: Vec<u8>,
    /// Bytes of the body that are still to come, once the head was read.
    body_left: Option<usize>,
}

/// What was found.
#[derive(Default)]
struct Found {
    requests: u64,
    bytes: u64,
    errors: u64,
    /// Microseconds per request.
    latencies: Vec<u32>,
}

/// What one load is asked to do.
struct Plan {
    address: SocketAddr,
    request: Vec<u8>,
    length: usize,
}

const LATENCIES_MAX: usize = 4_000_000;

fn main() {
    if let Err(error) = run() {
        eprintln!("load: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, connections, seconds, length] = given.as_slice() else {
        return Err("usage: load ADDRESS PATH CONNECTIONS SECONDS LENGTH".into());
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").into_bytes();
    let plan = Plan { address: address.parse()?, request, length: length.parse()? };
    let seconds: f64 = seconds.parse()?;
    let poller = Poller::new()?;
    let mut all = Vec::new();
    for key in 0..connections.parse::<usize>()? {
        all.push(connect(&plan, &poller, key)?);
    }
    let mut found = Found::default();
    let mut buffer = vec![0; 256 * 1024];
    let mut events = Events::new();
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        events.clear();
        poller.wait(&mut events, Some(Duration::from_millis(100)))?;
        for event in events.iter() {
            let connection = &mut all[event.key];
            if let Err(error) = connection.advance(&plan, &mut buffer, &mut found) {
                found.errors += 1;
                if found.errors > 1000 {
                    return Err(format!("1000 requests failed, the last one by: {error}").into());
                }
                poller.delete(&connection.stream)?;
                *connection = connect(&plan, &poller, event.key)?;
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{{\"requests\":{},\"seconds\":{seconds:.6},\"bytes\":{},\"errors\":{},\"p50\":{},\"p99\":{}}}",
        found.requests,
        found.bytes,
        found.errors,
        measure::percentile(&mut found.latencies, 0.5),
        measure::percentile(&mut found.latencies, 0.99),
    );
    Ok(())
}

fn connect(plan: &Plan, poller: &Poller, key: usize) -> io::Result<Connection> {
    let mut stream = TcpStream::connect_timeout(&plan.address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.write_all(&plan.request)?;
    stream.set_nonblocking(true)?;
    // SAFETY: `add` needs the source to be deleted before it is dropped. Holds: `run` deletes a stream before it replaces
    // it, and the others live until the process ends. Checked: a stale key would name a connection that never answers.
    unsafe { poller.add_with_mode(&stream, Event::readable(key), PollMode::Level) }?;
    Ok(Connection { stream, asked: Instant::now(), head: Vec::with_capacity(1024), body_left: None })
}

impl Connection {
    /// Reads what is there; asks again whenever an answer is complete.
    fn advance(&mut self, plan: &Plan, buffer: &mut [u8], found: &mut Found) -> io::Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            found.bytes += count as u64;
            self.take(&buffer[..count], plan, found)?;
            if count < buffer.len() {
                return Ok(()); // The socket was emptied; what comes later wakes the poller again.
            }
        }
    }

    /// Digests bytes of one answer. More than one answer cannot come: only one is asked for at a time.
    fn take(&mut self, mut bytes: &[u8], plan: &Plan, found: &mut Found) -> io::Result<()> {
        let left = match self.body_left {
            Some(left) => left,
            None => {
                let before = self.head.len();
                self.head.extend_from_slice(bytes);
                let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
                    return if self.head.len() > 65536 {
                        Err(invalid("the head has no end"))
                    } else {
                        Ok(())
                    };
                };
                check_head(&self.head[..end + 4], plan.length)?;
                bytes = &bytes[end + 4 - before..];
                plan.length
            }
        };
        let left = left.checked_sub(bytes.len()).ok_or_else(|| invalid("more bytes than the file has"))?;
        self.body_left = Some(left);
        if left == 0 {
            found.requests += 1;
            if found.latencies.len() < LATENCIES_MAX {
                found.latencies.push(self.asked.elapsed().as_micros() as u32);
            }
            self.body_left = None;
            self.head.clear();
            self.asked = Instant::now();
            // One small request into an empty socket: it is taken whole or the connection is broken.
            if self.stream.write(&plan.request)? != plan.request.len() {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

fn check_head(head: &[u8], length: usize) -> io::Result<()> {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    if !text.starts_with("http/1.1 200 ") {
        return Err(invalid(text.lines().next().unwrap_or("no status line")));
    }
    let said = text.lines().find_map(|line| line.strip_prefix("content-length:")).map(str::trim);
    if said.and_then(|said| said.parse().ok()) == Some(length) {
        Ok(())
    } else {
        Err(invalid("another content-length"))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
