//! Says "congestion experienced" in an IP header, where the transport knows what it means.
//!
//! Read first: RFC 3168 §5 and §23.1; RFC 1624 §3 (the header checksum).

use crate::frame::{Frame, Head};
use crate::wire::{EtherType, checksum, ethernet, ipv6, vlan};

/// What the two bits say.
const CE: u8 = 0b11;

/// Marks a frame; `false` where its transport is not capable of ECN, or it is no IP.
//= RFC 3168 §5: only an ECN-capable packet is marked instead of dropped; one that is marked already
// stays so.
pub(super) fn mark(frame: &mut Frame) -> bool {
    let Some(ip) = ip_at(frame) else {
        return false;
    };
    let Some(header) = writable(frame, ip) else {
        return false;
    };
    match header.first().map(|first| first >> 4) {
        Some(4) => mark4(header).is_some(),
        Some(6) => mark6(header).is_some(),
        _ => false,
    }
}

fn mark4(header: &mut [u8]) -> Option<()> {
    let old = u16::from_be_bytes(*header.first_chunk()?);
    let tos = header.get_mut(1)?;
    if *tos & CE == 0 {
        return None;
    }
    *tos |= CE;
    let new = u16::from_be_bytes(*header.first_chunk()?);
    let field = header.get_mut(10..)?.first_chunk_mut::<2>()?;
    *field = checksum::update(u16::from_be_bytes(*field), old, new).to_be_bytes();
    Some(())
}

fn mark6(header: &mut [u8]) -> Option<()> {
    // The lower half of the traffic class is the upper half of the second byte.
    let byte = header.get_mut(1)?;
    if *byte >> 4 & CE == 0 {
        return None;
    }
    *byte |= CE << 4;
    Some(())
}

/// Where the IP header starts, if there is one whole.
fn ip_at(frame: &mut Frame) -> Option<usize> {
    let mut at = ethernet::HEADER_LEN;
    loop {
        let front = frame.pull_up(at);
        let ethertype = front.get(at - 2..at)?.first_chunk::<2>()?;
        match EtherType(u16::from_be_bytes(*ethertype)) {
            EtherType::IPV4 => return (frame.len() >= at + 20).then_some(at),
            EtherType::IPV6 => return (frame.len() >= at + ipv6::HEADER_LEN).then_some(at),
            tag if tag.is_vlan() && at < 4 * vlan::HEADER_LEN + ethernet::HEADER_LEN => {
                at += vlan::HEADER_LEN;
            }
            _ => return None,
        }
    }
}

/// The IP header's first bytes to change: of a frame whose bytes are shared, they are copied into
/// its head.
fn writable(frame: &mut Frame, ip: usize) -> Option<&mut [u8]> {
    // ECN and IPv4's checksum lie within the first twelve bytes.
    const NEEDED: usize = 12;
    let end = ip + NEEDED;
    if frame.head.len() < end {
        // The head is empty now, or else too short: then the frame is joined in its payload.
        let front = frame.pull_up(end).get(..end)?;
        let mut head = Head::default();
        head.push_front(end)?.copy_from_slice(front);
        frame.advance(end);
        frame.head = head;
    }
    frame.head.as_mut_slice().get_mut(ip..)
}
