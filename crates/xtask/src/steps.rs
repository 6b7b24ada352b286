//! The steps of CI, cheapest first.

use crate::{
    Mode, asan_step, house, licences,
    project::{self, Project},
    tests_step, tsan_step,
};
use std::{fs, process::Command};

/// One check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// What it checks, for the help.
    pub(crate) what: &'static str,
    /// Whether `--quick` has it too.
    pub(crate) quick: bool,
    /// The error is all there is to read about the failure.
    pub(crate) run: fn(&Project) -> Result<Outcome, String>,
}

/// How a step ended that did not fail.
pub(crate) enum Outcome {
    /// With what there is to say about it, if anything.
    Passed(String),
    /// It cannot be done here, and why.
    Skipped(String),
}

impl Step {
    pub(crate) fn belongs_to(&self, mode: Mode) -> bool {
        match mode {
            Mode::Full => true,
            Mode::Quick => self.quick,
            Mode::WithoutTests => self.name != "test",
        }
    }
}

/// All of them, in the order in which they run.
#[rustfmt::skip]
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", quick: true, run: fmt, what: "every file is as rustfmt writes it" },
    Step { name: "house", quick: true, run: house, what: "floors, unsafe, sizes of files, paths: the rules of CONTRIBUTING.md" },
    Step { name: "licences", quick: false, run: licences, what: "the licences of all dependencies are among those of deny.toml" },
    Step { name: "clippy", quick: true, run: clippy, what: "no warning anywhere" },
    Step { name: "test", quick: true, run: tests_step::run, what: "all tests, with nextest where it is installed (quick: not the command's)" },
    Step { name: "doc", quick: false, run: doc, what: "the documentation builds without warnings" },
    Step { name: "loom", quick: false, run: loom, what: "hand-off and wake-ups under every interleaving" },
    Step { name: "asan", quick: false, run: asan_step::run, what: "all tests under AddressSanitizer, where a nightly and nextest are installed" },
    Step { name: "tsan", quick: false, run: tsan_step::run, what: "what threads do to one queue under ThreadSanitizer, where a nightly and its source are installed" },
    Step { name: "fuzz", quick: false, run: fuzz, what: "a bounded run of each fuzz target" },
    Step { name: "bench", quick: false, run: bench, what: "each benchmark runs and delivers; nothing is measured" },
    Step { name: "msrv", quick: false, run: msrv, what: "the oldest supported Rust compiles it" },
];

/// The workspaces beside the main one, with lock files of their own.
const SIDE_WORKSPACES: [&str; 2] = ["fuzz", "bench"];

/// Loom runs the tests called `loom_…` of the queue, its memory and its tasks, built with its own atomics.
const LOOM: &str = "test --package ukevent-queue --package ukevent-buf --package ukevent-task --lib --release -- loom";

fn ok() -> Outcome {
    Outcome::Passed(String::new())
}

fn fmt(project: &Project) -> Result<Outcome, String> {
    project.run(project.cargo("fmt --all --check"))?;
    for side in present(project) {
        let manifest = format!("--manifest-path {side}/Cargo.toml");
        project.run(project.cargo(&format!("fmt {manifest} --check")))?;
    }
    Ok(ok())
}

fn house(project: &Project) -> Result<Outcome, String> {
    match house::problems(&project.root)? {
        problems if problems.is_empty() => Ok(ok()),
        problems => Err(problems.join("\n")),
    }
}

fn licences(project: &Project) -> Result<Outcome, String> {
    let counted = licences::check(&project.root)?;
    if !project.has("cargo", &["deny", "--version"]) {
        return Ok(Outcome::Passed(format!("{counted} crates; cargo-deny is not installed")));
    }
    // Not the advisories: their list comes from the network.
    project.run(project.cargo("deny check licenses bans sources"))?;
    Ok(Outcome::Passed(format!("{counted} crates, and cargo-deny agrees")))
}

