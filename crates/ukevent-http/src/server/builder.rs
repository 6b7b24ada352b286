//! How a server is made.

use super::{Ending, Listeners, Meaning, Peers, Server, Service, Tokens, accept};
use crate::{
    files::Root,
    limits::{Limits, RECEIVE_BYTES, RECEIVE_FRAMES, SEND_BYTES, SEND_FRAMES},
    page::Page,
    server::service::Site,
};
use rustix::process::Signal as SignalNumber;
use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use ukevent_buf::{Arena, ArenaError, FramePool, FramePoolBuilder, HugePages};
use ukevent_queue::{Key, Merge, Mode, Queue, RegisterError, Signal, Socket, Timer, User};
use ukevent_sys::{
    Error,
    signal::{Disposition, disposition},
};

/// Makes servers.
///
/// ```
/// use std::time::Duration;
/// use ukevent_http::{Limits, Server};
/// use ukevent_queue::Queue;
///
/// let directory = std::env::temp_dir();
/// let mut queue = Queue::new()?;
/// let server = Server::builder()
///     .root(&directory)
///     .listen("127.0.0.1:0".parse()?)
///     .listen("127.0.0.1:0".parse()?)
///     .limits(Limits { idle: Duration::from_secs(5), ..Limits::default() })
///     .start(&mut queue)?;
/// assert_eq!(server.addresses().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    root: Option<PathBuf>,
    listen: Vec<SocketAddr>,
    limits: Limits,
    ends_by_signal: bool,
    share_port: bool,
    first_token: u64,
}

/// Why a server could not be started. Says what and why, and converts into [`io::Error`].
///
/// ```
/// use ukevent_http::Server;
/// use ukevent_queue::Queue;
///
/// let mut queue = Queue::new()?;
/// let error = Server::builder().root("/nowhere").start(&mut queue).expect_err("it is not there");
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
    /// An address cannot be listened to.
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: Error,
    },
    /// The queue refused a registration.
    Register(RegisterError),
    /// There is no memory to receive into and to send from.
    Memory(ArenaError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Listen { address, error } => write!(f, "{address}: {error}"),
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

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Root { error, .. } | StartError::Listen { error, .. } => error.into(),
            StartError::Register(error) => error.into(),
            StartError::Memory(error) => error.into(),
        }
    }
}

impl Builder {
    /// The page about itself, nowhere yet.
    pub(super) fn new() -> Self {
        Self {
            root: None,
            listen: Vec::new(),
            limits: Limits::default(),
            ends_by_signal: false,
            share_port: false,
            first_token: 1 << 63,
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
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// With these bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Ends gently at `SIGTERM` and `SIGINT`, and at once at the second of them. One that the process
    /// ignores when the server starts, as a shell's background jobs may, stays ignored. A queue that
    /// watches signals belongs to the thread that registered them: start the server where it is to run.
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

    /// The first of the 2^34 tokens that the server uses on the queue; for programs with tokens of
    /// their own there. Default: 2^63.
    pub const fn first_token(mut self, token: u64) -> Self {
        self.first_token = token;
        self
    }

    /// Opens the directory, listens, and registers all with the queue. From then on connections
    /// wait in the backlog; they are served by [`Server::run`] or [`Server::handle`].
    ///
    /// # Errors
    /// [`StartError`]; nothing is left on the queue then.
    pub fn start(self, queue: &mut Queue) -> Result<Server, StartError> {
        let receive = FramePool::builder(RECEIVE_FRAMES, RECEIVE_BYTES).waker(queue.room_waker());
        let frames = Arc::new(pool(receive)?);
        let out = Arc::new(pool(FramePool::builder(SEND_FRAMES, SEND_BYTES))?);
        let mut site = match self.root {
            None => Site::Page(Page::new()),
            Some(path) => match Root::open(&path) {
                Ok(root) => Site::Files(Box::new(root)),
                Err(errno) => {
                    let error = Error::new("open", errno.raw_os_error());
                    return Err(StartError::Root { path, error });
                }
            },
        };
        let tokens = Tokens { first: self.first_token };
        let mut begun = Begun { queue, tokens, keys: Vec::new(), complete: false };
        let mut listeners = Listeners::default();
        for (index, &address) in self.listen.iter().enumerate() {
            let (socket, bound) = accept::open(address, self.share_port)
                .map_err(|error| StartError::Listen { address, error })?;
            let socket = Socket::listener(socket).unwatched();
            let key = begun.register(socket, Meaning::Listener(index))?;
            listeners.add(key, bound);
        }
        let own = begun.keys.len();
        let turn = begun.register(User::merged(Merge::Last), Meaning::Turn)?;
        let stop = begun.register(User::merged(Merge::Last), Meaning::Stop)?;
        let loaded = begun.register(User::merged(Merge::Last), Meaning::Loaded)?;
        // It expires once in vain.
        listeners.resume_by(begun.register(Timer::after(accept::PAUSE), Meaning::Resume)?);
        if self.ends_by_signal {
            begun.register_unless_ignored(SignalNumber::TERM, Meaning::Stop)?;
            begun.register_unless_ignored(SignalNumber::INT, Meaning::Stop)?;
        }
        // So that sending to a peer that is gone ends nobody.
        begun.register_unless_ignored(SignalNumber::PIPE, Meaning::Nothing)?;
        let poster = |queue: &Queue, key| {
            queue.poster(key).map_err(|_| RegisterError::Invalid("a user source has a poster"))
        };
        if let Site::Files(root) = &mut site {
            let loaded = poster(begun.queue, loaded)?;
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
        let mut server = Server {
            turn: poster(begun.queue, turn)?,
            stop: poster(begun.queue, stop)?,
            service: Service::new(site, self.limits, out, begun.queue),
            listeners,
            peers: Peers::default(),
            ending: Ending::default(),
            tokens,
            frames,
            received: VecDeque::new(),
            looked: 0,
            expired: VecDeque::new(),
            overdue: 0,
            inputs: 0,
            awaiting: HashMap::new(),
            keys: begun.keys.split_off(own),
        };
        begun.complete = true;
        server.start_accepting(begun.queue);
        drop(begun);
        Ok(server)
    }
}

/// A pool with an arena of its own, in ordinary pages: what is never used takes no memory.
fn pool(sketch: FramePoolBuilder) -> Result<FramePool, StartError> {
    let arena = Arena::builder(sketch.arena_bytes()).huge_pages(HugePages::Never).build();
    let arena = arena.map_err(StartError::Memory)?;
    Ok(sketch.build(&arena).expect("the arena is as large as the pool asked"))
}

/// Registrations of a server that is not complete yet: dropped before it is, it takes them back.
struct Begun<'q> {
    queue: &'q mut Queue,
    tokens: Tokens,
    keys: Vec<Key>,
    complete: bool,
}

impl Begun<'_> {
    fn register(
        &mut self,
        source: impl Into<ukevent_queue::Source>,
        meaning: Meaning,
    ) -> Result<Key, RegisterError> {
        let key = self.queue.register(source, self.tokens.of(meaning), Mode::Level)?;
        self.keys.push(key);
        Ok(key)
    }

    /// Watches a signal, unless the process ignores it.
    fn register_unless_ignored(
        &mut self,
        signal: SignalNumber,
        meaning: Meaning,
    ) -> Result<(), RegisterError> {
        let signal = signal.as_raw();
        if disposition(signal).is_ok_and(|now| now != Disposition::Ignore) {
            self.register(Signal::new(signal)?, meaning)?;
        }
        Ok(())
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.complete {
            for key in self.keys.drain(..) {
                drop(self.queue.remove(key));
            }
        }
    }
}
