//! Measuring a descriptor: what waits in it, what room it has, whether something is wrong with it.
//!
//! Sockets first, pipes and terminals where the kernel can tell. What it cannot tell of this kind of
//! descriptor is `None`, not an error, so that any descriptor may be asked. Nothing here changes the
//! descriptor, but for [`take_error`], [`coalesce`] and [`bind_address_only`]. Sources: socket(7), tcp(7), unix(7), pipe(7), sock_diag(7).

use crate::{
    Error, Result,
    netlink::{self, NetlinkSocket, Received, u32_at},
};
use rustix::{
    fs::{FileType, fstat, tell},
    io::Errno,
    net::{AddressFamily, sockopt},
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

#[cfg(test)]
mod tests;

/// Bytes that can be read now (`FIONREAD`).
///
/// A stream socket, a pipe, a terminal, an inotify: all that waits. A datagram socket: the first
/// datagram. A regular file: what is left behind the offset, unless that is 4 GiB or more. `None` for
/// what has no such number: a listener, an eventfd, an epoll instance.
///
/// # Errors
/// `EBADF`.
pub fn readable_bytes(fd: impl AsFd) -> Result<Option<u32>> {
    let fd = fd.as_fd();
    let stat = fstat(fd).map_err(Error::rustix("fstat"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return count(fd, libc::FIONREAD);
    }
    // Of a file the kernel would tell the low 32 bits of the number.
    let offset = tell(fd).map_err(Error::rustix("lseek"))?;
    let left = u64::try_from(stat.st_size).unwrap_or(0).saturating_sub(offset);
    Ok(u32::try_from(left).ok())
}

/// Bytes that were written and not yet taken: by TCP's peer (acknowledged), by the device
/// (`SIOCOUTQ`, which is `TIOCOUTQ`). 0 means that the send buffer is drained. A Unix or UDP socket
/// counts the memory that holds them, which is more. `None` for a pipe, a file.
///
/// # Errors
/// `EBADF`.
pub fn unsent_bytes(fd: impl AsFd) -> Result<Option<u32>> {
    count(fd.as_fd(), libc::TIOCOUTQ)
}

/// An ioctl that fills in an `int`.
fn count(fd: BorrowedFd<'_>, request: libc::Ioctl) -> Result<Option<u32>> {
    let mut count: libc::c_int = 0;
    // SAFETY: both callers' requests write one int, and `count` may be written.
    if unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut count) } == 0 {
        return Ok(u32::try_from(count).ok());
    }
    match Error::last("ioctl") {
        error if error.errno() == libc::EBADF => Err(error),
        // Which errno says "not for this" differs from one kind of descriptor to the next.
        _ => Ok(None),
    }
}

/// Lets a UDP socket give out datagrams of one sender that came together as one, and say of what size
/// each was (`UDP_GRO`); see [`Message::received_segments`](crate::ring::Message::received_segments).
/// Linux 5.0.
///
/// # Errors
/// `ENOPROTOOPT` for what is not UDP, `ENOTSOCK`, `EBADF`.
pub fn coalesce(socket: impl AsFd, on: bool) -> Result<()> {
    const UDP_GRO: libc::c_int = 104;
    switch(socket.as_fd(), libc::SOL_UDP, UDP_GRO, on)
}

/// Lets bind(2) to port 0 take an address only: the port is picked when the socket connects, so that two
/// sockets may have the same one towards different peers, and ports do not run out
/// (`IP_BIND_ADDRESS_NO_PORT`; ip(7)). Works for IPv6 too. Linux 4.2.
///
/// # Errors
/// `ENOPROTOOPT` for what is not of the internet, `ENOTSOCK`, `EBADF`.
pub fn bind_address_only(socket: impl AsFd) -> Result<()> {
    switch(socket.as_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, true)
}

/// Turns an option on or off.
fn switch(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int, on: bool) -> Result<()> {
    let on = libc::c_int::from(on);
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: `on` is an int and outlives the call, which reads it.
    let answer =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if answer == 0 { Ok(()) } else { Err(Error::last("setsockopt")) }
}

