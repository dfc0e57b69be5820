//! What is valid, who is answered, and what the cache makes of advertisements.

use super::*;
use crate::frame::Frame;
use crate::net::neighbor::{self, Action, Origin, State};
use crate::time::Duration;
use crate::wire::icmpv6;
use std::string::ToString as _;
use std::vec;
use std::vec::Vec;

const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEM: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn ours() -> Ipv6Addr {
    ip("fd07::2")
}

fn peer() -> Ipv6Addr {
    ip("fd07::1")
}

struct Us(Standing);

impl Local for Us {
    fn standing(&self, addr: Ipv6Addr) -> Option<Standing> {
        (addr == ours()).then_some(self.0)
    }
    fn is_on_link(&self, addr: Ipv6Addr) -> bool {
        addr.to_string().starts_with("fd07::")
    }
}

fn ndp() -> Ndp {
    Ndp::new(&Config::default(), Rng::from_seed(1))
}

fn cache() -> Cache {
    Cache::new(neighbor::Config::default(), Rng::from_seed(1))
}

fn ms(n: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(n)
}

fn heard(src: &str, dst: &str) -> Heard {
    Heard {
        src: ip(src),
        dst: ip(dst),
        hop_limit: 255,
        mac: THEM,
    }
}

fn around(out: &Outgoing) -> Heard {
    Heard {
        src: out.src,
        dst: out.dst,
        hop_limit: 255,
        mac: THEM,
    }
}

/// A message's bytes: type, code, eight or more bytes, options.
fn bytes(kind: u8, code: u8, fixed: usize, target: Option<&str>, tail: &[u8]) -> Vec<u8> {
    let mut all = vec![kind, code, 0, 0];
    all.resize(4 + fixed, 0);
    all.extend(target.map(|t| ip(t).octets()).into_iter().flatten());
    all.extend(tail);
    all
}

#[test]
fn what_is_valid() {
    let slla = [1, 1, 2, 0, 0, 0, 0, 2];
    let zero = [1, 0, 2, 0, 0, 0, 0, 2];
    let unknown = [99, 1, 2, 0, 0, 0, 0, 2];
    let sol = "ff02::1:ff00:2";
    let ns = |tail: &[u8]| bytes(135, 0, 4, Some("fd07::2"), tail);
    let na = |flags: u8, target: &str| {
        let mut all = bytes(136, 0, 4, Some(target), &[]);
        all[4] = flags;
        all
    };
    let redirect = |target: &str, dst: &str| {
        let mut all = bytes(137, 0, 4, Some(target), &[]);
        all.extend(ip(dst).octets());
        all
    };
    let bad = Some(DropReason::NdpMalformed);
    type Row = (Vec<u8>, &'static str, &'static str, Option<DropReason>);
    let table: Vec<Row> = vec![
        (ns(&slla), "fd07::1", sol, None),
        (ns(&slla), "fd07::1", "fd07::2", None),
        (ns(&[]), "::", sol, None),
        (ns(&unknown), "::", sol, None),
        (ns(&slla), "::", sol, bad),
        (ns(&[]), "::", "ff02::1", bad),
        (ns(&zero), "fd07::1", sol, bad),
        (ns(&slla[..4]), "fd07::1", sol, bad),
        (ns(&[])[..23].to_vec(), "fd07::1", sol, bad),
        (bytes(135, 1, 4, Some("fd07::2"), &[]), "fd07::1", sol, bad),
        (bytes(135, 0, 4, Some("ff02::2"), &[]), "fd07::1", sol, bad),
        (na(0x60, "fd07::1"), "fd07::1", "fd07::2", None),
        (na(0x20, "fd07::1"), "fd07::1", "ff02::1", None),
        (na(0x60, "fd07::1"), "fd07::1", "ff02::1", bad),
        (na(0, "ff02::1"), "fd07::1", "ff02::1", bad),
        (bytes(133, 0, 4, None, &slla), "fe80::1", "ff02::2", None),
        (bytes(133, 0, 4, None, &slla), "::", "ff02::2", bad),
        (bytes(133, 0, 3, None, &[]), "::", "ff02::2", bad),
        (bytes(134, 0, 12, None, &slla), "fe80::1", "ff02::1", None),
        (bytes(134, 0, 12, None, &slla), "fd07::1", "ff02::1", bad),
        (bytes(134, 0, 11, None, &[]), "fe80::1", "ff02::1", bad),
        (redirect("fe80::9", "fd09::1"), "fe80::1", "fd07::2", None),
        (redirect("fd09::1", "fd09::1"), "fe80::1", "fd07::2", None),
        (redirect("fd09::2", "fd09::1"), "fe80::1", "fd07::2", bad),
        (redirect("fe80::9", "ff09::1"), "fe80::1", "fd07::2", bad),
        (redirect("fe80::9", "fd09::1"), "fd07::1", "fd07::2", bad),
        (bytes(128, 0, 4, None, &[]), "fd07::1", "fd07::2", bad),
    ];
    for (message, src, dst, want) in table {
        let around = heard(src, dst);
        assert_eq!(
            check(&message, &around).err(),
            want,
            "{message:02x?} {src} {dst}"
        );
        let routed = Heard {
            hop_limit: 254,
            ..around
        };
        let far = check(&message, &routed).err();
        assert_eq!(far, Some(DropReason::NdpHopLimit));
        for n in 0..message.len() {
            let _ = check(&message[..n], &around);
        }
    }
    let probe = probe(ours(), &[7; 6]);
    let valid = check(&probe.message, &around(&probe)).unwrap();
    assert_eq!((valid.nonce, valid.source_mac), (Some(&[7; 6][..]), None));
}

