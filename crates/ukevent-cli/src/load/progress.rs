//! The line that shows how a load goes on, where a terminal can show it.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;
use ukevent_load::Progress;

/// A line that is written anew each second, and is gone at the end.
pub(super) struct Line {
    is_shown: bool,
    is_there: Cell<bool>,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { is_shown: stderr().is_terminal(), is_there: Cell::new(false) }
    }

    /// Shows this in its place.
    pub(super) fn show(&self, progress: &Progress) {
        if self.is_shown {
            self.is_there.set(true);
            // Nobody need see it.
            let _ = write!(stderr(), "\r\x1b[K{}", text(progress));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.is_there.get() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn text(progress: &Progress) -> String {
    let Progress { at, replies_per_s, p99_ns, errors, .. } = progress;
    let p99_ms = Duration::from_nanos(*p99_ns).as_secs_f64() * 1000.0;
    let failed = if *errors == 0 { String::new() } else { format!(", {errors} failed") };
    format!("{} s: {replies_per_s} replies/s, p99 {p99_ms:.2} ms{failed}", at.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_looks() {
        let progress = Progress {
            at: Duration::from_millis(3004),
            replies: 5000,
            errors: 0,
            replies_per_s: 1700,
            p99_ns: 1_234_000,
        };
        assert_eq!(text(&progress), "3 s: 1700 replies/s, p99 1.23 ms");
        let failing = Progress { errors: 7, ..progress };
        assert_eq!(text(&failing), "3 s: 1700 replies/s, p99 1.23 ms, 7 failed");
    }
}
