//! Pipeline step 3: the site of a host.
use super::Site;
use crate::{error::StartError, options::Options};
use rustc_hash::FxHashMap;

/// The sites of a server on one core.
#[derive(Debug)]
pub(crate) struct Sites {
    /// The first is for every host that no other is for.
    all: Box<[Site]>,
    hosts: FxHashMap<Box<[u8]>, usize>,
    /// `.example.com` of `*.example.com`, the longest first.
    domains: Vec<(Box<[u8]>, usize)>,
}

impl Sites {
    /// Opens the directories of all sites for this thread.
    pub(crate) fn open(options: &Options) -> Result<Sites, StartError> {
        let mut sites = Sites { all: Box::default(), hosts: FxHashMap::default(), domains: Vec::new() };
        let mut all = Vec::new();
        for (index, site) in options.all_sites().enumerate() {
            for host in &site.hosts {
                let host = host.to_ascii_lowercase();
                let host = host.trim_end_matches('.');
                match host.strip_prefix('*') {
                    Some(domain) => sites.domains.push((domain.as_bytes().into(), index)),
                    None => drop(sites.hosts.insert(host.as_bytes().into(), index)),
                }
            }
            all.push(Site::open(index, site, options)?);
        }
        sites.domains.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.len()));
        sites.all = all.into();
        Ok(sites)
    }

    /// The site that answers where no host is known.
    #[inline]
    pub(crate) fn first(&self) -> &Site {
        &self.all[0]
    }

    /// The site for a Host field or an authority, which may have a port.
    #[inline]
    pub(crate) fn of(&self, host: &[u8]) -> &Site {
        if self.all.len() == 1 { &self.all[0] } else { self.look_up(host) }
    }

    /// The site of this number.
    pub(crate) fn at(&self, index: usize) -> &Site {
        &self.all[index]
    }

    fn look_up(&self, host: &[u8]) -> &Site {
        let host = without_port(host);
        // The root of all names may be said: `example.com.` is the same host.
        let host = host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase();
        let domain =
            || self.domains.iter().find(|(domain, _)| host.ends_with(domain)).map(|(_, index)| *index);
        let index = self.hosts.get(&*host).copied().or_else(domain).unwrap_or(0);
        &self.all[index]
    }
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        // Not the colons of an IPv6 address in its brackets.
        Some(at) if !host[at..].contains(&b']') => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SiteOptions;

    #[test]
    fn a_host_has_the_site_of_its_name_then_of_its_domain_then_the_first() {
        let named = |hosts: &[&str]| SiteOptions {
            hosts: hosts.iter().map(ToString::to_string).collect(),
            ..SiteOptions::new(".")
        };
        let options = Options {
            sites: vec![named(&["a.example", "[::1]"]), named(&["*.example"]), named(&["*.b.example"])],
            ..Options::new(".")
        };
        let sites = Sites::open(&options).unwrap();
        for (host, prefix) in [
            ("a.example", "1"),
            ("A.Example:8080", "1"),
            ("a.example.", "1"),
            ("a.example.:8080", "1"),
            ("x.example.", "2"),
            ("a.example..", ""),
            ("[::1]:80", "1"),
            ("[::1]", "1"),
            ("x.example", "2"),
            ("example", ""),
            ("y.b.example", "3"),
            ("b.example", "2"),
            ("", ""),
            ("other:1", ""),
        ] {
            assert_eq!(&*sites.of(host.as_bytes()).prefix, prefix.as_bytes(), "{host}");
        }
    }
}
