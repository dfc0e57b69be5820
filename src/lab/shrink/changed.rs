//! What a shrunk topology does otherwise than the one that it is made of, in words.
//!
//! ```text
//!   original, small --> parts of the same name (lines of the same number) side by side
//!                         left out, or less of it     nothing to tell
//!                         otherwise                   a line
//! ```

use crate::lab::topology::{Client, Topology, Wire};
use crate::lab::units::write_duration;
use stack::link::impair::Config;

/// Everything that is neither left out nor less of the same, a line each.
pub(super) fn changes(original: &Topology, small: &Topology) -> Vec<String> {
    let mut told = Vec::new();
    if let (Some(was), Some(is)) = (original.seed, small.seed)
        && was != is
    {
        told.push(format!("the seed was {was}"));
    }
    let faults = &small.faults.lines;
    told.extend(faults.iter().filter_map(|is| {
        let was = original.faults.lines.iter().find(|l| l.line == is.line)?;
        (was.to_string() != is.to_string()).then(|| format!("`{is}` was `{was}`"))
    }));
    let wires = small.wires.iter();
    told.extend(wires.flat_map(|is| {
        let mut were = original.wires.iter();
        match were.find(|was| was.name == is.name && was.between == is.between) {
            Some(was) => wire(was, is),
            None => vec![format!(
                "{} is a wire where there were nodes between",
                is.name
            )],
        }
    }));
    told.extend(small.clients.iter().flat_map(|is| {
        let was = original.clients.iter().find(|c| c.name == is.name);
        was.map_or(Vec::new(), |was| client(was, is))
    }));
    told
}

fn wire(was: &Wire, is: &Wire) -> Vec<String> {
    let ends = is.between.iter().zip(was.ways.iter().zip(&is.ways));
    let differ = ends.filter(|(_, (was, is))| !is_less(was, is));
    differ
        .map(|(end, _)| format!("{} from {end} does what another wire did", is.name))
        .collect()
}

/// Whether each thing that a direction does is as it was, or nothing.
fn is_less(was: &Config, is: &Config) -> bool {
    let plain = Config::default();
    let mut rest = is.clone();
    // What is as nothing at all counts as what it was.
    macro_rules! forgive {
        ($($field:ident),*) => {
            $(if rest.$field == plain.$field {
                rest.$field.clone_from(&was.$field);
            })*
        };
    }
    forgive!(
        rate,
        overhead,
        delay,
        jitter,
        in_order,
        loss,
        duplicate,
        reorder,
        reorder_by,
        bit_errors,
        frame_check,
        mtu,
        queue
    );
    rest == *was
}

fn client(was: &Client, is: &Client) -> Vec<String> {
    let mut told = Vec::new();
    let name = &is.name;
    if was.kind != is.kind {
        let (now, then) = (is.kind.name(), was.kind.name());
        told.push(format!("{name} is a client of kind {now}, and was {then}"));
    }
    if was.to != is.to {
        told.push(format!("{name} asks {}, and asked {}", is.to, was.to));
    }
    if was.start != is.start {
        let (now, then) = (write_duration(is.start), write_duration(was.start));
        told.push(format!("{name} starts at {now}, and did at {then}"));
    }
    told
}
