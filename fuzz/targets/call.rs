//! libFuzzer's way into the property `call`.
#![no_main]

#[path = "../properties/call.rs"]
mod call;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| call::check(bytes));
