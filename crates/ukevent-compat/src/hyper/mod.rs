//! What hyper asks of a runtime: streams ([`Stream`](crate::Stream)), tasks and time.
//!
//! hyper's HTTP/1 needs the stream only, and a timer if it is to limit the time for a head; its HTTP/2 runs
//! each exchange on an executor. Upgrades (`with_upgrades`) want a stream that is `Send`, and this is none:
//! a server of WebSockets takes the stream before hyper does, as the example `websocket` shows.
//!
//! ```
//! use http_body_util::Full;
//! use hyper::{Request, Response, body::{Bytes, Incoming}, server::conn::http2, service::service_fn};
//! use std::{cell::Cell, convert::Infallible, rc::Rc};
//! use ukevent_compat::{Stream, hyper::{LocalExecutor, Timer}};
//! use ukevent_task::net::TcpStream;
//!
//! /// Counts what it answers, in memory of this thread: nothing here need be `Send`.
//! async fn serve(stream: TcpStream, answered: Rc<Cell<u32>>) -> hyper::Result<()> {
//!     let service = service_fn(move |_: Request<Incoming>| {
//!         answered.set(answered.get() + 1);
//!         let page = Full::new(Bytes::from(answered.get().to_string()));
//!         async { Ok::<_, Infallible>(Response::new(page)) }
//!     });
//!     let connection = http2::Builder::new(LocalExecutor).timer(Timer)
//!         .serve_connection(Stream::from(stream), service);
//!     connection.await
//! }
//! ```

mod stream;
mod timer;

pub use timer::{Sleep, Timer};

use ::hyper::rt::Executor;

/// Runs futures beside the caller, in the same thread: they need not be `Send`. One allocation each; when
/// the runtime is dropped, so are those that have not ended.
///
/// # Panics
/// When a future is given to it outside of a runtime.
///
/// ```
/// use hyper::rt::Executor;
/// use std::{cell::Cell, rc::Rc};
/// use ukevent_compat::hyper::LocalExecutor;
///
/// ukevent_task::block_on(async {
///     let done = Rc::new(Cell::new(false));
///     let inside = Rc::clone(&done);
///     LocalExecutor.execute(async move { inside.set(true) });
///     ukevent_task::yield_now().await;
///     assert!(done.get());
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        ukevent_task::spawn(future).detach();
    }
}
