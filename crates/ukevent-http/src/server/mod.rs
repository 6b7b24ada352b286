//! The server: listeners, connections, and how all of it ends.
//!
//! Each connection is a task ([`connection`](crate::connection)), and so is each listener (`accept`);
//! another one takes reports of changes and of what was loaded (`reporting`). Of several threads (`threads`) each
//! has all of these. This file is what holds them together, and the end: whoever waits is still let in, as far
//! as there is room; who is being answered is answered, who rests is closed; and after a while everything is.

mod accept;
mod builder;
mod listen;
mod metrics_page;
mod renewal;
mod reporting;
mod seats;
mod site;
mod threads;

pub use builder::{Builder, StartError};
pub use listen::Listen;
pub use threads::{QueueShape, ThreadError};

use crate::{
    bell::Bell, certificate::Identity, counters::Counters, journal::Sink, metrics::Snapshot,
    race::unless, shared::Shared,
};
use listen::SocketFile;
use seats::Seats;
use site::Site;
use std::{cell::Cell, net::SocketAddr, rc::Rc, sync::Arc};
use threads::{
    Others,
    feed::{Accepts, Handed},
    lobby::Attendant,
};
use ukevent_queue::{Key, Kind, Poster};
use ukevent_task::{EventSet, JoinHandle, look, net::Incoming, spawn, time::timeout, yield_now};

/// Looks at what has come before the end; a peer that sends all the time does not put it off for ever.
const LOOKS: u32 = 256;

/// A static file server.
///
/// Made by [`Server::builder`] in a runtime of `ukevent-task`, on whose thread it runs. What the kernel has
/// not in memory of names and small files is read from the disk by a few threads of its own, which it
/// starts when there is need. It needs what the queue needs; before Linux 5.12 those threads look up
/// everything that is not at hand.
///
/// A file that is asked for often is watched by the queue's inode events, with the directories on its
/// path, and not looked at for each request.
///
/// Sending to a peer that is gone raises `SIGPIPE` for sendfile(2). Where the process ignores that
/// signal, as Rust programs do, nothing is done about it; elsewhere the server watches the signal
/// with the queue, and nothing else happens of it.
///
/// On several threads ([`Builder::threads`]) it is one of these for each, of which this is the first, and ends when
/// all have.
///
/// Dropping it closes everything at once, and waits for its other threads.
///
/// ```
/// use std::{io::{Read, Write}, net::TcpStream, thread};
/// use ukevent_http::Server;
/// use ukevent_task::block_on;
///
/// let answer = block_on(async {
///     let mut server = Server::builder().listen("127.0.0.1:0".parse()?).start()?;
///     let address = server.addresses()[0];
///     let stopper = server.stopper();
///     let client = thread::spawn(move || {
///         let mut stream = TcpStream::connect(address)?;
///         stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
///         let mut answer = String::new();
///         stream.read_to_string(&mut answer)?;
///         stopper.stop();
///         Ok::<_, std::io::Error>(answer)
///     });
///     server.run().await?;
///     Ok::<_, Box<dyn std::error::Error>>(client.join().expect("does not panic")?)
/// })??;
/// assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    house: Rc<House>,
    listeners: Vec<Listener>,
    /// Where connections come that another thread has accepted, and what this one accepts for all.
    handed: Vec<Handed>,
    accepts: Vec<Accepts>,
    /// Takes from the queue that all threads share.
    attendant: Option<Attendant>,
    accepting: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    urls: Vec<String>,
    metrics_urls: Vec<String>,
    /// Of Unix sockets, which are removed at the end.
    paths: Vec<SocketFile>,
    tasks: Vec<JoinHandle<()>>,
    /// Keeps the log.
    keeping: Option<JoinHandle<()>>,
    /// Tells to end.
    stops: EventSet,
    stopper: Poster,
    /// Events of which nothing is to be done.
    ignored: Option<Key>,
    /// Of the first thread, if there are several.
    others: Others,
    /// Ends when all of them have.
    hearing: Option<JoinHandle<()>>,
}

/// A listening socket, before the server runs.
#[derive(Debug)]
struct Listener {
    incoming: Incoming,
    /// It speaks TLS.
    secure: bool,
    /// The server made it: nobody else listens on it.
    is_ours: bool,
}

/// What the tasks of a server share.
#[derive(Debug)]
struct House {
    /// Of the thread.
    number: usize,
    shared: Rc<Shared<Site>>,
    seats: Rc<Seats>,
    identity: Option<Arc<Identity>>,
    sink: Option<Sink>,
    /// Rung when the server begins to end.
    ending: Bell,
    /// What ends it, and whether that was done because one of its own tasks panicked.
    stopper: Poster,
    has_fallen: Cell<bool>,
}

/// Ends a [`Server`] from any thread: gently at the first call, at once at a second one that finds
/// it still ending.
///
/// Cloning is cheap. Outlives the server; then it does nothing. See the example of [`Server`].
#[derive(Clone, Debug)]
pub struct Stopper(Poster);

impl Stopper {
    /// Tells the server to end. Does not wait for it. Never blocks.
    pub fn stop(&self) {
        // A server that is gone has ended.
        let _ = self.0.post(1);
    }
}

/// Shows what a [`Server`] counts. Made by [`Server::meter`].
///
/// ```
/// use ukevent_http::Server;
/// use ukevent_task::block_on;
///
/// block_on(async {
///     let server = Server::builder().start()?;
///     assert_eq!(server.meter().counters().accepted, 0);
///     Ok::<(), ukevent_http::StartError>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Meter(Rc<House>);