fn clippy(project: &Project) -> Result<Outcome, String> {
    project.run(project.cargo("clippy --workspace --all-targets -- -D warnings"))?;
    if project.mode != Mode::Quick {
        for side in present(project) {
            let manifest = format!("--manifest-path {side}/Cargo.toml");
            project
                .run(project.cargo(&format!("clippy {manifest} --all-targets -- -D warnings")))?;
        }
    }
    Ok(ok())
}

fn doc(project: &Project) -> Result<Outcome, String> {
    let mut command = project.cargo("doc --workspace --all-features --no-deps");
    command.env("RUSTDOCFLAGS", "-D warnings");
    project.run(command)?;
    Ok(ok())
}

fn loom(project: &Project) -> Result<Outcome, String> {
    let mut command = project.cargo(LOOM);
    // A target folder of its own: the flag changes every crate. Models run long enough to be worth a
    // release build, not one across crates.
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", project.target.join("loom"));
    command
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    let output = project.run(command)?;
    match tests_step::Count::read(&output).passed {
        0 => Err(format!("no model ran: cargo {LOOM}")),
        passed => Ok(Outcome::Passed(format!("{passed} models"))),
    }
}

fn fuzz(project: &Project) -> Result<Outcome, String> {
    let manifest = "--manifest-path fuzz/Cargo.toml";
    project.run(project.cargo(&format!("test --release {manifest}")))?;
    let output = project.run(project.cargo(&format!("run --release {manifest}")))?;
    Ok(Outcome::Passed(output.lines().last().unwrap_or_default().to_owned()))
}

fn bench(project: &Project) -> Result<Outcome, String> {
    if !present(project).any(|side| side == "bench") {
        return Ok(Outcome::Skipped("there is no bench/ here".to_owned()));
    }
    // Not a release build: nothing is measured, and it takes minutes to make one.
    let manifest = "--manifest-path bench/Cargo.toml";
    project.run(project.cargo(&format!("test {manifest}")))?;
    let output = project.run(project.cargo(&format!("run {manifest} -- --smoke")))?;
    let skipped: Vec<&str> = output.lines().filter(|line| line.starts_with("SKIPPED:")).collect();
    match (skipped.is_empty(), project.is_ci) {
        (true, _) => Ok(ok()),
        (false, false) => Ok(Outcome::Passed(skipped.join("\n"))),
        (false, true) => Err(format!("{}\nunder CI nothing may be skipped", skipped.join("\n"))),
    }
}

fn msrv(project: &Project) -> Result<Outcome, String> {
    let metadata = project::metadata(&project.root, &["--no-deps"])?;
    let version = metadata["packages"][0]["rust_version"].as_str().ok_or("no rust-version")?;
    // rustup knows a toolchain by the name under which it was installed.
    let names = [version.to_owned(), format!("{version}.0")];
    let is_installed = |name: &&String| project.has("rustup", &["run", name, "rustc", "--version"]);
    let Some(toolchain) = names.iter().find(is_installed) else {
        let manifest = fs::read_to_string(project.root.join("Cargo.toml"))
            .map_err(|error| format!("Cargo.toml: {error}"))?;
        if !manifest.lines().any(|line| line == "incompatible_msrv = \"deny\"") {
            return Err("Cargo.toml: the lint incompatible_msrv must be denied".to_owned());
        }
        return Ok(Outcome::Skipped(format!(
            "Rust {version} is not installed; clippy's incompatible_msrv stands in for it"
        )));
    };
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo", "check", "--workspace", "--all-targets"]);
    command.current_dir(&project.root).env("CARGO_TARGET_DIR", project.target.join("msrv"));
    project.run(command)?;
    Ok(Outcome::Passed(format!("Rust {toolchain}")))
}

fn present(project: &Project) -> impl Iterator<Item = &'static str> {
    let root = project.root.clone();
    SIDE_WORKSPACES.into_iter().filter(move |side| root.join(side).join("Cargo.toml").exists())
}
