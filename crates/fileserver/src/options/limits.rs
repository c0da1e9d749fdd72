//! What a server keeps in memory, and what one client may cost.
use super::{Invalid, within};
use crate::http::parse::FIELDS_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// What the cache of small files and of open large files may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
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
    /// Milliseconds for which a name that led to nothing is trusted to do so, up to a day; never longer than `revalidate_ms`. 0 looks at every
    /// request. Default 100.
    pub missing_ms: u64,
    /// Bytes of files compressed on the fly, for all cores together, up to 1 TiB; each core has its ready-made responses of them
    /// beside it. 0 keeps none. Default 32 MiB.
    pub compressed_bytes: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        CacheOptions {
            bytes: 32 << 20,
            file_bytes_max: 64 << 10,
            open_files: 256,
            revalidate_ms: 1000,
            missing_ms: 100,
            compressed_bytes: 32 << 20,
        }
    }
}

/// What one client may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
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
    /// Bytes of a request body that a route's handler may read, up to 1 TiB. Default 1 MiB. Beyond: 413.
    pub route_body_bytes: u64,
    /// Requests that are with their handlers at once, of all cores, `1..=1,000,000`. Default 10,000. Beyond: 503.
    pub route_requests: usize,
    /// Time for a route's handler to answer, `10 ms..=1 day`. Default 60 s. Beyond: 503.
    #[serde(rename = "routeTimeoutMs", with = "milliseconds")]
    pub route_timeout: Duration,
    /// Open connections of all cores, `1..=10,000,000`. Default 100,000. Beyond: 503.
    pub connections: usize,
    /// Requests a second of one client (an IPv4 address, or a /64 of IPv6), of all cores together, up to a million; 0, the default: any. Beyond: 429.
    pub requests_per_client: u32,
    /// How many of them may come at once, `1..=1,000,000`. Default 20.
    pub burst_per_client: u32,
    /// Open connections of one client, up to 10,000,000; 0, the default: any. Beyond: 429 and the end; over TLS the end alone.
    pub connections_per_client: u32,
    /// Bytes a second that one connection is sent, heads included, `1024..=1 TiB`; 0, the default: any.
    pub bytes_per_second: u64,
    /// Bytes of a connection that go at full speed before that, up to 1 TiB. Default 0.
    pub bytes_at_full_speed: u64,
    /// Time for a whole request head from its first byte, and for a new connection to send it, `10 ms..=1 day`. Default 15 s.
    /// Beyond: 408.
    #[serde(rename = "headerTimeoutMs", with = "milliseconds")]
    pub header_timeout: Duration,
    /// Time a connection may stay open between requests, `10 ms..=1 day`. Default 60 s.
    #[serde(rename = "idleTimeoutMs", with = "milliseconds")]
    pub idle_timeout: Duration,
    /// Time without any progress while sending, `10 ms..=1 day`. Default 30 s. Beyond: the connection is cut.
    #[serde(rename = "sendTimeoutMs", with = "milliseconds")]
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
            requests_per_client: 0,
            burst_per_client: 20,
            connections_per_client: 0,
            bytes_per_second: 0,
            bytes_at_full_speed: 0,
            route_body_bytes: 1 << 20,
            route_requests: 10_000,
            route_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(30),
        }
    }
}

impl CacheOptions {
    /// For how long a name is trusted to lead to nothing.
    pub(crate) fn missing_trust(&self) -> Duration {
        Duration::from_millis(self.missing_ms.min(self.revalidate_ms))
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        within("cache.bytes", self.bytes as u64, 0, 1 << 40)?;
        within("cache.file_bytes_max", self.file_bytes_max, 0, 16 << 20)?;
        within("cache.open_files", self.open_files, 0, 65_536)?;
        within("cache.revalidate_ms", self.revalidate_ms, 0, 86_400_000)?;
        within("cache.missing_ms", self.missing_ms, 0, 86_400_000)?;
        within("cache.compressed_bytes", self.compressed_bytes as u64, 0, 1 << 40)
    }
}

impl Limits {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        within("limits.header_bytes", self.header_bytes, 256, 1 << 20)?;
        within("limits.header_count", self.header_count, 1, FIELDS_MAX)?;
        within("limits.uri_bytes", self.uri_bytes, 16, self.header_bytes)?;
        within("limits.body_bytes", self.body_bytes, 0, 64 << 20)?;
        within("limits.ranges", self.ranges, 0, 256)?;
        within("limits.route_body_bytes", self.route_body_bytes, 0, 1 << 40)?;
        within("limits.route_requests", self.route_requests, 1, 1_000_000)?;
        within("limits.connections", self.connections, 1, 10_000_000)?;
        within("limits.requests_per_client", self.requests_per_client, 0, 1_000_000)?;
        within("limits.burst_per_client", self.burst_per_client, 1, 1_000_000)?;
        within("limits.connections_per_client", self.connections_per_client, 0, 10_000_000)?;
        if self.bytes_per_second > 0 {
            within("limits.bytes_per_second", self.bytes_per_second, 1024, 1 << 40)?;
        }
        within("limits.bytes_at_full_speed", self.bytes_at_full_speed, 0, 1 << 40)?;
        for (name, time) in [
            ("limits.header_timeout (ms)", self.header_timeout),
            ("limits.idle_timeout (ms)", self.idle_timeout),
            ("limits.send_timeout (ms)", self.send_timeout),
            ("limits.route_timeout (ms)", self.route_timeout),
        ] {
            within(name, time.as_millis(), 10, 86_400_000)?;
        }
        Ok(())
    }
}

mod milliseconds {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_millis() as u64)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
