//! Pipeline step 3: the site of a host, and what one site is on one core: its directories and the lines of its answers.
use crate::{
    error::StartError,
    fallback::{ErrorPages, Single},
    http::{
        coding::{Codings, Preference},
        disposition,
        head::{Description, FixedLines},
        mime, page,
        parse::Request,
    },
    options::{AuthOptions, CorsOptions, Immutable, Options, SiteOptions},
    pattern::Pattern,
    redirect::Redirects,
    rewrite::Rewrites,
};
use ringwheel_executor::fs;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

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
        let host = without_port(host).to_ascii_lowercase();
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

/// Names and values; `None` takes a field away.
type Fields = Vec<(String, Option<String>)>;

/// One site on one core.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) index: usize,
    /// What comes before a path in the keys of the caches: nothing for the first site, so that the raw path is the key.
    pub(crate) prefix: Box<[u8]>,
    pub(crate) options: SiteOptions,
    pub(crate) lines: FixedLines,
    /// Those of answers to the origins that are allowed, where more than one is.
    origins: FxHashMap<Box<[u8]>, FixedLines>,
    /// The fields of the answer to OPTIONS.
    pub(crate) options_fields: Vec<(&'static str, Vec<u8>)>,
    /// What a representation may be packed by: ahead or on the fly.
    pub(crate) codings: Codings,
    /// What packed files are looked for.
    pub(crate) ahead: Codings,
    /// Path without its first slash (empty for a root) and directory, in the order in which they are tried.
    mounts: Vec<(Box<[u8]>, fs::Directory)>,
    rules: Vec<(Pattern, Fields)>,
    /// Which files are saved, and under which name.
    downloads: Vec<(Pattern, String)>,
    cache_control: Option<String>,
    pub(crate) single: Option<Single>,
    pub(crate) redirects: Redirects,
    pub(crate) rewrites: Rewrites,
    pub(crate) error_pages: ErrorPages,
    /// Directories that ask for a password, without their first slash, the longest first, and their part.
    parts: Vec<(Box<[u8]>, usize)>,
}

impl Site {
    fn open(index: usize, options: &SiteOptions, server: &Options) -> Result<Site, StartError> {
        let open = |path: &std::path::Path| {
            fs::Directory::open(path)
                .map(|directory| directory.with_links(options.symlinks.into()))
                .map_err(|error| StartError::Root { path: path.to_owned(), error })
        };
        let mut mounts = Vec::new();
        for mount in &options.mounts {
            mounts.push((mount.path.trim_start_matches('/').as_bytes().into(), open(&mount.root)?));
        }
        mounts.sort_by_key(|(path, _): &(Box<[u8]>, _)| std::cmp::Reverse(path.len()));
        for root in &options.roots {
            mounts.push((Box::default(), open(root)?));
        }
        let rules = options.headers.iter().filter_map(|rule| {
            // `Options::validate` has compiled it once.
            Some((Pattern::new(&rule.pattern).ok()?, rule.fields.clone()))
        });
        let downloads = options
            .download
            .iter()
            .filter_map(|rule| Some((Pattern::new(&rule.pattern).ok()?, rule.name.clone())));
        let redirects = options.redirects.iter().filter_map(|rule| rule.compile().ok());
        let (lines, origins) = lines(server.server.as_deref(), options.cors.as_ref());
        let mut options_fields = vec![("Allow", page::ALLOW.as_bytes().to_vec())];
        options_fields.extend(options.cors.iter().flat_map(CorsOptions::preflight));
        let immutable = if options.immutable == Immutable::All { ", immutable" } else { "" };
        let mut site = Site {
            error_pages: ErrorPages::default(),
            index,
            prefix: if index == 0 { Box::default() } else { index.to_string().as_bytes().into() },
            lines,
            origins,
            options_fields,
            codings: options
                .codings()
                .and(options.compress.map_or(Codings::NONE, |compress| compress.codings())),
            ahead: options.codings(),
            mounts,
            rules: rules.collect(),
            downloads: downloads.collect(),
            cache_control: options
                .cache_control
                .clone()
                .or_else(|| options.max_age.map(|seconds| format!("public, max-age={seconds}{immutable}"))),
            single: Single::of(options),
            parts: parts(options),
            redirects: Redirects::of(redirects.collect()),
            rewrites: Rewrites::of(&options.rewrites),
            options: options.clone(),
        };
        if options.clean_urls && options.extensions.is_empty() {
            site.options.extensions = vec!["html".to_owned()];
        }
        site.error_pages = ErrorPages::of_options(options, |path| site.cache_control_or(path, "no-store"));
        Ok(site)
    }

