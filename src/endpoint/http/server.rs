//! The server's side of one HTTP connection: requests in, answers out, one after another.
//!
//! ```text
//!            request           answer handed over
//!   Reading --------> (output) ------------------> Reading      pipelined requests wait unread
//!      | bad, too long, too slow, or "close"
//!      v                  FIN           peer's FIN, 64 KiB or 2 s
//!   Closing (output) -----------> Draining -----------> over
//! ```
//!
//! Read first: RFC 9112 §3, §6, §9.3 (persistence), §9.6 (tear-down).
//!
//! Promises: no request is looked at while an answer waits, so what a client can make us keep is
//! one head and one answer; a request must be whole ten seconds after it began, an answer must move
//! every thirty, and after a minute without a request the connection is closed. A page is rendered
//! once a second at most, and sent by reference.

use super::super::count;
use super::super::service::pattern;
use super::super::talk::{Stats, Turn, consume, stuck};
use super::{MAX_FIELDS, MAX_HEAD, has_token, length};
use bytes::Bytes;
use httparse::Status;
use stack::host::{Host, TcpHandle};
use stack::time::{Duration, Instant};
use std::collections::VecDeque;
use std::fmt::Write as _;

/// From a request's first byte to its last.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Without a request.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Without room for an answer.
const STALL: Duration = Duration::from_secs(30);
/// For the client to read our last words.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes of a client that talks on meanwhile.
const MAX_DRAINED: usize = 64 << 10;
/// How old a page may be.
const PAGE_AGE: Duration = Duration::from_secs(1);
/// The most that `/bytes/N` gives: more than anybody waits for.
const MAX_BYTES: u64 = 1 << 50;

/// One connection.
#[derive(Clone, Debug)]
pub(in super::super) struct Talk {
    /// Of a request that is not whole.
    input: Bytes,
    output: VecDeque<Part>,
    state: State,
    /// When what is waited for was begun: the request, the silence, the answer's last step.
    since: Instant,
    /// The peer has finished; what it asked before is still answered.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Closing,
    Draining { left: usize },
}

#[derive(Clone, Debug)]
enum Part {
    Bytes(Bytes),
    Pattern { left: u64, at: usize },
}

/// What a request is answered with.
struct Answer {
    status: u16,
    reason: &'static str,
    kind: &'static str,
    body: Part,
    close: bool,
}

/// A request, as far as it matters.
struct Request {
    used: usize,
    get: bool,
    head: bool,
    path: Option<String>,
    close: bool,
    /// HTTP/1.0: that the connection stays must be said.
    old: bool,
    bad: Option<&'static str>,
}

enum Parsed {
    Partial,
    Request(Request),
    Bad,
}

impl Talk {
    pub(in super::super) fn new(now: Instant) -> Self {
        Self {
            input: Bytes::new(),
            output: VecDeque::new(),
            state: State::Reading,
            since: now,
            ended: false,
        }
    }

    /// When patience ends.
    pub(in super::super) fn deadline(&self) -> Instant {
        let patience = match self.state {
            _ if !self.output.is_empty() => STALL,
            State::Reading if self.input.is_empty() => KEEP_ALIVE,
            State::Reading => REQUEST_TIME,
            State::Closing | State::Draining { .. } => LINGER,
        };
        self.since + patience
    }

    /// Patience has ended; whether the client is still to be told so.
    pub(in super::super) fn expire(&mut self, now: Instant) -> bool {
        let begun = !self.input.is_empty() && self.state == State::Reading;
        if begun && self.output.is_empty() {
            self.since = now;
            self.answer(&refusal(408, "Request Timeout"), false, false);
        }
        begun
    }

    pub(in super::super) fn turn(
        &mut self,
        now: Instant,
        host: &mut Host,
        handle: TcpHandle,
        page: &mut Page,
        stats: &mut Stats,
    ) -> Turn {
        loop {
            if let Some(turn) = self.send(now, host, handle, stats) {
                return turn;
            }
            match &mut self.state {
                State::Closing if self.ended => return Turn::Over,
                State::Closing => {
                    //= RFC 9112 §9.6: close in stages, or the reset for what the client still
                    // sends could erase our last answer before it is read.
                    host.tcp_shutdown(now, handle);
                    self.since = now;
                    self.state = State::Draining { left: MAX_DRAINED };
                }
                State::Draining { left } => match host.tcp_recv_bytes(now, handle, MAX_DRAINED) {
                    Ok(piece) if piece.is_empty() => return Turn::Over,
                    Ok(piece) if piece.len() > *left => return Turn::Broken,
                    Ok(piece) => *left -= piece.len(),
                    Err(e) => return stuck(e),
                },
                State::Reading => {
                    if !self.input.is_empty() && self.request(now, host, page, stats) {
                        continue;
                    }
                    if let Some(turn) = self.receive(now, host, handle, stats) {
                        return turn;
                    }
                }
            }
        }
    }