impl Meter {
    /// What was counted so far.
    ///
    /// # Panics
    /// Outside of the server's runtime.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.shared.counters()
    }

    /// The same, and how long the answers took: what an exposition is made of.
    ///
    /// # Panics
    /// Outside of the server's runtime.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.shared.snapshot()
    }
}

impl Server {
    /// What makes a server.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Of one thread, with what each has.
    fn of(house: Rc<House>, tasks: Vec<JoinHandle<()>>, stops: EventSet, stopper: Poster) -> Self {
        Self {
            house,
            listeners: Vec::new(),
            handed: Vec::new(),
            accepts: Vec::new(),
            attendant: None,
            accepting: Vec::new(),
            addresses: Vec::new(),
            urls: Vec::new(),
            metrics_urls: Vec::new(),
            paths: Vec::new(),
            tasks,
            keeping: None,
            stops,
            stopper,
            ignored: None,
            others: Others::default(),
            hearing: None,
        }
    }

    /// The addresses at which it listens, in the order of [`Builder::listen`], with the ports that the
    /// kernel chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How it is reached, for people: `http://127.0.0.1:8080/`, `https://[::1]:8443/`, `unix:/run/site`.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Where its counters are shown, for people.
    #[must_use]
    pub fn metrics_urls(&self) -> &[String] {
        &self.metrics_urls
    }

    /// What it counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.meter().counters()
    }

    /// Shows what it counts, while it runs and afterwards.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter(Rc::clone(&self.house))
    }

    /// What ends it from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stopper.clone())
    }

    /// Serves until the server has ended: by a [`Stopper`], or by a signal if the builder said so.
    /// Connections wait in the backlog until then. Dropped before, it leaves them as they are, to be served
    /// on while the runtime runs.
    ///
    /// # Errors
    /// [`ThreadError`], if a thread failed, or one of the tasks without which nobody is served. The others were
    /// told to end then, as by a [`Stopper`], and have ended.
    pub async fn run(&mut self) -> Result<(), ThreadError> {
        let house = Rc::clone(&self.house);
        self.begin();
        // They have begun to accept before the end may be seen: what it lets in is what they are told of.
        yield_now().await;
        let mut times = stopped(&mut self.stops, self.ignored).await;
        self.others.stop(times);
        house.shared.end();
        house.ending.ring();
        house.seats.left.ring();
        let gentle = async {
            for task in &mut self.accepting {
                // It does not fail; and if it did it would accept no more.
                let _ = task.await;
            }
            house.end().await;
            ended(&mut self.hearing).await;
        };
        let again = async {
            while times < 2 {
                let more = stopped(&mut self.stops, self.ignored).await;
                self.others.stop(more);
                times += more;
            }
        };
        // What is not over by then is ended.
        let _ = timeout(house.shared.limits.grace, unless(gentle, again)).await;
        self.close();
        // The last lines of the log are theirs. What they were told ends them in the same time.
        ended(&mut self.hearing).await;
        house.end_log(&mut self.keeping).await;
        // A ring lets go of what was closed with the next look.
        look().await;
        house.fallen().and(self.others.join())
    }

    /// Lets everybody in.
    fn begin(&mut self) {
        self.others.go();
        for listener in self.listeners.drain(..) {
            self.accepting.push(spawn(Rc::clone(&self.house).accept_from(listener)));
        }
        for handed in self.handed.drain(..) {
            self.accepting.push(spawn(Rc::clone(&self.house).take_in(handed)));
        }
        for accepts in self.accepts.drain(..) {
            self.accepting.push(spawn(Rc::clone(&self.house).accept_for_all(accepts)));
        }
        if let Some(attendant) = self.attendant.take() {
            self.accepting.push(spawn(Rc::clone(&self.house).attend(attendant)));
        }
    }

    /// Ends everything at once.
    fn close(&mut self) {
        self.listeners.clear();
        self.handed.clear();
        self.accepts.clear();
        self.attendant = None;
        self.paths.clear();
        for task in self.accepting.drain(..).chain(self.tasks.drain(..)) {
            task.cancel();
        }
        self.house.seats.clear(true);
        self.close_lobby();
    }
}

/// Waits for the end of a task, unless that was done.
async fn ended(task: &mut Option<JoinHandle<()>>) {
    if let Some(running) = task {
        // If it panicked, it is over, too.
        let _ = running.await;
        *task = None;
    }
}

/// Waits until somebody wants the server to end; says how often that was said. Two tellings that came
/// before one look are one event that counts both.
async fn stopped(stops: &mut EventSet, ignored: Option<Key>) -> u64 {
    loop {
        let (key, kind) = stops.next().await;
        if Some(key) != ignored {
            return match kind {
                Kind::Signal(received) => u64::from(received.count),
                Kind::User(posted) => posted.count,
                _ => 1,
            };
        }
    }
}

impl House {
    /// Answers what was asked before the end, closes those who rest, and waits for the others.
    async fn end(&self) {
        // What arrived before the end was asked before the end: until a look shows no more of it.
        for _ in 0..LOOKS {
            let asked = self.shared.asked();
            look().await;
            if asked == self.shared.asked() {
                break;
            }
        }
        self.seats.clear(false);
        while !self.seats.is_empty() {
            let left = self.seats.left.rung();
            if self.seats.is_empty() {
                break;
            }
            left.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close();
        for task in self.hearing.take().into_iter().chain(self.keeping.take()) {
            task.cancel();
        }
    }
}

#[cfg(test)]
mod tests;
