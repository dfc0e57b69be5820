//! Behaviour of a way, by part.

mod conserve;
mod fault;
mod flow;
mod queue;
mod rate;

use super::{Chance, Config, Sent, Way};
use crate::frame::Frame;
use crate::time::{Duration, Instant};
use std::vec::Vec;

pub(super) const KEY: [u64; 2] = [1, 2];

/// A UDP packet over IPv4 of `len` bytes with its Ethernet header; `tos` carries ECN.
pub(super) fn udp(src_port: u16, len: usize, tos: u8) -> Frame {
    let mut bytes = std::vec![0_u8; len];
    bytes[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    let total = u16::try_from(len - 14).unwrap().to_be_bytes();
    let ip = [
        0x45, tos, total[0], total[1], 0, 7, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    bytes[14..34].copy_from_slice(&ip);
    let check = crate::wire::checksum::of(&bytes[14..34]).to_be_bytes();
    bytes[24..26].copy_from_slice(&check);
    bytes[34..36].copy_from_slice(&src_port.to_be_bytes());
    bytes[37] = 7;
    Frame::copy_from(&bytes)
}

/// The same over IPv6.
pub(super) fn udp6(src_port: u16, len: usize, ecn: u8) -> Frame {
    let mut bytes = std::vec![0_u8; len];
    bytes[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd]);
    bytes[14] = 0x60;
    bytes[15] = ecn << 4;
    let payload = u16::try_from(len - 54).unwrap().to_be_bytes();
    bytes[18..20].copy_from_slice(&payload);
    bytes[20] = 17;
    bytes[22] = 0xfd;
    bytes[37] = 1;
    bytes[38] = 0xfd;
    bytes[53] = 2;
    bytes[54..56].copy_from_slice(&src_port.to_be_bytes());
    bytes[57] = 7;
    Frame::copy_from(&bytes)
}

pub(super) fn ms(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

pub(super) fn ns(ns: u64) -> Instant {
    Instant::from_nanos(ns)
}

pub(super) fn chance(text: &str) -> Chance {
    text.parse().unwrap()
}

pub(super) fn way(config: Config) -> Way {
    Way::new(config, KEY)
}

pub(super) fn queued(sent: Sent) {
    assert_eq!(sent, Sent::Queued);
}

/// Runs the way until nothing is on it, or until `end`: (arrival, tag).
pub(super) fn run(way: &mut Way, end: Instant) -> Vec<(Instant, u64)> {
    let mut out = Vec::new();
    while let Some(now) = way.poll_timeout().filter(|now| *now <= end) {
        way.handle_timeout(now);
        while let Some(arrival) = way.poll_arrival(now) {
            out.push((now, arrival.tag));
        }
        assert!(way.is_conserved());
        assert!(
            way.poll_timeout().is_none_or(|next| next > now),
            "no work is left at {now}"
        );
    }
    out
}
