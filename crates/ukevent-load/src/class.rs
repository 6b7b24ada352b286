//! What can go wrong with a request, in classes that name who or what failed.

use std::fmt;

/// Why a request has no whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// Nobody listens there (`ECONNREFUSED`).
    Refused,
    /// There is no way there (`EHOSTUNREACH`, `ENETUNREACH`, `EACCES` and the like).
    Unreachable,
    /// No connection within the time for it.
    ConnectTimeout,
    /// The other side broke the connection (`ECONNRESET`, `EPIPE`).
    Reset,
    /// It ended the connection before the first byte of a reply.
    Closed,
    /// It ended the connection in the middle of a reply.
    Cut,
    /// No whole reply within the time for it.
    ReplyTimeout,
    /// What came is no reply, or more than was asked for. (The latter is counted beside the requests: it fails none.)
    Garbage,
    /// TLS failed: an alert, a certificate, a protocol, an end in the middle of its handshake.
    Tls,
    /// This side has no free port to connect from (`EADDRNOTAVAIL`): more source addresses help.
    NoPort,
    /// This side has no free descriptor (`EMFILE`, `ENFILE`): more processes help.
    NoDescriptor,
    /// It was due, and as many as may were at work.
    Crowded,
    /// It was on its way, or its connection was being made, when the load was ended early: see [`Stop`](crate::Stop).
    Interrupted,
    /// Anything else.
    Other,
}

impl Class {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::Refused,
        Self::Unreachable,
        Self::ConnectTimeout,
        Self::Reset,
        Self::Closed,
        Self::Cut,
        Self::ReplyTimeout,
        Self::Garbage,
        Self::Tls,
        Self::NoPort,
        Self::NoDescriptor,
        Self::Crowded,
        Self::Interrupted,
        Self::Other,
    ];

    /// In one word, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Cut => "cut",
            Self::ReplyTimeout => "reply_timeout",
            Self::Garbage => "garbage",
            Self::Tls => "tls",
            Self::NoPort => "no_port",
            Self::NoDescriptor => "no_descriptor",
            Self::Crowded => "crowded",
            Self::Interrupted => "interrupted",
            Self::Other => "other",
        }
    }

    /// Where it is counted.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Class;

    #[test]
    fn all_are_in_their_order() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index, "{class}");
        }
    }
}
