//! Who the client of a request is, where a trusted proxy passes it on: `X-Forwarded-For`, else `Forwarded` (RFC 7239).
//!
//! The fields are believed from the right: each proxy adds whom it has the request from, so what stands left of an address that is not trusted is
//! that client's own invention. Read forwards, with one address kept, that needs no list and no memory.
use crate::http::parse::values_of;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The addresses of one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    is_four: bool,
    bits: u128,
    mask: u128,
}

/// The family and the bits of an address; one of IPv4 in IPv6's clothes is IPv4's.
fn bits_of(address: IpAddr) -> (bool, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (true, address.to_bits().into()),
        IpAddr::V6(address) => (false, address.to_bits()),
    }
}

impl Network {
    fn new(address: IpAddr, prefix: u32) -> Option<Network> {
        let (is_four, bits) = bits_of(address);
        // One of IPv4 that is written as IPv6 would have a prefix of the other family.
        let width = if address.is_ipv4() { 32 } else { 128 };
        if prefix > width || is_four != address.is_ipv4() {
            return None;
        }
        let behind = 1u128.checked_shl(width - prefix).unwrap_or(0).wrapping_sub(1);
        (bits & behind == 0).then_some(Network { is_four, bits, mask: !behind })
    }

    fn parse(text: &str) -> Option<Network> {
        let Some((address, prefix)) = text.split_once('/') else {
            let address = text.parse::<IpAddr>().ok()?.to_canonical();
            return Network::new(address, if address.is_ipv4() { 32 } else { 128 });
        };
        let plain =
            prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        Network::new(address.parse().ok()?, plain.then(|| prefix.parse().ok()).flatten()?)
    }

    fn has(&self, address: IpAddr) -> bool {
        let (is_four, bits) = bits_of(address);
        is_four == self.is_four && bits & self.mask == self.bits
    }
}

/// The proxies that are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    networks: Box<[Network]>,
}

/// What `trustProxy` may name, for sentences.
pub(crate) const ALLOWED: &str = "\"loopback\", \"private\", an address, or a network without bits behind its prefix such as \"10.0.0.0/8\"";

/// The networks of one entry; `None` for what is none.
fn networks_of(entry: &str) -> Option<Vec<Network>> {
    let known: &[&str] = match entry {
        "loopback" => &["127.0.0.0/8", "::1"],
        // RFC 1918, unique local addresses (RFC 4193), and those of a link.
        "private" => {
            &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"]
        }
        one => &[one],
    };
    known.iter().map(|text| Network::parse(text)).collect()
}

/// Whether `trustProxy` may name it.
pub(crate) fn is_known(entry: &str) -> bool {
    networks_of(entry).is_some()
}

impl Trust {
    /// Those of a list that has been checked.
    pub(crate) fn of(list: &[String]) -> Trust {
        Trust { networks: list.iter().filter_map(|entry| networks_of(entry)).flatten().collect() }
    }

    /// Whether nobody is believed.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Whether what this one says of others is believed.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.has(address))
    }

    /// Whose request `peer` has passed on with this head; `None` where the head does not say, or is not believed.
    pub(crate) fn forwarded(&self, peer: IpAddr, head: &[u8]) -> Option<IpAddr> {
        if !self.has(peer) {
            return None;
        }
        let mut walk = Walk { trust: self, client: None };
        let mut lines = values_of(head, b"x-forwarded-for:").peekable();
        if lines.peek().is_some() {
            // Empty elements are none (RFC 9110 section 5.6.1.2).
            for element in lines.flat_map(|line| line.split(|&byte| byte == b',')) {
                let element = element.trim_ascii();
                if !element.is_empty() {
                    walk.pass(address_of(element));
                }
            }
        } else {
            for line in values_of(head, b"forwarded:") {
                // Quotes end with their line: an open one of the client's swallows no line of a proxy's.
                for element in unquoted(line, b',').filter(|element| !element.trim_ascii().is_empty()) {
                    walk.pass(forwarded_for(element));
                }
            }
        }
        walk.client
    }

    /// Whether the client spoke HTTPS to the proxy, by what the proxy put last.
    pub(crate) fn is_secure(&self, peer: IpAddr, head: &[u8]) -> bool {
        self.has(peer)
            && values_of(head, b"x-forwarded-proto:").last().is_some_and(|line| {
                let last = line.rsplit(|&byte| byte == b',').next().unwrap_or_default();
                last.trim_ascii().eq_ignore_ascii_case(b"https")
            })
    }
}

/// A walk from the right, told from the left.
struct Walk<'a> {
    trust: &'a Trust,
    /// Where the walk would end if there were no more elements.
    client: Option<IpAddr>,
}

impl Walk<'_> {
    fn pass(&mut self, element: Option<IpAddr>) {
        self.client = match (element, self.client) {
            // What is further left is not reached.
            (None, _) => None,
            (Some(address), before) if self.trust.has(address) => before.or(Some(address)),
            (Some(address), _) => Some(address),
        };
    }
}

/// An address, perhaps with a port behind it; IPv6 with or without brackets.
fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())),
    };
    // Nobody has the unspecified one.
    address.map(|address| address.to_canonical()).filter(|address| !address.is_unspecified())
}

/// What `for=` of one element of `Forwarded` says; `None` where it says no address, or says it twice.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in unquoted(element, b';') {
        let at = memchr::memchr(b'=', pair)?;
        if pair[..at].trim_ascii().eq_ignore_ascii_case(b"for") {
            let value = pair[at + 1..].trim_ascii();
            let bare = value.strip_prefix(b"\"").map_or(Some(value), |rest| rest.strip_suffix(b"\""))?;
            if found.replace(address_of(bare)?).is_some() {
                return None;
            }
        }
    }
    found
}

/// The parts of a value between separators that are not in quotes.
fn unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        byte == separator && !quoted
    })
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
