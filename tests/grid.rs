//! TCP's proving ground: how much it moves over bad paths, how it shares them, and whether what
//! comes is what was sent; with smoltcp beside it on the same wires, in virtual time.
//!
//! ```text
//!   cells    loss x round trip x window x reordering x rate: throughput, kept in grid.txt
//!   share    flows over one bottleneck: Jain's index, queues, kept in share.txt
//!   script   one application on each pair of stacks: bytes in = bytes out, both ends close
//!                 \
//!                  end (smoltcp, ours) <--> path: two bad ways <--> end
//! ```
//!
//! All of it is meant for `--release`: `cargo test --release --test grid` runs 24 cells of 240, each
//! for a shorter time, a few bottlenecks and a few scripts; `TAPLINE_GRID=1` runs all,
//! `TAPLINE_GRID=3` all cells with only three seeds. Unoptimised
//! it does the least of that and says so. `TAPLINE_REWRITE=1` writes the tables anew.
#![expect(
    clippy::unwrap_used,
    reason = "a test says what went wrong by panicking"
)]

#[path = "grid/bulk.rs"]
mod bulk;
#[path = "grid/cells.rs"]
mod cells;
#[path = "grid/end.rs"]
mod end;
#[path = "grid/golden.rs"]
mod golden;
#[path = "grid/path.rs"]
mod path;
#[path = "grid/script.rs"]
mod script;
#[path = "grid/share.rs"]
mod share;
#[path = "grid/smol.rs"]
mod smol;
#[path = "grid/tap.rs"]
mod tap;
