//! Signals.
//!
//! A signal that is awaited somewhere does not end the program any more; when the last that awaits it is
//! dropped, all is as before. They come through the queue like all else: no code runs in a signal handler.

use crate::events::Events;
use crate::runtime::current;
use std::io;
use ukevent_queue::{Kind, RegisterError, SignalReceived};

/// A signal to this process, as often as it comes. Dropping it ends the watch.
///
/// ```
/// use ukevent_task::{block_on, signal::Signal};
///
/// block_on(async {
///     let mut hangup = Signal::of(ukevent_queue::Signal::HUP)?;
///     # let own = rustix::process::getpid();
///     # rustix::process::kill_process(own, rustix::process::Signal::HUP).unwrap();
///     let received = hangup.next().await?;
///     println!("process {} wants the configuration to be read again", received.pid);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Signal {
    events: Events,
}

impl Signal {
    /// Awaits this one, from now on. Others who await it are told too.
    ///
    /// # Errors
    /// [`RegisterError`]: `SIGKILL` and `SIGSTOP` cannot be watched.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn of(signal: ukevent_queue::Signal) -> Result<Self, RegisterError> {
        let events = Events::on(current::expect("Signal::of"), signal, "a signal")?;
        Ok(Self { events })
    }

    /// Waits for the next. Those that came while nobody asked are one, with their count. Nothing is lost if it
    /// is dropped.
    ///
    /// # Errors
    /// What the kernel has against reading signals.
    pub async fn next(&mut self) -> io::Result<SignalReceived> {
        loop {
            match self.events.next().await {
                Kind::Signal(received) => return Ok(received),
                Kind::Failed(errno) => return Err(errno.into()),
                _ => {}
            }
        }
    }
}

/// Waits for one `SIGINT`, which a terminal sends at Ctrl-C. It is watched from the first poll until this is
/// ready or dropped: to be told of every one, keep a [`Signal`].
///
/// ```no_run
/// use ukevent_task::{block_on, signal::ctrl_c};
///
/// block_on(async {
///     println!("Ctrl-C ends it");
///     ctrl_c().await
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Signal::of`] and [`Signal::next`].
///
/// # Panics
/// Outside of a runtime.
pub async fn ctrl_c() -> io::Result<()> {
    Signal::of(ukevent_queue::Signal::INT)?.next().await.map(drop)
}
