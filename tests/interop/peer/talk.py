"""A kernel's side of a conversation: put before each script of these tests."""
import random, resource, selectors, socket, struct, subprocess, threading, time

MIB = 1 << 20
NOISE = random.Random(7).randbytes(MIB)
# RFC 864: lines of 72 out of the 95 printing characters, each begun one further.
RING = bytes(range(32, 127)) * 2
LINES = b''.join(RING[i:i + 72] + b'\r\n' for i in range(95)) * 100
ECHO, DISCARD, CHARGEN = 7, 9, 19
TIMESTAMPS, SACK, SCALING, ECN = 1, 2, 4, 8


def block(k):
    """A mebibyte that is like no other."""
    return struct.pack('>Q', k) + NOISE[8:]


class Held:
    """What comes, held against what must come, byte by byte."""

    def __init__(self, make=block, size=MIB):
        self.make, self.size, self.at, self.k = make, size, 0, None

    def feed(self, data):
        while data:
            k, off = divmod(self.at, self.size)
            if k != self.k:
                self.k, self.block = k, self.make(k)
            want = self.block[off:off + len(data)]
            assert data[:len(want)] == want, f'wrong within {len(want)} bytes of {self.at}'
            self.at += len(want)
            data = data[len(want):]


def characters():
    return Held(lambda k: LINES, len(LINES))


def dial(port, host=None, **options):
    s = socket.socket()
    if 'room' in options:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options['room'])
    if 'control' in options:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, options['control'].encode())
    s.settimeout(options.get('patience', 90))
    s.connect((host or HOST, port))
    return s


def listen(port):
    server = socket.create_server(('0.0.0.0', port))
    print('listening', flush=True)
    s = server.accept()[0]
    s.settimeout(90)
    return s


def pour(s, total, first=0):
    k = first
    while total > 0:
        rest = memoryview(block(k))[:total]
        total -= len(rest)
        k += 1
        # Not all at once: patience is for each piece.
        while rest:
            rest = rest[s.send(rest):]


def read(s, held, count):
    """Reads so many bytes more."""
    end = held.at + count
    while held.at < end:
        data = s.recv(min(1 << 18, end - held.at))
        assert data, f'ended after {held.at} of {end} bytes'
        held.feed(data)


def beside(work, *args):
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def both(s, sent, expected, during=None):
    """Sends so much and finishes, and holds what comes until the peer finishes against the same."""
    def give():
        pour(s, sent)
        s.shutdown(socket.SHUT_WR)
    giver, held = beside(give), Held()
    while data := s.recv(1 << 18):
        held.feed(data)
        if during and held.at > expected // 2:
            during()
            during = None
    giver.join()
    assert held.at == expected, f'{held.at} of {expected} bytes'


def info(s):
    return s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)


def agreed(s):
    """The options that both ends have agreed on."""
    return info(s)[5] & (TIMESTAMPS | SACK | SCALING | ECN)


def counter(name):
    for file in ['netstat', 'snmp']:
        lines = open('/proc/net/' + file).read().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            found = dict(zip(names.split(), values.split()))
            if name in found:
                return int(found[name])
    raise KeyError(name)


def tell(name, value):
    with open('/proc/sys/net/ipv4/' + name, 'w') as file:
        file.write(str(value))


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    s.close()