    /// Hands over what waits; a turn where it cannot all go.
    fn send(
        &mut self,
        now: Instant,
        host: &mut Host,
        handle: TcpHandle,
        stats: &mut Stats,
    ) -> Option<Turn> {
        while let Some(part) = self.output.front_mut() {
            match host.tcp_send_bytes(now, handle, part.piece()) {
                Ok(0) => return Some(Turn::Open),
                Ok(n) => {
                    self.since = now;
                    stats.bytes_out += count(n);
                    if part.advance(n) {
                        self.output.pop_front();
                    }
                }
                Err(e) => return Some(stuck(e)),
            }
        }
        None
    }

    fn receive(
        &mut self,
        now: Instant,
        host: &mut Host,
        handle: TcpHandle,
        stats: &mut Stats,
    ) -> Option<Turn> {
        if self.ended {
            return Some(Turn::Over);
        }
        let room = MAX_HEAD.saturating_sub(self.input.len()).max(1);
        let piece = match host.tcp_recv_bytes(now, handle, room) {
            Ok(piece) => piece,
            Err(e) => return Some(stuck(e)),
        };
        stats.bytes_in += count(piece.len());
        if piece.is_empty() {
            self.ended = true;
            // A request that is cut off has no answer.
            return Some(Turn::Over);
        }
        if self.input.is_empty() {
            self.since = now;
            self.input = piece;
        } else {
            self.input = [&self.input[..], &piece[..]].concat().into();
        }
        None
    }

    /// Answers the request that begins the input; false where it is not whole.
    fn request(&mut self, now: Instant, host: &Host, page: &mut Page, stats: &mut Stats) -> bool {
        let request = match parse(&self.input) {
            Parsed::Partial if self.input.len() >= MAX_HEAD => {
                self.answer(
                    &refusal(431, "Request Header Fields Too Large"),
                    false,
                    false,
                );
                return true;
            }
            Parsed::Partial => {
                // What is kept must not hold on to the buffer it came in.
                self.input = Bytes::copy_from_slice(&self.input);
                return false;
            }
            Parsed::Bad => {
                self.answer(&refusal(400, "Bad Request"), false, false);
                return true;
            }
            Parsed::Request(request) => request,
        };
        stats.requests += 1;
        consume(&mut self.input, request.used);
        self.since = now;
        let mut answer = match (&request.path, request.bad) {
            (_, Some(_)) | (None, _) => refusal(400, "Bad Request"),
            _ if !request.get && !request.head => Answer {
                close: request.close,
                ..refusal(405, "Method Not Allowed")
            },
            (Some(path), None) if path == "/" => {
                if request.get && !request.close && !request.old {
                    let ready = page.whole(now, host, stats);
                    self.output.push_back(Part::Bytes(ready));
                    return true;
                }
                Answer::ok(
                    "text/html; charset=utf-8",
                    Part::Bytes(page.body(now, host, stats)),
                )
            }
            (Some(path), None) => match path.strip_prefix("/bytes/").and_then(bytes_wanted) {
                Some(left) => Answer::ok("text/plain", Part::Pattern { left, at: 0 }),
                None => Answer {
                    close: request.close,
                    ..refusal(404, "Not Found")
                },
            },
        };
        answer.close |= request.close;
        self.answer(&answer, request.head, request.old);
        true
    }

    fn answer(&mut self, answer: &Answer, head_only: bool, old: bool) {
        let mut text = head_of(answer);
        if answer.close {
            text.push_str("Connection: close\r\n");
            self.state = State::Closing;
            self.input = Bytes::new();
        } else if old {
            text.push_str("Connection: keep-alive\r\n");
        }
        text.push_str("\r\n");
        self.output.push_back(Part::Bytes(text.into()));
        if !head_only && answer.body.len() > 0 {
            self.output.push_back(answer.body.clone());
        }
    }
}

impl Part {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => count(bytes.len()),
            Self::Pattern { left, .. } => *left,
        }
    }

    /// What may be handed over next.
    fn piece(&self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Pattern { left, at } => {
                let pattern = pattern();
                let left = usize::try_from(*left).unwrap_or(usize::MAX);
                let end = at.saturating_add(left).min(pattern.len());
                pattern.slice((*at).min(end)..end)
            }
        }
    }

    /// So much has been taken; whether that was all.
    fn advance(&mut self, n: usize) -> bool {
        match self {
            Self::Bytes(bytes) => {
                consume(bytes, n);
                bytes.is_empty()
            }
            Self::Pattern { left, at } => {
                *left = left.saturating_sub(count(n));
                *at = (*at + n) % pattern().len().max(1);
                *left == 0
            }
        }
    }
}

