//! A listing as a page without scripts or anything from elsewhere, and as JSON.
use super::{
    Sort, View,
    read::{Contents, Entry},
};
use crate::{http::date, target::NAME};
use percent_encoding::percent_encode;
use std::fmt::Write;

/// The page loads nothing, runs nothing, sends nothing: a name that would get around the escaping gains nothing.
pub(super) const POLICY: &[u8] =
    b"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\r\n";

const STYLE: &str = include_str!("style.css");

/// The page of a canonical path.
pub(super) fn html(path: &[u8], contents: &Contents, view: View) -> Vec<u8> {
    let mut page = String::with_capacity(2048 + contents.entries.len() * 200);
    let title = escaped(path);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Index of {title}</title>\n<style>\n{STYLE}</style>\n<h1>Index of {}</h1>\n\
         <table>\n<thead><tr>",
        breadcrumb(path)
    );
    for (sort, key, label) in
        [(Sort::Name, "name", "Name"), (Sort::Size, "size", "Size"), (Sort::Time, "time", "Modified (UTC)")]
    {
        let here = sort == view.sort;
        let (order, state) = match (here, view.descending) {
            (true, false) => ("desc", " aria-sort=\"ascending\""),
            (true, true) => ("asc", " aria-sort=\"descending\""),
            (false, _) => ("asc", ""),
        };
        let _ = write!(
            page,
            "<th scope=\"col\"{state}><a href=\"?sort={key}&amp;order={order}\">{label}</a></th>"
        );
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    if path != b"/" {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in &contents.entries {
        row(&mut page, entry);
    }
    page.push_str("</tbody>\n</table>\n");
    let _ = writeln!(page, "<p>{}</p>", summary(contents));
    page.push_str("</html>\n");
    page.into_bytes()
}

fn row(page: &mut String, entry: &Entry) {
    let slash = if entry.directory { "/" } else { "" };
    // Colons, too, are encoded, or a relative link could begin with a scheme.
    let (link, name) = (percent_encode(&entry.name, NAME), escaped(&entry.name));
    let _ = write!(page, "<tr><td><a href=\"{link}{slash}\">{name}{slash}</a></td>");
    match entry.directory {
        true => page.push_str("<td></td>"),
        false => drop(write!(page, "<td title=\"{} bytes\">{}</td>", entry.size, size(entry.size))),
    }
    match entry.modified {
        Some(modified) => {
            let time = iso(modified);
            let _ = writeln!(
                page,
                "<td><time datetime=\"{time}Z\">{}</time></td></tr>",
                time[..16].replace('T', " ")
            );
        }
        None => page.push_str("<td></td></tr>\n"),
    }
}

fn summary(contents: &Contents) -> String {
    let directories = contents.entries.iter().filter(|entry| entry.directory).count();
    let files = contents.entries.len() - directories;
    let counted =
        |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let mut text =
        format!("{}, {}", counted(directories, "directory", "directories"), counted(files, "file", "files"));
    if contents.more > 0 {
        let _ = write!(text, ", and {} more", contents.more);
    }
    text
}

/// Each directory above as a link relative to this one, so that it holds behind a proxy with a prefix, too.
fn breadcrumb(path: &[u8]) -> String {
    let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
    let up = |levels: usize| if levels == 0 { "./".to_owned() } else { "../".repeat(levels) };
    let mut text = format!("<a href=\"{}\">/</a>", up(names.len()));
    for (index, name) in names.iter().enumerate() {
        let _ = write!(text, " <a href=\"{}\">{}/</a>", up(names.len() - 1 - index), escaped(name));
    }
    text
}

/// The same as JSON: `href` leads to names that are no UTF-8 as well.
pub(super) fn json(path: &[u8], contents: &Contents) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Listing<'a> {
        path: &'a str,
        entries: Vec<Name<'a>>,
        more: usize,
    }
    #[derive(serde::Serialize)]
    struct Name<'a> {
        name: std::borrow::Cow<'a, str>,
        href: String,
        #[serde(rename = "type")]
        kind: &'static str,
        size: u64,
        mtime: Option<String>,
    }
    let entries = contents.entries.iter().map(|entry| Name {
        name: String::from_utf8_lossy(&entry.name),
        href: format!("{}{}", percent_encode(&entry.name, NAME), if entry.directory { "/" } else { "" }),
        kind: if entry.directory { "directory" } else { "file" },
        size: entry.size,
        mtime: entry.modified.map(|modified| iso(modified) + "Z"),
    });
    let listing =
        Listing { path: &String::from_utf8_lossy(path), entries: entries.collect(), more: contents.more };
    // Strings and numbers: nothing that JSON could not say.
    serde_json::to_vec(&listing).unwrap_or_default()
}

/// A name as text in HTML: what is no UTF-8, and what steers, shows as U+FFFD.
fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for character in String::from_utf8_lossy(name).chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            // Bidirectional overrides would show `gpj.exe` for `exe.jpg`.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => text.push('\u{fffd}'),
            other if other.is_control() => text.push('\u{fffd}'),
            other => text.push(other),
        }
    }
    text
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut unit, mut scale) = (0, 1024u128);
    let tenths = loop {
        let tenths = (u128::from(bytes) * 10 + scale / 2) / scale;
        if tenths < 10_240 || unit + 1 == UNITS.len() {
            break tenths;
        }
        (unit, scale) = (unit + 1, scale * 1024);
    };
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// `1994-11-06T08:49:37`, in UTC.
fn iso(seconds: i64) -> String {
    // Sun, 06 Nov 1994 08:49:37 GMT
    let http = date::format(seconds);
    let text = String::from_utf8_lossy(&http).into_owned();
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = text.get(8..11).and_then(|name| MONTHS.find(name)).unwrap_or(0) / 3 + 1;
    let piece = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    format!("{}-{month:02}-{}T{}", piece(12..16), piece(5..7), piece(17..25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_to_a_tenth() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(iso(784_111_777), "1994-11-06T08:49:37");
        assert_eq!(iso(-5), "1970-01-01T00:00:00");
        assert_eq!(iso(951_782_400), "2000-02-29T00:00:00");
    }

    #[test]
    fn no_name_ends_its_place_in_the_page() {
        let name = b"<script>\"'&\n\xff\xe2\x80\xae.html".to_vec();
        let entry = Entry { name, directory: false, size: 1, modified: Some(0) };
        let contents = Contents { entries: vec![entry], more: 3 };
        let page = String::from_utf8(html(b"/<b>/", &contents, View::default())).unwrap();
        assert!(page.contains("&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}\u{fffd}.html"));
        assert!(page.contains("href=\"%3Cscript%3E%22%27%26%0A%FF%E2%80%AE.html\""));
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(page.contains("0 directories, 1 file, and 3 more"));
        let parsed: serde_json::Value = serde_json::from_slice(&json(b"/", &contents)).unwrap();
        assert_eq!(parsed["entries"][0]["href"], "%3Cscript%3E%22%27%26%0A%FF%E2%80%AE.html");
        assert_eq!(parsed["more"], 3);
    }

    #[test]
    fn directories_above_are_relative() {
        assert_eq!(breadcrumb(b"/"), "<a href=\"./\">/</a>");
        assert_eq!(
            breadcrumb(b"/a/b/"),
            "<a href=\"../../\">/</a> <a href=\"../\">a/</a> <a href=\"./\">b/</a>"
        );
    }
}
