//! Ctrl-C: the first ends a load early, in good order; soon after it the signals do what they do by default, so that
//! the second ends the command at once. (Not at the same moment: timeout(1) sends each signal twice.) A signal that
//! was ignored when the command was started (nohup(1), a shell's `&`) stays so.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use ukevent_sys::signal::{Disposition, disposition};
use ukevent_task::signal::Signal;
use ukevent_task::time::sleep;

/// Signals that come so soon after the first are one with it.
const ONE: Duration = Duration::from_millis(100);

/// Whether this process was told to end.
pub(super) struct Interrupt {
    /// Until it is, and a little longer.
    waits: Option<Pin<Box<dyn Future<Output = ()>>>>,
    by: Rc<Cell<Option<&'static str>>>,
}

impl Interrupt {
    /// From now on.
    pub(super) fn new() -> io::Result<Self> {
        let mut interrupt = unless_ignored(ukevent::Signal::INT)?;
        let mut terminate = unless_ignored(ukevent::Signal::TERM)?;
        let by = Rc::new(Cell::new(None));
        let told = Rc::clone(&by);
        let waits = async move {
            let first = async {
                let mut interrupted = pin!(next(&mut interrupt));
                let mut terminated = pin!(next(&mut terminate));
                poll_fn(|cx| {
                    if interrupted.as_mut().poll(cx).is_ready() {
                        return Poll::Ready("SIGINT");
                    }
                    terminated.as_mut().poll(cx).map(|()| "SIGTERM")
                })
                .await
            };
            told.set(Some(first.await));
            sleep(ONE).await;
        };
        Ok(Self { waits: Some(Box::pin(waits)), by })
    }

    /// By which signal it was.
    pub(super) fn told(&self) -> Option<&'static str> {
        self.by.get()
    }

    /// Does this, to its end, and tells `then` when it is to end early. Not, if that was so before.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = T>,
        then: impl FnOnce(),
    ) -> T {
        let mut work = pin!(work);
        let mut then = Some(then);
        poll_fn(|cx| {
            if self.poll(cx)
                && let Some(then) = then.take()
            {
                then();
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Does this, unless it is to end.
    pub(super) async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if self.poll(cx) || self.by.get().is_some() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Whether it is told just now.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(waits) = &mut self.waits else { return false };
        let was_told = self.by.get().is_some();
        if waits.as_mut().poll(cx).is_ready() {
            // Nobody awaits the signals any more.
            self.waits = None;
        }
        !was_told && self.by.get().is_some()
    }
}

/// Awaits a signal that this process does not ignore.
fn unless_ignored(signal: ukevent::Signal) -> io::Result<Option<Signal>> {
    if disposition(signal.number())? == Disposition::Ignore {
        return Ok(None);
    }
    Ok(Some(Signal::of(signal)?))
}

/// Until it comes; for ever, if it is not awaited.
async fn next(signal: &mut Option<Signal>) {
    match signal {
        // That it cannot be read any more is no reason to go on either.
        Some(signal) => drop(signal.next().await),
        None => std::future::pending().await,
    }
}
