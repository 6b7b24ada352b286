//! The event: one type for everything that can happen.
//!
//! Forty bytes, as kevent's was: the key, the token, and what happened. What needs more than sixteen
//! bytes (names of files, netlink attributes) is boxed, so that the common events stay small.

use crate::{Completed, Key, Token};
use bitflags::bitflags;
use std::{ffi::OsString, net::IpAddr, path::PathBuf};

/// Something happened to a registration.
///
/// Taken from the queue by [`Queue::next_event`](crate::Queue::next_event). Owns all it carries.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// The registration.
    pub key: Key,
    /// The token that the program gave it.
    pub token: Token,
    /// What happened.
    pub kind: Kind,
}

const _: () = assert!(size_of::<Event>() <= 40, "an event is 40 bytes, as kevent's was");

/// What happened.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A descriptor or socket is ready.
    Ready(Ready),
    /// A timer expired.
    Timer(Expired),
    /// An inode, or an entry of a watched directory or tree, changed.
    Inode(Box<InodeChange>),
    /// A signal arrived.
    Signal(SignalReceived),
    /// A process ended, forked or executed another program.
    Process(ProcessChange),
    /// The program posted to itself.
    User(Posted),
    /// The kernel's network configuration or a device changed.
    Netlink(Box<NetlinkChange>),
    /// An operation completed.
    Completed(Completed),
    /// Events of this registration were lost by the kernel (its queue overflowed) or could not be
    /// kept within bounds: look again at what is being watched.
    Rescan,
    /// The kernel refused or ended the watch with this errno; no further event comes until the
    /// registration is modified, or disabled and enabled again. Of a tree: a directory in it could not
    /// be watched; the rest goes on.
    Failed(Errno),
}

impl Kind {
    /// The same once more, for another waiter. What an operation brings is there once only.
    pub(crate) fn copy(&self) -> Option<Self> {
        Some(match self {
            Self::Ready(ready) => Self::Ready(*ready),
            Self::Timer(expired) => Self::Timer(*expired),
            Self::Inode(change) => Self::Inode(change.clone()),
            Self::Signal(received) => Self::Signal(*received),
            Self::Process(change) => Self::Process(*change),
            Self::User(posted) => Self::User(*posted),
            Self::Netlink(change) => Self::Netlink(change.clone()),
            Self::Completed(_) => return None,
            Self::Rescan => Self::Rescan,
            Self::Failed(errno) => Self::Failed(*errno),
        })
    }
}

/// An errno that came with an event. Prints as the system's text for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

impl From<Errno> for std::io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}

bitflags! {
    /// What a descriptor is ready for: the bits of poll(2) that the kernel reported.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Readiness: u16 {
        /// Reading will not block: data, a connection to accept, or the end (`POLLIN`).
        const READABLE = 0x001;
        /// Urgent data, or an exceptional condition (`POLLPRI`).
        const PRIORITY = 0x002;
        /// Writing will not block (`POLLOUT`).
        const WRITABLE = 0x004;
        /// An error is pending (`POLLERR`). Reported whether asked for or not.
        const ERROR = 0x008;
        /// Both directions are closed (`POLLHUP`). Reported whether asked for or not.
        const HANG_UP = 0x010;
        /// The peer closed its writing side (`POLLRDHUP`); data may be left to read.
        const PEER_CLOSED = 0x2000;
    }
}

/// A descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// For what.
    pub readiness: Readiness,
    pub(crate) waiting: u32,
    pub(crate) room: u32,
}

/// "Not measured", in the two words of [`Ready`].
pub(crate) const UNMEASURED: u32 = u32::MAX;

impl Ready {
    /// Readable, or at an end that a read will show.
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.readiness
            .intersects(Readiness::READABLE.union(Readiness::HANG_UP).union(Readiness::ERROR))
    }

    /// Writable, or in a state that a write will show.
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.readiness
            .intersects(Readiness::WRITABLE.union(Readiness::HANG_UP).union(Readiness::ERROR))
    }

    /// Bytes waiting to be read, or for a listener the connections waiting to be accepted.
    /// `None` if the registration did not ask for it, or the kernel cannot tell.
    #[must_use]
    pub const fn waiting(self) -> Option<u32> {
        if self.waiting == UNMEASURED { None } else { Some(self.waiting) }
    }

    /// Bytes of room in the send buffer. `None` if the registration did not ask for it, or the
    /// kernel cannot tell.
    #[must_use]
    pub const fn room(self) -> Option<u32> {
        if self.room == UNMEASURED { None } else { Some(self.room) }
    }
}

/// A timer expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// How many periods passed since the last event of this timer; 1 for a timer without period.
    pub expirations: u64,
}

