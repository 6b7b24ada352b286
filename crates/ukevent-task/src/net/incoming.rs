//! Accepting.

use crate::registered::Registered;
use crate::runtime::inboxes::{Bound, InboxId};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use ukevent_queue::{Errno, Key, Kind, Operation, Payload};

const ECANCELED: Errno = Errno(125);

/// The connections that come to a listener.
///
/// One continuous operation accepts them, from the first call on. Those that came while nobody asked wait
/// here, up to 16, and then in the kernel; a call that is dropped loses none.
#[derive(Debug)]
pub struct Incoming {
    listener: Rc<Registered>,
    inbox: InboxId,
    accepts: Option<Key>,
}

impl Incoming {
    /// Accepts from a listening socket of any kind.
    #[must_use]
    pub fn new(listener: Registered) -> Self {
        let inbox = listener.core().open(Bound::Received, "a connection");
        Self { listener: Rc::new(listener), inbox, accepts: None }
    }

    /// The registration of the listener.
    #[must_use]
    pub fn registered(&self) -> &Registered {
        &self.listener
    }

    /// Waits for the next connection: non-blocking and close-on-exec.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE`: no descriptor is left. The connection waits in the kernel; accept again when
    /// something was closed. Other errors are of one connection that went before it was accepted.
    pub async fn accept(&mut self) -> io::Result<OwnedFd> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The same for futures that are written by hand.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        if !self.listener.core().may_go_on(cx) {
            return Poll::Pending;
        }
        loop {
            match self.listener.core().take(self.inbox, cx) {
                Some(Kind::Completed(done)) => match (done.result, done.payload) {
                    (Ok(_), Payload::Descriptor(socket)) => return Poll::Ready(Ok(socket)),
                    (Ok(_), _) => {}
                    (Err(errno), _) => {
                        self.accepts = None;
                        if errno != ECANCELED {
                            return Poll::Ready(Err(errno.into()));
                        }
                    }
                },
                Some(_) => {}
                None if self.accepts.is_some() => return Poll::Pending,
                None => self.start()?,
            }
        }
    }

    fn start(&mut self) -> io::Result<()> {
        let core = self.listener.core();
        core.resumed(self.inbox);
        let operation = Operation::accept_each(self.listener.key());
        self.accepts = Some(core.queue(|queue| queue.start(operation, self.inbox.token()))?);
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let core = self.listener.core();
        if let Some(key) = self.accepts {
            core.remove(key);
        }
        core.close(self.inbox);
    }
}
