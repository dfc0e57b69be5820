//! Reads the answer to a request: its head, its body piece by piece, its end.
//!
//! ```text
//!   push(bytes), finish() --> [ status line, fields ] [ body: by length, in chunks, or to the end ]
//!   poll() -->                  Got::Head               Got::Body ..                        Got::End
//! ```
//!
//! Read first: RFC 9112 §4, §6.3 (whose rules, in their order, say how long a body is), §7.1.
//!
//! Promises: pieces of a body are references into what was pushed; of a head or a chunk's size
//! line no more than [`MAX_HEAD`] bytes are kept.

use super::super::count;
use super::{MAX_FIELDS, MAX_HEAD, has_token, length};
use bytes::{Buf as _, Bytes};
use httparse::Status;
use std::fmt;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The head.
    Head(Head),
    /// Some of the body.
    Body(Bytes),
    /// There is no more.
    End,
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Such as 200.
    pub status: u16,
    /// What the server says of it.
    pub reason: String,
    /// How long the body is, where it is known.
    pub length: Option<u64>,
    /// Where else to look.
    pub location: Option<String>,
    /// What the body is.
    pub kind: Option<String>,
}

/// Why an answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is not HTTP/1.
    NotHttp,
    /// Its head is too long.
    TooLong,
    /// Its length is not to be understood (RFC 9112 §6.3).
    Length,
    /// A chunk is not one.
    Chunk,
    /// It ended in the middle.
    Cut,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "the answer is not HTTP/1",
            Self::TooLong => "the answer's head is too long",
            Self::Length => "the answer's length makes no sense",
            Self::Chunk => "a chunk of the answer makes no sense",
            Self::Cut => "the answer was cut off",
        })
    }
}

impl std::error::Error for Wrong {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes more.
    Counted(u64),
    /// A chunk's size line comes.
    Size,
    /// So much more of a chunk.
    Chunk(u64),
    /// The line end after a chunk.
    After,
    /// Fields after the last chunk.
    Trailer,
    /// Until the connection ends.
    ToEnd,
    Done,
    Told,
}

/// The reader of one answer.
#[derive(Clone, Debug)]
pub struct Reader {
    input: Bytes,
    state: State,
    /// It answers a HEAD: there is no body.
    headless: bool,
    ended: bool,
    trailer: usize,
}

impl Reader {
    /// Of the answer to a GET; to a HEAD, where `head` is set.
    #[must_use]
    pub const fn new(head: bool) -> Self {
        Self {
            input: Bytes::new(),
            state: State::Head,
            headless: head,
            ended: false,
            trailer: 0,
        }
    }

    /// Takes what came; [`poll`](Self::poll) must have said before that it has all it can use.
    pub fn push(&mut self, bytes: Bytes) {
        self.input = match self.input.is_empty() {
            true => bytes,
            false => [&self.input[..], &bytes[..]].concat().into(),
        };
    }

    /// The connection has ended.
    pub const fn finish(&mut self) {
        self.ended = true;
    }

    /// What is next; `None`: more must come.
    ///
    /// # Errors
    /// Why there will be nothing more.
    pub fn poll(&mut self) -> Result<Option<Got>, Wrong> {
        loop {
            match self.state {
                State::Head => {
                    let Some((head, used, state)) = self.head()? else {
                        return self.wait();
                    };
                    self.input.advance(used);
                    // RFC 9110 §15.2: an interim answer; the real one follows.
                    if head.status < 200 {
                        continue;
                    }
                    self.state = state;
                    return Ok(Some(Got::Head(head)));
                }
                State::Counted(0) | State::Done => self.state = State::Done,
                State::Counted(left) => return self.body(left, State::Counted),
                State::Chunk(0) => self.state = State::After,
                State::Chunk(left) => return self.body(left, State::Chunk),
                State::ToEnd if self.input.is_empty() && self.ended => self.state = State::Done,
                State::ToEnd => return self.body(u64::MAX, |_| State::ToEnd),
                State::Size => {
                    let Some(size) = self.size()? else {
                        return self.wait();
                    };
                    self.state = match size {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                }
                State::After | State::Trailer => {
                    let Some(empty) = self.line()? else {
                        return self.wait();
                    };
                    self.state = match (self.state, empty) {
                        (State::After, true) => State::Size,
                        (State::After, false) => return Err(Wrong::Chunk),
                        (_, true) => State::Done,
                        (state, false) => state,
                    };
                }
                State::Told => return Ok(None),
            }
            if self.state == State::Done {
                self.state = State::Told;
                return Ok(Some(Got::End));
            }
        }
    }

    /// More must come; which it does not after the end.
    fn wait(&self) -> Result<Option<Got>, Wrong> {
        match self.ended {
            true => Err(Wrong::Cut),
            false => Ok(None),
        }
    }

    fn body(&mut self, left: u64, then: fn(u64) -> State) -> Result<Option<Got>, Wrong> {
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = self.input.split_to(most.min(self.input.len()));
        if piece.is_empty() {
            return self.wait();
        }
        self.state = then(left.saturating_sub(count(piece.len())));
        Ok(Some(Got::Body(piece)))
    }

    /// The head, its length, and what follows it.
    fn head(&self) -> Result<Option<(Head, usize, State)>, Wrong> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        //= RFC 9112 §5.2: a user agent reads what is folded.
        let mut reading = httparse::ParserConfig::default();
        reading.allow_obsolete_multiline_headers_in_responses(true);
        let used = match reading.parse_response(&mut answer, &self.input) {
            Ok(Status::Complete(used)) => used,
            Ok(Status::Partial) if self.input.len() > MAX_HEAD => return Err(Wrong::TooLong),
            Ok(Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Wrong::TooLong),
            Err(_) => return Err(Wrong::NotHttp),
        };
        let status = answer.code.ok_or(Wrong::NotHttp)?;
        let (mut chunked, mut coded, mut sized) = (false, false, None);
        let (mut location, mut kind) = (None, None);
        let text = |value: &[u8]| String::from_utf8_lossy(value).replace(['\r', '\n'], " ");
        for field in answer.headers.iter() {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("transfer-encoding") {
                coded = true;
                chunked |= has_token(field.value, "chunked");
            } else if is("content-length") {
                let n = length(field.value).ok_or(Wrong::Length)?;
                if sized.replace(n).is_some_and(|other| other != n) {
                    return Err(Wrong::Length);
                }
            } else if is("location") {
                location = Some(text(field.value));
            } else if is("content-type") {
                kind = Some(text(field.value));
            }
        }
        let bodiless = self.headless || matches!(status, 204 | 304);
        //= RFC 9112 §6.3: the rules in their order; a Transfer-Encoding overrides any length.
        let state = match sized {
            _ if bodiless => State::Done,
            _ if chunked => State::Size,
            _ if coded => State::ToEnd,
            Some(n) => State::Counted(n),
            None => State::ToEnd,
        };
        let head = Head {
            status,
            reason: answer.reason.unwrap_or_default().to_owned(),
            length: sized.filter(|_| !coded),
            location,
            kind,
        };
        Ok(Some((head, used, state)))
    }

