//! A line for people on standard error, where nobody asked for another place.

use std::fmt;
use std::io::{Write, stderr};

/// Says this. When nobody can hear it, it is not said: that is no reason to end.
pub(crate) fn tell(line: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "ukevent: {line}");
}
