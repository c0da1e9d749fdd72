//! What each client may have: requests a second and connections, counted for all cores together, by address.
//!
//! A client is an IPv4 address, or the /64 that an IPv6 address lies in, of which one subscriber has 2^64. The tables are in shards behind locks (39 ns without rivals, of the 0.15 to 0.3 µs that a request costs here: the test that prints it is below), hashed
//! with random keys, and bounded: who has not come for a while, or was there longest when too many come, is forgotten with its whole generation, which costs nothing a request.
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const SHARDS: usize = 64;
/// Clients of one generation in a shard: with both generations half a million in all, 35 MiB.
const CLIENTS_MAX: usize = 4096;

/// What a client is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Four(u32),
    Six(u64),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Client {
        match address.to_canonical() {
            IpAddr::V4(address) => Client::Four(address.to_bits()),
            IpAddr::V6(address) => Client::Six((address.to_bits() >> 64) as u64),
        }
    }
}

/// Requests a second, and how many at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Between two requests.
    interval: Duration,
    /// How far ahead of its time a client may be.
    ahead: Duration,
}

impl Rate {
    pub(crate) fn new(per_second: u32, burst: u32) -> Rate {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Rate { interval, ahead: interval * (burst.max(1) - 1) }
    }
}

#[derive(Debug, Default)]
struct Shard {
    /// When each client's next request would be on time (the generic cell rate algorithm): those who came lately, and those of before.
    young: HashMap<Client, Instant>,
    old: HashMap<Client, Instant>,
    turned: Option<Instant>,
    connections: HashMap<Client, u32>,
}

/// All clients of a server.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    shards: Box<[Mutex<Shard>]>,
}

impl Clients {
    pub(crate) fn new() -> Clients {
        Clients { shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect() }
    }

    fn shard(&self, client: Client) -> MutexGuard<'_, Shard> {
        let number = match client {
            Client::Four(bits) => u64::from(bits),
            Client::Six(bits) => bits,
        };
        // The choice of a shard needs no secret: within it the hash has one.
        let at = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % self.shards.len();
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request in, or says after which time the next one may be.
    pub(crate) fn request(&self, client: Client, rate: &Rate, now: Instant) -> Result<(), Duration> {
        let mut shard = self.shard(client);
        // Who is in `old` has not come for so long that nothing is owed any more.
        let age = rate.ahead + rate.interval + Duration::from_secs(1);
        let turned = *shard.turned.get_or_insert(now);
        if now.saturating_duration_since(turned) > age || shard.young.len() >= CLIENTS_MAX {
            let Shard { young, old, .. } = &mut *shard;
            std::mem::swap(young, old);
            young.clear();
            shard.turned = Some(now);
        }
        let before = shard.young.get(&client).or_else(|| shard.old.get(&client)).copied();
        let due = before.map_or(now, |due| due.max(now));
        let early = due - now;
        if early > rate.ahead {
            return Err(early - rate.ahead);
        }
        shard.young.insert(client, due + rate.interval);
        Ok(())
    }

    /// Counts a connection in, unless the client has `max`.
    pub(crate) fn enter(self: &Arc<Clients>, client: Client, max: u32) -> Option<Place> {
        let mut shard = self.shard(client);
        let count = shard.connections.entry(client).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Place { clients: Arc::clone(self), client })
    }
}

/// One connection of a client; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    clients: Arc<Clients>,
    client: Client,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shard = self.clients.shard(self.client);
        if let Some(count) = shard.connections.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                shard.connections.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_burst_then_one_an_interval_and_the_rest_learns_when_to_come_again() {
        let (clients, rate, start) = (Clients::new(), Rate::new(10, 3), Instant::now());
        let ask =
            |after: u64| clients.request(client("192.0.2.1"), &rate, start + Duration::from_millis(after));
        assert_eq!([ask(0), ask(0), ask(0)], [Ok(()); 3]);
        assert_eq!(ask(0), Err(Duration::from_millis(100)));
        assert_eq!(ask(60), Err(Duration::from_millis(40)));
        assert_eq!((ask(100), ask(100)), (Ok(()), Err(Duration::from_millis(100))));
        assert_eq!(clients.request(client("192.0.2.2"), &rate, start), Ok(()));
        // Long idle: the whole burst again, no more.
        assert_eq!([ask(60_000), ask(60_000), ask(60_000)], [Ok(()); 3]);
        assert!(ask(60_000).is_err());
    }

    #[test]
    fn one_network_of_ipv6_is_one_client_and_so_is_an_ipv4_address_in_ipv6() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
    }

    #[test]
    fn any_number_of_clients_takes_bounded_memory() {
        let (clients, rate, now) = (Clients::new(), Rate::new(1, 1), Instant::now());
        for number in 0..1_000_000_u32 {
            assert_eq!(clients.request(Client::Four(number), &rate, now), Ok(()));
        }
        let kept: usize = clients
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|shard| shard.young.len() + shard.old.len())
            .sum();
        assert!(kept <= 2 * SHARDS * CLIENTS_MAX, "{kept}");
    }

    #[test]
    fn connections_are_counted_in_and_out() {
        let clients = Arc::new(Clients::new());
        let one = client("192.0.2.1");
        let (first, second) = (clients.enter(one, 2), clients.enter(one, 2));
        assert!(first.is_some() && second.is_some() && clients.enter(one, 2).is_none());
        assert!(clients.enter(client("192.0.2.2"), 2).is_some());
        drop(first);
        assert!(clients.enter(one, 2).is_some());
        drop(second);
        assert!(clients.shard(one).connections.is_empty());
    }

    /// `cargo test --profile quick -p ringwheel-fileserver --lib clients::tests::what_a_request -- --ignored --nocapture`
    #[test]
    #[ignore = "prints what it measures: the figures of ARCHITECTURE.md"]
    fn what_a_request_costs_that_is_counted() {
        use std::io::Write;
        const ROUNDS: u32 = 400_000;
        let rate = Rate::new(1_000_000_000, 1_000_000_000);
        let costs = |addresses: u32| {
            let (clients, start) = (Clients::new(), Instant::now());
            let admitted = (0..ROUNDS)
                .filter(|round| clients.request(Client::Four(round % addresses), &rate, start).is_ok())
                .count();
            assert_eq!(admitted as u32, ROUNDS);
            start.elapsed() / ROUNDS
        };
        let clients = Clients::new();
        let start = Instant::now();
        let lock = {
            for _ in 0..ROUNDS {
                drop(std::hint::black_box(clients.shard(Client::Four(1))));
            }
            start.elapsed() / ROUNDS
        };
        let text = format!(
            "the lock alone {lock:?}, one client {:?}, 10,000 clients in turn {:?}, 200,000 {:?}",
            costs(1),
            costs(10_000),
            costs(200_000)
        );
        writeln!(std::io::stderr(), "{text}").unwrap();
    }
}
