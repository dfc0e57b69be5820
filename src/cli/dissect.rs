//! `dissect`: what is in a capture, a line a packet.
//!
//! ```text
//!   file --pcap::Capture--> records --Dissector--> text | json | count
//! ```

use super::Failure;
use super::progress::Progress;
use super::report::HEADER_CUT;
use crate::dissect::{Checksum, Dissector, Fault, Kind, Layer, Visitor, json, text};
use crate::runtime::Clock;
use stack::wire::ParseError;
use stack::wire::pcap::{Capture, Record};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is in a capture: one line a packet.
///
/// Reads pcap (microseconds and nanoseconds, either byte order) and pcapng: Ethernet, VLANs, ARP,
/// IPv4, IPv6, ICMP, IGMP, UDP, TCP and common tunnels. Fragments are put together, checksums
/// verified. A capture that ends too early is read as far as it goes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tapline dissect capture.pcap
  tapline dissect --json capture.pcapng | head -1
  tapline dissect --count *.pcap          # how many of what, and how fast")]
pub struct Args {
    /// Captures, in this order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// One JSON object a line: n, t, len, layers, each with its fields by their RFC's names.
    #[arg(long)]
    json: bool,

    /// Decode every layer, verify every checksum, and tell only how many and how fast.
    #[arg(long)]
    count: bool,
}

/// Runs the verb.
///
/// # Errors
/// Exit code 2 where a file cannot be read or is no capture.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match all(args, &mut out) {
        Err(Problem::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(Problem::Output(e)) => Err(e.into()),
        Err(Problem::File(message)) => Err(Failure::usage(message)),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

enum Problem {
    Output(io::Error),
    File(String),
}

impl From<io::Error> for Problem {
    fn from(e: io::Error) -> Self {
        Self::Output(e)
    }
}

fn all(args: &Args, out: &mut impl Write) -> Result<(), Problem> {
    let clock = Clock::start();
    let mut count = Count::default();
    let mut problem = None;
    let lens = args
        .files
        .iter()
        .map(|path| Some(path.metadata().ok()?.len()));
    let mut progress = Progress::of(lens.flatten().sum(), !args.count);
    for path in &args.files {
        let result = if args.count {
            count.file(path, &mut progress)
        } else {
            show(args, path, out, &mut progress)
        };
        match result {
            // The other files are still wanted.
            Err(Problem::File(message)) if args.files.len() > 1 => {
                out.flush()?;
                eprintln!("tapline: {message}");
                problem = Some(message);
            }
            other => other?,
        }
    }
    drop(progress);
    if args.count {
        count.tell(args.json, clock.now().as_nanos(), out)?;
    }
    out.flush()?;
    match problem {
        Some(_) => Err(Problem::File("not all files could be read".into())),
        None => Ok(()),
    }
}

/// A file read in pieces: memory does not grow with it.
struct Pieces<'p> {
    path: &'p Path,
    file: File,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are filled.
    len: usize,
    at_end: bool,
}

impl<'p> Pieces<'p> {
    /// Large enough that a call costs nothing, small enough for the cache.
    const PIECE: usize = 1 << 20;
    /// No record is longer than this.
    const LONGEST: usize = 256 << 20;

