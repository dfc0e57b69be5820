//! What waited, was lost and took long, over time.

use super::{Area, GREY, INK, Result, letters, text};
use crate::lab::export::directory::{Directory, short};
use crate::lab::export::sampler::{Cell, Loser, Sampler, Spell, Trip};
use crate::lab::ids::Lane;
use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::series::LineSeries;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color as _, IntoFont as _, RGBAColor, RGBColor, TRANSPARENT};
use stack::reason::DropReason;
use stack::time::{Instant, nanos};
use std::collections::{BTreeMap, BTreeSet};

/// Pixels for one chart.
pub(super) const HEIGHT: i32 = 270;
/// Cells of a chart that counts what is rare.
const BARS: usize = 80;
/// Lines in one chart.
const LINES: usize = 6;
/// Letters of a line's name.
const LETTERS: usize = 30;
/// Pixels for the names of lines.
const LEGEND: i32 = 250;
/// Colours that are told apart by most eyes.
const COLORS: [RGBColor; LINES] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A fault in its row, and behind the lines of a chart.
const FAULT: RGBColor = RGBColor(205, 92, 80);
const SHADE: RGBAColor = RGBAColor(205, 92, 80, 0.14);
const RULE: RGBColor = RGBColor(225, 225, 225);

/// A chart: its lines begin and end in seconds.
pub(super) struct Chart {
    title: String,
    unit: String,
    end: f64,
    lines: Vec<Line>,
    /// What has something to show and is not among the lines.
    more: usize,
    /// A value that does not change until the next: drawn as steps.
    stepped: bool,
    /// When faults were in effect: shaded.
    shades: Vec<Shade>,
}

/// A fault, from when to when, in seconds; both are one where it was over at once.
type Shade = (f64, f64);

/// Whose line it is: the same has the same colour in each chart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Client(String),
    Of(Loser),
}

/// A line, or several that are the same.
struct Line {
    key: Key,
    name: String,
    /// Names of others with the same points.
    alike: Vec<String>,
    points: Vec<(f64, f64)>,
    color: RGBColor,
}

/// What a chart is drawn from: a line's owner, its name, and a value for each while.
type Series = (Key, String, Vec<Option<f64>>);

/// The charts that have anything to show.
pub(super) fn charts(names: &Directory, sampler: &Sampler) -> Vec<Chart> {
    let coarse = sampler.coarse(BARS);
    let [while_, bar] = [sampler, &coarse].map(|s| short(s.width()));
    let trips = |trip: &Trip| trip.slowest;
    let slowest = sampler
        .trips()
        .flat_map(|(_, t)| t.iter().filter_map(trips));
    let (scale, unit) = time_unit(slowest.max());
    let asked = kind("Round trips of clients: the longest", &while_, unit, false);
    let trips = |trip: &Trip| trip.slowest.map(|ns| ns as f64 / scale);
    let asked = asked.chart(sampler, of_clients(sampler, trips));
    let window = kind("Congestion windows", &while_, "KiB", false);
    let kib = |trip: &Trip| trip.cwnd.map(|bytes| bytes as f64 / 1024.0);
    let window = window.chart(sampler, of_clients(sampler, kib));
    let queue = kind(
        "Queue: the most frames that waited",
        &while_,
        "frames",
        true,
    );
    let waiting = |cell: &Cell| cell.queue.map(|q| q as f64);
    let queue = queue.chart(sampler, of_lanes(names, sampler, waiting));
    let lost = kind("Losses on the wire", &bar, "frames", true);
    let lost = lost.chart(&coarse, of_losers(names, &coarse, true));
    let refused = kind("Drops at nodes", &bar, "frames", true);
    let refused = refused.chart(&coarse, of_losers(names, &coarse, false));
    let cells = sampler.series().flat_map(|(_, cells)| cells);
    let (scale, unit) = time_unit(cells.map(|c| c.slowest).max());
    let delay = kind(
        "Delay: the longest from sending to arrival",
        &while_,
        unit,
        false,
    );
    let longest = |cell: &Cell| (cell.arrived > 0).then(|| cell.slowest as f64 / scale);
    let delay = delay.chart(sampler, of_lanes(names, sampler, longest));
    let all = [asked, window, queue, lost, refused, delay];
    let mut charts: Vec<Chart> = all.into_iter().flatten().collect();
    let shades: Vec<Shade> = sampler
        .spells()
        .map(|(_, spell)| shade(sampler, spell))
        .collect();
    for chart in &mut charts {
        chart.shades.clone_from(&shades);
    }
    paint(&mut charts);
    charts
}

