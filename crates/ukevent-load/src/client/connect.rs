//! The way there: addresses, sockets, and what it means when there is none.

use super::wire::Wire;
use crate::{
    Class, Place, Target,
    trust::{Secure, Trust, TrustError},
};
use rustix::io::Errno;
use std::{
    cell::Cell,
    fmt, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use ukevent_task::{
    net::{TcpStream, UnixStream, resolve},
    time::timeout,
};
use ukevent_tls::TlsStream;

/// Where to connect to, and from.
#[derive(Debug)]
pub(crate) struct Route {
    to: To,
    secure: Option<Secure>,
    sources: Vec<IpAddr>,
    next_source: Cell<usize>,
}

#[derive(Debug)]
enum To {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Route {
    /// Looks up where that is, once: all connections go to one address. Reads the roots for TLS.
    pub(crate) async fn find(
        target: &Target,
        trust: &Trust,
        sources: &[IpAddr],
    ) -> io::Result<Self> {
        let secure = target.is_secured().then(|| Secure::new(target, trust)).transpose()?;
        let place = target.place();
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
        Ok(Self { to, secure, sources: sources.to_vec(), next_source: Cell::new(0) })
    }

    /// Whether the server can be asked by TLS, if it is to be: makes one connection, and ends it. That there is
    /// none is no answer, and is left to the load.
    pub(crate) async fn try_tls(&self, within: Duration) -> Result<(), TrustError> {
        if self.secure.is_none() {
            return Ok(());
        }
        let Ok(Err(error)) = timeout(within, self.connect_at_leisure()).await else {
            return Ok(());
        };
        TrustError::of(self.to_string(), &error).map_or(Ok(()), Err)
    }

    /// Another connection, within this time, with the handshake made if there is one.
    pub(super) async fn connect(&self, within: Duration) -> Result<Wire, Class> {
        match timeout(within, self.connect_at_leisure()).await {
            Ok(connected) => connected.map_err(|error| class_of(&error)),
            Err(_) => Err(Class::ConnectTimeout),
        }
    }

    async fn connect_at_leisure(&self) -> io::Result<Wire> {
        let halves = match &self.to {
            // In a box: it is thrice as large as the other way, and each connection has room for the larger.
            To::Unix(path) => Box::pin(UnixStream::connect(path)).await?.into_split(),
            To::Tcp(to) => {
                let stream = match self.source() {
                    Some(from) => TcpStream::connect_from(from, *to).await?,
                    None => TcpStream::connect(*to).await?,
                };
                stream.into_split()
            }
        };
        let Some(Secure { config, name }) = &self.secure else { return Ok(Wire::plain(halves)) };
        let stream = TlsStream::client(halves, Arc::clone(config), name.clone());
        let mut stream = stream.map(Box::new).map_err(invalid)?;
        stream.handshake().await.map_err(|error| match error.kind() {
            // A server that goes in the middle of it has not agreed.
            io::ErrorKind::UnexpectedEof => invalid(error),
            _ => error,
        })?;
        Ok(Wire::secured(stream))
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

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// In which class a failure belongs.
pub(crate) fn class_of(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::BrokenPipe => return Class::Reset,
        // What comes of the kernel is never that.
        io::ErrorKind::InvalidData => return Class::Tls,
        _ => {}
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
