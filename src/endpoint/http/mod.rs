//! HTTP/1.1: a server of a page, and a reader of answers.
//!
//! ```text
//!   server::Talk   bytes --httparse--> request --> page, N bytes, or an error --> send_bytes
//!   client::Reader bytes --httparse--> Head, then Body pieces, then End
//!   url::Url       http://10.7.0.2:80/path?query, and what a redirect makes of it
//! ```
//!
//! Read first: RFC 9110 §6, §9.3, §15; RFC 9112 §2 to §7 and §9.
//!
//! Promises: a head is at most [`MAX_HEAD`] bytes long with at most [`MAX_FIELDS`] fields, and
//! nothing else of a message is kept.
//!
//! Left out: requests with a body, ranges, conditions and compression; `Date`, since a program has
//! no wall clock (RFC 9110 §6.6.1: an origin server without a clock must not send it).

pub mod client;
pub mod server;
pub mod url;

/// Bytes of a head, at most; RFC 9112 §3 wants 8,000 for the request line alone.
pub const MAX_HEAD: usize = 16 << 10;
/// Fields of a head, at most.
pub const MAX_FIELDS: usize = 64;

/// Whether a comma-separated list has a token (RFC 9110 §5.6.1), whatever its case.
fn has_token(list: &[u8], token: &str) -> bool {
    let items = list.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    items
        .into_iter()
        .any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

/// A `Content-Length` (RFC 9110 §8.6): digits, or a list of the same number again and again.
fn length(value: &[u8]) -> Option<u64> {
    let mut all = value.split(|b| *b == b',').map(|item| {
        let item = item.trim_ascii();
        let digits = !item.is_empty() && item.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(item).ok().filter(|_| digits)?;
        text.parse::<u64>().ok()
    });
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_lengths() {
        assert!(has_token(b"keep-alive, Close", "close") && !has_token(b"closed", "close"));
        for (text, want) in [
            ("7", Some(7)),
            (" 7 , 7", Some(7)),
            ("7, 8", None),
            ("+7", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(length(text.as_bytes()), want, "{text}");
        }
    }
}
