//! TCP between our programs and the kernel's, both ways round.
//!
//! ```text
//!   up -- curl, nc, socat, wrk, iperf3     the kernel asks a host on a TAP
//!   kernel 10.1.0.1 ---- veth ---- 10.1.0.9 nc, fetch, iperf     our verbs ask the kernel's servers
//! ```

use crate::common::{Ran, Running, TempFile, World, run, tapline, up_sh};
use crate::{Anyone, Root, Test};

pub(crate) const TESTS: &[Test] = &[
    (
        Anyone,
        "streams_curl_reads_the_page",
        streams_curl_reads_the_page,
    ),
    (
        Root,
        "streams_each_device_speaks_ipv6",
        streams_each_device_speaks_ipv6,
    ),
    (
        Anyone,
        "streams_a_page_is_served_by_the_rfc",
        streams_a_page_is_served_by_the_rfc,
    ),
    (Anyone, "streams_echo_half_closes", streams_echo_half_closes),
    (
        Anyone,
        "streams_discard_and_chargen",
        streams_discard_and_chargen,
    ),
    (
        Anyone,
        "streams_a_capture_says_why",
        streams_a_capture_says_why,
    ),
    (
        Anyone,
        "streams_wrk_opens_a_thousand",
        streams_wrk_opens_a_thousand,
    ),
    (
        Anyone,
        "streams_iperf3_measures_us",
        streams_iperf3_measures_us,
    ),
    (
        Anyone,
        "streams_we_measure_iperf3",
        streams_we_measure_iperf3,
    ),
    (
        Anyone,
        "streams_fetch_from_python",
        streams_fetch_from_python,
    ),
    (
        Anyone,
        "streams_nc_talks_to_socat",
        streams_nc_talks_to_socat,
    ),
    (Anyone, "streams_nc_listens", streams_nc_listens),
    (
        Anyone,
        "streams_the_kernel_opens_fast",
        streams_the_kernel_opens_fast,
    ),
    (
        Anyone,
        "streams_we_open_the_kernels_server_fast",
        streams_we_open_the_kernels_server_fast,
    ),
];

fn streams_curl_reads_the_page() {
    up_sh("curl -sS --max-time 20 -i http://10.7.0.2/")
        .exits(0)
        .says("HTTP/1.1 200 OK")
        .says("<h1>A Tapline host</h1>");
    // Five megabytes, twice over one connection; then what is not there.
    let ran = up_sh(
        "curl -sS --max-time 60 -w '%{http_code} %{size_download} %{num_connects}\\n' \
             -o /dev/null -o /dev/null \
             http://10.7.0.2/bytes/5000000 http://10.7.0.2/bytes/5000000
         curl -sS --max-time 20 -o /dev/null -w '%{http_code}\\n' http://10.7.0.2/nothing
         curl -sS --max-time 20 -o /dev/null -w '%{http_code}\\n' -d x=y http://10.7.0.2/
         curl -sS --max-time 20 -I http://10.7.0.2/bytes/123",
    )
    .exits(0)
    .says("200 5000000 1\n200 5000000 0\n404\n405\n")
    .says("Content-Length: 123");
    assert!(!ran.out.contains("charg"), "{ran}");
}

/// With a link header, which asks for neighbours, and without.
fn streams_each_device_speaks_ipv6() {
    let config = "
        [[device]]\nname = 'dev0'\nkind = 'tun'
        addresses = ['10.7.0.2/24', 'fd07::2/64']\nkernel = ['10.7.0.1/24', 'fd07::1/64']";
    let script = "ping -6 -q -c 3 -i 0.01 fd07::2 && curl -sS --max-time 20 'http://[fd07::2]/' \
                  && echo to all | socat -t 5 - 'UDP6:[fd07::2]:7' && curl -sS http://10.7.0.2/";
    for kind in ["'tun'", "'tap'", "'veth'"] {
        let file = TempFile::new("six.toml", &config.replace("'tun'", kind));
        run(&["up", "--config", file.path(), "--", "sh", "-c", script])
            .exits(0)
            .says(" 3 received")
            .says("<h1>A Tapline host</h1>")
            .says("to all");
    }
}

