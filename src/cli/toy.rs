//! Stands in for the host until it is here: answers ARP and ICMP echo, and nothing else.

use stack::frame::Frame;
use stack::machine::{Consumer, Fate, Machine, Port};
use stack::reason::DropReason;
use stack::time::Instant;
use stack::wire::{EtherType, MacAddr, Protocol, Reader, checksum};
use std::collections::VecDeque;
use std::net::Ipv4Addr;

/// One station with one address on each port.
#[derive(Clone, Debug)]
pub struct Toy {
    stations: Vec<(MacAddr, Ipv4Addr)>,
    out: Vec<VecDeque<Frame>>,
}

impl Toy {
    /// A station per port.
    #[must_use]
    pub fn new(stations: Vec<(MacAddr, Ipv4Addr)>) -> Self {
        let out = vec![VecDeque::new(); stations.len()];
        Self { stations, out }
    }

    fn answer(&self, port: usize, bytes: &[u8]) -> Option<Vec<u8>> {
        let (mac, addr) = *self.stations.get(port)?;
        let mut r = Reader::new(bytes);
        let _dst: [u8; 6] = r.array("").ok()?;
        let src: [u8; 6] = r.array("").ok()?;
        let kind = EtherType(r.u16("").ok()?);
        let mut out = bytes.to_vec();
        out[0..6].copy_from_slice(&src);
        out[6..12].copy_from_slice(&mac.0);
        if kind == EtherType::ARP && bytes.len() >= 42 && bytes[38..42] == addr.octets() {
            out[21] = 2;
            out[22..28].copy_from_slice(&mac.0);
            out[28..32].copy_from_slice(&addr.octets());
            out[32..42].copy_from_slice(&bytes[22..32]);
            return Some(out);
        }
        if kind != EtherType::IPV4 || bytes.len() < 42 || bytes[14] != 0x45 {
            return None;
        }
        let echo = bytes[23] == Protocol::ICMP.0 && bytes[34] == 8;
        if !echo || bytes[30..34] != addr.octets() {
            return None;
        }
        out[26..30].copy_from_slice(&bytes[30..34]);
        out[30..34].copy_from_slice(&bytes[26..30]);
        out[34..38].copy_from_slice(&[0; 4]);
        let len = usize::from(u16::from_be_bytes([bytes[16], bytes[17]])) + 14;
        let sum = checksum::of(out.get(34..len)?);
        out[36..38].copy_from_slice(&sum.to_be_bytes());
        Some(out)
    }
}

impl Machine for Toy {
    fn handle_frame(&mut self, _: Instant, port: Port, frame: Frame) -> Fate {
        let i = usize::from(port.0);
        match self.answer(i, &frame.to_bytes()) {
            Some(reply) => {
                self.out[i].push_back(Frame::from_bytes(reply.into()));
                Fate::Delivered(Consumer::Icmp)
            }
            None => Fate::Dropped(DropReason::EtherTypeUnknown),
        }
    }
    fn poll_transmit(&mut self, _: Instant, port: Port) -> Option<Frame> {
        self.out.get_mut(usize::from(port.0))?.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    fn handle_timeout(&mut self, _: Instant) {}
}
