//! The kernel's side of `bench tcp`: plain blocking sockets.
//!
//! ```text
//!   load serve              discard 9, chargen 19, echo 7, a thread for each connection
//!   load all HOST SECONDS   one stream in, one out, a byte to and fro, connections: a line of JSON
//! ```
//!
//! *In* is what the host at the other end takes, *out* what it sends.

use super::{Outcome, median};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const ECHO: u16 = 7;
pub(super) const DISCARD: u16 = 9;
pub(super) const CHARGEN: u16 = 19;

/// Not counted: the window grows.
const WARM_UP: Duration = Duration::from_millis(500);
/// Bytes of one write, and of one read.
const WRITE: usize = 128 << 10;
const READ: usize = 256 << 10;
/// Turns of a byte, and of these such as are not counted.
const TURNS: usize = 5000;
const FIRST_TURNS: usize = 200;
/// Connections one after another.
const CONNECTIONS: u32 = 2000;
/// How long to try to connect: the other end may not be up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing may happen.
const SILENCE: Duration = Duration::from_secs(10);

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

/// Serves until it is killed.
#[expect(clippy::disallowed_methods, reason = "blocking sockets want threads")]
pub(super) fn serve() -> Outcome<()> {
    let mut last = None;
    for port in [ECHO, DISCARD, CHARGEN] {
        let listener = TcpListener::bind(("0.0.0.0", port))?;
        last = Some(thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || talk(stream, port));
            }
        }));
    }
    println!("serving");
    let ended = last.map(thread::JoinHandle::join);
    ended.map_or(Ok(()), |_| Err("a listener has ended".into()))
}

/// Until the peer has had enough.
fn talk(mut stream: TcpStream, port: u16) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut room = vec![b'x'; READ];
    loop {
        let len = match port {
            CHARGEN => WRITE,
            _ => stream.read(&mut room).ok().filter(|len| *len > 0)?,
        };
        if port != DISCARD {
            stream.write_all(&room[..len]).ok()?;
        }
    }
}

fn dial(host: &str, port: u16) -> Outcome<TcpStream> {
    let start = now();
    loop {
        match TcpStream::connect((host, port)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(SILENCE))?;
                return Ok(stream);
            }
            Err(e) if start.elapsed() > PATIENCE => return Err(e.into()),
            #[expect(clippy::disallowed_methods, reason = "the other end is not up yet")]
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Everything, as one line.
pub(super) fn all(host: &str, seconds: f64) -> Outcome<()> {
    let long = Duration::try_from_secs_f64(seconds)?;
    let sent = stream(host, DISCARD, long)?;
    let read = stream(host, CHARGEN, long)?;
    let (p50, p99) = turns(host)?;
    let rate = connections(host)?;
    let figures = json!({
        "in": sent, "out": read, "turn_p50": p50, "turn_p99": p99, "connections": rate,
    });
    println!("{figures}");
    Ok(())
}

/// Gigabits a second of one stream, after the warm-up.
fn stream(host: &str, port: u16, long: Duration) -> Outcome<f64> {
    let mut stream = dial(host, port)?;
    let mut room = vec![b'y'; READ];
    let start = now();
    let (mut counted, mut since) = (0_usize, None);
    loop {
        let len = match port {
            DISCARD => stream.write(&room[..WRITE])?,
            _ => stream.read(&mut room)?,
        };
        if len == 0 {
            return Err(format!("port {port} has ended").into());
        }
        counted += len;
        let at = now();
        match since {
            None if at.duration_since(start) >= WARM_UP => {
                since = Some(at);
                counted = 0;
            }
            Some(from) if at.duration_since(from) >= long => {
                let took = at.duration_since(from).as_secs_f64();
                return Ok(counted as f64 * 8e-9 / took);
            }
            _ => {}
        }
    }
}

/// A byte there and back: the median and the 99th of a hundred, in microseconds.
fn turns(host: &str) -> Outcome<(f64, f64)> {
    let mut stream = dial(host, ECHO)?;
    let mut times = Vec::with_capacity(TURNS);
    for turn in 0..FIRST_TURNS + TURNS {
        let from = now();
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        if turn >= FIRST_TURNS {
            times.push(from.elapsed().as_secs_f64() * 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    let late = times.get(TURNS * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok((median(times), late))
}

/// Connections a second, each with a byte there and back.
fn connections(host: &str) -> Outcome<f64> {
    let from = now();
    for _ in 0..CONNECTIONS {
        let mut stream = dial(host, ECHO)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
    }
    Ok(f64::from(CONNECTIONS) / from.elapsed().as_secs_f64())
}

/// The figure of this name.
pub(super) fn figure(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or(f64::NAN)
}
