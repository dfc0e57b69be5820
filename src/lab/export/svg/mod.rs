//! A run as a picture: who is joined to whom and how much went there, then over time what the script
//! broke, how long answers took, what waited and what was lost.
//!
//! ```text
//!   +--------------------------------------------+
//!   |   [a] ===== (r1) ------ (r2) ===== [b]     |   thickness: bytes; numbers: frames, lost ones
//!   +--------------------------------------------+
//!   | faults  |    ==             down r1-r2     |   a row for each line of the script
//!   | trips   |  --/\--           p              |   one line for each of the clients and
//!   | waiting |  /\_/\__          r1 > r2        |   directions that say most; one for those that
//!   | lost    |  _|_|__           r1 > r2: down  |   say the same; faults shaded behind them
//!   | refused |  __|___           r1: no-route   |
//!   | delay   |  --/\--           r1 > r2        |
//!   +--------------------------------------------+
//! ```
//!
//! Promises: equal runs give equal pictures. No two labels overlap: where there is no room for a
//! wire's numbers at the wire, they stand in a table below, the quietest wires' first.

mod charts;
mod layout;

use super::directory::{Directory, Role, short};
use super::sampler::Sampler;
use crate::lab::ids::{Lane, NodeId, WireId};
use crate::lab::units::many;
use crate::lab::world::World;
use layout::{Layout, layout};
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea as _};
use plotters::element::{PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, IntoFont as _, RGBColor, TextStyle, WHITE};
use stack::time::Instant;
use std::collections::BTreeMap;
use std::fmt;

/// The picture's width in pixels.
const WIDTH: i32 = 1200;
/// More nodes than these are not drawn.
const MAX_NODES: usize = 120;
const TITLE: i32 = 56;
const FOOT: i32 = 30;
/// Wires whose numbers stand in a table, for want of room at the wire.
const TABLE: usize = 40;
const TABLE_COLUMNS: usize = 3;
const TABLE_ROW: i32 = 18;
const INK: RGBColor = RGBColor(40, 44, 52);
const GREY: RGBColor = RGBColor(120, 126, 138);
const RED: RGBColor = RGBColor(192, 28, 40);
const WIRE: RGBColor = RGBColor(150, 170, 205);

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Drawing into memory does not fail; what plotters says of it is text only.
pub(super) type Result<T = ()> = std::result::Result<T, String>;

/// Draws the run that `sampler` saw, up to now.
///
/// # Errors
/// What the plotting library finds fault with.
pub fn draw(world: &World, names: &Directory, sampler: &Sampler, title: &str) -> Result<String> {
    let graph = Graph::new(world, names);
    let charts = charts::charts(names, sampler);
    let faults = charts::faults(sampler);
    let marked = faults.as_ref().map_or(0, charts::Faults::height);
    let topology = graph.height();
    let drawn = charts::HEIGHT * i32::try_from(charts.len()).unwrap_or(0);
    let height = TITLE + topology + FOOT + marked + drawn;
    let mut out = String::new();
    {
        let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
        let page = SVGBackend::with_string(&mut out, size).into_drawing_area();
        page.fill(&WHITE).map_err(text)?;
        let (head, rest) = page.split_vertically(TITLE);
        draw_head(&head, world, names, title)?;
        let (upper, mut rest) = rest.split_vertically(topology + FOOT);
        graph.draw(&upper, names)?;
        if let Some(faults) = &faults {
            let (here, below) = rest.split_vertically(marked);
            faults.draw(&here)?;
            rest = below;
        }
        for chart in &charts {
            let (here, below) = rest.split_vertically(charts::HEIGHT);
            chart.draw(&here)?;
            rest = below;
        }
        page.present().map_err(text)?;
    }
    Ok(out)
}

fn text(e: impl fmt::Display) -> String {
    e.to_string()
}

/// Letters of a size and colour, placed by their middle.
pub(super) fn letters(size: i32, color: RGBColor, at: HPos) -> TextStyle<'static> {
    let style = ("sans-serif", size).into_font().color(&color);
    style.pos(Pos::new(at, VPos::Center))
}

