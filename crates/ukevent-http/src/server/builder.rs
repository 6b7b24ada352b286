//! How a server is made.

use super::{House, Listen, Listener, Seats, Server, Site, listen::Door};
use crate::{
    bell::Bell,
    certificate::{Certificate, CertificateError, Identity},
    files::{Options, Root},
    journal::{AccessLog, Log},
    limits::{Limits, SEND_BYTES, SEND_FRAMES},
    out::Out,
    page::Page,
    shared::Shared,
};
use rustix::process::Signal as SignalNumber;
use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};
use ukevent_buf::{Arena, ArenaError, FramePool, FramePoolBuilder, HugePages};
use ukevent_queue::{Key, Merge, NoSuchKey, Poster, RegisterError, Signal, User};
use ukevent_sys::{
    Error,
    signal::{Disposition, disposition},
};
use ukevent_task::{EventSet, Events, Registered, net::Incoming, spawn};

/// Makes servers.
///
/// ```
/// use std::time::Duration;
/// use ukevent_http::{Limits, Server};
/// use ukevent_task::block_on;
///
/// let directory = std::env::temp_dir();
/// block_on(async {
///     let server = Server::builder()
///         .root(&directory)
///         .listen("127.0.0.1:0".parse()?)
///         .listen("127.0.0.1:0".parse()?)
///         .limits(Limits { idle: Duration::from_secs(5), ..Limits::default() })
///         .start()?;
///     assert_eq!(server.addresses().len(), 2);
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    root: Option<PathBuf>,
    listen: Vec<(Listen, bool)>,
    certificate: Option<Certificate>,
    metrics: Vec<Listen>,
    log: Option<AccessLog>,
    options: Options,
    limits: Limits,
    ends_by_signal: bool,
    share_port: bool,
}

/// Why a server could not be started. Says what and why, and converts into [`io::Error`].
///
/// ```
/// use ukevent_http::Server;
/// use ukevent_task::block_on;
///
/// let started = block_on(async { Server::builder().root("/nowhere").start() })?;
/// let error = started.expect_err("it is not there");
/// assert_eq!(error.to_string(), "/nowhere: open: No such file or directory (os error 2)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The directory cannot be served.
    Root {
        /// Which.
        path: PathBuf,
        /// Why.
        error: Error,
    },
    /// It cannot listen there.
    Listen {
        /// Where.
        place: Listen,
        /// Why.
        error: Error,
    },
    /// It is to listen there with TLS and has no certificate.
    NoCertificate {
        /// Where.
        place: Listen,
    },
    /// The certificate cannot be used.
    Certificate(CertificateError),
    /// The queue refused a registration.
    Register(RegisterError),
    /// There is no memory to receive into and to send from.
    Memory(ArenaError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Listen { place, error } => write!(f, "{place}: {error}"),
            Self::NoCertificate { place } => {
                write!(f, "{place}: TLS needs a certificate and its key")
            }
            Self::Certificate(error) => error.fmt(f),
            Self::Register(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<RegisterError> for StartError {
    fn from(error: RegisterError) -> Self {
        Self::Register(error)
    }
}

impl From<CertificateError> for StartError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Root { error, .. } | StartError::Listen { error, .. } => error.into(),
            StartError::Register(error) => error.into(),
            StartError::Memory(error) => error.into(),
            StartError::Certificate(error) => error.into(),
            StartError::NoCertificate { .. } => {
                Self::new(io::ErrorKind::InvalidInput, error.to_string())
            }
        }
    }
}

impl Builder {
    /// The page about itself, nowhere yet.
    pub(super) fn new() -> Self {
        Self {
            root: None,
            listen: Vec::new(),
            certificate: None,
            metrics: Vec::new(),
            log: None,
            options: Options { precompressed: false, listing: false },
            limits: Limits::default(),
            ends_by_signal: false,
            share_port: false,
        }
    }

    /// Serves the files below this directory. Without one the server shows a page about itself.
    ///
    /// Links are followed as long as they stay below the directory (openat2(2), Linux 5.6; before
    /// that no links are followed). Names that begin with a dot are not served, except
    /// `/.well-known/`.
    pub fn root(mut self, directory: impl AsRef<Path>) -> Self {
        self.root = Some(directory.as_ref().to_owned());
        self
    }

