//! What the cases stand on: a runtime on a backend under test, futures that are dropped when they were polled,
//! and the macro that makes of each case one test for each backend.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
pub(crate) use ukevent_queue::BackendKind;
use ukevent_queue::{BuildError, Builder};
use ukevent_task::{Runtime, look, time::timeout};

/// Longer than anything that works; no case depends on its size.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Makes of each case one test for each backend, in a module called after the backend. A case of `alone` is
/// alone in its process.
macro_rules! cases {
    ($($place:ident: [$($case:ident),* $(,)?]),* $(,)?) => {
        mod io_uring {
            use crate::bench::{self, BackendKind};
            $($(#[test] fn $case() { bench::$place(BackendKind::IoUring, super::$case); })*)*
        }
        mod epoll {
            use crate::bench::{self, BackendKind};
            $($(#[test] fn $case() { bench::$place(BackendKind::Epoll, super::$case); })*)*
        }
        mod poll {
            use crate::bench::{self, BackendKind};
            $($(#[test] fn $case() { bench::$place(BackendKind::Poll, super::$case); })*)*
        }
    };
}

/// Runs a case on a backend, or says aloud that it cannot be had here. A descriptor that it leaves fails it
/// (where it is alone in its process).
pub(crate) fn everywhere(kind: BackendKind, case: fn(&Bench)) {
    let _count = testkit::count_descriptors();
    match Builder::new().backend(kind).build() {
        Ok(queue) => drop(queue),
        Err(error @ BuildError::Unavailable { .. }) => testkit::skip!("{error}"),
        Err(error) => panic!("{kind}: {error}"),
    }
    case(&Bench { kind });
}

/// The same in a process of its own: the case changes a limit, a signal mask, or counts children.
pub(crate) fn alone(kind: BackendKind, case: fn(&Bench)) {
    testkit::alone(|| everywhere(kind, case));
}

/// A backend under test.
pub(crate) struct Bench {
    kind: BackendKind,
}

impl Bench {
    pub(crate) const fn kind(&self) -> BackendKind {
        self.kind
    }

    pub(crate) fn runtime(&self) -> Runtime {
        let queue = Builder::new().backend(self.kind).build();
        Runtime::with(queue.expect("it could be built a moment ago"))
    }

    /// Runs a future on a new runtime, and drops that.
    #[track_caller]
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        let limited = async { timeout(PATIENCE, future).await };
        self.runtime().block_on(limited).unwrap().expect("it would wait for ever")
    }
}

/// Polls a future once and gives what it said. Whoever drops it then drops it while it waits.
pub(crate) async fn once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}

/// Polls a future once, lets the queue begin what it asked for, and drops it. It must not be ready.
#[track_caller]
pub(crate) fn dropped_while_it_waits<F: Future>(future: F) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let mut future = pin!(future);
        assert!(once(&mut future).await.is_pending(), "it was ready: {caller}");
        settle().await;
    }
}

/// Lets the queue do what is to be done, and tell what happened.
pub(crate) async fn settle() {
    for _ in 0..3 {
        look().await;
    }
}
