//! Processes that this one starts.
//!
//! A child lives as long as its [`Process`] does, like everything here: dropping that kills it. No child is
//! left as a zombie: whoever is dropped before the end was seen has it collected by a thread, and who is
//! let go ([`Process::detach`]) is collected by the queue.

use crate::blocking::blocking;
use crate::events::Events;
use crate::pipe::{PipeReader, PipeWriter};
use crate::registered::NOWHERE;
use crate::runtime::current;
use rustix::process::{Pid, kill_process};
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::task::{Context, Poll};
use std::thread;
use ukevent_queue::{Kind, Mode, Signal};
use ukevent_sys::signal::{SignalSet, blocked, set_blocked};

/// A child process, and this side's ends of its standard streams, as far as they are pipes.
///
/// Dropping it kills the child (`SIGKILL`; what that had started lives on) and does not wait for it.
///
/// ```
/// use std::process::{Command, Stdio};
/// use ukevent_task::{block_on, process::Process};
///
/// block_on(async {
///     let mut command = Command::new("cat");
///     let mut cat = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
///     let mut stdin = cat.stdin.take().expect("it is a pipe");
///     stdin.write(b"meow".to_vec()).await?;
///     drop(stdin);
///     let output = cat.output().await?;
///     assert!(output.status.success());
///     assert_eq!(output.stdout, b"meow");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Process {
    /// What the child reads, if that is a pipe.
    pub stdin: Option<PipeWriter>,
    /// What the child writes, if that is a pipe.
    pub stdout: Option<PipeReader>,
    /// What the child complains of, if that is a pipe.
    pub stderr: Option<PipeReader>,
    /// `None` when it was collected, or is to be by somebody else.
    child: Option<Child>,
    id: u32,
    status: Option<ExitStatus>,
    events: Events,
}