    /// Listens here, too. Port 0 lets the kernel choose; an IPv6 address is for IPv6 alone.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.listen_at(address)
    }

    /// Listens at an address, at a path, or on a socket that was handed over.
    pub fn listen_at(mut self, place: impl Into<Listen>) -> Self {
        self.listen.push((place.into(), false));
        self
    }

    /// Listens here with TLS: 1.2 and 1.3, by rustls. Takes [`Builder::certificate`].
    pub fn listen_tls(mut self, place: impl Into<Listen>) -> Self {
        self.listen.push((place.into(), true));
        self
    }

    /// Shows this certificate. It is read again when its files change, by the queue's own reports; what
    /// cannot be used then is said on standard error, and what was there before stays.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Serves `page.html.br`, `.zst` or `.gz` for `page.html` to whom accepts that coding, if such a file lies
    /// beside it and is not older (RFC 9110, 12.5.3).
    pub const fn precompressed(mut self) -> Self {
        self.options.precompressed = true;
        self
    }

    /// Lists directories that have no `index.html`, as a page or as JSON: up to 4,096 names, and none that
    /// begins with a dot.
    pub const fn listing(mut self) -> Self {
        self.options.listing = true;
        self
    }

    /// Keeps an access log.
    pub fn access_log(mut self, log: AccessLog) -> Self {
        self.log = Some(log);
        self
    }

    /// Shows its counters here, at `/metrics`, in the text format of Prometheus: for those who may know
    /// them, so at an address of its own.
    pub fn metrics(mut self, place: impl Into<Listen>) -> Self {
        self.metrics.push(place.into());
        self
    }

    /// With these bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Ends gently at `SIGTERM` and `SIGINT`, and at once at the second of them. One that the process
    /// ignores when the server starts, as a shell's background jobs may, stays ignored.
    pub const fn end_by_signal(mut self) -> Self {
        self.ends_by_signal = true;
        self
    }

    /// Shares its ports with other servers that do the same (`SO_REUSEPORT`), in this process or
    /// another: the kernel spreads the connections over them. Linux 3.9.
    pub const fn share_port(mut self) -> Self {
        self.share_port = true;
        self
    }

    /// Opens the directory and listens. From then on connections wait in the backlog; they are served by
    /// [`Server::run`].
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind then.
    ///
    /// # Panics
    /// Outside of a runtime of `ukevent-task`.
    #[track_caller]
    pub fn start(self) -> Result<Server, StartError> {
        let out = Arc::new(pool(FramePool::builder(SEND_FRAMES, SEND_BYTES))?);
        let mut site = match self.root {
            None => Site::Page(Page::new()),
            Some(path) => match Root::open_with(&path, self.options) {
                Ok(root) => Site::Files(Box::new(root)),
                Err(errno) => {
                    let error = Error::new("open", errno.raw_os_error());
                    return Err(StartError::Root { path, error });
                }
            },
        };
        let identity = self.certificate.map(Identity::load).transpose()?;
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        let (mut urls, mut metrics_urls, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for (place, secure) in self.listen {
            if secure && identity.is_none() {
                return Err(StartError::NoCertificate { place });
            }
            let door = match Door::open(&place, self.share_port) {
                Ok(door) => door,
                Err(error) => return Err(StartError::Listen { place, error }),
            };
            addresses.extend(door.address());
            urls.push(url(&door.place, secure));
            paths.extend(door.file);
            let incoming = Incoming::new(Registered::new(door.socket)?);
            let is_ours = !matches!(place, Listen::Socket(_));
            listeners.push(Listener { incoming, secure, is_ours });
        }
        let mut metrics = Vec::new();
        for place in self.metrics {
            let door = match Door::open(&place, self.share_port) {
                Ok(door) => door,
                Err(error) => return Err(StartError::Listen { place, error }),
            };
            metrics_urls.push(url(&door.place, false));
            paths.extend(door.file);
            metrics.push(Incoming::new(Registered::new(door.socket)?));
        }
        let mut stops = EventSet::new();
        let stopper = stops.add(User::merged(Merge::Last))?;
        if self.ends_by_signal {
            add_unless_ignored(&mut stops, SignalNumber::TERM)?;
            add_unless_ignored(&mut stops, SignalNumber::INT)?;
        }
        // So that sending to a peer that is gone ends nobody.
        let ignored = add_unless_ignored(&mut stops, SignalNumber::PIPE)?;
        let poster = |events: Result<Poster, NoSuchKey>| {
            events.map_err(|_| RegisterError::Invalid("a user source has a poster"))
        };
        let stopper = poster(stops.poster(stopper))?;
        let loaded = Events::of(User::merged(Merge::Last))?;
        if let Site::Files(root) = &mut site {
            let loaded = poster(loaded.poster())?;
            // One of each connection, and as many of connections that are gone.
            let most = self.limits.connections.saturating_mul(2).max(1);
            root.load_elsewhere(
                most,
                Box::new(move || {
                    // A server that is gone waits for nothing.
                    let _ = loaded.post(1);
                }),
            );
        }
        let log = self.log.as_ref().map(|log| Log::new(log.format));
        let shared = Rc::new(Shared::new(site, self.limits, Out::new(out)).logging(log));
        let seats = Rc::new(Seats::new(Rc::clone(&shared)));
        let house = Rc::new(House {
            shared,
            seats,
            identity,
            log_to: self.log.map(|log| log.to),
            ending: Bell::default(),
        });
        let mut tasks =
            vec![spawn(Rc::clone(&house).report()), spawn(Rc::clone(&house).take_loaded(loaded))];
        if house.identity.is_some() {
            tasks.push(spawn(Rc::clone(&house).renew_certificate()));
        }
        if house.log_to.is_some() {
            tasks.push(spawn(Rc::clone(&house).keep_log()));
        }
        for incoming in metrics {
            tasks.push(spawn(Rc::clone(&house).show_metrics(incoming)));
        }
        let accepting = Vec::new();
        Ok(Server {
            house,
            listeners,
            accepting,
            addresses,
            urls,
            metrics_urls,
            paths,
            tasks,
            stops,
            stopper,
            ignored,
        })
    }
}

/// How a place is reached.
fn url(place: &Listen, secure: bool) -> String {
    match (place, secure) {
        (Listen::Tcp(address), true) => format!("https://{address}/"),
        (Listen::Tcp(address), false) => format!("http://{address}/"),
        (other, _) => other.to_string(),
    }
}

/// Watches a signal, unless the process ignores it.
fn add_unless_ignored(
    events: &mut EventSet,
    signal: SignalNumber,
) -> Result<Option<Key>, RegisterError> {
    let signal = signal.as_raw();
    if disposition(signal).is_ok_and(|now| now != Disposition::Ignore) {
        return events.add(Signal::new(signal)?).map(Some);
    }
    Ok(None)
}

/// A pool with an arena of its own, in ordinary pages: what is never used takes no memory.
fn pool(sketch: FramePoolBuilder) -> Result<FramePool, StartError> {
    let arena = Arena::builder(sketch.arena_bytes()).huge_pages(HugePages::Never).build();
    let arena = arena.map_err(StartError::Memory)?;
    Ok(sketch.build(&arena).expect("the arena is as large as the pool asked"))
}
