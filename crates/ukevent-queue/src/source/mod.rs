//! The sources: what can be registered, one file each.
//!
//! A descriptor, socket or timer is a few words in its slot. The sources that the kernel tells about
//! through a descriptor of their own (inotify, signalfd, pidfd, netlink) are *streams*: their events
//! carry data, and are kept in order until delivered. Those that share a descriptor have a *hub*: one
//! state per queue that owns the descriptor, reads it and says whose event it was. Hubs know
//! registrations by slot index only and never touch the queue, so each can be read and tested alone.

mod fd;
mod inode;
pub(crate) mod netlink;
mod process;
mod signal;
mod timer;
mod user;

pub(crate) use fd::Owner;
pub use fd::{Fd, Removed, Socket};
pub use inode::Inode;
pub(crate) use inode::InodeHub;
pub use netlink::Netlink;
pub(crate) use netlink::NetlinkWatch;
pub(crate) use process::{ConnectorHub, ProcessWatch};
pub use process::{Process, ProcessChanges};
pub use signal::Signal;
pub(crate) use signal::{SignalHub, bit};
pub use timer::Timer;
pub(crate) use timer::{First, TimerState};
pub use user::User;
pub(crate) use user::UserState;

use crate::event::Kind;
use crate::key::Key;
use crate::mode::Interest;
use crate::operation::Work;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use ukevent_sys::clock::Clock;

/// Anything that can be registered. Made by `into()`; there is nothing to do with it but to hand it
/// to [`Queue::register`](crate::Queue::register).
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A descriptor or socket.
    Fd(Fd),
    /// A timer.
    Timer(Timer),
    /// A file, directory or tree.
    Inode(Inode),
    /// A signal.
    Signal(Signal),
    /// A process.
    Process(Process),
    /// The program itself.
    User(User),
    /// The kernel's network configuration or devices.
    Netlink(Netlink),
}

macro_rules! from {
    ($($variant:ident),*) => {$(
        impl From<$variant> for Source {
            fn from(source: $variant) -> Self {
                Self::$variant(source)
            }
        }
    )*};
}
from!(Fd, Timer, Inode, Signal, Process, User, Netlink);

impl From<Socket> for Source {
    fn from(socket: Socket) -> Self {
        Self::Fd(socket.into())
    }
}

/// Takes what a hub read: the slot index of the registration, and what happened to it.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(u32, Kind);

/// What a hub says after it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// The descriptor has nothing left.
    Dry,
    /// The budget is used up; there may be more to read.
    Budget,
}

/// What a slot holds.
pub(crate) enum State {
    /// Nothing: it is free.
    Free,

    /// A descriptor and its owner.
    Fd { owner: Owner, fd: RawFd, interest: Interest },
    /// A timer.
    Timer(TimerState),
    /// Posts.
    User(Box<UserState>),
    /// A source whose events carry data.
    Stream(Box<Stream>),
    /// An operation.
    Work(Box<Work>),
    /// A descriptor of the queue's own, no registration of the program's.
    Own(Own),
}

/// What the queue itself watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// The inotify instance.
    Inodes,
    /// The signalfd.
    Signals,
    /// The process connector.
    Connector,
    /// The timerfd of a clock that the wait's own deadline cannot follow.
    Clock(Clock),
    /// No descriptor: the deadline of the wait, in the wheel of another clock.
    Deadline,
    /// No descriptor: the time that an operation has.
    Limit(Key),
}

/// Events that carry data, kept until delivered.
pub(crate) struct Stream {
    pub(crate) kept: VecDeque<Kind>,
    pub(crate) from: StreamSource,
}

/// Where a stream's events come from.
pub(crate) enum StreamSource {
    Inode,
    Signal,
    Process(ProcessWatch),
    Netlink(NetlinkWatch),
}

/// Events that a stream keeps, at most; after that it says [`Kind::Rescan`] and begins anew.
const KEPT_EVENTS: usize = 16_384;

impl Stream {
    pub(crate) const fn new(from: StreamSource) -> Self {
        Self { kept: VecDeque::new(), from }
    }

    /// Keeps an event for delivery. Returns how the number of kept events changed.
    pub(crate) fn keep(&mut self, kind: Kind) -> isize {
        if let (Kind::Signal(later), Some(Kind::Signal(earlier))) = (&kind, self.kept.back_mut()) {
            // A count is a count: signals that wait together are one event.
            let count = earlier.count.saturating_add(later.count);
            *earlier = *later;
            earlier.count = count;
            return 0;
        }
        if kind == Kind::Rescan && self.kept.back() == Some(&Kind::Rescan) {
            return 0;
        }
        let before = self.kept.len() as isize;
        if self.kept.len() >= KEPT_EVENTS {
            self.kept.clear();
            self.kept.push_back(Kind::Rescan);
        }
        self.kept.push_back(kind);
        self.kept.len() as isize - before
    }
}
