//! Streams both ways, each byte held against what was sent: clean, lossy, reordered, doubled.

use super::{Far, Near, beside_up, mebibytes, talk};
use crate::common::TempFile;
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (Anyone, "peer_bulk_both_ways", bulk_both_ways),
    (Anyone, "peer_bulk_from_us_alone", bulk_from_us_alone),
    (Anyone, "peer_bulk_raw_both_ways", bulk_raw_both_ways),
    (Anyone, "peer_bulk_of_nc_each_way", bulk_of_nc_each_way),
    (
        Root,
        "peer_bulk_with_one_percent_lost",
        bulk_with_one_percent_lost,
    ),
    (
        Root,
        "peer_bulk_over_the_worst_wire",
        bulk_over_the_worst_wire,
    ),
    (Root, "peer_bulk_over_each_control", bulk_over_each_control),
];

/// An echo is both ways at once: as much comes back as is sent, and the same.
fn echo(bytes: u64) -> String {
    format!("both(dial(ECHO), {bytes}, {bytes})")
}

fn bulk_both_ways() {
    beside_up(&echo(mebibytes(256, 4096)));
}

fn bulk_from_us_alone() {
    let bytes = mebibytes(256, 4096);
    let script = format!("s, held = dial(CHARGEN), characters()\nread(s, held, {bytes})\nreset(s)");
    beside_up(&script);
}

fn bulk_raw_both_ways() {
    let near = Near::new();
    let host = near.up();
    near.talk(&echo(mebibytes(64, 1024)));
    let status = host.status_at_end();
    status.adds_up("the host");
    status.has_no_bad_checksum();
}

/// One way alone, and our end is the one that connects.
fn bulk_of_nc_each_way() {
    let bytes = mebibytes(64, 1024);
    let near = Near::new();
    let kernel = |script: &str| {
        let script = talk("10.1.0.2", script);
        near.world.start("kernel", &script, "listening")
    };
    let reader = kernel(&format!("both(listen(5000), 0, {bytes})"));
    let giver = program(&format!("pour(Stdout, {bytes})"));
    let giver = format!("/usr/bin/python3 {} |", giver.path());
    near.verb(&giver, "nc", "10.1.0.1 5000").exits(0);
    let said = reader.ended();
    assert!(said.contains("all is well"), "{said}");
    let writer = kernel(&format!("both(listen(5001), {bytes}, 0)"));
    let taker = program(&format!(
        "held = Held()
while data := sys.stdin.buffer.read(1 << 18):
    held.feed(data)
assert held.at == {bytes}, held.at
print('taken')"
    ));
    let taker = format!(
        "10.1.0.1 5001 </dev/null | /usr/bin/python3 {}",
        taker.path()
    );
    near.verb("", "nc", &taker).exits(0).says("taken");
    let said = writer.ended();
    assert!(said.contains("all is well"), "{said}");
}

/// A program with what `talk.py` knows, for a pipe.
fn program(script: &str) -> TempFile {
    let before = include_str!("talk.py");
    let stdout = "import sys
class Stdout:
    send = sys.stdout.buffer.write";
    TempFile::new("program.py", &format!("{before}\n{stdout}\n{script}\n"))
}

/// A path of two milliseconds that loses one packet of a hundred each way.
fn bulk_with_one_percent_lost() {
    let far = Far::new("--delay 1ms --loss 1% --seed 1");
    far.talk(&echo(mebibytes(16, 256)));
    far.ends();
}

/// The same with one of twenty lost, and others overtaken or doubled.
fn bulk_over_the_worst_wire() {
    let far =
        Far::new("--delay 1ms --loss 5% --reorder 5% --reorder-by 2ms --duplicate 2% --seed 2");
    far.talk(&echo(mebibytes(4, 64)));
    far.ends();
}

/// Whatever the kernel thinks of congestion.
fn bulk_over_each_control() {
    for control in ["reno", "cubic", "bbr"] {
        let far = Far::new("--delay 1ms --loss 0.5% --rate 500mbit --seed 3");
        let bytes = mebibytes(4, 64);
        far.talk(&format!(
            "both(dial(ECHO, control='{control}'), {bytes}, {bytes})"
        ));
        far.ends();
    }
}
