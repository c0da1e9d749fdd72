//! libFuzzer's way into the property `rings`.
#![no_main]

#[path = "../properties/rings.rs"]
mod rings;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rings::check(bytes));