impl Answer {
    const fn ok(kind: &'static str, body: Part) -> Self {
        Self {
            status: 200,
            reason: "OK",
            kind,
            body,
            close: false,
        }
    }
}

/// An answer that says why there is none, and ends the connection.
fn refusal(status: u16, reason: &'static str) -> Answer {
    Answer {
        status,
        reason,
        kind: "text/plain",
        body: Part::Bytes(format!("{status} {reason}\n").into()),
        close: true,
    }
}

/// The head without its last line.
fn head_of(answer: &Answer) -> String {
    let Answer {
        status,
        reason,
        kind,
        body,
        ..
    } = answer;
    let mut text = format!(
        "HTTP/1.1 {status} {reason}\r\nServer: tapline\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    if *status == 405 {
        //= RFC 9110 §15.5.6: a 405 names the methods that are supported.
        text.push_str("Allow: GET, HEAD\r\n");
    }
    text
}

fn bytes_wanted(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n <= MAX_BYTES)
}

fn parse(input: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let used = match request.parse(input) {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Bad,
    };
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Parsed::Bad;
    };
    let old = version == 0;
    let (mut hosts, mut keep, mut close, mut bad) = (0, false, false, None);
    for field in request.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("host") {
            hosts += 1;
        } else if is("connection") {
            keep |= has_token(field.value, "keep-alive");
            close |= has_token(field.value, "close");
        } else if is("content-length") {
            match length(field.value) {
                // Its end could be found, but nobody here reads it.
                Some(n) => close |= n > 0,
                None => bad = Some("Content-Length"),
            }
        } else if is("transfer-encoding") {
            close = true;
        }
    }
    //= RFC 9112 §3.2: a request of HTTP/1.1 without Host, or any with more than one, is answered
    // with 400.
    if hosts > 1 || (hosts == 0 && !old) {
        bad = Some("Host");
    }
    Parsed::Request(Request {
        used,
        get: method == "GET",
        head: method == "HEAD",
        path: path(target),
        close: close || (old && !keep),
        old,
        bad,
    })
}

/// The path of a request target without its query (RFC 9112 §3.2.1 and §3.2.2).
fn path(target: &str) -> Option<String> {
    let rest = match target.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            rest.find('/').map_or("/", |at| rest.split_at(at).1)
        }
        _ => target,
    };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    path.starts_with('/').then(|| path.to_owned())
}

/// The page that says how the host is.
#[derive(Clone, Debug, Default)]
pub struct Page {
    rendered: Option<Instant>,
    body: Bytes,
    /// The same as the answer to the usual request.
    whole: Bytes,
}

impl Page {
    fn body(&mut self, now: Instant, host: &Host, stats: &Stats) -> Bytes {
        self.refresh(now, host, stats);
        self.body.clone()
    }

    fn whole(&mut self, now: Instant, host: &Host, stats: &Stats) -> Bytes {
        self.refresh(now, host, stats);
        self.whole.clone()
    }

    fn refresh(&mut self, now: Instant, host: &Host, stats: &Stats) {
        if self.rendered.is_some_and(|at| now < at + PAGE_AGE) {
            return;
        }
        self.rendered = Some(now);
        self.body = render(now, host, stats).into();
        let answer = Answer::ok("text/html; charset=utf-8", Part::Bytes(self.body.clone()));
        let mut whole = head_of(&answer).into_bytes();
        whole.extend_from_slice(b"\r\n");
        whole.extend_from_slice(&self.body);
        self.whole = whole.into();
    }
}

