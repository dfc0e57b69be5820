#![no_main]
#![allow(dead_code, reason = "the other targets use the rest")]

#[path = "../../robust/chance.rs"]
mod chance;
#[path = "../../robust/craft.rs"]
mod craft;
#[path = "../../robust/discovery.rs"]
mod discovery;
#[path = "../../robust/drive.rs"]
mod drive;
#[path = "../../robust/machines.rs"]
mod machines;
#[path = "../../robust/parse.rs"]
mod parse;
#[path = "../../robust/targets.rs"]
mod targets;
#[path = "../../robust/tcp.rs"]
mod tcp;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::transport(bytes));
