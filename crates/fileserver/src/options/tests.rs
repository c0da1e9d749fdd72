//! Each option that is out of range is named with its range, and JSON reads as the options.
use super::*;
use std::time::Duration;

fn refused(change: impl FnOnce(&mut Options)) -> String {
    let mut options = Options::new(".");
    change(&mut options);
    options.validate().unwrap_err().to_string()
}

#[test]
fn the_defaults_are_valid() {
    Options::new(".").validate().unwrap();
}

#[test]
fn what_is_out_of_range_is_named_with_its_range() {
    assert_eq!(refused(|o| o.cores = Cores::Count(0)), "option cores is 0; allowed: 1 to 1024");
    assert!(refused(|o| o.cores = Cores::List(vec![])).contains("1 to 1024"));
    assert!(refused(|o| o.cores = Cores::List(vec![5000])).contains("5000"));
    assert!(refused(|o| o.site.index = vec!["../x".into()]).contains("plain file names"));
    assert!(refused(|o| o.site.extensions = vec![".html".into()]).contains("without their dot"));
    assert!(refused(|o| o.site.extensions = vec!["a/b".into()]).contains("plain file names"));
    assert!(refused(|o| o.site.single = Some("../x".into())).contains("a file below the root"));
    assert!(refused(|o| o.site.ignores = None).contains("single beside it"));
    let cors = |change: fn(&mut CorsOptions)| refused(|o| change(o.site.cors.insert(CorsOptions::default())));
    for origin in
        ["*", "null", "https://a.example/", "https://A.example", "a.example", "https://", "https://a b"]
    {
        assert!(
            refused(
                |o| o.site.cors = Some(CorsOptions { origins: vec![origin.into()], ..Default::default() })
            )
            .contains("origins as browsers send them"),
            "{origin}"
        );
    }
    assert!(cors(|c| c.headers = vec!["a b".into()]).contains("at most 64 field names"));
    assert!(cors(|c| c.exposed = vec!["a\r\nb: c".into()]).contains("cors.exposed"));
    assert!(cors(|c| c.max_age = Some(86_401)).contains("0 to 86400"));
    assert!(cors(|c| c.credentials = true).contains("one by one"));
    assert!(
        refused(|o| {
            o.site.cors = Some(CorsOptions::default());
            o.site.headers = vec![HeaderRule {
                pattern: "*".into(),
                fields: vec![("access-control-allow-origin".into(), Some("*".into()))],
            }];
        })
        .contains("beside cors")
    );
    let compress = |change: fn(&mut CompressOptions)| {
        refused(|o| change(o.site.compress.insert(CompressOptions::default())))
    };
    assert!(compress(|c| c.brotli = Some(12)).contains("compress.brotli is 12; allowed: 0 to 11"));
    assert!(compress(|c| c.gzip = Some(0)).contains("1 to 9"));
    assert!(compress(|c| c.max_bytes = 17 << 20).contains("0 to 16777216"));
    assert!(compress(|c| (c.min_bytes, c.max_bytes) = (11, 10)).contains("0 to 10"));
    assert!(compress(|c| (c.brotli, c.gzip) = (None, None)).contains("one of them, or both"));
    assert!(refused(|o| o.server = Some("a\r\nSet-Cookie: x".into())).contains("printable"));
    assert!(refused(|o| o.site.cache_control = Some(String::new())).contains("printable"));
    assert!(refused(|o| o.limits.header_bytes = 10).contains("256 to 1048576"));
    assert!(refused(|o| o.limits.uri_bytes = 1 << 20).contains("16 to 16384"));
    assert!(refused(|o| o.limits.header_count = 1000).contains("1 to 128"));
    assert!(refused(|o| o.limits.idle_timeout = Duration::ZERO).contains("idle_timeout"));
    assert!(refused(|o| o.cache.file_bytes_max = 1 << 30).contains("file_bytes_max"));
    assert!(
        refused(|o| {
            o.site.max_age = Some(1);
            o.site.cache_control = Some("no-store".into());
        })
        .contains("one of the two")
    );
}

