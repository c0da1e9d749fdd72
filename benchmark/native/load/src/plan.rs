//! What a load is asked to do: a JSON file that `benchmark/server/load.ts` writes.
use measure::Random;
use rustls::ClientConfig;
use serde::Deserialize;
use std::{error::Error, fs, net::SocketAddr, sync::Arc};

/// One request and what its answer must be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Line, fields and empty line.
    pub head: String,
    pub status: u16,
    /// Bytes of the body, where they are known before.
    pub length: Option<usize>,
}

/// How slow clients read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Slow {
    /// Bytes a read.
    pub bytes: usize,
    /// Milliseconds between two reads of a connection.
    pub every_ms: u64,
}

/// Which request is next.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// Each is as likely as its place says: the first twice as likely as the second, three times as likely as the third.
    Zipf,
    /// Each once, in a random order that is the same in every run; then it is over.
    Once,
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub address: SocketAddr,
    pub connections: usize,
    /// A new connection for each request; the heads say so.
    pub close: bool,
    /// PEM file of the certificate that the server must have; TLS 1.3 is spoken.
    pub certificate: Option<String>,
    pub slow: Option<Slow>,
    pub order: Choice,
    pub requests: Vec<Request>,
    #[serde(skip)]
    pub tls: Option<Arc<ClientConfig>>,
}

impl Plan {
    /// Reads and checks a plan.
    pub fn read(file: &str) -> Result<Plan, Box<dyn Error>> {
        let mut plan: Plan = serde_json::from_slice(&fs::read(file)?)?;
        if plan.requests.is_empty() || plan.connections == 0 {
            return Err("a plan has a request and a connection at least".into());
        }
        if let Some(pem) = &plan.certificate {
            plan.tls = Some(crate::tls::client(&fs::read(pem)?)?);
        }
        Ok(plan)
    }
}

/// Draws the requests, as indexes.
pub struct Order {
    drawn: Vec<u32>,
    at: usize,
    again: bool,
}

/// How many requests are drawn before the load; then they come again.
const DRAWS: usize = 1 << 20;

impl Order {
    /// Draws them now: a draw during the load would cost.
    pub fn new(plan: &Plan) -> Order {
        let count = plan.requests.len();
        let (drawn, again) = match plan.order {
            Choice::Once => (measure::shuffled(count).into_iter().map(|at| at as u32).collect(), false),
            Choice::Zipf if count == 1 => (vec![0], true),
            Choice::Zipf => (zipf(count), true),
        };
        Order { drawn, at: 0, again }
    }

    /// The next one; `None` after the last.
    pub fn next(&mut self) -> Option<usize> {
        if self.at == self.drawn.len() && self.again {
            self.at = 0;
        }
        let request = *self.drawn.get(self.at)?;
        self.at += 1;
        Some(request as usize)
    }
}

fn zipf(count: usize) -> Vec<u32> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=count)
        .map(|place| {
            sum += 1.0 / place as f64;
            sum
        })
        .collect();
    let mut random = Random::new(11);
    let steps = 1u64 << 40;
    (0..DRAWS)
        .map(|_| {
            let drawn = random.below(steps) as f64 / steps as f64 * sum;
            sums.partition_point(|below| *below <= drawn).min(count - 1) as u32
        })
        .collect()
}
