//! tokio's waker: through its bounded channel for single posts, through `Notify` beside a word for
//! merged ones. The target is a runtime of one thread that also watches descriptors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use ukevent_bench::contenders::ukevent::CAPACITY;
use ukevent_bench::tables::wake::{Patience, Poster, Posts, Taken, Target};
use ukevent_measure::Result;

pub(crate) struct TokioChannel {
    runtime: Runtime,
    receiver: Receiver,
    sender: Sender,
}

enum Receiver {
    Merged(Arc<Counted>),
    Each(mpsc::Receiver<u64>),
}

/// The posting side.
#[derive(Clone)]
pub(crate) enum Sender {
    Merged(Arc<Counted>),
    Each(mpsc::Sender<u64>),
}

/// How many were posted and not taken, and the news of it.
#[derive(Default)]
pub(crate) struct Counted {
    count: AtomicU64,
    notify: Notify,
}

impl Counted {
    fn take(&self, taken: &mut Taken) {
        if self.count.load(Ordering::Relaxed) > 0 {
            taken.merged(self.count.swap(0, Ordering::AcqRel));
        }
    }
}

impl Target for TokioChannel {
    type Address = Sender;
    type Poster = Sender;

    fn new(posts: Posts) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (receiver, sender) = match posts {
            Posts::Merged => {
                let counted = Arc::new(Counted::default());
                (Receiver::Merged(counted.clone()), Sender::Merged(counted))
            }
            Posts::Each => {
                let (sender, receiver) = mpsc::channel(CAPACITY as usize);
                (Receiver::Each(receiver), Sender::Each(sender))
            }
        };
        Ok(Self { runtime, receiver, sender })
    }

    fn address(&self) -> Result<Sender> {
        Ok(self.sender.clone())
    }

    fn poster(address: Sender) -> Result<Sender> {
        Ok(address)
    }

    fn take(&mut self, patience: Patience, taken: &mut Taken) -> Result<()> {
        match &mut self.receiver {
            Receiver::Merged(counted) => {
                if patience == Patience::Endless {
                    self.runtime.block_on(counted.notify.notified());
                }
                counted.take(taken);
            }
            Receiver::Each(receiver) => {
                if patience == Patience::Endless {
                    let serial = self.runtime.block_on(receiver.recv());
                    taken.one(serial.ok_or("the channel is closed")?);
                }
                while let Ok(serial) = receiver.try_recv() {
                    taken.one(serial);
                }
            }
        }
        Ok(())
    }
}

impl Poster for Sender {
    #[inline]
    fn post(&mut self, serial: u64) -> Result<()> {
        match self {
            Self::Merged(counted) => {
                counted.count.fetch_add(1, Ordering::AcqRel);
                counted.notify.notify_one();
            }
            Self::Each(sender) => sender.try_send(serial)?,
        }
        Ok(())
    }
}
