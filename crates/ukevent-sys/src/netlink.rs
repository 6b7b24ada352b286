//! Netlink: the kernel's news of itself, in datagrams (netlink(7)).
//!
//! [`NetlinkSocket`] joins the multicast groups of one protocol and receives. What it received is
//! taken apart by [`messages`] and [`attributes`], which check every length and yield slices: bytes
//! that are wrong end the iteration and never panic. What a message means is for who asked for it.

use crate::{Error, Result};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::{self, SocketAddrNetlink},
    sockopt,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

#[cfg(test)]
mod tests;

/// A buffer of this many bytes takes every datagram that the kernel sends of its own accord.
pub const DATAGRAM_BYTES: usize = 32 * 1024;

/// Bytes asked for as receive buffer: memory that is used only while messages wait in it. Some
/// 5,000 messages; a busy router's route changes come in bursts.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// What one receive brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A datagram of the kernel; so many bytes of the buffer are it.
    Datagram(usize),
    /// Messages were lost: the receive buffer was full (`ENOBUFS`), or a datagram did not fit into
    /// the caller's. Those that come after are read as usual.
    Overrun,
    /// Nothing is waiting.
    Nothing,
}

/// A non-blocking, close-on-exec netlink socket. It belongs to the network namespace of the thread
/// that made it. Dropping closes it.
///
/// ```
/// use ukevent_sys::netlink::{NetlinkSocket, Received, group};
///
/// let socket = NetlinkSocket::route(&[group::LINK])?;
/// let mut buffer = [0; 1024];
/// assert_eq!(socket.receive(&mut buffer)?, Received::Nothing);
/// # Ok::<(), ukevent_sys::Error>(())
/// ```
#[derive(Debug)]
pub struct NetlinkSocket(OwnedFd);

/// Multicast groups of rtnetlink(7) (`RTNLGRP_*`).
pub mod group {
    /// Network interfaces.
    pub const LINK: u32 = 1;
    /// IPv4 addresses.
    pub const IPV4_ADDRESS: u32 = 5;
    /// IPv4 routes.
    pub const IPV4_ROUTE: u32 = 7;
    /// IPv6 addresses.
    pub const IPV6_ADDRESS: u32 = 9;
    /// IPv6 routes.
    pub const IPV6_ROUTE: u32 = 11;
}

/// The group of uevents that the kernel sends to; what udev makes of them goes to group 2.
const UEVENT_GROUP: u32 = 1;

impl NetlinkSocket {
    /// Joins multicast groups of rtnetlink(7). Needs no privilege. Linux 2.6.14.
    ///
    /// # Errors
    /// `EINVAL`: there is no such group. `EMFILE`, `ENFILE`, `ENOMEM`, `EPROTONOSUPPORT`.
    pub fn route(groups: &[u32]) -> Result<Self> {
        // NETLINK_ROUTE is 0, which is what rustix leaves out.
        Self::joined(None, groups)
    }

    /// Joins the kernel's uevents: devices that come, go and change. Needs no privilege. A network
    /// namespace of one's own shows the uevents of its network devices only.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`, `EPROTONOSUPPORT`.
    pub fn uevents() -> Result<Self> {
        Self::joined(Some(netlink::KOBJECT_UEVENT), &[UEVENT_GROUP])
    }

    /// A socket of `protocol` that is in `groups`, with a large receive buffer.
    pub(crate) fn joined(protocol: Option<Protocol>, groups: &[u32]) -> Result<Self> {
        let socket = Self::open(protocol)?;
        socket.enlarge_buffer();
        // Not by the mask of bind(2), which ends at group 32.
        groups.iter().try_for_each(|&group| socket.join(group))?;
        Ok(socket)
    }

