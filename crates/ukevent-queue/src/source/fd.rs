//! Descriptors and sockets: what poll(2) can tell about.

use crate::backend::sim::SimDescriptor;
use crate::mode::Interest;
use std::any::Any;
use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::sync::Arc;
use ukevent_sys::socket::{self, SocketDiag};

/// Owners of descriptors that need no box: making and freeing one is a third of registering and
/// removing.
macro_rules! owners {
    ($($owner:ident: $type:ty),*) => {
        /// What keeps a registered descriptor open.
        pub(crate) enum Owner {
            $($owner($type),)*
            /// Twice a box, so that no owner makes every slot larger.
            Other(Box<Box<dyn Held>>),
            Simulated(Box<SimDescriptor>),
        }

        impl Owner {
            fn of<T: AsFd + Send + 'static>(owner: T) -> Self {
                $(let owner = match cast(owner) {
                    Ok(owner) => return Self::$owner(owner),
                    Err(owner) => owner,
                };)*
                Self::Other(Box::new(Box::new(owner)))
            }

            /// `None` in a simulation.
            pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
                Some(match self {
                    $(Self::$owner(owner) => owner.as_fd(),)*
                    Self::Other(held) => (***held).as_fd(),
                    Self::Simulated(_) => return None,
                })
            }

            /// The owner, if it is a `T`.
            pub(crate) fn downcast_ref<T: 'static>(&self) -> Option<&T> {
                let owner: &dyn Any = match self {
                    $(Self::$owner(owner) => owner,)*
                    Self::Other(held) => (***held).as_any(),
                    Self::Simulated(descriptor) => &**descriptor,
                };
                owner.downcast_ref()
            }

            fn downcast<T: 'static>(self) -> Option<T> {
                match self {
                    $(Self::$owner(owner) => cast(owner).ok(),)*
                    Self::Other(held) => (*held).into_any().downcast().ok().map(|owner| *owner),
                    Self::Simulated(descriptor) => cast(*descriptor).ok(),
                }
            }
        }
    };
}
owners! {
    Fd: OwnedFd,
    SharedFd: Arc<OwnedFd>,
    File: File,
    TcpListener: TcpListener,
    TcpStream: TcpStream,
    SharedTcpStream: Arc<TcpStream>,
    UdpSocket: UdpSocket,
    UnixDatagram: UnixDatagram,
    UnixListener: UnixListener,
    UnixStream: UnixStream
}

const _: () = assert!(size_of::<Owner>() <= 16);

/// An owner of any other type.
pub(crate) trait Held: AsFd + Send {
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    fn as_any(&self) -> &dyn Any;
}

impl<T: AsFd + Send + 'static> Held for T {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Owner {
    pub(crate) fn number(&self) -> RawFd {
        match self {
            Self::Simulated(descriptor) => descriptor.number(),
            _ => self.as_fd().map_or(-1, |fd| fd.as_raw_fd()),
        }
    }

    pub(crate) const fn simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }

    /// A file: ready at all times, so that readiness says nothing of it. What cannot be asked is none.
    pub(crate) fn always_ready(&self) -> bool {
        let fd = self.as_fd();
        fd.is_some_and(|fd| ukevent_sys::descriptor::is_always_ready(fd).unwrap_or(false))
    }

    /// What waits to be taken and what room there is, each if the kernel can tell.
    pub(crate) fn measure(&self) -> [Option<u32>; 2] {
        let Some(fd) = self.as_fd() else { return [None; 2] };
        // A measure that fails is one that the kernel cannot give.
        let waiting = if socket::is_listener(fd).unwrap_or(false) {
            backlog(fd)
        } else {
            socket::readable_bytes(fd)
        };
        [waiting, socket::send_room(fd)].map(|measure| measure.ok().flatten())
    }
}

/// The same value, if the two types are one.
fn cast<A: 'static, B: 'static>(value: A) -> Result<B, A> {
    let mut value = Some(value);
    let same = (&mut value as &mut dyn Any).downcast_mut::<Option<B>>().and_then(Option::take);
    match (same, value) {
        (Some(same), _) => Ok(same),
        (None, value) => Err(value.expect("taken only as what it is")),
    }
}

fn backlog(listener: BorrowedFd<'_>) -> ukevent_sys::Result<Option<u32>> {
    match socket::tcp_backlog(listener)? {
        Some(count) => Ok(Some(count)),
        None => SocketDiag::new()?.unix_backlog(listener),
    }
}

/// Any descriptor that can be polled: a pipe, a terminal, a device, an eventfd, another queue.
///
/// It takes what owns the descriptor, so that it cannot be closed while it is watched: a `File`, an
/// `OwnedFd`, an `Arc` of which the program keeps a clone. [`Queue::remove`](crate::Queue::remove)
/// gives it back. A regular file is always ready, as in poll(2).
///
/// ```
/// use std::{io::Write, sync::Arc};
/// use ukevent_queue::{Fd, Interest, Kind, Mode, Queue, Token, Wait};
///
/// let (reader, mut writer) = std::io::pipe()?;
/// let mut queue = Queue::new()?;
/// let key = queue.register(Fd::new(reader).interest(Interest::READ), Token(1), Mode::Level)?;
/// writer.write_all(b"!")?;
/// queue.wait(Wait::forever())?;
/// let event = queue.next_event().expect("waited for one");
/// assert!(matches!(event.kind, Kind::Ready(ready) if ready.is_readable()));
/// let reader = queue.remove(key)?.downcast::<std::io::PipeReader>();
/// assert!(reader.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A borrowed descriptor could be closed while it is watched, so it does not compile:
///
/// ```compile_fail,E0597
/// use ukevent_queue::{Fd, Mode, Queue, Token};
///
/// let mut queue = Queue::new()?;
/// let (reader, _writer) = std::io::pipe()?;
/// queue.register(Fd::new(&reader), Token(1), Mode::Level)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Fd {
    pub(crate) owner: Owner,
    pub(crate) interest: Interest,
    pub(crate) measured: bool,
    pub(crate) unwatched: bool,
}

