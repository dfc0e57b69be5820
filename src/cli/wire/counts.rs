//! What a wire did so far, to be read by people or by programs.

use serde_json::{Map, Value, json};
use stack::link::impair::Wire;
use stack::machine::Port;
use std::fmt::Write as _;

/// What a snapshot is made of.
pub(super) struct View<'a> {
    /// The interfaces' names.
    pub(super) names: &'a [String; 2],
    /// What decides all chance.
    pub(super) seed: u64,
    /// The machine.
    pub(super) wire: &'a Wire,
    /// Frames that each interface refused: they had arrived.
    pub(super) refused: [u64; 2],
}

impl View<'_> {
    /// Everything, as one object.
    pub(super) fn json(&self) -> Value {
        let ways: Vec<Value> = [0_usize, 1]
            .into_iter()
            .filter_map(|i| self.way(i))
            .collect();
        json!({ "wire": self.names, "seed": self.seed, "ways": ways })
    }

    fn way(&self, from: usize) -> Option<Value> {
        let port = Port(u16::try_from(from).ok()?);
        let way = self.wire.way(port)?;
        let (stats, queued) = (way.stats(), way.queued());
        let drops = stats.drops().map(|(r, n)| (r.to_string(), n.into()));
        Some(json!({
            "from": self.names[from],
            "to": self.names[1 - from],
            "frames_in": stats.frames_in,
            "bytes_in": stats.bytes_in,
            "frames_out": stats.delivered,
            "bytes_out": stats.bytes_out,
            "duplicated": stats.duplicated,
            "reordered": stats.reordered,
            "delayed": stats.delayed,
            "corrupted": stats.corrupted,
            "flipped_bits": stats.flipped_bits,
            "marked": stats.marked,
            "dropped": drops.collect::<Map<String, Value>>(),
            "queue_peak": stats.queue_peak,
            "waiting": queued.packets,
            "in_flight": queued.in_flight,
            "refused": self.refused[1 - from],
        }))
    }

    /// A paragraph for each direction: what always counts, and the rest where it is not zero.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for from in [0_usize, 1] {
            let Some(way) = self.way(from) else { continue };
            let of = |name: &str| way.get(name).and_then(Value::as_u64).unwrap_or(0);
            let (a, b) = (&self.names[from], &self.names[1 - from]);
            let _ = writeln!(
                text,
                "{a} > {b}: in {} ({} bytes), out {} ({} bytes)",
                of("frames_in"),
                of("bytes_in"),
                of("frames_out"),
                of("bytes_out"),
            );
            let drops = way.get("dropped").and_then(Value::as_object);
            let drops = drops.into_iter().flatten();
            let drops = drops.filter_map(|(name, n)| Some((name.as_str(), n.as_u64()?)));
            line(&mut text, "dropped", drops);
            let plain = [
                "duplicated",
                "reordered",
                "delayed",
                "corrupted",
                "marked",
                "queue_peak",
                "waiting",
                "in_flight",
                "refused",
            ];
            line(
                &mut text,
                "besides",
                plain.into_iter().map(|name| (name, of(name))),
            );
        }
        text
    }
}

fn line<'a>(text: &mut String, name: &str, counts: impl Iterator<Item = (&'a str, u64)>) {
    let told = counts.filter(|c| c.1 > 0);
    let told: Vec<String> = told.map(|(what, n)| format!("{what} {n}")).collect();
    if !told.is_empty() {
        let _ = writeln!(text, "  {name:<8} {}", told.join("  ").replace('_', " "));
    }
}
