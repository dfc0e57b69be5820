//! Data in a SYN: taken, refused, lost, and from both sides at once.

use super::pair::{Flying, PATH, segment};
use crate::frame::Payload;
use crate::reason::DropReason;
use crate::time::{Duration, Instant};
use crate::transport::Readiness;
use crate::transport::tcp::fastopen::Plan;
use crate::transport::tcp::segment::Cookie;
use crate::transport::tcp::{Connection, Error, Options, Outcome, Segment, State, Why};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header};
use alloc::sync::Arc;
use std::vec;
use std::vec::Vec;

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const ISS: SeqNum = SeqNum(u32::MAX - 5);
const IRS: SeqNum = SeqNum(7000);

fn cookie() -> Cookie {
    Cookie::new(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap()
}

fn open(data: u16) -> Plan {
    let cookie = cookie();
    Plan::Open { cookie, data }
}

fn client(plan: Plan, data: &[u8], options: Options) -> Connection {
    let mut c = Connection::connect(NOW, Arc::new(options), ISS, 0, PATH);
    c.open_fast(plan);
    assert_eq!(c.send(NOW, data), Ok(data.len()));
    c
}

fn server(syn: &Flying) -> Connection {
    Connection::passive(NOW, Arc::default(), &syn.seg, IRS, 0, PATH)
}

/// What leaves now, in segments of the MSS.
fn sent(c: &mut Connection, now: Instant) -> Vec<(Flying, Option<Why>)> {
    let mut all = Vec::new();
    while let Some(out) = c.poll_transmit(now, 0) {
        assert!(out.payload.len() <= usize::from(out.mss));
        all.push((segment(&out, 0..out.payload.len()), out.why));
    }
    all
}

fn only(c: &mut Connection, now: Instant) -> Flying {
    let mut all = sent(c, now);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0).0
}

fn give(c: &mut Connection, now: Instant, flying: &Flying) {
    c.handle_segment(now, &flying.seg, flying.data.clone())
        .unwrap();
}

/// Lets timers run out until there is something to send, or it is over.
fn late(c: &mut Connection) -> Instant {
    loop {
        let at = c.poll_timeout().unwrap();
        c.handle_timeout(at);
        if c.has_output(at) || c.state() == State::Closed {
            return at;
        }
    }
}

fn read(c: &mut Connection) -> Vec<u8> {
    let mut room = vec![0; 9000];
    match c.recv(NOW, &mut room) {
        Ok(n) => room[..n].to_vec(),
        Err(Error::WouldBlock) => Vec::new(),
        Err(e) => panic!("{e:?}"),
    }
}

/// A SYN-ACK, or anything else of the peer's.
fn from_peer(flags: Flags, ack: SeqNum, cookie: Option<Cookie>) -> Flying {
    let header = Header {
        src_port: 2,
        dst_port: 1,
        seq: IRS,
        ack,
        flags,
        window: 20_000,
        checksum: 0,
        urgent: 0,
        options: &[],
    };
    let mut seg = Segment::new(&header, 0, 0, 1);
    seg.mss = Some(1000);
    seg.fast_open = cookie;
    let data = Payload::new();
    Flying { seg, data }
}

const SYN_ACK: Flags = Flags::from_bits(0x12);

fn answered(cookie: Option<Cookie>, works: Option<bool>) -> Option<Outcome> {
    let mss = Some(1000);
    Some(Outcome::Answered { cookie, mss, works })
}

#[test]
fn data_arrives_with_the_syn_and_the_answer_before_the_handshake_ends() {
    //= RFC 7413 §4.2.2
    let mut a = client(open(1460), b"GET /", Options::default());
    let syn = only(&mut a, NOW);
    assert_eq!(syn.seg.fast_open, Some(cookie()));
    assert_eq!((syn.seg.flags, syn.seg.len), (Flags::SYN, 5));
    let mut b = server(&syn);
    b.take_early(NOW, &syn.seg, syn.data).unwrap();
    assert!(b.take_ready().has(Readiness::READABLE));
    assert_eq!(read(&mut b), b"GET /");
    assert_eq!(b.state(), State::SynReceived);
    assert_eq!(b.send(NOW, &[7; 3000]), Ok(3000));
    b.shutdown(NOW);
    let mut out = sent(&mut b, NOW);
    assert!(
        out.len() == 4 && out.iter().all(|(_, why)| why.is_none()),
        "{out:?}"
    );
    let syn_ack = out.remove(0).0;
    assert_eq!(syn_ack.seg.flags, SYN_ACK);
    assert_eq!((syn_ack.seg.ack, syn_ack.seg.len), (ISS + 6, 0));
    assert_eq!(syn_ack.seg.fast_open, None, "the cookie is good yet");
    assert!(out[2].0.seg.has(Flags::FIN));
    assert!(!b.has_output(NOW));
    give(&mut a, NOW, &syn_ack);
    assert_eq!(a.state(), State::Established);
    assert_eq!(
        a.take_outcome(),
        Some(Outcome::Answered {
            cookie: None,
            mss: Some(1460),
            works: Some(true),
        })
    );
    assert_eq!(a.take_outcome(), None);
    for (data, _) in &out {
        give(&mut a, NOW, data);
    }
    assert_eq!(read(&mut a), [7; 3000]);
    for (ack, why) in sent(&mut a, NOW) {
        assert_eq!((ack.seg.len, why), (0, None), "nothing is sent again");
        give(&mut b, NOW, &ack);
    }
    assert_eq!(b.take_outcome(), Some(Outcome::Opened));
    assert_eq!([a.state(), b.state()], [State::CloseWait, State::FinWait2]);
    assert!(a.status(NOW).fast_open && b.status(NOW).fast_open);
    assert_eq!(b.status(NOW).total_retrans, 0);
}