fn draw_head(area: &Area<'_>, world: &World, names: &Directory, title: &str) -> Result {
    let line = |text: &str, size, color, at| {
        let style = letters(size, color, HPos::Left);
        area.draw_text(text, &style, at).map_err(self::text)
    };
    line(title, 22, INK, (20, 20))?;
    let says = [
        format!("{} of virtual time", short(world.now() - Instant::ZERO)),
        many(names.nodes().count() as u64, "node"),
        many(names.wires().count() as u64, "wire"),
        many(world.arrivals(), "arrival"),
    ]
    .join(", ");
    line(&says, 14, GREY, (20, 44))
}

/// What one direction of a wire carried.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    frames: u64,
    bytes: u64,
    lost: u64,
}

/// A wire in the picture.
#[derive(Clone, Debug)]
struct Edge {
    wire: WireId,
    ends: [NodeId; 2],
    loads: [Load; 2],
    /// How far it is bent aside, in pixels.
    bow: f64,
}

/// The numbers at a wire.
struct Label {
    place: Box2,
    lines: Vec<(String, RGBColor)>,
}

struct Graph {
    /// None where there are too many nodes.
    layout: Option<Layout>,
    edges: Vec<Edge>,
    labels: Vec<Label>,
    /// The numbers that found no room at their wires.
    table: Vec<String>,
    /// Wires of which there are no numbers at all.
    unsaid: usize,
}

impl Graph {
    fn new(world: &World, names: &Directory) -> Self {
        let count = names.nodes().count();
        let mut graph = Self {
            layout: None,
            edges: Vec::new(),
            labels: Vec::new(),
            table: Vec::new(),
            unsaid: 0,
        };
        if count > MAX_NODES {
            return graph;
        }
        graph.edges = edges(world, names);
        let index = |n: NodeId| n.0 as usize;
        let ends = graph.edges.iter().map(|e| e.ends.map(index).into());
        let mut layout = layout(count, &ends.collect::<Vec<_>>(), WIDTH);
        bend(&mut graph.edges, &layout);
        // Wires that are bent need room above and below.
        let points = graph.edges.iter().flat_map(|e| e.points(&layout));
        let (top, bottom) = points.fold((10, layout.height - 10), |(top, bottom), (_, y)| {
            (top.min(y), bottom.max(y))
        });
        layout.at.iter_mut().for_each(|at| at.1 += 10 - top);
        layout.height = bottom - top + 20;
        graph.write_labels(names, &layout);
        graph.layout = Some(layout);
        graph
    }

    /// Finds room for the numbers of the busiest wires first.
    fn write_labels(&mut self, names: &Directory, layout: &Layout) {
        let mut taken: Vec<Box2> = names.nodes().map(|n| outline(names, layout, n)).collect();
        let mut ranked: Vec<&Edge> = self.edges.iter().collect();
        ranked.sort_by_key(|e| (u64::MAX - e.bytes(), e.wire));
        for edge in ranked {
            if let Some(label) = edge.label(names, layout, &taken) {
                taken.push(label.place);
                self.labels.push(label);
            } else if self.table.len() < TABLE {
                self.table.push(edge.row(names));
            } else {
                self.unsaid += 1;
            }
        }
    }

    fn height(&self) -> i32 {
        let rows = self.table.len().div_ceil(TABLE_COLUMNS);
        let rows = i32::try_from(rows).unwrap_or(0) * TABLE_ROW;
        self.layout.as_ref().map_or(0, |l| l.height) + rows
    }

