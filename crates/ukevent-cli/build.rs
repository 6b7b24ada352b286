//! Tells the program which commit it was built from: what it measures names it.

use std::process::Command;

fn main() {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Sources may lie unpacked in somebody else's repository, which does not know this file.
    let is_ours = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| is_ours);
    println!("cargo::rustc-env=UKEVENT_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    // Where it stands, and what that is; packed, the second is not there.
    if let Some(folder) = git(&["rev-parse", "--git-dir"]) {
        println!("cargo::rerun-if-changed={folder}/HEAD");
        println!("cargo::rerun-if-changed={folder}/logs/HEAD");
    } else {
        println!("cargo::rerun-if-changed=build.rs");
    }
}
