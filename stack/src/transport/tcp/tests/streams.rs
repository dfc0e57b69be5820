//! Bytes in are bytes out, in order, and both ends close, whatever the wire does.

use super::pair::{Flow, Pair, Wire, mechanisms};
use crate::rng::Rng;
use crate::time::Duration;
use crate::transport::tcp::options::Buffer;
use crate::transport::tcp::{Options, State};

fn transfer(pair: &mut Pair, total: [u64; 2], limit: Duration) -> [Flow; 2] {
    let until = pair.now + limit;
    let mut flows = [Flow::default(), Flow::default()];
    loop {
        for (from, flow) in flows.iter_mut().enumerate() {
            flow.drive(pair, from, total[from], 3000);
        }
        if flows.iter().all(|f| f.finished) {
            return flows;
        }
        let more = pair.step(until);
        assert!(
            more,
            "stuck: {flows:?} {:#?}",
            pair.ends.each_ref().map(|e| e.status(pair.now))
        );
    }
}

#[test]
fn a_clean_wire_carries_a_stream_each_way() {
    let mut pair = Pair::new(1, Wire::clean(10), Options::default(), Options::default());
    pair.open();
    let flows = transfer(&mut pair, [1_000_000, 300_000], Duration::from_secs(60));
    assert_eq!([flows[0].read, flows[1].read], [1_000_000, 300_000]);
    let status = pair.ends[0].status(pair.now);
    assert_eq!((status.total_retrans, status.timeouts), (0, 0));
    pair.run(Duration::from_secs(130));
    assert_eq!(pair.ends.each_ref().map(|e| e.state()), [State::Closed; 2]);
    assert_eq!(pair.next(), None, "no timer is forgotten");
}

fn options(rng: &mut Rng) -> Options {
    let mechanisms = mechanisms(rng);
    Options {
        recv_buffer: Buffer {
            initial: 3000 + rng.below(100_000) as u32,
            max: 3000 + rng.below(1_000_000) as u32,
        },
        send_buffer: Buffer {
            initial: 2000 + rng.below(100_000) as u32,
            max: 1_000_000,
        },
        retries2: 100,
        syn_retries: 100,
        syn_ack_retries: 100,
        ..mechanisms
    }
}

#[test]
fn bad_wires_only_delay() {
    let seeds = std::env::var("TAPLINE_SEEDS").map_or(60, |s| s.parse().unwrap());
    for seed in 0..seeds {
        let mut rng = Rng::from_seed(seed ^ 0x5eed);
        let wire = Wire {
            delay: Duration::from_micros(rng.below(100_000)),
            rate: [0, 200_000, 2_000_000][rng.below(3) as usize],
            queue: 5 + rng.below(200) as usize,
            loss: [0, 1, 20, 100, 250][rng.below(5) as usize],
            duplicate: [0, 10, 200][rng.below(3) as usize],
            reorder: [0, 10, 300][rng.below(3) as usize],
            mtu: u16::MAX,
        };
        let (a, b) = (options(&mut rng), options(&mut rng));
        let mut pair = Pair::new(seed, wire, a, b);
        pair.max = [1, 1460, 20_000, 65_000][rng.below(4) as usize];
        pair.open();
        let total = [rng.below(400_000), rng.below(100_000)];
        let flows = transfer(&mut pair, total, Duration::from_secs(20_000));
        assert_eq!([flows[0].read, flows[1].read], total, "seed {seed}");
        pair.wire.loss = 0;
        pair.run(Duration::from_secs(2000));
        assert_eq!(
            pair.ends.each_ref().map(|e| e.state()),
            [State::Closed; 2],
            "seed {seed}"
        );
        assert_eq!(pair.next(), None, "seed {seed}: a timer was forgotten");
    }
}

#[test]
fn a_connection_is_small() {
    use crate::transport::tcp::Connection;
    std::eprintln!("{} bytes", size_of::<Connection>());
    assert!(size_of::<Connection>() <= 900);
}
