//! Pipeline step 3c: names that no file has, answered by another file of the site: patterns of paths, and which file stands in.
//!
//! One pass: what a rule leads to is looked up as a file and rewritten by no rule again, so there is no way round. It is kept under a key
//! that no request can name ([`inner_path`]): under the name that was asked for clients could fill the cache, and under its own plain name it would
//! answer requests for that name, which has a look-up of its own.
use crate::{
    options::{Dotfiles, RewriteRule},
    redirect::{Redirect, Redirects},
    target,
};

/// All rewrites of a site: the first whose pattern fits is taken.
#[derive(Debug, Default)]
pub(crate) struct Rewrites(Redirects);

impl Rewrites {
    pub(crate) fn of(rules: &[RewriteRule]) -> Rewrites {
        // `Options::validate` has compiled each once.
        Rewrites(Redirects::of(
            rules.iter().filter_map(|rule| Redirect::inside(&rule.from, &rule.to).ok()).collect(),
        ))
    }

    /// Where a canonical path leads to inside of the site: see [`inner_path`].
    pub(crate) fn find(&self, path: &[u8]) -> Option<Box<[u8]>> {
        let rule = self.0.rule(path)?;
        let raw = rule.location(path, None)?;
        let mut inner = Vec::new();
        // The rule is trusted with names that begin with a dot, and what a client wrote was looked at before; what climbs is refused here.
        target::decode(&raw, Dotfiles::Allow, &mut inner).ok()?;
        let mut inner = &inner[1..];
        // The slash of `/latest/:splat` stands before nothing: it is the directory without one that stands in for `/latest`.
        if rule.ends_with_splat() && !path.ends_with(b"/") {
            inner = inner.strip_suffix(b"/").unwrap_or(inner);
        }
        Some(inner_path(inner))
    }
}

/// The canonical path of what answers under other names. A space stands for the first slash: no request can name that key, so that what is
/// kept under it never answers for the file's own name, which may have moved.
pub(crate) fn inner_path(relative: &[u8]) -> Box<[u8]> {
    [b" ", relative].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewrites(rules: &[(&str, &str)]) -> Rewrites {
        let rules: Vec<_> =
            rules.iter().map(|(from, to)| RewriteRule { from: (*from).into(), to: (*to).into() }).collect();
        Rewrites::of(&rules)
    }

    #[test]
    fn the_first_rule_that_fits_says_where_to() {
        let rules = rewrites(&[
            ("/users/:id", "/users/_id.html"),
            ("/latest/*", "/v3/:splat"),
            ("/app/*", "/app/index.html"),
            ("/start", "/"),
        ]);
        for (path, expected) in [
            ("/users/7", Some(" users/_id.html")),
            ("/users/7/", Some(" users/_id.html")),
            ("/users", None),
            ("/latest/a b/c/", Some(" v3/a b/c/")),
            ("/latest/", Some(" v3/")),
            ("/latest", Some(" v3")),
            ("/start", Some(" ")),
            ("/app/x/y", Some(" app/index.html")),
            ("/", None),
        ] {
            let found = rules.find(path.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_writes_never_climbs(raw in "[a-z./%\\\\2eEfF ]{0,40}") {
            let rules = rewrites(&[("/x/:a/*", "/:a/d/:splat"), ("/y/*", "/:splat"), ("/:a", "/.:a")]);
            let mut canonical = Vec::new();
            for prefix in ["/x/", "/y/", "/"] {
                if target::decode(format!("{prefix}{raw}").as_bytes(), Dotfiles::Deny, &mut canonical).is_ok()
                    && let Some(inner) = rules.find(&canonical)
                {
                    prop_assert_eq!(inner[0], b' ');
                    let inner = inner[1..].strip_suffix(b"/").unwrap_or(&inner[1..]);
                    prop_assert!(inner.is_empty() || inner.split(|&byte| byte == b'/').all(|segment| !matches!(segment, b"" | b"." | b"..")));
                }
            }
        }
    }
}