fn render(now: Instant, host: &Host, stats: &Stats) -> String {
    let mut rows = String::new();
    let mut row = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(rows, "<tr><th>{name}</th><td>{value}</td></tr>");
    };
    row(
        "up for",
        &format_args!("{} s", now.as_nanos() / 1_000_000_000),
    );
    for interface in host.interfaces() {
        // Names are the user's: what HTML means by a character must not depend on them.
        let plain = |c: &char| c.is_alphanumeric() || "._-".contains(*c);
        let name: String = interface.name().chars().filter(plain).collect();
        for address in interface.addresses() {
            row(&name, &address.cidr);
        }
    }
    let of_host = host.stats();
    row("frames in", &of_host.frames_in);
    row("frames out", &of_host.frames_out);
    row("connections accepted", &stats.accepted);
    row("requests", &stats.requests);
    row("bytes in by TCP", &stats.bytes_in);
    row("bytes out by TCP", &stats.bytes_out);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Tapline</title></head><body>\n\
         <h1>A Tapline host</h1>\n<table>\n{rows}</table>\n\
         <p>Also here: <a href=\"/bytes/1000000\">/bytes/N</a>, N bytes of text.</p>\n\
         </body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> (String, State) {
        let mut talk = Talk::new(Instant::ZERO);
        let mut host = Host::new(
            stack::host::Config::default(),
            stack::rng::Rng::from_seed(1),
        );
        let (mut page, mut stats) = (Page::default(), Stats::default());
        talk.input = Bytes::copy_from_slice(request.as_bytes());
        let mut said = String::new();
        while !talk.input.is_empty() && talk.request(Instant::ZERO, &host, &mut page, &mut stats) {
            while let Some(part) = talk.output.front_mut() {
                let piece = part.piece();
                said.push_str(std::str::from_utf8(&piece).unwrap());
                if part.advance(piece.len()) {
                    talk.output.pop_front();
                }
            }
        }
        let _ = host.poll_event();
        (said, talk.state)
    }

    #[test]
    fn requests_and_what_they_are_told() {
        let host = "Host: x\r\n";
        for (line, fields, status, closes) in [
            ("GET / HTTP/1.1", host, "200 OK", false),
            ("GET /?q=1 HTTP/1.1", host, "200 OK", false),
            ("GET http://10.7.0.2/ HTTP/1.1", host, "200 OK", false),
            ("GET / HTTP/1.0", "", "200 OK", true),
            (
                "GET / HTTP/1.0",
                "Connection: keep-alive\r\n",
                "200 OK",
                false,
            ),
            (
                "GET / HTTP/1.1",
                "Host: x\r\nConnection: close\r\n",
                "200 OK",
                true,
            ),
            ("GET /bytes/10 HTTP/1.1", host, "200 OK", false),
            ("GET /bytes/+1 HTTP/1.1", host, "404 Not Found", false),
            ("GET /nothing HTTP/1.1", host, "404 Not Found", false),
            ("DELETE / HTTP/1.1", host, "405 Method Not Allowed", false),
            (
                "POST / HTTP/1.1",
                "Host: x\r\nContent-Length: 5\r\n",
                "405 Method",
                true,
            ),
            ("GET / HTTP/1.1", "", "400 Bad Request", true),
            (
                "GET / HTTP/1.1",
                "Host: x\r\nHost: y\r\n",
                "400 Bad Request",
                true,
            ),
            ("GET * HTTP/1.1", host, "400 Bad Request", true),
            ("GET / HTTP/2.0", host, "400 Bad Request", true),
            ("\u{7f}GET", host, "400 Bad Request", true),
            (
                "GET / HTTP/1.1",
                "Host: x\r\nContent-Length: 5, 6\r\n",
                "400 Bad",
                true,
            ),
        ] {
            let (said, state) = ask(&format!("{line}\r\n{fields}\r\n"));
            assert!(
                said.starts_with(&format!("HTTP/1.1 {status}")),
                "{line} {fields}: {said}"
            );
            assert_eq!(state == State::Closing, closes, "{line} {fields}");
            let shut = said.contains("Connection: close\r\n");
            assert_eq!(shut, closes, "{line} {fields}: {said}");
        }
    }

    #[test]
    fn pipelined_requests_are_answered_in_turn() {
        let one = "GET /bytes/3 HTTP/1.1\r\nHost: x\r\n\r\n";
        let (said, _) = ask(&format!("{one}{}{one}", one.replace("/bytes/3", "/x")));
        let statuses: Vec<_> = said.matches("HTTP/1.1 ").collect();
        assert_eq!(statuses.len(), 3, "{said}");
        assert!(said.ends_with("Content-Length: 3\r\n\r\n !\""), "{said}");
    }

    #[test]
    fn a_head_has_the_length_of_what_it_does_not_send() {
        let (said, _) = ask("HEAD /bytes/123456789012 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            said.ends_with("Content-Length: 123456789012\r\n\r\n"),
            "{said}"
        );
    }

    #[test]
    fn an_endless_head_is_refused() {
        let (said, state) = ask(&format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD)));
        assert!(said.starts_with("HTTP/1.1 431 ") && state == State::Closing);
    }

    #[test]
    fn patience_depends_on_what_is_waited_for() {
        let mut talk = Talk::new(Instant::ZERO);
        assert_eq!(talk.deadline(), Instant::ZERO + KEEP_ALIVE);
        assert!(!talk.expire(Instant::ZERO + KEEP_ALIVE));
        talk.input = Bytes::from_static(b"GET / ");
        assert_eq!(talk.deadline(), Instant::ZERO + REQUEST_TIME);
        assert!(talk.expire(Instant::ZERO + REQUEST_TIME) && talk.state == State::Closing);
    }
}
