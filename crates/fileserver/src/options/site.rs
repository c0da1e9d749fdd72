//! What one site serves, and how: everything that may differ between the hosts of a server.
use super::{AuthOptions, CompressOptions, CorsOptions, Invalid, Options, field_value, within, wrong};
use crate::{
    fallback::ErrorPages,
    http::{
        coding::{Coding, Codings},
        etag::EtagKind,
        head::is_token,
    },
    pattern::Pattern,
    redirect::{Redirect, Redirects, Wrong},
};
use ringwheel_executor::fs::Links;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

/// How names that start with a dot are treated, in any segment of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dotfiles {
    /// 404, except below `/.well-known/` (RFC 8615). Default.
    #[default]
    Deny,
    /// Served like other files.
    Allow,
    /// 404 without exception: as if they did not exist.
    Ignore,
}

/// Which symbolic links below the directories of a site are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Symlinks {
    /// Those that stay below the directory they are in. Default.
    #[default]
    Inside,
    /// None: a path through one is a 404.
    Deny,
    /// All, wherever they lead: whoever can make one can have every file served that the server may read.
    Follow,
}

impl From<Symlinks> for Links {
    fn from(symlinks: Symlinks) -> Links {
        match symlinks {
            Symlinks::Inside => Links::Inside,
            Symlinks::Deny => Links::Deny,
            Symlinks::Follow => Links::Follow,
        }
    }
}

/// Which files never change under their names, so that nobody needs to ask again (RFC 8246).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Immutable {
    /// None. Default.
    #[default]
    Off,
    /// All: `immutable` goes behind the `max_age` that must be given.
    All,
    /// Those with a hash in their names, such as `app-5f3a9c1e.js`: `public, max-age=31536000, immutable`.
    Hashed,
}

/// A directory that is served under a path of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// The path, with a slash at both ends, such as `/media/`.
    pub path: String,
    /// The directory.
    pub root: PathBuf,
}

/// Header fields for the files that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderRule {
    /// See [`crate::pattern::Pattern`].
    pub pattern: String,
    /// Names and values; a later rule's takes the place of an earlier one's, `None` takes the field away.
    pub fields: Vec<(String, Option<String>)>,
}

/// Files that browsers save instead of showing them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DownloadRule {
    /// See [`crate::pattern::Pattern`].
    pub pattern: String,
    /// Under which name, of 1 to 255 bytes without `/`, `\\` and control characters; `:name` stands for the file's own. Default `:name`.
    #[serde(default = "own_name")]
    pub name: String,
}

fn own_name() -> String {
    ":name".to_owned()
}

/// A name that another file answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewriteRule {
    /// See [`Redirect`].
    pub from: String,
    /// A path below the roots and mounts, with the names of `from`; without a query.
    pub to: String,
}

/// A name that has moved.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedirectRule {
    /// See [`Redirect`].
    pub from: String,
    /// See [`Redirect`].
    pub to: String,
    /// 301, 302, 303, 307 or 308. Default 301.
    #[serde(default = "moved_permanently")]
    pub status: u16,
}

fn moved_permanently() -> u16 {
    301
}

