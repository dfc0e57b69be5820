sizes = [0, 1, 40, 68, 576, 1279, 1280, 1281, 1400, 1500, 65535, 0xffffffff]
flood('packet too big, of an echo reply', each(
    lambda: to_host(chance.choice([somebody(), KERNEL])) / ICMPv6PacketTooBig(mtu=chance.choice(sizes))
    / IPv6(src=HOST, dst=KERNEL, hlim=64) / ICMPv6EchoReply(id=6, data=bytes(1200))))
flood('packet too big, of TCP and UDP that never was', each(
    lambda: to_host() / ICMPv6PacketTooBig(mtu=chance.choice(sizes)) / IPv6(src=HOST, dst=KERNEL, hlim=64)
    / chance.choice([TCP(sport=80, dport=chance.randrange(65536)), UDP(sport=7, dport=9)])))

# One that the host did talk to: the paths' floor holds, whatever is said.
talk = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
talk.settimeout(10)
talk.connect((HOST, 7))
talk.send(b'hello')
assert talk.recv(9) == b'hello'
quoted = raw(IPv6(src=HOST, dst=KERNEL, hlim=64, nh=17, plen=1460)
             / UDP(sport=7, dport=talk.getsockname()[1], len=1460) / bytes(1100))
_, delivered = flood('packet too big, of UDP that was', each(
    lambda: to_host(KERNEL) / ICMPv6PacketTooBig(mtu=chance.choice(sizes)) / Raw(quoted)))
assert delivered == {'icmp': TIMES}, delivered
paths = [row['mtu'] for row in whole()['path_mtus'] if row['to'] == KERNEL]
assert paths == [1280], paths
kinds = [ICMPv6DestUnreach(code=4), ICMPv6TimeExceeded(), ICMPv6ParamProblem(code=1)]
flood('errors about errors', each(
    lambda: to_host() / chance.choice(kinds) / IPv6(src=HOST, dst=KERNEL) / chance.choice(kinds)))


def piece(ident, at, data, more, src='fd07::66', next=58):
    # Who puts a fragment header before bytes: scapy would cut by itself.
    return to_host(src, nh=44) / Raw(bytes([next, 0]) + (at | more).to_bytes(2, 'big')
                                     + ident.to_bytes(4, 'big') + data)


overlap = [piece(n, at, bytes(48), more) for n in range(TIMES // 2) for at, more in [(0, 1), (40, 0)]]
dropped, _ = flood('fragments that overlap', overlap)
assert dropped.get('fragment-overlap', 0) >= TIMES, dropped
tiny = [piece(n, 0, bytes(8), 1, next=chance.choice([6, 60])) for n in range(TIMES)]
dropped, _ = flood('first fragments without the headers', tiny)
assert dropped['fragment-tiny'] == TIMES, dropped
bad = [piece(n, 0, bytes(chance.choice([1, 7, 13, 1001])), 1) for n in range(TIMES // 2)]
bad += [piece(n, 65528, bytes(100), 0) for n in range(TIMES // 2)]
dropped, _ = flood('fragments of lengths that cannot be', bad)
assert dropped['fragment-malformed'] == TIMES, dropped


def atomic():
    message = raw(to_host('fd07::66') / echo())[40:]
    return piece(chance.choice([0, 7, 0xffffffff]), 0, message, 0)


_, delivered = flood('atomic fragments, of one number', each(atomic))
assert delivered.get('icmp', 0) >= TIMES, delivered
flood('fragments without end, of one source', [
    piece(5000 + n // 40, n % 40 * 1400, bytes(1400), 1) for n in range(4 * TIMES)])
flood('fragments without end, of random sources', [
    piece(chance.getrandbits(32), 0, bytes(1400), 1, src=somebody()) for _ in range(4 * TIMES)])

# Chains: each header knows how long it is, and learns what follows it.
import itertools
HEADERS = {
    'hop': (0, lambda next: bytes([next, 0, 1, 4, 0, 0, 0, 0])),
    'options': (60, lambda next: bytes([next, 0, 1, 4, 0, 0, 0, 0])),
    'routing': (43, lambda next: bytes([next, 0, 4, 0, 0, 0, 0, 0])),
    'routing with segments left': (43, lambda next: bytes([next, 0, 0, 1, 0, 0, 0, 0])),
    'fragment': (44, lambda next: bytes([next, 0, 0, 0, 0, 0, 0, 7])),
    'mobility': (135, lambda next: bytes([next, 0, 0, 0, 0, 0, 0, 0])),
    'unknown': (253, lambda next: bytes([next, 0, 0, 0, 0, 0, 0, 0])),
}


def chain(names, src='fd07::66', dst=HOST):
    message = raw(to_host(src, dst=dst) / echo())[40:]
    next = 58
    for name in reversed(names):
        kind, make = HEADERS[name]
        message, next = make(next) + message, kind
    return to_host(src, dst=dst, nh=next) / Raw(message)


orders = [order for n in range(1, 5) for order in itertools.permutations(HEADERS, n)]
flood('extension headers in every order', [chain(order) for order in orders])
deep = [['options'] * n for n in range(1, 100)] + [['hop'] * n for n in range(2, 100)]
flood('extension headers, up to a hundred', [chain(names) for names in deep])


def option(kind, dst, header):
    """An unknown option with each pair of action bits, or a known one that is wrong."""
    message = raw(to_host('fd07::66', dst=dst) / echo())[40:]
    return to_host('fd07::66', dst=dst, nh=header) / Raw(bytes([58, 0, kind, 4, 0, 0, 0, 0]) + message)


flood('options of every type', [option(kind, dst, header) for kind in range(256)
                                for dst in (HOST, 'ff02::1') for header in (0, 60)])

flood('MLD reports of random groups', each(
    lambda: to_host(near(), dst=chance.choice(['ff02::16', HOST]), hops=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    / ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=4, dst='ff0e::%x' % chance.getrandbits(16))]),
    3 * TIMES))
flood('MLD queries of random groups', each(
    lambda: to_host(near(), dst='ff02::1', hops=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    / ICMPv6MLQuery2(mladdr=chance.choice(['::', 'ff0e::%x' % chance.getrandbits(16)]), mrd=chance.getrandbits(15)),
    3 * TIMES))
flood('MLDv1 queries and reports', each(
    lambda: to_host(near(), dst='ff02::1', hops=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    / chance.choice([ICMPv6MLQuery(mrd=1), ICMPv6MLReport(mladdr='ff02::1:ff00:2')])))
flood('sources that cannot be', each(
    lambda: to_host(chance.choice(['::1', 'ff02::1', '::ffff:10.7.0.1', '::', HOST])) / echo()))
ends()