#[test]
fn a_syn_holds_what_a_segment_holds_beside_its_options() {
    // MSS, SACK, timestamps, window scale and eight bytes of cookie are 32; as many as fit are
    // reckoned with.
    for (data, mss, want) in [
        (1460, None, 1420),
        (536, None, 496),
        (1460, Some(600), 560),
        (20, None, 0),
    ] {
        let options = Options {
            mss,
            ..Options::default()
        };
        let mut a = client(open(data), &[1; 5000], options);
        let out = a.poll_transmit(NOW, 60_000).unwrap();
        assert_eq!(out.options.as_bytes().len(), 32);
        assert_eq!(out.payload.len(), want, "{data} {mss:?}");
        assert!(sent(&mut a, NOW).is_empty(), "more waits for the answer");
    }
    // The longest cookie still fits beside all else.
    let long = Cookie::new(&[3; 16]).unwrap();
    let plan = Plan::Open {
        cookie: long,
        data: 1460,
    };
    let mut a = client(plan, &[1; 5000], Options::default());
    let syn = only(&mut a, NOW);
    assert_eq!((syn.seg.fast_open, syn.seg.len), (Some(long), 1420));
    assert!(syn.seg.timestamps.is_some() && syn.seg.wscale.is_some());
}

#[test]
fn what_was_not_taken_is_sent_at_once_and_the_window_stays() {
    let options = Options {
        timestamps: false,
        ..Options::default()
    };
    let mut a = client(open(1460), &[1; 3500], options);
    let syn = only(&mut a, NOW);
    assert_eq!(syn.seg.len, 1460 - 40);
    // The peer's segments are smaller than what was sent with the SYN.
    give(&mut a, NOW, &from_peer(SYN_ACK, ISS + 1, None));
    assert_eq!(a.take_outcome(), answered(None, Some(false)));
    let status = a.status(NOW);
    assert_eq!((status.cwnd, status.lost), (10 * 1000, 1420));
    let out = sent(&mut a, NOW);
    let again = |why: &Option<Why>| *why == Some(Why::FastOpen);
    let old: u32 = out
        .iter()
        .filter(|o| again(&o.1))
        .map(|o| o.0.seg.len)
        .sum();
    let new: u32 = out
        .iter()
        .filter(|o| !again(&o.1))
        .map(|o| o.0.seg.len)
        .sum();
    assert_eq!((old, new), (1420, 3500 - 1420));
    assert_eq!(out[0].0.seg.seq, ISS + 1);
    let all = Flying {
        seg: Segment {
            seq: IRS + 1,
            mss: None,
            ..from_peer(Flags::ACK, ISS + 3501, None).seg
        },
        data: Payload::new(),
    };
    give(&mut a, NOW, &all);
    let status = a.status(NOW);
    assert!(status.cwnd >= 10 * 1000 && status.recoveries == 0 && status.timeouts == 0);
    assert_eq!((status.unacked, status.not_sent), (0, 0));
}

#[test]
fn a_part_may_be_taken() {
    let mut a = client(open(1460), &[1; 1000], Options::default());
    only(&mut a, NOW);
    give(&mut a, NOW, &from_peer(SYN_ACK, ISS + 601, None));
    assert_eq!(a.take_outcome(), answered(None, Some(true)));
    let out = sent(&mut a, NOW);
    assert_eq!(out.len(), 1);
    assert_eq!((out[0].0.seg.seq, out[0].0.seg.len), (ISS + 601, 400));
}