    fn draw(&self, area: &Area<'_>, names: &Directory) -> Result {
        let foot = (20, self.height() + FOOT / 2);
        let small = letters(13, GREY, HPos::Left);
        let Some(layout) = &self.layout else {
            let says = format!("More than {MAX_NODES} nodes: the network is not drawn.");
            return area.draw_text(&says, &small, foot).map_err(text);
        };
        self.draw_wires(area, layout)?;
        for node in names.nodes() {
            draw_node(area, names, node, outline(names, layout, node))?;
        }
        let columns = i32::try_from(TABLE_COLUMNS).unwrap_or(1);
        for (entry, i) in self.table.iter().zip(0..) {
            let style = letters(12, INK, HPos::Left);
            let x = 20 + i % columns * ((WIDTH - 20) / columns);
            let y = layout.height + TABLE_ROW / 2 + i / columns * TABLE_ROW;
            area.draw_text(entry, &style, (x, y)).map_err(text)?;
        }
        let mut says = "wires: frames sent each way, thickness by bytes".to_owned();
        if self.unsaid > 0 {
            says = format!("{says}; {} wires without numbers", self.unsaid);
        }
        draw_key(area, names, foot.1)?;
        area.draw_text(&says, &small, foot).map_err(text)
    }

    fn draw_wires(&self, area: &Area<'_>, layout: &Layout) -> Result {
        let most = self.edges.iter().map(Edge::bytes).max().unwrap_or(0);
        let thickest = f64::from((layout.row / 8).clamp(2, 8));
        for edge in &self.edges {
            let share = edge.bytes() as f64 / most.max(1) as f64;
            let width = 1 + (share.sqrt() * thickest).round() as u32;
            let line = PathElement::new(edge.points(layout), WIRE.stroke_width(width));
            area.draw(&line).map_err(text)?;
        }
        for Label { place, lines } in &self.labels {
            let [(left, top), (right, _)] = *place;
            area.draw(&Rectangle::new(*place, WHITE.mix(0.85).filled()))
                .map_err(text)?;
            for ((line, color), i) in lines.iter().zip(0..) {
                let style = letters(12, *color, HPos::Center);
                let at = (left.midpoint(right), top + 9 + i * 14);
                area.draw_text(line, &style, at).map_err(text)?;
            }
        }
        Ok(())
    }
}

fn edges(world: &World, names: &Directory) -> Vec<Edge> {
    let load = |wire, from| {
        let stats = world.way(Lane { wire, from }).map(|way| *way.stats());
        let stats = stats.unwrap_or_default();
        Load {
            frames: stats.frames_in,
            bytes: stats.bytes_in,
            lost: stats.dropped_in_all(),
        }
    };
    let wires = names.wires();
    let wires = wires.filter_map(|wire| Some((wire, names.ends(wire)?)));
    let edge = |(wire, ends)| Edge {
        wire,
        ends,
        loads: [load(wire, 0), load(wire, 1)],
        bow: 0.0,
    };
    wires.map(edge).collect()
}

/// Bends wires that would lie on each other or behind nodes.
fn bend(edges: &mut [Edge], layout: &Layout) {
    let mut parallel: BTreeMap<[NodeId; 2], i32> = BTreeMap::new();
    for edge in edges {
        let mut key = edge.ends;
        key.sort();
        let nth = parallel.entry(key).or_default();
        let [a, b] = edge.ends.map(|n| n.0 as usize);
        let apart = (layout.at[a].1 - layout.at[b].1).abs();
        let behind = layout.column[a] == layout.column[b] && apart > layout.row;
        // Wires between the same nodes fan out: 0, 1, -1, 2, -2.
        let side = (*nth + 1) / 2 * if *nth % 2 == 0 { -1 } else { 1 };
        // Whichever way round the wire was laid, its sides are the same.
        let turned = if key == edge.ends { 1.0 } else { -1.0 };
        edge.bow = turned * (f64::from(side) * 60.0 + if behind { 50.0 } else { 0.0 });
        *nth += 1;
    }
}

/// A node's name as far as it is shown.
fn shown(name: &str) -> String {
    match name.chars().count() {
        ..=16 => name.to_owned(),
        _ => name.chars().take(15).chain(['…']).collect(),
    }
}

/// Where a node is drawn.
fn outline(names: &Directory, layout: &Layout, node: NodeId) -> Box2 {
    let letters = shown(names.node(node)).chars().count();
    let width = (i32::try_from(letters).unwrap_or(0) * 9 + 18).max(40);
    let high = (layout.row / 2 - 2).clamp(10, 14);
    let (x, y) = layout.at[node.0 as usize];
    [(x - width / 2, y - high), (x + width / 2, y + high)]
}

