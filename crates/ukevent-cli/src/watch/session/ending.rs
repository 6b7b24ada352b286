//! The end of a session: by itself, or because it is told to.

use super::{Session, State};
use crate::failure::Failure;
use crate::tell::{tell, tell_blank};
use crate::watch::exec::Exec;
use crate::watch::summary::{End, Summary};
use rustix::process::Signal as Number;
use std::io::{IsTerminal, stderr};
use ukevent::{Kind, Mode};

impl Session {
    /// Whether all is done.
    pub(crate) fn is_over(&self) -> bool {
        let is_idle = self.exec.as_ref().is_none_or(Exec::is_idle);
        match self.state {
            State::Watching => false,
            State::Draining(_) => is_idle && self.output.is_empty(),
            State::Stopping(_) => is_idle || self.is_deaf,
        }
    }

    /// Ends by itself.
    pub(super) fn drain(&mut self, end: End) {
        if self.state == State::Watching {
            self.state = State::Draining(end);
            self.end_sources();
        }
    }

    /// Ends because it is told to. Told again, it no longer asks the commands.
    pub(super) fn stop(&mut self, end: End) {
        let (end, signal) = match self.state {
            State::Watching => {
                self.end_sources();
                (end, Number::TERM)
            }
            State::Draining(_) => (end, Number::TERM),
            State::Stopping(first) => (first, Number::KILL),
        };
        self.state = State::Stopping(end);
        if let Some(exec) = &mut self.exec {
            exec.stop(signal);
            if signal == Number::TERM && !self.quiet && !exec.is_idle() {
                tell("watch: its commands were asked to end; Ctrl-C again ends them at once");
            }
        }
    }

    /// Ends because a signal says so. Two that came before one look are one event that counts both:
    /// it is told twice by that.
    pub(super) fn stop_as_told(&mut self, signal: &Kind, end: End) {
        let times = match signal {
            Kind::Signal(received) => received.count.clamp(1, 2),
            _ => 1,
        };
        for _ in 0..times {
            self.stop(end);
        }
    }

    /// Ends because of something that went wrong; of several things the first is told.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
        self.stop_unless_stopping(End::Failed);
    }

    pub(super) fn stop_unless_stopping(&mut self, end: End) {
        if !matches!(self.state, State::Stopping(_)) {
            self.stop(end);
        }
    }

    /// Watches nothing any more. Signals that were watched for themselves end the session from here
    /// on.
    fn end_sources(&mut self) {
        for &(signal, role) in &self.ends {
            if self.sources.iter().any(|source| source.watches(signal)) {
                // Should it be refused, the signal ends the process, as it does by default.
                let _ = self.queue.register(signal, role.token(), Mode::Level);
            }
        }
        for source in &mut self.sources {
            source.end_all(&mut self.queue);
        }
    }

    /// Says what it came to. What the output did not take is lost then.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let (State::Draining(end) | State::Stopping(end)) = self.state else { return Ok(()) };
        if !self.quiet && end != End::Unread {
            // The terminal shows ^C without a line's end.
            if end == End::Interrupted && stderr().is_terminal() {
                tell_blank();
            }
            tell(format_args!("watch: {}", self.summary(end)));
        }
        self.failure.map_or(Ok(()), Err)
    }

    fn summary(&self, end: End) -> Summary<'_> {
        Summary {
            end,
            duration: self.begun.elapsed(),
            sources: self.sources.iter().map(|it| (it.text.as_os_str(), it.events)).collect(),
            rescans: self.rescans,
            commands: self.exec.as_ref().map(Exec::tally),
        }
    }
}
