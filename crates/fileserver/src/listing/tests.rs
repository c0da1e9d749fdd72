//! What a client wants to see, and in which order.
use super::{
    read::{Contents, Entry},
    *,
};

fn head(accept: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\naCCept: {accept}\r\n\r\n").into_bytes()
}

#[test]
fn json_is_for_who_asks_for_it_and_not_for_html() {
    for (accept, json) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8, */*;q=0.1", true),
        ("text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8", false),
        ("application/json;q=0", false),
        ("application/json;q=0.5", true),
        ("application/json, text/html;q=0", true),
        ("*/*", false),
        ("application/json5", false),
    ] {
        assert_eq!(View::of(&head(accept), None).format == Format::Json, json, "{accept}");
    }
    assert_eq!(View::of(b"GET / HTTP/1.1\r\nX-Accept: application/json\r\n\r\n", None).format, Format::Html);
    assert_eq!(View::of(&head("application/json"), Some(b"format=html")).format, Format::Html);
    assert_eq!(View::of(b"", Some(b"format=json")).format, Format::Json);
}

#[test]
fn every_view_has_a_number_of_its_own() {
    let mut seen = std::collections::HashSet::new();
    for sort in ["name", "size", "time"] {
        for order in ["asc", "desc"] {
            for format in ["html", "json"] {
                let query = format!("x=1&sort={sort}&order={order}&format={format}");
                assert!(seen.insert(View::of(b"", Some(query.as_bytes())).code()), "{query}");
            }
        }
    }
    assert_eq!(View::of(b"", Some(b"sort=evil&order=%00")), View::default());
}

#[test]
fn directories_come_first_and_equals_by_name() {
    let entry = |name: &str, directory, size, modified| Entry {
        name: name.as_bytes().to_vec(),
        directory,
        size,
        modified: Some(modified),
    };
    let entries = vec![
        entry("b", false, 2, 1),
        entry("Z", true, 0, 9),
        entry("A", false, 2, 3),
        entry("c", false, 1, 2),
    ];
    let mut contents = Contents { entries, more: 0 };
    let mut sorted = |query: &str| {
        contents.sort(View::of(b"", Some(query.as_bytes())));
        contents
            .entries
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
            .collect::<String>()
    };
    assert_eq!(sorted(""), "ZAbc");
    assert_eq!(sorted("order=desc"), "ZcbA");
    assert_eq!(sorted("sort=size"), "ZcAb");
    assert_eq!(sorted("sort=size&order=desc"), "ZAbc");
    assert_eq!(sorted("sort=time"), "ZbcA");
}
