//! Many connections: opened and closed at rate, live by turns, idle, and probed.

use crate::smol::Smoltcp;
use crate::tap::Tapline;
use crate::{BATCH, COUNTING, HANDFUL, IDLE_BUFFER, Pair, ROUND, ROUNDS, Station, each};
use crate::{in_turns, median};
use stack::time::Duration;
use stack::transport::tcp::options::KeepAlive;
use stats_alloc::Region;

/// Connections that carry data in turn.
const LIVE: u32 = 100_000;
/// The same of smoltcp, which walks all its sockets for each frame.
const LIVE_BOTH: u32 = 1000;
/// Connections that say nothing.
const IDLE: u32 = 1_000_000;
/// Numbers that connections are opened with, one after the other: a connection in TIME-WAIT keeps
/// its own.
const NUMBERS: u32 = 900_000;

impl<S: Station> Pair<S> {
    /// The next `count` numbers.
    fn next_ids(&mut self, count: u32) -> std::ops::Range<u32> {
        let most = if S::REST > 0 { count } else { NUMBERS };
        if self.opened + count > most {
            self.opened = 1;
        }
        let start = self.opened;
        self.opened += count;
        start..self.opened
    }

    /// Nanoseconds to open a connection and break it off, so many at a time.
    fn break_off(&mut self, at_a_time: u32) -> f64 {
        let (start, mut opened) = (std::time::Instant::now(), 0);
        while start.elapsed() < ROUND {
            let ids = self.next_ids(at_a_time);
            self.open(ids.clone(), IDLE_BUFFER);
            for id in ids.clone() {
                self.hosts[0].abort(self.now, id);
            }
            while self.cross().1 > 0 {}
            for id in ids {
                self.hosts[1].forget(self.now, id);
                opened += 1;
            }
        }
        each(start, opened)
    }

    /// Nanoseconds to open a connection and close it, one side after the other.
    fn close_both(&mut self, at_a_time: u32) -> f64 {
        let (start, mut opened) = (std::time::Instant::now(), 0);
        while start.elapsed() < ROUND {
            let ids = self.next_ids(at_a_time);
            self.open(ids.clone(), IDLE_BUFFER);
            for id in ids.clone() {
                self.hosts[0].close(self.now, id);
            }
            self.now += crate::STEP;
            self.hosts[0].transmit(self.now, &mut self.forth);
            self.hosts[1].receive(self.now, &mut self.forth);
            // Its program hears that the other has finished, and has, too.
            for id in ids {
                self.hosts[1].close(self.now, id);
                opened += 1;
            }
            while self.cross().1 > 0 {}
            self.now += S::REST;
        }
        each(start, opened)
    }

    /// A batch of connections carry a full segment each; how many crossed.
    fn carry(&mut self, ids: std::ops::Range<u32>) -> usize {
        let [client, server] = &mut self.hosts;
        self.now += crate::STEP;
        for id in ids.clone() {
            client.write(self.now, id, &self.data[..S::SEGMENT]);
        }
        client.transmit(self.now, &mut self.forth);
        server.receive(self.now, &mut self.forth);
        let mut carried = 0;
        for id in ids {
            carried += server.read(self.now, id, &mut self.room);
        }
        server.transmit(self.now, &mut self.back);
        client.receive(self.now, &mut self.back);
        carried / S::SEGMENT
    }

    /// Nanoseconds for each segment where all of `count` connections carry one.
    fn carry_all(&mut self, count: u32) -> f64 {
        let batch = u32::try_from(BATCH).unwrap();
        let (start, mut first, mut segments) = (std::time::Instant::now(), 1, 0);
        while first <= count {
            let end = (first + batch).min(count + 1);
            segments += self.carry(first..end);
            first = end;
        }
        // Some acknowledgments wait for company: what has been carried is counted as it is read.
        assert_eq!(segments, usize::try_from(count).unwrap(), "{}", S::NAME);
        each(start, segments)
    }
}

/// Bytes allocated and not freed since.
fn held(region: &Region<'_, std::alloc::System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

/// Bytes of the machine's memory that this process takes, where the system says so.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<usize>().ok());
    kib.unwrap_or(0) << 10
}

/// Bytes that an idle connection holds at one of its hosts, buffers and tables too.
fn memory<S: Station>(count: u32) -> usize {
    let bytes = |count: u32| {
        let region = Region::new(COUNTING);
        let mut pair = Pair::<S>::new(usize::try_from(count).unwrap() + 1);
        pair.open_idle(count, 0);
        held(&region)
    };
    (bytes(count) - bytes(0)) / usize::try_from(count).unwrap() / 2
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a figure to print"
)]
fn a_second(nanos: f64) -> u64 {
    (1e9 / nanos) as u64
}

fn show(what: &str, [ours, theirs]: [f64; 2]) {
    println!(
        "{what}: {ours:.0} ns, {} a second; smoltcp {theirs:.0} ns; ratio {:.2}",
        a_second(ours),
        theirs / ours
    );
}

