//! The Content-Type of a file name, with a charset where the type is text.
//!
//! The table is mime_guess's; ours is only what a browser needs beside it: UTF-8 for text, and `application/octet-stream`
//! for everything unknown (sent with `X-Content-Type-Options: nosniff`, so nobody guesses further).
use std::collections::BTreeMap;

/// The Content-Type for a file called `name` (bytes of the last path segment). `own`: types by extension, taken as they are, before the table's.
///
/// ```
/// # use ringwheel_fileserver::http::mime::content_type;
/// # use std::collections::BTreeMap;
/// let own = BTreeMap::from([("mdx".to_owned(), "text/markdown".to_owned())]);
/// assert_eq!(content_type(b"index.html", &own), "text/html; charset=utf-8");
/// assert_eq!(content_type(b"photo.JPG", &own), "image/jpeg");
/// assert_eq!(content_type(b"page.mdx", &own), "text/markdown");
/// assert_eq!(content_type(b"LICENSE", &own), "application/octet-stream");
/// ```
pub fn content_type(name: &[u8], own: &BTreeMap<String, String>) -> String {
    let extension = match name.iter().rposition(|&byte| byte == b'.') {
        // A leading dot makes a hidden file, not an extension.
        Some(0) | None => "",
        Some(dot) => std::str::from_utf8(&name[dot + 1..]).unwrap_or(""),
    };
    if let Some(essence) = own.get(extension).or_else(|| own.get(&extension.to_ascii_lowercase())) {
        return essence.clone();
    }
    let Some(essence) = mime_guess::from_ext(extension).first_raw() else {
        return "application/octet-stream".to_owned();
    };
    // RFC 9239 made text/javascript the one name; the table still has the old one for .mjs.
    let essence = if essence == "application/javascript" { "text/javascript" } else { essence };
    if needs_charset(essence) { format!("{essence}; charset=utf-8") } else { essence.to_owned() }
}

/// Types whose bytes are text without a charset of their own. JSON and XML-based types say theirs inside (RFC 8259, 7303).
fn needs_charset(essence: &str) -> bool {
    essence.starts_with("text/") || essence == "application/manifest+json"
}

/// Whether bytes of this Content-Type get smaller when they are packed: text, what is written in JSON or XML, and a few formats that are
/// not packed inside. Its parameters do not matter.
///
/// ```
/// # use ringwheel_fileserver::http::mime::is_compressible;
/// assert!(is_compressible("text/html; charset=utf-8") && is_compressible("image/svg+xml"));
/// assert!(!is_compressible("image/png") && !is_compressible("application/zip"));
/// ```
pub fn is_compressible(content_type: &str) -> bool {
    /// Those of mime-db's `compressible` that are met on the web.
    const OTHERS: [&str; 21] = [
        "application/ecmascript",
        "application/javascript",
        "application/json",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/vnd.ms-fontobject",
        "application/wasm",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-tex",
        "application/xml",
        "application/yaml",
        "font/otf",
        "font/sfnt",
        "font/ttf",
        "image/bmp",
        "image/vnd.microsoft.icon",
        "image/x-icon",
        "model/gltf-binary",
    ];
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || OTHERS.contains(&&*essence)
}

#[cfg(test)]
mod tests {
    use super::is_compressible;
    use std::collections::BTreeMap;

    fn content_type(name: &[u8]) -> String {
        super::content_type(name, &BTreeMap::new())
    }

    #[test]
    fn the_types_a_site_needs_are_right() {
        for (name, expected) in [
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.png", "image/png"),
            ("a.webp", "image/webp"),
            ("a.woff2", "font/woff2"),
            ("a.mp4", "video/mp4"),
            ("a.pdf", "application/pdf"),
            ("archive.tar.gz", "application/gzip"),
        ] {
            assert_eq!(content_type(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn text_is_compressible_and_what_is_packed_inside_is_not() {
        for name in [
            "a.html", "a.css", "a.js", "a.mjs", "a.json", "a.svg", "a.xml", "a.wasm", "a.ttf", "a.ico",
            "a.md", "a.map",
        ] {
            assert!(is_compressible(&content_type(name.as_bytes())), "{name}");
        }
        for name in [
            "a.png", "a.jpg", "a.webp", "a.avif", "a.woff", "a.woff2", "a.mp4", "a.zip", "a.gz", "a.pdf", "a",
        ] {
            assert!(!is_compressible(&content_type(name.as_bytes())), "{name}");
        }
        assert!(
            is_compressible("Text/Plain;x=y")
                && is_compressible("application/ld+json ; a")
                && !is_compressible("")
        );
    }

    #[test]
    fn what_has_no_known_extension_is_octets() {
        for name in
            [&b""[..], b".", b"..", b".html", b"Makefile", b"a.", b"a.no-such-thing", b"a.\xff\xfe", b"html"]
        {
            assert_eq!(content_type(name), "application/octet-stream", "{name:?}");
        }
    }
}
