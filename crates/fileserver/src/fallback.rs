//! Pipeline step 3c: what answers where nothing is found: a listing, another file (`rewrite.rs`), the one page of a single-page application, or the
//! site's page for a status.
use crate::{
    body::Bytes,
    core::Core,
    file::Loaded,
    http::{coding::Preference, status::Status},
    listing::{self, View},
    load,
    options::SiteOptions,
    pattern::Pattern,
    respond::look_up,
    rewrite::inner_path,
    site::Site,
};
use std::rc::Rc;

/// The page that answers where nothing is found, and where it does not.
#[derive(Debug)]
pub(crate) struct Single {
    /// See [`inner_path`].
    path: Box<[u8]>,
    /// `None`: it answers everywhere.
    ignores: Option<Vec<Pattern>>,
}

impl Single {
    pub(crate) fn of(options: &SiteOptions) -> Option<Single> {
        let path = inner_path(options.single.as_deref()?.as_bytes());
        // `Options::validate` has compiled them once.
        let patterns =
            |texts: &Vec<String>| texts.iter().filter_map(|text| Pattern::new(text).ok()).collect();
        Some(Single { path, ignores: options.ignores.as_ref().map(patterns) })
    }

    /// True when the page answers for a canonical path that leads to nothing.
    fn answers(&self, path: &[u8]) -> bool {
        let Some(ignores) = &self.ignores else { return true };
        let inner = path.strip_prefix(b"/").unwrap_or(path);
        let name = inner.rsplit(|&byte| byte == b'/').next().unwrap_or(inner);
        // A missing script must not become a page: a browser would run it, and a cache would keep it.
        let is_asset = name.iter().skip(1).any(|&byte| byte == b'.') || inner.starts_with(b".well-known/");
        !is_asset && !ignores.iter().any(|pattern| pattern.matches(inner))
    }
}

/// Loads what a site has under a key, or else its single page. The page is kept under its own key alone: names that no file has are
/// chosen by clients, and must neither fill the cache nor meet in its hash.
///
/// A `view` is given where a directory may be listed; a listing goes before the single page, since the directory is there.
pub(crate) async fn load(
    core: &Rc<Core>,
    index: usize,
    key: &[u8],
    preference: Preference,
    view: Option<View>,
) -> Loaded {
    let mut loaded = load::load(core, index, key, preference).await;
    let site = core.sites.at(index);
    if let Loaded::Failed(Status::NotFound) = loaded
        && let Some(view) = view
    {
        loaded = listing::load(core, site, key, view).await;
    }
    let mut behind = None;
    if let Loaded::Failed(Status::NotFound) = loaded
        && let Some(inner) = site.rewrites.find(&key[site.prefix.len()..])
    {
        // Behind the first byte, which stands for the slash. Also where nothing is there: that is not for everybody to know.
        behind = site.part_of(&inner[1..]);
        loaded = rewritten(core, site, &key[site.prefix.len()..], &inner, preference).await;
    }
    if let Loaded::Failed(Status::NotFound) = loaded
        && let Some(single) = site.single.as_ref().filter(|single| single.answers(&key[site.prefix.len()..]))
    {
        loaded = own(core, site, &single.path, preference).await;
    }
    if let Loaded::Failed(status) = loaded {
        loaded = page(core, index, status, preference).await;
    }
    match behind {
        Some(part) => Loaded::Behind(part, Box::new(loaded)),
        None => loaded,
    }
}

/// Loads what stands in for a path. A directory without its slash: the path that was asked for gets one, so that the links in its index hold;
/// where it has one already, the index itself stands in.
async fn rewritten(
    core: &Rc<Core>,
    site: &Site,
    asked: &[u8],
    inner: &[u8],
    preference: Preference,
) -> Loaded {
    let directory = match inner_file(core, site, inner, preference).await {
        Loaded::Moved(directory) => directory,
        loaded => return loaded,
    };
    if asked.ends_with(b"/") {
        return own(core, site, &directory, preference).await;
    }
    Loaded::Moved([asked, b"/"].concat().into())
}

