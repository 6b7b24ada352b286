//! A running `ukevent watch`, and what it says.

use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{ChildStderr, ChildStdout, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};
use testkit::Child;

pub(crate) const INT: i32 = 2;
pub(crate) const USR1: i32 = 10;
pub(crate) const TERM: i32 = 15;

/// The command, with these arguments. The signals that end it are not ignored, even if they are here.
pub(crate) fn ukevent(arguments: &[&str]) -> Command {
    started_by("--default-signal=INT,TERM", arguments)
}

/// The same where they are ignored, as in the background of a script.
pub(crate) fn ukevent_in_the_background(arguments: &[&str]) -> Command {
    started_by("--ignore-signal=INT,TERM", arguments)
}

/// By env(1), which becomes it.
fn started_by(option: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.args([option, env!("CARGO_BIN_EXE_ukevent")]).args(arguments).stdin(Stdio::null());
    command
}

/// A watch with these arguments, which must end by itself.
pub(crate) fn run(arguments: &[&str]) -> Output {
    ukevent(&["watch", "--for", "1m"]).args(arguments).output().unwrap()
}

/// What it said on standard error.
pub(crate) fn told(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A watch that has begun. Killed if the test ends before it.
pub(crate) struct Watch {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
    begun: String,
    told: Arc<Mutex<String>>,
    hearing: JoinHandle<()>,
}

/// A watch that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it printed since the last line that was read.
    pub(crate) printed: String,
    pub(crate) told: String,
}

impl Watch {
    /// Begins to watch with these arguments; returns when it watches.
    pub(crate) fn begin(arguments: &[&str]) -> Self {
        Self::of(&mut ukevent(&["watch", "--verbose", "--for", "1m"]), arguments)
    }

    /// The same with JSON.
    pub(crate) fn json(arguments: &[&str]) -> Self {
        Self::of(&mut ukevent(&["watch", "--verbose", "--for", "1m", "--json"]), arguments)
    }

    /// The same with a command that is verbose.
    pub(crate) fn of(command: &mut Command, arguments: &[&str]) -> Self {
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Child::spawn(command);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let begun = until_it_watches(&mut stderr);
        let told = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&told);
        let hearing = thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).unwrap() > 0 {
                heard.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines, begun, told, hearing }
    }

    /// What it said before it began.
    pub(crate) fn begun(&self) -> &str {
        &self.begun
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.pid()
    }

    pub(crate) fn signal(&self, signal: i32) {
        self.child.signal(signal);
    }

    /// Sends it a signal and waits until it was taken: one that comes while another is pending is
    /// merged with that.
    pub(crate) fn signal_taken(&self, signal: i32) {
        self.signal(signal);
        let status = format!("/proc/{}/status", self.child.pid());
        testkit::wait_until("the signal was taken", || {
            let status = fs::read_to_string(&status).unwrap();
            ["SigPnd:", "ShdPnd:"].iter().all(|field| {
                let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap() & 1 << (signal - 1) == 0
            })
        });
    }

    /// Waits until it has said this, since it began.
    pub(crate) fn has_told(&self, piece: &str) {
        testkit::wait_until(piece, || self.told.lock().unwrap().contains(piece));
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.as_mut().unwrap().read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "it ended; printed: {line:?}");
        line.truncate(line.trim_end().len());
        line
    }

    /// The next event.
    pub(crate) fn event(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// The next event of which this is what happened.
    pub(crate) fn event_that(&mut self, what: &str) -> Value {
        loop {
            let event = self.event();
            if event["what"] == what {
                return event;
            }
        }
    }

    /// Reads no more of what it prints.
    pub(crate) fn close_output(&mut self) {
        self.lines = None;
    }

    /// The pipe that it prints to.
    pub(crate) fn output(&self) -> &ChildStdout {
        self.lines.as_ref().unwrap().get_ref()
    }

    /// Waits for its end, and reads what it prints until then.
    pub(crate) fn end(mut self) -> Ended {
        let mut printed = String::new();
        if let Some(lines) = &mut self.lines {
            lines.read_to_string(&mut printed).unwrap();
        }
        self.end_unread(printed)
    }

    /// Waits for its end, and reads nothing of what it prints.
    pub(crate) fn end_unread(mut self, printed: String) -> Ended {
        let code = self.child.wait().unwrap().code();
        self.hearing.join().unwrap();
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        Ended { code, printed, told }
    }

    /// Tells it to end, as `kill` does.
    pub(crate) fn terminate(self) -> Ended {
        self.signal(TERM);
        self.end()
    }
}

/// Reads lines up to the one that says that it has begun.
fn until_it_watches(stderr: &mut BufReader<ChildStderr>) -> String {
    let mut begun = String::new();
    loop {
        let start = begun.len();
        let read = stderr.read_line(&mut begun).unwrap();
        assert!(read > 0, "it ended before it began:\n{begun}");
        if begun[start..].contains(" watches ") {
            return begun;
        }
    }
}
