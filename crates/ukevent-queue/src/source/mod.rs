//! The sources: what can be registered, one file each.
//!
//! A descriptor, socket or timer is a few words in its slot. The sources that the kernel tells about
//! through a descriptor of their own (inotify, signalfd, pidfd, netlink) have a *hub*: one state per
//! queue that owns the descriptors, reads them and says whose event it was. Hubs know registrations
//! by slot index only and never touch the queue, so each can be read and tested alone.

pub mod inode;
pub mod netlink;
pub mod process;
pub mod signal;

use crate::event::Kind;

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
