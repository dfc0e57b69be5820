//! Linux's socket calls over one host of this stack, in virtual time: the kernel that a packet
//! script thinks it talks to.
//!
//! ```text
//!   script or C program
//!        |  Call              ^ Answer, or Pending        | packets in     ^ packets out
//!        v                    |                           v                |
//!   +-----------------------------------------------------------------------------+
//!   | Process: descriptors, socket state, options, error queues, epoll            |
//!   |        Host: our TCP and UDP behind one IP-only interface                   |
//!   +-----------------------------------------------------------------------------+
//! ```
//!
//! | file | |
//! |---|---|
//! | `call`, `errno`, `info` | calls, errors and `struct tcp_info` as data |
//! | `setup` | what a process is born with |
//! | `process` | descriptors, time, packets; which call goes where |
//! | `socket`, `settings`, `errqueue`, `epoll` | what is kept of each |
//! | `life` | bind, listen, accept, connect, shutdown, close |
//! | `io` | bytes in and out, pipes, splice |
//! | `poll` | poll and epoll |
//! | `option`, `sysctl` | what can be set, and how our TCP is told |
//! | `status`, `traffic` | `struct tcp_info` of a socket, and what is counted for it |
//!
//! Read first: tcp(7), ip(7), socket(7) of Linux's manual.
//!
//! Left out: everything that is not a socket, a pipe or an epoll set.

mod address;
mod call;
mod epoll;
mod errno;
mod errqueue;
mod info;
mod io;
mod life;
mod option;
mod poll;
mod process;
mod settings;
mod setup;
mod socket;
mod status;
mod sysctl;
#[cfg(test)]
mod tests;
mod traffic;

pub use call::{Answer, Call, ControlMessage, EpollEvent, Op, OptVal, PollFd, Target};
pub use errno::Errno;
pub use info::TcpInfo;
pub(crate) use option::{SO_NOSIGPIPE, TCP_KEEPINIT, TCP_NOOPT, TCP_RTO_MAX_MS, is_unhonoured};
pub use process::Process;
pub use setup::{Mode, Profile, Sent, Setup};