#[test]
fn a_syn_that_is_sent_again_is_a_plain_one() {
    for (plan, len) in [(open(1460), 100), (Plan::Request, 0)] {
        let mut a = client(plan, &[1; 100], Options::default());
        let syn = only(&mut a, NOW);
        assert_eq!((syn.seg.fast_open.is_some(), syn.seg.len), (true, len));
        let later = late(&mut a);
        let syn = only(&mut a, later);
        assert_eq!((syn.seg.fast_open, syn.seg.len), (None, 0));
        assert_eq!(syn.seg.flags, Flags::SYN);
        // It is the one that was answered.
        let mut answer = from_peer(SYN_ACK, ISS + 1, None);
        answer.seg.mss = Some(1000);
        give(&mut a, later, &answer);
        assert_eq!(a.take_outcome(), answered(None, Some(false)));
        let data = sent(&mut a, later);
        assert_eq!(data.iter().map(|d| d.0.seg.len).sum::<u32>(), 100);
    }
}

#[test]
fn verdicts() {
    //= RFC 7413 §4.1.3.1
    // Plan, data, the answer's cookie, data taken, what is to be thought of the path.
    let new = Cookie::new(&[9; 8]);
    for (plan, data, gives, takes, works) in [
        (Plan::Request, 0, new, 0, Some(true)),
        (Plan::Request, 0, None, 0, Some(false)),
        (Plan::Request, 0, Cookie::new(&[]), 0, Some(false)),
        (open(1460), 10, None, 10, Some(true)),
        (open(1460), 10, new, 10, Some(true)),
        (open(1460), 10, new, 0, Some(true)),
        (open(1460), 10, None, 0, Some(false)),
        (open(1460), 0, None, 0, None),
    ] {
        let mut a = client(plan, &vec![1; data], Options::default());
        only(&mut a, NOW);
        give(&mut a, NOW, &from_peer(SYN_ACK, ISS + 1 + takes, gives));
        let cookie = gives.filter(|c| !c.as_slice().is_empty());
        assert_eq!(a.take_outcome(), answered(cookie, works));
        assert_eq!(a.status(NOW).fast_open, takes > 0);
    }
    let mut plain = client(Plan::Plain, b"x", Options::default());
    assert_eq!(only(&mut plain, NOW).seg.fast_open, None);
    give(&mut plain, NOW, &from_peer(SYN_ACK, ISS + 1, new));
    assert_eq!(plain.take_outcome(), None);
    // Silence, but no refusal, says something of Fast Open.
    let mut silent = client(open(1460), b"x", Options::default());
    while silent.state() != State::Closed {
        let at = late(&mut silent);
        sent(&mut silent, at);
    }
    assert_eq!(silent.take_outcome(), Some(Outcome::Failed));
    let mut refused = client(open(1460), b"x", Options::default());
    only(&mut refused, NOW);
    give(
        &mut refused,
        NOW,
        &from_peer(Flags::RST | Flags::ACK, ISS + 2, None),
    );
    assert_eq!(
        (refused.error(), refused.take_outcome()),
        (Some(Error::Refused), None)
    );
}

#[test]
fn a_server_answers_again_without_cookie_and_ends_what_never_was() {
    let mut a = client(open(1460), b"hello", Options::default());
    let syn = only(&mut a, NOW);
    let mut b = server(&syn);
    b.give_cookie(cookie());
    b.take_early(NOW, &syn.seg, syn.data.clone()).unwrap();
    b.send(NOW, b"answer").unwrap();
    let out = sent(&mut b, NOW);
    assert_eq!(out[0].0.seg.fast_open, Some(cookie()));
    assert_eq!((out.len(), out[1].0.seg.len), (2, 6));
    // The SYN again, with or without data: the SYN-ACK again, which takes all the same.
    for len in [5, 0] {
        let seg = Segment { len, ..syn.seg };
        let data = syn.data.slice(0, len as usize);
        assert_eq!(
            b.handle_segment(NOW, &seg, data),
            Err(DropReason::TcpDuplicate)
        );
        let again = only(&mut b, NOW).seg;
        assert_eq!(
            (again.flags, again.ack, again.fast_open),
            (SYN_ACK, ISS + 6, None)
        );
    }
    let later = late(&mut b);
    assert_eq!(later, NOW + Duration::from_secs(1), "no probe comes first");
    let again = only(&mut b, later).seg;
    assert_eq!((again.flags, again.len), (SYN_ACK, 0), "and no data");
    // Its data was lost, and is sent again once the handshake is over.
    let mut copy = b.clone();
    give(
        &mut a,
        later,
        &Flying {
            seg: again,
            data: Payload::new(),
        },
    );
    give(&mut copy, later, &only(&mut a, later));
    assert_eq!(copy.take_outcome(), Some(Outcome::Opened));
    let at = late(&mut copy);
    assert!(sent(&mut copy, at).iter().any(|(s, _)| s.seg.len == 6));
    // A reset, or silence, ends it; the user may know of it.
    let mut reset = b.clone();
    let rst = Segment {
        seq: ISS + 6,
        flags: Flags::RST,
        ..Segment::default()
    };
    reset.handle_segment(later, &rst, Payload::new()).unwrap();
    assert_eq!(reset.take_error(), Some(Error::Reset));
    assert_eq!(reset.take_outcome(), Some(Outcome::Abandoned));
    while b.state() != State::Closed {
        let at = late(&mut b);
        sent(&mut b, at);
    }
    assert_eq!(b.take_error(), Some(Error::TimedOut));
    assert_eq!(b.take_outcome(), Some(Outcome::Abandoned));
}

