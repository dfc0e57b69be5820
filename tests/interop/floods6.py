"""Floods and forgeries of IPv6 against the host at fd07::2, made with scapy: put before the list of
them. After each, the host answers the kernel's pings, has not grown, and has counted every frame."""
import json, os, random, select, socket, subprocess, sys, time, warnings
warnings.simplefilter('ignore')
from scapy.all import *
conf.verb = 0
# Scapy is not asked who routes where: all of its packets have their addresses.
conf.route6.routes = []

HOST, KERNEL, LINK = 'fd07::2', 'fd07::1', 'fe80::ff:fe00:7'
HOST_MAC, MAC = '02:00:00:00:00:07', '02:66:66:66:66:66'
chance = random.Random(6)
# What the kernel counts of a device on the way out.
QUEUED, DROPPED = 9, 11
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(('tap0', 0))
wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
KERNEL_MAC = wire.getsockname()[4]
rows = []


def number(column):
    with open('/proc/net/dev') as devices:
        tap = next(line for line in devices if line.strip().startswith('tap0:'))
    return int(tap.split(':')[1].split()[column])


def whole():
    out = subprocess.run([os.environ['TAPLINE'], 'status', '--json'], stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)


def settled():
    """Its counters, once it has taken all that the kernel put into the queue."""
    last = None
    for _ in range(100):
        before = number(QUEUED)
        now = whole()['host']
        seen = (now['frames_in'], before)
        if seen == last:
            return now, before
        last = seen
        time.sleep(0.05)
    raise AssertionError('the host does not come to rest')


def memory():
    with open(f"/proc/{os.environ['HOST_PID']}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmRSS'))


def answers(counted):
    """Takes what came, and counts the host's answers to us."""
    while select.select([wire], [], [], 0)[0]:
        frame, where = wire.recvfrom(1 << 17)
        if where[2] != socket.PACKET_OUTGOING and frame[:6] != KERNEL_MAC:
            counted[0] += 1


def alive():
    """The kernel asks again for a second where its own queue was full."""
    ping = ['ping', '-q', '-c', '3', '-i', '0.05', '-W', '2', '-w', '10', HOST]
    out = subprocess.run(ping, stdout=subprocess.PIPE, text=True).stdout
    assert ' 0% packet loss' in out, out


def difference(after, before, table):
    all = {name: n - before[table].get(name, 0) for name, n in after[table].items()}
    return {name: n for name, n in all.items() if n}


def keep_pace(queued):
    """Waits until all but a hundred of what was sent is taken: a TAP drops what its queue has no room for."""
    until = time.monotonic() + 5
    while number(QUEUED) < queued - 100 and time.monotonic() < until:
        time.sleep(0.001)


def flood(name, packets):
    """Sends all of them, no faster than the host takes them, and tells what became of them."""
    frames = []
    for packet in packets:
        ip = packet[IPv6]
        mac = in6_getnsmac(socket.inet_pton(socket.AF_INET6, ip.dst)) if ip.dst.startswith('ff') else HOST_MAC
        frames.append(raw(Ether(src=MAC, dst=mac) / packet))
    before, queued = settled()
    lost, counted = number(DROPPED), [0]
    answers([0])
    for n, frame in enumerate(frames):
        wire.send(frame)
        if n % 50 == 49:
            answers(counted)
            keep_pace(queued + n + 1)
    after, now_queued = settled()
    answers(counted)
    # The TAP's own loss, and what the kernel itself said meanwhile, are not the host's to count.
    lost = number(DROPPED) - lost
    came = after['frames_in'] - before['frames_in']
    assert came == now_queued - queued, f'{name}: the kernel gave {now_queued - queued}, the host counts {came}'
    assert len(frames) - lost <= came <= len(frames) + 40, f'{name}: {len(frames)} sent, {lost} lost, {came} came'
    delivered = difference(after, before, 'delivered')
    dropped = difference(after, before, 'dropped_in')
    held, looped = after['held'] - before['held'], after['looped'] - before['looped']
    accounted = sum(delivered.values()) + sum(dropped.values()) + held + after['forwarded'] - before['forwarded']
    assert came + looped == accounted, f'{name}: {came} came, {accounted} are accounted for'
    alive()
    rows.append((name, len(frames), lost, counted[0], sum(delivered.values()), held, dropped,
                 difference(after, before, 'dropped_out')))
    return dropped, delivered


def told(drops):
    some = sorted(drops.items(), key=lambda row: -row[1])
    return ', '.join(f'{name} {n}' for name, n in some) or '-'


def table():
    print('| flood | sent | frames back | delivered | held | dropped | not answered, since |')
    print('|---|---|---|---|---|---|---|')
    for name, sent, lost, back, delivered, held, dropped, out in rows:
        lost = f' ({lost} lost by the TAP)' if lost else ''
        print(f'| {name} | {sent}{lost} | {back} | {delivered} | {held} | {told(dropped)} | {told(out)} |')


def somebody():
    """An address of the link."""
    return 'fd07::%x:%x:%x' % (chance.randrange(1, 65536), chance.randrange(65536), chance.randrange(65536))


def near():
    return 'fe80::%x:%x:%x' % (chance.randrange(1, 65536), chance.randrange(65536), chance.randrange(65536))


def station():
    return '02:%02x:%02x:%02x:%02x:%02x' % tuple(chance.randbytes(5))


def solicited(addr):
    return inet_ntop(socket.AF_INET6, in6_getnsma(inet_pton(socket.AF_INET6, addr)))


TIMES = 1000
START = memory()


def to_host(src=None, dst=HOST, hops=255, **more):
    return IPv6(src=src or somebody(), dst=dst, hlim=hops, **more)


def each(make, times=TIMES):
    return [make() for _ in range(times)]


def echo(**more):
    return ICMPv6EchoRequest(id=6, data=bytes(40), **more)


def here():
    return ICMPv6NDOptSrcLLAddr(lladdr=station())


def there():
    return ICMPv6NDOptDstLLAddr(lladdr=MAC)


def deny(seconds):
    """Claims whatever the host asks for, as somebody who has it already; gives how often."""
    until, denied = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        if not select.select([wire], [], [], 0.1)[0]:
            continue
        frame, where = wire.recvfrom(1 << 17)
        if where[2] != socket.PACKET_OUTGOING and frame[54:55] == b'\x87' and not any(frame[22:38]):
            target = inet_ntop(socket.AF_INET6, frame[62:78])
            says = to_host(near(), dst='ff02::1') / ICMPv6ND_NA(tgt=target, R=0, S=0, O=1) / there()
            wire.send(raw(Ether(src=MAC, dst='33:33:00:00:00:01') / says))
            denied += 1
    return denied


def ends():
    """The table, and that the host did not grow by much all the while."""
    table()
    grown = memory() - START
    print('grown by', grown, 'KiB')
    assert grown < 24 << 10
    print('served')
