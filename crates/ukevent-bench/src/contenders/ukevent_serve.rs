//! ukevent's server: requests are received continuously, into frames of a pool that all share; replies are sent,
//! files read or sent, and connections closed, by operations. It is the same program on every backend but for who
//! accepts: the ring, as many as come; elsewhere the program, until nobody waits any more, because there an
//! operation accepts one connection a wait.

use super::{bare_serve::accept, ukevent::Backend};
use crate::server::{Content, Ends, Reply, Serves, Site};
use std::{marker::PhantomData, os::fd::OwnedFd, sync::Arc};
use ukevent_buf::{Arena, Buffer, FramePool, Slice};
use ukevent_measure::Result;
use ukevent_queue::{
    BackendKind, Builder, Completed, Event, Fd, Key, Kind, Mode, Operation, Queue, Socket, Token,
    Wait, WaitError,
};

/// Frames that requests are received into, and what each holds: more than a request.
const FRAMES: u32 = 512;
const FRAME_BYTES: usize = 2048;

/// A server on one backend or another.
#[derive(Debug)]
pub struct UkeventServer<B>(PhantomData<B>);

impl<B: Backend> Serves for UkeventServer<B> {
    fn serve(site: &Site, listener: OwnedFd) -> Result<()> {
        let queue = Builder::new().backend(B::KIND).build()?;
        let mut server = Server::new(queue, site)?;
        server.listen(listener, B::KIND)?;
        while !site.is_over() {
            server.turn()?;
        }
        Ok(())
    }
}

/// What an operation was for. With a peer's place and its serial number it makes a token, so that what is late
/// never reaches the next one in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Receiving,
    Reading,
    /// Whose result nobody waits for.
    Leaving,
}

const ACCEPTED: Token = Token(u64::MAX);

struct Server<'a> {
    queue: Queue,
    site: &'a Site,
    pool: Arc<FramePool>,
    /// The site's replies, to be sent without a copy; heads only, of what is sent from a file.
    replies: Vec<Slice>,
    file: Key,
    /// Where the program accepts.
    listener: Option<Arc<OwnedFd>>,
    /// Room to receive one request into.
    spare: Vec<Buffer>,
    peers: Vec<Peer>,
    free: Vec<u32>,
}

/// A connection, or the place of one.
struct Peer {
    key: Key,
    ends: Ends,
    serial: u32,
}

impl<'a> Server<'a> {
    fn new(mut queue: Queue, site: &'a Site) -> Result<Self> {
        let frames = FramePool::builder(FRAMES, FRAME_BYTES).waker(queue.room_waker());
        let pool = Arc::new(frames.clone().build(&Arena::new(frames.arena_bytes())?)?);
        let file = Fd::new(site.file().try_clone()?).unwatched();
        let file = queue.register(file, Token(0), Mode::Level)?;
        let bytes = |reply: &Reply| match reply.content() {
            Content::Memory => reply.whole().to_vec(),
            Content::Read | Content::SendFile => reply.head().to_vec(),
        };
        let replies = site.replies().iter().map(|it| Buffer::from(bytes(it)).freeze()).collect();
        let (listener, spare, peers, free) = (None, Vec::new(), Vec::new(), Vec::new());
        Ok(Self { queue, site, pool, replies, file, listener, spare, peers, free })
    }

