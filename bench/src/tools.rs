//! Programs of others that are started here: where they are.
//!
//! `bench/run` installs what no distribution has into the target folder. It is looked for there first, then by
//! `PATH`.

use crate::commit::folder;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What to start for a program of this name.
pub(crate) fn program(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| folder().join("target"), PathBuf::from);
    let kept = target.join("tools/bin").join(name);
    if kept.is_file() { kept } else { name.into() }
}

/// Whether a program can be started here.
pub(crate) fn is_installed(name: &str) -> bool {
    let tried = Command::new(program(name))
        .arg("-v")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok()
}
