//! libFuzzer's way into the property `parts`.
#![no_main]

#[path = "../properties/parts.rs"]
mod parts;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parts::check(bytes));
