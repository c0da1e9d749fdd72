//! `load-echo ADDRESS BYTES CONNECTIONS SECONDS PID`: keeps one message in flight on each connection and prints one line of JSON.
//! Every byte that comes back is compared; the CPU is that of the server's threads, from /proc/PID, while messages were counted.
use measure::{Report, percentile};
use polling::{Event, Events, PollMode, Poller};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Messages that are taken the time of, at most.
const LATENCIES_MAX: usize = 2_000_000;
/// Fewer say nothing: then it goes on for longer than it was told, on a machine that is busy with something else.
const MESSAGES_MIN: u64 = 100;

struct Connection {
    stream: TcpStream,
    /// The message: its number, then a pattern that differs from connection to connection.
    message: Vec<u8>,
    sent: usize,
    received: usize,
    asked: Instant,
}

fn main() {
    if let Err(error) = run() {
        eprintln!("load-echo: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [address, bytes, connections, seconds, pid] = given.as_slice() else {
        return Err("usage: load-echo ADDRESS BYTES CONNECTIONS SECONDS PID".into());
    };
    let (address, bytes): (SocketAddr, usize) = (address.parse()?, bytes.parse()?);
    if bytes < 8 {
        return Err(format!("BYTES is {bytes}; a message has at least 8").into());
    }
    let (seconds, pid): (f64, u32) = (seconds.parse()?, pid.parse()?);
    let poller = Poller::new()?;
    let mut all = Vec::new();
    for key in 0..connections.parse::<usize>()? {
        all.push(Connection::open(address, bytes, &poller, key)?);
    }
    let mut events = Events::new();
    let mut buffer = vec![0; 64 << 10];
    let mut latencies: Vec<u32> = Vec::with_capacity(LATENCIES_MAX);
    let mut count = 0_u64;
    let begun = Instant::now();
    let warm = Duration::from_secs_f64(seconds.min(0.3));
    let (mut start, mut cpu) = (None, 0.0);
    let mut progress = begun;
    loop {
        events.clear();
        poller.wait(&mut events, Some(Duration::from_millis(100)))?;
        for event in events.iter() {
            let connection = &mut all[event.key];
            if event.writable {
                connection.send()?;
            }
            if event.readable {
                connection.receive(&mut buffer, |latency| {
                    count += 1;
                    if latencies.len() < LATENCIES_MAX {
                        latencies.push(latency);
                    }
                })?;
            }
        }
        let now = Instant::now();
        if !events.is_empty() {
            progress = now;
        } else if now - progress > Duration::from_secs(5) {
            return Err("nothing came back for five seconds".into());
        }
        match start {
            None if now - begun >= warm => {
                (start, cpu) = (Some(now), server_cpu(pid)?);
                (count, latencies) = (0, Vec::with_capacity(LATENCIES_MAX));
            }
            Some(start) if (now - start).as_secs_f64() >= seconds && count >= MESSAGES_MIN => {
                Report::default()
                    .with("messages", count as f64 / (now - start).as_secs_f64())
                    .with("CPU", (server_cpu(pid)? - cpu) / count as f64 / 1e3)
                    .with("p50", percentile(&mut latencies, 0.5) / 1e3)
                    .with("p99", percentile(&mut latencies, 0.99) / 1e3)
                    .print();
                return Ok(());
            }
            None | Some(_) => {}
        }
    }
}

impl Connection {
    fn open(address: SocketAddr, bytes: usize, poller: &Poller, key: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        // SAFETY: `add` needs the source to be deleted before it is dropped. Holds: the connections live until the process
        // ends. Checked: a stale key would name a connection that never answers.
        unsafe { poller.add_with_mode(&stream, Event::all(key), PollMode::Edge) }?;
        let message = (0..bytes).map(|at| (at as u8).wrapping_mul(31).wrapping_add(key as u8)).collect();
        Ok(Connection { stream, message, sent: 0, received: 0, asked: Instant::now() })
    }

    /// Writes what is left of the message; what does not fit waits for the next event.
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.message.len() {
            match self.stream.write(&self.message[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what came; `done` is told the nanoseconds of each whole message, and the next one goes.
    fn receive(&mut self, buffer: &mut [u8], mut done: impl FnMut(u32)) -> io::Result<()> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let expected = self.message.get(self.received..self.received + count);
            if expected != Some(&buffer[..count]) {
                return Err(io::Error::new(ErrorKind::InvalidData, "other bytes came back than were sent"));
            }
            self.received += count;
            if self.received == self.message.len() {
                done(u32::try_from(self.asked.elapsed().as_nanos()).unwrap_or(u32::MAX));
                let number = u64::from_le_bytes(*self.message.first_chunk().unwrap_or(&[0; 8])) + 1;
                self.message[..8].copy_from_slice(&number.to_le_bytes());
                (self.sent, self.received) = (0, 0);
                self.asked = Instant::now();
                self.send()?;
            }
            if count < buffer.len() {
                return Ok(()); // The socket was emptied; what comes later is a new edge.
            }
        }
    }
}

/// CPU nanoseconds of all threads of a process.
fn server_cpu(pid: u32) -> io::Result<f64> {
    let mut sum = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(sum)
}
