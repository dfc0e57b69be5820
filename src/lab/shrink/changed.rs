//! What a shrunk topology does otherwise than the one that it is made of, in words.
//!
//! ```text
//!   original, small --> parts of the same name (lines of the same number) side by side
//!                         left out                    nothing to tell
//!                         otherwise, or less of it    a line
//! ```

use crate::lab::topology::{Client, Topology, Wire};
use crate::lab::units::write_duration;
use stack::link::impair::Config;
use stack::time::Instant;

/// Everything that is not only left out, a line each.
pub(super) fn changes(original: &Topology, small: &Topology) -> Vec<String> {
    let mut told = Vec::new();
    if let (Some(was), Some(is)) = (original.seed, small.seed)
        && was != is
    {
        told.push(format!("the seed was {was}"));
    }
    if small.end() != original.end() {
        told.push(format!(
            "it ends at {}, and did at {}",
            end(small),
            end(original)
        ));
    }
    let faults = &small.faults.lines;
    told.extend(faults.iter().filter_map(|is| {
        let was = original.faults.lines.iter().find(|l| l.line == is.line)?;
        (was.to_string() != is.to_string()).then(|| format!("`{is}` was `{was}`"))
    }));
    told.extend(small.nodes.iter().filter_map(|is| {
        let was = original.nodes.iter().find(|n| n.name == is.name)?;
        let (now, then) = (is.kind, was.kind);
        (now != then).then(|| format!("{} is a {}, and was a {}", is.name, now.name(), then.name()))
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
    if was.kind != is.kind {
        return told;
    }
    told.extend(value(name, "count", was.count, is.count, number));
    told.extend(value(name, "bytes", was.bytes, is.bytes, number));
    told.extend(value(name, "size", was.size, is.size, number));
    told.extend(value(name, "ttl", was.ttl, is.ttl, number));
    told.extend(value(
        name,
        "last port",
        was.last_port,
        is.last_port,
        number,
    ));
    told.extend(value(
        name,
        "interval",
        was.interval,
        is.interval,
        write_duration,
    ));
    told.extend(value(name, "stop", was.stop, is.stop, write_duration));
    told.extend(value(
        name,
        "warm-up",
        was.warm_up,
        is.warm_up,
        write_duration,
    ));
    if was.congestion != is.congestion {
        told.push(format!("{name} has the congestion control of its node"));
    }
    if was.settings != is.settings {
        told.push(format!("{name} has the settings of its node"));
    }
    told
}

/// What a client is told, and was: where it was told nothing, or is not any more, it does what its
/// kind usually does.
fn value<T: PartialEq>(
    client: &str,
    what: &str,
    was: Option<T>,
    is: Option<T>,
    write: fn(T) -> String,
) -> Option<String> {
    if was == is {
        return None;
    }
    let write = |value: Option<T>| value.map_or_else(|| "not given".to_owned(), write);
    let (now, then) = (write(is), write(was));
    Some(format!("{client}: {what} is {now}, and was {then}"))
}

fn end(topology: &Topology) -> String {
    write_duration(topology.end() - Instant::ZERO)
}

fn number<T: ToString>(n: T) -> String {
    n.to_string()
}
