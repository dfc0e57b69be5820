//! `nc`: standard input to a connection and back; with `-u`, to datagrams.
//!
//! ```text
//!   Args --ends--> our port, the peer's end --+-- stream::Line      TCP, either end of it
//!                                             +-- datagrams::Cat    UDP
//! ```

mod args;
mod datagrams;
mod stream;

use super::Failure;
use super::attach;
use crate::runtime::stdin::Input;
pub use args::Args;
use args::Ends;
use datagrams::Cat;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

/// The most that one read becomes: what fits a datagram.
const MAX_DATAGRAM: usize = 65_507;

/// Bytes of standard input read at a time for a connection.
const PIECE: usize = 64 << 10;

/// Runs the verb.
///
/// # Errors
/// Exit code 2 for bad usage, 3 with a remedy where the machine lacks something.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let ends = ends(args)?;
    let whom = ends.peer.map(|peer| peer.ip()).or(args.join);
    let mut attached = match whom.or(args.attach.address.map(|ours| ours.addr())) {
        Some(addr) => {
            args.family.agrees(addr)?;
            args.attach.open_to(addr)?
        }
        None => args.attach.open_to(match args.family.ipv6 {
            true => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            false => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        })?,
    };
    let ends = match (target(args)?, ends.peer) {
        (Some(to), Some(peer)) => Ends {
            peer: Some(to.end(&attached.driver.machine, peer.port())?),
            ..ends
        },
        _ => ends,
    };
    if args.listen {
        args.attach.warn_if_alone();
    }
    // After the namespace: a process with threads may not enter one.
    let piece = match args.udp {
        true => usize::from(args.datagram).min(MAX_DATAGRAM),
        false => PIECE,
    };
    let input = Input::start(piece)?;
    attached.driver.watch(input.raw_fd())?;
    let (out, driver) = (io::stdout().lock(), &mut attached.driver);
    let code = if args.udp {
        let mut cat = Cat::new(args.clone(), ends, attached.interface, input, out);
        driver.run(|host, now, wake| cat.turn(host, now, wake))?
    } else {
        let mut line = stream::Line::new(args.clone(), ends, input, out);
        driver.run(|host, now, wake| line.turn(host, now, wake))?
    };
    attach::reset_all(driver);
    Ok(ExitCode::from(code?))
}

/// The peer as it is given, where it is.
fn target(args: &Args) -> Result<Option<attach::Target>, Failure> {
    match args.dest.as_slice() {
        [to, _] => {
            let wrong = |why| Failure::usage(format!("'{to}': {why}"));
            attach::destination(to).map(Some).map_err(wrong)
        }
        _ => Ok(None),
    }
}

