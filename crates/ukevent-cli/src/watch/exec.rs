//! A command for each event: so many at a time, so many more that wait, and the rest is skipped and
//! told.
//!
//! A running command is a source of the same queue as everything else: its end is an event.

#[cfg(test)]
mod tests;

use crate::failure::Failure;
use crate::tell::tell;
use crate::watch::environment;
use crate::watch::report::Report;
use crate::watch::role::Role;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::io::{self, stderr};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use ukevent::{Mode, Process, Queue, SignalSet};
use ukevent_sys::signal;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandLine {
    /// A program and its arguments.
    Words { program: String, arguments: Vec<String> },
    /// A line for /bin/sh.
    Shell(String),
}

impl CommandLine {
    /// Splits a command as a shell would, quotes and backslashes heeded and nothing expanded; or
    /// leaves that to the shell.
    pub(crate) fn parse(line: &str, shell: bool) -> Result<Self, Failure> {
        let refused = |why: &str| Failure::Usage(format!("watch: --exec {line:?}: {why}"));
        let words = shell_words::split(line);
        let is_empty = words.as_ref().is_ok_and(Vec::is_empty);
        if is_empty {
            return Err(refused("there is no command; write --exec 'PROGRAM ARGUMENT…'"));
        }
        if shell {
            return Ok(Self::Shell(line.to_owned()));
        }
        let mut words = words
            .map_err(|_| refused("a quote is not closed; close it, or precede it by a backslash"))?
            .into_iter();
        let program = words.next().unwrap_or_default();
        Ok(Self::Words { program, arguments: words.collect() })
    }

    fn command(&self) -> Command {
        match self {
            Self::Words { program, arguments } => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            Self::Shell(line) => {
                let mut command = Command::new("/bin/sh");
                command.arg("-c").arg(line);
                command
            }
        }
    }
}

/// How to run it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) line: CommandLine,
    /// How many at a time.
    pub(crate) jobs: usize,
    /// How many events may wait for their turn.
    pub(crate) backlog: usize,
    /// Whether commands read this command's standard input; else they read nothing.
    pub(crate) shares_stdin: bool,
    /// Whether what commands print goes to standard error.
    pub(crate) prints_to_stderr: bool,
    /// The signal mask to start them with.
    pub(crate) mask: SignalSet,
}

/// Commands that run, and events that wait for theirs.
#[derive(Debug)]
pub(crate) struct Exec {
    settings: Settings,
    waiting: VecDeque<Job>,
    running: HashMap<u32, Running>,
    next: u32,
    /// Whether the last event was skipped, and that was told.
    skipping: bool,
    tally: Tally,
}

/// What became of the events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Commands started.
    pub(crate) run: u64,
    /// Of those, how many ended otherwise than with status 0; and those that could not be started.
    pub(crate) failed: u64,
    /// Events without a command.
    pub(crate) skipped: u64,
}

#[derive(Debug)]
struct Job {
    number: u64,
    variables: Vec<(OsString, OsString)>,
    connection: Option<TcpStream>,
}

#[derive(Debug)]
struct Running {
    number: u64,
    child: Child,
}

impl Exec {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            waiting: VecDeque::new(),
            running: HashMap::new(),
            next: 0,
            skipping: false,
            tally: Tally::default(),
        }
    }

    pub(crate) const fn tally(&self) -> Tally {
        self.tally
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Takes an event, and the connection if it is that of one: the command's standard input and
    /// output. [`Exec::start`] starts the command.
    pub(crate) fn offer(&mut self, report: &Report, connection: Option<TcpStream>) {
        let Settings { jobs, backlog, .. } = self.settings;
        let room = backlog.saturating_add(jobs.saturating_sub(self.running.len()));
        if self.waiting.len() >= room {
            self.tally.skipped += 1;
            if !self.skipping {
                tell(format_args!(
                    "event {} and further ones are skipped: as many commands run as --jobs allows \
                     ({jobs}), and as many events wait as --backlog allows ({backlog})",
                    report.number
                ));
            }
            self.skipping = true;
            return;
        }
        self.skipping = false;
        let variables = environment::of(report);
        self.waiting.push_back(Job { number: report.number, variables, connection });
    }

    /// Starts what may run.
    pub(crate) fn start(&mut self, queue: &mut Queue) -> Result<(), Failure> {
        while self.running.len() < self.settings.jobs
            && let Some(job) = self.waiting.pop_front()
        {
            let number = job.number;
            match self.spawn(job) {
                Ok(child) => self.watch(queue, number, child)?,
                Err(error) => {
                    self.tally.failed += 1;
                    tell(format_args!("event {number}: {}: {error}", self.shown()));
                }
            }
        }
        Ok(())
    }

    fn spawn(&self, job: Job) -> io::Result<Child> {
        let settings = &self.settings;
        let mut command = settings.line.command();
        for (variable, _) in std::env::vars_os().filter(|(name, _)| environment::is_ours(name)) {
            command.env_remove(variable);
        }
        command.envs(job.variables);
        if settings.prints_to_stderr {
            command.stdout(stderr());
        }
        match job.connection.map(OwnedFd::from) {
            Some(connection) => _ = command.stdout(connection.try_clone()?).stdin(connection),
            None if settings.shares_stdin => {}
            None => _ = command.stdin(Stdio::null()),
        }
        if !settings.shares_stdin {
            // A group of its own, so that all that a command starts can be stopped.
            command.process_group(0);
        }
        // This thread blocks the signals that it watches, and a command would inherit that. A signal
        // that comes to the other thread meanwhile is sent on to the queue.
        let born = || {
            signal::set_blocked(&settings.mask)?;
            command.spawn()
        };
        thread::scope(|scope| {
            let other = thread::Builder::new().spawn_scoped(scope, born)?;
            other.join().unwrap_or_else(|_| Err(io::Error::other("it could not be started")))
        })
    }

    fn watch(&mut self, queue: &mut Queue, number: u64, mut child: Child) -> Result<(), Failure> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let role = Role::Command(id).token();
        match queue.register(Process::child(&child), role, Mode::OneShot) {
            Ok(_) => {
                self.tally.run += 1;
                self.running.insert(id, Running { number, child });
                Ok(())
            }
            Err(error) => {
                // Its end would not be told.
                let _ = child.kill().and_then(|()| child.wait());
                Err(Failure::Failed(format!("watch: {} cannot be watched: {error}", self.shown())))
            }
        }
    }

    /// A command has ended.
    pub(crate) fn ended(&mut self, id: u32) {
        let Some(Running { number, mut child }) = self.running.remove(&id) else { return };
        match child.wait() {
            Ok(status) if status.success() => {}
            Ok(status) => {
                self.tally.failed += 1;
                tell(format_args!("event {number}: {}: {status}", self.shown()));
            }
            Err(error) => {
                self.tally.failed += 1;
                tell(format_args!("event {number}: {}: {error}", self.shown()));
            }
        }
    }

    /// Asks what runs to end, or ends it; what waits is skipped.
    pub(crate) fn stop(&mut self, signal: Signal) {
        self.tally.skipped += self.waiting.len() as u64;
        self.waiting.clear();
        for Running { child, .. } in self.running.values() {
            // Not waited for yet, so the number is still that of the child.
            let pid = Pid::from_child(child);
            let _ = match self.settings.shares_stdin {
                true => kill_process(pid, signal),
                false => kill_process_group(pid, signal),
            };
        }
    }

    /// The program's name, for messages.
    fn shown(&self) -> &str {
        match &self.settings.line {
            CommandLine::Words { program, .. } => program,
            CommandLine::Shell(_) => "/bin/sh",
        }
    }
}
