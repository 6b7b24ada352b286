//! The threads of a server: where each is made, what it is given, and how it ends.
//!
//! A server of N threads is N times the same: a runtime with its queue, pools, files at hand, listeners and
//! connections. The first of them is the caller's, and does besides what is to be done once: it watches signals,
//! reads certificates anew, writes the access log, shows counters, and tells the others when to end. What they
//! share is in [`Whole`](crate::whole::Whole), and no request waits for it.
//!
//! How connections reach a thread is decided when the server starts: from sockets of its own or another thread
//! ([`feed`]), or from a queue that all of them share ([`lobby`]).
//!
//! Invariants. A thread serves only after all have started. It ends when the first tells it to, or when the
//! first is gone; if it ends by itself, by an error or a panic, the first is told and ends all. The first ends
//! last: what the others have written to the log has reached it by then.

pub(super) mod feed;
pub(super) mod lobby;

use super::{Builder, House, Seats, Server, Site, StartError, Stopper, builder};
use crate::{
    bell::Bell,
    certificate::Identity,
    counters::Counts,
    files::{Options, Root},
    journal::{Gathered, Log, Sink},
    limits::{Limits, SEND_BYTES, SEND_FRAMES},
    log::Format,
    out::Out,
    page::Page,
    shared::Shared,
    whole::Whole,
};
use feed::Feed;
use lobby::{Access, Attendant};
use std::{
    cell::Cell,
    fmt, io,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};
use ukevent_buf::FramePool;
use ukevent_queue::{Merge, User};
use ukevent_sys::{Error, signal::with_all_blocked};
use ukevent_task::{
    EventSet, Events, RunError, RuntimeBuilder,
    channel::{SharedReceiver, SharedSender, shared},
    cores::Failure,
    spawn,
};

/// A thread of a server failed, and with it the server. Says which and why, and converts into [`io::Error`].
///
/// ```
/// use ukevent_http::ThreadError;
/// use ukevent_task::cores::Failure;
///
/// let error = ThreadError { thread: 2, failure: Failure::Panicked("out of paper".into()) };
/// assert_eq!(error.to_string(), "thread 2: panicked: out of paper");
/// ```
#[derive(Debug)]
pub struct ThreadError {
    /// Its number; the first, which is the caller's, is 0.
    pub thread: usize,
    /// Why.
    pub failure: Failure,
}

impl fmt::Display for ThreadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {}: {}", self.thread, self.failure)
    }
}

impl std::error::Error for ThreadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.failure.cause()
    }
}

impl From<ThreadError> for io::Error {
    fn from(error: ThreadError) -> Self {
        Self::other(error)
    }
}

/// All that one thread is made of. It goes to that thread.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) number: usize,
    root: Option<PathBuf>,
    options: Options,
    limits: Limits,
    identity: Option<Arc<Identity>>,
    whole: Arc<Whole>,
    feeds: Vec<Feed>,
    access: Option<Access>,
    log: Option<(Format, Sink)>,
}

/// How connections reach the threads of a server. See [`Builder::queue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueueShape {
    /// Each thread has a queue, and with it all that comes to its sockets, to their end.
    #[default]
    Own,
    /// Beside its own each thread takes from one queue that all share, in which who comes waits, and who rests.
    Shared,
}

impl Part {
    /// The parts of a server, one for each thread; those behind the first log by way of it.
    pub(super) fn all(
        builder: &Builder,
        identity: Option<&Arc<Identity>>,
        whole: &Arc<Whole>,
        (feeds, access): (Vec<Vec<Feed>>, Option<&Access>),
        lines: &SharedSender<Gathered>,
    ) -> Vec<Self> {
        let part = |(number, feeds)| {
            let sink = |to: &crate::LogTo| match number {
                0 => Sink::To(to.clone()),
                _ => Sink::First(lines.clone()),
            };
            Self {
                number,
                root: builder.root.clone(),
                options: builder.options,
                limits: builder.limits.clone(),
                identity: identity.cloned(),
                whole: Arc::clone(whole),
                feeds,
                access: access.cloned(),
                log: builder.log.as_ref().map(|log| (log.format, sink(&log.to))),
            }
        };
        feeds.into_iter().enumerate().map(part).collect()
    }

