//! ukevent's bytes: received continuously from sockets, and read continuously from pipes, into frames of
//! a pool.

use super::ukevent::Backend;
use crate::tables::events::{Kind, PATIENCE, READ_BYTES, Taken, Takes};
use crate::tables::ready::Descriptor;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use ukevent_buf::{Arena, FramePool};
use ukevent_measure::Result;
use ukevent_queue::{
    Builder, Event, Fd, Kind as EventKind, Mode, Operation, Queue, Socket, Token, Wait, WaitError,
};

/// As many as the bare ring has.
const FRAMES: u32 = 1024;
/// How long it waits for more than one event.
const GATHER: Duration = Duration::from_micros(200);

/// Waits for so many events: for one without a limit of time, for more only for a moment.
#[derive(Debug)]
pub struct UkeventTake<B, const AT_LEAST: usize> {
    queue: Queue,
    backend: PhantomData<B>,
}

impl<B: Backend, const AT_LEAST: usize> Takes for UkeventTake<B, AT_LEAST> {
    fn new(kind: Kind, readers: &[Descriptor]) -> Result<Self> {
        let mut queue = Builder::new().backend(B::KIND).build()?;
        let frames = FramePool::builder(FRAMES, READ_BYTES).waker(queue.room_waker());
        let pool = Arc::new(frames.clone().build(&Arena::new(frames.arena_bytes())?)?);
        for (place, reader) in readers.iter().enumerate() {
            let (reader, token) = (reader.clone(), Token::from(place));
            let operation = match kind {
                Kind::Pipe => {
                    let key = queue.register(Fd::new(reader).unwatched(), token, Mode::Level)?;
                    Operation::read_each(key, pool.clone())
                }
                Kind::Unix | Kind::Tcp => {
                    let key =
                        queue.register(Socket::new(reader).unwatched(), token, Mode::Level)?;
                    Operation::receive_each(key, pool.clone())
                }
            };
            queue.start(operation, token)?;
        }
        queue.wait(Wait::now())?;
        Ok(Self { queue, backend: PhantomData })
    }

    fn take(&mut self, taken: &mut Taken) -> Result<()> {
        let wait = match AT_LEAST {
            1 => Wait::within(PATIENCE),
            events => Wait::within(GATHER).at_least(events),
        };
        match self.queue.wait(wait) {
            // The kernel may interrupt a thread that has just closed an io_uring instance.
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(Event { token, kind, .. }) = self.queue.next_event() {
            if let EventKind::Completed(done) = kind {
                let buffer = done.into_buffer().ok_or("receiving ended")?;
                taken.note(token.0 as usize, &buffer);
            }
        }
        Ok(())
    }
}