type Box2 = [(i32, i32); 2];

/// What the shapes mean, at the right.
fn draw_key(area: &Area<'_>, names: &Directory, y: i32) -> Result {
    let mut x = WIDTH - 360;
    let roles = [
        (Role::Host, "host"),
        (Role::Router, "router"),
        (Role::Hub, "hub"),
        (Role::Outside, "outside"),
    ];
    for (role, name) in roles {
        if names.nodes().any(|n| names.role(n) == role) {
            draw_shape(area, role, [(x, y - 7), (x + 22, y + 7)])?;
            let style = letters(13, GREY, HPos::Left);
            area.draw_text(name, &style, (x + 28, y)).map_err(text)?;
            x += 90;
        }
    }
    Ok(())
}

fn draw_node(area: &Area<'_>, names: &Directory, node: NodeId, place: Box2) -> Result {
    draw_shape(area, names.role(node), place)?;
    let [(left, top), (right, bottom)] = place;
    let middle = (left.midpoint(right), top.midpoint(bottom));
    let style = letters(15, INK, HPos::Center);
    area.draw_text(&shown(names.node(node)), &style, middle)
        .map_err(text)
}

/// Shape and colour each tell what a node is.
fn draw_shape(area: &Area<'_>, role: Role, place: Box2) -> Result {
    let fill = match role {
        Role::Host => RGBColor(222, 235, 252),
        Role::Router => RGBColor(255, 236, 179),
        Role::Hub => RGBColor(225, 225, 225),
        Role::Outside => RGBColor(226, 245, 222),
    };
    let [(left, top), (right, bottom)] = place;
    let outline = match role {
        Role::Router => ellipse(place),
        Role::Hub => {
            let (cut, middle) = (8, top.midpoint(bottom));
            let upper = [(left, middle), (left + cut, top), (right - cut, top)];
            let lower = [(right, middle), (right - cut, bottom), (left + cut, bottom)];
            [&upper[..], &lower[..], &upper[..1]].concat()
        }
        Role::Host | Role::Outside => {
            vec![
                (left, top),
                (right, top),
                (right, bottom),
                (left, bottom),
                (left, top),
            ]
        }
    };
    area.draw(&Polygon::new(outline.clone(), fill.filled()))
        .map_err(text)?;
    area.draw(&PathElement::new(outline, INK.stroke_width(1)))
        .map_err(text)
}

fn ellipse([(left, top), (right, bottom)]: Box2) -> Vec<(i32, i32)> {
    let (x, y) = (left.midpoint(right), top.midpoint(bottom));
    let (wide, high) = (f64::from(right - left) / 2.0, f64::from(bottom - top) / 2.0);
    let corner = |i: i32| {
        let angle = f64::from(i) * std::f64::consts::TAU / 48.0;
        let (dx, dy) = (wide * angle.cos(), high * angle.sin());
        (x + dx.round() as i32, y + dy.round() as i32)
    };
    (0..=48).map(corner).collect()
}

fn overlap(a: &Box2, b: &Box2) -> bool {
    let [(al, at), (ar, ab)] = *a;
    let [(bl, bt), (br, bb)] = *b;
    al < br && bl < ar && at < bb && bt < ab
}

impl Edge {
    const fn bytes(&self) -> u64 {
        self.loads[0].bytes + self.loads[1].bytes
    }

    /// The point at `t` (0 to 1) of the way.
    fn point(&self, layout: &Layout, t: f64) -> (i32, i32) {
        let [(ax, ay), (bx, by)] = self.ends.map(|n| {
            let (x, y) = layout.at[n.0 as usize];
            (f64::from(x), f64::from(y))
        });
        let (dx, dy) = (bx - ax, by - ay);
        let length = dx.hypot(dy).max(1.0);
        // A quadratic curve reaches half as far as its control point.
        let bend = 2.0 * self.bow * 2.0 * t * (1.0 - t);
        let (x, y) = (
            ax + t * dx - bend * dy / length,
            ay + t * dy + bend * dx / length,
        );
        (x.round() as i32, y.round() as i32)
    }

