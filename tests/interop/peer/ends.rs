//! How conversations begin and end: refused, reset, half-closed, by the thousand, in silence.

use super::{Near, beside_up, talk};
use crate::common::{Ran, up_with_status};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
    (Anyone, "peer_ends_refused", refused),
    (
        Anyone,
        "peer_ends_kernel_finishes_first",
        kernel_finishes_first,
    ),
    (Anyone, "peer_ends_we_finish_first", we_finish_first),
    (Anyone, "peer_ends_both_at_once", both_at_once),
    (Anyone, "peer_ends_reset", reset),
    (Anyone, "peer_ends_with_unread_data", with_unread_data),
    (Anyone, "peer_ends_a_thousand_at_once", a_thousand_at_once),
    (Anyone, "peer_ends_none_in_silence", none_in_silence),
    (Anyone, "peer_ends_urgent_data_is_data", urgent_data_is_data),
];

/// At once, by a RST that says so, and as often as it is asked.
fn refused() {
    beside_up(
        "for port in [1, 4444, 65535] * 20:
    try:
        dial(port, patience=5)
        raise AssertionError('nobody listens there')
    except ConnectionRefusedError:
        pass",
    );
}

/// The kernel has nothing more to say, and hears us to the end: an echo that was held back.
fn kernel_finishes_first() {
    beside_up(
        "s = dial(ECHO, room=20000)
giver = beside(lambda: (pour(s, 4 * MIB), s.shutdown(socket.SHUT_WR)))
time.sleep(0.5)
held = Held()
read(s, held, 4 * MIB)
assert s.recv(1) == b''
giver.join()",
    );
}

/// Our nc has no input: its FIN comes first, then all of the kernel's data.
fn we_finish_first() {
    let near = Near::new();
    let script = "s = listen(5000)
assert s.recv(1) == b''
time.sleep(0.3)
pour(s, 8 * MIB)
time.sleep(0.3)
s.sendall(b'the end')
s.shutdown(socket.SHUT_WR)";
    let script = talk("", script);
    let server = near.world.start("kernel", &script, "listening");
    let ran = near.verb("", "nc", "10.1.0.1 5000 </dev/null | tail -c 7");
    let _ = ran.exits(0).says("the end");
    let said = server.ended();
    assert!(said.contains("all is well"), "{said}");
}

/// A kernel's FIN and ours cross; nothing is left of either but TIME-WAIT.
fn both_at_once() {
    let near = Near::new();
    let script = "server = socket.create_server(('0.0.0.0', 5000))
print('listening', flush=True)
for i in range(20):
    s = server.accept()[0]
    s.settimeout(20)
    s.sendall(b'bye')
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b''
    s.close()";
    let server = near.world.start("kernel", &talk("", script), "listening");
    for _ in 0..20 {
        near.verb("", "nc", "10.1.0.1 5000 </dev/null")
            .exits(0)
            .says("bye");
    }
    let said = server.ended();
    assert!(said.contains("all is well"), "{said}");
}

/// With data in both directions under way: no connection is left, and the next one is served.
fn reset() {
    let (ran, status) = up_with_status(&talk(
        "10.7.0.2",
        "for i in range(50):
    for port in [ECHO, CHARGEN, DISCARD]:
        s = dial(port)
        s.sendall(b'x' * 100000)
        reset(s)
both(dial(ECHO), MIB, MIB)",
    ));
    ran.exits(0).says("all is well");
    status.adds_up("the host");
    nobody_is_left(&status);
}

fn nobody_is_left(status: &crate::common::Status) {
    let open = status.connections();
    let open: Vec<_> = open
        .iter()
        // The last acknowledgment may lie on the TAP still when the program is over.
        .filter(|state| !["TIME-WAIT", "LAST-ACK"].contains(&state.to_uppercase().as_str()))
        .collect();
    assert!(open.is_empty(), "{open:?} are left\n{status}");
}

/// RFC 9293 §3.6.1 and RFC 1122 §4.2.2.13: who closes with data unread sends a RST, in either role.
fn with_unread_data() {
    let (ran, status) = up_with_status(&talk(
        "10.7.0.2",
        "s = dial(CHARGEN, room=8192)
time.sleep(0.2)
s.close()
# A page's server that will not read on: what it said before must still arrive.
s = dial(80)
s.sendall(b'nonsense\\r\\n\\r\\n' + b'x' * 3000)
assert s.recv(100).startswith(b'HTTP/1.1 400 ')
s.close()
both(dial(ECHO), MIB, MIB)",
    ));
    ran.exits(0).says("all is well");
    nobody_is_left(&status);
}

/// Each with its own data, all at the same time, again and again.
fn a_thousand_at_once() {
    let (ran, status) = up_with_status(&talk(
        "10.7.0.2",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
choose = selectors.DefaultSelector()
held = {}
for i in range(1000):
    s = dial(ECHO)
    held[s] = Held(lambda k, i=i: block(i))
    choose.register(s, selectors.EVENT_READ)
for turn in range(4):
    for i, s in enumerate(held):
        s.sendall(block(i)[turn * 5000:][:5000])
    left = 1000 * 5000
    while left:
        for key, _ in choose.select(60):
            data = key.fileobj.recv(65536)
            assert data
            held[key.fileobj].feed(data)
            left -= len(data)
for s in held:
    s.shutdown(socket.SHUT_WR)
for s in held:
    assert s.recv(1) == b''
    assert held[s].at == 20000",
    ));
    ran.exits(0).says("all is well");
    status.adds_up("the host");
    nobody_is_left(&status);
}

/// RFC 9293 §3.8.4: a kernel's probes are answered, and a connection that is silent stays.
fn none_in_silence() {
    let ran: Ran = beside_up(
        "s = dial(ECHO)
for name, value in [('TCP_KEEPIDLE', 1), ('TCP_KEEPINTVL', 1), ('TCP_KEEPCNT', 2)]:
    s.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
time.sleep(6)
assert counter('TCPKeepAlive') >= 3, counter('TCPKeepAlive')
both(s, MIB, MIB)",
    );
    drop(ran);
}

/// The echo reads urgent data in its place (RFC 6093 §3), and is not disturbed by it.
fn urgent_data_is_data() {
    beside_up(
        "s = dial(ECHO)
s.sendall(b'before ')
s.send(b'!', socket.MSG_OOB)
s.sendall(b' after')
s.shutdown(socket.SHUT_WR)
got = b''
while data := s.recv(100):
    got += data
assert got == b'before ! after', got",
    );
}