#[test]
fn what_is_sent_is_valid_and_summed() {
    let flags = Flags::default();
    for out in [
        solicitation(US, ours(), peer(), None),
        solicitation(US, ours(), peer(), Some(THEM)),
        probe(ours(), &[1; 6]),
        advertisement(US, ours(), ALL_NODES, None, flags),
        router_solicitation(US, Some(ip("fe80::1"))),
        router_solicitation(US, None),
    ] {
        assert!(icmpv6::verify(out.src, out.dst, &out.message), "{out:?}");
        assert!(check(&out.message, &around(&out)).is_ok(), "{out:?}");
    }
    let all = solicitation(US, ours(), peer(), None);
    assert_eq!((all.dst, all.to), (ip("ff02::1:ff00:1"), None));
    let one = solicitation(US, ours(), peer(), Some(THEM));
    assert_eq!((one.dst, one.to), (peer(), Some(THEM)));
}

fn handle(
    ndp: &mut Ndp,
    cache: &mut Cache,
    standing: Standing,
    out: &Outgoing,
) -> Result<(), DropReason> {
    let around = around(out);
    let valid = check(&out.message, &around).unwrap();
    let told = ndp.handle_message(ms(0), &around, &valid, &Us(standing), cache);
    told.map(|gone| assert_eq!(gone, None))
}

/// The flags of the answer, whom it goes to, and at which station.
fn answer(ndp: &mut Ndp, router: bool) -> Option<(u8, Ipv6Addr, Option<MacAddr>)> {
    let out = ndp.poll_transmit(US, router)?;
    assert_eq!(
        (out.src, &out.message[8..24]),
        (ours(), &ours().octets()[..])
    );
    assert_eq!(&out.message[24..], [2, 1, 2, 0, 0, 0, 0, 1]);
    Some((out.message[4], out.dst, out.to))
}

#[test]
fn who_asks_is_answered_and_remembered() {
    use Standing::{Assigned, Optimistic, Tentative};
    let refused = Err(DropReason::NdpNotForUs);
    let asked = solicitation(THEM, peer(), ours(), None);
    let nobody = probe(ours(), &[1; 6]);
    let stranger = solicitation(THEM, ip("fd09::1"), ours(), None);
    let elsewhere = solicitation(THEM, peer(), ip("fd07::9"), None);
    for (out, standing, told, flags, known) in [
        (&asked, Assigned, Ok(()), Some(0x60), true),
        (&asked, Optimistic, Ok(()), Some(0x40), true),
        (&asked, Tentative, refused, None, false),
        (&nobody, Assigned, Ok(()), Some(0x20), false),
        (&stranger, Assigned, Ok(()), Some(0x60), false),
        (&elsewhere, Assigned, refused, None, false),
    ] {
        let (mut ndp, mut cache) = (ndp(), cache());
        let what = std::format!("{} {standing:?}", out.src);
        let got = handle(&mut ndp, &mut cache, standing, out);
        assert_eq!(got, told, "{what}");
        let said = answer(&mut ndp, false);
        assert_eq!(said.map(|s| s.0), flags, "{what}");
        if let Some((_, dst, to)) = said {
            let from_nobody = out.src.is_unspecified();
            let want = if from_nobody { ALL_NODES } else { out.src };
            assert_eq!((dst, to), (want, (!from_nobody).then_some(THEM)));
        }
        let entry = cache.neighbor(IpAddr::V6(out.src)).map(|n| n.state);
        assert_eq!(entry, known.then_some(State::Stale), "{what}");
    }
    let (mut ndp, mut cache) = (ndp(), cache());
    handle(&mut ndp, &mut cache, Assigned, &asked).unwrap();
    assert_eq!(answer(&mut ndp, true).unwrap().0, 0xe0, "a router's");
}

