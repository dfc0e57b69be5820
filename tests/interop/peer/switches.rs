//! What a kernel can do without, and we then as well: each option switched off in turn.

use super::{Far, Near, beside_up, talk};
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (Anyone, "peer_switches_each_in_turn", each_in_turn),
    (Anyone, "peer_switches_where_we_connect", where_we_connect),
    (Root, "peer_switches_over_a_bad_wire", over_a_bad_wire),
    (Root, "peer_switches_marks_are_echoed", marks_are_echoed),
];

/// Settings of the kernel, and what two ends agree on with each.
const CASES: &str = "
CASES = [
    ({}, TIMESTAMPS | SACK | SCALING),
    ({'tcp_timestamps': 0}, SACK | SCALING),
    ({'tcp_sack': 0}, TIMESTAMPS | SCALING),
    ({'tcp_window_scaling': 0}, TIMESTAMPS | SACK),
    ({'tcp_ecn': 1}, TIMESTAMPS | SACK | SCALING | ECN),
    ({'tcp_ecn': 0}, TIMESTAMPS | SACK | SCALING),
    ({'tcp_dsack': 0, 'tcp_recovery': 0, 'tcp_early_retrans': 0}, TIMESTAMPS | SACK | SCALING),
    ({'tcp_timestamps': 0, 'tcp_sack': 0, 'tcp_window_scaling': 0, 'tcp_ecn': 0}, 0),
]
# A lost SYN would make a kernel ask without ECN, unless it is told not to.
USUAL = {'tcp_timestamps': 1, 'tcp_sack': 1, 'tcp_window_scaling': 1, 'tcp_ecn': 2,
         'tcp_ecn_fallback': 0, 'tcp_dsack': 1, 'tcp_recovery': 1, 'tcp_early_retrans': 3}
def turns():
    for case, options in CASES:
        for name, value in (USUAL | case).items():
            tell(name, value)
        yield case, options
";

/// Both ways, after a look at what was agreed on.
fn echoes(mebibytes: u64) -> String {
    format!(
        "{CASES}
for case, options in turns():
    s = dial(ECHO)
    assert agreed(s) == options, (case, options, agreed(s))
    both(s, {mebibytes} * MIB, {mebibytes} * MIB)"
    )
}

fn each_in_turn() {
    beside_up(&echoes(8));
}

fn over_a_bad_wire() {
    let far = Far::new("--delay 1ms --loss 2% --reorder 1% --seed 4");
    far.talk(&echoes(1));
    far.ends();
}

/// The kernel listens, and says what it has agreed to. We ask for no ECN unless told to.
fn where_we_connect() {
    let near = Near::new();
    let script = format!(
        "{CASES}
server = socket.create_server(('0.0.0.0', 5000))
print('listening', flush=True)
for case, options in turns():
    s = server.accept()[0]
    s.settimeout(60)
    assert agreed(s) == options & ~ECN, (case, options, agreed(s))
    pour(s, 2 * MIB)
    s.close()"
    );
    let server = near
        .world
        .start("kernel", &talk("10.1.0.2", &script), "listening");
    for _ in 0..8 {
        let ran = near.verb("", "nc", "10.1.0.1 5000 </dev/null | wc -c");
        let _ = ran.exits(0).says("2097152\n");
    }
    let said = server.ended();
    assert!(said.contains("all is well"), "{said}");
}

/// RFC 3168: what a queue marks it need not drop, and the sender slows down all the same.
fn marks_are_echoed() {
    let far = Far::new("--delay 2ms --rate 100mbit --mark 20 --limit 2000 --seed 5");
    far.talk(
        "tell('tcp_ecn', 1)
s = dial(ECHO)
assert agreed(s) & ECN
both(s, 16 * MIB, 16 * MIB)
assert counter('InCEPkts') > 0, 'none of ours was marked'
assert info(s)[5] & 16, 'no marked packet of ours was seen'
lost = counter('RetransSegs')
assert lost == 0, f'{lost} segments were sent again where none was lost'",
    );
    let said = far.ends();
    assert!(!said.contains("\"wire-queue-full\":1"), "{said}");
}