    /// A socket of `protocol` that is in no group.
    pub(crate) fn open(protocol: Option<Protocol>) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::NETLINK;
        let fd = rustix::net::socket_with(family, SocketType::RAW, flags, protocol)
            .map_err(Error::rustix("socket"))?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0)).map_err(Error::rustix("bind"))?;
        Ok(Self(fd))
    }

    fn join(&self, group: u32) -> Result<()> {
        // SAFETY: the option takes an integer, which outlives the call and whose size is given.
        let done = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_NETLINK,
                libc::NETLINK_ADD_MEMBERSHIP,
                (&raw const group).cast(),
                size_of_val(&group) as libc::socklen_t,
            )
        };
        if done == 0 { Ok(()) } else { Err(Error::last("setsockopt")) }
    }

    /// Asks for more than the system's limit if the process may, else for as much as it allows. A
    /// small buffer is no failure: it overruns earlier, and that is told.
    fn enlarge_buffer(&self) {
        if sockopt::set_socket_recv_buffer_size_force(&self.0, RECEIVE_BUFFER_BYTES).is_err() {
            let _ = sockopt::set_socket_recv_buffer_size(&self.0, RECEIVE_BUFFER_BYTES);
        }
    }

    /// Sends a datagram to the kernel, which has acted on it when the call returns.
    pub(crate) fn send(&self, datagram: &[u8]) -> Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.0, datagram, SendFlags::empty(), &kernel)
            .map(drop)
            .map_err(Error::rustix("sendto"))
    }

    /// Takes one datagram of the kernel. What other programs sent is thrown away unseen. Give it
    /// [`DATAGRAM_BYTES`]. Never blocks, allocates nothing.
    ///
    /// # Errors
    /// None that a live socket can give, other than what [`Received`] names.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Received> {
        use rustix::io::Errno;
        loop {
            // TRUNC makes it return the datagram's own length.
            match rustix::net::recvfrom(&self.0, &mut *buffer, RecvFlags::TRUNC) {
                Ok((_, len, sender)) => {
                    let sender = sender.and_then(|sender| SocketAddrNetlink::try_from(sender).ok());
                    if sender.is_none_or(|sender| sender.pid() != 0) {
                        continue;
                    }
                    let fits = len <= buffer.len();
                    return Ok(if fits { Received::Datagram(len) } else { Received::Overrun });
                }
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::NOBUFS) => return Ok(Received::Overrun),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::rustix("recvfrom")(errno)),
            }
        }
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A message of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`: below 16 of netlink itself, above of the protocol.
    pub kind: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// Bytes of a message's header (`struct nlmsghdr`).
pub(crate) const HEADER_BYTES: usize = 16;

/// The messages of a datagram, in order; ends at the first whose length is wrong.
///
/// ```
/// use ukevent_sys::netlink::messages;
///
/// assert_eq!(messages(&[0xff; 40]).count(), 0, "a length that is wrong");
/// ```
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let message = Message {
            kind: u16_at(rest, 4)?,
            sequence: u32_at(rest, 8)?,
            payload: rest.get(HEADER_BYTES..length)?,
        };
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in `bytes`, in order: their type without flags, and their value. Ends at the first
/// whose length is wrong.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// `NLA_F_NESTED | NLA_F_NET_BYTEORDER`.
    const FLAGS: u16 = 0xc000;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let attribute = (u16_at(rest, 2)? & !FLAGS, rest.get(4..length)?);
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some(attribute)
    })
}

/// The value of the first attribute of type `kind`.
#[must_use]
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|&(found, _)| found == kind).map(|(_, value)| value)
}

/// The `u16` at an offset, in the machine's byte order; `None` if the bytes end before it does.
#[must_use]
pub fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// The `u32` at an offset, in the machine's byte order; `None` if the bytes end before it does.
#[must_use]
pub fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// `NLMSG_ALIGN`, which is `NLA_ALIGN`. Lengths come from 32 bits, so that it overflows only where
/// `usize` has no more, and there the slice is shorter than any such length.
const fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Puts a header before `payload`: a request to the kernel.
pub(crate) fn request(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = (HEADER_BYTES + payload.len()) as u32;
    let mut datagram = Vec::with_capacity(HEADER_BYTES + payload.len());
    datagram.extend_from_slice(&length.to_ne_bytes());
    datagram.extend_from_slice(&kind.to_ne_bytes());
    datagram.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    datagram.extend_from_slice(&sequence.to_ne_bytes());
    datagram.extend_from_slice(&0_u32.to_ne_bytes());
    datagram.extend_from_slice(payload);
    datagram
}
