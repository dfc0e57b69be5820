#![no_main]

#[path = "../../robust/captures.rs"]
mod captures;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| captures::dissect(bytes));