fn ends(args: &Args) -> Result<Ends, Failure> {
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(Failure::usage(format!("'{text}' is no port (1 to 65535)"))),
        Ok(port) => Ok(port),
    };
    // Its zone waits for the host.
    let peer = target(args)?.map(|to| to.addr);
    let wanted = |what: &str| Failure::usage(format!("{what}; `tapline help nc` has examples"));
    match (args.listen, args.dest.as_slice()) {
        (listens, [_, at]) if !listens || args.port.is_some() => {
            let at = port(at)?;
            Ok(Ends {
                port: args.port.unwrap_or(0),
                peer: peer.map(|addr| SocketAddr::new(addr, at)),
            })
        }
        (false, _) => Err(wanted("give HOST and PORT to send to, or -l to listen")),
        (true, []) => {
            let port = args
                .port
                .ok_or_else(|| wanted("give -p PORT to listen on"))?;
            Ok(Ends { port, peer: None })
        }
        (true, [at]) if args.port.is_none() => Ok(Ends {
            port: port(at)?,
            peer: None,
        }),
        (true, _) => Err(wanted("with -l, give -p PORT or just PORT")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::args::Source;
    use super::*;
    use crate::endpoint::services::{Service, Services};
    use crate::runtime::Wake;
    use crate::runtime::stdin::Chunk;
    use bytes::Bytes;
    use stack::frame::Payload;
    use stack::host::Host;
    use stack::rng::Rng;
    use stack::time::{Duration, Instant};
    use stack::transport::tcp;
    use std::collections::VecDeque;

    fn args(line: &str) -> Args {
        simulated::args("nc", line).unwrap()
    }

    struct Script(VecDeque<Chunk>);

    impl Source for Script {
        fn next_chunk(&mut self) -> io::Result<Chunk> {
            Ok(self.0.pop_front().unwrap_or(Chunk::Empty))
        }
    }

    fn cat(line: &str, input: &[&str], peer: Host) -> (String, Result<u8, Failure>) {
        let args = args(line);
        let ends = ends(&args).unwrap();
        let chunks = input.iter().map(|t| Chunk::Bytes(t.as_bytes().to_vec()));
        let script = Script(chunks.chain([Chunk::End]).collect());
        let mut cat = Cat::new(args, ends, 0, script, Vec::new());
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let (code, _) = simulated::run(&mut hosts, |h, now| cat.turn(h, now, &Wake::default()));
        (String::from_utf8(cat.out).unwrap(), code)
    }

    #[test]
    fn our_words_wait_for_who_is_there() {
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let socket = peer.udp_bind("10.7.0.1:40000".parse().unwrap()).unwrap();
        let to = "10.7.0.2:5000".parse().unwrap();
        for text in ["one ", "two"] {
            let text = Payload::from(Bytes::from(text));
            peer.udp_send(Instant::ZERO, socket, text, Some(to))
                .unwrap();
        }
        let (out, code) = cat("-u -l -p 5000 -w 1", &["hello"], peer);
        assert_eq!((out.as_str(), code.unwrap()), ("one two", 0));
    }

    #[test]
    fn a_group_is_heard_by_its_sources() {
        for (line, want) in [
            ("", ""),
            ("--join 239.1.2.3", "hello"),
            (
                "--join 239.1.2.3 --source 10.7.0.9 --source 10.7.0.1",
                "hello",
            ),
            ("--join 239.1.2.3 --source 10.7.0.9", ""),
        ] {
            let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
            let socket = peer.udp_bind("10.7.0.1:40000".parse().unwrap()).unwrap();
            let to = "239.1.2.3:5000".parse().unwrap();
            let hello = Payload::from(Bytes::from("hello"));
            peer.udp_send(Instant::ZERO, socket, hello, Some(to))
                .unwrap();
            let (out, code) = cat(&format!("-u -l -p 5000 -w 1 {line}"), &[], peer);
            assert_eq!((out.as_str(), code.unwrap()), (want, 0), "{line}");
        }
    }

    #[test]
    fn nobody_listens() {
        let peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let (out, code) = cat("-u 10.7.0.1 9999", &["hello"], peer);
        assert_eq!((out.as_str(), code.unwrap()), ("", 1));
    }

    /// The same over TCP, with a peer that serves.
    fn line(line: &str, input: &[&str], ends_there: bool) -> (String, Result<u8, Failure>) {
        let args = args(line);
        let ends = ends(&args).unwrap();
        let chunks = input.iter().map(|t| Chunk::Bytes(t.as_bytes().to_vec()));
        let end = ends_there.then_some(Chunk::End);
        let script = Script(chunks.chain(end).collect());
        let mut line = stream::Line::new(args, ends, script, Vec::new());
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let (usual, rng) = (tcp::Options::default(), Rng::from_seed(1));
        let mut served = Services::open(&mut peer, &[Service::Echo], &usual, &rng).unwrap();
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let (code, _) = simulated::run_both(
            &mut hosts,
            |host, now| {
                while let Some(event) = host.poll_event() {
                    served.handle_event(now, host, &event);
                }
            },
            |host, now| line.turn(host, now, &Wake::default()),
        );
        (String::from_utf8(line.out).unwrap(), code)
    }

    #[test]
    fn a_connection_ends_in_both_directions() {
        let (out, code) = line("10.7.0.1 7", &["one ", "two"], true);
        assert_eq!((out.as_str(), code.unwrap()), ("one two", 0));
        let (out, code) = line("-w 1 10.7.0.1 7", &["one"], false);
        assert_eq!((out.as_str(), code.unwrap()), ("one", 0), "silence ends it");
    }

    #[test]
    fn silence_ends_it_in_time() {
        let args = args("-w 2 10.7.0.1 9");
        let ends = ends(&args).unwrap();
        let script = Script([Chunk::End].into());
        let mut line = stream::Line::new(args, ends, script, Vec::new());
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        simulated::listen(&mut peer, 9);
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let mut last = Instant::ZERO;
        let (code, _) = simulated::run_both(
            &mut hosts,
            |host, _| while host.poll_event().is_some() {},
            |host, now| {
                last = now;
                line.turn(host, now, &Wake::default())
            },
        );
        assert_eq!(code.unwrap(), 0);
        let took = last.since(Instant::ZERO);
        assert!(
            took >= Duration::from_secs(2) && took < Duration::from_millis(3_500),
            "{took:?}"
        );
    }

    #[test]
    fn what_came_before_a_reset_is_kept() {
        let args = args("10.7.0.1 9");
        let ends = ends(&args).unwrap();
        let script = Script([Chunk::Bytes(b"hi".to_vec())].into());
        let mut line = stream::Line::new(args, ends, script, Vec::new());
        let mut peer = simulated::host(2, &["10.7.0.1/24"], &[]);
        let listener = simulated::listen(&mut peer, 9);
        let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
        let code: Result<u8, Failure> =
            simulated::run_reset(&mut hosts, listener, b"too large", |host, now| {
                line.turn(host, now, &Wake::default())
            });
        assert_eq!(line.out, b"too large");
        let failure = code.unwrap_err();
        assert!(failure.message.contains("reset"), "{failure}");
    }

    /// The peer has finished; we have not, and what is said late is said still.
    #[test]
    fn a_listener_has_the_last_word() {
        for (words, ends_there) in [
            (vec![], true),
            (vec!["so ", "it is"], true),
            (vec![], false),
        ] {
            let args = args("-l -p 9");
            let ends = ends(&args).unwrap();
            // Nothing at first: it is not the end.
            let chunks = words.iter().map(|t| Chunk::Bytes(t.as_bytes().to_vec()));
            let end = ends_there.then_some(Chunk::End);
            let pauses = std::iter::repeat_n(Chunk::Empty, 4);
            let script = Script(pauses.chain(chunks).chain(end).collect());
            let mut line = stream::Line::new(args, ends, script, Vec::new());
            let peer = simulated::host(2, &["10.7.0.1/24"], &[]);
            let to = "10.7.0.2:9".parse().unwrap();
            let (mut client, mut heard) = (None, String::new());
            let mut hosts = [simulated::host(1, &["10.7.0.2/24"], &[]), peer];
            let (code, _) = simulated::run_both(
                &mut hosts,
                |host, now| {
                    while host.poll_event().is_some() {}
                    let usual = tcp::Options::default();
                    let h = *client
                        .get_or_insert_with(|| host.tcp_connect(now, to, None, usual).unwrap());
                    if host.tcp_state(h) == Some(tcp::State::Established) {
                        host.tcp_shutdown(now, h);
                    }
                    let mut room = [0; 99];
                    while let Ok(n @ 1..) = host.tcp_recv(now, h, &mut room) {
                        heard.push_str(str::from_utf8(&room[..n]).unwrap());
                    }
                },
                |host, now| line.turn(host, now, &Wake::default()),
            );
            assert_eq!((code.unwrap(), heard), (0, words.concat()), "{ends_there}");
        }
    }

    #[test]
    fn a_connection_that_is_not_made_is_a_failure() {
        let failure = line("10.7.0.1 8", &["x"], true).1.unwrap_err();
        assert!(
            failure.code == 1 && failure.message.contains("refused"),
            "{failure}"
        );
        let failure = line("-w 1 10.7.0.9 7", &["x"], true).1.unwrap_err();
        assert_eq!(
            (failure.code, failure.message.as_str()),
            (1, "10.7.0.9:7: no answer in 1s")
        );
        let (_, code) = line("-l -p 9 -w 1", &["x"], true);
        assert_eq!(code.unwrap(), 0, "nobody came");
    }

    #[test]
    fn both_ends_are_read_from_the_line() {
        let to = |text: &str| Some(text.parse().unwrap());
        for (line, port, peer) in [
            ("10.0.0.1 7", 0, to("10.0.0.1:7")),
            ("-u 10.0.0.1 7", 0, to("10.0.0.1:7")),
            ("-u -p 9 10.0.0.1 7", 9, to("10.0.0.1:7")),
            ("-u -l 7", 7, None),
            ("-u -l -p 7", 7, None),
            ("-u -l -p 7 10.0.0.1 9", 7, to("10.0.0.1:9")),
        ] {
            let got = ends(&args(line)).unwrap();
            assert_eq!(got, Ends { port, peer }, "{line}");
        }
        for (line, want) in [
            ("-u 10.0.0.1", "give HOST and PORT"),
            ("-u 10.0.0.1 0", "'0' is no port"),
            ("-u x 7", "names are not looked up"),
            ("-u -l", "give -p PORT"),
        ] {
            let f = ends(&args(line)).unwrap_err();
            assert!(f.code == 2 && f.message.contains(want), "{line}: {f}");
        }
    }
}