/// One site of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SiteOptions {
    /// Host names, without ports, that this site is for; `*.example.com` stands for all below. Only in [`Options::sites`], and needed there.
    pub hosts: Vec<String>,
    /// The directories to serve, at most 16: a name is looked for in each, in order. Nothing outside them is ever served.
    pub roots: Vec<PathBuf>,
    /// Directories under paths of their own, at most 64. The longest path that fits is taken, before the roots.
    pub mounts: Vec<Mount>,
    /// Names tried in a directory, in order; at most 16, each one a plain file name. Default `index.html`. Empty turns it off.
    pub index: Vec<String>,
    /// Extensions without their dot that are tried, in order, for a name that is no file: `html` finds `about.html` for `/about`, before a
    /// directory `about` redirects. At most 16. Default none.
    pub extensions: Vec<String>,
    /// Each page has one name, and its others redirect to it: `/about.html` to `/about`, `/docs/index.html` to `/docs/`. Without `extensions` these are
    /// `html`. Default false.
    pub clean_urls: bool,
    /// Whether names of pages (what an index or one of `extensions` answers) end with a slash. `None`: directories do, files do not. Default none.
    pub trailing_slash: Option<bool>,
    /// The file below the roots that answers GET and HEAD, with 200, where no file does: the page of a single-page application. Default none.
    pub single: Option<String>,
    /// Where [`SiteOptions::single`] does not answer: for names with an extension, below `/.well-known/`, and for these patterns (at most
    /// 256, see [`crate::pattern::Pattern`]). `None`: it answers everywhere. Default no patterns.
    pub ignores: Option<Vec<String>>,
    /// Names that have moved, files or not, at most 10,000: the first whose pattern fits is taken, for every method but OPTIONS. Default none.
    pub redirects: Vec<RedirectRule>,
    /// Names that no file has and another one answers, at most 1000: the first whose pattern fits is taken, once. Default none.
    pub rewrites: Vec<RewriteRule>,
    /// Files below the roots that are the bodies of answers with the statuses 400, 403, 404, 405, 500 and 503. Default none.
    pub error_pages: BTreeMap<u16, String>,
    /// A directory without an index shows what it holds. Default false.
    pub listing: bool,
    /// Default [`Dotfiles::Deny`].
    pub dotfiles: Dotfiles,
    /// Default [`Symlinks::Inside`].
    pub symlinks: Symlinks,
    /// What ETags are made from.
    pub etag: EtagKind,
    /// Seconds of `Cache-Control: public, max-age=…`, up to 2³¹. Default none.
    pub max_age: Option<u64>,
    /// The whole value of Cache-Control, instead of `max_age`. Default none.
    pub cache_control: Option<String>,
    /// Default [`Immutable::Off`].
    pub immutable: Immutable,
    /// Header fields by pattern, at most 256 rules, applied in order. Those of `/**`, `**` and `*` go with answers that are no file's, too.
    pub headers: Vec<HeaderRule>,
    /// Files that are sent with `Content-Disposition: attachment`, at most 256 rules; the last that fits is taken. Default none.
    pub download: Vec<DownloadRule>,
    /// Media types by file name extension (without its dot), before the usual ones.
    pub mime: BTreeMap<String, String>,
    /// `name.br` beside `name` is sent instead of it to who accepts `br` (Accept-Encoding), if it is not older. Default false.
    pub brotli: bool,
    /// The same for `name.zst` and `zstd`. Default false.
    pub zstd: bool,
    /// The same for `name.gz` and `gzip`. Default false.
    pub gzip: bool,
    /// Compression on the fly, beside files that were packed ahead, which are taken first. Default none.
    pub compress: Option<CompressOptions>,
    /// Parts that ask for a name and a password, at most 64. Default none.
    pub basic_auth: Vec<AuthOptions>,
    /// Who may read the answers from other origins. Default none: nobody.
    pub cors: Option<CorsOptions>,
    /// `X-Frame-Options: SAMEORIGIN`, `Referrer-Policy: strict-origin-when-cross-origin` and `Cross-Origin-Opener-Policy:
    /// same-origin-allow-popups` with every answer, before the fields of `headers`. Default false.
    pub security_headers: bool,
}

impl Default for SiteOptions {
    fn default() -> Self {
        SiteOptions {
            hosts: Vec::new(),
            roots: Vec::new(),
            mounts: Vec::new(),
            index: vec!["index.html".to_owned()],
            extensions: Vec::new(),
            clean_urls: false,
            trailing_slash: None,
            single: None,
            ignores: Some(Vec::new()),
            redirects: Vec::new(),
            rewrites: Vec::new(),
            error_pages: BTreeMap::new(),
            listing: false,
            dotfiles: Dotfiles::default(),
            symlinks: Symlinks::default(),
            etag: EtagKind::default(),
            max_age: None,
            cache_control: None,
            immutable: Immutable::default(),
            headers: Vec::new(),
            download: Vec::new(),
            mime: BTreeMap::new(),
            brotli: false,
            zstd: false,
            gzip: false,
            compress: None,
            basic_auth: Vec::new(),
            cors: None,
            security_headers: false,
        }
    }
}

/// Fields that the server answers for, and where the option is that says them.
const OURS: [(&str, &str); 13] = [
    ("connection", "the server's own"),
    ("content-encoding", "the server's own"),
    ("content-length", "the server's own"),
    ("content-range", "the server's own"),
    ("date", "the server's own"),
    ("etag", "said by the option etag"),
    ("keep-alive", "the server's own"),
    ("last-modified", "the server's own"),
    ("server", "said by the option serverHeader"),
    ("trailer", "the server's own"),
    ("transfer-encoding", "the server's own"),
    ("www-authenticate", "said by the option basicAuth"),
    ("x-content-type-options", "always nosniff"),
];

impl SiteOptions {
    /// The defaults, for one root.
    pub fn new(root: impl Into<PathBuf>) -> SiteOptions {
        SiteOptions { roots: vec![root.into()], ..SiteOptions::default() }
    }

