//! `fetch`: a page over HTTP/1.1, to standard output or a file.
//!
//! ```text
//!   http://10.7.0.1/x --connect--> GET --> http::client::Reader --+-- body --> stdout or FILE
//!                                     ^                           `-- 3xx Location
//!                                     '------- the next URL ----------'
//! ```
//!
//! Read first: RFC 9110 §15.4 (redirects), [`client`](crate::endpoint::http::client).
//!
//! Left out: https, names, proxies and going on where a transfer was cut.

use super::attach::{self, Attach, Target};
use super::family::Family;
use super::progress::Progress;
use super::{Failure, report};
use crate::endpoint::http::client::{Got, Head, Reader};
use crate::endpoint::http::url::Url;
use crate::runtime::{Next, Wake};
use bytes::{Buf as _, Bytes};
use serde_json::json;
use stack::host::{Host, TcpHandle};
use stack::time::{Duration, Instant};
use stack::transport::tcp::{self, Error, Status};
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "Examples:
  tapline fetch --tap tap0 http://10.7.0.1:8000/
  tapline fetch -o disk.img --raw veth0 --address 10.1.0.9/24 http://10.1.0.1/disk.img
  tapline fetch --tap tap0 http://[fd07::1]:8000/
  tapline fetch --tap tap0 http://[fe80::1%25tap0]:8000/   # an address of that link
  tapline fetch --json -o /dev/null --tap tap0 10.7.0.1:8000/file | jq .bytes_per_second";

/// How long the end of a connection may take.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes taken from the host at a time.
const PIECE: usize = 1 << 20;

/// A page over HTTP, to standard output or a file.
///
/// Follows redirects. Exits 1 where there is no such page (a status of 400 or more, or a redirect
/// that is not followed), where the connection is refused, reset or times out, and where the answer
/// is cut off.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to fetch, as http://10.7.0.1:8000/path; names are not looked up yet.
    #[arg(value_name = "URL")]
    url: String,

    /// Write to this file instead of standard output. It is made, or emptied, when the head of a
    /// good answer is there; what an error says for a page is not written.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Ask for the head alone, and print it.
    #[arg(short = 'I', long)]
    head: bool,

    /// Follow so many redirects at most.
    #[arg(long, value_name = "N", default_value_t = 5)]
    redirects: u8,

    /// Give up after this many seconds in which nothing came.
    #[arg(short, long, value_name = "S", default_value = "30",
          value_parser = report::some_seconds)]
    wait: Duration,

    /// Send the request with the SYN, where the server has shown that it takes it: of redirects
    /// to one server, all but the first save a round trip (TCP Fast Open, RFC 7413).
    #[arg(long)]
    fast_open: bool,

    /// A summary as one JSON object on standard output; where it failed, `error` says why.
    #[arg(long, requires = "output")]
    json: bool,

    #[command(flatten)]
    family: Family,

    #[command(flatten)]
    attach: Attach,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 1 where there is no such page, 2 where there is no way, 3 with a remedy where the
/// machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let done = go(args);
    if let Err(failure) = &done
        && args.json
    {
        let line = json!({"url": args.url, "error": failure.message});
        report::json_line(&mut io::stdout().lock(), &line).map_err(report::untold)?;
    }
    done
}

fn go(args: &Args) -> Result<ExitCode, Failure> {
    let url = Url::parse(&args.url).map_err(|e| Failure::usage(format!("'{}': {e}", args.url)))?;
    args.family.agrees(url.to.ip())?;
    let mut attached = args.attach.open_to(url.to.ip())?;
    let path = args.output.clone();
    let open = move || -> Result<Box<dyn Write>, Failure> {
        let Some(path) = path else {
            return Ok(Box::new(io::stdout().lock()));
        };
        let unwritten =
            |e| Failure::lacks(format!("{}: {e}", path.display()), "choose another file");
        Ok(Box::new(File::create(&path).map_err(unwritten)?))
    };
    let mut fetch = Fetch::new(args.clone(), url, open);
    let code = attached
        .driver
        .run(|host, now, wake| fetch.turn(host, now, wake))?;
    attach::reset_all(&mut attached.driver);
    Ok(ExitCode::from(code?))
}

