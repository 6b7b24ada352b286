//! Clients that are only there: dead ones, which ask nothing, and slow ones, which ask a byte at a time and
//! never end.

use super::{run::Run, wire::Wire};
use crate::Class;
use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll, time::Duration};
use ukevent_task::time::{interval, sleep};

/// Pause before a connection that was lost, or has not come about, is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What somebody who is only there does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idler {
    /// Nothing.
    Dead,
    /// Sends one byte of a request after the other.
    Slow,
}

/// Is there, and comes back whenever the server has ended the connection. Tells `first` what the first
/// attempt came to.
pub(super) async fn be_there(run: Rc<Run>, idler: Idler, first: impl FnOnce(Option<Class>)) {
    let mut first = Some(first);
    loop {
        let connected = run.route.connect(run.plan.connect_timeout).await;
        if let Some(first) = first.take() {
            first(connected.as_ref().err().copied());
        }
        if let Ok(mut wire) = connected {
            run.idler_came();
            match idler {
                Idler::Dead => wire.until_end().await,
                // In a box of its own: the dead, of which there are many, need no room for it.
                Idler::Slow => Box::pin(trickle(&run, &mut wire)).await,
            }
            run.idler_lost();
        }
        sleep(PAUSE).await;
    }
}

/// Sends a byte at a time, until the server has ended the connection.
async fn trickle(run: &Run, wire: &mut Wire) {
    let (path, authority) = (run.plan.target.path(), run.plan.target.authority());
    let head = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nX-Slow: ");
    let Ok(mut beat) = interval(run.plan.slow_gap) else { return };
    for byte in head.into_bytes().into_iter().chain(std::iter::repeat(b'a')) {
        if wire.start(vec![byte].into()).is_err() {
            return;
        }
        let mut is_sent = false;
        let mut tick = pin!(beat.tick());
        let is_there = poll_fn(|cx| {
            while let Poll::Ready(received) = wire.poll_receive(cx) {
                if !received.is_ok_and(|bytes| !bytes.is_empty()) {
                    return Poll::Ready(false);
                }
            }
            if !is_sent {
                match wire.poll_sent(cx) {
                    Poll::Ready(Ok(())) => is_sent = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
            tick.as_mut().poll(cx).map(|_| true)
        });
        if !is_there.await {
            return;
        }
    }
}