fn of_clients(
    sampler: &Sampler,
    value: impl Fn(&Trip) -> Option<f64>,
) -> impl Iterator<Item = Series> {
    sampler.trips().map(move |(name, trips)| {
        let values = trips.iter().map(&value).collect();
        (Key::Client(name.to_owned()), name.to_owned(), values)
    })
}

fn of_lanes(
    names: &Directory,
    sampler: &Sampler,
    value: impl Fn(&Cell) -> Option<f64>,
) -> impl Iterator<Item = Series> {
    sampler.series().map(move |(lane, cells)| {
        let values = cells.iter().map(&value).collect();
        (Key::Of(Loser::Lane(lane)), name(names, lane), values)
    })
}

/// Frames that wires lost, or that nodes dropped, by reason.
fn of_losers(names: &Directory, sampler: &Sampler, wires: bool) -> impl Iterator<Item = Series> {
    let losses = sampler.losses();
    let wanted = losses.filter(move |(loser, reason, _)| {
        // What all hear and most need not keep is nobody's loss.
        let heard = *reason == DropReason::ArpUnsolicited;
        !heard && matches!(loser, Loser::Lane(_)) == wires
    });
    wanted.map(move |(loser, reason, cells)| {
        let reason = reason.name();
        let name = match loser {
            // On a wire: no need to say so again.
            Loser::Lane(lane) => {
                let reason = reason.strip_prefix("wire-").unwrap_or(reason);
                format!("{}: {reason}", name(names, lane))
            }
            Loser::Node(node) => format!("{}: {reason}", names.node(node)),
        };
        // None were lost after the last.
        let after = std::iter::once(&0);
        let values = cells.iter().chain(after).map(|lost| Some(*lost as f64));
        let values = values.collect();
        (Key::Of(loser), name, values)
    })
}

fn shade(sampler: &Sampler, spell: &Spell) -> Shade {
    let at = |at: Instant| seconds(nanos(at - Instant::ZERO));
    (
        at(spell.from),
        at(spell.to.unwrap_or_else(|| sampler.end())),
    )
}

/// Gives a line's owner the same colour in each chart, as far as colours reach.
fn paint(charts: &mut [Chart]) {
    let mut known: BTreeMap<Key, usize> = BTreeMap::new();
    for chart in charts {
        let own = chart
            .lines
            .iter()
            .filter_map(|l| known.get(&l.key).copied());
        let mut free: BTreeSet<usize> = (0..LINES).collect();
        own.for_each(|color| {
            free.remove(&color);
        });
        let mut used = BTreeSet::new();
        for line in &mut chart.lines {
            let wish = known.get(&line.key).copied().filter(|c| used.insert(*c));
            let color = wish.or_else(|| free.pop_first()).unwrap_or(0);
            used.insert(color);
            known.entry(line.key.clone()).or_insert(color);
            line.color = COLORS[color % LINES];
        }
    }
}

/// A kind of chart: its title, unit, and whether values stay until the next.
struct Kind {
    title: String,
    unit: String,
    stepped: bool,
}

fn kind(title: &str, each: &str, unit: &str, stepped: bool) -> Kind {
    Kind {
        title: format!("{title}, each {each}"),
        unit: unit.to_owned(),
        stepped,
    }
}

impl Kind {
    /// `None` where no line leaves zero.
    fn chart(self, sampler: &Sampler, series: impl Iterator<Item = Series>) -> Option<Chart> {
        let mut ranked: Vec<(f64, Series)> = series
            .map(|series| {
                (
                    series.2.iter().flatten().copied().fold(0.0, f64::max),
                    series,
                )
            })
            .filter(|(most, _)| *most > 0.0)
            .collect();
        // Those of one height in the order of their names.
        ranked.sort_by(|a, b| {
            let by_owner = (&a.1.0, &a.1.1).cmp(&(&b.1.0, &b.1.1));
            b.0.total_cmp(&a.0).then(by_owner)
        });
        let width = seconds(nanos(sampler.width()));
        let shift = if self.stepped { 0.0 } else { 0.5 };
        let mut lines: Vec<Line> = Vec::new();
        let mut more = 0;
        for (_, (key, name, values)) in ranked {
            let points = values.iter().zip(0_u32..);
            let points = points.filter_map(|(v, i)| Some(((f64::from(i) + shift) * width, (*v)?)));
            let points: Vec<_> = points.collect();
            // One on another could not be seen.
            if let Some(line) = lines.iter_mut().find(|line| line.hides(&points)) {
                line.points.extend(points);
                line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
                line.points.dedup();
                line.alike.push(name);
            } else if lines.len() < LINES {
                lines.push(Line {
                    key,
                    name,
                    alike: Vec::new(),
                    points,
                    color: INK,
                });
            } else {
                more += 1;
            }
        }
        (!lines.is_empty()).then(|| Chart {
            lines,
            more,
            title: self.title,
            unit: self.unit,
            end: seconds(nanos(sampler.end() - Instant::ZERO)).max(width),
            stepped: self.stepped,
            shades: Vec::new(),
        })
    }
}

