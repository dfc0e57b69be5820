//! What is kept of an epoll descriptor.

use super::EpollEvent;
use super::socket::Wakes;
use std::collections::BTreeMap;

/// An epoll descriptor: whom it watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Epoll(pub(super) BTreeMap<i32, Watch>);

/// One that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) event: EpollEvent,
    /// How often the watched had called when it was told of last.
    pub(super) seen: Option<Wakes>,
    /// Whom to ask first: those told of last go to the end.
    pub(super) turn: u64,
}
