//! ukevent's echo: connections are accepted and bytes received continuously, each in a frame of a
//! pool, which is sent as it came.

use crate::tables::echo::{Echo, Endpoint, READ_BYTES, shared_buffers};
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use ukevent_bench::contenders::ukevent::Backend;
use ukevent_buf::{Arena, FramePool};
use ukevent_measure::Result;
use ukevent_queue::{
    Builder, Completed, Key, Kind, Mode, Operation, Queue, Socket, Token, Wait, WaitError,
};

/// The token of new connections. Those of connections are twice their place, and one more for sends.
const ACCEPTED: Token = Token(u64::MAX);

pub(crate) struct UkeventEcho<B>(PhantomData<B>);

impl<B: Backend> Echo for UkeventEcho<B> {
    fn serve(endpoint: &Endpoint, connections: usize) -> Result<()> {
        let queue = Builder::new().backend(B::KIND).build()?;
        let count = u32::from(shared_buffers(connections));
        let frames = FramePool::builder(count, READ_BYTES).waker(queue.room_waker());
        let arena = Arena::new(frames.arena_bytes())?;
        let pool = Arc::new(frames.build(&arena)?);
        let keys = Vec::with_capacity(connections);
        let mut server = Server { queue, pool, keys, ended: 0 };
        server.listen(endpoint)?;
        while server.ended < connections {
            server.turn()?;
        }
        Ok(())
    }
}

struct Server {
    queue: Queue,
    pool: Arc<FramePool>,
    /// By place.
    keys: Vec<Key>,
    ended: usize,
}

impl Server {
    fn listen(&mut self, endpoint: &Endpoint) -> Result<()> {
        let listener = OwnedFd::from(endpoint.listen()?);
        let source = Socket::listener(listener).unwatched();
        let listener = self.queue.register(source, ACCEPTED, Mode::Level)?;
        Ok(self.queue.start(Operation::accept_each(listener), ACCEPTED).map(drop)?)
    }

    fn turn(&mut self) -> Result<()> {
        match self.queue.wait(Wait::forever()) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(event) = self.queue.next_event() {
            let Kind::Completed(done) = event.kind else { continue };
            match event.token {
                ACCEPTED => self.accepted(done)?,
                Token(token) if token % 2 == 0 => self.received((token / 2) as usize, done)?,
                Token(_) => drop(done.result.map_err(std::io::Error::from)?),
            }
        }
        Ok(())
    }

    fn accepted(&mut self, done: Completed) -> Result<()> {
        done.result.map_err(std::io::Error::from)?;
        let socket = done.into_descriptor().ok_or("a connection without a descriptor")?;
        let token = Token(self.keys.len() as u64 * 2);
        let key = self.queue.register(Socket::new(socket).unwatched(), token, Mode::Level)?;
        self.keys.push(key);
        Ok(self.queue.start(Operation::receive_each(key, self.pool.clone()), token).map(drop)?)
    }

    fn received(&mut self, place: usize, done: Completed) -> Result<()> {
        let key = self.keys[place];
        // A connection that was reset has ended, too.
        match done.into_buffer() {
            Some(buffer) => {
                let token = Token(place as u64 * 2 + 1);
                self.queue.start(Operation::send(key, buffer), token)?;
            }
            None => {
                self.ended += 1;
                self.queue.remove(key)?;
            }
        }
        Ok(())
    }
}
