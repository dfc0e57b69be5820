//! What a direction of a wire shall be like: the verb's options, and the same words for one end.
//!
//! ```text
//!   --delay 20ms --loss 5%              both ways     \
//!   --from west "rate=1mbit loss=2%"    over that      --config--> impair::Config of each way
//! ```

use crate::cli::Failure;
use crate::lab::units::{self, write_chance, write_duration, write_rate};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use stack::link::impair::{Chance, Config, Loss, Queue, codel, fq_codel};
use stack::time::{Duration, nanos};

/// What a TAP can be set to carry.
const MTUS: std::ops::RangeInclusive<i64> = 68..=65_521;

/// How a direction differs from a perfect one. What is not said stays perfect.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The wire, both ways unless in --from")]
pub(super) struct Settings {
    /// Propagation: 20ms, 300us, 1.5s.
    #[arg(long, value_name = "D", value_parser = units::duration)]
    delay: Option<Duration>,

    /// The delay is even in delay ± jitter, which puts frames out of order.
    #[arg(long, value_name = "D", value_parser = units::duration)]
    jitter: Option<Duration>,

    /// Jitter does not put frames out of order.
    #[arg(long)]
    in_order: bool,

    /// Each frame is lost with this probability: 5% or 0.05.
    #[arg(long, value_name = "P", conflicts_with = "burst_loss")]
    loss: Option<Chance>,

    /// Losses in bursts (Gilbert-Elliott): so many on average, in bursts of so many frames on
    /// average, as 5%:8.
    #[arg(long, value_name = "P:N", value_parser = bursts)]
    burst_loss: Option<Bursts>,

    /// A frame arrives twice.
    #[arg(long, value_name = "P")]
    duplicate: Option<Chance>,

    /// A frame is held back, so that later ones overtake it.
    #[arg(long, value_name = "P")]
    reorder: Option<Chance>,

    /// How long it is held back [default: 10ms].
    #[arg(long, value_name = "D", value_parser = units::duration)]
    reorder_by: Option<Duration>,

    /// Bit error rate: each bit is flipped with this probability, as 1e-6.
    #[arg(long, value_name = "P")]
    ber: Option<Chance>,

    /// No frame check: frames with flipped bits arrive, instead of being dropped.
    #[arg(long)]
    no_frame_check: bool,

    /// Bits a second: 100mbit, 64kbit; `unlimited`; 0 stands still.
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<Rate>,

    /// Bytes that each frame takes on the wire besides its own, for --rate: 24 on Ethernet.
    #[arg(long, value_name = "N")]
    overhead: Option<u16>,

    /// Largest packet, also set on the interface that sends [default: 1500].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(MTUS))]
    mtu: Option<u32>,

    /// What waits where frames come faster than --rate [default: drop-tail].
    #[arg(long, value_name = "KIND")]
    queue: Option<Kind>,

    /// How much may wait: a number of frames, or with a unit bytes, as 64KiB [default: 1000 frames,
    /// fq-codel 10240].
    #[arg(long, value_name = "N", value_parser = limit)]
    limit: Option<Limit>,

    /// drop-tail: mark "congestion experienced" where so many frames wait already.
    #[arg(long, value_name = "N")]
    mark: Option<u32>,

    /// codel, fq-codel: how long frames may wait for good [default: 5ms].
    #[arg(long, value_name = "D", value_parser = units::duration)]
    target: Option<Duration>,

    /// codel, fq-codel: for how long that may be exceeded [default: 100ms].
    #[arg(long, value_name = "D", value_parser = units::duration)]
    interval: Option<Duration>,

    /// codel, fq-codel: drop even what could be marked "congestion experienced".
    #[arg(long)]
    no_ecn: bool,

    /// fq-codel: queues for flows to share [default: 1024].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    flows: Option<u16>,

    /// fq-codel: bytes that a flow sends in its turn [default: 1514].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    quantum: Option<u32>,
}

/// Bits a second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate(Option<u64>);