    /// The part that asks for a password before it shows what is under a path. Letters are alike whatever their case, as they may be to the
    /// file system.
    #[inline]
    pub(crate) fn part_of(&self, path: &[u8]) -> Option<usize> {
        if self.parts.is_empty() { None } else { self.part_below(path) }
    }

    /// True when no password is asked for a file under this path: neither the path nor the file's own name is in a part.
    #[inline]
    pub(crate) fn is_open(&self, path: &[u8], file: &Description) -> bool {
        self.parts.is_empty() || (file.part.is_none() && self.part_below(path).is_none())
    }

    fn part_below(&self, path: &[u8]) -> Option<usize> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let is_below = |directory: &[u8]| {
            let itself = directory.strip_suffix(b"/").unwrap_or(directory);
            path.get(..directory.len()).is_some_and(|start| start.eq_ignore_ascii_case(directory))
                || path.eq_ignore_ascii_case(itself)
        };
        self.parts.iter().find(|(directory, _)| is_below(directory)).map(|(_, part)| *part)
    }

    /// The directories in which a path, without its first slash, may be, with what is left of it there.
    pub(crate) fn places<'a>(
        &'a self,
        path: &'a [u8],
    ) -> impl Iterator<Item = (&'a fs::Directory, &'a [u8])> {
        let mount = self.mounts.iter().find(|(mount, _)| !mount.is_empty() && path.starts_with(mount));
        let roots = self.mounts.iter().filter(|(mount, _)| mount.is_empty());
        // What is below a mount is nowhere else.
        mount
            .into_iter()
            .chain(roots.take(if mount.is_some() { 0 } else { usize::MAX }))
            .filter_map(move |(mount, directory)| Some((directory, path.strip_prefix(&**mount)?)))
    }

    /// What the client would have, of what may be here.
    #[inline]
    pub(crate) fn preference(&self, request: &Request<'_>) -> Preference {
        if self.codings.is_empty() {
            return Preference::IDENTITY;
        }
        Preference::of(&request.accept_encoding).within(self.codings)
    }

    /// Whether the ready-made response says what this request's is to say.
    #[inline]
    pub(crate) fn is_usual(&self, request: &Request<'_>) -> bool {
        self.origins.is_empty() || request.origin.is_none()
    }

    /// The lines of the answer to a request.
    pub(crate) fn lines_of(&self, request: &Request<'_>) -> &FixedLines {
        self.lines_for(request.origin)
    }

    /// The lines of an answer to an origin.
    pub(crate) fn lines_for(&self, origin: Option<&[u8]>) -> &FixedLines {
        origin.and_then(|origin| self.origins.get(origin)).unwrap_or(&self.lines)
    }

    /// The names of mounts, or of directories on the way to them, in the directory of this path, which is empty or ends with a slash.
    pub(crate) fn mounts_in<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let below = self.mounts.iter().filter_map(move |(mount, _)| mount.strip_prefix(path));
        below.filter_map(|rest| rest.split(|&byte| byte == b'/').next()).filter(|name| !name.is_empty())
    }

    /// True for the path of a mount without its last slash.
    pub(crate) fn is_mount(&self, path: &[u8]) -> bool {
        self.mounts.iter().any(|(mount, _)| mount.strip_suffix(b"/") == Some(path))
    }

    /// The line of Cache-Control of what is no file of the site: what a rule says for its path, else `value`, whatever the age of files is.
    pub(crate) fn cache_control_or(&self, path: &[u8], value: &str) -> Vec<u8> {
        let mut rules =
            self.rules.iter().filter(|(pattern, _)| pattern.matches(path)).flat_map(|(_, fields)| fields);
        let ruled = rules.rfind(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
        let private = self.part_of(path).map(|_| format!("private, {value}"));
        let value = private.as_deref().unwrap_or(value);
        let value = ruled.map_or(Some(value), |(_, value)| value.as_deref());
        rendered(value.map(|value| ("Cache-Control", value)))
    }

    /// What answers say of the file of this path, which has no slash before it, beside what every file's say.
    pub(crate) fn about(&self, path: &[u8]) -> About {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        let mut cache_control = None;
        if self.options.immutable == Immutable::Hashed && has_hash(name) {
            cache_control = Some(Cow::Borrowed("public, max-age=31536000, immutable"));
        } else if let Some(value) = &self.cache_control {
            cache_control = Some(Cow::Borrowed(value.as_str()));
        }
        // What is for a few must not be kept for all, unless somebody said so in so many words.
        if self.options.cache_control.is_none() && self.part_of(path).is_some() {
            let private = cache_control.map(|value| value.replacen("public", "private", 1));
            cache_control = Some(Cow::Owned(private.unwrap_or_else(|| "private".to_owned())));
        }
        let mut content_type = None;
        let mut fields: Vec<(&str, &str)> =
            if self.options.security_headers { SECURITY.to_vec() } else { Vec::new() };
        let disposition = self.disposition(path, name);
        fields.extend(disposition.as_deref().map(|value| ("Content-Disposition", value)));
        for (name, value) in
            self.rules.iter().filter(|(pattern, _)| pattern.matches(path)).flat_map(|(_, fields)| fields)
        {
            if name.eq_ignore_ascii_case("content-type") {
                content_type = value.as_deref();
                continue;
            }
            if name.eq_ignore_ascii_case("cache-control") {
                cache_control = value.as_deref().map(Cow::Borrowed);
                continue;
            }
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            fields.extend(value.as_deref().map(|value| (name.as_str(), value)));
        }
        let must_stay = cache_control.as_deref().is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case("no-transform"))
        });
        let cache_control = rendered(cache_control.as_deref().map(|value| ("Cache-Control", value)));
        let lines = rendered(fields);
        let content_type =
            content_type.map_or_else(|| mime::content_type(name, &self.options.mime), str::to_owned);
        let compressible =
            self.options.compress.is_some() && !must_stay && mime::is_compressible(&content_type);
        let varies = compressible || !self.ahead.is_empty();
        About { content_type, cache_control, lines, varies, compressible, part: self.part_of(path) }
    }

    fn disposition(&self, path: &[u8], name: &[u8]) -> Option<String> {
        let (_, template) = self.downloads.iter().rfind(|(pattern, _)| pattern.matches(path))?;
        let mut parts = template.split(":name");
        let mut saved = parts.next()?.as_bytes().to_vec();
        for part in parts {
            saved.extend_from_slice(name);
            saved.extend_from_slice(part.as_bytes());
        }
        Some(disposition::attachment(&saved))
    }

    /// Whether paths have fields of their own.
    pub(crate) fn has_rules(&self) -> bool {
        self.options.security_headers || !self.rules.is_empty()
    }

    /// The fields that rules have for what is no file at this path: all but those about a file's content.
    pub(crate) fn fields_of(&self, path: &[u8]) -> Vec<(&str, &str)> {
        let mut fields: Vec<(&str, &str)> =
            if self.options.security_headers { SECURITY.to_vec() } else { Vec::new() };
        for (name, value) in
            self.rules.iter().filter(|(pattern, _)| pattern.matches(path)).flat_map(|(_, fields)| fields)
        {
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            if !name.eq_ignore_ascii_case("content-type") {
                fields.extend(value.as_deref().map(|value| (name.as_str(), value)));
            }
        }
        fields
    }

    /// The codings that a file of `size` bytes is packed by on the fly.
    pub(crate) fn on_the_fly(&self, about: &About, size: u64) -> Codings {
        match &self.options.compress {
            Some(compress)
                if about.compressible && (compress.min_bytes..=compress.max_bytes).contains(&size) =>
            {
                compress.codings()
            }
            _ => Codings::NONE,
        }
    }
}