    /// What it serves.
    pub(super) fn site(root: Option<&PathBuf>, options: Options) -> Result<Site, StartError> {
        let Some(path) = root else { return Ok(Site::Page(Page::new())) };
        match Root::open_with(path, options) {
            Ok(root) => Ok(Site::Files(Box::new(root))),
            Err(errno) => {
                let error = Error::new("open", errno.raw_os_error());
                Err(StartError::Root { path: path.clone(), error })
            }
        }
    }

    /// Makes a thread's server, on the runtime that runs the caller: all that each thread has.
    #[track_caller]
    pub(super) fn start(self, mut site: Site) -> Result<Server, StartError> {
        let out = Arc::new(builder::pool(FramePool::builder(SEND_FRAMES, SEND_BYTES))?);
        let mut stops = EventSet::new();
        let stopper = stops.add(User::merged(Merge::Last))?;
        let stopper = builder::poster(stops.poster(stopper))?;
        let loaded = Events::of(User::merged(Merge::Last))?;
        if let Site::Files(root) = &mut site {
            let loaded = builder::poster(loaded.poster())?;
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
        let threads = self.whole.threads();
        let (log, sink) = self.log.unzip();
        let log = log.map(|format| Log::new(format, if self.number > 0 { threads } else { 1 }));
        let counts = Counts::new(self.whole, self.number);
        let shared = Shared::of_thread(site, self.limits, Out::new(out), counts).logging(log);
        let shared = Rc::new(shared);
        let lobby = self.access.as_ref().map(|access| Arc::clone(&access.lobby));
        let seats = Rc::new(Seats::new(Rc::clone(&shared), lobby));
        let house = Rc::new(House {
            number: self.number,
            shared,
            seats,
            identity: self.identity,
            sink,
            ending: Bell::default(),
            stopper: stopper.clone(),
            has_fallen: Cell::new(false),
        });
        let tasks =
            vec![spawn(Rc::clone(&house).report()), spawn(Rc::clone(&house).take_loaded(loaded))];
        let keeping = house.sink.is_some().then(|| spawn(Rc::clone(&house).keep_log()));
        let mut server = Server::of(house, tasks, stops, stopper);
        server.keeping = keeping;
        for feed in self.feeds {
            server.feed(feed)?;
        }
        server.attendant = self.access.map(Attendant::new).transpose()?;
        Ok(server)
    }
}

/// The threads behind the first, as it sees them. Dropping it ends them at once, and waits for them.
#[derive(Debug, Default)]
pub(super) struct Others {
    stoppers: Vec<Stopper>,
    /// Each tells a thread to serve. To drop it before is to tell it to go.
    go: Vec<SharedSender<()>>,
    threads: Vec<(usize, JoinHandle<Result<(), Failure>>)>,
}

/// What a thread says of its start.
type Said = (usize, Result<Stopper, Failure>);

impl Others {
    /// Starts a thread for each part, and waits until all have started. When one cannot, none is left.
    pub(super) fn start(
        parts: Vec<Part>,
        runtime: &RuntimeBuilder,
        first: &Stopper,
        lines: &SharedSender<Gathered>,
    ) -> Result<Self, ThreadError> {
        let mut others = Self::default();
        let (says, said) = mpsc::channel();
        for part in parts {
            let number = part.number;
            let (go, goes) = shared(1);
            let (runtime, says, lines) = (runtime.clone(), says.clone(), lines.clone());
            let alarm = Alarm { first: Some(first.clone()), _lines: lines };
            let work = move || {
                let ended = work(part, &runtime, &says, &goes);
                alarm.ended(ended)
            };
            // Signals are the first thread's.
            let thread = thread::Builder::new().name(format!("serve {number}"));
            match with_all_blocked(|| thread.spawn(work)) {
                Ok(thread) => others.threads.push((number, thread)),
                Err(error) => {
                    return Err(ThreadError { thread: number, failure: Failure::Thread(error) });
                }
            }
            others.go.push(go);
        }
        // Else a thread that panics before it says anything would be waited for.
        drop(says);
        for _ in 0..others.threads.len() {
            match said.recv() {
                Ok((_, Ok(stopper))) => others.stoppers.push(stopper),
                Ok((thread, Err(failure))) => return Err(ThreadError { thread, failure }),
                Err(_) => return Err(others.fallen()),
            }
        }
        Ok(others)
    }

