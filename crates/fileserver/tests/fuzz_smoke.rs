//! The fuzz property of requests on the stable toolchain: the corpus, then random mutations of it for a bounded time.
#[path = "../../../fuzz/properties/http.rs"]
mod http;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;

#[test]
fn hostile_requests_are_parsed_or_refused() {
    replay::replay("http", http::check);
}
