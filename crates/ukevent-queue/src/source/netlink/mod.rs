//! The kernel's network configuration and devices as events (rtnetlink(7), uevents).
//!
//! Each registration has a socket of its own, so that one that is not read does not make another
//! lose. A socket speaks one protocol: changes of interfaces, addresses and routes come through the
//! one, uevents through the other ([`NetlinkWatch`]). What the bytes mean is in `parse`.

pub(crate) mod parse;
#[cfg(test)]
mod tests;

use crate::{error::RegisterError, event::Kind, source::Drained};
use std::os::fd::{AsFd, BorrowedFd};
use ukevent_sys::{
    Error,
    netlink::{DATAGRAM_BYTES, NetlinkSocket, Received, group},
};

/// The network configuration or the devices of the machine, as a source of events.
///
/// The event is [`Kind::Netlink`]; after a burst that overran the socket's
/// buffer it is [`Kind::Rescan`]. What is there already is not told: to know it
/// too, register first, then list.
///
/// The network namespace is that of the thread that registers. Needs no privilege. Linux 2.6.14.
///
/// ```
/// use ukevent_queue::Netlink;
///
/// let network = Netlink::new().links().addresses().routes();
/// let devices = Netlink::new().uevents();
/// # drop((network, devices));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Netlink {
    links: bool,
    addresses: bool,
    routes: bool,
    uevents: bool,
}

impl Netlink {
    /// Nothing yet; to be followed by what is wanted.
    #[must_use]
    pub const fn new() -> Self {
        Self { links: false, addresses: false, routes: false, uevents: false }
    }

    /// Network interfaces that appear, change or go.
    #[must_use]
    pub const fn links(mut self) -> Self {
        self.links = true;
        self
    }

    /// IPv4 and IPv6 addresses that are added, changed or removed.
    #[must_use]
    pub const fn addresses(mut self) -> Self {
        self.addresses = true;
        self
    }

    /// IPv4 and IPv6 routes that are added, changed or removed, in every table.
    #[must_use]
    pub const fn routes(mut self) -> Self {
        self.routes = true;
        self
    }

    /// Devices that are added, changed or removed, and whatever else of `/sys` the kernel tells, as
    /// it tells it: before udev has seen it. Of a network namespace of one's own only the network
    /// devices. To be registered apart from the others.
    #[must_use]
    pub const fn uevents(mut self) -> Self {
        self.uevents = true;
        self
    }
}

/// The registration of one [`Netlink`].
#[derive(Debug)]
pub(crate) struct NetlinkWatch {
    socket: NetlinkSocket,
    protocol: Protocol,
    buffer: Box<[u8]>,
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Route,
    Uevents,
}

impl NetlinkWatch {
    /// Opens the socket, in the network namespace of the calling thread.
    pub(crate) fn new(netlink: &Netlink) -> Result<Self, RegisterError> {
        let &Netlink { links, addresses, routes, uevents } = netlink;
        let groups: &[(bool, &[u32])] = &[
            (links, &[group::LINK]),
            (addresses, &[group::IPV4_ADDRESS, group::IPV6_ADDRESS]),
            (routes, &[group::IPV4_ROUTE, group::IPV6_ROUTE]),
        ];
        let groups = groups.iter().filter(|(asked, _)| *asked).flat_map(|(_, groups)| *groups);
        let groups: Vec<u32> = groups.copied().collect();
        let (socket, protocol) = match (groups.is_empty(), uevents) {
            (true, false) => {
                return Err(RegisterError::Invalid(
                    "netlink is to be watched for nothing: ask for links, addresses, routes or \
                     uevents",
                ));
            }
            (false, true) => {
                return Err(RegisterError::Invalid(
                    "uevents come through a socket of their own: register them apart from links, \
                     addresses and routes",
                ));
            }
            (false, false) => (NetlinkSocket::route(&groups)?, Protocol::Route),
            (true, true) => (NetlinkSocket::uevents()?, Protocol::Uevents),
        };
        Ok(Self { socket, protocol, buffer: vec![0; DATAGRAM_BYTES].into() })
    }

    /// Readable while there is something to read.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads at most `budget` datagrams, each of which is one event as a rule, or none.
    pub(crate) fn drain(
        &mut self,
        budget: usize,
        sink: &mut dyn FnMut(Kind),
    ) -> Result<Drained, Error> {
        for _ in 0..budget {
            match self.socket.receive(&mut self.buffer)? {
                Received::Nothing => return Ok(Drained::Dry),
                Received::Overrun => sink(Kind::Rescan),
                Received::Datagram(len) => {
                    let datagram = &self.buffer[..len];
                    match self.protocol {
                        Protocol::Route => parse::route(datagram, sink),
                        Protocol::Uevents => {
                            parse::uevent(datagram).into_iter().for_each(&mut *sink);
                        }
                    }
                }
            }
        }
        Ok(Drained::Budget)
    }
}