    /// The codings of which packed files are looked for.
    pub(crate) fn codings(&self) -> Codings {
        [(self.brotli, Coding::Brotli), (self.zstd, Coding::Zstd), (self.gzip, Coding::Gzip)]
            .into_iter()
            .filter(|(on, _)| *on)
            .fold(Codings::NONE, |set, (_, coding)| set.with(coding))
    }

    pub(super) fn validate(&self) -> Result<(), Invalid> {
        within("roots (length of the list)", self.roots.len(), 1, 16)?;
        within("mounts (length of the list)", self.mounts.len(), 0, 64)?;
        for Mount { path, .. } in &self.mounts {
            let inner = path.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).unwrap_or("");
            if inner.split('/').any(|segment| matches!(segment, "" | "." | ".."))
                || inner.contains(['\\', '\0'])
            {
                return Err(wrong(
                    "mounts",
                    format!("{path:?}"),
                    "paths such as \"/media/\", with a slash at both ends",
                ));
            }
        }
        within("index (number of names)", self.index.len(), 0, 16)?;
        for name in &self.index {
            plain_name("index", name)?;
        }
        self.validate_fallbacks()?;
        within("redirects (length of the list)", self.redirects.len(), 0, 10_000)?;
        let redirects = self.redirects.iter().enumerate().map(|(index, rule)| rule.validate(index));
        if let Some((index, way)) = Redirects::of(redirects.collect::<Result<_, _>>()?).endless() {
            let way: Vec<_> = way.iter().map(|path| String::from_utf8_lossy(path)).collect();
            let allowed = "rules from which a client comes to an end: these lead round, or on and on";
            return Err(wrong(format!("redirects[{index}]"), way.join(" -> "), allowed));
        }
        within("rewrites (length of the list)", self.rewrites.len(), 0, 1000)?;
        for (index, RewriteRule { from, to }) in self.rewrites.iter().enumerate() {
            if let Err(Wrong { part, allowed }) = Redirect::inside(from, to) {
                let value = if part == "from" { from } else { to };
                return Err(wrong(format!("rewrites[{index}].{part}"), format!("{value:?}"), allowed));
            }
        }
        within("max_age", self.max_age.unwrap_or(0), 0, 1 << 31)?;
        if self.max_age.is_some() && self.cache_control.is_some() {
            return Err(wrong("max_age", "given beside a whole Cache-Control", "one of the two"));
        }
        if self.immutable == Immutable::All && self.max_age.is_none() {
            return Err(wrong(
                "immutable",
                "given for all files, and no age",
                "max-age beside it, or hashed",
            ));
        }
        field_value("cache_control", self.cache_control.as_deref())?;
        within("headers (number of rules)", self.headers.len(), 0, 256)?;
        for (index, rule) in self.headers.iter().enumerate() {
            rule.validate(index)?;
        }
        within("download (number of rules)", self.download.len(), 0, 256)?;
        for (index, rule) in self.download.iter().enumerate() {
            rule.validate(index)?;
        }
        if let Some(compress) = &self.compress {
            compress.validate()?;
        }
        within("basicAuth (length of the list)", self.basic_auth.len(), 0, 64)?;
        for (index, part) in self.basic_auth.iter().enumerate() {
            part.validate(index)?;
        }
        if let Some(cors) = &self.cors {
            cors.validate()?;
            let said = |(name, _): &(String, _)| name.to_ascii_lowercase().starts_with("access-control-");
            if let Some((name, _)) =
                self.headers.iter().flat_map(|rule| &rule.fields).find(|field| said(field))
            {
                return Err(wrong("headers", format!("{name:?} beside cors"), "one of the two"));
            }
        }
        for (extension, essence) in &self.mime {
            plain_name("mime (an extension)", extension)?;
            field_value("mime (a media type)", Some(essence))?;
        }
        Ok(())
    }
}

impl SiteOptions {
    fn validate_fallbacks(&self) -> Result<(), Invalid> {
        within("extensions (length of the list)", self.extensions.len(), 0, 16)?;
        for extension in &self.extensions {
            plain_name("extensions", extension)?;
            if extension.starts_with('.') {
                return Err(wrong(
                    "extensions",
                    format!("{extension:?}"),
                    "extensions without their dot, such as html",
                ));
            }
        }
        if let Some(single) = &self.single {
            file_below("single", single)?;
        }
        for (status, page) in &self.error_pages {
            if !ErrorPages::STATUSES.iter().any(|each| each.code() == *status) {
                let allowed = "pages for 400, 403, 404, 405, 500 and 503";
                return Err(wrong("error_pages", status.to_string(), allowed));
            }
            file_below(format!("error_pages[{status}]"), page)?;
        }
        let ignores = self.ignores.as_deref().unwrap_or_default();
        within("ignores (length of the list)", ignores.len(), 0, 256)?;
        if self.single.is_none() && self.ignores.as_ref().is_none_or(|ignores| !ignores.is_empty()) {
            return Err(wrong("ignores", "given, and no single", "single beside it"));
        }
        for (index, pattern) in ignores.iter().enumerate() {
            if let Err(reason) = Pattern::new(pattern) {
                return Err(wrong(format!("ignores[{index}]"), format!("{pattern:?}"), &reason));
            }
        }
        Ok(())
    }
}

