//! A frame in words, as `tapline dissect` says it.

use crate::dissect::{Dissector, Span, text};
use stack::frame::Frame;
use stack::wire::pcap::LinkType;

/// What a frame is, each by itself: a fragment is told as a fragment.
pub(super) fn phrase(frame: &Frame) -> String {
    let bytes = bytes(frame);
    let span = Span::whole(&bytes);
    text::phrase(LinkType::ETHERNET, span, &mut Dissector::default())
}

/// The same without its stations, where it has no addresses but those: for who shows the ends anyway.
pub(super) fn short_phrase(frame: &Frame) -> String {
    let whole = phrase(frame);
    match whole.split_once("  ") {
        Some((ends, rest)) if ends.matches(':').count() == 10 && ends.len() == 37 => {
            rest.to_owned()
        }
        _ => whole,
    }
}

/// A frame's bytes as on a wire, its checksum filled in.
pub(super) fn bytes(frame: &Frame) -> bytes::Bytes {
    let mut frame = frame.clone();
    frame.complete_checksum();
    frame.to_bytes()
}