    /// Tells them to end, so many times.
    pub(super) fn stop(&self, times: u64) {
        for stopper in &self.stoppers {
            (0..times.min(2)).for_each(|_| stopper.stop());
        }
    }

    /// Lets them serve.
    pub(super) fn go(&mut self) {
        for go in self.go.drain(..) {
            // There is room for it, and who has ended has told so.
            let _ = go.try_send(());
        }
    }

    /// What is wrong with one that ended before it said how it started.
    fn fallen(&mut self) -> ThreadError {
        self.go.clear();
        self.stop(1);
        self.join().err().unwrap_or_else(|| {
            let failure = Failure::Error("it ended before it had started".into());
            ThreadError { thread: 0, failure }
        })
    }

    /// Waits for their ends, which they were told of.
    ///
    /// # Errors
    /// Why the first of those that failed did so.
    pub(super) fn join(&mut self) -> Result<(), ThreadError> {
        let mut first = Ok(());
        for (thread, handle) in self.threads.drain(..) {
            let ended = handle.join().unwrap_or_else(|payload| Err(Failure::panicked(payload)));
            first = first.and(ended.map_err(|failure| ThreadError { thread, failure }));
        }
        first
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.go.clear();
        // Twice is at once.
        self.stop(2);
        // Nobody asks how they ended.
        let _ = self.join();
    }
}

/// Tells the first thread when another ends by itself, however that comes: once, as a signal would. When several
/// do so, it is over at once.
struct Alarm {
    first: Option<Stopper>,
    /// While it is there the first knows that this thread has not ended.
    _lines: SharedSender<Gathered>,
}

impl Alarm {
    fn ended(mut self, ended: Result<(), Failure>) -> Result<(), Failure> {
        if ended.is_ok() {
            self.first = None;
        }
        ended
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.first.iter().for_each(Stopper::stop);
    }
}

/// All of a thread behind the first.
fn work(
    part: Part,
    runtime: &RuntimeBuilder,
    says: &mpsc::Sender<Said>,
    goes: &SharedReceiver<()>,
) -> Result<(), Failure> {
    let number = part.number;
    // Who does not listen any more knows of another thread that it failed.
    let say = |started| drop(says.send((number, started)));
    let mut runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(Err(Failure::Run(RunError::Build(error))));
            return Ok(());
        }
    };
    let served = runtime.block_on(async {
        let started =
            Part::site(part.root.as_ref(), part.options).and_then(|site| part.start(site));
        let mut server = match started {
            Ok(server) => server,
            Err(error) => {
                say(Err(Failure::Error(error.into())));
                return Ok(());
            }
        };
        say(Ok(server.stopper()));
        match goes.receive().await {
            Some(()) => server.run().await,
            None => Ok(()),
        }
    });
    served.map_err(Failure::Run)?.map_err(|error| error.failure)
}

/// Ends the server if the task that has it panics: without that task it would be there and serve nobody, or not
/// know any more what it serves.
pub(super) struct Vital(pub(super) Rc<House>);

impl Drop for Vital {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_fallen.set(true);
            let _ = self.0.stopper.post(1);
        }
    }
}

impl House {
    /// What is wrong, if one of the server's own tasks panicked; its words are on standard error.
    pub(super) fn fallen(&self) -> Result<(), ThreadError> {
        if !self.has_fallen.get() {
            return Ok(());
        }
        let failure = Failure::Error("one of the server's own tasks panicked".into());
        Err(ThreadError { thread: self.number, failure })
    }
}

#[cfg(test)]
mod tests;