impl RedirectRule {
    pub(crate) fn compile(&self) -> Result<Redirect, Wrong> {
        Redirect::new(&self.from, &self.to, self.status)
    }

    fn validate(&self, index: usize) -> Result<Redirect, Invalid> {
        self.compile().map_err(|Wrong { part, allowed }| {
            let value = match part {
                "from" => format!("{:?}", self.from),
                "to" => format!("{:?}", self.to),
                _ => self.status.to_string(),
            };
            wrong(format!("redirects[{index}].{part}"), value, allowed)
        })
    }
}

impl HeaderRule {
    fn validate(&self, index: usize) -> Result<(), Invalid> {
        if let Err(reason) = Pattern::new(&self.pattern) {
            return Err(wrong(format!("headers[{index}].pattern"), format!("{:?}", self.pattern), &reason));
        }
        within("headers (number of fields of a rule)", self.fields.len(), 0, 64)?;
        for (name, value) in &self.fields {
            let shown = format!("{name:?}");
            if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
                return Err(wrong(
                    format!("headers[{index}]"),
                    shown,
                    "field names of RFC 9110: letters, digits and -",
                ));
            }
            if let Some((_, who)) = OURS.iter().find(|(ours, _)| name.eq_ignore_ascii_case(ours)) {
                return Err(wrong(
                    format!("headers[{index}]"),
                    shown,
                    &format!("other fields: this one is {who}"),
                ));
            }
            field_value(format!("headers[{index}].{name}"), value.as_deref())?;
        }
        Ok(())
    }
}

impl DownloadRule {
    fn validate(&self, index: usize) -> Result<(), Invalid> {
        if let Err(reason) = Pattern::new(&self.pattern) {
            return Err(wrong(format!("download[{index}].pattern"), format!("{:?}", self.pattern), &reason));
        }
        let fits = |character: char| !character.is_control() && !matches!(character, '/' | '\\');
        if !(1..=255).contains(&self.name.len()) || !self.name.chars().all(fits) {
            let allowed = "a file name of 1 to 255 bytes, in which :name stands for the file's own";
            return Err(wrong(format!("download[{index}].name"), format!("{:?}", self.name), allowed));
        }
        Ok(())
    }
}

fn file_below(option: impl Into<std::borrow::Cow<'static, str>>, path: &str) -> Result<(), Invalid> {
    let climbs = path.split('/').any(|segment| matches!(segment, "" | "." | ".."));
    if climbs || path.contains(['\\', '\0']) {
        let allowed = "a file below the root, such as index.html or app/shell.html";
        return Err(wrong(option, format!("{path:?}"), allowed));
    }
    Ok(())
}

fn plain_name(option: &'static str, name: &str) -> Result<(), Invalid> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        return Err(wrong(option, format!("{name:?}"), "plain file names without / \\ or NUL"));
    }
    Ok(())
}

/// Each host has one site, and the sites of the list have hosts.
pub(super) fn hosts_are_distinct(options: &Options) -> Result<(), Invalid> {
    if !options.site.hosts.is_empty() {
        return Err(wrong("hosts", "given for the default site", "hosts in the entries of sites"));
    }
    let mut known = HashSet::new();
    for (index, site) in options.sites.iter().enumerate() {
        if site.hosts.is_empty() || site.hosts.len() > 1000 {
            let length = site.hosts.len().to_string();
            return Err(wrong(format!("sites[{index}].hosts (length of the list)"), length, "1 to 1000"));
        }
        for host in &site.hosts {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
            let port = name.rsplit_once(':').is_some_and(|(before, _)| !before.contains(':'));
            if name.is_empty() || port || !name.bytes().all(fits) {
                let allowed =
                    "host names without ports, as they come in Host (IDNs in punycode), or *. before one";
                return Err(wrong(format!("sites[{index}].hosts"), format!("{host:?}"), allowed));
            }
            if !known.insert(host.to_ascii_lowercase()) {
                return Err(wrong(
                    format!("sites[{index}].hosts"),
                    format!("{host:?} again"),
                    "each host once",
                ));
            }
        }
    }
    Ok(())
}
