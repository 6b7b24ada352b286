//! Clients that are only there: dead ones, which ask nothing, and slow ones, which ask a byte at a time and
//! never end.

use super::{connect::until_end, run::Run};
use crate::Class;
use std::{future::poll_fn, rc::Rc, task::Poll, time::Duration};
use ukevent_task::{
    net::{Receiver, Sender},
    time::{interval, sleep},
};

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
        if let Ok((mut receiver, sender)) = connected {
            run.idler_came();
            match idler {
                Idler::Dead => until_end(&mut receiver).await,
                Idler::Slow => trickle(&run, &mut receiver, sender).await,
            }
            run.idler_lost();
        }
        sleep(PAUSE).await;
    }
}

/// Sends a byte at a time, until the server has ended the connection.
async fn trickle(run: &Run, receiver: &mut Receiver, mut sender: Sender) {
    let (path, authority) = (run.plan.target.path(), run.plan.target.authority());
    let head = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nX-Slow: ");
    let mut bytes = head.into_bytes().into_iter().chain(std::iter::repeat(b'a'));
    let mut trickles = std::pin::pin!(async {
        let Ok(mut beat) = interval(run.plan.slow_gap) else { return };
        while let Some(byte) = bytes.next()
            && sender.send(vec![byte]).await.is_ok()
        {
            beat.tick().await;
        }
    });
    let mut ends = std::pin::pin!(until_end(receiver));
    poll_fn(|cx| match ends.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => trickles.as_mut().poll(cx),
    })
    .await;
}
