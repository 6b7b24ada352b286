//! The standard library's bounded channel: the floor of single posts. A thread that sleeps on it hears
//! of nothing else.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use ukevent_bench::contenders::ukevent::CAPACITY;
use ukevent_bench::tables::wake::{Patience, Poster, Posts, Taken, Target};
use ukevent_measure::Result;

pub(crate) struct StdChannel {
    sender: SyncSender<u64>,
    receiver: Receiver<u64>,
}

/// The end that sends.
pub(crate) struct Sends(SyncSender<u64>);

impl Target for StdChannel {
    type Address = SyncSender<u64>;
    type Poster = Sends;

    fn new(posts: Posts) -> Result<Self> {
        if posts == Posts::Merged {
            return Err("a channel does not merge".into());
        }
        let (sender, receiver) = sync_channel(CAPACITY as usize);
        Ok(Self { sender, receiver })
    }

    fn address(&self) -> Result<Self::Address> {
        Ok(self.sender.clone())
    }

    fn poster(address: Self::Address) -> Result<Self::Poster> {
        Ok(Sends(address))
    }

    fn take(&mut self, patience: Patience, taken: &mut Taken) -> Result<()> {
        if patience == Patience::Endless {
            taken.one(self.receiver.recv()?);
        }
        self.receiver.try_iter().for_each(|serial| taken.one(serial));
        Ok(())
    }
}

impl Poster for Sends {
    #[inline]
    fn post(&mut self, serial: u64) -> Result<()> {
        Ok(self.0.try_send(serial)?)
    }
}