/// Pipelining, a request in pieces, and one that never was HTTP.
fn streams_a_page_is_served_by_the_rfc() {
    let script = "/usr/bin/python3 - <<'END'
import socket, time
def talk(*pieces):
    s = socket.create_connection(('10.7.0.2', 80), timeout=20)
    for piece in pieces:
        s.sendall(piece)
        time.sleep(0.05)
    s.shutdown(socket.SHUT_WR)
    said = b''
    while True:
        more = s.recv(65536)
        if not more:
            return said
        said += more
get = b'GET /bytes/10 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'
assert talk(get * 50).count(b'HTTP/1.1 200 OK') == 50
assert b'200 OK' in talk(get[:5], get[5:30], get[30:])
assert talk(b'hello\\r\\n\\r\\n').startswith(b'HTTP/1.1 400 ')
assert talk(b'GET / HTTP/1.1\\r\\n\\r\\n').startswith(b'HTTP/1.1 400 ')
assert talk(b'GET / HTTP/1.1\\r\\nx: ' + b'y' * 40000).startswith(b'HTTP/1.1 431 ')
print('served')
END";
    up_sh(script).exits(0).says("served");
}

fn streams_echo_half_closes() {
    up_sh("echo hello | nc -N -w 20 10.7.0.2 7")
        .exits(0)
        .says("hello\n");
    // The whole of it comes back after the end was said.
    let script = "head -c 3000000 /dev/urandom >\"$1\"
        socat -t 30 - TCP:10.7.0.2:7 <\"$1\" | cmp - \"$1\" && echo the same";
    let ran = up_sh(&format!("f=$(mktemp); set -- $f; {script}; rm -f $f"));
    ran.exits(0).says("the same");
}

fn streams_discard_and_chargen() {
    up_sh("head -c 20000000 /dev/zero | nc -N -w 20 10.7.0.2 9 && echo gone")
        .exits(0)
        .says("gone");
    // RFC 864: lines of 72 characters, each begun one further.
    let ran = up_sh("nc -w 20 10.7.0.2 19 </dev/null | head -c 222").exits(0);
    let lines: Vec<&str> = ran.out.split("\r\n").collect();
    assert!(
        lines[0].len() == 72 && lines[0].starts_with(" !\"#"),
        "{ran}"
    );
    assert!(
        lines[1].starts_with("!\"#$") && lines[2].starts_with("\"#$%"),
        "{ran}"
    );
    up_sh("nc -w 20 10.7.0.2 19 </dev/null | head -c 20000000 | wc -c")
        .exits(0)
        .says("20000000\n");
}

/// The kernel is deaf for a while, without its address: what the host sends again meanwhile stands
/// in the capture with the reason, and the stream goes on.
fn streams_a_capture_says_why() {
    let file = TempFile::new("why.pcapng", "");
    let script = "/usr/bin/python3 - <<'END'
import socket, subprocess, time
def take(n):
    while n > 0:
        n -= len(s.recv(min(n, 65536)))
s = socket.create_connection(('10.7.0.2', 19), timeout=30)
take(1 << 20)
subprocess.run(['ip', 'addr', 'del', '10.7.0.1/24', 'dev', 'tap0'], check=True)
time.sleep(2)
subprocess.run(['ip', 'addr', 'add', '10.7.0.1/24', 'dev', 'tap0'], check=True)
take(1 << 20)
print('goes on')
END";
    run(&["up", "--pcap", file.path(), "--", "sh", "-c", script])
        .exits(0)
        .says("goes on");
    let written = std::fs::read(file.path()).unwrap();
    for why in ["probe: tail loss", "retransmit: timeout 1 in a row"] {
        let found = written.windows(why.len()).any(|at| at == why.as_bytes());
        assert!(found, "no {why:?} in {} bytes", written.len());
    }
}

fn streams_wrk_opens_a_thousand() {
    let ran = up_sh("ulimit -n 4096; wrk -c 1000 -t 2 -d 2 --timeout 20 http://10.7.0.2/").exits(0);
    assert!(ran.out.contains("requests in"), "{ran}");
    assert!(!ran.out.contains("Socket errors"), "{ran}");
    assert!(!ran.out.contains("Non-2xx"), "{ran}");
}

fn streams_iperf3_measures_us() {
    for how in ["-t 1", "-t 1 -R", "-t 1 -P 4", "-n 20M", "-n 20M -R"] {
        let ran = serve_iperf(how);
        ran.exits(0).says("receiver").says("iperf Done.");
    }
}

fn serve_iperf(how: &str) -> Ran {
    run(&[
        "up",
        "--serve",
        "iperf",
        "--",
        "sh",
        "-c",
        &format!("iperf3 -c 10.7.0.2 {how}"),
    ])
}

