//! What a run looks like to others: texts, captures and pictures, written while it goes on.
//!
//! ```text
//!   World::poll_trace --Event--> Recorder --> json     one object an event
//!                     Directory ----^    |--> pcapng   one file, or one a wire
//!                     (names)            |--> ladder   sequence text
//!                                        |--> shiviz   vector clocks
//!                                        \--> svg      topology and charts
//!   World::poll_tcp_log ---> Recorder ----> qlog     a file a connection
//! ```
//!
//! Each exporter is a pure function of the events and of the names: it is fed with `event`, gives
//! what it has written with `take`, and is told with `finish` that the run is over. Equal runs give
//! equal bytes. None needs the whole run; what each remembers, and when it forgets, its file says.
//!
//! Files are somebody else's: [`Recorder`] gives bytes and says what they belong to.
//!
//! Left out: what can no longer be told from events, such as what a host's tables held.

pub mod directory;
pub mod json;
pub mod ladder;
pub mod packet;
pub mod pcapng;
pub mod qlog;
pub mod sampler;
pub mod shiviz;
pub mod svg;
mod text;

pub use directory::Directory;

use super::ids::WireId;
use super::trace::Event;
use super::world::World;

/// What is wanted of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// JSON lines.
    pub json: bool,
    /// One pcapng file for all wires.
    pub pcapng: bool,
    /// A pcapng file for each wire.
    pub pcapng_each: bool,
    /// Sequence text.
    pub ladder: Option<ladder::Config>,
    /// A log for ShiViz.
    pub shiviz: bool,
    /// What TCP decided, a file a connection.
    pub qlog: bool,
    /// A picture with this title.
    pub svg: Option<String>,
}

impl Wanted {
    /// Whether anything is.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Whether the world has to be watched for it.
    #[must_use]
    pub fn events(&self) -> bool {
        let mut wanted = self.clone();
        wanted.qlog = false;
        wanted.any()
    }
}

/// What bytes belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Output {
    /// JSON lines.
    Json,
    /// The capture of all wires.
    Pcapng,
    /// The capture of a wire.
    PcapngOf(WireId),
    /// Sequence text.
    Ladder,
    /// The log for ShiViz.
    Shiviz,
    /// What the TCP of one connection decided, with a name for the file.
    Qlog(String),
    /// The picture; comes as a whole, at the end.
    Svg,
}

/// Holds the exporters that are wanted and feeds them.
///
/// ```
/// use tapline::lab::World;
/// use tapline::lab::export::{Output, Recorder, Wanted};
///
/// let mut world = World::new(1);
/// world.watch(true);
/// // ... nodes and wires ...
/// let mut recorder = Recorder::new(&world, Wanted { shiviz: true, ..Wanted::default() });
/// while world.step() {
///     recorder.pump(&mut world);
///     for (output, bytes) in recorder.take() { /* append to the file of `output` */ }
/// }
/// recorder.finish(&mut world);
/// assert!(recorder.take().iter().all(|(output, _)| *output == Output::Shiviz));
/// ```
#[derive(Clone, Debug)]
pub struct Recorder {
    names: Directory,
    json: Option<json::Json>,
    pcapng: Option<pcapng::Pcapng>,
    pcapng_each: Option<pcapng::PerWire>,
    ladder: Option<ladder::Ladder>,
    shiviz: Option<shiviz::Shiviz>,
    qlog: Option<qlog::Qlog>,
    sampler: Option<(sampler::Sampler, String)>,
    picture: Option<String>,
}

impl Recorder {
    /// Begins to record `world`, which is complete and has been watched since before it was built,
    /// so that what its hosts said first is in the record.
    #[must_use]
    pub fn new(world: &World, wanted: Wanted) -> Self {
        let names = Directory::of(world);
        Self {
            json: wanted.json.then(json::Json::default),
            pcapng: wanted.pcapng.then(|| pcapng::Pcapng::new(&names)),
            pcapng_each: wanted.pcapng_each.then(pcapng::PerWire::default),
            ladder: wanted.ladder.map(|c| ladder::Ladder::new(&names, &c)),
            shiviz: wanted.shiviz.then(shiviz::Shiviz::default),
            qlog: wanted.qlog.then(qlog::Qlog::default),
            sampler: wanted.svg.map(|title| (sampler::Sampler::default(), title)),
            picture: None,
            names,
        }
    }

    /// The names of the world.
    #[must_use]
    pub const fn names(&self) -> &Directory {
        &self.names
    }

    /// Takes what the world has recorded. To be called after each step: the picture's queues are
    /// looked at here.
    pub fn pump(&mut self, world: &mut World) {
        while let Some(event) = world.poll_trace() {
            self.event(world, &event);
        }
        while let Some(event) = world.poll_tcp_log() {
            if let Some(qlog) = &mut self.qlog {
                qlog.event(&self.names, &event);
            }
        }
    }

    /// Takes an event that somebody else has polled, right after the step that it is from.
    pub fn event(&mut self, world: &World, event: &Event) {
        let names = &self.names;
        if let Some(json) = &mut self.json {
            json.event(names, event);
        }
        if let Some(pcapng) = &mut self.pcapng {
            pcapng.event(names, event);
        }
        if let Some(files) = &mut self.pcapng_each {
            files.event(names, event);
        }
        if let Some(ladder) = &mut self.ladder {
            ladder.event(names, event);
        }
        if let Some(shiviz) = &mut self.shiviz {
            shiviz.event(names, event);
        }
        if let Some((sampler, _)) = &mut self.sampler {
            sampler.event(world, event);
        }
    }

    /// The run is over: what was held back is written, and the picture drawn.
    pub fn finish(&mut self, world: &mut World) {
        self.pump(world);
        if let Some(pcapng) = &mut self.pcapng {
            pcapng.finish();
        }
        if let Some(files) = &mut self.pcapng_each {
            files.finish();
        }
        if let Some(ladder) = &mut self.ladder {
            ladder.finish(&self.names);
        }
        if let Some((sampler, title)) = &self.sampler {
            let drawn = svg::draw(world, &self.names, sampler, title);
            // What cannot be drawn says so where the picture would be.
            self.picture = Some(drawn.unwrap_or_else(|e| format!("<!-- not drawn: {e} -->\n")));
        }
    }

    /// What was written since the last call; each output's bytes follow those given before.
    pub fn take(&mut self) -> Vec<(Output, Vec<u8>)> {
        let mut out = Vec::new();
        out.extend(self.json.as_mut().map(|e| (Output::Json, e.take())));
        out.extend(self.pcapng.as_mut().map(|e| (Output::Pcapng, e.take())));
        let files = self.pcapng_each.iter_mut().flat_map(pcapng::PerWire::take);
        out.extend(files.map(|(wire, bytes)| (Output::PcapngOf(wire), bytes)));
        out.extend(self.ladder.as_mut().map(|e| (Output::Ladder, e.take())));
        out.extend(self.shiviz.as_mut().map(|e| (Output::Shiviz, e.take())));
        let files = self.qlog.iter_mut().flat_map(qlog::Qlog::take);
        out.extend(files.map(|(name, bytes)| (Output::Qlog(name), bytes)));
        let picture = self.picture.take();
        out.extend(picture.map(|p| (Output::Svg, p.into_bytes())));
        out.retain(|(_, bytes)| !bytes.is_empty());
        out
    }
}
