//! The language, line by line: what it means, how it is printed, and what is refused.

use super::*;

fn names() -> Names {
    let topology = crate::lab::topology::Topology::new()
        .host("a")
        .router("r1")
        .host("b")
        .host("c")
        .host("d")
        .host("e")
        .link("a", "r1")
        .link("r1", "b");
    topology.names()
}

/// Written, and printed.
const LINES: &[(&str, &str)] = &[
    ("at 2s down a-r1", "at 2s down a-r1"),
    ("at 2s down a-r1 for 1s # x", "between 2s and 3s down a-r1"),
    (
        "between 1s and 3s drop 0.05 on a-r1",
        "between 1s and 3s drop 5% on a-r1",
    ),
    (
        "at 0 drop 5% on a-r1 from a of udp to 10.0.1.1 port 7",
        "at 0s drop 5% of udp on a-r1 from a to 10.0.1.1 port 7",
    ),
    (
        "at 1s drop next 3 of icmp on r1-b source a to fd00::1",
        "at 1s drop next 3 of icmp on r1-b source a to fd00::1",
    ),
    ("at 1s drop all on a-r1", "at 1s blackhole a-r1"),
    ("at 1s drop on a-r1", "at 1s blackhole a-r1"),
    (
        "at 1s blackhole r1-b from r1 of icmp to b",
        "at 1s blackhole r1-b from r1 of icmp to b",
    ),
    (
        "at 1s duplicate 1e-9 on *",
        "at 1s duplicate 0.000000001 on *",
    ),
    ("at 1s duplicate all on *", "at 1s duplicate all on *"),
    (
        "at 1s corrupt next 1 on r1.1",
        "at 1s corrupt next 1 on r1.1",
    ),
    ("at 1s delay +20ms on a-r1", "at 1s delay 20ms on a-r1"),
    (
        "at 1s delay 5% by 20ms of 89 on a-r1",
        "at 1s delay 5% by 20ms of 89 on a-r1",
    ),
    (
        "at 1s delay next 2 by 20ms on a-r1",
        "at 1s delay next 2 by 20ms on a-r1",
    ),
    (
        "at 1s reorder 10% on a-r1",
        "at 1s reorder 10% by 10ms on a-r1",
    ),
    (
        "at 1s reorder 10% by 1.5ms of arp on a-r1",
        "at 1s reorder 10% by 1500us of arp on a-r1",
    ),
    (
        "at 1s reorder all by 1ms on a-r1 for 1ms",
        "between 1s and 1001ms reorder all by 1ms on a-r1",
    ),
    ("at 1s rate 1mbit on a-r1", "at 1s rate 1mbit on a-r1"),
    (
        "at 1s rate unlimited on a-r1 from r1",
        "at 1s rate unlimited on a-r1 from r1",
    ),
    ("at 1s mtu 600 on r1-b", "at 1s mtu 600 on r1-b"),
    ("at 1s loss 5% on r1-b", "at 1s loss 5% on r1-b"),
    ("at 1s jitter 5ms on *", "at 1s jitter 5ms on *"),
    ("at 1s up a.0", "at 1s up a.0"),
    (
        "at 1s flap a-r1 every 500ms",
        "at 1s flap a-r1 every 500ms down 250ms",
    ),
    (
        "between 1s and 5s flap a-r1 every 500ms down 100ms",
        "between 1s and 5s flap a-r1 every 500ms down 100ms",
    ),
    (
        "at 1s partition {a, b}|{ c }| d",
        "at 1s partition {a,b} | c | d",
    ),
    ("at 1s partition {a}->{b,c}", "at 1s partition a -> {b,c}"),
    (
        "at 1s partition bridge {a,b} | c | {d,e}",
        "at 1s partition bridge {a,b} | c | {d,e}",
    ),
    (
        "at 1s partition majorities {a,b,c,d,e}",
        "at 1s partition majorities {a,b,c,d,e}",
    ),
    ("at 1min heal", "at 1min heal"),
    (
        "at 1s clog a -> {b,c} for 2s",
        "between 1s and 3s clog a -> {b,c}",
    ),
    ("at 1s release a -> {b,c}", "at 1s release a -> {b,c}"),
    ("at 1s crash b", "at 1s crash b"),
    ("at 1s restart b", "at 1s restart b"),
    ("at 1s pause b for 10s", "between 1s and 11s pause b"),
    ("at 1s resume b", "at 1s resume b"),
    (
        "on a.ping.reply down a-r1 for 1s",
        "on a.ping.reply down a-r1 for 1s",
    ),
    ("on 1st a.ping.reply crash b", "on a.ping.reply crash b"),
    ("on 22nd *.sent crash b", "on 22nd *.sent crash b"),
    (
        "on every b.ping.reply drop next 1 on a-r1",
        "on every b.ping.reply drop next 1 on a-r1",
    ),
];