/// What asks for a password: the longest directory counts.
fn parts(options: &SiteOptions) -> Vec<(Box<[u8]>, usize)> {
    let directory = |path: &String| path.strip_prefix('/').unwrap_or(path).as_bytes().into();
    let of = |(index, part): (usize, &AuthOptions)| {
        part.paths.iter().map(move |path| (directory(path), index)).collect::<Vec<_>>()
    };
    let mut parts: Vec<(Box<[u8]>, usize)> = options.basic_auth.iter().enumerate().flat_map(of).collect();
    parts.sort_by_key(|(directory, _)| std::cmp::Reverse(directory.len()));
    parts
}

/// What does no harm to a page that is not meant to be shown inside another site's, nor to share a window with one.
const SECURITY: [(&str, &str); 3] = [
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin-allow-popups"),
];

/// The lines of a site, and those of the answers to each origin where they differ. Where all get the same nothing varies.
fn lines(server: Option<&str>, cors: Option<&CorsOptions>) -> (FixedLines, FxHashMap<Box<[u8]>, FixedLines>) {
    let mut lines = FixedLines::of(server);
    let mut origins = FxHashMap::default();
    match cors {
        None => {}
        Some(cors) if cors.origins.len() < 2 => {
            lines.server.extend(cors.lines(cors.origins.first().map_or("*", String::as_str)));
        }
        Some(cors) => {
            lines.server.extend_from_slice(b"Vary: Origin\r\n");
            for origin in &cors.origins {
                let mut own = lines.clone();
                own.server.extend(cors.lines(origin));
                origins.insert(origin.as_bytes().into(), own);
            }
        }
    }
    (lines, origins)
}