#[test]
fn sites_and_rules_are_checked_too() {
    let rule = |pattern: &str, name: &str, value: &str| HeaderRule {
        pattern: pattern.into(),
        fields: vec![(name.into(), Some(value.into()))],
    };
    let site = |hosts: &[&str]| SiteOptions {
        hosts: hosts.iter().map(ToString::to_string).collect(),
        ..SiteOptions::new(".")
    };
    assert!(refused(|o| o.site.roots.clear()).contains("1 to 16"));
    assert!(
        refused(|o| o.site.headers = vec![rule("a[", "X-A", "1")]).contains("headers[0].pattern is \"a[\"")
    );
    assert!(refused(|o| o.site.headers = vec![rule("*", "X A", "1")]).contains("field names"));
    assert!(
        refused(|o| o.site.headers = vec![rule("*", "content-length", "1")]).contains("the server's own")
    );
    assert!(refused(|o| o.site.headers = vec![rule("*", "X-A", "1\r\nB: 2")]).contains("printable"));
    assert!(refused(|o| o.site.immutable = Immutable::All).contains("no age"));
    assert!(
        refused(|o| o.site.mounts = vec![Mount { path: "/a/../b/".into(), root: ".".into() }])
            .contains("mounts")
    );
    assert!(refused(|o| o.site.hosts = vec!["a".into()]).contains("in the entries of sites"));
    assert!(refused(|o| o.sites = vec![site(&[])]).contains("sites[0].hosts"));
    assert!(refused(|o| o.sites = vec![site(&["a:80"])]).contains("without ports"));
    assert!(refused(|o| o.sites = vec![site(&["a"]), site(&["A"])]).contains("each host once"));
    assert!(
        refused(|o| o.sites = vec![SiteOptions { index: vec!["/".into()], ..site(&["a"]) }])
            .contains("sites[0].index")
    );
}

#[test]
fn json_reads_as_the_options_and_what_is_unknown_is_an_error() {
    let json = r#"{ "port": 0, "cores": { "list": [1] }, "driver": "poll", "server": null,
        "limits": { "idleTimeoutMs": 50 }, "cache": { "fileBytesMax": 1, "compressedBytes": 2 },
        "site": { "roots": ["a"], "etag": "off", "immutable": "hashed", "compress": { "brotli": null, "minBytes": 5 }, "headers": [{ "pattern": "*", "fields": [["A", null]] }] },
        "sites": [{ "hosts": ["h"], "roots": ["b"], "mounts": [{ "path": "/m/", "root": "c" }] }] }"#;
    let options: Options = serde_json::from_str(json).unwrap();
    assert_eq!((options.port, options.driver, options.server), (0, Some(DriverKind::Poll), None));
    assert_eq!(options.limits.idle_timeout, Duration::from_millis(50));
    assert_eq!((options.site.etag, options.site.immutable), (EtagKind::Off, Immutable::Hashed));
    let compress = options.site.compress.unwrap();
    assert_eq!((compress.brotli, compress.gzip, compress.min_bytes), (None, Some(6), 5));
    assert_eq!((options.cache.compressed_bytes, options.sites[0].compress), (2, None));
    assert_eq!(options.sites[0].mounts[0].path, "/m/");
    assert!(serde_json::from_str::<Options>(r#"{ "prot": 0 }"#).unwrap_err().to_string().contains("prot"));
}

#[test]
fn what_is_written_as_json_reads_as_the_same() {
    let mut options = Options::new("root");
    options.driver = Some(DriverKind::Poll);
    options.cores = Cores::List(vec![1, 2]);
    options.server = None;
    options.limits.idle_timeout = Duration::from_millis(1234);
    options.site.mounts = vec![Mount { path: "/a/".into(), root: "a".into() }];
    options.site.headers = vec![HeaderRule {
        pattern: "*".into(),
        fields: vec![("A".into(), None), ("B".into(), Some("b".into()))],
    }];
    for options in [options, Options::default()] {
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options, "{json}");
    }
}
