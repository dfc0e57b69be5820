//! What it costs to cut a super-frame to segments, and to join them again.
//!
//! ```text
//!   64 KiB of TCP, headers and data apart --Cutter--> 45 frames of 1460 bytes, checksums right
//! ```
//!
//! `cargo bench -p tapline-stack --bench cut` prints nanoseconds a piece as medians of rounds that
//! are taken in turn, beside the checksum of the same bytes alone, which is the floor: a piece's
//! checksum must be computed by somebody.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on shall stop"
)]

use stack::frame::{Checksum, Frame, Gso, GsoKind, Offload};
use stack::link::offload::{self, Joiner};
use stack::wire::checksum;
use stack::wire::seq::SeqNum;
use stack::wire::{EtherType, MacAddr, Protocol, Writer, ethernet, ipv4, tcp};
use std::hint::black_box;
use std::time::{Duration, Instant};

const SIZE: u16 = 1460;
const PIECES: u16 = 44;
const ROUNDS: usize = 21;
const ROUND: Duration = Duration::from_millis(20);

/// The headers in the head, the data in so many chunks.
fn super_frame(chunks: usize) -> Frame {
    let len = SIZE * PIECES;
    let mut room = [0; 66];
    let mut w = Writer::new(&mut room);
    let link = ethernet::Header {
        dst: MacAddr([2, 0, 0, 0, 0, 2]),
        src: MacAddr([2, 0, 0, 0, 0, 1]),
        ethertype: EtherType::IPV4,
    };
    link.emit(&mut w).unwrap();
    let ip = ipv4::Header {
        dscp: 0,
        ecn: 0,
        total_len: 52 + len,
        ident: 7,
        reserved_flag: false,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: Protocol::TCP,
        checksum: 0,
        src: [10, 7, 0, 1].into(),
        dst: [10, 7, 0, 2].into(),
        options: &[],
    };
    ip.with_checksum().emit(&mut w).unwrap();
    let segment = tcp::Header {
        src_port: 4000,
        dst_port: 80,
        seq: SeqNum(1),
        ack: SeqNum(1),
        flags: tcp::Flags::ACK | tcp::Flags::PSH,
        window: 500,
        checksum: 0,
        urgent: 0,
        options: &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
    };
    segment.emit(&mut w).unwrap();
    let mut frame = Frame::default();
    frame.head.push_front(66).unwrap().copy_from_slice(&room);
    let data = vec![0x5a; usize::from(len)];
    for chunk in data.chunks(data.len().div_ceil(chunks)) {
        frame.payload.push(bytes::Bytes::copy_from_slice(chunk));
    }
    frame.offload = Offload {
        gso: Some(Gso {
            kind: GsoKind::Tcp4,
            size: SIZE,
        }),
        checksum: Checksum::Partial {
            start: 34,
            offset: 16,
        },
    };
    frame
}

/// Nanoseconds a piece in one round.
fn time(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut done = 0_u32;
    while start.elapsed() < ROUND {
        for _ in 0..16 {
            work();
        }
        done += 16;
    }
    let pieces = f64::from(done) * f64::from(PIECES);
    start.elapsed().as_secs_f64() * 1e9 / pieces
}

fn main() {
    let whole = super_frame(1);
    let chunked = super_frame(16);
    let data = whole.payload.to_bytes();
    // As a device hands them over: each in one piece, its checksum looked at or not.
    let mut segments = Vec::new();
    offload::cut(whole.clone(), false, |piece| {
        segments.push(Frame::from_bytes(piece.to_bytes()));
    });
    let mut verified = segments.clone();
    for segment in &mut verified {
        segment.offload.checksum = Checksum::Verified;
    }
    let mut figures = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        figures[0].push(time(|| {
            for piece in data.chunks(usize::from(SIZE)) {
                black_box(checksum::of(black_box(piece)));
            }
        }));
        for (i, frame) in [&whole, &chunked].into_iter().enumerate() {
            figures[1 + i].push(time(|| {
                offload::cut(black_box(frame.clone()), false, |piece| {
                    black_box(&piece);
                });
            }));
        }
        for (i, segments) in [&segments, &verified].into_iter().enumerate() {
            figures[3 + i].push(time(|| {
                let mut joiner = Joiner::new(false);
                for segment in segments {
                    joiner.push(black_box(&mut segment.clone()));
                }
                joiner.flush();
                while let Some(frame) = joiner.pop() {
                    black_box(&frame);
                }
            }));
        }
    }
    let medians = figures.map(|mut figure| {
        figure.sort_by(f64::total_cmp);
        figure[figure.len() / 2]
    });
    let names = [
        "checksum alone",
        "cut, one chunk",
        "cut, 16 chunks",
        "joined",
        "joined, verified",
    ];
    for (name, ns) in names.into_iter().zip(medians) {
        println!(
            "{name:16} {ns:6.1} ns a piece, {:.2} of the checksum",
            ns / medians[0]
        );
    }
}
