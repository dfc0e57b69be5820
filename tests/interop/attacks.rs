//! Attacks on TCP over a TAP, each beside honest clients of the kernel's: they are served all the
//! while, the host takes no more memory than it may, and what the attacker opened ends with him.
//!
//! ```text
//!   the kernel 10.7.0.1, honest  --+
//!                                  +-- TAP -- Tapline 10.7.0.2: echo, discard, chargen, HTTP
//!   attacks.py, 10.7.0.64 and up --+
//! ```
//!
//! The same attacks run in virtual time as scenarios of the lab, `attack-NAME`; what bounds each is
//! in the documentation of `stack::host::tcp`. Here the attacker is another program, who sees what
//! comes to him, and some of the frames have the kernel's addresses.

use crate::common::{Ran, Status, TempFile, tapline, up_configured};
use crate::{Anyone, Test};

pub(crate) const TESTS: &[Test] = &[
    (Anyone, "attacks_syn_flood", attacks_syn_flood),
    (Anyone, "attacks_blind", attacks_blind),
    (Anyone, "attacks_ack_storm", attacks_ack_storm),
    (Anyone, "attacks_lies", attacks_lies),
    (Anyone, "attacks_garbage", attacks_garbage),
    (Anyone, "attacks_sockstress", attacks_sockstress),
    (Anyone, "attacks_tiny_mss", attacks_tiny_mss),
    (Anyone, "attacks_sack_bomb", attacks_sack_bomb),
    (Anyone, "attacks_time_wait", attacks_time_wait),
    (Anyone, "attacks_port_scan", attacks_port_scan),
];

/// Runs what an attacker does, between a look at the host before it and three after it: at a
/// connection that was there all the time, at new ones, at the host's memory (in MiB, beyond what
/// it took) and at what is left open. What a host grew by when this was written is said beside each;
/// the limits are some three times that and a few MiB.
#[track_caller]
fn attacked(most: u32, attack: &str) -> (Ran, Status) {
    attacked_as("", most, attack)
}

/// The same, of a host with this configuration.
#[track_caller]
fn attacked_as(config: &str, most: u32, attack: &str) -> (Ran, Status) {
    let script = format!(
        "{}
victim = honest()
wire = Wire()
before = memory()
{attack}
echo(victim)
crowd(5)
flat(before, {most})
victim.close()
settles(0)
print('served')",
        include_str!("attacks.py"),
    );
    let file = TempFile::new("attack.py", &script);
    let script = format!(
        "HOST_PID=$PPID TAPLINE='{}' /usr/bin/python3 {}",
        tapline(),
        file.path()
    );
    let (ran, status) = up_configured(config, &script);
    let ran = ran.exits(0).says("served");
    status.adds_up("the host");
    (ran, status)
}

/// From stations that answer, from others that do not, from nowhere.
fn attacks_syn_flood() {
    let (_, status) = attacked(
        10,
        "
for i in range(60_000):
    near, far = f'10.7.0.{64 + i % 190}', f'198.18.{i >> 8 & 255}.{i & 255}'
    wire.segment(far if i % 3 else near, 1024 + i % 60_000, [ECHO, HTTP][i & 1],
                 chance.getrandbits(32), 0, SYN)
    if i % 3000 == 0:
        wire.listen(0)
        crowd(1)",
    );
    let cookies = status.tcp("cookies_sent");
    assert!(cookies > 1000, "the flood did not fill the queue: {status}");
}

/// Within the window, but nowhere exact: resets, SYNs, data with an acknowledgment from elsewhere.
fn attacks_blind() {
    let (_, status) = attacked(
        4,
        "
port, snd, rcv = overheard(wire, victim)
for i in range(1, 1501):
    wire.segment(KERNEL, port, ECHO, after(snd, i * 7), 0, RST)
    wire.segment(KERNEL, port, ECHO, after(snd, i * 7), 0, SYN)
    wire.segment(KERNEL, port, ECHO, after(snd, i - 1), after(rcv, 1 << 30), ACK | PSH, data=b'evil')
    wire.segment(KERNEL, port, ECHO, after(snd, i - 1), after(rcv, 3 << 30), ACK | PSH, data=b'evil')
wire.listen(0.3)
answers = wire.came.pop((KERNEL, port), [])
print(len(answers), 'answers')
assert 0 < len(answers) < 600, 'of 6000 segments that deserve none, too many were answered'
assert not any(flags & RST for _, _, flags, _, _ in answers)",
    );
    assert!(status.drops("tcp-challenged") >= 2000, "{status}");
    assert!(status.drops("tcp-bad-ack") >= 2000, "{status}");
}

/// Acknowledgments of what was never sent, to a host that could answer each. Judged by what came
/// there: a TAP drops what is faster than its reader.
fn attacks_ack_storm() {
    let (_, status) = attacked(
        4,
        "
port, snd, rcv = overheard(wire, victim)
for i in range(5000):
    wire.segment(KERNEL, port, ECHO, snd, after(rcv, 1000 + i), ACK)
    wire.segment(KERNEL, port, ECHO, after(snd, -1000), rcv, ACK)
wire.listen(0.3)
answers = wire.came.pop((KERNEL, port), [])
print(len(answers), 'answers')
assert 0 < len(answers) < 1000, 'a storm needs two: too many answers'",
    );
    // Few of the frames are others' than the storm's, of whose segments every second is too new.
    let came = status.count("frames_in");
    assert!(came >= 2000, "no storm: {status}");
    let refused = status.drops("tcp-bad-ack");
    assert!(refused > came / 3 && refused <= 5000, "{status}");
}

