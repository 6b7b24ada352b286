//! One queue for every kind of event on Linux: sockets, timers, files, signals, processes, netlink,
//! and the program's own.
//!
//! A program [registers](Queue::register) sources, each with a [`Token`] and a [`Mode`];
//! [waits](Queue::wait) for as many events as it wants; and [takes](Queue::next_event) them one by
//! one, changing registrations as it goes:
//!
//! ```
//! use std::{net::TcpListener, time::Duration};
//! use ukevent_queue::{Kind, Mode, Queue, Signal, Socket, Timer, Token, Wait};
//!
//! const LISTENER: Token = Token(0);
//! const TICK: Token = Token(1);
//! const STOP: Token = Token(2);
//!
//! let mut queue = Queue::new()?;
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! queue.register(Socket::listener(listener), LISTENER, Mode::Level)?;
//! queue.register(Timer::every(Duration::from_millis(5)), TICK, Mode::Level)?;
//! queue.register(Signal::new(2)?, STOP, Mode::Level)?;
//!
//! queue.wait(Wait::forever())?;
//! while let Some(event) = queue.next_event() {
//!     match (event.token, event.kind) {
//!         (TICK, Kind::Timer(expired)) => println!("{} periods", expired.expirations),
//!         (token, kind) => println!("{token:?}: {kind:?}"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The floors below: `ukevent-sys` makes the system calls. The files here, from the program inwards:
//! [`source`] (what can be registered), `operation` (what completes by itself), `queue` (what one can do), `slot` (where registrations live),
//! `wheel` (timers), `post` (other threads), `backend` (io_uring, epoll, poll, and a simulation).
#![forbid(unsafe_code)]

mod backend;
mod builder;
mod by_slot;
mod error;
mod event;
#[doc(hidden)]
pub mod fuzz;
mod key;
mod mode;
mod operation;
mod post;
mod primitive;
mod queue;
mod shared;
mod slot;
pub mod source;
mod wait;
mod wheel;

pub use backend::choice::BackendKind;
pub use backend::sim;
pub use builder::Builder;
pub use error::{
    BuildError, ChangeError, NoSuchKey, PostError, RegisterError, SysError, WaitError, WrongThread,
};
pub use event::{
    AddressChange, Changes, Errno, Event, Expired, InodeChange, Kind, LinkChange, NetlinkChange,
    Posted, ProcessChange, ProcessEvent, Readiness, Ready, RouteChange, SignalReceived, Uevent,
};
pub use key::{Key, Token};
pub use mode::{Interest, Mode};
pub use operation::{
    Completed, Direction, Message, Metadata, Open, Operation, Payload, StartError, StartRefusal,
};
pub use post::{Merge, Poster, Waker};
pub use queue::{Change, Counters, Queue};
pub use shared::{
    Policy, SharedBuilder, SharedCounters, SharedQueue, Waiter, WaiterCounters, Withdrawn,
};
pub use source::{
    Fd, Inode, Netlink, Process, ProcessChanges, Removed, Signal, Socket, Source, Timer, User,
};
pub use ukevent_buf::Piece;
pub use ukevent_sys::ring::Address;
pub use wait::{Clock, SignalSet, Wait};
