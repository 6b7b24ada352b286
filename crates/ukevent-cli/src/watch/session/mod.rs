//! A watch that has begun: events in, lines and commands out. Here is how an event goes through it;
//! `writing` has the output, `ending` the ends.
//!
//! It goes through two states more. It *drains* when it has ended by itself: nothing is watched any
//! more, but what was reported is written, and its commands run. It *stops* when it is told to:
//! commands are asked to end, and only that is awaited.

mod ending;
#[cfg(test)]
mod tests;
mod writing;

use crate::failure::Failure;
use crate::watch::exec::Exec;
use crate::watch::json;
use crate::watch::names;
use crate::watch::output::Output;
use crate::watch::report::{Report, Story};
use crate::watch::role::Role;
use crate::watch::source::Source;
use crate::watch::summary::End;
use crate::watch::text::{Text, escaped};
use jiff::Timestamp;
use std::net::TcpStream;
use std::time::Instant;
use ukevent::{Event, Key, Kind, ProcessEvent, Queue, Signal, Wait, WaitError};

/// A watch that has begun.
pub(crate) struct Session {
    queue: Queue,
    sources: Vec<Source>,
    /// The signals that end it.
    ends: Vec<(Signal, Role)>,
    output: Output,
    /// The registration of standard output.
    output_key: Option<Key>,
    style: Style,
    exec: Option<Exec>,
    state: State,
    /// Events until the end.
    left: u64,
    reported: u64,
    /// Of the events, how many said that others were lost.
    rescans: u64,
    /// Whether standard output is watched for room.
    clogged: bool,
    /// Whether the sources are disabled, because the output is full.
    held: bool,
    /// Whether nothing is said but what goes wrong.
    quiet: bool,
    begun: Instant,
    failure: Option<Failure>,
    /// Whether the queue cannot be waited for, so that nothing can be awaited any more.
    is_deaf: bool,
}

/// What a watch is made of.
pub(crate) struct Parts {
    pub(crate) queue: Queue,
    pub(crate) sources: Vec<Source>,
    /// The signals that end it.
    pub(crate) ends: Vec<(Signal, Role)>,
    pub(crate) output: Output,
    /// The registration of standard output, if it can be waited for.
    pub(crate) output_key: Option<Key>,
    pub(crate) style: Style,
    pub(crate) exec: Option<Exec>,
    /// Events until the end.
    pub(crate) left: u64,
    /// Whether nothing is said but what goes wrong.
    pub(crate) quiet: bool,
}

/// What an event looks like.
pub(crate) enum Style {
    Text(Text),
    Json,
    /// Not at all.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Watching,
    Draining(End),
    Stopping(End),
}

impl Session {
    /// Joins the parts; the time begins now.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { queue, sources, ends, output, output_key, style, exec, left, quiet } = parts;
        Self {
            queue,
            sources,
            ends,
            output,
            output_key,
            style,
            exec,
            state: State::Watching,
            left,
            reported: 0,
            rescans: 0,
            clogged: false,
            held: false,
            quiet,
            begun: Instant::now(),
            failure: None,
            is_deaf: false,
        }
    }

    /// Waits once and does what comes of it.
    pub(crate) fn step(&mut self) {
        match self.queue.wait(Wait::forever()) {
            Ok(_) | Err(WaitError::Interrupted) => {}
            Err(error) => {
                self.is_deaf = true;
                self.fail(Failure::Failed(format!("watch: {error}")));
            }
        }
        while let Some(event) = self.queue.next_event() {
            self.take(event);
        }
        self.flush();
        if let Some(exec) = &mut self.exec
            && let Err(failure) = exec.start(&mut self.queue)
        {
            self.fail(failure);
        }
    }

    fn take(&mut self, event: Event) {
        match Role::of(event.token) {
            Some(Role::Source(index)) => self.take_from_source(index as usize, event),
            Some(Role::Command(id)) => {
                if let Some(exec) = &mut self.exec {
                    exec.ended(id);
                }
            }
            Some(Role::Interrupt) => self.stop_as_told(&event.kind, End::Interrupted),
            Some(Role::Terminate) => self.stop_as_told(&event.kind, End::Terminated),
            Some(Role::Deadline) => self.drain(End::Time),
            Some(Role::Output) => self.take_from_output(&event.kind),
            None => {}
        }
    }

    fn take_from_source(&mut self, index: usize, Event { key, kind, .. }: Event) {
        let Some(source) = self.sources.get_mut(index) else { return };
        if source.is_listener() {
            return self.take_connection(index, key);
        }
        if let Kind::Process(change) = &kind
            && change.what == ProcessEvent::Executed
        {
            source.name = names::process(change.pid).unwrap_or_default();
        }
        self.rescans += u64::from(kind == Kind::Rescan);
        let story = Story::of(&source.spec, &source.name, &kind);
        if source.is_last(&kind) {
            source.end(&mut self.queue, key);
        }
        self.report(index, story, None);
        if let Kind::Signal(received) = &kind
            && received.signal == Signal::TERM.number()
        {
            self.stop_as_told(&kind, End::Terminated);
        }
        self.end_if_nothing_is_left();
    }

    /// One connection for one event; the next one is reported in the next wait.
    fn take_connection(&mut self, index: usize, key: Key) {
        match Source::accept(&self.queue, key) {
            Ok(None) => {}
            Ok(Some((connection, peer))) => {
                let story = Story::connected(peer, connection.local_addr().ok());
                self.report(index, story, Some(connection));
            }
            Err(error) => {
                if let Some(source) = self.sources.get_mut(index) {
                    let why = format!("{}: accept: {error}", escaped(&source.text));
                    self.fail(Failure::Failed(format!("watch: {why}")));
                }
            }
        }
    }

    fn end_if_nothing_is_left(&mut self) {
        if !self.sources.iter().any(Source::is_live) {
            self.drain(End::NothingLeft);
        }
    }

    /// Tells an event and has its command run. A connection that no command wants is closed.
    fn report(&mut self, index: usize, story: Story, connection: Option<TcpStream>) {
        let Some(source) = self.sources.get_mut(index) else { return };
        source.events += 1;
        self.reported += 1;
        let report = Report {
            time: Timestamp::now(),
            number: self.reported,
            spec: source.text.clone(),
            source: source.spec.kind(),
            story,
        };
        match &mut self.style {
            Style::Text(text) => self.output.push(text.line(&report).as_bytes()),
            Style::Json => match json::line(&report) {
                Ok(line) => self.output.push(&line),
                Err(error) => self.fail(Failure::Failed(format!("watch: {error}"))),
            },
            Style::None => {}
        }
        if let Some(exec) = &mut self.exec {
            exec.offer(&report, connection);
        }
        self.left -= 1;
        if self.left == 0 {
            self.drain(End::Count);
        } else if self.output.is_full() {
            self.flush();
        }
    }
}
