//! Channels between tasks: bounded, many to many, first come first served.
//!
//! [`local`] passes messages between the tasks of one thread, without an atomic step; [`shared`] also from
//! and to other threads. Otherwise they are alike:
//!
//! - a send waits for room, and takes its turn behind those who waited before;
//! - a future that is dropped before it was ready has not sent, or has not received: nothing is lost and
//!   nothing comes twice;
//! - when the last sender is dropped, receivers get what is left and then `None`; when the last receiver is
//!   dropped, what is left is dropped, and senders get their message back.
//!
//! An answer to a question is a channel with room for one.

mod error;
mod flow;
mod local;
mod shared;

pub use error::{Closed, TryReceiveError, TrySendError};
pub use local::{LocalReceive, LocalReceiver, LocalSend, LocalSender, local};
pub use shared::{SharedReceive, SharedReceiver, SharedSend, SharedSender, shared};