/// Acknowledged before it came, and beyond what was ever sent; windows that are huge, then shut.
fn attacks_lies() {
    attacked(
        6,
        "
GET = b'GET /bytes/20000000 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
scaled = bytes([2, 4, 5, 180, 1, 3, 3, 14])
for n in range(20):
    src, sport = f'10.7.0.{64 + n}', 2000 + n
    mine, theirs = wire.open(src, sport, HTTP, scaled)
    wire.segment(src, sport, HTTP, mine, theirs, ACK | PSH, data=GET)
    mine = after(mine, len(GET))
    for i in range(1, 200):
        wire.segment(src, sport, HTTP, mine, after(theirs, i * 1460), ACK,
                     window=65535 if i % 5 else 0)
    wire.segment(src, sport, HTTP, mine, after(theirs, 1 << 30), ACK)
    wire.listen(0.02)
    wire.segment(src, sport, HTTP, mine, 0, RST)
    crowd(1)",
    );
}

/// Options that are none, in SYNs and on a connection.
fn attacks_garbage() {
    attacked(
        6,
        "
port, snd, rcv = overheard(wire, victim)
for i in range(5000):
    junk = chance.randbytes(chance.randrange(1, 41))
    wire.segment('10.7.0.99', 1024 + i, [ECHO, HTTP][i & 1], chance.getrandbits(32), 0, SYN,
                 options=junk)
    wire.segment(KERNEL, port, ECHO, snd, rcv, ACK, options=junk, window=2000)
    if i % 500 == 0:
        wire.listen(0)
        crowd(1)",
    );
}

/// Five hundred who ask for a lot and take nothing.
fn attacks_sockstress() {
    attacked(
        18,
        "
GET = b'GET /bytes/20000000 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
opened = []
for n in range(500):
    src, sport = f'10.7.0.{64 + n % 100}', 3000 + n
    mine, theirs = wire.open(src, sport, HTTP)
    wire.segment(src, sport, HTTP, mine, theirs, ACK | PSH, 0, data=GET)
    opened.append((src, sport, after(mine, len(GET))))
    if n % 50 == 0:
        crowd(2)
wire.listen(1)
crowd(5)
for src, sport, mine in opened:
    wire.segment(src, sport, HTTP, mine, 0, RST)",
    );
}

/// A peer who has room for one byte a segment.
fn attacks_tiny_mss() {
    attacked(
        6,
        "
GET = b'GET /bytes/100000 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
for n in range(5):
    src, sport = f'10.7.0.{64 + n}', 4000 + n
    mine, theirs = wire.open(src, sport, HTTP, bytes([2, 4, 0, n]))
    wire.segment(src, sport, HTTP, mine, theirs, ACK | PSH, data=GET)
    mine = after(mine, len(GET))
    got, sizes = 0, []
    for _ in range(1000):
        wire.listen(0.01)
        for seq, ack, flags, window, data in wire.came.pop((src, sport), []):
            if data and seq == theirs:
                theirs = after(theirs, len(data))
                got += len(data)
                sizes.append(len(data))
        wire.segment(src, sport, HTTP, mine, theirs, ACK)
        if got > 100_000:
            break
    assert got > 100_000, f'{got} bytes came'
    # A super-frame is cut by the kernel, or not at all: then it is longer.
    assert min(sizes[:-1]) >= 48, f'segments of {min(sizes[:-1])} bytes'
    wire.segment(src, sport, HTTP, mine, 0, RST)
    crowd(1)",
    );
}

/// Every other byte of a flight, one by one.
fn attacks_sack_bomb() {
    attacked(
        6,
        "
GET = b'GET /bytes/20000000 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
for n in range(5):
    src, sport = f'10.7.0.{64 + n}', 5000 + n
    mine, theirs = wire.open(src, sport, HTTP, bytes([2, 4, 2, 24]) + SACK_OK)
    wire.segment(src, sport, HTTP, mine, theirs, ACK | PSH, data=GET)
    mine = after(mine, len(GET))
    wire.listen(0.1)
    for i in range(1, 2000):
        blocks = b''.join(struct.pack('!II', after(theirs, i * 8 + k), after(theirs, i * 8 + k + 1))
                          for k in (0, 2, 4, 6))
        wire.segment(src, sport, HTTP, mine, theirs, ACK, options=b'\\1\\1\\5' + bytes([34]) + blocks)
    wire.listen(0.1)
    wire.segment(src, sport, HTTP, mine, 0, RST)
    crowd(2)",
    );
}

/// Thousands whom the host closes first, of which it may keep five hundred.
fn attacks_time_wait() {
    let (_, status) = attacked_as(
        "max_time_waits = 500",
        12,
        "
for n in range(3000):
    s = socket.create_connection((HOST, HTTP), timeout=30)
    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    while s.recv(65536):
        pass
    s.close()
waiting = [row for row in status()['connections'] if row['state'] == 'TIME-WAIT']
print(len(waiting), 'in TIME-WAIT')
assert 400 <= len(waiting) <= 500, 'the bound was not reached, or not held'
settles(500)
settles = lambda most: None",
    );
    assert!(status.tcp("time_wait_evicted") >= 2000, "{status}");
}

/// All ports there are, half open; each until it answers.
fn attacks_port_scan() {
    let (ran, status) = attacked(
        6,
        "
# What a busy host's TAP has dropped is asked for again.
scan = ['nmap', '-n', '-Pn', '-sS', '-p-', '-T5', '--min-rate', '5000', '--max-retries', '10', HOST]
out = subprocess.run(scan, stdout=subprocess.PIPE, check=True, text=True, timeout=100).stdout
print(out)",
    );
    for open in ["7/tcp", "9/tcp", "19/tcp", "80/tcp"] {
        assert!(ran.out.lines().any(|line| line.starts_with(open)), "{ran}");
    }
    assert!(status.drops("tcp-no-socket") >= 65_000, "{status}");
}