bitflags! {
    /// Changes of inodes, to ask for and to be told (inotify(7)).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Changes: u32 {
        /// An entry was created in the directory, or a hard link to it.
        const CREATED = 1 << 0;
        /// An entry was removed from the directory.
        const REMOVED = 1 << 1;
        /// An entry was renamed away; the cookie pairs it with [`Changes::MOVED_TO`].
        const MOVED_FROM = 1 << 2;
        /// An entry was renamed here; the cookie pairs it with [`Changes::MOVED_FROM`].
        const MOVED_TO = 1 << 3;
        /// The content changed.
        const MODIFIED = 1 << 4;
        /// A file that was open for writing was closed.
        const WRITTEN = 1 << 5;
        /// Mode, owner, times, link count or extended attributes changed.
        const ATTRIBUTES = 1 << 6;
        /// The watched inode itself was removed. No further event comes.
        const SELF_REMOVED = 1 << 7;
        /// The watched inode itself was renamed.
        const SELF_MOVED = 1 << 8;
        /// The file system was unmounted. No further event comes.
        const UNMOUNTED = 1 << 9;
        /// Opened.
        const OPENED = 1 << 10;
        /// A file that was open for reading only was closed.
        const READ_CLOSED = 1 << 11;
        /// Read.
        const ACCESSED = 1 << 12;
        /// The file grew. Costs a stat(2) for each modification, and only when asked for.
        const GREW = 1 << 13;
    }
}

/// An inode changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InodeChange {
    /// What changed: one bit, or [`Changes::MODIFIED`] with [`Changes::GREW`].
    pub changes: Changes,
    /// For an entry of a watched directory its name, for one of a tree its path below the root of
    /// the tree. Empty if it is the watched inode itself.
    pub name: PathBuf,
    /// Pairs a [`Changes::MOVED_FROM`] with its [`Changes::MOVED_TO`]; 0 otherwise.
    pub cookie: u32,
    /// Whether the entry is a directory.
    pub is_directory: bool,
    /// Size in bytes, if the registration asked for [`Changes::GREW`] and the file still exists.
    pub size: Option<u64>,
}

/// A signal arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalReceived {
    /// Its number, as in signal(7).
    pub signal: i32,
    /// How many were taken since the last event of this registration. The kernel merges standard
    /// signals that are pending at once, so this is a lower bound for them; real-time signals are
    /// counted exactly.
    pub count: u32,
    /// The process that sent the last of them; 0 if the kernel did.
    pub pid: i32,
    /// The real user of that process.
    pub uid: u32,
    /// `si_code`, as in sigaction(2).
    pub code: i32,
}

/// Something happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessChange {
    /// The process that was watched.
    pub pid: i32,
    /// What it did.
    pub what: ProcessEvent,
}

/// What a process did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessEvent {
    /// It ended by itself with this status.
    Exited(i32),
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
    /// It ended, and this kernel does not tell strangers how.
    Gone,
    /// It made a child.
    Forked {
        /// The child's process id.
        child: i32,
    },
    /// It executed another program.
    Executed,
}

/// The program posted to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The data of the post; of merged posts what the rule of the source makes of them.
    pub data: u64,
    /// How many posts this event stands for.
    pub count: u64,
}

/// The kernel's network configuration or a device changed (rtnetlink(7), netlink(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetlinkChange {
    /// A network interface appeared, changed or went.
    Link(LinkChange),
    /// An address was added or removed.
    Address(AddressChange),
    /// A route was added or removed.
    Route(RouteChange),
    /// A kernel object (a device, as a rule) changed.
    Uevent(Uevent),
}

/// A network interface appeared, changed or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// Whether it went; else it is new or changed.
    pub removed: bool,
    /// Interface index.
    pub index: u32,
    /// Interface name; empty if the message had none.
    pub name: OsString,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Has a carrier (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Largest packet, in bytes.
    pub mtu: Option<u32>,
}

/// An address was added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressChange {
    /// Whether it was removed; else it is new or changed.
    pub removed: bool,
    /// Interface index.
    pub index: u32,
    /// The address.
    pub address: Option<IpAddr>,
    /// Length of its prefix, in bits.
    pub prefix: u8,
}

/// A route was added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteChange {
    /// Whether it was removed; else it is new or changed.
    pub removed: bool,
    /// Destination; `None` is the default route.
    pub destination: Option<IpAddr>,
    /// Length of the destination's prefix, in bits.
    pub prefix: u8,
    /// Next hop, if it has one.
    pub gateway: Option<IpAddr>,
    /// Index of the interface it leaves by, if it has one.
    pub index: Option<u32>,
    /// Routing table.
    pub table: u32,
}

/// A kernel object changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `remove`, `change`, `move`, `online`, `offline`, `bind` or `unbind`.
    pub action: String,
    /// Path below `/sys`.
    pub device: String,
    /// Subsystem, such as `net` or `block`; empty if the message had none.
    pub subsystem: String,
    /// All of its `KEY=VALUE` pairs, in the kernel's order.
    pub properties: Vec<(String, String)>,
}
