//! What is said at the end.

use crate::watch::exec::Tally;
use crate::watch::text::escaped;
use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As many events as were asked for.
    Count,
    /// The time that was given is over.
    Time,
    /// Nothing is left that could happen.
    NothingLeft,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// Nobody reads the output any more.
    Unread,
    /// Something failed, which is told apart from this.
    Failed,
}

/// The sum of a run. Prints as a few lines without a last line's end.
pub(crate) struct Summary<'a> {
    pub(crate) end: End,
    pub(crate) duration: Duration,
    /// The specs, and how many events each had.
    pub(crate) sources: Vec<(&'a OsStr, u64)>,
    pub(crate) rescans: u64,
    pub(crate) commands: Option<Tally>,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.sources.iter().map(|(_, events)| events).sum();
        let why = match self.end {
            End::Count => "as many as were asked for",
            End::Time => "the time is over",
            End::NothingLeft => "nothing is left to watch",
            End::Interrupted => "interrupted",
            End::Terminated => "terminated",
            End::Unread => "nobody reads them",
            End::Failed => "failed",
        };
        write!(f, "{} in {:.1?}: {why}", counted(total, "event"), self.duration)?;
        let digits = self.sources.iter().map(|(_, events)| events.to_string().len()).max();
        for (spec, events) in &self.sources {
            write!(f, "\n  {events:>0$}  {1}", digits.unwrap_or(0), escaped(spec))?;
        }
        if self.rescans > 0 {
            write!(
                f,
                "\n  {}: events were lost there, look again",
                counted(self.rescans, "rescan")
            )?;
        }
        if let Some(Tally { run, failed, skipped }) = self.commands {
            write!(f, "\n  {}, {failed} failed", counted(run, "command"))?;
            write!(f, ", {} skipped", counted(skipped, "event"))?;
        }
        Ok(())
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
