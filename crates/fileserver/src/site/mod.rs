//! What one site is on one core: its directories, its rules, and the lines of its answers.
mod about;
mod hosts;

pub(crate) use about::About;
pub(crate) use hosts::Sites;

use crate::{
    error::StartError,
    fallback::{ErrorPages, Single},
    http::{
        coding::{Codings, Preference},
        head::{Description, FixedLines},
        page,
        parse::Request,
    },
    options::{AuthOptions, CorsOptions, Immutable, Options, SiteOptions},
    pattern::Pattern,
    redirect::Redirects,
    rewrite::Rewrites,
};
use ringwheel_executor::fs;
use rustc_hash::FxHashMap;

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
        let pages = site.page_lines();
        for lines in site.origins.values_mut() {
            lines.pages.clone_from(&pages);
        }
        site.lines.pages = pages;
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
