//! Unix sockets: streams and datagrams between processes of one machine (unix(7)).
//!
//! A name is a path, or *abstract*: any bytes, in no file system, gone with the socket. Descriptors can be
//! sent along with [`Message::attach`](ukevent_queue::Message::attach) and [`perform`](crate::perform).

use super::datagram::datagrams;
use super::stream::{listener, stream};
use crate::registered::Registered;
use crate::runtime::current;
use crate::time::interval;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, bind, connect,
    getpeername, getsockname, listen, socket_with, socketpair, sockopt,
};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// How often a listener is asked again that takes no more; the kernel does not tell when it does.
const RETRY: Duration = Duration::from_millis(2);

stream! {
    /// A connection of a Unix socket: a [`Receiver`](super::Receiver) and a [`Sender`](super::Sender).
    /// Dropping it closes the connection; what is still being sent is given up.
    ///
    /// ```
    /// use ukevent_task::{block_on, net::UnixStream};
    ///
    /// block_on(async {
    ///     let (mut ours, mut theirs) = UnixStream::pair()?;
    ///     ours.send(b"hello".to_vec()).await?;
    ///     assert_eq!(&theirs.receive().await?[..], b"hello");
    ///     assert_eq!(theirs.peer_credentials()?.pid, std::process::id().cast_signed());
    ///     drop(ours);
    ///     assert!(theirs.receive().await?.is_empty(), "the end");
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    UnixStream
}

/// Who is at the other end of a Unix socket, as the kernel knows it: whoever connected, or listened, then.
///
/// ```
/// use ukevent_task::{block_on, net::UnixStream};
///
/// block_on(async {
///     let (ours, _theirs) = UnixStream::pair()?;
///     let them = ours.peer_credentials()?;
///     assert_eq!(them.pid, std::process::id().cast_signed());
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process id.
    pub pid: i32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

impl UnixStream {
    /// Connects to the socket at a path. While its listener takes no more it is asked again, every 2 ms: wrap
    /// it in [`timeout`](crate::time::timeout) to give up.
    ///
    /// # Errors
    /// As connect(2): `ENOENT`, `ECONNREFUSED` (nobody listens there), `EACCES`.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::of(connected(SocketAddrUnix::new(path.as_ref())?).await?))
    }

    /// The same of an abstract name.
    ///
    /// # Errors
    /// As connect(2).
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect_abstract(name: impl AsRef<[u8]>) -> io::Result<Self> {
        Ok(Self::of(connected(SocketAddrUnix::new_abstract_name(name.as_ref())?).await?))
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = pair_of(SocketType::STREAM)?;
        Ok((Self::from_socket(one)?, Self::from_socket(other)?))
    }

    /// Who is at the other end (`SO_PEERCRED`).
    ///
    /// # Errors
    /// As getsockopt(2).
    #[doc(alias = "SO_PEERCRED")]
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        let asked = self.registered().with(|socket: &OwnedFd| sockopt::socket_peercred(socket));
        let them = asked.unwrap_or(Err(Errno::NOTCONN))?;
        let (pid, uid, gid) = (them.pid, them.uid, them.gid);
        Ok(PeerCredentials { pid: pid.as_raw_pid(), uid: uid.as_raw(), gid: gid.as_raw() })
    }

    /// The other side's name; often it is unnamed.
    ///
    /// # Errors
    /// As getpeername(2).
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        let ask = |socket: &OwnedFd| getpeername(socket)?.ok_or(Errno::NOTCONN);
        known(self.registered().with(ask))
    }
}

listener! {
    /// A listening Unix socket. Dropping it leaves the path it was bound to; remove it before it is bound
    /// anew.
    ///
    /// ```
    /// use ukevent_task::{block_on, net::{UnixListener, UnixStream}};
    ///
    /// block_on(async {
    ///     let name = format!("example-{}", std::process::id());
    ///     let mut listener = UnixListener::bind_abstract(&name)?;
    ///     let mut client = UnixStream::connect_abstract(&name).await?;
    ///     let mut server = listener.accept().await?;
    ///     server.send(b"hello".to_vec()).await?;
    ///     assert_eq!(&client.receive().await?[..], b"hello");
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    UnixListener: UnixStream
}

