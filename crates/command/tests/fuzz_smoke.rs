//! The fuzz properties on the stable toolchain: the corpus, then random mutations of it for a bounded time.
#[path = "../../../fuzz/properties/call.rs"]
mod call;
#[path = "../../../fuzz/properties/decode.rs"]
mod decode;
#[path = "../../../fuzz/properties/parts.rs"]
mod parts;
#[path = "../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../fuzz/properties/rings.rs"]
mod rings;

#[test]
fn hostile_commands_are_decoded_or_rejected() {
    replay::replay("decode", decode::check);
}

#[test]
fn hostile_blocks_are_calls_or_rejected() {
    replay::replay("call", call::check);
}

#[test]
fn hostile_tables_of_parts_are_checked_or_rejected() {
    replay::replay("parts", parts::check);
}

#[test]
fn hostile_rings_are_errors_at_worst() {
    replay::replay("rings", rings::check);
}