/// What such a time is shown in: nanoseconds a unit, and its name.
fn time_unit(most: Option<u64>) -> (f64, &'static str) {
    match most.unwrap_or(0) {
        5_000_000_000.. => (1e9, "s"),
        5_000_000.. => (1e6, "ms"),
        5_000.. => (1e3, "µs"),
        _ => (1.0, "ns"),
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

impl Chart {
    pub(super) fn draw(&self, area: &Area<'_>) -> Result {
        let title = letters(16, INK, HPos::Left);
        area.draw_text(&self.title, &title, (20, 16))
            .map_err(text)?;
        let (_, area) = area.split_vertically(30);
        let width = i32::try_from(area.dim_in_pixel().0).unwrap_or(0);
        let (plot, legend) = area.split_horizontally(width - LEGEND);
        let (scale, time) = if self.end < 2.0 {
            (1e3, "ms")
        } else {
            (1.0, "s")
        };
        let points = self.lines.iter().flat_map(|line| &line.points);
        let most = points.map(|p| p.1).fold(0.0, f64::max) * 1.08;
        // Frames are counted: no marks between whole numbers.
        let most = if self.stepped { most.max(4.4) } else { most };
        let mut chart = ChartBuilder::on(&plot)
            .margin(8)
            .margin_right(20)
            .x_label_area_size(38)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..self.end * scale, 0.0..most)
            .map_err(text)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(225, 225, 225))
            .axis_style(GREY)
            .x_labels(12)
            .y_labels(6)
            .x_label_formatter(&number)
            .y_label_formatter(&number)
            .x_desc(format!("virtual time [{time}]"))
            .y_desc(&self.unit)
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .axis_desc_style(("sans-serif", 13).into_font().color(&INK))
            .draw()
            .map_err(text)?;
        let shades = self.shades.iter().map(|(from, to)| {
            // What is over at once shows too.
            let to = to.max(from + self.end / 600.0).min(self.end);
            let corners = [(from * scale, 0.0), (to * scale, most)];
            Rectangle::new(corners, SHADE.filled())
        });
        chart.draw_series(shades).map_err(text)?;
        let widths = widths(&self.lines);
        for (Line { points, color, .. }, width) in self.lines.iter().zip(widths) {
            let scaled: Vec<_> = points.iter().map(|(x, y)| (x * scale, *y)).collect();
            let lines = if self.stepped {
                vec![steps(&scaled, self.end * scale)]
            } else {
                pieces(&scaled, self.end * scale)
            };
            for line in lines {
                chart
                    .draw_series(LineSeries::new(line, color.stroke_width(width)))
                    .map_err(text)?;
            }
            if !self.stepped && scaled.len() < 80 {
                let dots = scaled.iter().map(|p| Circle::new(*p, 3, color.filled()));
                chart.draw_series(dots).map_err(text)?;
            }
        }
        self.draw_legend(&legend)
    }

    fn draw_legend(&self, area: &Area<'_>) -> Result {
        let mut y = 20;
        for line in &self.lines {
            let stroke = PathElement::new(vec![(0, y), (24, y)], line.color.stroke_width(3));
            area.draw(&stroke).map_err(text)?;
            let style = letters(13, INK, HPos::Left);
            for said in line.said() {
                area.draw_text(&cut(&said, LETTERS), &style, (32, y))
                    .map_err(text)?;
                y += 17;
            }
            y += 3;
        }
        if self.more > 0 {
            let says = format!("and {} more, not drawn", self.more);
            let style = letters(13, GREY, HPos::Left);
            area.draw_text(&says, &style, (32, y)).map_err(text)?;
        }
        Ok(())
    }
}

