//! Where a server listens: at an address, at a path, or on a socket that it was handed.

use rustix::{
    fs::{FileType, lstat, unlink},
    io::{Errno, fcntl_dupfd_cloexec, ioctl_fionbio},
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, getsockname, listen,
        socket_with,
        sockopt::{
            set_ipv6_v6only, set_socket_reuseaddr, set_socket_reuseport, set_tcp_nodelay,
            socket_acceptconn,
        },
    },
};
use std::{
    fmt,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};
use ukevent_sys::Error;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Where to listen.
///
/// ```
/// use std::net::SocketAddr;
/// use ukevent_http::Listen;
///
/// let listen: Listen = "127.0.0.1:8080".parse::<SocketAddr>()?.into();
/// assert_eq!(listen.to_string(), "127.0.0.1:8080");
/// assert_eq!(Listen::Unix("/run/site".into()).to_string(), "unix:/run/site");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Listen {
    /// At an address. Port 0 lets the kernel choose; an IPv6 address is for IPv6 alone.
    Tcp(SocketAddr),
    /// At a path of at most 107 bytes, as a Unix socket. One that nobody listens at is replaced, and it is
    /// removed at the end. Who may connect is decided by the process's umask(2) and by the directory.
    Unix(PathBuf),
    /// On a stream socket that listens already, such as a supervisor hands over. It listens on when the
    /// server has ended.
    Socket(Arc<OwnedFd>),
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<OwnedFd> for Listen {
    fn from(socket: OwnedFd) -> Self {
        Self::Socket(Arc::new(socket))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Socket(_) => f.write_str("a socket that was handed over"),
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) socket: OwnedFd,
    /// Where it is: the port is the one that the kernel chose.
    pub(super) place: Listen,
    /// What it made in the file system.
    pub(super) file: Option<SocketFile>,
}

impl Door {
    pub(super) fn open(place: &Listen, share_port: bool) -> Result<Self, Error> {
        match place {
            Listen::Tcp(address) => at_address(*address, share_port),
            Listen::Unix(path) => at_path(path),
            Listen::Socket(socket) => {
                let socket = fcntl_dupfd_cloexec(socket, 0).map_err(failed("fcntl"))?;
                if !socket_acceptconn(&socket).map_err(failed("getsockopt"))? {
                    // What accept(2) would say of it.
                    return Err(failed("accept")(Errno::INVAL));
                }
                // What is handed over blocks as a rule, and accepting must not: whoever connected may be
                // gone again.
                ioctl_fionbio(&socket, true).map_err(failed("ioctl"))?;
                let place = match getsockname(&socket).ok().map(SocketAddr::try_from) {
                    Some(Ok(address)) => {
                        set_tcp_nodelay(&socket, true).map_err(failed("setsockopt"))?;
                        Listen::Tcp(address)
                    }
                    _ => place.clone(),
                };
                Ok(Self { socket, place, file: None })
            }
        }
    }

    /// So many sockets more at the same address, to which the kernel spreads connections (`SO_REUSEPORT`, Linux 3.9);
    /// nothing, if that cannot be had of this one.
    ///
    /// The first socket was bound and listens as one that shares its port with nobody: so whoever is there already
    /// was found then, and of two servers that start at one time one fails, as ever. Only now is it one that
    /// shares, which the kernel lets a socket become while it listens (nginx does so when a reload asks for
    /// `reuseport`). A second server of this kind, which begins alone too, is refused as before; another program of the
    /// same user that asks to share from the start is not any more, and no order of calls keeps it out, because
    /// the kernel remembers of a port that it is shared.
    pub(super) fn more(&self, place: &Listen, count: usize) -> Result<Option<Vec<OwnedFd>>, Error> {
        let (Listen::Tcp(_), Listen::Tcp(address)) = (place, &self.place) else { return Ok(None) };
        set_socket_reuseport(&self.socket, true).map_err(failed("setsockopt"))?;
        let another = |_| at_address(*address, true).map(|door| door.socket);
        (0..count).map(another).collect::<Result<_, _>>().map(Some)
    }

    /// Its address, if it has one.
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match self.place {
            Listen::Tcp(address) => Some(address),
            _ => None,
        }
    }
}

fn failed(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::new(call, errno.raw_os_error())
}

fn at_address(address: SocketAddr, share_port: bool) -> Result<Door, Error> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = new_socket(family)?;
    set_socket_reuseaddr(&socket, true).map_err(failed("setsockopt"))?;
    if share_port {
        set_socket_reuseport(&socket, true).map_err(failed("setsockopt"))?;
    }
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true).map_err(failed("setsockopt"))?;
    }
    // Accepted connections have it from the listener.
    set_tcp_nodelay(&socket, true).map_err(failed("setsockopt"))?;
    bind(&socket, &address).map_err(failed("bind"))?;
    listen(&socket, BACKLOG).map_err(failed("listen"))?;
    let bound = getsockname(&socket).map_err(failed("getsockname"))?;
    let place = Listen::Tcp(SocketAddr::try_from(bound).unwrap_or(address));
    Ok(Door { socket, place, file: None })
}

fn at_path(path: &Path) -> Result<Door, Error> {
    let address = SocketAddrUnix::new(path).map_err(failed("bind"))?;
    let socket = new_socket(AddressFamily::UNIX)?;
    match bind(&socket, &address) {
        Err(Errno::ADDRINUSE) if is_deserted(path, &address) => {
            unlink(path).map_err(failed("unlink"))?;
            bind(&socket, &address).map_err(failed("bind"))?;
        }
        bound => bound.map_err(failed("bind"))?,
    }
    let file = SocketFile::of(&socket, path)?;
    listen(&socket, BACKLOG).map_err(failed("listen"))?;
    Ok(Door { socket, place: Listen::Unix(path.to_owned()), file: Some(file) })
}

/// Whether a socket is left there at which nobody listens. (What is no socket refuses to be connected to,
/// too, and is not ours to remove.)
fn is_deserted(path: &Path, address: &SocketAddrUnix) -> bool {
    let is_socket =
        lstat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    let tried = || new_socket(AddressFamily::UNIX).map(|socket| connect(&socket, address));
    is_socket && matches!(tried(), Ok(Err(Errno::CONNREFUSED)))
}

/// The file of a Unix socket that a server made; dropping it removes the file, unless another server has
/// put its own there since.
#[derive(Debug)]
pub(super) struct SocketFile {
    /// From the root, as the process may go elsewhere.
    path: PathBuf,
    /// Device and number.
    identity: Option<(u64, u64)>,
    /// Keeps the number from being another file's.
    _socket: OwnedFd,
}

impl SocketFile {
    fn of(socket: &OwnedFd, path: &Path) -> Result<Self, Error> {
        let socket = fcntl_dupfd_cloexec(socket, 0).map_err(failed("fcntl"))?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Self { identity: identity_of(&path), path, _socket: socket })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity_of(&self.path) == self.identity {
            // If it cannot be removed, the next one who listens there replaces it.
            let _ = unlink(&self.path);
        }
    }
}

/// Device and number of what is at a path.
fn identity_of(path: &Path) -> Option<(u64, u64)> {
    lstat(path).ok().map(|stat| (stat.st_dev, stat.st_ino))
}

fn new_socket(family: AddressFamily) -> Result<OwnedFd, Error> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family, SocketType::STREAM, flags, None).map_err(failed("socket"))
}