/// Connections opened and ended at rate.
pub(crate) fn opens() {
    for at_a_time in [1, HANDFUL] {
        let sockets = usize::try_from(at_a_time).unwrap() + 1;
        let mut ours = Pair::<Tapline>::plain(sockets);
        let mut theirs = Pair::<Smoltcp>::plain(sockets);
        let both = in_turns(|| ours.break_off(at_a_time), || theirs.break_off(at_a_time));
        show(
            &format!("to open a connection and break it off, {at_a_time} at a time"),
            both,
        );
        let mut theirs = Pair::<Smoltcp>::plain(sockets);
        let both = in_turns(
            || ours.close_both(at_a_time),
            || theirs.close_both(at_a_time),
        );
        show(
            &format!("to open a connection and close it both ways, {at_a_time} at a time"),
            both,
        );
        let stats = ours.hosts[0].stats().tcp;
        println!(
            "  of {} opened, {} in TIME-WAIT had to go early; at most {} at once",
            stats.active_opens, stats.time_wait_evicted, stats.connections_peak
        );
    }
}

/// Many connections that carry a segment each, in turn.
pub(crate) fn live() {
    let mut ours = Pair::<Tapline>::plain(1);
    let mut theirs = Pair::<Smoltcp>::plain(usize::try_from(LIVE_BOTH).unwrap());
    ours.open_idle(LIVE_BOTH, 0);
    theirs.open_idle(LIVE_BOTH, 0);
    let both = in_turns(|| ours.carry_all(LIVE_BOTH), || theirs.carry_all(LIVE_BOTH));
    show(
        &format!("a full segment of each of {LIVE_BOTH} live connections"),
        both,
    );
    drop(theirs);
    let region = Region::new(COUNTING);
    let mut many = Pair::<Tapline>::plain(1);
    many.open_idle(LIVE, 0);
    many.carry_all(LIVE);
    let (mut alone, mut all) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(ours.carry_all(LIVE_BOTH));
        all.push(many.carry_all(LIVE));
    }
    let (alone, all) = (median(alone), median(all));
    println!(
        "a full segment of each of {LIVE} live connections: {all:.0} ns, {:.2} Gbit/s; \
         {:.2} of what it takes with {LIVE_BOTH}",
        1448.0 * 8.0 / all,
        all / alone
    );
    let bytes = held(&region) / usize::try_from(LIVE).unwrap() / 2;
    println!("bytes of a live connection, of {LIVE}: {bytes}");
}

/// Connections that say nothing, and one that does.
pub(crate) fn idle() {
    let (a, b) = (memory::<Tapline>(1000), memory::<Smoltcp>(1000));
    println!(
        "bytes of an idle connection, of 1000: {a}; smoltcp {b} with both buffers of {IDLE_BUFFER}"
    );
    let mut alone = Pair::<Tapline>::new(1);
    alone.bulk();
    let (region, before) = (Region::new(COUNTING), resident());
    let mut beside = Pair::<Tapline>::new(1);
    for count in [4000, 100_000, IDLE] {
        beside.open_idle(count, 0);
        let idle = usize::try_from(count).unwrap();
        let (bytes, resident) = (held(&region), resident().saturating_sub(before));
        beside.bulk();
        let [a, b] = in_turns(|| alone.bulk(), || beside.bulk());
        println!(
            "bytes of an idle connection, of {count}: {} allocated, {} resident; a full segment \
             beside them: {b:.0} ns, alone {a:.0} ns; ratio {:.2}",
            bytes / idle / 2,
            resident / idle / 2,
            b / a
        );
    }
}

/// All idle connections are probed within a virtual minute.
pub(crate) fn keepalives() {
    let keepalive = KeepAlive {
        idle: Duration::from_secs(7200),
        ..KeepAlive::default()
    };
    let mut pair = Pair::<Tapline>::plain(1);
    pair.hosts[0].keep_alive(keepalive);
    // They are opened over a minute, and so fall silent over one.
    let pause = 60_000_000_000 / u64::from(IDLE / HANDFUL) - 4 * crate::STEP;
    let begun = pair.now;
    pair.open_idle(IDLE, pause);
    let over = pair.now - begun;
    let sent = |pair: &Pair<Tapline>, host: usize| pair.hosts[host].stats().tcp.segments_out;
    let before = [sent(&pair, 0), sent(&pair, 1)];
    let until = pair.now + 7_201_000_000_000;
    let start = std::time::Instant::now();
    while let Some(wakes) = pair.hosts.iter().filter_map(Tapline::wakes).min()
        && wakes <= until
    {
        // The driver sleeps until then, and some.
        pair.now = pair.now.max(wakes);
        pair.cross();
    }
    // What was due last leaves with the next turn.
    while pair.cross().1 > 0 {}
    let probes = sent(&pair, 0) - before[0];
    let answers = sent(&pair, 1) - before[1];
    let nanos = each(start, usize::try_from(probes).unwrap());
    println!(
        "a keep-alive and its answer, {IDLE} connections silent within {:.0} virtual seconds: \
         {nanos:.0} ns; {probes} sent, {answers} answered",
        Duration::from_nanos(over + 500_000_000).as_secs()
    );
    assert!(
        probes == u64::from(IDLE) && answers == probes,
        "each is probed once, and answers"
    );
}
