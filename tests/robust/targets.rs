//! What a fuzz target does with its input: one function for each file in `tests/fuzz/fuzz_targets`.

use crate::chance::Chance;
use crate::{discovery as lies, drive, machines, parse, tcp};

/// Every parser on any bytes.
pub(crate) fn wire(bytes: &[u8]) {
    parse::every_parser(bytes);
}

/// The machines of link and net; the first byte says which.
pub(crate) fn link_net(bytes: &[u8]) {
    let mut c = Chance::from_bytes(bytes);
    match c.byte() % 4 {
        0 => machines::link_and_neighbours(&mut c),
        1 => machines::fragments(&mut c),
        2 => machines::packets(&mut c),
        _ => machines::paths_and_groups(&mut c),
    }
}

/// Sockets: how they are found, and what users do to them through a host.
pub(crate) fn transport(bytes: &[u8]) {
    let mut c = Chance::from_bytes(bytes);
    if c.byte().is_multiple_of(2) {
        machines::transport(&mut c);
    } else {
        drive::run_user(&mut c, 200);
    }
}

/// TCP: the first byte says in which state a connection is, the others what is said to it.
pub(crate) fn tcp(bytes: &[u8]) {
    tcp::run(&mut Chance::from_bytes(bytes), 400);
}

/// A whole host: the first byte says which kind, the others what happens to it.
pub(crate) fn host(bytes: &[u8]) {
    let mut c = Chance::from_bytes(bytes);
    let kind = usize::from(c.byte());
    drive::run(kind, 7, &mut c, 200);
}

/// A host or a router among liars: the first byte says which kind, the others what is said to it.
pub(crate) fn discovery(bytes: &[u8]) {
    let mut c = Chance::from_bytes(bytes);
    let kind = usize::from(c.byte());
    lies::run(kind, 7, &mut c, 100);
}
