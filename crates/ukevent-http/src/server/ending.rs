//! The end of a server: whoever waits is still let in, as far as there is room; who is being answered
//! is answered, who rests is closed; and after a while everything is.

use super::{Meaning, Server, Step};
use ukevent_queue::{Kind, Mode, Queue, Timer};

/// Looks at what has come before the end; a peer that sends all the time does not put it off for ever.
const LOOKS: u32 = 256;

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ending {
    #[default]
    NotYet,
    /// Whoever the kernel told that it is connected is being let in.
    LettingIn,
    /// What was asked until then is being taken. So much had been received at the last look, and so
    /// many more looks there may be.
    Asking {
        received: Option<u64>,
        looks: u32,
    },
    /// Answers that are asked for are being given.
    Gently,
    Over,
}

impl Ending {
    pub(super) fn is_over(self) -> bool {
        self == Self::Over
    }
}

impl Server {
    /// Ends because it is told to. Two tellings that came before one look are one event that counts
    /// both.
    pub(super) fn stop_as_told(&mut self, queue: &mut Queue, kind: &Kind) {
        let times = match kind {
            Kind::Signal(received) => u64::from(received.count),
            Kind::User(posted) => posted.count,
            _ => 1,
        };
        for _ in 0..times.clamp(1, 2) {
            self.stop(queue);
        }
    }

    /// Begins the end, or makes short work of it.
    fn stop(&mut self, queue: &mut Queue) {
        if self.ending != Ending::NotYet {
            return self.stop_at_once(queue);
        }
        let grace = Timer::after(self.service.limits.grace);
        match queue.register(grace, self.tokens.of(Meaning::GraceOver), Mode::Level) {
            Ok(key) => self.keys.push(key),
            // No room for a timer: then without grace.
            Err(_) => return self.stop_at_once(queue),
        }
        self.ending = Ending::LettingIn;
        self.service.ending = true;
        self.listeners.cancel(queue);
        self.end_accepting(queue);
    }

    /// Once no listener accepts by itself any more: lets in who is left, and closes them.
    pub(super) fn end_accepting(&mut self, queue: &mut Queue) {
        if self.ending != Ending::LettingIn || self.listeners.is_accepting() {
            return;
        }
        self.accept_backlog(queue);
        self.listeners.close(queue);
        self.ending = Ending::Asking { received: None, looks: LOOKS };
        self.look_once_more(queue);
    }

    /// What arrived before the end was asked before the end. Once a look at the queue shows that there
    /// is no more of it, those who rest are closed.
    pub(super) fn see_what_came(&mut self, queue: &mut Queue) {
        let Ending::Asking { received, looks } = self.ending else { return };
        if received != Some(self.inputs) && looks > 0 {
            // Of the look that brought this event there may be more to come.
            self.ending = Ending::Asking { received: Some(self.inputs), looks: looks - 1 };
            return self.look_once_more(queue);
        }
        self.ending = Ending::Gently;
        self.answer_all(queue);
        for index in self.peers.indices() {
            if self.peers.at(index).is_some_and(|peer| peer.connection.is_idle()) {
                self.step(queue, index, Step::Close);
            }
        }
    }

    fn look_once_more(&mut self, queue: &mut Queue) {
        if self.turn.post(0).is_err() {
            // The source of the event was removed by others.
            self.stop_at_once(queue);
        }
    }

    /// Closes everything.
    pub(super) fn stop_at_once(&mut self, queue: &mut Queue) {
        self.ending = Ending::Gently;
        self.listeners.close(queue);
        for index in self.peers.indices() {
            self.step(queue, index, Step::Close);
        }
    }

    /// Takes the last registrations back once nobody is left.
    pub(super) fn end_if_idle(&mut self, queue: &mut Queue) {
        if self.ending == Ending::Gently && self.peers.is_empty() {
            for key in self.keys.drain(..) {
                drop(queue.remove(key));
            }
            self.service.site.unwatch(queue);
            self.ending = Ending::Over;
        }
    }
}