    fn listen(&mut self, listener: OwnedFd, backend: BackendKind) -> Result<()> {
        if backend == BackendKind::IoUring {
            let listener = Socket::listener(listener).unwatched();
            let listener = self.queue.register(listener, ACCEPTED, Mode::Level)?;
            self.queue.start(Operation::accept_each(listener), ACCEPTED)?;
        } else {
            let listener = Arc::new(listener);
            let source = Socket::listener(Arc::clone(&listener));
            self.queue.register(source, ACCEPTED, Mode::Level)?;
            self.listener = Some(listener);
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        match self.queue.wait(Wait::forever()) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(Event { token, kind, .. }) = self.queue.next_event() {
            match kind {
                Kind::Completed(done) if token == ACCEPTED => {
                    done.result.map_err(std::io::Error::from)?;
                    let socket = done.into_descriptor();
                    self.welcome(socket.ok_or("a connection without a descriptor")?)?;
                }
                Kind::Completed(done) => self.completed(token, done)?,
                _ => self.accept_all()?,
            }
        }
        Ok(())
    }

    fn accept_all(&mut self) -> Result<()> {
        while let Some(listener) = &self.listener
            && let Some(socket) = accept(listener)?
        {
            self.welcome(socket)?;
        }
        Ok(())
    }

    fn welcome(&mut self, socket: OwnedFd) -> Result<()> {
        let socket = Socket::new(socket).unwatched();
        let key = self.queue.register(socket, Token(0), Mode::Level)?;
        let place = if let Some(place) = self.free.pop() {
            let peer = &mut self.peers[place as usize];
            (peer.key, peer.ends) = (key, Ends::default());
            place as usize
        } else {
            self.peers.push(Peer { key, ends: Ends::default(), serial: 0 });
            self.peers.len() - 1
        };
        self.receive(place)
    }

    /// Continuously; but once, where a connection has one request only: there would be a receiver to cancel then.
    fn receive(&mut self, place: usize) -> Result<()> {
        let key = self.peers[place].key;
        let operation = if self.site.closes() {
            let room = self.spare.pop().unwrap_or_else(|| Buffer::with_capacity(FRAME_BYTES));
            Operation::receive(key, room)
        } else {
            Operation::receive_each(key, Arc::clone(&self.pool))
        };
        let token = self.token(place, For::Receiving);
        self.queue.start(operation, token)?;
        Ok(())
    }

    fn completed(&mut self, token: Token, done: Completed) -> Result<()> {
        let (place, serial, what) = untied(token);
        match what {
            For::Receiving if self.peers[place].serial == serial => self.received(place, done),
            For::Reading if self.peers[place].serial == serial => self.read(place, done),
            _ => Ok(()),
        }
    }

    fn received(&mut self, place: usize, done: Completed) -> Result<()> {
        let is_end = !matches!(done.result, Ok(1..));
        let Some(mut bytes) = done.into_buffer().filter(|_| !is_end) else {
            // A connection that was reset has ended, too.
            self.queue.remove(self.peers[place].key)?;
            self.leave(place);
            return Ok(());
        };
        let requests = self.peers[place].ends.count(&bytes);
        if !self.site.closes() {
            return (0..requests).try_for_each(|_| self.answer(place));
        }
        bytes.clear(0);
        self.spare.push(bytes);
        if requests == 0 { self.receive(place) } else { self.answer(place) }
    }

    fn answer(&mut self, place: usize) -> Result<()> {
        let current = self.site.current();
        let (reply, ready) = (&self.site.replies()[current], &self.replies[current]);
        let key = self.peers[place].key;
        let operation = match reply.content() {
            Content::Memory => Operation::send(key, ready.clone()),
            Content::SendFile => {
                let bytes = reply.content_bytes() as u64;
                Operation::send_file(key, self.file, 0, bytes).header(ready.clone())
            }
            Content::Read => {
                let mut page = Buffer::with_capacity(reply.whole().len());
                page.append(reply.head())?;
                let token = self.token(place, For::Reading);
                self.queue.start(Operation::read(self.file, page, 0), token)?;
                return Ok(());
            }
        };
        self.send(place, operation)
    }

    /// The file was read, behind the head: the page can leave.
    fn read(&mut self, place: usize, done: Completed) -> Result<()> {
        done.result.map_err(std::io::Error::from)?;
        let page = done.into_buffer().ok_or("reading gave no buffer")?;
        self.send(place, Operation::send(self.peers[place].key, page))
    }

    /// Sends, and closes behind it where that is asked for.
    fn send(&mut self, place: usize, operation: Operation) -> Result<()> {
        let token = self.token(place, For::Leaving);
        self.queue.start(operation, token)?;
        if self.site.closes() {
            self.queue.start(Operation::close(self.peers[place].key), token)?;
            self.leave(place);
        }
        Ok(())
    }

    /// The place is free, and nothing that is late finds anybody there.
    fn leave(&mut self, place: usize) {
        self.peers[place].serial = self.peers[place].serial.wrapping_add(1);
        self.free.push(place as u32);
    }

    fn token(&self, place: usize, what: For) -> Token {
        Token(u64::from(self.peers[place].serial) << 32 | (place as u64) << 2 | what as u64)
    }
}

fn untied(token: Token) -> (usize, u32, For) {
    let what = match token.0 & 3 {
        0 => For::Receiving,
        1 => For::Reading,
        _ => For::Leaving,
    };
    ((token.0 as u32 >> 2) as usize, (token.0 >> 32) as u32, what)
}
