//! Futures against each other, and against the moment.

use std::{future::poll_fn, pin::pin, task::Poll};

/// What the first comes to; nothing, if the second is ready before.
pub(crate) async fn unless<T>(
    first: impl Future<Output = T>,
    second: impl Future<Output = ()>,
) -> Option<T> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => second.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// What a future has to say when it is asked once.
pub(crate) async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    unless(future, std::future::ready(())).await
}