    fn open(path: &'p Path) -> Result<Self, Problem> {
        let file = File::open(path).map_err(|e| unreadable(path, e))?;
        let mut pieces = Self {
            path,
            file,
            buffer: Vec::new(),
            len: 0,
            at_end: false,
        };
        pieces.advance(0)?;
        Ok(pieces)
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Forgets the first `used` bytes and reads on.
    fn advance(&mut self, used: usize) -> Result<(), Problem> {
        self.buffer.copy_within(used..self.len, 0);
        self.len -= used;
        if self.buffer.len() < self.len + Self::PIECE / 2 {
            // A record that does not fit: doubling keeps the copying linear.
            self.buffer.resize(self.len.max(Self::PIECE) * 2, 0);
        }
        while self.len < self.buffer.len() && !self.at_end {
            match self.file.read(&mut self.buffer[self.len..]) {
                Ok(0) => self.at_end = true,
                Ok(n) => self.len += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(unreadable(self.path, e)),
            }
        }
        Ok(())
    }
}

fn unreadable(path: &Path, e: impl std::fmt::Display) -> Problem {
    Problem::File(format!("{}: {e}", path.display()))
}

/// Hands each record of a capture to `take`; gives the bytes read. A file that ends too early is
/// told on standard error, and is no failure.
fn each_record(
    path: &Path,
    progress: &mut Progress,
    mut take: impl FnMut(&Record<'_>) -> Result<(), Problem>,
) -> Result<u64, Problem> {
    let mut pieces = Pieces::open(path)?;
    let mut read = 0;
    let mut state = match Capture::parse(pieces.bytes()) {
        Ok(capture) => capture,
        // As good as a capture of nothing.
        Err(ParseError::Truncated(_)) => {
            warn(path, HEADER_CUT);
            return Ok(0);
        }
        Err(e) => return Err(unreadable(path, format_args!("no capture: {e}"))),
    };
    loop {
        let mut error = None;
        for record in state.by_ref() {
            match record {
                Ok(record) => take(&record)?,
                Err(e) => error = Some(e),
            }
        }
        let used = pieces.len - state.rest().len();
        let resumed = state.resume(&[]);
        read += used as u64;
        progress.advance(used as u64);
        match error {
            Some(e @ ParseError::Invalid(_)) => {
                warn(path, e);
                break;
            }
            Some(e) if pieces.at_end || pieces.len - used > Pieces::LONGEST => {
                warn(path, e);
                break;
            }
            None if pieces.at_end => break,
            _ => {}
        }
        pieces.advance(used)?;
        state = resumed.resume(pieces.bytes());
    }
    Ok(read)
}

/// Says that a capture ends too early.
fn warn(path: &Path, e: impl std::fmt::Display) {
    eprintln!("tapline: {}: {e}", path.display());
}

fn show(
    args: &Args,
    path: &Path,
    out: &mut impl Write,
    progress: &mut Progress,
) -> Result<(), Problem> {
    let mut dissector = Dissector::default();
    let mut line = String::new();
    let mut start = None;
    let mut n = 0;
    let mut link_type = None;
    let read = each_record(path, progress, |record| {
        n += 1;
        let (len, was) = (record.data.len(), record.original_len);
        log::trace!("record {n}: {len} bytes of {was}");
        if link_type.replace(record.link_type) != Some(record.link_type) {
            log::debug!("from record {n} on: {}", record.link_type);
        }
        let start = *start.get_or_insert(record.timestamp.unwrap_or(0));
        line.clear();
        if args.json {
            json::write(&mut line, n, record, &mut dissector);
        } else {
            text::write(&mut line, n, start, record, &mut dissector);
        }
        Ok(out.write_all(line.as_bytes())?)
    })?;
    log::info!("{}: {n} records in {read} bytes", path.display());
    Ok(())
}

/// How many of what.
struct Count {
    packets: u64,
    bytes: u64,
    file_bytes: u64,
    layers: [u64; Kind::COUNT],
    bad_checksums: u64,
    malformed: u64,
    cut: u64,
    /// Of the packet at hand.
    now: Verdict,
}

#[derive(Default)]
struct Verdict {
    malformed: bool,
    cut: bool,
}

impl Default for Count {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            file_bytes: 0,
            layers: [0; Kind::COUNT],
            bad_checksums: 0,
            malformed: 0,
            cut: 0,
            now: Verdict::default(),
        }
    }
}

impl Visitor for Count {
    #[inline]
    fn layer(&mut self, layer: &Layer<'_>) {
        self.layers[layer.kind as usize] += 1;
        if matches!(layer.checksum, Checksum::Bad | Checksum::Illegal) {
            self.bad_checksums += 1;
        }
        match layer.fault {
            Some(Fault::Malformed(_)) => self.now.malformed = true,
            Some(Fault::Cut(_)) => self.now.cut = true,
            None => {}
        }
    }
}

impl Count {
    fn file(&mut self, path: &Path, progress: &mut Progress) -> Result<(), Problem> {
        let mut dissector = Dissector::default();
        self.file_bytes += each_record(path, progress, |record| {
            self.record(record, &mut dissector);
            Ok(())
        })?;
        Ok(())
    }

    #[inline]
    fn record(&mut self, record: &Record<'_>, dissector: &mut Dissector) {
        self.packets += 1;
        self.bytes += record.data.len() as u64;
        dissector.walk(record, self);
        let now = std::mem::take(&mut self.now);
        self.malformed += u64::from(now.malformed);
        self.cut += u64::from(now.cut);
    }

    fn tell(&self, json: bool, nanos: u64, out: &mut impl Write) -> io::Result<()> {
        // Bytes per microsecond are megabytes per second.
        let rate = self.file_bytes * 1000 / nanos.max(1);
        let totals = [
            ("packets", self.packets),
            ("bytes", self.bytes),
            ("malformed", self.malformed),
            ("cut", self.cut),
            ("bad_checksums", self.bad_checksums),
            ("nanoseconds", nanos),
            ("megabytes_per_second", rate),
        ];
        let layers = Kind::ALL.iter().filter_map(|kind| {
            let n = self.layers[*kind as usize];
            (n > 0).then_some((kind.name(), n))
        });
        if json {
            let join = |pairs: Vec<(&str, u64)>| {
                let parts: Vec<_> = pairs.iter().map(|(k, n)| format!("\"{k}\":{n}")).collect();
                parts.join(",")
            };
            let (totals, layers) = (join(totals.to_vec()), join(layers.collect()));
            return writeln!(out, "{{{totals},\"layers\":{{{layers}}}}}");
        }
        for (name, n) in totals {
            writeln!(out, "{n:>16}  {}", name.replace('_', " "))?;
        }
        for (name, n) in layers {
            writeln!(out, "{n:>16}    {name}")?;
        }
        Ok(())
    }
}
