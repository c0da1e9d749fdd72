//! Counters: written by one core, read by any thread, and never locked on the way.
use crate::{
    http::status::Status,
    latency::{Latency, LatencyStats},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A number that one thread adds to and others read. Plain load and store: no bus lock on the request path.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the owning core may call it.
    #[inline]
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Subtracts. Only the owning core may call it.
    pub(crate) fn subtract(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(amount), Ordering::Relaxed);
    }

    /// Replaces. Only the owning core may call it.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One core's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(crate) requests: Counter,
    pub(crate) bytes: Counter,
    pub(crate) hits: Counter,
    pub(crate) ok: Counter,
    pub(crate) connections: Counter,
    pub(crate) accepted: Counter,
    pub(crate) shed: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) cut: Counter,
    pub(crate) loads: Counter,
    pub(crate) compressions: Counter,
    pub(crate) cache_bytes: Counter,
    pub(crate) cache_entries: Counter,
    pub(crate) open_files: Counter,
    pub(crate) turns: Counter,
    pub(crate) enters: Counter,
    pub(crate) stalls: Counter,
    pub(crate) longest_stall: Counter,
    tasks: Counter,
    in_flight: Counter,
    completed: Counter,
    cpu: Counter,
    looked: Counter,
    pub(crate) latency: Latency,
    statuses: Statuses,
}

/// Responses by status code: a counter for each that an answer can have, for handlers choose theirs.
#[derive(Debug)]
struct Statuses([Counter; STATUSES]);

const FIRST_STATUS: u16 = 200;
const STATUSES: usize = 400;

impl Default for Statuses {
    fn default() -> Statuses {
        Statuses(std::array::from_fn(|_| Counter::default()))
    }
}

impl Counters {
    /// Counts one response.
    #[inline]
    pub(crate) fn status(&self, status: Status) {
        self.count_status(status.code());
    }

    /// Counts one response with a status that a handler chose.
    #[inline]
    pub(crate) fn count_status(&self, code: u16) {
        if code == Status::Ok.code() {
            self.ok.add(1);
        } else if let Some(counter) = self.statuses.0.get(usize::from(code.wrapping_sub(FIRST_STATUS))) {
            counter.add(1);
        }
    }

    /// Those that occurred, ascending.
    fn statuses(&self) -> Vec<(u16, u64)> {
        let others =
            (FIRST_STATUS..).zip(&self.statuses.0).skip(1).map(|(code, counter)| (code, counter.get()));
        let ok = (Status::Ok.code(), self.ok.get());
        std::iter::once(ok).chain(others).filter(|(_, count)| *count > 0).collect()
    }

    /// Whether the request that comes now is one that is timed.
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.requests.get().is_multiple_of(64)
    }

    /// Publishes what the core's executor has counted, and what its thread has used since `start`.
    pub(crate) fn publish_executor(&self, start: Instant) {
        self.cpu.set(cpu_of_this_thread().as_nanos() as u64);
        self.looked.set(start.elapsed().as_nanos() as u64);
        if let Some(stats) = ringwheel_executor::stats() {
            self.turns.set(stats.turns);
            self.enters.set(stats.driver.enters);
            self.tasks.set(u64::from(stats.tasks));
            self.in_flight.set(u64::from(stats.driver.in_flight));
            self.completed.set(stats.driver.completed);
            self.stalls.set(stats.stalls);
            self.longest_stall.set(stats.longest_stall.as_nanos() as u64);
        }
    }

    /// A copy for readers.
    pub(crate) fn read(&self) -> CoreStats {
        CoreStats {
            requests: self.requests.get(),
            bytes: self.bytes.get(),
            cache_hits: self.hits.get(),
            connections: self.connections.get(),
            accepted: self.accepted.get(),
            shed: self.shed.get(),
            timeouts: self.timeouts.get(),
            cut: self.cut.get(),
            loads: self.loads.get(),
            compressions: self.compressions.get(),
            cache_bytes: self.cache_bytes.get(),
            cache_entries: self.cache_entries.get(),
            open_files: self.open_files.get(),
            turns: self.turns.get(),
            enters: self.enters.get(),
            stalls: self.stalls.get(),
            longest_stall: Duration::from_nanos(self.longest_stall.get()),
            tasks: self.tasks.get(),
            in_flight: self.in_flight.get(),
            completed: self.completed.get(),
            cpu: Duration::from_nanos(self.cpu.get()),
            looked: Duration::from_nanos(self.looked.get()),
            latency: self.latency.read(),
            statuses: self.statuses(),
        }
    }
}

fn cpu_of_this_thread() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    }
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

