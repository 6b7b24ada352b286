//! Which commit is measured.

use std::path::PathBuf;
use std::process::Command;

/// The folder of this workspace.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The commit that is checked out here, or "unknown".
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(folder()).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(mut commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // Results and their tables do not change what was measured.
    let written = [":(exclude)results", ":(exclude)README.md", ":(exclude,top)README.md"];
    let others = [&["status", "--porcelain", "--", ":/"][..], &written].concat();
    if git(&others).is_none_or(|changes| !changes.is_empty()) {
        commit.push('+');
    }
    commit
}