impl Line {
    /// Whether such a line would lie on it: the same, or level at the same height.
    fn hides(&self, points: &[(f64, f64)]) -> bool {
        let level = |points: &[(f64, f64)]| {
            let (_, height) = *points.first()?;
            points.iter().all(|(_, y)| *y == height).then_some(height)
        };
        self.points == points || level(points).is_some_and(|y| level(&self.points) == Some(y))
    }

    /// Whether both have a point in common, above zero.
    fn meets(&self, other: &Self) -> bool {
        let mut theirs = other.points.iter().peekable();
        self.points.iter().filter(|(_, y)| *y > 0.0).any(|ours| {
            while theirs.next_if(|point| point.0 < ours.0).is_some() {}
            theirs.peek().is_some_and(|point| *point == ours)
        })
    }

    /// Its name, and below it those that are the same.
    fn said(&self) -> Vec<String> {
        let mut said = vec![self.name.clone()];
        match self.alike.as_slice() {
            [] => {}
            [one] => said.push(format!("and {one}")),
            [one, rest @ ..] => {
                let named = format!("and {one}, {} more", rest.len());
                let counted = format!("and {} more like it", self.alike.len());
                let fits = named.chars().count() <= LETTERS;
                said.push(if fits { named } else { counted });
            }
        }
        said
    }
}

/// How thick lines are. Later ones are drawn on those before, which are thicker where both have a
/// point in common, so that each shows as the rim of the next.
fn widths(lines: &[Line]) -> Vec<u32> {
    let mut widths = vec![2; lines.len()];
    for (i, line) in lines.iter().enumerate().rev() {
        let after = lines.iter().zip(&widths).skip(i + 1);
        let hidden = after.filter(|(above, _)| line.meets(above));
        let most = hidden.map(|(_, width)| *width).max();
        if let (Some(width), Some(most)) = (widths.get_mut(i), most) {
            *width = most + 2;
        }
    }
    widths
}

/// A text of so many letters at most.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count() > most {
        true => text.chars().take(most - 1).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// The faults as bars, a row for each line of the script.
pub(super) struct Faults {
    end: f64,
    rows: Vec<(String, Vec<Shade>)>,
    /// Lines that found no room.
    more: usize,
}

/// Rows of faults.
const ROWS: usize = 16;
/// Pixels for one.
const ROW: i32 = 18;

/// The faults, where there were any.
pub(super) fn faults(sampler: &Sampler) -> Option<Faults> {
    let mut rows: Vec<(u32, String, Vec<Shade>)> = Vec::new();
    let mut more = BTreeSet::new();
    for (line, spell) in sampler.spells() {
        let shade = shade(sampler, spell);
        let room = rows.len() < ROWS;
        match rows.iter_mut().find(|(of, ..)| *of == line) {
            Some((.., shades)) => shades.push(shade),
            None if room => rows.push((line, spell.text.clone(), vec![shade])),
            None => {
                more.insert(line);
            }
        }
    }
    let width = seconds(nanos(sampler.width()));
    (!rows.is_empty()).then(|| Faults {
        end: seconds(nanos(sampler.end() - Instant::ZERO)).max(width),
        rows: rows
            .into_iter()
            .map(|(_, text, bars)| (text, bars))
            .collect(),
        more: more.len(),
    })
}

impl Faults {
    /// Pixels that they take.
    pub(super) fn height(&self) -> i32 {
        let rows = self.rows.len() + usize::from(self.more > 0);
        30 + 8 + ROW * i32::try_from(rows).unwrap_or(0)
    }

