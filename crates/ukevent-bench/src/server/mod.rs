//! What the tables about servers have in common: a small server of fixed replies, which every contender writes in
//! its own way, in a thread on a core of its own; and the load on it ([`load`]).
//!
//! The server is as simple as those of 2001 and 2006 were: it reads until a request has ended, and answers always
//! the same. Each contender implements [`Serves`]; what it is to answer, and whether it closes after that, is told
//! by the [`Site`]. All are given a listener, and end when [`Site::is_over`] says so: they are woken for that by a
//! connection.

pub(crate) mod descriptors;
mod ends;
pub mod held;
pub mod load;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with,
    sockopt::{set_socket_linger, set_socket_reuseaddr},
};
use std::{
    fs::File,
    io::{Seek, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use ukevent_measure::{Result, cores::pin};

pub use ends::Ends;

/// A contender.
pub trait Serves {
    /// Accepts connections, and answers each request of each with [`Site::reply`], until [`Site::is_over`]. Lives on
    /// a thread of its own, which is pinned already.
    ///
    /// # Errors
    /// What the kernel would not do. That a connection was reset by its client is none.
    fn serve(site: &Site, listener: OwnedFd) -> Result<()>;
}

/// Where the content of a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// In the server's memory, behind the head.
    Memory,
    /// In a file: it is read for each request, and sent.
    Read,
    /// In a file: the kernel sends it.
    SendFile,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is kept until its client closes it. If the server ends first, it is reset, so that nothing of thousands
    /// lingers.
    Kept,
    /// The server closes it after the first reply.
    OneReply,
}

/// A reply.
#[derive(Debug)]
pub struct Reply {
    content: Content,
    /// Head and content.
    whole: Vec<u8>,
    head_bytes: usize,
}

impl Reply {
    fn new(content: Content, content_bytes: usize, life: Life) -> Self {
        let close = if life == Life::OneReply { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {content_bytes}\r\n\
             {close}\r\n"
        );
        let head_bytes = head.len();
        let mut whole = head.into_bytes();
        whole.extend(file_bytes().take(content_bytes));
        Self { content, whole, head_bytes }
    }

    /// Where its content is.
    #[must_use]
    pub const fn content(&self) -> Content {
        self.content
    }

    /// Head and content, as they are sent.
    #[must_use]
    pub fn whole(&self) -> &[u8] {
        &self.whole
    }

    /// The head alone.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.whole[..self.head_bytes]
    }

    /// How long the content is.
    #[must_use]
    pub fn content_bytes(&self) -> usize {
        self.whole.len() - self.head_bytes
    }
}

/// What the file has.
fn file_bytes() -> impl Iterator<Item = u8> {
    (b'a'..=b'z').cycle()
}

/// What a server is to do; shared by its thread and the load's.
#[derive(Debug)]
pub struct Site {
    life: Life,
    replies: Vec<Reply>,
    /// Which of them is sent now.
    current: AtomicUsize,
    file: File,
    is_over: AtomicBool,
}

impl Site {
    /// With these replies, of which the first is sent until [`Site::answer_with`] says otherwise.
    ///
    /// # Errors
    /// There is no place for a file.
    pub fn new(life: Life, replies: &[(Content, usize)]) -> Result<Self> {
        let most_bytes = replies.iter().map(|&(_, bytes)| bytes).max().ok_or("no reply")?;
        let mut file = tempfile::tempfile()?;
        file.write_all(&file_bytes().take(most_bytes).collect::<Vec<u8>>())?;
        file.rewind()?;
        Ok(Self {
            life,
            replies: replies.iter().map(|&(kind, bytes)| Reply::new(kind, bytes, life)).collect(),
            current: AtomicUsize::new(0),
            file,
            is_over: AtomicBool::new(false),
        })
    }

    /// All replies.
    #[must_use]
    pub fn replies(&self) -> &[Reply] {
        &self.replies
    }

    /// The number of the one that is sent now.
    #[must_use]
    pub fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// The one that is sent now.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.replies[self.current()]
    }

    /// Sends this one from now on. To be called while nobody asks.
    ///
    /// # Panics
    /// There is no such reply.
    pub fn answer_with(&self, number: usize) {
        assert!(number < self.replies.len(), "there is no reply {number}");
        self.current.store(number, Ordering::Relaxed);
    }

    /// Whether the server closes after a reply.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.life == Life::OneReply
    }

    /// The file that has the content; to be read by its places, because all share it.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Whether the server is to end. To be asked after each wait.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

/// A server at work.
///
/// ```
/// use ukevent_bench::{
///     contenders::bare_serve::BareEpollServer,
///     server::{Content, Life, Running, Site, load},
/// };
/// use ukevent_load::{Length, Plan};
/// use ukevent_measure::cores::Cores;
///
/// let site = Site::new(Life::Kept, &[(Content::Memory, 128)])?;
/// let mut server = Running::start::<BareEpollServer>(site, Cores::find()?.first())?;
/// let measured = load::run(async {
///     let (length, pace) = (Length::Requests(100), load::closed(4));
///     let plan = Plan { length, pace, ..load::plan(&server)? };
///     load::measure(&server, plan).await
/// })?;
/// assert!(measured.is_whole());
/// server.stop()?;
/// # Ok::<(), ukevent_measure::Error>(())
/// ```
#[derive(Debug)]
pub struct Running {
    site: Arc<Site>,
    address: SocketAddrV4,
    thread: Option<JoinHandle<Result<()>>>,
}

/// Connections that may wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4096;

impl Running {
    /// Starts a contender on its core.
    ///
    /// # Errors
    /// There is no socket, or no thread. What the contender fails by is told by [`Running::stop`].
    pub fn start<S: Serves>(site: Site, core: usize) -> Result<Self> {
        let (listener, address) = listener(site.life)?;
        let site = Arc::new(site);
        let thread = {
            let site = Arc::clone(&site);
            std::thread::Builder::new().name("server".to_owned()).spawn(move || {
                pin(core)?;
                S::serve(&site, listener)
            })?
        };
        Ok(Self { site, address, thread: Some(thread) })
    }

    /// What it is told to do.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Ends it, and waits until it has ended.
    ///
    /// # Errors
    /// What it failed by.
    pub fn stop(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.site.is_over.store(true, Ordering::Release);
        // Whoever has ended already cannot be connected to.
        let _ = TcpStream::connect(self.address);
        thread.join().map_err(|_| "the server panicked")?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Who wanted to know has stopped it.
        let _ = self.stop();
    }
}

/// Does not block, so that who accepts can do so until nobody waits any more.
fn listener(life: Life) -> Result<(OwnedFd, SocketAddrV4)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&listener, true)?;
    if life == Life::Kept {
        // What is accepted has it from here.
        set_socket_linger(&listener, Some(Duration::ZERO))?;
    }
    bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&listener, BACKLOG)?;
    let address = SocketAddrV4::try_from(getsockname(&listener)?)?;
    Ok((listener, address))
}