/// Loss in bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bursts {
    to_bad: Chance,
    to_good: Chance,
}

/// A queue's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Frames(u32),
    Bytes(u64),
}

/// A queue's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// First in, first out; full is full.
    DropTail,
    /// Controlled delay (RFC 8289).
    Codel,
    /// Flows that share, each with controlled delay (RFC 8290).
    FqCodel,
}

/// [`Settings`] on a line of their own.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true, name = "--from")]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

impl Settings {
    /// The settings in a text: `delay=20ms loss=5% in-order`, separated by spaces or commas.
    ///
    /// # Errors
    /// Exit code 2: what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let words = text.split([' ', ',', '\t', '\n']).filter(|w| !w.is_empty());
        let words = words.map(|w| format!("--{}", w.trim_start_matches('-')));
        let wrong = |e: clap::Error| {
            let said = e.to_string();
            let first = said.lines().next().unwrap_or_default();
            Failure::usage(format!("'{text}': {}", first.trim_start_matches("error: ")))
        };
        let matches = Line::command().try_get_matches_from(words).map_err(wrong)?;
        let line = Line::from_arg_matches(&matches).map_err(wrong)?;
        Ok(line.settings)
    }

    /// These, and where they say nothing, `others`.
    #[must_use]
    pub(super) fn over(self, others: &Self) -> Self {
        let lossy = self.loss.is_some() || self.burst_loss.is_some();
        let other = |loss| if lossy { None } else { loss };
        Self {
            delay: self.delay.or(others.delay),
            jitter: self.jitter.or(others.jitter),
            in_order: self.in_order || others.in_order,
            loss: self.loss.or(other(others.loss)),
            burst_loss: match lossy {
                true => self.burst_loss,
                false => others.burst_loss,
            },
            duplicate: self.duplicate.or(others.duplicate),
            reorder: self.reorder.or(others.reorder),
            reorder_by: self.reorder_by.or(others.reorder_by),
            ber: self.ber.or(others.ber),
            no_frame_check: self.no_frame_check || others.no_frame_check,
            rate: self.rate.or(others.rate),
            overhead: self.overhead.or(others.overhead),
            mtu: self.mtu.or(others.mtu),
            queue: self.queue.or(others.queue),
            limit: self.limit.or(others.limit),
            mark: self.mark.or(others.mark),
            target: self.target.or(others.target),
            interval: self.interval.or(others.interval),
            no_ecn: self.no_ecn || others.no_ecn,
            flows: self.flows.or(others.flows),
            quantum: self.quantum.or(others.quantum),
        }
    }

    /// What the sending interface's MTU shall be.
    #[must_use]
    pub(super) const fn mtu(&self) -> Option<u32> {
        self.mtu
    }

    /// A way's configuration.
    ///
    /// # Errors
    /// Exit code 2: options that do not go together.
    pub(super) fn config(&self) -> Result<Config, Failure> {
        let usual = Config::default();
        let bursts = self.burst_loss.map(|b| Loss::GilbertElliott {
            to_bad: b.to_bad,
            to_good: b.to_good,
            loss_good: Chance::NEVER,
            loss_bad: Chance::ALWAYS,
        });
        let alone = self.loss.filter(|p| !p.is_never()).map(Loss::Independent);
        let mtu = self.mtu.and_then(|n| usize::try_from(n).ok());
        if self.in_order && self.jitter.is_none() {
            let what = "--in-order is about --jitter: give one, or --jitter 0 where a script does";
            return Err(Failure::usage(what));
        }
        if self.reorder_by.is_some() && self.reorder.is_none() {
            return Err(Failure::usage(
                "--reorder-by is for --reorder: say how many",
            ));
        }
        let config = Config {
            rate: self.rate.and_then(|r| r.0),
            overhead: self.overhead.unwrap_or(usual.overhead),
            delay: self.delay.unwrap_or(usual.delay),
            jitter: self.jitter.unwrap_or(usual.jitter),
            in_order: self.in_order,
            loss: bursts.or(alone).unwrap_or_default(),
            duplicate: self.duplicate.unwrap_or(usual.duplicate),
            reorder: self.reorder.unwrap_or(usual.reorder),
            reorder_by: self.reorder_by.unwrap_or(usual.reorder_by),
            bit_errors: self.ber.unwrap_or(usual.bit_errors),
            frame_check: !self.no_frame_check,
            mtu: mtu.unwrap_or(usual.mtu),
            queue: self.queue()?,
        };
        match config.contradiction() {
            Some(("queue", why)) => Err(Failure::usage(format!("--queue or --limit: {why}"))),
            Some((field, why)) => Err(Failure::usage(format!("--{field}: {why}"))),
            None => Ok(config),
        }
    }

    fn queue(&self) -> Result<Queue, Failure> {
        let kind = self.queue.unwrap_or(Kind::DropTail);
        let codel = self.target.is_some() || self.interval.is_some() || self.no_ecn;
        let fair = self.flows.is_some() || self.quantum.is_some();
        let wrong = |what: &str| Err(Failure::usage(what));
        match kind {
            Kind::DropTail if codel || fair => {
                return wrong(
                    "--target, --interval and --no-ecn are for --queue codel or fq-codel, \
                     --flows and --quantum for fq-codel",
                );
            }
            Kind::Codel if fair => return wrong("--flows and --quantum are for --queue fq-codel"),
            Kind::Codel | Kind::FqCodel if self.mark.is_some() => {
                return wrong("--mark is for --queue drop-tail: codel marks by itself");
            }
            _ => {}
        }
        let frames = match self.limit {
            Some(Limit::Bytes(_)) if kind != Kind::DropTail => {
                return wrong("--limit in bytes is for --queue drop-tail: give a number of frames");
            }
            Some(Limit::Frames(n)) => Some(n),
            _ => None,
        };
        let plain = codel::Config::default();
        let shared = fq_codel::Config::default();
        Ok(match kind {
            Kind::DropTail => match (self.limit, Queue::default()) {
                (Some(Limit::Bytes(bytes)), _) => Queue::DropTail {
                    packets: None,
                    bytes: Some(bytes),
                    mark: self.mark,
                },
                (Some(Limit::Frames(n)), _) => Queue::DropTail {
                    packets: Some(n),
                    bytes: None,
                    mark: self.mark,
                },
                (None, Queue::DropTail { packets, bytes, .. }) => Queue::DropTail {
                    packets,
                    bytes,
                    mark: self.mark,
                },
                (None, other) => other,
            },
            Kind::Codel => Queue::Codel(codel::Config {
                target: self.target.unwrap_or(plain.target),
                interval: self.interval.unwrap_or(plain.interval),
                packets: frames.unwrap_or(plain.packets),
                ecn: !self.no_ecn,
            }),
            Kind::FqCodel => Queue::FqCodel(fq_codel::Config {
                target: self.target.unwrap_or(shared.target),
                interval: self.interval.unwrap_or(shared.interval),
                packets: frames.unwrap_or(shared.packets),
                quantum: self.quantum.unwrap_or(shared.quantum),
                flows: self.flows.unwrap_or(shared.flows),
                ecn: !self.no_ecn,
            }),
        })
    }

    /// Whether it says what waits, where nothing ever does.
    #[must_use]
    pub(super) const fn queues_in_vain(&self) -> bool {
        let queue = self.queue.is_some() || self.limit.is_some() || self.mark.is_some();
        queue && !matches!(self.rate, Some(Rate(Some(_))))
    }
}

