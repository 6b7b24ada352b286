//! How a server is made.

use super::{
    Listen, QueueShape, Server, ThreadError,
    listen::{Door, SocketFile},
    threads::{
        Others, Part,
        feed::{Feed, by_kernel, in_turn},
        lobby::{Access, Entrance},
    },
};
use crate::{
    certificate::{Certificate, CertificateError, Identity},
    files::Options,
    journal::AccessLog,
    limits::Limits,
    whole::Whole,
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
use ukevent_queue::{BuildError, Key, NoSuchKey, Poster, RegisterError, Signal};
use ukevent_sys::{
    Error,
    signal::{Disposition, disposition},
};
use ukevent_task::{EventSet, Registered, RuntimeBuilder, channel::shared, net::Incoming, spawn};

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
    pub(super) root: Option<PathBuf>,
    listen: Vec<(Listen, bool)>,
    certificate: Option<Certificate>,
    metrics: Vec<Listen>,
    pub(super) log: Option<AccessLog>,
    pub(super) options: Options,
    pub(super) limits: Limits,
    ends_by_signal: bool,
    share_port: bool,
    /// How many threads there are, and how those behind the first run.
    threads: usize,
    runtime: Option<RuntimeBuilder>,
    queue: QueueShape,
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
    /// Another thread of it could not be had, or not start.
    Thread(ThreadError),
    /// The queue that all threads share could not be made.
    Queue(BuildError),
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
            Self::Thread(error) => error.fmt(f),
            Self::Queue(error) => error.fmt(f),
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
            StartError::Thread(error) => error.into(),
            StartError::Queue(error) => error.into(),
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
            threads: 1,
            runtime: None,
            queue: QueueShape::Own,
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

    /// Serves on so many threads: on the caller's, and on others of their own, each with a runtime like this, and
    /// all that a server has: queue, pools, files at hand, up to four threads that wait for the disk. Bounds are of
    /// all threads together, but what is kept at hand is kept by each. Signals are the caller's thread's, and so
    /// is what is done once: renewing the certificate, writing the log, showing the counters.
    ///
    /// To an address that this server listens at the kernel spreads connections over the threads by a hash of
    /// their addresses and ports (`SO_REUSEPORT`, Linux 3.9); from a path, or a socket that was handed over, each
    /// thread is given one in turn.
    ///
    /// ```
    /// use ukevent_http::Server;
    /// use ukevent_task::{Runtime, block_on};
    ///
    /// block_on(async {
    ///     let server = Server::builder().listen("127.0.0.1:0".parse()?);
    ///     let mut server = server.threads(4, Runtime::builder()).start()?;
    ///     server.stopper().stop();
    ///     server.run().await?;
    ///     assert_eq!(server.meter().snapshot().threads.len(), 4);
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    /// If there are to be 0.
    #[track_caller]
    pub fn threads(mut self, count: usize, runtime: RuntimeBuilder) -> Self {
        assert!(count > 0, "nothing is served by 0 threads");
        (self.threads, self.runtime) = (count, Some(runtime));
        self
    }

    /// How connections reach the threads, if there are several: each has a queue of its own, or all share one.
    ///
    /// With [`QueueShape::Shared`] every listening socket is in one
    /// [`SharedQueue`](ukevent_queue::SharedQueue), and who comes is served by whichever thread looks first: one that
    /// is kept by something long takes nobody. Once accepted, a connection lives in the queue of its thread, until no
    /// byte has come for 100 ms: then it is in the shared queue, too, and the next that comes is for whichever
    /// thread looks first. One with TLS stays where it is. It costs some system calls more for each connection that
    /// comes, leaves or comes back, and each wakes all threads that have nothing to do.
    ///
    /// With one thread both are the same.
    ///
    /// ```
    /// use ukevent_http::{QueueShape, Server};
    /// use ukevent_task::{Runtime, block_on};
    ///
    /// block_on(async {
    ///     let server = Server::builder().listen("127.0.0.1:0".parse()?);
    ///     let server = server.threads(2, Runtime::builder()).queue(QueueShape::Shared);
    ///     let mut server = server.start()?;
    ///     server.stopper().stop();
    ///     server.run().await?;
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn queue(mut self, shape: QueueShape) -> Self {
        self.queue = shape;
        self
    }

    /// Opens the directory and listens. From then on connections wait in the backlog; they are served by
    /// [`Server::run`]. If there are to be several threads, it blocks until all have started.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left behind then.
    ///
    /// # Panics
    /// Outside of a runtime of `ukevent-task`.
    #[track_caller]
    pub fn start(self) -> Result<Server, StartError> {
        let site = Part::site(self.root.as_ref(), self.options)?;
        let identity = self.certificate.clone().map(Identity::load).transpose()?.map(Arc::new);
        let doors = self.doors(identity.is_some())?;
        let mut paths = doors.paths;
        let (mut metrics, mut metrics_urls) = (Vec::new(), Vec::new());
        for place in &self.metrics {
            let door = self.open(place)?;
            metrics_urls.push(url(&door.place, false));
            paths.extend(door.file);
            metrics.push(Incoming::new(Registered::new(door.socket)?));
        }
        let (lines, heard) = shared(self.threads);
        let whole = Arc::new(Whole::new(self.threads, &self.limits));
        let access =
            self.shares_queue().then(|| Access::new(doors.entrances, &whole)).transpose()?;
        let ways = (doors.feeds, access.as_ref());
        let mut parts = Part::all(&self, identity.as_ref(), &whole, ways, &lines);
        let others = parts.split_off(1);
        let first = parts.pop().expect("there is a thread at least");
        let mut server = first.start(site)?;
        (server.addresses, server.urls) = (doors.addresses, doors.urls);
        (server.metrics_urls, server.paths) = (metrics_urls, paths);
        if self.ends_by_signal {
            add_unless_ignored(&mut server.stops, SignalNumber::TERM)?;
            add_unless_ignored(&mut server.stops, SignalNumber::INT)?;
        }
        // So that sending to a peer that is gone ends nobody.
        server.ignored = add_unless_ignored(&mut server.stops, SignalNumber::PIPE)?;
        let house = Rc::clone(&server.house);
        if house.identity.is_some() {
            server.tasks.push(spawn(Rc::clone(&house).renew_certificate()));
        }
        for incoming in metrics {
            server.tasks.push(spawn(Rc::clone(&house).show_metrics(incoming)));
        }
        if let Some(runtime) = self.runtime.filter(|_| !others.is_empty()) {
            let others = Others::start(others, &runtime, &server.stopper(), &lines);
            server.others = others.map_err(StartError::Thread)?;
            server.hearing = Some(spawn(house.hear(heard)));
        }
        Ok(server)
    }

    /// Listens wherever it is to, on behalf of all threads.
    fn doors(&self, has_identity: bool) -> Result<Doors, StartError> {
        let mut doors = Doors::default();
        doors.feeds.resize_with(self.threads, Vec::new);
        for (place, secure) in &self.listen {
            let (place, secure) = (place.clone(), *secure);
            if secure && !has_identity {
                return Err(StartError::NoCertificate { place });
            }
            let door = self.open(&place)?;
            doors.addresses.extend(door.address());
            doors.urls.push(url(&door.place, secure));
            let is_ours = !matches!(place, Listen::Socket(_));
            if self.shares_queue() {
                doors.paths.extend(door.file);
                let socket = Arc::new(door.socket);
                doors.entrances.push(Entrance { socket, secure, is_ours });
                continue;
            }
            let more = match self.threads {
                1 => Ok(Some(Vec::new())),
                threads => door.more(&place, threads - 1),
            };
            doors.paths.extend(door.file);
            match more.map_err(|error| StartError::Listen { place, error })? {
                Some(more) => {
                    let sockets = [door.socket].into_iter().chain(more).collect();
                    by_kernel(&mut doors.feeds, sockets, secure, is_ours);
                }
                None => in_turn(&mut doors.feeds, door.socket, secure, is_ours),
            }
        }
        Ok(doors)
    }

    /// Whether there is one queue for those who come, and several threads that take from it.
    fn shares_queue(&self) -> bool {
        self.threads > 1 && self.queue == QueueShape::Shared
    }

    fn open(&self, place: &Listen) -> Result<Door, StartError> {
        Door::open(place, self.share_port)
            .map_err(|error| StartError::Listen { place: place.clone(), error })
    }
}

/// What posts to a source of [`ukevent_queue::User`].
pub(super) fn poster(of: Result<Poster, NoSuchKey>) -> Result<Poster, RegisterError> {
    of.map_err(|_| RegisterError::Invalid("a user source has a poster"))
}

/// Where a server listens, before there is one.
#[derive(Default)]
struct Doors {
    /// For each thread.
    feeds: Vec<Vec<Feed>>,
    /// For all of them.
    entrances: Vec<Entrance>,
    addresses: Vec<SocketAddr>,
    urls: Vec<String>,
    /// Dropped, they are removed.
    paths: Vec<SocketFile>,
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
pub(super) fn pool(sketch: FramePoolBuilder) -> Result<FramePool, StartError> {
    let arena = Arena::builder(sketch.arena_bytes()).huge_pages(HugePages::Never).build();
    let arena = arena.map_err(StartError::Memory)?;
    Ok(sketch.build(&arena).expect("the arena is as large as the pool asked"))
}
