//! Claims of IPv6 addresses: how long they take, what ends them, what does not.

use super::*;
use crate::net::ndp::check;
use crate::wire::ndp::solicited_node;
use std::vec;
use std::vec::Vec;

const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const THEM: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn ms(n: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(n)
}

fn addr() -> Ipv6Addr {
    "fd07::2".parse().unwrap()
}

fn dad(seed: u64, start: Start) -> Dad {
    let mut dad = Dad::new(Config::default(), Rng::from_seed(seed));
    assert!(dad.claim(ms(0), addr(), start, Policy::Keep));
    dad
}

fn run(dad: &mut Dad, until: Instant) -> Vec<(Instant, Outgoing)> {
    let mut log = vec![];
    while let Some(now) = dad.poll_timeout().filter(|at| *at <= until) {
        dad.handle_timeout(now);
        while let Some(out) = dad.poll_transmit(now, US, false) {
            log.push((now, out));
        }
    }
    log
}

/// What happens where a station hears this.
fn hear(dad: &mut Dad, now: Instant, out: &Outgoing, from: MacAddr) -> Result<(), DropReason> {
    let heard = Heard {
        src: out.src,
        dst: out.dst,
        hop_limit: 255,
        mac: from,
    };
    let valid = check(&out.message, &heard).unwrap();
    dad.handle_message(now, &heard, &valid, from == US)
}

fn held(target: Ipv6Addr, mac: MacAddr) -> Outgoing {
    ndp::advertisement(mac, target, ndp::ALL_NODES, None, Flags::default())
}

#[test]
fn a_probe_a_second_of_quiet_and_an_announcement() {
    for seed in 0..50 {
        let mut d = dad(seed, Start::Probe);
        let log = run(&mut d, ms(60_000));
        let [(first, probe), (second, told)] = &log[..] else {
            panic!("{log:?}");
        };
        assert!(*first < ms(1000));
        assert_eq!(*second, *first + Duration::from_secs(1));
        assert_eq!(probe.src, Ipv6Addr::UNSPECIFIED);
        assert_eq!(probe.dst, solicited_node(addr()));
        assert_eq!((told.src, told.dst), (addr(), ndp::ALL_ROUTERS));
        assert_eq!(d.poll_event(), Some(Event::Usable { addr: addr() }));
        assert_eq!(
            (d.state(addr()), d.poll_timeout()),
            (Some(State::Claimed), None)
        );
    }
    // Used meanwhile, it is probed for at once.
    let log = run(&mut dad(1, Start::Optimistic), ms(60_000));
    assert_eq!(log[0].0, ms(0));
    assert_eq!(log.len(), 2);
}

#[test]
fn what_ends_a_claim_and_what_does_not() {
    let other: Ipv6Addr = "fd07::3".parse().unwrap();
    let nonce = [9; NONCE_LEN];
    let resolving = ndp::solicitation(THEM, other, addr(), None);
    // As an optimistic address is.
    let answered = ndp::advertisement(US, addr(), other, None, Flags::default());
    let conflict = Err(DropReason::NdpConflict);
    for (what, from, want) in [
        (ndp::probe(addr(), &nonce), THEM, conflict),
        // Another station with our address on the link: the nonce is not ours.
        (ndp::probe(addr(), &nonce), US, conflict),
        (ndp::probe(other, &nonce), THEM, Ok(())),
        (resolving, THEM, Ok(())),
        (held(addr(), THEM), THEM, conflict),
        (held(addr(), US), US, conflict),
        (answered, US, Ok(())),
        (held(other, THEM), THEM, Ok(())),
    ] {
        for start in [Start::Probe, Start::Optimistic] {
            let mut d = dad(1, start);
            run(&mut d, ms(900));
            assert_eq!(hear(&mut d, ms(900), &what, from), want, "{what:?}");
            let gone = want.is_err().then_some(Event::ConflictDetected {
                addr: addr(),
                mac: from,
            });
            assert_eq!(d.poll_event(), gone);
            assert_eq!(d.is_probing(addr()), want.is_ok());
        }
    }
}

#[test]
fn an_address_in_use_is_defended_once_in_a_while() {
    let mut d = dad(1, Start::Announce);
    assert_eq!(d.poll_event(), Some(Event::Usable { addr: addr() }));
    assert_eq!(
        d.poll_transmit(ms(0), US, false).unwrap().dst,
        ndp::ALL_ROUTERS
    );
    // Another's probe is answered by `ndp`, and no conflict.
    let probe = ndp::probe(addr(), &[1; NONCE_LEN]);
    assert_eq!(hear(&mut d, ms(5), &probe, THEM), Ok(()));
    for n in 0..100 {
        let heard = hear(&mut d, ms(10 + n), &held(addr(), THEM), THEM);
        assert_eq!(heard, Err(DropReason::NdpConflict));
    }
    let told = d.poll_transmit(ms(200), US, true).unwrap();
    assert_eq!((told.src, told.dst), (addr(), ndp::ALL_NODES));
    assert_eq!(told.message[4], 0xa0, "a router's, and it overrides");
    assert_eq!(d.poll_transmit(ms(200), US, true), None);
    assert!(matches!(d.poll_event(), Some(Event::Defended { .. })));
    assert_eq!((d.poll_event(), d.stats().claims.conflicts), (None, 100));
}

#[test]
fn a_probe_that_comes_back_is_sent_again_and_ends_nothing() {
    let mut d = dad(1, Start::Probe);
    let log = run(&mut d, ms(999));
    let [(at, probe)] = &log[..] else {
        panic!("{log:?}");
    };
    // As a loop on the link shows it: from a station that is not ours.
    let looped = hear(&mut d, *at, probe, THEM);
    assert_eq!(looped, Err(DropReason::NdpLooped));
    let log = run(&mut d, ms(60_000));
    let probes: Vec<_> = log
        .iter()
        .filter(|(_, out)| out.src.is_unspecified())
        .collect();
    assert_eq!((probes.len(), log.len()), (3, 4), "RFC 7527 §4.1");
    assert!(probes.iter().all(|(_, out)| out.message != probe.message));
    assert_eq!(d.poll_event(), Some(Event::Usable { addr: addr() }));
    assert_eq!(d.stats().looped, 1);
    // A nonce of ours in a probe for another address of ours tells the same.
    assert_eq!(
        hear(&mut d, ms(60_000), probe, THEM),
        Err(DropReason::NdpLooped)
    );
}

#[test]
fn two_that_begin_together_both_give_up() {
    for seed in 0..100 {
        let mut pair = [dad(seed, Start::Probe), dad(seed + 1000, Start::Probe)];
        let macs = [US, THEM];
        for t in 0..3000 {
            for from in 0..2 {
                pair[from].handle_timeout(ms(t));
                while let Some(out) = pair[from].poll_transmit(ms(t), macs[from], false) {
                    let heard = Heard {
                        src: out.src,
                        dst: out.dst,
                        hop_limit: 255,
                        mac: macs[from],
                    };
                    let valid = check(&out.message, &heard).unwrap();
                    let _ = pair[1 - from].handle_message(ms(t), &heard, &valid, false);
                }
            }
        }
        // RFC 4862 §5.4.3: who has not probed yet gives up first, and then leaves it to the other.
        let usable = pair.iter().filter(|d| d.state(addr()).is_some()).count();
        assert!(usable <= 1, "{seed}");
    }
}
