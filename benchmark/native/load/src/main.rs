//! `load PLAN SECONDS`: asks what a plan says (see `plan.rs`), one request in flight on each connection, and prints one line of JSON.
//! Every answer must have the status and the length that its request expects; anything else is counted as an error.
mod answer;
mod connection;
mod plan;
mod tls;

use connection::{Connection, Progress};
use plan::{Order, Plan};
use polling::{Event, Events, Poller};
use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

/// What was found.
#[derive(Default)]
struct Found {
    requests: u64,
    bytes: u64,
    errors: u64,
    /// Microseconds per request.
    latencies: Vec<u32>,
}

const LATENCIES_MAX: usize = 4_000_000;
const ERRORS_MAX: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(30);

impl Found {
    fn answered(&mut self, asked: Instant) {
        self.requests += 1;
        if self.latencies.len() < LATENCIES_MAX {
            self.latencies.push(asked.elapsed().as_micros() as u32);
        }
    }

    /// Counts a failure, and gives up when there are too many.
    fn failed(&mut self, error: io::Error) -> Result<(), Box<dyn Error>> {
        self.errors += 1;
        if self.errors < ERRORS_MAX {
            return Ok(());
        }
        Err(format!("{ERRORS_MAX} requests failed, the last one by: {error}").into())
    }
}

fn main() {
    if let Err(error) = run() {
        eprintln!("load: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let [file, seconds] = given.as_slice() else {
        return Err("usage: load PLAN SECONDS".into());
    };
    let plan = Plan::read(file)?;
    let seconds = Duration::from_secs_f64(seconds.parse()?);
    let mut order = Order::new(&plan);
    let mut found = Found::default();
    let started = Instant::now();
    match plan.slow {
        None => fast(&plan, &mut order, started + seconds, &mut found)?,
        Some(_) => slow(&plan, &mut order, started + seconds, &mut found)?,
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

/// Each connection asks as soon as it was answered.
fn fast(plan: &Plan, order: &mut Order, until: Instant, found: &mut Found) -> Result<(), Box<dyn Error>> {
    let poller = Poller::new()?;
    let mut all: Vec<Option<Connection>> = Vec::new();
    for key in 0..plan.connections {
        all.push(open(plan, order, &poller, key)?);
    }
    let mut buffer = vec![0; 256 * 1024];
    let mut events = Events::new();
    while goes_on(until, found.requests > 0) && all.iter().any(Option::is_some) {
        events.clear();
        poller.wait(&mut events, Some(Duration::from_millis(100)))?;
        for event in events.iter() {
            let Some(connection) = &mut all[event.key] else { continue };
            let progress = match connection.advance(plan, order, &mut buffer, found) {
                Ok(Progress::Waiting) => continue,
                Ok(progress) => progress,
                Err(error) => {
                    found.failed(error)?;
                    Progress::Closed
                }
            };
            connection.leave(&poller)?;
            all[event.key] = match progress {
                Progress::Closed => open(plan, order, &poller, event.key)?,
                _ => None,
            };
        }
    }
    Ok(())
}

/// Until the time is over, and until something came, or a busy machine's short load would find nothing.
fn goes_on(until: Instant, came: bool) -> bool {
    let now = Instant::now();
    now < until || (!came && now < until + PATIENCE)
}

/// A connection that asks the next request; `None` when there is nothing left to ask.
fn open(
    plan: &Plan,
    order: &mut Order,
    poller: &Poller,
    key: usize,
) -> Result<Option<Connection>, Box<dyn Error>> {
    let Some(request) = order.next() else { return Ok(None) };
    let connection = Connection::open(plan, request)?;
    connection.join(poller, Event::readable(key))?;
    Ok(Some(connection))
}

/// Each connection takes a few bytes now and then, so that the server always waits for room in its socket.
fn slow(plan: &Plan, order: &mut Order, until: Instant, found: &mut Found) -> Result<(), Box<dyn Error>> {
    let Some(pace) = &plan.slow else { return Ok(()) };
    let mut all = Vec::new();
    for _ in 0..plan.connections {
        let Some(request) = order.next() else { break };
        all.push(Connection::open(plan, request)?);
    }
    let every = Duration::from_millis(pace.every_ms);
    let mut buffer = vec![0; pace.bytes];
    let mut due = Instant::now();
    while goes_on(until, found.bytes > 0) {
        for connection in &mut all {
            if let Err(error) = connection.advance_once(plan, order, &mut buffer, found) {
                found.failed(error)?;
                let Some(request) = order.next() else { continue };
                *connection = Connection::open(plan, request)?;
            }
        }
        due += every;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
