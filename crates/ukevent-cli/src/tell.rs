//! What is said to people, on standard error.

use std::fmt;
use std::io::{Write, stderr};

/// Says a line. When nobody can hear it, that is no failure of the command.
pub(crate) fn tell(line: impl fmt::Display) {
    let _ = writeln!(stderr(), "ukevent: {line}");
}

/// Ends a line that somebody else began.
pub(crate) fn tell_blank() {
    let _ = writeln!(stderr());
}