/// What a good answer is.
fn is_good(status: u16) -> bool {
    (200..300).contains(&status)
}

/// A page on its way.
struct Fetch<W> {
    args: Args,
    url: Url,
    /// Opens what the page is written to: not before there is one.
    open: Option<Box<dyn FnOnce() -> Result<W, Failure>>>,
    out: Option<W>,
    handle: Option<TcpHandle>,
    /// Of the request.
    unsent: Bytes,
    reader: Reader,
    head: Option<Head>,
    redirects: u8,
    bytes: u64,
    progress: Option<Progress>,
    started: Instant,
    connected: Option<Instant>,
    /// When the head was whole.
    answered: Option<Instant>,
    last_active: Instant,
    /// All is said: until when to wait for the last acknowledgments, and the exit code.
    closing: Option<(Instant, u8)>,
}

impl<W: Write> Fetch<W> {
    fn new(args: Args, url: Url, open: impl FnOnce() -> Result<W, Failure> + 'static) -> Self {
        Self {
            url,
            reader: Reader::new(args.head),
            args,
            open: Some(Box::new(open)),
            out: None,
            handle: None,
            unsent: Bytes::new(),
            head: None,
            redirects: 0,
            bytes: 0,
            progress: None,
            started: Instant::ZERO,
            connected: None,
            answered: None,
            last_active: Instant::ZERO,
            closing: None,
        }
    }

    fn turn(&mut self, host: &mut Host, now: Instant, wake: &Wake) -> Next<Result<u8, Failure>> {
        if let Some((until, code)) = self.closing {
            attach::pass_events(host);
            return match attach::is_quiet(host) || now >= until || wake.stop {
                true => ControlFlow::Break(Ok(code)),
                false => ControlFlow::Continue(Some(until)),
            };
        }
        let late = self.last_active + self.args.wait;
        let step = match self.step(host, now) {
            Ok(()) if wake.stop => Err(Failure::unmet("interrupted")),
            Ok(()) if self.closing.is_none() && self.handle.is_some() && now >= late => {
                let what = format!("{}: nothing came for {:?}", self.url, self.args.wait);
                Err(Failure::unmet(what))
            }
            other => other,
        };
        match step {
            Ok(()) => ControlFlow::Continue(Some(self.closing.map_or(late, |(until, _)| until))),
            Err(failure) => {
                if let Some(handle) = self.handle.take() {
                    host.tcp_abort(now, handle);
                }
                if let Some(out) = &mut self.out {
                    // Why it is cut is what is told.
                    let _ = out.flush();
                }
                ControlFlow::Break(Err(failure))
            }
        }
    }

    fn step(&mut self, host: &mut Host, now: Instant) -> Result<(), Failure> {
        attach::pass_events(host);
        let handle = match self.handle {
            Some(handle) => handle,
            None => self.connect(host, now)?,
        };
        let status = host.tcp_status(now, handle).unwrap_or_default();
        if self.connected.is_none() && (status.state.is_synchronized() || status.unread > 0) {
            self.connected = Some(now);
            self.last_active = now;
        }
        if self.connected.is_none() {
            return match host.tcp_take_error(handle) {
                Some(error) => Err(Failure::unmet(format!("{}: {error}", self.url.to))),
                None => Ok(()),
            };
        }
        self.send(host, now, handle);
        // What ended the connection is told behind what came before it.
        self.receive(host, now, handle)
    }

    /// Hands over what is left of the request.
    fn send(&mut self, host: &mut Host, now: Instant, handle: TcpHandle) {
        while !self.unsent.is_empty() {
            match host.tcp_send_bytes(now, handle, self.unsent.clone()) {
                Ok(n @ 1..) => self.unsent.advance(n.min(self.unsent.len())),
                _ => break,
            }
        }
    }

