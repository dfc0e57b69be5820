//! Readers that stop, on either side, and windows that are opened little by little.

use super::{Far, beside_up};
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "peer_windows_kernel_stops_reading",
        kernel_stops_reading,
    ),
    (Anyone, "peer_windows_we_stop_reading", we_stop_reading),
    (
        Anyone,
        "peer_windows_kernel_reads_byte_by_byte",
        kernel_reads_byte_by_byte,
    ),
    (
        Anyone,
        "peer_windows_kernel_writes_byte_by_byte",
        kernel_writes_byte_by_byte,
    ),
    (Root, "peer_windows_open_unheard", open_unheard),
];

/// RFC 9293 §3.8.6.1: our probes find out that there is room again.
fn kernel_stops_reading() {
    beside_up(
        "s, held = dial(CHARGEN, room=16384), characters()
for pause in [0.1, 1.5, 3]:
    read(s, held, 100000)
    time.sleep(pause)
assert counter('TCPToZeroWindowAdv') >= 1, 'its window was never shut'
read(s, held, 20 * MIB)
reset(s)",
    );
}

/// An echo that cannot be rid of its answers reads no more; nothing is lost meanwhile.
fn we_stop_reading() {
    beside_up(
        "s = dial(ECHO, room=16384)
giver = beside(lambda: (pour(s, 64 * MIB), s.shutdown(socket.SHUT_WR)))
time.sleep(3)
assert giver.is_alive(), '64 MiB were taken by nobody'
assert counter('TCPWinProbe') >= 1, 'our window was never shut'
held = Held()
read(s, held, 64 * MIB)
assert s.recv(1) == b''",
    );
}

/// Silly windows (RFC 9293 §3.8.6.2): they are not offered, and not filled.
fn kernel_reads_byte_by_byte() {
    beside_up(
        "s, held = dial(CHARGEN, room=4096), characters()
before = counter('InSegs')
for i in range(100000):
    read(s, held, 1)
segments = counter('InSegs') - before
assert segments < 2000, f'{segments} segments for 100000 bytes'
reset(s)",
    );
}

fn kernel_writes_byte_by_byte() {
    beside_up(
        "s = dial(ECHO)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
text = block(0)[:20000]
def give():
    for i in range(20000):
        s.send(text[i:i + 1])
    s.shutdown(socket.SHUT_WR)
giver, held = beside(give), Held()
read(s, held, 20000)
assert s.recv(1) == b''",
    );
}

/// The segment that opens a window may be lost, in either direction.
fn open_unheard() {
    let far = Far::new("--delay 1ms --loss 5% --seed 6");
    far.talk(
        "s = dial(ECHO, room=8192)
giver = beside(lambda: (pour(s, MIB), s.shutdown(socket.SHUT_WR)))
held = Held()
for i in range(8):
    read(s, held, 20000)
    time.sleep(0.3)
read(s, held, MIB - held.at)
assert s.recv(1) == b''",
    );
    far.ends();
}
