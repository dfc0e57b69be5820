"""An attacker who sees the wire's answers, beside honest clients: put before each script of these
tests. The kernel at 10.7.0.1 is honest; the attacker makes its own frames, and owns 10.7.0.64 and
all above."""
import os, random, select, socket, struct, subprocess, time

HOST, KERNEL = '10.7.0.2', '10.7.0.1'
ECHO, DISCARD, CHARGEN, HTTP = 7, 9, 19, 80
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SACK_OK = bytes([1, 1, 4, 2])
chance = random.Random(5)
aton = socket.inet_aton


def fold(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def after(seq, step):
    return (seq + step) & 0xffffffff


class Wire:
    """Frames to and from the host, as somebody who has the cable."""

    def __init__(self):
        self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.s.bind(('tap0', 0))
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self.mac = bytes.fromhex('026666666666')
        honest().close()
        with open('/proc/net/arp') as table:
            row = next(line.split() for line in table if line.startswith(HOST + ' '))
        self.host = bytes.fromhex(row[3].replace(':', ''))
        self.kernel = self.s.getsockname()[4]
        self.came = {}

    def segment(self, src, sport, dport, seq, ack, flags, window=65535, options=b'', data=b''):
        options += bytes(-len(options) % 4)
        src = aton(src)
        tcp = struct.pack('!HHIIBBHHH', sport, dport, seq, ack, (20 + len(options)) << 2, flags,
                          window, 0, 0) + options + data
        sum_of = fold(src + aton(HOST) + struct.pack('!HH', 6, len(tcp)) + tcp)
        tcp = tcp[:16] + struct.pack('!H', sum_of) + tcp[18:]
        ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + src + aton(HOST)
        ip = ip[:10] + struct.pack('!H', fold(ip)) + ip[12:]
        # The kernel's own segments come from its station.
        mac = self.kernel if src == aton(KERNEL) else self.mac
        self.s.send(self.host + mac + b'\x08\x00' + ip + tcp)

    def listen(self, seconds):
        """Takes what came, answers ARP for our addresses; segments go to `came`, by who is asked."""
        until = time.monotonic() + seconds
        while select.select([self.s], [], [], max(0, until - time.monotonic()))[0]:
            frame, where = self.s.recvfrom(1 << 17)
            if where[2] == socket.PACKET_OUTGOING:
                continue
            if frame[12:14] == b'\x08\x06' and frame[20:22] == b'\x00\x01' and frame[41] >= 64:
                self.s.send(frame[6:12] + self.mac + b'\x08\x06' + frame[14:20] + b'\x00\x02'
                            + self.mac + frame[38:42] + frame[22:32])
            if frame[12:14] == b'\x08\x00' and frame[23] == 6 and frame[26:30] == aton(HOST):
                at = 14 + (frame[14] & 15) * 4
                end = 14 + struct.unpack('!H', frame[16:18])[0]
                sport, dport, seq, ack, off, flags, window = struct.unpack(
                    '!HHIIBBH', frame[at:at + 16])
                data = frame[at + (off >> 4) * 4:max(end, at)]
                key = (socket.inet_ntoa(frame[30:34]), dport)
                self.came.setdefault(key, []).append((seq, ack, flags, window, data))

    def open(self, src, sport, dport, options=b'', window=65535):
        """A connection that the attacker holds: what he sends next, what he expects next."""
        isn = chance.getrandbits(32)
        for n in range(4000):
            # What has filled the socket's buffer meanwhile would keep the answer out.
            self.listen(0)
            if n % 1000 == 0:
                self.segment(src, sport, dport, isn, 0, SYN, window, options)
            self.listen(0.001)
            for seq, ack, flags, _, _ in self.came.pop((src, sport), []):
                if flags & SYN and ack == after(isn, 1):
                    self.segment(src, sport, dport, ack, after(seq, 1), ACK, window)
                    return ack, after(seq, 1)
        raise AssertionError(f'{src}:{sport} was not let in')


def overheard(wire, victim):
    """An honest connection's port, what its client sends next, and what it expects."""
    port = victim.getsockname()[1]
    echo(victim)
    wire.listen(0.3)
    seq, ack, _, _, data = wire.came.pop((KERNEL, port))[-1]
    return port, ack, after(seq, len(data))


def honest(total=2000):
    """A client who gets back what he sends."""
    s = socket.create_connection((HOST, ECHO), timeout=30)
    echo(s, total)
    return s


def echo(s, total=2000):
    sent = chance.randbytes(total)
    s.sendall(sent)
    got = b''
    while len(got) < total:
        more = s.recv(total)
        assert more, 'the host ended an honest connection'
        got += more
    assert got == sent, 'an honest client got wrong bytes'


def crowd(count):
    for _ in range(count):
        honest().close()


def memory():
    """What the host takes, in KiB: it is our parent."""
    with open(f'/proc/{HOST_PID}/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmRSS'))


def flat(before, most):
    """The host takes no more than so many MiB beyond what it did."""
    grown = memory() - before
    print('grown by', grown, 'KiB')
    assert grown < most << 10, f'the host has grown by {grown} KiB'


def status():
    import json
    out = subprocess.run([TAPLINE, 'status', '--json'], stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)


def settles(most):
    """After the attack there are no more connections than that, within a minute. Half open ones,
    of which a listener has 256 at most, have as long to answer, which nobody waits for here."""
    for _ in range(120):
        left = [row for row in status()['connections'] if row['state'] != 'SYN-RECEIVED']
        if len(left) <= most:
            return
        time.sleep(0.5)
    raise AssertionError(f'still there: {left[:5]} and {len(left)} in all')


HOST_PID = os.environ['HOST_PID']
TAPLINE = os.environ['TAPLINE']