/// What one core has done since the start. Numbers of a running server: each is exact, together they are no snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreStats {
    /// Responses begun.
    pub requests: u64,
    /// Bytes given to the kernel, heads included.
    pub bytes: u64,
    /// Requests answered from the cache or with a file that was open already.
    pub cache_hits: u64,
    /// Connections open now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused with 503 for want of descriptors or room.
    pub shed: u64,
    /// Connections ended by the header, idle or send timeout.
    pub timeouts: u64,
    /// Connections cut in the middle of a response: truncated file, client gone, close deadline; or for want of a PROXY header.
    pub cut: u64,
    /// Files loaded or opened.
    pub loads: u64,
    /// Files packed on the fly, in each coding and version.
    pub compressions: u64,
    /// Bytes of ready-made responses held now.
    pub cache_bytes: u64,
    /// Ready-made responses held now.
    pub cache_entries: u64,
    /// Large files held open now.
    pub open_files: u64,
    /// Turns of the executor, as of the last look at the connections' deadlines: at most a second ago while there are any.
    pub turns: u64,
    /// System calls made to submit and wait; as of then, too.
    pub enters: u64,
    /// Times the thread did not come back to its turn for 100 ms, as of then, too: a slow disk or file system, or no CPU to be had.
    pub stalls: u64,
    /// The longest of those that are over; of all cores, where they are summed.
    pub longest_stall: Duration,
    /// Tasks of the executor: one for each connection, and a few.
    pub tasks: u64,
    /// Operations in the ring, as of `looked`.
    pub in_flight: u64,
    /// Operations that ended, as of `looked`.
    pub completed: u64,
    /// CPU time of the thread, as of `looked`; 0 where the system does not tell.
    pub cpu: Duration,
    /// When `turns`, `enters`, `stalls` and `cpu` were looked at, since the core's start: the load is what `cpu` grew by in what this grew by.
    /// Of all cores the longest, where they are summed.
    pub looked: Duration,
    /// How long answers took.
    pub latency: LatencyStats,
    /// Responses by status code, ascending; codes that never occurred are left out.
    pub statuses: Vec<(u16, u64)>,
}

impl CoreStats {
    fn add(&mut self, other: &CoreStats) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.cache_hits += other.cache_hits;
        self.connections += other.connections;
        self.accepted += other.accepted;
        self.shed += other.shed;
        self.timeouts += other.timeouts;
        self.cut += other.cut;
        self.loads += other.loads;
        self.compressions += other.compressions;
        self.cache_bytes += other.cache_bytes;
        self.cache_entries += other.cache_entries;
        self.open_files += other.open_files;
        self.turns += other.turns;
        self.enters += other.enters;
        self.stalls += other.stalls;
        self.longest_stall = self.longest_stall.max(other.longest_stall);
        self.tasks += other.tasks;
        self.in_flight += other.in_flight;
        self.completed += other.completed;
        self.cpu += other.cpu;
        self.looked = self.looked.max(other.looked);
        self.latency.add(&other.latency);
        for (code, count) in &other.statuses {
            match self.statuses.binary_search_by_key(code, |entry| entry.0) {
                Ok(at) => self.statuses[at].1 += count,
                Err(at) => self.statuses.insert(at, (*code, *count)),
            }
        }
    }
}

/// What the server has done since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// The sum over all cores.
    pub total: CoreStats,
    /// Each core, in the order of [`crate::Server::cores`].
    pub cores: Vec<CoreStats>,
    /// Bytes of files packed on the fly that the cores have in common, held now.
    pub compressed_bytes: u64,
    /// Lines of the access log that were not written: the writer did not keep up, or a write failed.
    pub access_log_dropped: u64,
    /// Why the last write of the access log failed, if it did.
    pub access_log_error: Option<String>,
}

impl ServerStats {
    pub(crate) fn sum(cores: Vec<CoreStats>, compressed_bytes: u64) -> ServerStats {
        let mut total = CoreStats::default();
        for core in &cores {
            total.add(core);
        }
        ServerStats { total, cores, compressed_bytes, ..ServerStats::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_sums_and_statuses_stay_sorted() {
        let (one, two) = (Counters::default(), Counters::default());
        one.status(Status::Ok);
        one.status(Status::NotFound);
        two.status(Status::PartialContent);
        two.status(Status::NotFound);
        for code in [201, 599, 201, 100, 600] {
            two.count_status(code);
        }
        two.requests.add(2);
        two.connections.add(3);
        two.connections.subtract(1);
        let stats = ServerStats::sum(vec![one.read(), two.read()], 5);
        assert_eq!(stats.total.statuses, vec![(200, 1), (201, 2), (206, 1), (404, 2), (599, 1)]);
        assert_eq!((stats.total.requests, stats.total.connections, stats.compressed_bytes), (2, 2, 5));
    }
}