/// What a way does, in a few words; "perfect" where it does nothing.
#[must_use]
pub(super) fn describe(config: &Config) -> String {
    let mut words = Vec::new();
    if !config.delay.is_zero() {
        words.push(format!("delay {}", write_duration(config.delay)));
    }
    if !config.jitter.is_zero() {
        words.push(format!("jitter {}", write_duration(config.jitter)));
    }
    match &config.loss {
        Loss::None => {}
        Loss::Independent(chance) => words.push(format!("loss {}", write_chance(*chance))),
        Loss::GilbertElliott { .. } => words.push("loss in bursts".to_owned()),
        Loss::Scripted(_) => words.push("scripted loss".to_owned()),
    }
    for (name, chance) in [
        ("duplicates", config.duplicate),
        ("reordering", config.reorder),
        ("bit errors", config.bit_errors),
    ] {
        if !chance.is_never() {
            words.push(format!("{name} {}", write_chance(chance)));
        }
    }
    if let Some(rate) = config.rate {
        words.push(format!("rate {}", write_rate(rate)));
    }
    let usual = Config::default();
    if config.mtu != usual.mtu {
        words.push(format!("MTU {}", config.mtu));
    }
    match config.queue {
        Queue::Codel(_) => words.push("CoDel".to_owned()),
        Queue::FqCodel(_) => words.push("FQ-CoDel".to_owned()),
        Queue::DropTail { .. } => {}
    }
    match words.is_empty() {
        true => "perfect".to_owned(),
        false => words.join(", "),
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "unlimited" => Ok(Rate(None)),
        _ => units::rate(text)
            .map(|r| Rate(Some(r)))
            .map_err(|e| e.to_string()),
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        let wrong = |_| "a number of frames, or bytes with a unit, as 64KiB".to_owned();
        return text.parse().map(Limit::Frames).map_err(wrong);
    }
    units::size(text)
        .map(Limit::Bytes)
        .map_err(|e| e.to_string())
}

