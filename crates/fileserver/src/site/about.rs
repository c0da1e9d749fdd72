//! What the answers of a site say of a path: its types, its fields, how long it may be kept, and how it is packed.
use super::Site;
use crate::{
    http::{coding::Codings, disposition, head, mime},
    options::Immutable,
};
use std::borrow::Cow;

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

/// What does no harm to a page that is not meant to be shown inside another site's, nor to share a window with one.
const SECURITY: [(&str, &str); 3] = [
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin-allow-popups"),
];

/// Fields of rules that are about a file, or that pages have of their own.
const NOT_OF_PAGES: [&str; 11] = [
    "allow",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-location",
    "content-type",
    "expires",
    "link",
    "location",
    "pragma",
    "retry-after",
];

impl Site {
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

    /// The lines of answers that are no file's: what is said of every path, but for what is about content and how long it is kept.
    pub(super) fn page_lines(&self) -> Vec<u8> {
        let mut fields: Vec<(&str, &str)> =
            if self.options.security_headers { SECURITY.to_vec() } else { Vec::new() };
        let everywhere =
            self.options.headers.iter().filter(|rule| matches!(&*rule.pattern, "*" | "**" | "/**"));
        for (name, value) in everywhere.flat_map(|rule| &rule.fields) {
            if NOT_OF_PAGES.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                continue;
            }
            fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            fields.extend(value.as_deref().map(|value| (name.as_str(), value)));
        }
        rendered(fields)
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

/// Field lines with their ends.
fn rendered<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in fields {
        head::field(&mut lines, name, value.as_bytes());
    }
    lines
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
        options::{CompressOptions, DownloadRule, HeaderRule, Options, SiteOptions},
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
    fn pages_say_what_is_said_everywhere_but_nothing_about_content() {
        let rule = |pattern: &str, fields: &[(&str, Option<&str>)]| HeaderRule {
            pattern: pattern.into(),
            fields: fields.iter().map(|(name, value)| (name.to_string(), value.map(str::to_owned))).collect(),
        };
        let site = site(|options| {
            options.security_headers = true;
            options.headers = vec![
                rule(
                    "/**",
                    &[("X-A", Some("1")), ("Cache-Control", Some("no-cache")), ("x-frame-options", None)],
                ),
                rule("*.html", &[("X-B", Some("2"))]),
                rule("**", &[("Content-Type", Some("text/plain")), ("referrer-policy", Some("no-referrer"))]),
            ];
        });
        let pages = "Cross-Origin-Opener-Policy: same-origin-allow-popups\r\nX-A: 1\r\nreferrer-policy: no-referrer\r\n";
        assert_eq!(site.lines.pages, pages.as_bytes());
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
}