#[test]
fn answers_are_bounded() {
    let (mut ndp, mut cache) = (ndp(), cache());
    let (mut full, mut limited) = (0, 0);
    for n in 0..5000_u32 {
        let src = Ipv6Addr::from_bits(peer().to_bits() + u128::from(n));
        let out = solicitation(THEM, src, ours(), None);
        match handle(&mut ndp, &mut cache, Standing::Assigned, &out) {
            Ok(()) => {}
            Err(DropReason::ReplyQueueFull) => full += 1,
            Err(DropReason::NdpRateLimited) => limited += 1,
            other => panic!("{other:?}"),
        }
    }
    let answers = core::iter::from_fn(|| ndp.poll_transmit(US, false)).count();
    assert_eq!((answers, full, limited), (64, 1024 - 64, 5000 - 1024));
    assert_eq!(ndp.stats().limited, full + limited);
    assert_eq!(cache.len(), 1024);
}

/// The cache with the peer known in this state, at [`THEM`].
fn known(state: State) -> Cache {
    let mut cache = cache();
    let who = IpAddr::V6(peer());
    let parked = cache.resolve(ms(0), who, Frame::copy_from(b"hello"), Origin::Own);
    assert!(matches!(parked, neighbor::Resolution::Parked { .. }));
    assert!(matches!(
        cache.poll_transmit(ms(0)),
        Some(Action::Solicit { to: None, .. })
    ));
    if state == State::Incomplete {
        return cache;
    }
    let claim = match state {
        State::Reachable => Claim::Reply { overrides: true },
        _ => Claim::Request,
    };
    cache.handle_claim(ms(0), who, THEM, claim).unwrap();
    while cache.poll_transmit(ms(0)).is_some() {}
    cache
}

#[test]
fn what_advertisements_do() {
    use State::{Delay, Incomplete, Probe, Reachable, Stale};
    const R: u8 = 4;
    const S: u8 = 2;
    const O: u8 = 1;
    type Row = (State, u8, Option<MacAddr>, State, bool, bool);
    // State before, flags, target's link-layer address; state after, MAC kept, taken.
    let table: &[Row] = &[
        (Incomplete, S, Some(THEM), Reachable, true, true),
        (Incomplete, S | O, Some(THEM), Reachable, true, true),
        (Incomplete, O, Some(THEM), Delay, true, true),
        (Incomplete, S | O, None, Incomplete, true, false),
        (Reachable, 0, Some(THEM), Reachable, true, true),
        (Reachable, S, Some(OTHER), Stale, true, false),
        (Reachable, 0, Some(OTHER), Stale, true, false),
        // A protected neighbour is asked before another takes its place.
        (Reachable, O, Some(OTHER), Probe, true, false),
        (Reachable, S | O, Some(OTHER), Probe, true, false),
        (Reachable, R, None, Reachable, true, true),
        (Delay, S | O, Some(THEM), Reachable, true, true),
        (Delay, 0, Some(OTHER), Delay, true, false),
    ];
    for &(before, flags, mac, after, kept, taken) in table {
        let mut cache = known(before);
        let what = std::format!("{before:?} {flags:03b} {mac:?}");
        let message = NeighborAdvertisement {
            router: flags & R != 0,
            solicited: flags & S != 0,
            override_: flags & O != 0,
            reserved: 0,
            target: peer(),
            options: &[],
        };
        let told = handle_advertisement(ms(0), (&message, mac), &mut cache);
        assert_eq!(told.is_ok(), taken, "{what}");
        let entry = cache.neighbor(IpAddr::V6(peer())).unwrap();
        assert_eq!(entry.state, after, "{what}");
        assert!(entry.mac.is_none_or(|mac| (mac == THEM) == kept), "{what}");
        assert_eq!(entry.router, taken && flags & R != 0, "{what}");
    }
    // Nobody asked.
    let message = advertisement(THEM, peer(), ours(), None, Flags::default());
    let told = handle(&mut ndp(), &mut cache(), Standing::Assigned, &message);
    assert_eq!(told, Err(DropReason::NdpUnsolicited));
    // One of our own addresses is no neighbour.
    let message = advertisement(THEM, ours(), ALL_NODES, None, Flags::default());
    let told = handle(&mut ndp(), &mut cache(), Standing::Assigned, &message);
    assert_eq!(told, Err(DropReason::NdpNotForUs));
    // It was a router, and is none any more.
    let mut cache = known(Reachable);
    assert!(!cache.set_router(IpAddr::V6(peer()), true));
    assert!(cache.set_router(IpAddr::V6(peer()), false));
}
