//! The names and ports of services, and the characters that chargen sends.
//!
//! Read first: RFC 862, 863, 864.

use bytes::Bytes;
use serde::Deserialize;
use std::sync::LazyLock;

/// RFC 864's pattern: lines of 72 out of the 95 printing characters, each begun one further.
const LINE: usize = 72;
const PRINTABLE: usize = 95;
/// Times that the pattern is repeated in what is kept of it: one super-segment takes it whole.
const REPEATS: usize = 9;

/// What a host serves.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Port 7, UDP and TCP: what comes is sent back.
    Echo,
    /// Port 9, UDP and TCP: what comes is thrown away.
    Discard,
    /// Port 19: characters for every datagram, and on TCP without end.
    Chargen,
    /// Port 80, TCP: a page that says how the host is.
    Http,
    /// Port 5001, TCP: checks what a bulk sender sends.
    Sink,
    /// Port 5201, TCP: the server's end of iperf3.
    Iperf,
}

impl Service {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Echo,
        Self::Discard,
        Self::Chargen,
        Self::Http,
        Self::Sink,
        Self::Iperf,
    ];

    /// Its name in a file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Discard => "discard",
            Self::Chargen => "chargen",
            Self::Http => "http",
            Self::Sink => "sink",
            Self::Iperf => "iperf",
        }
    }

    /// Its well-known port.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Echo => 7,
            Self::Discard => 9,
            Self::Chargen => 19,
            Self::Http => 80,
            Self::Sink => 5001,
            Self::Iperf => 5201,
        }
    }

    /// Whether there is such a service on UDP as well.
    pub(super) const fn has_datagrams(self) -> bool {
        matches!(self, Self::Echo | Self::Discard | Self::Chargen)
    }
}

/// The pattern of RFC 864, which is the same for all: there may be ten thousand who send it.
pub(super) fn pattern() -> Bytes {
    static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
        let printable = (b' '..=b'~').cycle();
        let lines = (0..PRINTABLE * REPEATS).flat_map(|start| {
            let line = printable.clone().skip(start % PRINTABLE).take(LINE);
            line.chain(*b"\r\n")
        });
        lines.collect()
    });
    PATTERN.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_the_rfcs() {
        let bytes = pattern();
        assert_eq!(bytes.len(), (LINE + 2) * PRINTABLE * REPEATS);
        assert_eq!(
            bytes[..74],
            bytes[74 * PRINTABLE..][..74],
            "it begins again"
        );
        let lines: Vec<_> = bytes.split(|&b| b == b'\n').collect();
        assert!(lines[0].starts_with(b" !\"#$%&'()") && lines[0].len() == LINE + 1);
        assert!(lines[1].starts_with(b"!\"#") && lines[2].starts_with(b"\"#$"));
    }
}