/// The kernel at 10.1.0.1, and an interface whose other user we are.
fn beside() -> World {
    World::new(
        &["kernel", "stack"],
        "ip link add eth0 netns kernel type veth peer name eth0 netns stack
         ip -n kernel link set eth0 up
         ip -n stack link set eth0 up
         ip -n kernel addr add 10.1.0.1/24 dev eth0",
    )
}

fn verb(world: &World, verb: &str, before: &str, rest: &str) -> Ran {
    let at = "--raw eth0 --address 10.1.0.9/24";
    world.sh(
        "stack",
        &format!("{before} {} {verb} {at} {rest}", tapline()),
    )
}

fn streams_we_measure_iperf3() {
    let world = beside();
    let _server = world.start("kernel", "exec iperf3 -s --forceflush", "listening");
    for how in ["-t 1", "-t 1 -R", "-t 1 -P 3", "-n 20MB", "-n 20MB -R"] {
        let ran = verb(&world, "iperf", "", &format!("-c 10.1.0.1 {how}")).exits(0);
        assert!(ran.lines_with("sender").count() == 1, "{ran}");
        assert!(ran.lines_with("receiver").count() == 1, "{ran}");
    }
    verb(&world, "iperf", "", "-c 10.1.0.1 -p 5202").exits(1);
}

/// Pages of a server that counts lengths, of one that sends chunks, and a redirect.
const SERVER: &str = "exec /usr/bin/python3 - <<'END'
import http.server, socketserver
class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def do_GET(self):
        if self.path == '/moved':
            self.send_response(302)
            self.send_header('Location', 'bytes/70000')
            self.send_header('Content-Length', '0')
            self.end_headers()
        elif self.path == '/loop':
            self.send_response(302)
            self.send_header('Location', '/loop')
            self.send_header('Content-Length', '0')
            self.end_headers()
        elif self.path.startswith('/bytes/'):
            n = int(self.path[7:])
            self.send_response(200)
            self.send_header('Content-Length', str(n))
            self.end_headers()
            self.wfile.write(bytes(i * 7 % 251 for i in range(n)))
        elif self.path == '/chunks':
            self.send_response(200)
            self.send_header('Transfer-Encoding', 'chunked')
            self.end_headers()
            for i in range(1, 400):
                self.wfile.write(b'%x\\r\\n' % i + b'c' * i + b'\\r\\n')
            self.wfile.write(b'0\\r\\n\\r\\n')
        else:
            self.send_error(404)
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer): pass
server = Server(('10.1.0.1', 8000), Pages)
print('serving', flush=True)
server.serve_forever()
END";

fn streams_fetch_from_python() {
    let world = beside();
    let _server: Running = world.start("kernel", SERVER, "serving");
    let page = |rest: &str| verb(&world, "fetch", "", rest);
    let sum = "| cksum";
    let want = world
        .sh(
            "kernel",
            "/usr/bin/python3 -c \"import sys; sys.stdout.buffer.write(bytes(i * 7 % 251 for i in range(3000000)))\" | cksum",
        )
        .exits(0)
        .out;
    let got = page(&format!("http://10.1.0.1:8000/bytes/3000000 {sum}"));
    assert_eq!(got.out, want, "{got}");
    page("http://10.1.0.1:8000/chunks | wc -c").says("79800\n");
    page("http://10.1.0.1:8000/moved | wc -c").says("70000\n");
    page("http://10.1.0.1:8000/loop").exits(1);
    page("http://10.1.0.1:8000/nothing").exits(1);
    page("http://10.1.0.1:9999/").exits(1);
    page("-o /dev/null --json http://10.1.0.1:8000/moved")
        .exits(0)
        .says("\"status\":200")
        .says("\"redirects\":1")
        .says("\"bytes\":70000");
}

fn streams_nc_talks_to_socat() {
    let world = beside();
    let echo = "exec socat -d -d TCP-LISTEN:7,fork,reuseaddr EXEC:cat";
    let _echo = world.start("kernel", echo, "listening");
    verb(&world, "nc", "echo hello |", "10.1.0.1 7")
        .exits(0)
        .says("hello\n");
    let ran = verb(
        &world,
        "nc",
        "head -c 3000000 /dev/zero | tr '\\0' x |",
        "10.1.0.1 7 | cksum",
    );
    let want = world.sh("kernel", "head -c 3000000 /dev/zero | tr '\\0' x | cksum");
    assert_eq!(ran.out, want.out, "{ran}");
    let ran = verb(&world, "nc", "echo hello |", "10.1.0.1 8").exits(1);
    assert!(ran.err.contains("refused"), "{ran}");
    verb(&world, "nc", "", "-w 1 10.1.0.77 8 </dev/null").exits(1);
}