/// `5%:8`: the chances of a chain that loses all while bad and nothing while good. Bad for a share
/// `p` of the time in bursts of `n`, it leaves bad with `1/n` and good with `p / (n (1 - p))`.
fn bursts(text: &str) -> Result<Bursts, String> {
    const ONE: u128 = 1 << 64;
    const MILLION: u64 = 1_000_000;
    let wrong = || "mean loss and mean burst in frames, as 5%:8".to_owned();
    let (mean, length) = text.split_once(':').ok_or_else(wrong)?;
    let mean: Chance = mean.parse().map_err(|e| format!("{mean}: {e}"))?;
    // A length may have decimals: in millionths, as a duration in seconds has microseconds.
    let length = units::duration(&format!("{length}s")).map_err(|_| wrong())?;
    let length = nanos(length) / 1000;
    if length < MILLION {
        return Err("a burst is at least one frame long".to_owned());
    }
    let million = u128::from(MILLION);
    let to_good = million * ONE / u128::from(length);
    let share = u128::from(mean.bits());
    let to_bad = match ONE - share {
        rest if mean != Chance::ALWAYS => {
            ((share * million / u128::from(length)) << 32) / (rest >> 32).max(1)
        }
        // All lost: no burst is long enough.
        _ => ONE + 1,
    };
    let fits = |n: u128| match n {
        ONE => Some(Chance::ALWAYS),
        _ => u64::try_from(n).map(Chance::from_bits).ok(),
    };
    match (fits(to_bad), fits(to_good)) {
        (Some(to_bad), Some(to_good)) => Ok(Bursts { to_bad, to_good }),
        _ => {
            Err("so much loss needs longer bursts: at most N of N+1 frames can be lost".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config, String> {
        let parsed = Settings::parse(text).and_then(|s| s.config());
        parsed.map_err(|f| {
            assert_eq!(f.code, 2);
            f.to_string()
        })
    }

    #[test]
    fn words_become_a_configuration() {
        let c = config("delay=20ms, jitter=1ms in-order loss=5% ber=1e-6 no-frame-check").unwrap();
        assert_eq!(c.delay, Duration::from_millis(20));
        assert_eq!(c.loss, Loss::Independent(Chance::from_ppm(50_000)));
        assert_eq!(c.bit_errors, Chance::from_ppm(1));
        assert!(c.in_order && !c.frame_check);
        assert_eq!(config("").unwrap(), Config::default());
        assert_eq!(config("rate=unlimited loss=0").unwrap(), Config::default());
        let c = config("--rate=100mbit --overhead=24 limit=64KiB mark=5").unwrap();
        assert_eq!((c.rate, c.overhead), (Some(100_000_000), 24));
        let (packets, bytes, mark) = (None, Some(65_536), Some(5));
        let tail = Queue::DropTail {
            packets,
            bytes,
            mark,
        };
        assert_eq!(c.queue, tail);
        let c = config("queue=fq-codel limit=100 flows=8 no-ecn target=1ms").unwrap();
        let want = fq_codel::Config {
            packets: 100,
            flows: 8,
            ecn: false,
            target: Duration::from_millis(1),
            ..fq_codel::Config::default()
        };
        assert_eq!(c.queue, Queue::FqCodel(want));
    }

    #[test]
    fn one_end_differs() {
        let both = Settings::parse("delay=20ms loss=5% rate=1mbit").unwrap();
        let one = Settings::parse("rate=unlimited burst-loss=1%:4").unwrap();
        let c = one.over(&both).config().unwrap();
        assert_eq!((c.delay, c.rate), (Duration::from_millis(20), None));
        assert!(matches!(c.loss, Loss::GilbertElliott { .. }));
        let back = Settings::parse("loss=0").unwrap();
        let bursty = Settings::parse("burst-loss=1%:4").unwrap();
        assert_eq!(back.over(&bursty).config().unwrap().loss, Loss::None);
    }

    #[test]
    fn bursts_have_the_mean_and_the_length() {
        let b = bursts("20%:4").unwrap();
        let near = |a: Chance, b: Chance| a.bits().abs_diff(b.bits()) < 1 << 36;
        assert!(near(b.to_good, Chance::from_ppm(250_000)));
        // p = r L / (1 - L) = 0.25 * 0.2 / 0.8
        assert!(near(b.to_bad, Chance::from_ppm(62_500)));
        assert_eq!(bursts("0:4").unwrap().to_bad, Chance::NEVER);
        assert!(bursts("50%:1").is_ok(), "every other one");
        for text in [
            "51%:1",
            "100%:9",
            "99.9999999999%:9",
            "5%",
            "5%:0.5",
            "x:8",
            "5%:",
            "5%:x",
        ] {
            assert!(bursts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, want) in [
            ("loss=150%", "a probability lies between 0 and 1"),
            ("rate=10mb", "unknown unit `mb`"),
            ("delay=5", "has no unit"),
            ("colour=red", "--colour"),
            ("loss=1% burst-loss=1%:2", "cannot be used with"),
            ("target=5ms", "--queue codel"),
            ("queue=codel flows=3", "for --queue fq-codel"),
            ("queue=codel mark=3", "--mark is for"),
            ("queue=codel limit=1KiB", "in bytes is for"),
            ("mtu=40", "40 is not in 68..=65521"),
            ("jitter=10ms", "--jitter: the jitter is more than the delay"),
            ("delay=5ms jitter=6ms", "--jitter: the jitter is more"),
            ("in-order", "--in-order is about --jitter"),
            ("delay=3ms in-order", "--in-order is about --jitter"),
            ("reorder-by=5ms", "--reorder-by is for --reorder"),
            ("rate=1mbit limit=0", "a queue of 0 packets holds nothing"),
            ("limit=0kB", "a queue of 0 bytes holds nothing"),
        ] {
            let said = config(text).unwrap_err();
            assert!(said.contains(want), "{text}: {said}");
        }
    }

    #[test]
    fn it_is_described() {
        assert_eq!(describe(&Config::default()), "perfect");
        let c = config("delay=20ms loss=5% rate=100mbit queue=codel").unwrap();
        assert_eq!(describe(&c), "delay 20ms, loss 5%, rate 100mbit, CoDel");
    }
}
