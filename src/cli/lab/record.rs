//! What is written of a run while it goes on: trace, captures, ladder, ShiViz log, picture.
//!
//! ```text
//!   World --pump--> export::Recorder --take--> FILE, DIR/WIRE.pcapng, DIR/all.pcapng, stdout
//! ```

use super::super::Failure;
use crate::device::process;
use crate::lab::export::{Output, Recorder, Wanted, ladder};
use crate::lab::{WireId, World};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What is to be told of a world.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Its events.
    pub watch: bool,
    /// What TCP decides.
    pub tcp_log: bool,
}

/// Which files are wanted.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "What to write of a run (\"-\" is standard output)")]
pub struct Files {
    /// Every event, as JSON lines; `tapline help lab` says what stands in them.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Every frame, with what became of it as comment: DIR/WIRE.pcapng for each wire, where a frame
    /// is once, when it is sent; and DIR/all.pcapng, where it is at both ends of each wire, as it
    /// leaves and as it comes (frame.interface_name tells which). Only the latter where this ends
    /// in .pcapng.
    #[arg(long, value_name = "DIR")]
    pub pcap: Option<PathBuf>,

    /// Who sent what to whom, as sequence text.
    #[arg(long, value_name = "FILE")]
    pub ladder: Option<PathBuf>,

    /// A log for ShiViz.
    #[arg(long, value_name = "FILE")]
    pub shiviz: Option<PathBuf>,

    /// What TCP decided, in the manner of qlog 0.3 (JSON-SEQ): a file for each connection, at each of
    /// its ends; what stands in it is in the documentation of `lab::export::qlog`.
    #[arg(long, value_name = "DIR")]
    pub qlog: Option<PathBuf>,

    /// The topology with its traffic, and charts over time.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

impl Files {
    fn wanted(&self, title: &str) -> Wanted {
        Wanted {
            json: self.trace.is_some(),
            pcapng: self.pcap.is_some(),
            pcapng_each: self.pcap.as_deref().is_some_and(|p| !is_capture(p)),
            ladder: self.ladder.as_ref().map(|_| ladder::Config::default()),
            shiviz: self.shiviz.is_some(),
            qlog: self.qlog.is_some(),
            svg: self.svg.as_ref().map(|_| title.to_owned()),
        }
    }

    /// Whether any is.
    #[must_use]
    pub fn any(&self) -> bool {
        self.wanted("").any()
    }

    /// What has to be told of the world for them.
    #[must_use]
    pub fn look(&self) -> Look {
        Look {
            watch: self.wanted("").events(),
            tcp_log: self.qlog.is_some(),
        }
    }

    /// Whether something goes to standard output, which nothing may follow.
    #[must_use]
    pub fn talk(&self) -> bool {
        let all = [&self.trace, &self.ladder, &self.shiviz, &self.svg];
        all.into_iter().flatten().any(|path| is_stdout(path))
    }

    /// That no file is written twice, nor what is read: `input` is the topology's file.
    ///
    /// # Errors
    /// Exit code 2 with both names.
    pub fn check(&self, input: &str) -> Result<(), Failure> {
        let remedy = |what: String| Failure {
            remedy: Some("choose another file".to_owned()),
            ..Failure::usage(what)
        };
        let mut taken: Vec<(&str, Identity)> = Vec::new();
        taken.extend(Identity::of(Path::new(input)).map(|file| ("what is run", file)));
        for (option, path) in self.named() {
            let shown = path.display();
            let Some(file) = Identity::of(&path) else {
                continue;
            };
            if let Some((other, _)) = taken.iter().find(|(_, other)| *other == file) {
                let what = match file {
                    Identity::Stdout => "to standard output".to_owned(),
                    _ => format!("{shown}"),
                };
                return Err(remedy(format!("{option} {what}: that is {other}")));
            }
            taken.push((option, file));
        }
        Ok(())
    }

    /// The options with the files of theirs that are known by name.
    fn named(&self) -> Vec<(&'static str, PathBuf)> {
        let files = [
            ("--trace", &self.trace),
            ("--ladder", &self.ladder),
            ("--shiviz", &self.shiviz),
            ("--svg", &self.svg),
        ];
        let files = files.into_iter();
        let files = files.filter_map(|(option, path)| Some((option, path.clone()?)));
        let pcap = self.pcap.iter().map(|path| ("--pcap", capture_in(path)));
        files.chain(pcap).collect()
    }

    /// That as many files as this may open can be open at once, which is made so as far as it may be:
    /// before anything is written.
    fn make_room(&self, wires: usize) -> Result<(), Failure> {
        let Some(pcap) = self.pcap.as_ref().filter(|path| !is_capture(path)) else {
            return Ok(());
        };
        let needed = wires + OTHERS;
        let Ok(may) = process::raise_open_files(needed) else {
            return Ok(());
        };
        if may >= needed {
            return Ok(());
        }
        Err(Failure::lacks(
            format!(
                "--pcap {}: a file for each of {wires} wires, and only {may} files may be open",
                pcap.display()
            ),
            format!(
                "--pcap all.pcapng for one file of all; or ulimit -n {needed} before (as root)"
            ),
        ))
    }