impl Process {
    /// Starts a program. Standard streams that the command makes pipes (`Stdio::piped()`) are this side's to
    /// read and write. It starts with no signal blocked, whatever is awaited here. Blocks until it was
    /// executed (posix_spawn(3)), as `Command::spawn` does.
    ///
    /// # Errors
    /// As execve(2): `ENOENT`; and [`RegisterError`](ukevent_queue::RegisterError), as an error of the
    /// system, if it cannot be watched: then it was killed.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let core = current::expect("Process::spawn");
        let child = Doomed(Some(born(command)?));
        let Doomed(Some(it)) = &child else { return Err(io::ErrorKind::NotFound.into()) };
        let events = Events::on(core, ukevent_queue::Process::child(it), "the end of a child")?;
        Self::of(child, events)
    }

    fn of(mut doomed: Doomed, events: Events) -> io::Result<Self> {
        let Some(child) = &mut doomed.0 else { return Err(io::ErrorKind::NotFound.into()) };
        let stdin = child.stdin.take().map(|it| PipeWriter::from_fd(OwnedFd::from(it)));
        let stdout = child.stdout.take().map(|it| PipeReader::from_fd(OwnedFd::from(it)));
        let stderr = child.stderr.take().map(|it| PipeReader::from_fd(OwnedFd::from(it)));
        let (stdin, stdout, stderr) =
            (stdin.transpose()?, stdout.transpose()?, stderr.transpose()?);
        let id = child.id();
        Ok(Self { stdin, stdout, stderr, child: doomed.0.take(), id, status: None, events })
    }

    /// Its process id. After the end was seen it may be another's.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Waits for its end, and collects it. Closes [`Process::stdin`] first, for which it might wait. Nothing is
    /// lost if it is dropped; after the end it says the same again.
    ///
    /// # Errors
    /// `ECHILD`, if somebody else collected it.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        loop {
            if let Some(status) = self.collect()? {
                return Ok(status);
            }
            if let Kind::Failed(errno) = self.events.next().await {
                return Err(errno.into());
            }
        }
    }

    /// Reads all that it writes, and waits for its end.
    ///
    /// # Errors
    /// As [`Process::wait`] and [`PipeReader::read`]. Then it is killed, and when this is dropped.
    pub async fn output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let mut stdout = Drain::of(self.stdout.take());
        let mut stderr = Drain::of(self.stderr.take());
        poll_fn(|cx: &mut Context<'_>| -> Poll<io::Result<()>> {
            let one = stdout.poll(cx)?;
            let other = stderr.poll(cx)?;
            if one.is_ready() { other.map(Ok) } else { Poll::Pending }
        })
        .await?;
        let status = self.wait().await?;
        Ok(Output { status, stdout: stdout.bytes, stderr: stderr.bytes })
    }

    /// Kills it: `SIGKILL`. Nothing happens if it has ended. Its end is to be waited for all the same.
    ///
    /// # Errors
    /// As kill(2).
    pub fn kill(&mut self) -> io::Result<()> {
        self.send(rustix::process::Signal::KILL)
    }

    /// Sends it a signal. Nothing happens if it has ended.
    ///
    /// # Errors
    /// As kill(2).
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        let named = rustix::process::Signal::from_named_raw(signal.number());
        self.send(named.ok_or(rustix::io::Errno::INVAL)?)
    }

    fn send(&mut self, signal: rustix::process::Signal) -> io::Result<()> {
        // While it was not collected its number is nobody else's.
        if self.collect()?.is_none()
            && let Some(pid) = Pid::from_raw(self.id.cast_signed())
        {
            kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Lets it live on by itself. The queue collects it when it ends, while the runtime lives; later it stays
    /// a zombie until this program ends. Returns its process id.
    ///
    /// # Errors
    /// [`RegisterError`](ukevent_queue::RegisterError), as an error of the system: it lives on, and nobody
    /// collects it.
    pub fn detach(mut self) -> io::Result<u32> {
        if self.collect()?.is_none()
            && let Some(child) = self.child.take()
        {
            let end = ukevent_queue::Process::child(&child).reaping();
            self.events.core().queue(|queue| queue.register(end, NOWHERE, Mode::OneShot))?;
        }
        Ok(self.id)
    }

    /// How it ended, if it has.
    fn collect(&mut self) -> io::Result<Option<ExitStatus>> {
        if let (None, Some(child)) = (self.status, &mut self.child) {
            self.status = child.try_wait()?;
            if self.status.is_some() {
                self.child = None;
            }
        }
        Ok(self.status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(Doomed(self.child.take()));
    }
}

/// Starts a program with no signal blocked. A child inherits the mask, and the signals that are awaited here
/// are blocked in this thread: it would not hear them. They cannot be let in here for as long as that takes,
/// because then they would not be read; another thread can.
fn born(command: &mut Command) -> io::Result<Child> {
    if blocked()? == SignalSet::empty() {
        return command.spawn();
    }
    thread::scope(|scope| {
        let born = || {
            set_blocked(&SignalSet::empty())?;
            command.spawn()
        };
        let thread = thread::Builder::new().spawn_scoped(scope, born)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A child that is killed and collected when this is dropped.
struct Doomed(Option<Child>);

impl Drop for Doomed {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        // It fails if there is no such child any more, and then there is nothing to be done.
        let killed = child.kill().and_then(|()| child.try_wait());
        if let Ok(None) = killed {
            // It is dying, which may take the kernel a while.
            drop(blocking(move || child.wait()));
        }
    }
}

/// Reads a pipe to its end, if there is one.
struct Drain {
    pipe: Option<PipeReader>,
    bytes: Vec<u8>,
}

impl Drain {
    const fn of(pipe: Option<PipeReader>) -> Self {
        Self { pipe, bytes: Vec::new() }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while let Some(pipe) = &mut self.pipe {
            let Poll::Ready(read) = pipe.poll_read(cx) else { return Ok(Poll::Pending) };
            let bytes = read?;
            if bytes.is_empty() {
                self.pipe = None;
            }
            self.bytes.extend_from_slice(&bytes);
        }
        Ok(Poll::Ready(()))
    }
}

/// Starts a program, reads all that it writes, and waits for its end. Its input is empty.
///
/// ```
/// use std::process::Command;
/// use ukevent_task::{block_on, process};
///
/// let output = block_on(process::output(Command::new("echo").arg("hello")))??;
/// assert_eq!(output.stdout, b"hello\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Process::spawn`] and [`Process::output`].
///
/// # Panics
/// Outside of a runtime.
pub async fn output(command: &mut Command) -> io::Result<Output> {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Process::spawn(piped)?.output().await
}
