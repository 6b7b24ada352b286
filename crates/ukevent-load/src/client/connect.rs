//! The way there: addresses, sockets, and what it means when there is none.

use crate::{Class, Place};
use rustix::io::Errno;
use std::{
    cell::Cell,
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use ukevent_task::{
    net::{Receiver, Sender, TcpStream, UnixStream, resolve},
    time::timeout,
};

/// Where to connect to, and from.
#[derive(Debug)]
pub(crate) struct Route {
    to: To,
    sources: Vec<IpAddr>,
    next_source: Cell<usize>,
}

#[derive(Debug)]
enum To {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Route {
    /// Looks up where that is, once: all connections go to one address.
    pub(crate) async fn find(place: &Place, sources: &[IpAddr]) -> io::Result<Self> {
        let to = match place {
            Place::Unix(path) => To::Unix(path.clone()),
            Place::Tcp { host, port } => {
                let found = resolve(&place.to_string()).await?;
                let fits = |address: &&SocketAddr| {
                    sources.iter().all(|source| source.is_ipv4() == address.is_ipv4())
                };
                let address = found.iter().find(fits).ok_or_else(|| {
                    let why = format!("{host}:{port} has no address of the sources' kind");
                    io::Error::new(io::ErrorKind::AddrNotAvailable, why)
                })?;
                To::Tcp(*address)
            }
        };
        Ok(Self { to, sources: sources.to_vec(), next_source: Cell::new(0) })
    }

    /// Another connection, within this time.
    pub(crate) async fn connect(&self, within: Duration) -> Result<(Receiver, Sender), Class> {
        match timeout(within, self.connect_at_leisure()).await {
            Ok(connected) => connected.map_err(|error| class_of(&error)),
            Err(_) => Err(Class::ConnectTimeout),
        }
    }

    async fn connect_at_leisure(&self) -> io::Result<(Receiver, Sender)> {
        match &self.to {
            To::Unix(path) => Ok(UnixStream::connect(path).await?.into_split()),
            To::Tcp(to) => {
                let stream = match self.source() {
                    Some(from) => TcpStream::connect_from(from, *to).await?,
                    None => TcpStream::connect(*to).await?,
                };
                Ok(stream.into_split())
            }
        }
    }

    fn source(&self) -> Option<IpAddr> {
        let turn = self.next_source.get();
        self.next_source.set(turn.wrapping_add(1));
        self.sources.get(turn.checked_rem(self.sources.len())?).copied()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            To::Tcp(address) => address.fmt(f),
            To::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Waits until the server has ended the connection; what it says before is thrown away.
pub(crate) async fn until_end(receiver: &mut Receiver) {
    while receiver.receive().await.is_ok_and(|bytes| !bytes.is_empty()) {}
}

/// In which class a failure belongs.
pub(crate) fn class_of(error: &io::Error) -> Class {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Class::Reset;
    }
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => Class::Refused,
        // What a Unix socket that is not there says.
        Some(Errno::NOENT) => Class::Refused,
        Some(Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE) => Class::Reset,
        Some(
            Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::ACCESS
            | Errno::PERM,
        ) => Class::Unreachable,
        Some(Errno::TIMEDOUT) => Class::ConnectTimeout,
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => Class::NoPort,
        Some(Errno::MFILE | Errno::NFILE) => Class::NoDescriptor,
        _ => Class::Other,
    }
}