    /// Begins to write of `world`, which is complete and has been watched from its first event on;
    /// `None` where nothing is wanted.
    ///
    /// # Errors
    /// Where a file cannot be made.
    pub fn record(&self, world: &World, title: &str) -> Result<Option<Record>, Failure> {
        if !self.any() {
            return Ok(None);
        }
        self.make_room(world.wires().count())?;
        let mut record = Record {
            recorder: Recorder::new(world, self.wanted(title)),
            outputs: BTreeMap::new(),
            pcap: self.pcap.clone(),
            qlog: self.qlog.clone(),
            wires: world.wires().map(|(_, w)| w.name.to_string()).collect(),
            pumped: 0,
        };
        let named = [
            (Output::Json, &self.trace),
            (Output::Ladder, &self.ladder),
            (Output::Shiviz, &self.shiviz),
            (Output::Svg, &self.svg),
        ];
        for (output, path) in named {
            if let Some(path) = path {
                record.outputs.insert(output, open(path)?);
            }
        }
        if let Some(path) = &self.qlog {
            fs::create_dir_all(path).map_err(|e| unwritten(path, &e))?;
        }
        if let Some(path) = &self.pcap {
            if !is_capture(path) {
                fs::create_dir_all(path).map_err(|e| unwritten(path, &e))?;
            }
            let all = capture_in(path);
            record.outputs.insert(Output::Pcapng, open(&all)?);
        }
        Ok(Some(record))
    }
}

/// Files that are open besides a capture for each wire.
const OTHERS: usize = 32;

/// What makes two names the same file.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    Stdout,
    /// Device and number.
    There(u64, u64),
    /// In a folder that is there.
    New(PathBuf),
}

impl Identity {
    /// `None` where it may be written as often as one likes, as `/dev/null`, or cannot be at all.
    fn of(path: &Path) -> Option<Self> {
        if is_stdout(path) {
            return Some(Self::Stdout);
        }
        match fs::metadata(path) {
            Ok(file) if file.is_file() => Some(Self::There(file.dev(), file.ino())),
            Ok(_) => None,
            Err(_) => {
                let folder = path.parent()?;
                let here = folder.as_os_str().is_empty();
                let folder = fs::canonicalize(if here { Path::new(".") } else { folder });
                // A folder that is yet to be made has the name that it was given.
                let folder =
                    folder.unwrap_or_else(|_| path.parent().map_or_else(PathBuf::new, Into::into));
                Some(Self::New(folder.join(path.file_name()?)))
            }
        }
    }
}

/// Where all frames go.
fn capture_in(path: &Path) -> PathBuf {
    match is_capture(path) {
        true => path.to_owned(),
        false => path.join("all.pcapng"),
    }
}

/// Events between two looks at what there is to write.
const EVERY: u32 = 1024;

/// Writes of one run.
pub struct Record {
    recorder: Recorder,
    outputs: BTreeMap<Output, (PathBuf, Box<dyn Write>)>,
    pcap: Option<PathBuf>,
    qlog: Option<PathBuf>,
    wires: Vec<String>,
    pumped: u32,
}

impl Record {
    /// After each step.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn pump(&mut self, world: &mut World) -> Result<(), Failure> {
        self.recorder.pump(world);
        self.pumped += 1;
        match self.pumped.is_multiple_of(EVERY) {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// The run is over.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn finish(mut self, world: &mut World) -> Result<(), Failure> {
        self.recorder.finish(world);
        self.write()?;
        for (path, out) in self.outputs.values_mut() {
            written(path, out, |out| out.flush())?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Failure> {
        for (output, bytes) in self.recorder.take() {
            if !self.outputs.contains_key(&output) {
                let logged = match (&output, &self.qlog) {
                    (Output::Qlog(name), Some(folder)) => Some(folder.join(name)),
                    _ => None,
                };
                let Some(path) = logged.or_else(|| self.capture_of(&output)) else {
                    continue;
                };
                self.outputs.insert(output.clone(), open(&path)?);
            }
            if let Some((path, out)) = self.outputs.get_mut(&output) {
                written(path, out, |out| out.write_all(&bytes))?;
            }
        }
        Ok(())
    }

    /// The file of a wire's capture.
    fn capture_of(&self, output: &Output) -> Option<PathBuf> {
        let Output::PcapngOf(WireId(wire)) = *output else {
            return None;
        };
        let name = self.wires.get(usize::try_from(wire).ok()?)?;
        Some(self.pcap.as_ref()?.join(format!("{name}.pcapng")))
    }
}

fn is_capture(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "pcapng")
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn open(path: &Path) -> Result<(PathBuf, Box<dyn Write>), Failure> {
    if is_stdout(path) {
        return Ok((path.to_owned(), Box::new(io::stdout())));
    }
    let file = File::create(path).map_err(|e| unwritten(path, &e))?;
    Ok((path.to_owned(), Box::new(io::BufWriter::new(file))))
}

/// Whoever reads standard output may have read enough: the rest goes nowhere, and what the run came
/// to is in the exit code all the same.
fn written(
    path: &Path,
    out: &mut Box<dyn Write>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    match write(out.as_mut()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe && is_stdout(path) => {
            *out = Box::new(io::sink());
            Ok(())
        }
        done => done.map_err(|e| unwritten(path, &e)),
    }
}

fn unwritten(path: &Path, e: &io::Error) -> Failure {
    Failure::lacks(format!("{}: {e}", path.display()), "choose another file")
}