/// Whether it is a socket that listens for connections (`SO_ACCEPTCONN`). `false` for what is no
/// socket.
///
/// # Errors
/// `EBADF`.
pub fn is_listener(fd: impl AsFd) -> Result<bool> {
    match sockopt::socket_acceptconn(fd) {
        Ok(listens) => Ok(listens),
        Err(Errno::NOTSOCK | Errno::NOPROTOOPT | Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(Error::rustix("getsockopt")(errno)),
    }
}

/// Connections that wait for accept(2) at a TCP listener (`TCP_INFO`). `None` for anything else: for
/// a Unix listener ask [`SocketDiag`].
///
/// # Errors
/// `EBADF`.
pub fn tcp_backlog(fd: impl AsFd) -> Result<Option<u32>> {
    /// `TCP_LISTEN` of `net/tcp_states.h`.
    const LISTEN: u8 = 10;
    /// Where `struct tcp_info` has `tcpi_state` and `tcpi_unacked`, a listener's backlog.
    const STATE: usize = 0;
    const UNACKED: usize = 24;
    let mut info = [0; 104];
    let length = option(fd.as_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, &mut info)?;
    let info = &info[..length];
    let listens = info.get(STATE).is_some_and(|&state| state == LISTEN);
    Ok(u32_at(info, UNACKED).filter(|_| listens))
}

/// Bytes of room in a send buffer.
///
/// A socket: its limit less what it holds, counted in memory as the kernel does for `POLLOUT`, so
/// that 0 means full, but a write of that many bytes may be taken in part only. A TCP socket's limit
/// grows by itself. A Unix datagram socket may be full with room left: its peer's queue has a limit
/// of datagrams too. A pipe: an upper bound, for each write may leave the rest of a page unused.
/// `None` for anything else.
///
/// # Errors
/// `EBADF`.
pub fn send_room(fd: impl AsFd) -> Result<Option<u32>> {
    let fd = fd.as_fd();
    match sockopt::socket_send_buffer_size(fd) {
        Ok(limit) => socket_room(fd, limit),
        Err(Errno::NOTSOCK) => pipe_room(fd),
        Err(errno) => Err(Error::rustix("getsockopt")(errno)),
    }
}

fn socket_room(fd: BorrowedFd<'_>, limit: usize) -> Result<Option<u32>> {
    /// Indices into what `SO_MEMINFO` fills in (`SK_MEMINFO_*` of `linux/sock_diag.h`).
    const WMEM_ALLOC: usize = 2;
    const SNDBUF: usize = 3;
    const WMEM_QUEUED: usize = 5;
    let mut info = [0; 9 * 4];
    // Linux 4.12. A snapshot of limit and use at one time.
    let length = option(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut info)?;
    let word = |index: usize| u32_at(&info[..length], index * 4);
    if let (Some(limit), Some(allocated), Some(queued)) =
        (word(SNDBUF), word(WMEM_ALLOC), word(WMEM_QUEUED))
    {
        // TCP counts in the second what it must keep for retransmission; others never use it.
        let used = if queued > 0 || is_tcp(fd) { queued } else { allocated };
        return Ok(Some(limit.saturating_sub(used)));
    }
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    Ok(unsent_bytes(fd)?.map(|unsent| limit.saturating_sub(unsent)))
}

fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    sockopt::socket_protocol(fd).is_ok_and(|protocol| protocol == Some(rustix::net::ipproto::TCP))
}

fn pipe_room(fd: BorrowedFd<'_>) -> Result<Option<u32>> {
    let Ok(capacity) = rustix::pipe::fcntl_getpipe_size(fd) else { return Ok(None) };
    let capacity = u32::try_from(capacity).unwrap_or(u32::MAX);
    Ok(readable_bytes(fd)?.map(|waiting| capacity.saturating_sub(waiting)))
}

/// Takes the pending error of a socket (`SO_ERROR`): its errno, or `None` if there is none or it is
/// no socket. Once taken the socket does not show it again.
///
/// That there is one, poll(2) says without taking it (`POLLERR`). Which, the kernel tells only in
/// exchange for it: every call that would, even a read that peeks, clears it.
///
/// # Errors
/// `EBADF`.
pub fn take_error(fd: impl AsFd) -> Result<Option<i32>> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) | Err(Errno::NOTSOCK) => Ok(None),
        Ok(Err(errno)) => Ok(Some(errno.raw_os_error())),
        Err(errno) => Err(Error::rustix("getsockopt")(errno)),
    }
}

