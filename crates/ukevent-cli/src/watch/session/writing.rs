//! The output of a session: written where there is room, and the sources held where there is none.

use super::{Session, Style};
use crate::failure::Failure;
use crate::watch::output::Flushed;
use crate::watch::source::Source;
use crate::watch::summary::End;
use std::io;
use ukevent::{Change, ChangeError, Interest, Kind, Readiness};

impl Session {
    pub(super) fn take_from_output(&mut self, kind: &Kind) {
        let is_gone = match kind {
            Kind::Ready(ready) => ready.readiness.intersects(Readiness::ERROR | Readiness::HANG_UP),
            _ => true,
        };
        if is_gone {
            self.lose_reader();
        }
    }

    /// Nobody will read another line. That the reader is gone would be reported as long as it is
    /// watched.
    fn lose_reader(&mut self) {
        self.style = Style::None;
        self.output.clear();
        if let Some(key) = self.output_key.take() {
            let _ = self.queue.remove(key);
        }
        self.stop_unless_stopping(End::Unread);
    }

    /// Writes what there is room for, and holds the sources for as long as there is too little.
    pub(super) fn flush(&mut self) {
        let clogged = match self.output.flush() {
            Ok(Flushed::All) => false,
            Ok(Flushed::Clogged) => true,
            Ok(Flushed::Closed) => return self.lose_reader(),
            Err(errno) => {
                let error = io::Error::from(errno);
                self.output.clear();
                return self.fail(Failure::Failed(format!("watch: standard output: {error}")));
            }
        };
        let hold = clogged && (self.held || self.output.is_full());
        if let Err(error) = self.follow_output(clogged).and_then(|()| self.hold(hold)) {
            self.fail(Failure::Failed(format!("watch: {error}")));
        }
    }

    /// Has the queue tell when there is room again; or nothing but that the reader is gone.
    fn follow_output(&mut self, clogged: bool) -> Result<(), ChangeError> {
        let Some(key) = self.output_key else { return Ok(()) };
        if clogged == self.clogged {
            return Ok(());
        }
        self.clogged = clogged;
        let interest = if clogged { Interest::WRITE } else { Interest::empty() };
        self.queue.modify(key, Change::new().interest(interest))
    }

    /// What a disabled source has to tell is kept, within the queue's bounds.
    fn hold(&mut self, hold: bool) -> Result<(), ChangeError> {
        if hold == self.held {
            return Ok(());
        }
        self.held = hold;
        for key in self.sources.iter().flat_map(Source::keys) {
            if hold {
                self.queue.disable(*key)?;
            } else {
                self.queue.enable(*key)?;
            }
        }
        Ok(())
    }
}