impl UnixListener {
    /// Listens at a path, which is made.
    ///
    /// # Errors
    /// As bind(2): `EADDRINUSE` if there is something at the path; `ENAMETOOLONG` above 107 bytes.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let core = current::expect("UnixListener::bind");
        let socket = listening(&SocketAddrUnix::new(path.as_ref())?)?;
        Ok(Self::of(Registered::on(core, socket)?))
    }

    /// Listens at an abstract name, whatever its bytes.
    ///
    /// # Errors
    /// As bind(2): `EADDRINUSE` if somebody has it.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind_abstract(name: impl AsRef<[u8]>) -> io::Result<Self> {
        let core = current::expect("UnixListener::bind_abstract");
        let socket = listening(&SocketAddrUnix::new_abstract_name(name.as_ref())?)?;
        Ok(Self::of(Registered::on(core, socket)?))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        known(self.registered().with(|socket: &OwnedFd| getsockname(socket)))
    }
}

datagrams! {
    /// A Unix datagram socket: a [`DatagramReceiver`](super::DatagramReceiver) and a
    /// [`DatagramSender`](super::DatagramSender). Nothing is lost on the way: who sends waits for room.
    /// Dropping it closes the socket, and leaves the path it was bound to.
    ///
    /// ```
    /// use ukevent_task::{block_on, net::UnixDatagram};
    ///
    /// block_on(async {
    ///     let (ours, mut theirs) = UnixDatagram::pair()?;
    ///     ours.send(b"one".to_vec()).await?;
    ///     ours.send(b"two".to_vec()).await?;
    ///     assert_eq!(&theirs.receive().await?[..], b"one");
    ///     assert_eq!(&theirs.receive().await?[..], b"two");
    ///     Ok::<(), std::io::Error>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    UnixDatagram
}

impl UnixDatagram {
    /// A socket at a path, which is made.
    ///
    /// # Errors
    /// As [`UnixListener::bind`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let core = current::expect("UnixDatagram::bind");
        let socket = open(SocketType::DGRAM)?;
        bind(&socket, &SocketAddrUnix::new(path.as_ref())?)?;
        Ok(Self::of(Registered::on(core, socket)?))
    }

    /// A socket at an abstract name.
    ///
    /// # Errors
    /// As [`UnixListener::bind_abstract`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind_abstract(name: impl AsRef<[u8]>) -> io::Result<Self> {
        let core = current::expect("UnixDatagram::bind_abstract");
        let socket = open(SocketType::DGRAM)?;
        bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_ref())?)?;
        Ok(Self::of(Registered::on(core, socket)?))
    }

    /// A socket without a name: to send.
    ///
    /// # Errors
    /// As socket(2).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn unbound() -> io::Result<Self> {
        let core = current::expect("UnixDatagram::unbound");
        Ok(Self::of(Registered::on(core, open(SocketType::DGRAM)?)?))
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    /// As socketpair(2).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = pair_of(SocketType::DGRAM)?;
        Ok((Self::from_socket(one)?, Self::from_socket(other)?))
    }

    /// From now on sends to the socket at a path, and receives only what comes from there.
    ///
    /// # Errors
    /// As connect(2).
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let address = SocketAddrUnix::new(path.as_ref())?;
        let connected = self.registered().with(|socket: &OwnedFd| connect(socket, &address));
        Ok(connected.unwrap_or(Err(Errno::NOTCONN))?)
    }

    /// This side's name, or unnamed.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn address(&self) -> io::Result<SocketAddr> {
        known(self.registered().with(|socket: &OwnedFd| getsockname(socket)))
    }
}

const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

fn open(kind: SocketType) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, kind, FLAGS, None)
}

fn pair_of(kind: SocketType) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, kind, FLAGS, None)
}

fn listening(address: &SocketAddrUnix) -> rustix::io::Result<OwnedFd> {
    let socket = open(SocketType::STREAM)?;
    bind(&socket, address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects. connect(2) of a Unix socket is done at once, or refused with `EAGAIN` while as many wait as may.
async fn connected(address: SocketAddrUnix) -> io::Result<Registered> {
    let socket = Registered::new(open(SocketType::STREAM)?)?;
    loop {
        let tried = socket.with(|socket: &OwnedFd| connect(socket, &address));
        match tried.unwrap_or(Err(Errno::NOTCONN)) {
            Err(Errno::AGAIN) => interval(RETRY)?.tick().await,
            tried => return Ok(tried.map(|()| socket)?),
        };
    }
}

/// The name in what the kernel said; unnamed, if there is none.
fn known(said: Option<rustix::io::Result<SocketAddrAny>>) -> io::Result<SocketAddr> {
    let Some(address) = said else { return Err(io::ErrorKind::NotConnected.into()) };
    let address = SocketAddrUnix::try_from(address?)?;
    match (address.path(), address.abstract_name()) {
        (Some(path), _) => SocketAddr::from_pathname(OsStr::from_bytes(path.to_bytes())),
        (None, Some(name)) if !name.is_empty() => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(""),
    }
}
