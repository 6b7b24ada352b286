//! A child process that does not outlive its test.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::{
    io::{BufRead, BufReader},
    ops::{Deref, DerefMut},
    process::{ChildStdout, Command},
};

/// A [`std::process::Child`] that is killed and reaped when dropped.
///
/// It dereferences to the child, so its pipes and `wait` are at hand. The subject under test may
/// reap the child itself: dropping then signals nobody, as the number may be another's by now.
///
/// ```
/// let mut child = testkit::Child::spawn(std::process::Command::new("cat").stdin(std::process::Stdio::piped()));
/// assert!(child.try_wait()?.is_none());
/// drop(child.stdin.take());
/// assert!(child.wait()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    name: String,
    lines: Option<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { child, name, lines: None }
    }

    /// Its process id, as the kernel's calls take it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.raw_pid().as_raw_nonzero().get()
    }

    /// Sends it a signal, by its number in signal(7).
    ///
    /// # Panics
    ///
    /// If the kernel refuses: no such signal, or the child was reaped.
    pub fn signal(&self, signal: i32) {
        let named = Signal::from_named_raw(signal)
            .unwrap_or_else(|| panic!("{signal} is no signal of signal(7)"));
        kill_process(self.raw_pid(), named)
            .unwrap_or_else(|error| panic!("kill {} with {signal}: {error}", self.name));
    }

    /// Reads its standard output, which must be piped, up to a line with `needle` in it, and returns
    /// that line without its end. Blocks.
    ///
    /// # Panics
    ///
    /// If the output ends before: what came is in the message.
    pub fn line_with(&mut self, needle: &str) -> String {
        if self.lines.is_none() {
            let stdout = self.child.stdout.take().expect("the child's stdout is piped");
            self.lines = Some(BufReader::new(stdout));
        }
        let lines = self.lines.as_mut().expect("set above");
        let mut seen = String::new();
        loop {
            let start = seen.len();
            let read = lines.read_line(&mut seen);
            match read {
                Ok(0) => {
                    panic!("{} ended without a line with {needle:?}, after:\n{seen}", self.name)
                }
                Ok(_) if seen[start..].contains(needle) => {
                    return seen[start..].trim_end().to_owned();
                }
                Ok(_) => {}
                Err(error) => panic!("reading from {}: {error}", self.name),
            }
        }
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether the process is still a child of this one, running or not. Reaps nothing.
    fn is_ours(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.raw_pid()), look).is_ok()
    }
}

impl Deref for Child {
    type Target = std::process::Child;

    fn deref(&self) -> &Self::Target {
        &self.child
    }
}

impl DerefMut for Child {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.child
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A process that is still our child keeps its number until we reap it.
        if self.is_ours() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Child;
    use rustix::process::{Pid, WaitOptions, waitpid};
    use std::{
        os::unix::process::ExitStatusExt,
        path::PathBuf,
        process::{Command, Stdio},
    };

    fn proc_entry(child: &Child) -> PathBuf {
        PathBuf::from(format!("/proc/{}", child.pid()))
    }

    #[test]
    fn dropping_kills_and_reaps() {
        let child = Child::spawn(Command::new("sleep").arg("600"));
        let entry = proc_entry(&child);
        assert!(entry.exists());
        drop(child);
        assert!(!entry.exists(), "still there, as a process or as a zombie");
    }

    #[test]
    fn dropping_leaves_alone_what_others_reaped() {
        let mut child = Child::spawn(&mut Command::new("true"));
        waitpid(Pid::from_raw(child.pid()), WaitOptions::empty()).unwrap();
        assert!(!child.is_ours());
        assert!(child.try_wait().is_err(), "std knows nothing of it");
        drop(child);
    }

    #[test]
    fn signals_arrive() {
        let mut child = Child::spawn(Command::new("sleep").arg("600"));
        child.signal(15);
        assert_eq!(child.wait().unwrap().signal(), Some(15));
    }

    #[test]
    fn finds_a_line() {
        let mut child = Child::spawn(
            Command::new("printf").arg("one\\nport 80\\nthree\\n").stdout(Stdio::piped()),
        );
        assert_eq!(child.line_with("port"), "port 80");
        assert_eq!(child.line_with("three"), "three");
    }

    #[test]
    #[should_panic(expected = "after:\nhello")]
    fn an_end_without_the_line_tells_what_came() {
        Child::spawn(Command::new("echo").arg("hello").stdout(Stdio::piped())).line_with("port");
    }
}
