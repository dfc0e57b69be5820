//! What waited, was lost and took long, over time.

use super::{Area, GREY, INK, Result, letters, text};
use crate::lab::export::directory::{Directory, short};
use crate::lab::export::sampler::{Cell, Sampler};
use crate::lab::ids::Lane;
use plotters::chart::ChartBuilder;
use plotters::element::{Circle, PathElement};
use plotters::series::LineSeries;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color as _, IntoFont as _, RGBColor, TRANSPARENT};
use stack::time::{Instant, nanos};
use std::collections::{BTreeMap, BTreeSet};

/// Pixels for one chart.
pub(super) const HEIGHT: i32 = 270;
/// Cells of a chart that counts what is rare.
const BARS: usize = 80;
/// Lines in one chart.
const LINES: usize = 6;
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

/// A chart: its lines begin and end in seconds.
pub(super) struct Chart {
    title: String,
    unit: String,
    end: f64,
    lines: Vec<Line>,
    /// Directions that have something to show and are not among the lines.
    more: usize,
    /// A value that does not change until the next: drawn as steps.
    stepped: bool,
}

/// A direction's line.
struct Line {
    lane: Lane,
    name: String,
    points: Vec<(f64, f64)>,
    color: RGBColor,
}

/// The charts that have anything to show.
pub(super) fn charts(names: &Directory, sampler: &Sampler) -> Vec<Chart> {
    let while_ = short(sampler.width());
    let lost = |cell: &Cell| Some(cell.lost as f64);
    let (scale, unit) = delay_unit(sampler);
    let delay = move |cell: &Cell| (cell.arrived > 0).then(|| cell.slowest as f64 / scale);
    let queue = Kind {
        title: format!("Queue: the most frames that waited, each {while_}"),
        unit: "frames".to_owned(),
        stepped: true,
    };
    let waiting = queue.chart(names, sampler, |cell| cell.queue.map(|q| q as f64));
    let coarse = sampler.coarse(BARS);
    let lost = Kind {
        title: format!("Losses on the wire, each {}", short(coarse.width())),
        unit: "frames".to_owned(),
        stepped: true,
    }
    .chart(names, &coarse, lost);
    let delay = Kind {
        title: format!("Delay: the longest from sending to arrival, each {while_}"),
        unit: unit.to_owned(),
        stepped: false,
    }
    .chart(names, sampler, delay);
    let mut charts: Vec<Chart> = [waiting, lost, delay].into_iter().flatten().collect();
    paint(&mut charts);
    charts
}

/// Gives a direction the same colour in each chart, as far as colours reach.
fn paint(charts: &mut [Chart]) {
    let mut known: BTreeMap<Lane, usize> = BTreeMap::new();
    for chart in charts {
        let own = chart
            .lines
            .iter()
            .filter_map(|l| known.get(&l.lane).copied());
        let mut free: BTreeSet<usize> = (0..LINES).collect();
        own.for_each(|color| {
            free.remove(&color);
        });
        let mut used = BTreeSet::new();
        for line in &mut chart.lines {
            let wish = known.get(&line.lane).copied().filter(|c| used.insert(*c));
            let color = wish.or_else(|| free.pop_first()).unwrap_or(0);
            used.insert(color);
            known.entry(line.lane).or_insert(color);
            line.color = COLORS[color % LINES];
        }
    }
}

struct Kind {
    title: String,
    unit: String,
    stepped: bool,
}

impl Kind {
    /// `None` where no line leaves zero.
    fn chart(
        self,
        names: &Directory,
        sampler: &Sampler,
        value: impl Fn(&Cell) -> Option<f64>,
    ) -> Option<Chart> {
        let mut ranked: Vec<(f64, Lane, &[Cell])> = sampler
            .series()
            .map(|(lane, cells)| {
                let most = cells.iter().filter_map(&value).fold(0.0, f64::max);
                (most, lane, cells)
            })
            .filter(|(most, ..)| *most > 0.0)
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if ranked.is_empty() {
            return None;
        }
        let width = seconds(nanos(sampler.width()));
        let lines = ranked.iter().take(LINES).map(|(_, lane, cells)| {
            let points = cells.iter().zip(0_u32..).filter_map(|(cell, i)| {
                let at = (f64::from(i) + if self.stepped { 0.0 } else { 0.5 }) * width;
                Some((at, value(cell)?))
            });
            Line {
                lane: *lane,
                name: name(names, *lane),
                points: points.collect(),
                color: INK,
            }
        });
        Some(Chart {
            lines: lines.collect(),
            more: ranked.len().saturating_sub(LINES),
            title: self.title,
            unit: self.unit,
            end: seconds(nanos(sampler.end() - Instant::ZERO)).max(width),
            stepped: self.stepped,
        })
    }
}

/// What delays are shown in: nanoseconds a unit, and its name.
fn delay_unit(sampler: &Sampler) -> (f64, &'static str) {
    let cells = sampler.series().flat_map(|(_, cells)| cells);
    match cells.map(|c| c.slowest).max().unwrap_or(0) {
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
        let least = if self.lines.len() == 1 { 2 } else { 1 };
        // The first are thicker, so that one below another still shows.
        let widths = (1..3).chain(std::iter::repeat(3)).take(self.lines.len());
        let widths: Vec<u32> = widths.collect();
        for (Line { points, color, .. }, width) in self.lines.iter().zip(widths.iter().rev()) {
            let scaled: Vec<_> = points.iter().map(|(x, y)| (x * scale, *y)).collect();
            let line = if self.stepped {
                steps(&scaled, self.end * scale)
            } else {
                scaled.clone()
            };
            chart
                .draw_series(LineSeries::new(
                    line,
                    color.stroke_width((*width).max(least)),
                ))
                .map_err(text)?;
            if !self.stepped && scaled.len() < 80 {
                let dots = scaled.iter().map(|p| Circle::new(*p, 3, color.filled()));
                chart.draw_series(dots).map_err(text)?;
            }
        }
        self.draw_legend(&legend)
    }

    fn draw_legend(&self, area: &Area<'_>) -> Result {
        let mut y = 20;
        for Line { name, color, .. } in &self.lines {
            let line = PathElement::new(vec![(0, y), (24, y)], color.stroke_width(3));
            area.draw(&line).map_err(text)?;
            let mut name: String = name.clone();
            if name.chars().count() > 30 {
                name = name.chars().take(29).chain(['…']).collect();
            }
            let style = letters(13, INK, HPos::Left);
            area.draw_text(&name, &style, (32, y)).map_err(text)?;
            y += 20;
        }
        if self.more > 0 {
            let says = format!("and {} more, not drawn", self.more);
            let style = letters(13, GREY, HPos::Left);
            area.draw_text(&says, &style, (32, y)).map_err(text)?;
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
