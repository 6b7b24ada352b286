//! What a run leaves behind: one JSON file for each table.
//!
//! Every figure that is printed anywhere comes from such a file. It names the machine, the commit
//! and the arguments, and no place on the machine's disk.

use crate::Result;
use crate::clock::Cores;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names and values, in the order in which they are shown.
pub(crate) type Parameters = serde_json::Map<String, Value>;

/// What one contender achieved in one kind of work.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Outcome {
    pub(crate) table: String,
    pub(crate) contender: String,
    pub(crate) parameters: Parameters,
    pub(crate) unit: String,
    /// `None` if the contender has no result.
    pub(crate) median: Option<f64>,
    /// The figure of each round, in order: the n-th of all contenders belong together.
    pub(crate) rounds: Vec<f64>,
    /// Median over the rounds.
    pub(crate) cpu_ns_per_unit: Option<f64>,
    /// Units that should have been delivered, over all rounds.
    pub(crate) expected: u64,
    /// Units that were.
    pub(crate) delivered: u64,
    pub(crate) ok: bool,
    /// Why it has no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Outcome {
    /// Of a contender that did not finish one round.
    pub(crate) fn without_result(table: &str, contender: &str, error: Option<String>) -> Self {
        Self {
            table: table.to_owned(),
            contender: contender.to_owned(),
            parameters: Parameters::new(),
            unit: String::new(),
            median: None,
            rounds: Vec::new(),
            cpu_ns_per_unit: None,
            expected: 0,
            delivered: 0,
            ok: false,
            error,
        }
    }
}

/// A file of results.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct File {
    pub(crate) machine: Machine,
    /// The arguments of the run.
    pub(crate) command: String,
    /// The commit that was measured; with a `+` behind it, and changes.
    pub(crate) commit: String,
    pub(crate) results: Vec<Outcome>,
}

/// Where it was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// How the program was built.
    pub(crate) build: String,
}

impl Machine {
    /// This one.
    pub(crate) fn this(cores: &Cores) -> Self {
        let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = about.lines().find_map(|line| line.strip_prefix("model name"));
        let cpu = model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name);
        let kernel = rustix::system::uname();
        let build = if cfg!(debug_assertions) { "debug" } else { "release, thin LTO" };
        Self {
            cpu: cpu.trim().to_owned(),
            cores: cores.count(),
            kernel: kernel.release().to_string_lossy().into_owned(),
            build: build.to_owned(),
        }
    }
}

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
    let others = ["status", "--porcelain", "--", ":/", ":(exclude)results", ":(exclude)README.md"];
    if git(&others).is_none_or(|changes| !changes.is_empty()) {
        commit.push('+');
    }
    commit
}

/// Writes the results of one table.
pub(crate) fn write(out: &Path, table: &str, file: &File) -> Result<()> {
    std::fs::create_dir_all(out)?;
    let mut text = serde_json::to_string_pretty(file)?;
    text.push('\n');
    Ok(std::fs::write(out.join(format!("{table}.json")), text)?)
}

/// Reads the results of one table; `None` if there are none.
pub(crate) fn read(out: &Path, table: &str) -> Result<Option<File>> {
    match std::fs::read_to_string(out.join(format!("{table}.json"))) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
