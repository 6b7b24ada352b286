//! A connection without a socket, on a clock that is moved by hand: for fuzzing and for tests.

use crate::connection::wire::{Probe, Wire};
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    task::{Poll, Waker},
};
use ukevent_buf::{Buffer, FramePool};
use ukevent_queue::{Builder, sim::Sim};
use ukevent_task::{Runtime, look};

/// Runs this on a simulation of the kernel.
pub(crate) fn rehearse<T>(what: impl Future<Output = T>) -> T {
    rehearse_on(&Sim::new(1), what)
}

/// The same, with a clock that the caller moves.
pub(crate) fn rehearse_on<T>(sim: &Sim, what: impl Future<Output = T>) -> T {
    let queue = Builder::new().sim(sim).build().expect("a simulation needs nothing");
    Runtime::with(queue).block_on(what).expect("a simulation can be waited for")
}

/// Lets everybody do what can be done by now: tries once what was blocked.
pub(crate) async fn settle(pipe: &Pipe) {
    pipe.nudge();
    // Who is woken by one look may ask for another.
    for _ in 0..4 {
        look().await;
    }
}

/// A wire that takes what it is told to take, and gives what it is told has arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pipe(Rc<RefCell<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    /// What has arrived and was not received.
    pub(crate) arrived: VecDeque<Vec<u8>>,
    pub(crate) peer_ended: bool,
    pub(crate) broken: bool,
    /// How many bytes it takes at each try, 0 for "blocked"; then everything.
    pub(crate) takes: VecDeque<usize>,
    /// How many more bytes it takes at all, if that has a bound.
    pub(crate) room: Option<usize>,
    /// What is received comes in frames of this pool, if there is one.
    pub(crate) frames: Option<Arc<FramePool>>,
    pub(crate) sent: Vec<u8>,
    pub(crate) ended: bool,
    pub(crate) outstanding: u32,
    /// The most memory that was handed over at a time.
    pub(crate) most_handed: usize,
    /// How many files it took in, and how many pieces of them.
    pub(crate) files: usize,
    pub(crate) pieces: usize,
    waits_for: WaitsFor,
    waker: Option<Waker>,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    /// Nothing of the wire.
    #[default]
    Nothing,
    Input,
    Room,
}

impl State {
    /// What arrived, as it is received.
    fn received(&self, bytes: Vec<u8>) -> Buffer {
        if let Some(frames) = &self.frames {
            let mut frame = frames.allocate().expect("whoever waits holds no frame");
            frame.append(&bytes).expect("no more arrives at a time than fits");
            return frame;
        }
        Buffer::from(bytes)
    }
}

impl Pipe {
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.0.borrow_mut())
    }

    pub(crate) fn waits_for(&self) -> WaitsFor {
        self.0.borrow().waits_for
    }

    /// Lets whoever waits try again.
    pub(crate) fn nudge(&self) {
        let waker = self.0.borrow_mut().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    async fn take(&self, mut bytes: &[u8]) -> io::Result<()> {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            assert!(!state.ended, "sent after the end");
            state.waits_for = WaitsFor::Nothing;
            while !bytes.is_empty() {
                if state.broken {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                let room = state.room.unwrap_or(usize::MAX);
                let taken = match room {
                    0 => 0,
                    _ => state.takes.pop_front().unwrap_or(usize::MAX).min(room).min(bytes.len()),
                };
                if taken == 0 {
                    state.waits_for = WaitsFor::Room;
                    state.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                state.room = state.room.map(|room| room - taken);
                state.sent.extend_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl Wire for Pipe {
    type Probe = Self;
    type File = Arc<OwnedFd>;

    async fn receive(&mut self) -> io::Result<Buffer> {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            state.waits_for = WaitsFor::Nothing;
            if state.broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if let Some(bytes) = state.arrived.pop_front() {
                return Poll::Ready(Ok(state.received(bytes)));
            }
            if state.peer_ended {
                return Poll::Ready(Ok(Buffer::default()));
            }
            state.waits_for = WaitsFor::Input;
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    async fn send(&mut self, bytes: Buffer) -> io::Result<()> {
        assert!(!bytes.is_empty(), "nothing is sent");
        self.with(|state| state.most_handed = state.most_handed.max(bytes.capacity()));
        self.take(&bytes).await
    }

    fn file(&self, file: &Arc<OwnedFd>) -> io::Result<Arc<OwnedFd>> {
        self.with(|state| state.files += 1);
        Ok(Arc::clone(file))
    }

    async fn send_file(
        &mut self,
        head: Buffer,
        file: &Arc<OwnedFd>,
        offset: u64,
        bytes: u64,
    ) -> io::Result<u64> {
        let mut content = vec![0; usize::try_from(bytes).unwrap_or(0)];
        let read = rustix::io::pread(file, &mut content[..], offset)?;
        content.truncate(read);
        self.with(|state| {
            state.most_handed = state.most_handed.max(head.capacity());
            state.pieces += 1;
        });
        self.take(&head).await?;
        self.take(&content).await?;
        Ok(head.len() as u64 + content.len() as u64)
    }

    async fn end(&mut self) -> io::Result<()> {
        self.with(|state| assert!(!std::mem::replace(&mut state.ended, true), "ended twice"));
        Ok(())
    }

    fn probe(&self) -> Self {
        self.clone()
    }
}

impl Probe for Pipe {
    fn unsent(&self) -> Option<u32> {
        Some(self.0.borrow().outstanding)
    }
}
