//! Against the kernel and its tools, in network namespaces that each test makes for itself.
//!
//! ```text
//!   tapline up -- TOOL        the kernel at 10.7.0.1 -- TAP or veth -- Tapline at 10.7.0.2
//!   World                     several kernels and several Taplines, wired as the test says
//! ```
//!
//! Not the usual test runner: some tests need root (those on a TAP whose node is closed to
//! ordinary users), and a test that was not run must not count as passed. An ordinary user gets
//! their names in a line `left for root: ...`. One test runs at a time, since some count packets.
//! No test asserts on seconds. `cargo test --test interop -- ping` runs those with that name;
//! `TAPLINE_STAND_IN=kernel` puts a kernel in Tapline's place where it can, and shows that what
//! those tests expect is what a host does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what went wrong by panicking"
)]

mod attacks;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod floods6;
mod ipv6;
mod lab;
mod oddities;
mod offload;
mod peer;
mod routers;
mod routers6;
mod streams;
mod tools;
mod up;
mod verbs;
mod wire_verb;
mod wires;

use common::is_root;
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

/// Who can run a test.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    /// A user namespace is enough.
    Anyone,
    /// It opens a TAP, or becomes somebody else.
    Root,
}
use Needs::{Anyone, Root};

/// A test: who can run it, its name, itself.
type Test = (Needs, &'static str, fn());

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    args.test_threads = args.test_threads.or(Some(1));
    let stories = [
        up::TESTS,
        tools::TESTS,
        ipv6::TESTS,
        oddities::TESTS,
        attacks::TESTS,
        floods6::TESTS,
        wires::TESTS,
        clients::TESTS,
        routers::TESTS,
        routers6::TESTS,
        verbs::TESTS,
        wire_verb::TESTS,
        streams::TESTS,
        lab::TESTS,
        offload::TESTS,
    ];
    let tests = [stories.concat(), peer::tests()].concat();
    let is_left = |needs: Needs| needs == Root && !is_root();
    let trials = tests.iter().map(|&(needs, name, test)| {
        let trial = Trial::test(format!("interop::{name}"), move || {
            test();
            Ok(())
        });
        trial.with_ignored_flag(is_left(needs))
    });
    let conclusion = libtest_mimic::run(&args, trials.collect());
    if conclusion.num_filtered_out == tests.len() as u64 {
        return conclusion.exit_code();
    }
    let left: Vec<_> = tests
        .iter()
        .filter(|test| is_left(test.0))
        .map(|test| test.1)
        .collect();
    if !left.is_empty() && !args.list {
        println!("left for root: {}", left.join(", "));
    }
    let files = common::left_behind();
    assert!(files.is_empty(), "tests must leave nothing: {files:?}");
    conclusion.exit_code()
}