    fn points(&self, layout: &Layout) -> Vec<(i32, i32)> {
        let steps = if self.bow == 0.0 { 1 } else { 24 };
        let at = |i: i32| self.point(layout, f64::from(i) / f64::from(steps));
        (0..=steps).map(at).collect()
    }

    /// The numbers at the wire; `None` where there is no room for them.
    fn label(&self, names: &Directory, layout: &Layout, taken: &[Box2]) -> Option<Label> {
        let dense = layout.row < 60;
        let lines = self.lines(names, layout, dense);
        let longest = lines.iter().map(|(l, _)| l.chars().count()).max();
        let width = i32::try_from(longest.unwrap_or(0)).unwrap_or(0) * 7 + 8;
        let height = i32::try_from(lines.len()).unwrap_or(0) * 14 + 4;
        let place = |t: &f64| -> Box2 {
            let (x, y) = self.point(layout, *t);
            let (left, top) = (x - width / 2, y - height / 2);
            [(left, top), (left + width, top + height)]
        };
        let free = |b: &Box2| {
            let [(left, top), (right, bottom)] = *b;
            let inside = left >= 0 && right <= WIDTH && top >= 0 && bottom <= layout.height;
            inside && !taken.iter().any(|other| overlap(b, other))
        };
        // Where many wires meet at the left, there is more room at their right ends.
        let tries = match dense {
            false => [0.5, 0.55, 0.45, 0.6, 0.4, 0.65, 0.35, 0.7, 0.3, 0.75, 0.25],
            true => [0.72, 0.68, 0.76, 0.64, 0.8, 0.6, 0.56, 0.5, 0.44, 0.38, 0.3],
        };
        let [a, b] = self.ends.map(|n| layout.at[n.0 as usize].0);
        let turn = |t: f64| if a > b { 1.0 - t } else { t };
        let mut places = tries.into_iter().map(turn).map(|t| place(&t));
        let place = places.find(free)?;
        Some(Label { place, lines })
    }

    /// The wire's name where its ends do not say it, and what went each way.
    fn lines(&self, names: &Directory, layout: &Layout, dense: bool) -> Vec<(String, RGBColor)> {
        let own = self.name(names).map(|name| (name, GREY));
        let [(ax, ay), (bx, by)] = self.ends.map(|n| layout.at[n.0 as usize]);
        let arrows = match ((ax - bx).abs() > 20, ax < bx, ay < by) {
            (true, true, _) => ["→", "←"],
            (true, false, _) => ["←", "→"],
            (false, _, true) => ["↓", "↑"],
            (false, _, false) => ["↑", "↓"],
        };
        let color = |lost: u64| if lost > 0 { RED } else { INK };
        let numbers = arrows.into_iter().zip(self.loads);
        let numbers = numbers.map(|(arrow, load)| (format!("{arrow} {load}"), color(load.lost)));
        let numbers: Vec<_> = numbers.collect();
        if dense {
            let line: Vec<&str> = numbers.iter().map(|(line, _)| line.as_str()).collect();
            return vec![(
                line.join(" "),
                color(self.loads[0].lost + self.loads[1].lost),
            )];
        }
        own.into_iter().chain(numbers).collect()
    }

    /// The wire's name where its ends do not say it.
    fn name(&self, names: &Directory) -> Option<String> {
        let [a, b] = self.ends.map(|n| names.node(n));
        let own = names.wire(self.wire);
        (own != format!("{a}-{b}")).then(|| own.to_owned())
    }

