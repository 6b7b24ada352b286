//! Coroutines on the queue: code that reads like the problem, and waits for everything that Linux can tell
//! about in one place.
//!
//! A server that greets, until Ctrl-C:
//!
//! ```no_run
//! use std::time::Duration;
//! use ukevent_task::net::{TcpListener, TcpStream};
//! use ukevent_task::{block_on, signal::ctrl_c, spawn, time::timeout};
//!
//! async fn greet(mut stream: TcpStream) -> std::io::Result<()> {
//!     stream.send(b"Who are you?\n".to_vec()).await?;
//!     let name = timeout(Duration::from_secs(60), stream.receive()).await??;
//!     stream.send(format!("Hello {}", String::from_utf8_lossy(&name)).into_bytes()).await
//! }
//!
//! block_on(async {
//!     let mut listener = TcpListener::bind("127.0.0.1:7000".parse().unwrap())?;
//!     let server = spawn(async move {
//!         while let Ok(stream) = listener.accept().await {
//!             spawn(greet(stream)).detach();
//!         }
//!     });
//!     ctrl_c().await?;
//!     server.cancel();
//!     Ok::<(), std::io::Error>(())
//! })??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From the outside inwards
//!
//! - [`net`] (streams, datagrams, listeners, names of hosts), [`fs`], [`pipe`], [`time`], [`process`],
//!   [`signal`], [`watch`] (inodes), [`netlink`], [`posts`] (other threads): a file or folder each, thin over
//!   the next.
//! - [`blocking()`](blocking()): what blocks however one asks, on a thread.
//! - [`Events`], [`EventSet`]: the one adaptor from sources of the queue to a task; [`perform`]: from an operation;
//!   [`Registered`]: a descriptor that the queue owns for both. What has no type here is had by these.
//! - `runtime/`: tasks, their line, and the loop that looks at the queue. `runtime/inboxes.rs` is the only way
//!   from an event to a task.
//! - `ukevent-queue`: sources, operations, backends.
//!
//! # What is guaranteed when a future is dropped
//!
//! Dropping a future cancels it: by `select`, by [`timeout`](time::timeout), with its task. At any point of it:
//!
//! - *Receiving, accepting, the next event* (`receive`, `receive_from`, `accept`, `read` of a pipe, `next`,
//!   `tick`, `wait`): nothing is lost. What came and was not given is given by the next call.
//! - *Sending and writing* (`send`, `send_to`, `write`, `write_at`, `sync`): once polled, it goes on to its
//!   end, whole and in order; or if a megabyte waited before it already, nothing of it is sent. To end it,
//!   drop the stream or file itself.
//! - *Opening, connecting, reading a place of a file*, and [`perform`]: cancelled, and nothing is left of it: a
//!   descriptor that comes late is closed, a buffer goes home.
//! - [`blocking()`](blocking()): the closure runs to its end.
//!
//! Dropping what is no future (a socket, a file, a timer, a [`Process`](process::Process)) ends it and all that
//! is done with it. What is lent to the kernel stays alive until the kernel lets go of it, whatever is dropped.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod blocking;
pub mod channel;
pub mod cores;
mod error;
mod events;
pub mod fs;
pub mod net;
pub mod netlink;
mod observed;
mod operation;
pub mod pipe;
pub mod posts;
mod primitive;
pub mod process;
mod registered;
mod runtime;
mod scope;
pub mod signal;
mod tell;
pub mod time;
pub mod watch;
mod yielding;

pub use blocking::{Blocking, blocking};
pub use error::RunError;
pub use events::{EventSet, Events, Untaken};
pub use observed::Observed;
pub use operation::{BufferResult, Perform, perform};
pub use registered::Registered;
pub use runtime::{Counters, Dump, Panic, Stuck, TaskInfo, TaskState, dump};
pub use runtime::{JoinError, JoinHandle, Runtime, RuntimeBuilder};
pub use runtime::{block_on, queue_counters, spawn};
pub use scope::Scope;
pub use yielding::{Look, YieldNow, caught_up, look, yield_now};
