//! Capture files and what is in them: read, dissected, told as text and as JSON.

use stack::wire::pcap::{Capture, Record};
use tapline::dissect::{Dissector, json, text};

/// Reads bytes as a capture file, and as one frame of the link type that their first byte names.
pub(crate) fn dissect(bytes: &[u8]) {
    read(bytes);
    let Some((kind, frame)) = bytes.split_first() else {
        return;
    };
    // Ethernet, NULL, raw, IPv4, IPv6, LOOP, Linux cooked, Frame Relay.
    let kinds = [1_u32, 0, 101, 228, 229, 108, 113, 276, 107, 999];
    let link_type = kinds[usize::from(*kind) % kinds.len()];
    let len = u32::try_from(frame.len()).unwrap_or(0);
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    for word in [0, 0, 65_535, link_type, 1, 2, len, len.saturating_mul(2)] {
        file.extend(word.to_le_bytes());
    }
    file.extend(frame);
    assert_eq!(read(&file), 1, "a well-formed file of one frame");
}

/// How many records were read.
fn read(file: &[u8]) -> usize {
    let Ok(capture) = Capture::parse(file) else {
        return 0;
    };
    let (mut told, mut dissector) = (0, Dissector::default());
    for (n, record) in capture.enumerate() {
        assert!(n <= file.len(), "more records than bytes");
        let Ok(record) = record else { continue };
        tell(&record, n as u64, &mut dissector);
        told += 1;
    }
    told
}

fn tell(record: &Record<'_>, n: u64, dissector: &mut Dissector) {
    record.comments().for_each(drop);
    let _ = record.direction();
    let mut out = String::new();
    text::write(&mut out, n, 0, record, dissector);
    assert!(
        out.trim_end().lines().count() <= 1,
        "more than a line: {out:?}"
    );
    out.clear();
    json::write(&mut out, n, record, dissector);
    let object: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(object.is_object());
}