impl Fd {
    /// Watches a descriptor for reading. Allocates for owners that are neither `OwnedFd` nor a file,
    /// socket or listener of the standard library.
    pub fn new(source: impl AsFd + Send + 'static) -> Self {
        Self::of(Owner::of(source))
    }

    /// Watches a descriptor of a simulation, on a queue of the same simulation.
    pub fn simulated(descriptor: &SimDescriptor) -> Self {
        Self::of(Owner::Simulated(Box::new(descriptor.clone())))
    }

    const fn of(owner: Owner) -> Self {
        Self { owner, interest: Interest::READ, measured: false, unwatched: false }
    }

    /// Does not watch it: the registration only owns it, for operations to name. It is watched once it
    /// is enabled ([`Queue::enable`](crate::Queue::enable)).
    pub const fn unwatched(mut self) -> Self {
        self.unwatched = true;
        self
    }

    /// For what.
    pub const fn interest(mut self, interest: Interest) -> Self {
        self.interest = interest;
        self
    }

    /// Measures with every event how many bytes wait and how much room there is, where the kernel
    /// can tell: one or two more system calls for each.
    pub const fn measured(mut self) -> Self {
        self.measured = true;
        self
    }
}

impl std::fmt::Debug for Fd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fd")
            .field("number", &self.owner.number())
            .field("interest", &self.interest)
            .field("measured", &self.measured)
            .finish()
    }
}

/// A socket: a stream, a datagram socket, a listener.
///
/// The same as [`Fd`], with the words of sockets. Of a listener [`Ready::waiting`](crate::Ready)
/// counts the connections that wait to be accepted.
///
/// ```
/// use std::{net::{TcpListener, TcpStream}, sync::Arc};
/// use ukevent_queue::{Kind, Mode, Queue, Socket, Token, Wait};
///
/// let listener = Arc::new(TcpListener::bind("127.0.0.1:0")?);
/// let mut queue = Queue::new()?;
/// queue.register(Socket::listener(listener.clone()).measured(), Token(1), Mode::Level)?;
/// let _client = TcpStream::connect(listener.local_addr()?)?;
/// queue.wait(Wait::forever())?;
/// let Some(Kind::Ready(ready)) = queue.next_event().map(|event| event.kind) else { panic!() };
/// assert_eq!(ready.waiting(), Some(1));
/// listener.accept()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[derive(Debug)]
pub struct Socket(Fd);

impl Socket {
    /// Watches a socket for data to receive.
    pub fn new(socket: impl AsFd + Send + 'static) -> Self {
        Self(Fd::new(socket))
    }

    /// Watches a listener for connections to accept.
    pub fn listener(listener: impl AsFd + Send + 'static) -> Self {
        Self(Fd::new(listener))
    }

    /// Does not watch it, as [`Fd::unwatched`].
    pub const fn unwatched(mut self) -> Self {
        self.0.unwatched = true;
        self
    }

    /// For what: [`Interest::READ`] is something to receive or to accept, [`Interest::WRITE`] room to
    /// send.
    pub const fn interest(mut self, interest: Interest) -> Self {
        self.0.interest = interest;
        self
    }

    /// Measures with every event how many bytes (of a listener: connections) wait, and how much room
    /// the send buffer has: a few more system calls for each.
    pub const fn measured(mut self) -> Self {
        self.0.measured = true;
        self
    }

    /// Lets a UDP socket give out datagrams of one sender that came together as one
    /// ([`Message::received_segments`](crate::Message::received_segments)): many for one call. From now on,
    /// for whoever shares the socket too. Linux 5.0.
    ///
    /// # Errors
    /// `ENOPROTOOPT`, if it is not UDP.
    #[doc(alias = "UDP_GRO")]
    pub fn coalesced(self) -> Result<Self, crate::SysError> {
        if let Some(fd) = self.0.owner.as_fd() {
            socket::coalesce(fd, true)?;
        }
        Ok(self)
    }
}

impl From<Socket> for Fd {
    fn from(socket: Socket) -> Self {
        socket.0
    }
}

/// What [`Queue::remove`](crate::Queue::remove) gives back: the owner of the descriptor, if there was
/// one. Dropping it closes what it owns.
pub struct Removed(pub(crate) Option<Owner>);

impl Removed {
    /// The owner of the descriptor, if it was registered as a `T`.
    #[must_use]
    pub fn downcast<T: 'static>(self) -> Option<T> {
        self.0?.downcast()
    }
}

impl std::fmt::Debug for Removed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Removed").field(&self.0.as_ref().map(Owner::number)).finish()
    }
}
