//! The step `asan`: the tests once more, under AddressSanitizer, which ends a test that touches memory
//! it has freed or never had, and under LeakSanitizer, which fails one that at its end has lost some.
//!
//! Both see what instructions of the program do, and the standard library's allocations, though that
//! is not instrumented itself. Neither sees what the kernel writes: tests that want to know look at
//! the memory. The compiler's flag is unstable, so it takes a nightly. The tests that cannot pass, or
//! not with a look for leaks, are named in `.config/nextest.toml`, with reasons. Source:
//! <https://doc.rust-lang.org/beta/unstable-book/compiler-flags/sanitizer.html>.

use crate::{
    project::Project,
    steps::Outcome,
    tests_step::{self, Count},
};
use std::{fs, path::Path, process::Command};

const FLAGS: &str = "-Zsanitizer=address";

/// The runs: by which profile of nextest, with which options of the sanitizers.
const RUNS: [(&str, &str); 2] =
    [("asan", "detect_leaks=1"), ("asan-leaks-on-purpose", "detect_leaks=0")];

/// Runs the tests, in the order of [`RUNS`]. The documentation's examples are not among them.
pub(crate) fn run(project: &Project) -> Result<Outcome, String> {
    let Some(host) = nightly_host(&project.root) else {
        return Ok(Outcome::Skipped("no nightly compiler is installed".to_owned()));
    };
    if !project.has("rustup", &["run", "nightly", "cargo", "nextest", "--version"]) {
        // What cannot pass is named in its configuration.
        return Ok(Outcome::Skipped("cargo-nextest is not installed".to_owned()));
    }
    let skip_log = project.target.join("skipped-tests-asan");
    tests_step::clear(&skip_log)?;
    let mut count = Count::default();
    for (profile, options) in RUNS {
        let mut command = nightly(&project.root);
        command.args(["cargo", "nextest", "run", "--workspace", "--no-fail-fast"]);
        // With the host named, what runs at compile time is built without the flags.
        command.args(["--profile", profile, "--target", &host]);
        command.env("RUSTFLAGS", FLAGS).env("ASAN_OPTIONS", options);
        command.env("CARGO_TARGET_DIR", project.target.join("asan"));
        // Enough to name the line of an error.
        command.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        command.env("UKEVENT_SKIP_LOG", &skip_log);
        let (ended_well, output) = project.run_for_output(command)?;
        let ran = Count::read(&output);
        count = count + ran;
        if !ended_well || ran.passed == 0 {
            let unseen = if project.live { String::new() } else { output };
            return Err(format!("{unseen}\nfailed: nextest's profile {profile}\n{count}"));
        }
    }
    let skipped = fs::read_to_string(&skip_log).unwrap_or_default();
    tests_step::verdict(count, &skipped, project.is_ci)
}

pub(crate) fn nightly(root: &Path) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).current_dir(root);
    command
}

/// The platform of the nightly compiler, if there is one.
pub(crate) fn nightly_host(root: &Path) -> Option<String> {
    let output = nightly(root).args(["rustc", "-vV"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}
