//! How the command fails: two ways, two exit codes.

use std::fmt;
use std::process::ExitCode;

/// Why the command ends without having done what it was asked, in words that say what to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was called wrongly: exit code 2, as clap has it too.
    Usage(String),
    /// It was called rightly and could not: exit code 1.
    Failed(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Failed(what) => f.write_str(what),
        }
    }
}