    /// The same as a row of the table.
    fn row(&self, names: &Directory) -> String {
        let [a, b] = self.ends.map(|n| shown(names.node(n)));
        let ends = self.name(names).unwrap_or(format!("{a}-{b}"));
        let [there, back] = self.loads;
        format!("{ends}:  {a} sent {there},  {b} {back}")
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lost {
            0 => write!(f, "{}", self.frames),
            lost => write!(f, "{}, {lost} lost", self.frames),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::build::Options;
    use crate::lab::export::{Recorder, Wanted};
    use crate::lab::topology::Topology;

    fn star(count: usize) -> Topology {
        let mut topology = Topology::new().hub("hub");
        for i in 0..count {
            let name = format!("n{i}");
            topology = topology.host(&name).link("hub", &name);
        }
        topology
    }

    /// Every node joined with the next three, and some twice.
    fn mesh(count: usize) -> Topology {
        let mut topology = Topology::new();
        for i in 0..count {
            topology = topology.router(&format!("router-{i}"));
        }
        for i in 0..count {
            for step in [1, 2, 1 + i % 3] {
                let [a, b] = [i, (i + step) % count].map(|n| format!("router-{n}"));
                topology = topology.link(&a, &b);
            }
        }
        topology
    }

    #[test]
    fn nothing_in_a_picture_overlaps_and_every_wire_has_its_numbers() {
        for topology in [star(2), star(12), star(40), mesh(5), mesh(13)] {
            let world = topology.build(&Options::default()).unwrap();
            let names = Directory::of(&world);
            let graph = Graph::new(&world, &names);
            let layout = graph.layout.as_ref().unwrap();
            let nodes = names.nodes().map(|n| outline(&names, layout, n));
            let labels = graph.labels.iter().map(|l| l.place);
            let boxes: Vec<Box2> = nodes.chain(labels).collect();
            for (i, a) in boxes.iter().enumerate() {
                for b in &boxes[..i] {
                    assert!(!overlap(a, b), "{a:?} and {b:?}");
                }
                let [(left, top), (right, bottom)] = *a;
                assert!(left >= 0 && right <= WIDTH && top >= 0 && bottom <= layout.height);
            }
            let told = graph.labels.len() + graph.table.len() + graph.unsaid;
            assert_eq!(told, topology.wires.len());
        }
    }

    /// The picture of a scenario.
    fn picture(name: &str) -> String {
        let toml = crate::lab::scenario::find(name).unwrap().toml;
        let topology = crate::lab::file::parse(name, toml).unwrap().topology;
        let options = Options {
            seed: 1,
            watch: true,
            ..Options::default()
        };
        let mut world = topology.build(&options).unwrap();
        let mut recorder = Recorder::new(
            &world,
            Wanted {
                svg: Some(name.to_owned()),
                ..Wanted::default()
            },
        );
        while world.step_until(topology.end()) {
            recorder.pump(&mut world);
        }
        recorder.finish(&mut world);
        let (_, bytes) = recorder.take().pop().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_picture_shows_what_its_scenario_is_about() {
        let shaded = |picture: &str| picture.matches("opacity=\"0.14\" fill=\"#CD5C50\"").count();
        let flap = picture("flap-tcp");
        let says = ["flap r1-r2 every 1s", "down r1-r2", "r1 &gt; r2: down"];
        assert!(says.iter().all(|s| flap.contains(s)), "{flap}");
        // Four times by the flapping, once by itself, in each chart.
        let charts = flap.matches("virtual time [").count();
        assert_eq!(shaded(&flap), 5 * charts);
        let hole = picture("black-hole-tcp");
        let says = [
            "Congestion windows",
            "Drops at nodes",
            "r1: fragmentation-needed",
            "probes",
        ];
        assert!(says.iter().all(|s| hole.contains(s)), "{hole}");
        assert_eq!(shaded(&hole), 0);
        let bloat = picture("bufferbloat");
        let says = ["Round trips of clients", "slow", "fair"];
        assert!(says.iter().all(|s| bloat.contains(s)), "{bloat}");
        assert!(!bloat.contains("Drops at nodes"), "nothing but ARP");
        // All delays on a hub are one line.
        let hub = picture("hub");
        assert!(hub.contains("and hub &gt; a, 8 more"), "{hub}");
    }

    #[test]
    fn a_world_too_large_to_draw_says_so() {
        let world = star(MAX_NODES).build(&Options::default()).unwrap();
        let names = Directory::of(&world);
        let drawn = draw(&world, &names, &Sampler::default(), "large").unwrap();
        assert!(drawn.contains("nodes: the network is not drawn"));
    }
}