#[test]
fn each_form_is_read_and_printed() {
    for (written, printed) in LINES {
        let script = Script::parse(written).unwrap_or_else(|e| panic!("{written}: {e}"));
        assert_eq!(script.to_string(), format!("{printed}\n"));
        let again = Script::parse(&script.to_string()).unwrap();
        assert_eq!(again, script, "{written}");
        assert_eq!(script.check(&names()), Ok(()), "{written}");
    }
    // Every verb of the grammar has been there.
    let all: String = LINES.iter().map(|(line, _)| format!("{line} ")).collect();
    for verb in [
        "drop",
        "duplicate",
        "corrupt",
        "delay",
        "reorder",
        "blackhole",
        "rate",
        "mtu",
        "loss",
        "jitter",
        "down",
        "up",
        "flap",
        "partition",
        "heal",
        "clog",
        "release",
        "crash",
        "restart",
        "pause",
        "resume",
    ] {
        assert!(all.contains(&format!(" {verb}")), "{verb}");
    }
}

#[test]
fn words_in_any_order_are_refused_or_mean_what_they_print() {
    let mut words: Vec<&str> = LINES
        .iter()
        .flat_map(|(line, _)| line.split_whitespace())
        .collect();
    words.extend([
        "{", "}", ",", "|", "->", "", ".", "*.", "\u{e9}.x", "0th", "%", "-1s",
    ]);
    let mut rng = stack::rng::Rng::from_seed(7);
    let mut draw = |n: usize| usize::try_from(rng.below(n as u64)).unwrap();
    let mut understood = 0;
    for _ in 0..30_000 {
        // A line of the table with a few words changed, or any words at all.
        let (line, _) = LINES[draw(LINES.len())];
        let mut text: Vec<&str> = line.split_whitespace().collect();
        for _ in 0..draw(4) {
            let at = draw(text.len());
            match draw(3) {
                0 => text[at] = words[draw(words.len())],
                1 => text.insert(at, words[draw(words.len())]),
                _ if text.len() > 1 => drop(text.remove(at)),
                _ => {}
            }
        }
        let text = text.join(" ");
        if let Ok(script) = Script::parse(&text) {
            understood += usize::from(!script.is_empty());
            assert_eq!(Script::parse(&script.to_string()), Ok(script), "{text}");
        }
    }
    assert!(understood > 5_000, "{understood}");
}