fn streams_nc_listens() {
    let world = beside();
    let at = "--raw eth0 --address 10.1.0.9/24";
    let listen = format!("echo from us | exec {} -v nc -l -p 5000 {at}", tapline());
    let listener = world.start("stack", &listen, "10.1.0.9");
    world
        .sh("kernel", "echo from the kernel | nc -N -w 20 10.1.0.9 5000")
        .exits(0)
        .says("from us\n");
    let said = listener.ended();
    assert!(said.contains("from the kernel\n"), "{said}");
}

/// `open(address, data)` as a client of Fast Open: what comes back, and whether the SYN's data was
/// taken (`TCPI_OPT_SYN_DATA` of `TCP_INFO`).
const FAST: &str = "import socket
def open(to, data):
    s = socket.socket()
    n = s.sendto(data, socket.MSG_FASTOPEN, to)
    s.sendall(data[n:])
    s.shutdown(socket.SHUT_WR)
    said = b''
    while True:
        more = s.recv(65536)
        if not more:
            break
        said += more
    taken = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5] & 32
    return said, bool(taken)
";

/// The kernel gets a cookie with the first connection, and its data is in the SYN of the next.
fn streams_the_kernel_opens_fast() {
    let script = format!(
        "sysctl -qw net.ipv4.tcp_fastopen=1 && timeout 30 /usr/bin/python3 - <<'END'
{FAST}
echo, web = ('10.7.0.2', 7), ('10.7.0.2', 80)
get = b'GET /bytes/5000 HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'
print('first', open(echo, b'one'))
for n in range(3):
    print('then', open(echo, b'two'))
said, taken = open(web, get)
print('page', len(said) > 5000 and said.startswith(b'HTTP/1.1 200'), taken)
# More than a segment holds.
said, taken = open(echo, b'x' * 20000)
print('long', said == b'x' * 20000, taken)
END"
    );
    let up = |fast: &[&str]| {
        let mut words = vec!["up"];
        words.extend(fast);
        words.extend(["--", "sh", "-c", &script]);
        run(&words).exits(0)
    };
    up(&["--fast-open"])
        .says("first (b'one', False)\n")
        .says("then (b'two', True)\nthen (b'two', True)\nthen (b'two', True)\n")
        .says("page True True\n")
        .says("long True True\n");
    // Off, unless asked for.
    up(&[])
        .says("first (b'one', False)\nthen (b'two', False)\n")
        .says("page True False\n");
}

/// A server of the kernel's says of each request whether it came with the SYN.
fn streams_we_open_the_kernels_server_fast() {
    const SERVER: &str = "sysctl -qw net.ipv4.tcp_fastopen=2 && exec /usr/bin/python3 - <<'END'
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('10.1.0.1', 8000))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
s.listen()
print('serving', flush=True)
while True:
    c, _ = s.accept()
    ask = b''
    while b'\\r\\n\\r\\n' not in ask:
        ask += c.recv(65536)
    early = c.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5] & 32
    left = int(ask.split()[1][1:])
    if left > 0:
        head = 'HTTP/1.1 302 Found\\r\\nLocation: /%d\\r\\nContent-Length: 0\\r\\n\\r\\n' % (left - 1)
        c.sendall(head.encode())
    else:
        page = b'early' if early else b'late'
        c.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(page) + page)
    c.close()
END";
    let world = beside();
    let _server = world.start("kernel", SERVER, "serving");
    let count = |name: &str| {
        world
            .sh("kernel", &format!("nstat -asz TcpExtTCP{name}"))
            .exits(0)
            .out
    };
    let page = |rest: &str| verb(&world, "fetch", "", &format!("{rest}; echo")).exits(0);
    assert_eq!(page("http://10.1.0.1:8000/2").out, "late\n");
    assert_eq!(page("--fast-open http://10.1.0.1:8000/0").out, "late\n");
    assert_eq!(page("--fast-open http://10.1.0.1:8000/1").out, "early\n");
    assert_eq!(page("--fast-open http://10.1.0.1:8000/3").out, "early\n");
    let passive = count("FastOpenPassive");
    assert!(passive.contains(" 4 "), "{passive}");
    let requests = count("FastOpenCookieReqd");
    assert!(requests.contains(" 3 "), "{requests}");
}
