//! Pipeline step 3c: what answers for a name that no file has: the one page of a single-page application.
use crate::{
    core::Core,
    file::Loaded,
    http::{coding::Preference, status::Status},
    load,
    options::SiteOptions,
    pattern::Pattern,
    respond::look_up,
    site::Site,
};
use std::rc::Rc;

/// The page that answers where nothing is found, and where it does not.
#[derive(Debug)]
pub(crate) struct Single {
    /// See [`page_path`].
    path: Box<[u8]>,
    /// `None`: it answers everywhere.
    ignores: Option<Vec<Pattern>>,
}

impl Single {
    pub(crate) fn of(options: &SiteOptions) -> Option<Single> {
        let path = page_path(options.single.as_deref()?);
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

/// A space stands for the first slash: no request can name that key, so that what is kept under it never answers for the page's own
/// name, which may have moved.
fn page_path(relative: &str) -> Box<[u8]> {
    format!(" {relative}").into_bytes().into()
}

/// Loads what a site has under a key, or else its single page. The page is kept under its own key alone: names that no file has are
/// chosen by clients, and must neither fill the cache nor meet in its hash.
pub(crate) async fn load(core: &Rc<Core>, site: usize, key: &[u8], preference: Preference) -> Loaded {
    let loaded = load::load(core, site, key, preference).await;
    let site = core.sites.at(site);
    let Loaded::Failed(Status::NotFound) = loaded else { return loaded };
    let Some(single) = site.single.as_ref().filter(|single| single.answers(&key[site.prefix.len()..])) else {
        return loaded;
    };
    let page = [&*site.prefix, &*single.path].concat();
    match kept(core, site, &page, preference) {
        Some(kept) => kept,
        None => match load::load(core, site.index, &page, preference).await {
            // A page that is no file (a directory) answers nothing, so there is nowhere to redirect to.
            Loaded::Directory => Loaded::Failed(Status::NotFound),
            page => page,
        },
    }
}

fn kept(core: &Core, site: &Site, page: &[u8], preference: Preference) -> Option<Loaded> {
    let mut shelf = core.shelf.borrow_mut();
    shelf.path.clear();
    shelf.path.extend_from_slice(page);
    look_up(core, site, &mut shelf, preference)
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