/// Written, and what is said about it.
const WRONG: &[(&str, &str)] = &[
    ("at 1s drop 0 of icmp on a-b", "a share of 0 does nothing"),
    ("at 1s delay 0ms on a-b", "a duration of zero does nothing"),
    (
        "dwon a-r1",
        "a line begins with `at`, `between` or `on`, not `dwon`",
    ),
    (
        "betwen 1s and 2s heal",
        "a line begins with `at`, `between` or `on`, not `betwen`; did you mean `between`?",
    ),
    (
        "at 2s dorp 5% on a-r1",
        "there is no fault `dorp`; did you mean `drop`?",
    ),
    ("at 2s", "after `2s` comes what happens, but the line ends"),
    (
        "at 2 down a-r1",
        "`2` has no unit: use ns, us, ms, s, min or h",
    ),
    (
        "at 2sec down a-r1",
        "`2sec` has an unknown unit `sec`: use ns, us, ms, s, min or h",
    ),
    (
        "between 2s and 1s heal",
        "the end is not after the beginning",
    ),
    (
        "at 500y down a-r1",
        "`500y` has an unknown unit `y`: use ns, us, ms, s, min or h",
    ),
    (
        "at 5000000h down a-r1 for 5000000h",
        "the end is more than 584 years away",
    ),
    (
        "between 1s and 2s heal",
        "`heal` has nothing to undo: say `at`, without an end",
    ),
    (
        "between 1s and 2s down a-r1 for 1s",
        "`between` already says for how long",
    ),
    ("between 1s 2s down a-r1", "`2s`: here comes `and`"),
    (
        "at 1s down a-r1 now",
        "`now`: the line was complete before it",
    ),
    (
        "at 1s down a-r2",
        "there is no wire `a-r2`; did you mean `a-r1`?",
    ),
    (
        "at 1s down r1-a",
        "there is no wire `r1-a`; did you mean `a-r1`?",
    ),
    ("at 1s down a.1", "`a` has the ports 0 to 0, no 1"),
    ("at 1s down c.0", "`c` has no ports: no wire ends there"),
    ("at 1s down a.x", "`a.x` is neither a wire nor NODE.PORT"),
    (
        "at 1s crash q",
        "there is no node `q`; there is a, r1, b, c, d, e",
    ),
    (
        "at 1s crash r2",
        "there is no node `r2`; did you mean `r1`?",
    ),
    (
        "at 1s drop 5% on a-r1 from b",
        "`b` is at no end of a-r1: say `from a` or `from r1`",
    ),
    (
        "at 1s drop 5x on a-r1",
        "`5x` is no share: say 5%, 0.05, all, or `next 3`",
    ),
    (
        "at 1s drop 200% on a-r1",
        "`200%` is no share: say 5%, 0.05, all, or `next 3`",
    ),
    ("at 1s drop 5%", "`drop` where? Say `on` and a wire"),
    (
        "at 1s drop 5% on from a",
        "`from`: a name is missing before it",
    ),
    (
        "at 1s crash a!",
        "`a!` is no name: letters, digits, - and _",
    ),
    (
        "at 1s drop 5% of upd on a-r1",
        "there is no protocol `upd`; did you mean `udp`?",
    ),
    (
        "at 1s drop 5% of icmp on a-r1 port 7",
        "only udp and tcp have ports",
    ),
    (
        "at 1s drop 5% on a-r1 port 70000",
        "`70000`: here comes a port, 0 to 65535",
    ),
    (
        "at 1s drop next 0 on a-r1",
        "`0`: here comes how many packets, 1 to 4294967295",
    ),
    ("at 1s drop 5% on a-r1 on r1-b", "`on` is there twice"),
    (
        "at 1s drop 5% at a-r1",
        "`at`: here comes of, on, from, source, to, port or for",
    ),
    (
        "at 1s rate 1mb on a-r1",
        "`1mb` has an unknown unit `mb`: use bit, kbit, mbit, gbit or tbit",
    ),
    ("at 1s mtu 60 on a-r1", "an MTU is 68 to 65535, not 60"),
    (
        "at 1s flap a-r1 every 1s down 1s",
        "it must be down for less than from one time to the next",
    ),
    (
        "at 1s flap a-r1 every 2ns",
        "a wire flaps every 1ms at most",
    ),
    (
        "at 1s partition {a,b}",
        "a partition has two groups or more: `{a,b} | {c}`",
    ),
    ("at 1s partition {a,b} | {b}", "`b` is there twice"),
    (
        "at 1s partition {a b} | c",
        "a group is `{a,b}`: a comma or `}` is missing",
    ),
    (
        "at 1s partition bridge a | b",
        "a bridge is `{a,b} | c | {d,e}`",
    ),
    (
        "at 1s partition majorities {a,b}",
        "majorities are of one group of three nodes or more: `{a,b,c}`",
    ),
    ("at 1s clog a -> a", "`a` is on both sides"),
    (
        "on ping.reply",
        "after `ping.reply` comes what happens, but the line ends",
    ),
    (
        "on reply crash a",
        "`reply`: say who notes it, as `a.reply`, or `*.reply` for any node",
    ),
    ("on 0th a.reply crash a", "`0th`: the first is the 1st"),
    (
        "on x.reply crash a",
        "there is no node `x`; there is a, r1, b, c, d, e",
    ),
    (
        "at 1s slow-disk a",
        "`slow-disk` needs a disk on the node, which this lab does not have yet",
    ),
    (
        "at 1s torn-record a",
        "`torn-record` needs a disk on the node, which this lab does not have yet",
    ),
    (
        "at 1s clock drift a 50ppm",
        "`clock` needs a clock of the node's own, which this lab does not have yet",
    ),
    (
        "at 1s byzantine a silent",
        "`byzantine` needs a node that runs an algorithm, which this lab does not have yet",
    ),
    (
        "at 1s restart a with an empty disk",
        "`restart a with ..` needs a disk on the node, which this lab does not have yet: say \
         `restart a`",
    ),
];

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (written, want) in WRONG {
        let text = format!("at 1s heal\n# a comment\n\n{written}\nat 2s heal\n");
        let checked = Script::parse(&text).and_then(|script| script.check(&names()));
        let e = checked.expect_err(written);
        assert_eq!(e.to_string(), format!("line 4: {want}"));
    }
}