    fn connect(&mut self, host: &mut Host, now: Instant) -> Result<TcpHandle, Failure> {
        if self.redirects == 0 {
            self.started = now;
        }
        self.last_active = now;
        self.connected = None;
        self.reader = Reader::new(self.args.head);
        let method = if self.args.head { "HEAD" } else { "GET" };
        let Url {
            authority, target, ..
        } = &self.url;
        //= RFC 9112 §9.6: who wants one answer says so, and the server closes after it.
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: tapline\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n"
        );
        self.unsent = request.into();
        let (addr, zone) = (self.url.to.ip(), self.url.zone.clone());
        self.args.family.agrees(addr)?;
        let to = Target { addr, zone }.end(host, self.url.to.port())?;
        let options = tcp::Options {
            fast_open: self.args.fast_open,
            ..tcp::Options::default()
        };
        let connecting = host.tcp_connect(now, to, None, options);
        let handle = connecting.map_err(|e| attach::cannot_connect(to, e))?;
        self.handle = Some(handle);
        if self.args.fast_open {
            self.send(host, now, handle);
        }
        Ok(handle)
    }

    fn receive(&mut self, host: &mut Host, now: Instant, handle: TcpHandle) -> Result<(), Failure> {
        loop {
            while let Some(got) = self.reader.poll().map_err(|e| self.wrong(&e))? {
                match got {
                    Got::Head(head) => {
                        if self.redirect(host, now, handle, &head)? {
                            return Ok(());
                        }
                        self.begin_body(now, head)?;
                    }
                    Got::Body(piece) => {
                        self.bytes += piece.len() as u64;
                        if let Some(out) = &mut self.out {
                            out.write_all(&piece).map_err(report::untold)?;
                        }
                        if let Some(progress) = &mut self.progress {
                            progress.reach(self.bytes);
                        }
                    }
                    Got::End => return self.end(host, now, handle),
                }
            }
            match host.tcp_recv_bytes(now, handle, PIECE) {
                Ok(piece) if piece.is_empty() => self.reader.finish(),
                Ok(piece) => {
                    self.last_active = now;
                    self.reader.push(piece);
                }
                Err(Error::WouldBlock) => return Ok(()),
                Err(e) => return Err(self.wrong(&e)),
            }
        }
    }

    fn wrong(&self, error: &dyn std::fmt::Display) -> Failure {
        let Self { url, bytes, .. } = self;
        match bytes {
            0 => Failure::unmet(format!("{url}: {error}")),
            n => Failure::unmet(format!("{url}: {error}, after {n} bytes")),
        }
    }

    /// Goes where a redirect says; whether it was one.
    fn redirect(
        &mut self,
        host: &mut Host,
        now: Instant,
        handle: TcpHandle,
        head: &Head,
    ) -> Result<bool, Failure> {
        let Some(location) = &head.location else {
            return Ok(false);
        };
        if !matches!(head.status, 301 | 302 | 303 | 307 | 308) || self.args.redirects == 0 {
            return Ok(false);
        }
        if self.redirects >= self.args.redirects {
            let what = format!("{}: more than {} redirects", self.url, self.redirects);
            return Err(Failure::unmet(what));
        }
        let next = self.url.join(location);
        let next = next.map_err(|e| Failure::unmet(format!("{}: to {location}: {e}", self.url)))?;
        log::info!("{} {}: {next}", head.status, head.reason);
        host.tcp_abort(now, handle);
        self.handle = None;
        self.redirects += 1;
        self.url = next;
        self.connect(host, now)?;
        Ok(true)
    }

    fn begin_body(&mut self, now: Instant, head: Head) -> Result<(), Failure> {
        self.answered = Some(now);
        // What an error says for a page is for people, and no file of theirs is lost for it.
        if (is_good(head.status) || self.args.output.is_none())
            && let Some(open) = self.open.take()
        {
            self.out = Some(open()?);
        }
        if self.args.head && !self.args.json {
            let line = |name: &str, value: Option<String>| {
                value.map_or(String::new(), |value| format!("{name}: {value}\n"))
            };
            let text = format!(
                "{} {}\n{}{}{}",
                head.status,
                head.reason,
                line("Content-Type", head.kind.clone()),
                line("Content-Length", head.length.map(|n| n.to_string())),
                line("Location", head.location.clone()),
            );
            if let Some(out) = &mut self.out {
                out.write_all(text.as_bytes()).map_err(report::untold)?;
            }
        }
        let talks = self.args.output.is_none() && io::stdout().is_terminal();
        let bar = head.length.filter(|_| !self.args.head);
        self.progress = bar.map(|len| Progress::of(len, talks));
        self.head = Some(head);
        Ok(())
    }

    fn end(&mut self, host: &mut Host, now: Instant, handle: TcpHandle) -> Result<(), Failure> {
        self.progress = None;
        if let Some(out) = &mut self.out {
            out.flush().map_err(report::untold)?;
        }
        let status = host.tcp_status(now, handle).unwrap_or_default();
        host.tcp_close(now, handle);
        self.handle = None;
        let unmet = self.head.as_ref().and_then(|head| self.unmet(head));
        if let Some(why) = &unmet {
            eprintln!("tapline: {}: {why}", self.url);
        }
        if self.args.json {
            let line = self.summary(now, &status);
            report::json_line(&mut io::stdout().lock(), &line).map_err(report::untold)?;
        } else if let Some(path) = self.args.output.as_ref().filter(|_| self.out.is_some()) {
            let seconds = (now - self.started).as_secs_f64();
            let (bytes, path) = (self.bytes, path.display());
            eprintln!("tapline: {path}: {bytes} bytes in {seconds:.3} s");
        }
        self.closing = Some((now + LINGER, u8::from(unmet.is_some())));
        Ok(())
    }

    /// Why the answer is not the page that was asked for. Who asks for the head of a redirect alone
    /// has it.
    fn unmet(&self, head: &Head) -> Option<String> {
        let Head { status, reason, .. } = head;
        let line = format!("{status} {reason}");
        match (&head.location, status) {
            (_, 200..300) => None,
            (_, 300..400) if self.args.head && self.args.output.is_none() => None,
            (Some(to), 301 | 302 | 303 | 307 | 308) => {
                Some(format!("{} to {to}, not followed", line.trim_end()))
            }
            (None, 301 | 302 | 303 | 307 | 308) => {
                Some(format!("{}, but it does not say where to", line.trim_end()))
            }
            _ => Some(line.trim_end().to_owned()),
        }
    }

    fn summary(&self, now: Instant, status: &Status) -> serde_json::Value {
        let since = |at: Option<Instant>| at.map(|at| (at - self.started).as_secs_f64());
        let seconds = (now - self.started).as_secs_f64();
        let body = self.answered.map_or(0.0, |at| (now - at).as_secs_f64());
        let head = self.head.as_ref();
        json!({
            "url": self.url.to_string(),
            "error": head.and_then(|h| self.unmet(h)),
            "status": head.map(|h| h.status),
            "reason": head.map(|h| h.reason.clone()),
            "content_type": head.and_then(|h| h.kind.clone()),
            "content_length": head.and_then(|h| h.length),
            "bytes": self.bytes,
            "redirects": self.redirects,
            "seconds": seconds,
            "seconds_to_connect": since(self.connected),
            "seconds_to_head": since(self.answered),
            "bytes_per_second": if body > 0.0 { Some(self.bytes as f64 / body) } else { None },
            "rtt_ms": status.srtt.map(report::millis),
            "segments_in": status.segs_in,
            "bytes_out_of_order": status.out_of_order,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;
    use crate::endpoint::services::{Service, Services};
    use stack::rng::Rng;

    /// From a host of ours that serves a page.
    fn fetch(line: &str) -> (Option<Vec<u8>>, Result<u8, Failure>) {
        let args: Args = simulated::args("fetch", line).unwrap();
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let usual = tcp::Options::default();
        let rng = Rng::from_seed(1);
        let mut served = Services::open(&mut peer, &[Service::Http], &usual, &rng).unwrap();
        let url = Url::parse(&args.url).unwrap();
        let mut fetch = Fetch::new(args, url, || Ok(Vec::new()));
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let (code, _) = simulated::run_both(
            &mut hosts,
            |host, now| {
                while let Some(event) = host.poll_event() {
                    served.handle_event(now, host, &event);
                }
            },
            |host, now| fetch.turn(host, now, &Wake::default()),
        );
        (fetch.out, code)
    }

    #[test]
    fn a_page_and_bytes_and_what_is_not_there() {
        let (page, code) = fetch("http://10.7.0.1/");
        assert_eq!(code.unwrap(), 0);
        assert!(
            String::from_utf8(page.unwrap())
                .unwrap()
                .contains("<h1>A Tapline host</h1>")
        );
        let (bytes, code) = fetch("10.7.0.1/bytes/300000");
        assert_eq!((bytes.unwrap().len(), code.unwrap()), (300_000, 0));
        let (_, code) = fetch("http://10.7.0.1/nothing");
        assert_eq!(code.unwrap(), 1);
        let (head, code) = fetch("-I http://10.7.0.1/bytes/7");
        let head = String::from_utf8(head.unwrap()).unwrap();
        assert!(
            head.starts_with("200 OK\n") && head.contains("Content-Length: 7\n"),
            "{head}"
        );
        assert_eq!(code.unwrap(), 0);
    }

    /// What came of a page whose server resets once all of it has left, read only then.
    fn fetch_reset(answer: &[u8]) -> (Vec<u8>, Result<u8, Failure>) {
        let args: Args = simulated::args("fetch", "http://10.7.0.1/").unwrap();
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let listener = simulated::listen(&mut peer, 80);
        let url = Url::parse(&args.url).unwrap();
        let mut fetch = Fetch::new(args, url, || Ok(Vec::new()));
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let code = simulated::run_reset(&mut hosts, listener, answer, |host, now| {
            fetch.turn(host, now, &Wake::default())
        });
        (fetch.out.unwrap_or_default(), code)
    }

    #[test]
    fn what_came_before_a_reset_is_kept() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let (page, code) = fetch_reset(whole);
        assert_eq!((page.as_slice(), code.unwrap()), (&b"hello"[..], 0));
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello";
        let (page, code) = fetch_reset(cut);
        assert_eq!(page, b"hello");
        let failure = code.unwrap_err();
        assert!(
            failure.message.contains("reset") && failure.message.contains("after 5 bytes"),
            "{failure}"
        );
    }

    #[test]
    fn nobody_listens() {
        let (out, code) = fetch("-o x http://10.7.0.1:8080/");
        assert_eq!(out, None, "the file is left as it was");
        let failure = code.unwrap_err();
        assert!(
            failure.code == 1 && failure.message.contains("refused"),
            "{failure}"
        );
    }

    #[test]
    fn a_file_is_for_the_page_alone() {
        let (out, code) = fetch("-o x http://10.7.0.1/nothing");
        assert_eq!((out, code.unwrap()), (None, 1));
        let (out, code) = fetch("-o x http://10.7.0.1/bytes/7");
        assert_eq!((out.unwrap().len(), code.unwrap()), (7, 0));
    }

    #[test]
    fn a_redirect_that_is_not_followed_is_told() {
        let head = |location: Option<&str>| Head {
            status: 301,
            reason: "Moved Permanently".to_owned(),
            length: None,
            location: location.map(str::to_owned),
            kind: None,
        };
        let fetch = |line: &str| {
            let args: Args = simulated::args("fetch", line).unwrap();
            let url = Url::parse(&args.url).unwrap();
            Fetch::new(args, url, || Ok(Vec::new()))
        };
        let plain = fetch("--redirects 0 http://10.7.0.1/");
        let told = plain.unmet(&head(Some("/x"))).unwrap();
        assert_eq!(told, "301 Moved Permanently to /x, not followed");
        let told = plain.unmet(&head(None)).unwrap();
        assert!(told.ends_with("it does not say where to"), "{told}");
        let asked = fetch("-I --redirects 0 http://10.7.0.1/");
        assert_eq!(asked.unmet(&head(Some("/x"))), None);
    }

    #[test]
    fn no_patience_at_all_is_refused() {
        assert!(simulated::args::<Args>("fetch", "-w 0 10.7.0.1").is_err());
        assert!(simulated::args::<Args>("fetch", "-w 0.1 10.7.0.1").is_ok());
    }
}
