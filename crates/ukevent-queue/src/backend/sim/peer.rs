//! The test's side of simulated streams: how they are made, and what their peer does.

use super::{Nature, Sim, SimDescriptor};
use std::collections::VecDeque;
use std::os::fd::RawFd;

/// The peer of a program: the other end of a simulated stream. Nothing that it does blocks.
///
/// Dropping it closes it: the program receives what was written, and then the end.
///
/// ```
/// use ukevent_buf::Buffer;
/// use ukevent_queue::{Builder, Fd, Kind, Mode, Operation, Token, Wait, sim::Sim};
///
/// let sim = Sim::new(1);
/// let mut queue = Builder::new().sim(&sim).build()?;
/// let (descriptor, peer) = sim.stream_pair(4096);
/// let stream = queue.register(Fd::simulated(&descriptor).unwatched(), Token(0), Mode::Level)?;
///
/// queue.start(Operation::receive(stream, Buffer::with_capacity(100)), Token(1))?;
/// assert_eq!(peer.write(b"hello"), 5);
/// queue.wait(Wait::forever())?;
/// let Some(Kind::Completed(received)) = queue.next_event().map(|event| event.kind) else { panic!() };
/// assert_eq!(received.into_buffer().as_deref(), Some(&b"hello"[..]));
///
/// queue.start(Operation::send(stream, Buffer::from(b"bye".to_vec())), Token(2))?;
/// queue.wait(Wait::forever())?;
/// assert_eq!(peer.read(usize::MAX), b"bye");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SimStream {
    sim: Sim,
    number: RawFd,
}

impl Sim {
    /// A stream: the program's end, and the peer's. Each way holds so many bytes that were sent and not
    /// received.
    #[must_use]
    #[doc(alias = "socketpair")]
    pub fn stream_pair(&self, room_bytes: usize) -> (SimDescriptor, SimStream) {
        let number = self.world().add_stream(room_bytes);
        (SimDescriptor::new(self, number), SimStream { sim: self.clone(), number })
    }

    /// A listener, for [`Operation::accept`](crate::Operation::accept): each connection comes as
    /// [`Payload::Simulated`](crate::Payload::Simulated).
    ///
    /// ```
    /// use ukevent_queue::{Builder, Fd, Kind, Mode, Operation, Payload, Token, Wait, sim::Sim};
    ///
    /// let sim = Sim::new(1);
    /// let mut queue = Builder::new().sim(&sim).build()?;
    /// let descriptor = sim.listener();
    /// let listener = queue.register(Fd::simulated(&descriptor).unwatched(), Token(0), Mode::Level)?;
    /// queue.start(Operation::accept(listener), Token(1))?;
    /// let peer = sim.connect(&descriptor, 4096).expect("it listens");
    /// queue.wait(Wait::forever())?;
    /// let Some(Kind::Completed(accepted)) = queue.next_event().map(|event| event.kind) else { panic!() };
    /// let Payload::Simulated(stream) = accepted.payload else { panic!() };
    /// queue.register(Fd::simulated(&stream), Token(2), Mode::Level)?;
    /// # drop(peer);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn listener(&self) -> SimDescriptor {
        let number = self.world().add(Nature::Listener(Some(VecDeque::new())));
        SimDescriptor::new(self, number)
    }

    /// Connects to a listener: the peer's end of a stream whose other end waits to be accepted. `None`
    /// if nobody listens there.
    #[must_use]
    pub fn connect(&self, listener: &SimDescriptor, room_bytes: usize) -> Option<SimStream> {
        let mut world = self.world();
        let at = listener.number();
        if !matches!(world.descriptors[at as usize].nature, Nature::Listener(Some(_))) {
            return None;
        }
        let number = world.add_stream(room_bytes);
        if let Nature::Listener(Some(waiting)) = &mut world.descriptors[at as usize].nature {
            waiting.push_back(number);
        }
        world.tell_soon(at);
        Some(SimStream { sim: self.clone(), number })
    }
}

impl SimStream {
    /// Sends bytes to the program, as many as there is room for; returns how many. None, if the program
    /// receives nothing any more.
    #[must_use = "there may be no room for all"]
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut world = self.sim.world();
        let Some(stream) = world.stream(self.number) else { return 0 };
        if !stream.receives || !stream.peer_sends {
            return 0;
        }
        let count = bytes.len().min(stream.room_bytes - stream.incoming.len());
        stream.incoming.extend(&bytes[..count]);
        if count > 0 {
            world.tell_soon(self.number);
        }
        count
    }

    /// Takes what the program has sent, at most so many bytes.
    #[must_use]
    pub fn read(&self, most: usize) -> Vec<u8> {
        let mut world = self.sim.world();
        let Some(stream) = world.stream(self.number) else { return Vec::new() };
        let count = most.min(stream.outgoing.len());
        let bytes: Vec<u8> = stream.outgoing.drain(..count).collect();
        if count > 0 {
            world.tell_soon(self.number);
        }
        bytes
    }

    /// Sends no more: the program receives the end.
    pub fn finish(&self) {
        let mut world = self.sim.world();
        if let Some(stream) = world.stream(self.number) {
            stream.peer_sends = false;
            world.tell_soon(self.number);
        }
    }

    /// Breaks the connection: what the program sent is lost, and it is told `ECONNRESET`, once it has
    /// received what was written before.
    pub fn reset(self) {
        let mut world = self.sim.world();
        if let Some(stream) = world.stream(self.number) {
            stream.break_off();
            world.tell_soon(self.number);
        }
    }

    /// How many bytes the program has yet to receive.
    #[must_use]
    pub fn unreceived(&self) -> usize {
        self.sim.world().stream(self.number).map_or(0, |stream| stream.incoming.len())
    }

    /// How many bytes there are to [`read`](Self::read).
    #[must_use]
    pub fn unread(&self) -> usize {
        self.sim.world().stream(self.number).map_or(0, |stream| stream.outgoing.len())
    }

    /// Whether the program sends nothing any more, and all that it sent was read.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        let mut world = self.sim.world();
        let stream = world.stream(self.number);
        stream.is_none_or(|stream| {
            stream.outgoing.is_empty() && !(stream.sends && stream.peer_receives)
        })
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut world = self.sim.world();
        if let Some(stream) = world.stream(self.number) {
            stream.peer_sends = false;
            stream.peer_receives = false;
            stream.outgoing.clear();
            world.tell_soon(self.number);
        }
    }
}

impl std::fmt::Debug for SimStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimStream")
            .field("number", &self.number)
            .field("unreceived", &self.unreceived())
            .field("unread", &self.unread())
            .finish_non_exhaustive()
    }
}