#[test]
fn a_note_that_nobody_makes_is_unknown() {
    let mut names = names();
    let script = Script::parse("on a.ping.repyl crash b").unwrap();
    assert_eq!(script.check(&names), Ok(()));
    let notes = ["ping.reply".to_owned()].into();
    names.notes.insert("a".to_owned(), notes);
    for (text, want) in [
        (
            "on a.ping.repyl crash b",
            "there is no note `ping.repyl`; did you mean `ping.reply`?",
        ),
        (
            "on *.nothing crash b",
            "there is no note `nothing`; there is ping.reply",
        ),
        (
            "on b.ping.reply crash b",
            "nobody at `b` notes `ping.reply`: say `a.ping.reply`",
        ),
        (
            "on b.nothing crash b",
            "there is no note `nothing`, nor any other",
        ),
    ] {
        let e = Script::parse(text).unwrap().check(&names).unwrap_err();
        assert_eq!(e.what, want);
    }
}

#[test]
fn an_id_stays_when_other_lines_go() {
    let text = "at 1s crash a\nat 1s  crash a\nat 2s crash a\nat 1s crash a # third";
    let script = Script::parse(text).unwrap();
    let ids: Vec<u64> = script.lines.iter().map(|line| line.id).collect();
    let different: BTreeSet<_> = ids.iter().collect();
    assert_eq!(different.len(), 4);
    let fewer = Script::parse("at 2s crash a\n\n\nat 1s crash a").unwrap();
    assert_eq!([fewer.lines[0].id, fewer.lines[1].id], [ids[2], ids[0]]);
    // Frozen: a run of an old script gives the same bytes with a new build.
    assert_eq!(ids[0], 0xafda_5846_19a9_d588, "{:#x}", ids[0]);
}

#[test]
fn who_does_not_hear_whom() {
    let cuts = |text: &str| {
        let script = Script::parse(&format!("at 1s partition {text}")).unwrap();
        let Fault::Partition(partition) = &script.lines[0].fault else {
            panic!("{text}")
        };
        let cuts = partition.cuts();
        let mut cuts: Vec<_> = cuts.iter().map(|(a, b)| format!("{a}{b}")).collect();
        cuts.sort();
        cuts.join(" ")
    };
    assert_eq!(cuts("{a,b} | c"), "ac bc ca cb");
    assert_eq!(cuts("a | b | c"), "ab ac ba bc ca cb");
    assert_eq!(cuts("{a,b} -> c"), "ac bc");
    assert_eq!(cuts("bridge {a,b} | c | d"), "ad bd da db");
    // Each of five hears itself and its two neighbours in the ring.
    assert_eq!(
        cuts("majorities {a,b,c,d,e}"),
        "ac ad bd be ca ce da db eb ec"
    );
    // Each of four misses one other, each another.
    assert_eq!(cuts("majorities {a,b,c,d}"), "ac bd ca db");
}
