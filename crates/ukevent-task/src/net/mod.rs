//! Sockets.
//!
//! What is received comes in buffers of the runtime's pool: a socket that waits holds none. What is sent
//! is handed over, and freed when it has left. A stream has two halves, [`Receiver`] and [`Sender`], for
//! two tasks; each can do one thing at a time, and that is said by `&mut`.

mod incoming;
mod receiver;
mod sender;
mod tcp;

pub use incoming::Incoming;
pub use receiver::Receiver;
pub use sender::Sender;
pub use tcp::{TcpListener, TcpStream};