    pub(super) fn draw(&self, area: &Area<'_>) -> Result {
        let title = letters(16, INK, HPos::Left);
        area.draw_text("Faults, shaded in each chart", &title, (20, 16))
            .map_err(text)?;
        // As wide as the charts below.
        let width = i32::try_from(area.dim_in_pixel().0).unwrap_or(0);
        let (left, right) = (8 + 64, width - LEGEND - 20);
        let at = |seconds: f64| {
            let share = (seconds / self.end).clamp(0.0, 1.0);
            left + (share * f64::from(right - left)).round() as i32
        };
        let style = letters(13, INK, HPos::Left);
        let mut y = 34;
        for (says, bars) in &self.rows {
            let middle = y + ROW / 2;
            let rule = PathElement::new(vec![(left, middle), (right, middle)], RULE);
            area.draw(&rule).map_err(text)?;
            for (from, to) in bars {
                let corners = [
                    (at(*from), y + 3),
                    (at(*to).max(at(*from) + 2), y + ROW - 3),
                ];
                area.draw(&Rectangle::new(corners, FAULT.filled()))
                    .map_err(text)?;
            }
            area.draw_text(&cut(says, 38), &style, (width - LEGEND, middle))
                .map_err(text)?;
            y += ROW;
        }
        if self.more > 0 {
            let says = format!("and {} more lines, shaded only", self.more);
            let style = letters(13, GREY, HPos::Left);
            area.draw_text(&says, &style, (width - LEGEND, y + ROW / 2))
                .map_err(text)?;
        }
        Ok(())
    }
}

/// A direction by its ends, and by its wire's name where they do not say it.
fn name(names: &Directory, lane: Lane) -> String {
    let whole = names.lane(lane);
    let ends = names
        .ends(lane.wire)
        .map(|ends| ends.map(|n| names.node(n)));
    match (ends, whole.split_once(": ")) {
        (Some([a, b]), Some((wire, ends))) if wire == format!("{a}-{b}") => ends.to_owned(),
        _ => whole,
    }
}

/// Measured points, cut where nothing was measured for long: ten times as long as is usual between
/// two, and a twentieth of the whole (what comes in bursts is no silence).
fn pieces(points: &[(f64, f64)], end: f64) -> Vec<Vec<(f64, f64)>> {
    let mut waits: Vec<f64> = points.windows(2).map(|w| w[1].0 - w[0].0).collect();
    let middle = waits.len() / 2;
    waits.sort_by(f64::total_cmp);
    let usual = waits.get(middle).copied().unwrap_or_default();
    let long = (usual * 10.0).max(end / 20.0);
    let pieces = points.chunk_by(|one, next| next.0 - one.0 <= long);
    pieces.map(<[_]>::to_vec).collect()
}

/// Each value until the next.
fn steps(points: &[(f64, f64)], end: f64) -> Vec<(f64, f64)> {
    let mut out: Vec<(f64, f64)> = Vec::with_capacity(2 * points.len() + 1);
    for &(x, y) in points {
        if let Some(&(_, before)) = out.last() {
            out.push((x, before));
        }
        out.push((x, y));
    }
    if let Some(&(_, last)) = out.last() {
        out.push((end, last));
    }
    out
}

/// A number without digits that say nothing.
fn number(n: &f64) -> String {
    let text = format!("{n:.3}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        short => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(f64, f64)]) -> Line {
        Line {
            key: Key::Client(String::new()),
            name: String::new(),
            alike: Vec::new(),
            points: points.to_vec(),
            color: INK,
        }
    }

    #[test]
    fn a_silence_is_not_bridged() {
        let points: Vec<_> = [0, 1, 2, 3, 4, 5, 40, 41, 42, 43, 44]
            .map(|t| (f64::from(t), 1.0))
            .to_vec();
        let pieces = pieces(&points, 50.0);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [6, 5]);
        // In bursts: each follows soon enough.
        let bursts: Vec<_> = (0..60u32).map(|n| (f64::from(n / 6 * 2), 1.0)).collect();
        assert_eq!(super::pieces(&bursts, 50.0).len(), 1);
    }

    #[test]
    fn what_lies_below_is_thicker() {
        let [a, b, c] = [
            line(&[(0.0, 0.0), (1.0, 3.0), (2.0, 2.0)]),
            line(&[(0.0, 0.0), (0.5, 3.0), (2.0, 2.0)]),
            line(&[(0.0, 0.0), (1.0, 3.0), (2.0, 5.0)]),
        ];
        assert!(a.meets(&b) && a.meets(&c) && !b.meets(&c));
        assert_eq!(widths(&[a, b, c]), [4, 2, 2]);
        let level = [(0.0, 4.0), (1.0, 4.0)];
        assert!(line(&level).hides(&[(0.5, 4.0)]));
        assert!(!line(&level).hides(&[(0.5, 4.0), (1.0, 5.0)]));
        let nested = [line(&level), line(&level), line(&level)];
        assert_eq!(widths(&nested), [6, 4, 2]);
    }
}