/// Field lines with their ends.
fn rendered<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in fields {
        crate::http::head::field(&mut lines, name, value.as_bytes());
    }
    lines
}

/// What a site says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) content_type: String,
    /// The line of Cache-Control with its end, or nothing.
    pub(crate) cache_control: Vec<u8>,
    /// The other lines of the rules.
    pub(crate) lines: Vec<u8>,
    /// It has other representations, or may have: packed files beside it, or what is packed on the fly.
    pub(crate) varies: bool,
    /// It may be packed on the fly, as far as its size allows.
    pub(crate) compressible: bool,
    /// The part that its own name is in, which asks for a password.
    pub(crate) part: Option<usize>,
}

/// True for a name whose last part but the extension is a hash as bundlers write it: after `-` or `.`, at least 8 letters, digits or
/// underscores, of which one is a digit: `app-5f3a9c1e.js`, `chunk.DqX_93bQ.css`.
fn has_hash(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    // Source maps and precompressed files have one extension more.
    let stem = match name[..dot].iter().rposition(|&byte| byte == b'.') {
        Some(inner) if matches!(&name[dot + 1..], b"map" | b"br" | b"gz" | b"zst") => &name[..inner],
        _ => &name[..dot],
    };
    let Some(start) = stem.iter().rposition(|&byte| matches!(byte, b'-' | b'.')) else { return false };
    let hash = &stem[start + 1..];
    hash.len() >= 8
        && hash.iter().any(u8::is_ascii_digit)
        && hash.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::coding::Coding,
        options::{CompressOptions, DownloadRule, HeaderRule},
    };

    fn site(change: impl FnOnce(&mut SiteOptions)) -> Site {
        let mut options = SiteOptions::new(".");
        change(&mut options);
        Site::open(0, &options, &Options::default()).unwrap()
    }

    fn lines(site: &Site, path: &str) -> String {
        let about = site.about(path.as_bytes());
        String::from_utf8([about.cache_control, about.lines].concat()).unwrap()
    }

    #[test]
    fn a_hash_is_known_by_its_length_and_a_digit() {
        for name in ["app-5f3a9c1e.js", "chunk.DqX_93bQ.css", "a-12345678.js.map", "x.0123456789abcdef.wasm"]
        {
            assert!(has_hash(name.as_bytes()), "{name}");
        }
        for name in [
            "app.js",
            "jquery-3.min.js",
            "background-repeating.css",
            "my-component.js",
            "a-1234567.js",
            "12345678.js",
            "x",
        ] {
            assert!(!has_hash(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn later_rules_win_and_null_takes_a_field_away() {
        let rule = |pattern: &str, fields: &[(&str, Option<&str>)]| HeaderRule {
            pattern: pattern.into(),
            fields: fields.iter().map(|(name, value)| (name.to_string(), value.map(str::to_owned))).collect(),
        };
        let site = site(|options| {
            options.max_age = Some(60);
            options.headers = vec![
                rule("**", &[("X-A", Some("1")), ("X-B", Some("2"))]),
                rule("*.html", &[("cache-control", Some("no-cache")), ("x-a", None)]),
                rule("/raw/**", &[("Content-Type", Some("text/plain")), ("Cache-Control", None)]),
            ];
        });
        assert_eq!(lines(&site, "a.css"), "Cache-Control: public, max-age=60\r\nX-A: 1\r\nX-B: 2\r\n");
        assert_eq!(lines(&site, "d/index.html"), "Cache-Control: no-cache\r\nX-B: 2\r\n");
        assert_eq!(site.about(b"raw/a.html").content_type, "text/plain");
        assert_eq!(lines(&site, "raw/a.css"), "X-A: 1\r\nX-B: 2\r\n");
    }

    #[test]
    fn the_last_rule_names_a_download_and_headers_take_it_back() {
        let rule = |pattern: &str, name: &str| DownloadRule { pattern: pattern.into(), name: name.into() };
        let site = site(|options| {
            options.download = vec![rule("*.csv", ":name"), rule("/reports/**", "acme-:name of :name")];
            options.headers = vec![HeaderRule {
                pattern: "/reports/shown/**".into(),
                fields: vec![("content-disposition".into(), None)],
            }];
        });
        let saved = |name: &str| format!("Content-Disposition: attachment; filename=\"{name}\"\r\n");
        assert_eq!(lines(&site, "d/a.csv"), saved("a.csv"));
        assert_eq!(lines(&site, "reports/a.csv"), saved("acme-a.csv of a.csv"));
        assert_eq!(lines(&site, "reports/shown/a.csv") + &lines(&site, "a.txt"), "");
    }

    #[test]
    fn security_headers_come_first_so_that_rules_change_them() {
        let site = site(|options| {
            options.security_headers = true;
            options.headers = vec![HeaderRule {
                pattern: "/embed/**".into(),
                fields: vec![
                    ("X-Frame-Options".into(), None),
                    ("referrer-policy".into(), Some("no-referrer".into())),
                ],
            }];
        });
        assert!(
            lines(&site, "a.html")
                .starts_with("X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: strict-origin")
        );
        let embedded =
            "Cross-Origin-Opener-Policy: same-origin-allow-popups\r\nreferrer-policy: no-referrer\r\n";
        assert_eq!(lines(&site, "embed/a.html"), embedded);
    }

    #[test]
    fn what_is_compressible_varies_and_the_rest_does_not() {
        let site = site(|options| {
            options.compress = Some(CompressOptions { min_bytes: 10, max_bytes: 20, ..Default::default() });
            options.headers = vec![HeaderRule {
                pattern: "/raw/**".into(),
                fields: vec![("Cache-Control".into(), Some("public, No-Transform".into()))],
            }];
        });
        let of = |path: &str| {
            let about = site.about(path.as_bytes());
            (about.varies, site.on_the_fly(&about, 15).is_empty())
        };
        assert_eq!(
            (of("a.css"), of("a.png"), of("raw/a.css")),
            ((true, false), (false, true), (false, true))
        );
        let about = site.about(b"a.css");
        assert!([9, 21].iter().all(|size| site.on_the_fly(&about, *size).is_empty()));
        assert!([10, 20].iter().all(|size| site.on_the_fly(&about, *size).has(Coding::Gzip)));
    }

    #[test]
    fn immutable_is_for_all_or_for_hashed_names() {
        let hashed = site(|options| options.immutable = Immutable::Hashed);
        assert_eq!(lines(&hashed, "a-1234567x.js"), "Cache-Control: public, max-age=31536000, immutable\r\n");
        assert_eq!(lines(&hashed, "index.html"), "");
        let all = site(|options| (options.immutable, options.max_age) = (Immutable::All, Some(5)));
        assert_eq!(lines(&all, "index.html"), "Cache-Control: public, max-age=5, immutable\r\n");
    }

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