#[test]
fn data_that_is_not_taken_is_asked_for_again_by_the_syn_ack() {
    let mut a = client(open(1460), b"hello", Options::default());
    let syn = only(&mut a, NOW);
    let mut b = server(&syn);
    b.send(NOW, b"early").unwrap();
    for _ in 0..2 {
        let answer = only(&mut b, NOW).seg;
        assert_eq!((answer.flags, answer.ack), (SYN_ACK, ISS + 1));
        assert!(b.handle_segment(NOW, &syn.seg, syn.data.clone()).is_err());
    }
    assert_eq!(read(&mut b), b"");
    assert_eq!(b.take_outcome(), None);
}

#[test]
fn both_may_open_at_once() {
    let mut a = client(open(1460), b"from a", Options::default());
    let options = Arc::new(Options::default());
    let mut b = Connection::connect(NOW, options, IRS, 9, PATH);
    b.open_fast(open(1460));
    b.send(NOW, b"from b").unwrap();
    let syns = [only(&mut a, NOW), only(&mut b, NOW)];
    give(&mut a, NOW, &syns[1]);
    give(&mut b, NOW, &syns[0]);
    assert_eq!([a.state(), b.state()], [State::SynReceived; 2]);
    // No more than each other's SYN is acknowledged.
    let answers = [only(&mut a, NOW), only(&mut b, NOW)];
    assert_eq!((answers[0].seg.ack, answers[0].seg.len), (IRS + 1, 0));
    give(&mut a, NOW, &answers[1]);
    give(&mut b, NOW, &answers[0]);
    assert_eq!([a.state(), b.state()], [State::Established; 2]);
    let data = [sent(&mut a, NOW), sent(&mut b, NOW)];
    assert_eq!(data[0][0].0.seg.len, 6);
    assert_eq!(data[0][0].1, Some(Why::FastOpen));
    // What the SYNs carried was kept, so that what comes again is old, and is answered.
    for (to, data) in [(&mut b, &data[0]), (&mut a, &data[1])] {
        for (Flying { seg, data, .. }, _) in data {
            let again = to.handle_segment(NOW, seg, data.clone());
            assert!(matches!(again, Ok(()) | Err(DropReason::TcpOutOfWindow)));
        }
    }
    assert_eq!(
        (read(&mut a), read(&mut b)),
        (b"from b".into(), b"from a".into())
    );
    give(&mut b, NOW, &only(&mut a, NOW));
    give(&mut a, NOW, &only(&mut b, NOW));
    assert_eq!([a.status(NOW).unacked, b.status(NOW).unacked], [0; 2]);
    assert_eq!([a.take_outcome(), b.take_outcome()], [None; 2]);
}

#[test]
fn an_acknowledgment_that_may_answer_either_syn_times_nothing() {
    let options = Options {
        timestamps: false,
        ..Options::default()
    };
    let mut a = client(open(1460), b"data", options);
    only(&mut a, NOW);
    let later = late(&mut a);
    only(&mut a, later);
    // The first SYN arrived, and this is its SYN-ACK sent again, or not.
    give(&mut a, later, &from_peer(SYN_ACK, ISS + 5, None));
    assert_eq!(a.take_outcome(), answered(None, Some(true)));
    let status = a.status(later);
    assert_eq!((status.srtt, status.unacked), (None, 0));
    // As for a SYN that had no data.
    let mut plain = client(Plan::Plain, b"", a.options().as_ref().clone());
    only(&mut plain, NOW);
    let later = late(&mut plain);
    only(&mut plain, later);
    give(&mut plain, later, &from_peer(SYN_ACK, ISS + 1, None));
    assert_eq!(plain.status(later).srtt, None);
}