/// Fills `value` with an option of a socket and returns how many bytes it has; 0 if there is no such
/// option for this descriptor.
fn option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> Result<usize> {
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `value`, which has as many, and any bytes
    // are valid there.
    let done = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length)
    };
    if done == 0 {
        return Ok((length as usize).min(value.len()));
    }
    match Error::last("getsockopt") {
        error if error.errno() == libc::EBADF => Err(error),
        _ => Ok(0),
    }
}

/// Asks the kernel about sockets that it tells of in no other way (sock_diag(7)). Linux 3.3. Dropping
/// closes its descriptor.
///
/// ```
/// use ukevent_sys::socket::SocketDiag;
/// use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
/// use std::os::linux::net::SocketAddrExt;
///
/// let name = SocketAddr::from_abstract_name(format!("example-{}", std::process::id()))?;
/// let listener = UnixListener::bind_addr(&name)?;
/// let waiting = UnixStream::connect_addr(&name)?;
/// // A kernel may be built without it.
/// if let Some(backlog) = SocketDiag::new()?.unix_backlog(&listener)? {
///     assert_eq!(backlog, 1);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SocketDiag(NetlinkSocket);

impl SocketDiag {
    /// Opens the way to ask: of sockets in the network namespace of this thread.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT`: the kernel was built without. `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> Result<Self> {
        NetlinkSocket::open(Some(rustix::net::netlink::SOCK_DIAG)).map(Self)
    }

    /// Connections that wait for accept(2) at a Unix listener. `None` if it is none, belongs to
    /// another network namespace, or the kernel was built without `CONFIG_UNIX_DIAG`.
    ///
    /// Two system calls and an fstat(2); allocates a few words.
    ///
    /// # Errors
    /// `EBADF`, `ENOMEM`.
    pub fn unix_backlog(&self, fd: impl AsFd) -> Result<Option<u32>> {
        let fd = fd.as_fd();
        let is_unix = sockopt::socket_domain(fd).is_ok_and(|domain| domain == AddressFamily::UNIX);
        if !is_unix || !is_listener(fd)? {
            return Ok(None);
        }
        let inode = fstat(fd).map_err(Error::rustix("fstat"))?.st_ino;
        match self.ask_unix(inode as u32) {
            // No such socket here, or nobody to ask.
            Err(error) if matches!(error.errno(), libc::ENOENT | libc::ECONNREFUSED) => Ok(None),
            answer => answer,
        }
    }

    /// `struct unix_diag_req` of `linux/unix_diag.h`, and the answer to it.
    fn ask_unix(&self, inode: u32) -> Result<Option<u32>> {
        const SOCK_DIAG_BY_FAMILY: u16 = 20;
        const UDIAG_SHOW_RQLEN: u32 = 0x10;
        const UNIX_DIAG_RQLEN: u16 = 4;
        const UNIX_DIAG_MSG_BYTES: usize = 16;
        const ANY_STATE: u32 = u32::MAX;
        const NO_COOKIE: u32 = u32::MAX;

        let mut payload = vec![libc::AF_UNIX as u8, 0, 0, 0];
        for word in [ANY_STATE, inode, UDIAG_SHOW_RQLEN, NO_COOKIE, NO_COOKIE] {
            payload.extend_from_slice(&word.to_ne_bytes());
        }
        self.0.send(&netlink::request(SOCK_DIAG_BY_FAMILY, inode, &payload))?;

        let mut buffer = [0; 1024];
        // The answer is there when the request returns; what is there beside it is a late one.
        while let Received::Datagram(len) = self.0.receive(&mut buffer)? {
            let answer = netlink::messages(&buffer[..len]).find(|answer| answer.sequence == inode);
            let Some(answer) = answer else { continue };
            if answer.kind == libc::NLMSG_ERROR as u16 {
                let errno = u32_at(answer.payload, 0).map_or(0, u32::cast_signed).wrapping_neg();
                return Err(Error::new("sock_diag", errno));
            }
            let attributes = answer.payload.get(UNIX_DIAG_MSG_BYTES..).unwrap_or_default();
            let lengths = netlink::attribute(attributes, UNIX_DIAG_RQLEN).unwrap_or_default();
            return Ok(u32_at(lengths, 0));
        }
        Ok(None)
    }
}