    /// A chunk's size (RFC 9112 §7.1), its line eaten.
    fn size(&mut self) -> Result<Option<u64>, Wrong> {
        match httparse::parse_chunk_size(&self.input) {
            Ok(Status::Complete((used, size))) => {
                self.input.advance(used);
                Ok(Some(size))
            }
            Ok(Status::Partial) if self.input.len() > MAX_HEAD => Err(Wrong::Chunk),
            Ok(Status::Partial) => Ok(None),
            Err(_) => Err(Wrong::Chunk),
        }
    }

    /// Eats a line; whether it was empty.
    fn line(&mut self) -> Result<Option<bool>, Wrong> {
        let Some(at) = self.input.iter().position(|b| *b == b'\n') else {
            return match self.input.len() > MAX_HEAD {
                true => Err(Wrong::Chunk),
                false => Ok(None),
            };
        };
        let line = self.input.split_to(at + 1);
        self.trailer += line.len();
        if self.state == State::After {
            self.trailer = 0;
        }
        match self.trailer > MAX_HEAD {
            true => Err(Wrong::TooLong),
            false => Ok(Some(line.trim_ascii().is_empty())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, the body and how it ended, with the text pushed in pieces of that size.
    fn read(text: &str, piece: usize) -> (u16, String, Option<Wrong>) {
        let mut reader = Reader::new(false);
        let (mut status, mut body) = (0, Vec::new());
        let mut chunks = text.as_bytes().chunks(piece);
        loop {
            match reader.poll() {
                Ok(Some(Got::Head(head))) => status = head.status,
                Ok(Some(Got::Body(piece))) => body.extend_from_slice(&piece),
                Ok(Some(Got::End)) => return (status, String::from_utf8(body).unwrap(), None),
                Ok(None) => match chunks.next() {
                    Some(chunk) => reader.push(Bytes::copy_from_slice(chunk)),
                    None => reader.finish(),
                },
                Err(wrong) => return (status, String::from_utf8(body).unwrap(), Some(wrong)),
            }
        }
    }

    #[test]
    fn bodies_by_length_by_chunks_and_to_the_end() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n";
        for (text, want) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhellomore".to_owned(),
                (200, "hello", None),
            ),
            (
                "HTTP/1.0 200 OK\r\n\r\nhello".to_owned(),
                (200, "hello", None),
            ),
            (
                format!("{chunked}5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n"),
                (200, "hello!", None),
            ),
            (
                format!("{chunked}5\r\nhello\r\n"),
                (200, "hello", Some(Wrong::Cut)),
            ),
            (
                format!("{chunked}5\r\nhelloo\r\n"),
                (200, "hello", Some(Wrong::Chunk)),
            ),
            (format!("{chunked}x\r\n"), (200, "", Some(Wrong::Chunk))),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n".to_owned(),
                (204, "", None),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell".to_owned(),
                (200, "hell", Some(Wrong::Cut)),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".to_owned(),
                (0, "", Some(Wrong::Length)),
            ),
            (
                "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
                (200, "hello", None),
            ),
            (
                "SSH-2.0-OpenSSH\r\n".to_owned(),
                (0, "", Some(Wrong::NotHttp)),
            ),
        ] {
            for piece in [1, 7, 1000] {
                let (status, body, wrong) = read(&text, piece);
                assert_eq!((status, body.as_str(), wrong), want, "{piece}: {text:?}");
            }
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let text = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(2 * MAX_HEAD));
        assert_eq!(read(&text, 1000).2, Some(Wrong::TooLong));
    }
}