/// The page of a site for a status; without one, or where it cannot be read, the status alone.
pub(crate) async fn page(core: &Rc<Core>, site: usize, status: Status, preference: Preference) -> Loaded {
    let site = core.sites.at(site);
    let Some(page) = site.error_pages.of(status) else { return Loaded::Failed(status) };
    match own(core, site, &page.path, preference).await {
        Loaded::Small(file, ready) => Loaded::Page(status, Bytes::Memory(file, ready)),
        Loaded::Large(file) => Loaded::Page(status, Bytes::File(file)),
        _ => Loaded::Failed(status),
    }
}

/// Loads a page of the site's own, or takes it from the shelf.
async fn own(core: &Rc<Core>, site: &Site, path: &[u8], preference: Preference) -> Loaded {
    match inner_file(core, site, path, preference).await {
        // A page that is no file (a directory) answers nothing, so there is nowhere to redirect to.
        Loaded::Moved(_) => Loaded::Failed(Status::NotFound),
        page => page,
    }
}

/// Loads what an [`inner_path`] leads to, or takes it from the shelf.
async fn inner_file(core: &Rc<Core>, site: &Site, path: &[u8], preference: Preference) -> Loaded {
    let key = [&*site.prefix, path].concat();
    if let Some(kept) = kept(core, site, &key, preference) {
        return kept;
    }
    load::load(core, site.index, &key, preference).await
}

fn kept(core: &Core, site: &Site, page: &[u8], preference: Preference) -> Option<Loaded> {
    let mut shelf = core.shelf.borrow_mut();
    shelf.path.clear();
    shelf.path.extend_from_slice(page);
    look_up(core, site, &mut shelf, preference)
}

/// The pages of a site for what goes wrong.
#[derive(Debug, Default)]
pub(crate) struct ErrorPages(Vec<ErrorPage>);

/// The page for one status.
#[derive(Debug)]
pub(crate) struct ErrorPage {
    status: Status,
    /// See [`inner_path`].
    path: Box<[u8]>,
    /// The line of Cache-Control with its end, or nothing.
    pub(crate) cache_control: Vec<u8>,
}

impl ErrorPages {
    /// The statuses that can have a page: what a person may meet. The others answer programs, or bytes that are no request.
    pub(crate) const STATUSES: [Status; 6] = [
        Status::BadRequest,
        Status::Forbidden,
        Status::NotFound,
        Status::MethodNotAllowed,
        Status::InternalServerError,
        Status::ServiceUnavailable,
    ];

    /// `cache_control` is asked for the line of a page's path.
    pub(crate) fn of_options(options: &SiteOptions, cache_control: impl Fn(&[u8]) -> Vec<u8>) -> ErrorPages {
        let page = |status: Status| {
            let relative = options.error_pages.get(&status.code())?;
            let cache_control = cache_control(relative.as_bytes());
            Some(ErrorPage { status, path: inner_path(relative.as_bytes()), cache_control })
        };
        ErrorPages(Self::STATUSES.into_iter().filter_map(page).collect())
    }

    pub(crate) fn of(&self, status: Status) -> Option<&ErrorPage> {
        self.0.iter().find(|page| page.status == status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(ignores: Option<&[&str]>) -> Single {
        let ignores = ignores.map(|texts| texts.iter().map(ToString::to_string).collect());
        Single::of(&SiteOptions { single: Some("index.html".into()), ignores, ..SiteOptions::new(".") })
            .unwrap()
    }

    #[test]
    fn routes_are_answered_and_assets_are_not() {
        let single = single(Some(&["/api/**"]));
        for route in ["/", "/users", "/users/7", "/users/", "/a.b/c", "/apis"] {
            assert!(single.answers(route.as_bytes()), "{route}");
        }
        for other in ["/app.js", "/a/logo.svg", "/.well-known/x", "/api/users", "/api/a/b"] {
            assert!(!single.answers(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn without_ignores_all_is_answered() {
        assert!(single(None).answers(b"/app.js") && single(None).answers(b"/.well-known/x"));
    }
}
