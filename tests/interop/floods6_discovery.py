# Before the lists of prefixes are full: eight of them, whose addresses somebody has already.
before, _ = settled()
for n in range(8):
    prefix = ICMPv6NDOptPrefixInfo(prefix='fd50:%x::' % n, prefixlen=64, validlifetime=9000,
                                   preferredlifetime=9000)
    wire.send(raw(Ether(src=MAC, dst='33:33:00:00:00:01') / to_host('fe80::66', dst='ff02::1')
                  / ICMPv6ND_RA(routerlifetime=0) / prefix))
denied = deny(5)
after, _ = settled()
alive()
dropped = difference(after, before, 'dropped_in')
rows.append(('denials of addresses to be', 8 + denied, 0, 0, 8, 0, dropped, {}))
assert denied == 8 and dropped['ndp-conflict'] == 8, (denied, dropped)
status = subprocess.run([os.environ['TAPLINE'], 'status'], stdout=subprocess.PIPE, text=True).stdout
mine = [line.strip() for line in status.splitlines() if 'address ' in line]
print(mine)

# Whom nobody knows: each answer needs a neighbour that is not there.
flood('echo requests from random sources', each(lambda: to_host() / echo()))
flood('echo requests to all nodes', each(lambda: to_host(dst='ff02::1') / echo()))

flood('neighbour solicitations from random sources',
      each(lambda: to_host(dst=solicited(HOST)) / ICMPv6ND_NS(tgt=HOST) / here()))
flood('the same, for others\' addresses',
      each(lambda: to_host(dst=solicited(HOST)) / ICMPv6ND_NS(tgt=somebody()) / here()))
dropped, _ = flood('the same, from afar', each(
    lambda: to_host(dst=solicited(HOST), hops=254) / ICMPv6ND_NS(tgt=HOST) / here()))
assert dropped['ndp-hop-limit'] == TIMES, dropped
bad = [lambda: ICMPv6ND_NS(tgt=HOST, code=1), lambda: ICMPv6ND_NS(tgt='ff02::1'),
       lambda: ICMPv6ND_NS(tgt=HOST) / Raw(bytes([1, 0, 2, 0, 0, 0, 0, 1])),
       lambda: ICMPv6ND_NS(tgt=HOST) / Raw(bytes([1, 9, 2, 0, 0, 0, 0, 1]))]
dropped, _ = flood('the same, malformed',
                   each(lambda: to_host(dst=solicited(HOST)) / chance.choice(bad)()))
assert dropped['ndp-malformed'] == TIMES, dropped
dropped, _ = flood('neighbour advertisements of strangers', each(
    lambda: to_host(dst='ff02::1') / ICMPv6ND_NA(tgt=somebody(), R=0, S=0, O=1) / there()))
assert dropped['ndp-unsolicited'] == TIMES, dropped
flood('neighbour advertisements of the kernel\'s address', each(
    lambda: to_host(near(), dst=chance.choice(['ff02::1', HOST])) / ICMPv6ND_NA(tgt=KERNEL, R=0, S=0, O=1) / there()))
dropped, _ = flood('neighbour advertisements of the host\'s address', each(
    lambda: to_host(near(), dst='ff02::1') / ICMPv6ND_NA(tgt=HOST, R=0, S=0, O=1) / there()))
assert dropped['ndp-conflict'] == TIMES, dropped
flood('router solicitations', each(lambda: to_host(near(), dst=chance.choice(['ff02::2', HOST])) / ICMPv6ND_RS() / here()))


def router():
    prefix = ICMPv6NDOptPrefixInfo(prefix='2001:db8:%x::' % chance.randrange(65536), prefixlen=64,
                                   validlifetime=9000, preferredlifetime=chance.choice([0, 9000]))
    said = ICMPv6ND_RA(routerlifetime=chance.choice([0, 1, 9000]), chlim=chance.choice([0, 64, 255]),
                       prf=chance.randrange(4))
    more = [ICMPv6NDOptMTU(mtu=chance.choice([0, 68, 1279, 1280, 1500, 9000])),
            ICMPv6NDOptRouteInfo(prefix='2001:db8:%x::' % chance.randrange(65536), plen=48, rtlifetime=900),
            ICMPv6NDOptRDNSS(dns=[somebody()], lifetime=900)]
    return to_host(near(), dst='ff02::1') / said / here() / prefix / chance.choice(more)


flood('router advertisements from random sources', each(router))
# As if to find room: prefixes that end at once, and routers that are none.
flood('router advertisements that end it all', each(
    lambda: to_host(near(), dst='ff02::1') / ICMPv6ND_RA(routerlifetime=0) / ICMPv6NDOptPrefixInfo(
        prefix='fd07::', prefixlen=64, validlifetime=0, preferredlifetime=0)))
dropped, _ = flood('redirects', each(
    lambda: to_host(near()) / ICMPv6ND_Redirect(tgt=near(), dst=chance.choice([KERNEL, somebody()])) / there()))
assert dropped.get('icmp-redirect-refused', 0) + dropped.get('ndp-malformed', 0) == TIMES, dropped
ends()
