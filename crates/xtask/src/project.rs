//! The project on disk, as cargo sees it, and the running of commands in it.

use crate::Mode;
use serde_json::Value;
use std::{
    env,
    ffi::OsStr,
    io::{self, Read, Write},
    iter,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where the project is and how its steps are to run.
pub(crate) struct Project {
    /// The folder of the workspace.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Whether this is CI, where nothing that tests is skipped: the variable `CI` is `true`.
    pub(crate) is_ci: bool,
    pub(crate) mode: Mode,
    /// Whether the output of commands is passed on as it comes.
    pub(crate) live: bool,
}

impl Project {
    /// Finds it by where this crate lies.
    pub(crate) fn find(mode: Mode, live: bool) -> Result<Self, String> {
        let root = root();
        let metadata = metadata(&root, &["--no-deps"])?;
        let target = metadata["target_directory"].as_str().ok_or("cargo metadata: no target")?;
        let is_ci = env::var("CI").is_ok_and(|ci| ci == "true");
        Ok(Self { target: target.into(), root, is_ci, mode, live })
    }

    /// Cargo with these arguments, to be run at the root.
    pub(crate) fn cargo(&self, arguments: &str) -> Command {
        let mut command = cargo(&self.root);
        command.args(arguments.split_whitespace());
        command
    }

    /// Runs a command to its end and returns its output, both streams in the order they were written.
    /// If it failed the error names it, after its output unless that was passed on already.
    pub(crate) fn run(&self, command: Command) -> Result<String, String> {
        let text = shown(&command);
        let (ended_well, output) = self.run_for_output(command)?;
        match (ended_well, self.live) {
            (true, _) => Ok(output),
            (false, true) => Err(format!("failed: {text}")),
            (false, false) => Err(format!("{output}\nfailed: {text}")),
        }
    }

    /// Runs a command to its end and returns whether it ended well, and its output in either case.
    /// The error is that it could not be run.
    pub(crate) fn run_for_output(&self, mut command: Command) -> Result<(bool, String), String> {
        let text = shown(&command);
        if !self.live {
            // Of what a step printed only its failure is read.
            command.env("CARGO_TERM_QUIET", "true");
        }
        run(command, self.live).map_err(|error| format!("{text}: {error}"))
    }

    /// Whether a program runs here at all.
    pub(crate) fn has(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.current_dir(&self.root).args(arguments);
        run(command, false).is_ok_and(|(ended_well, _)| ended_well)
    }
}

/// The folder of the workspace: two above this crate's.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies in crates/xtask").to_owned()
}

/// What `cargo metadata` says of the workspace at `root`.
pub(crate) fn metadata(root: &Path, arguments: &[&str]) -> Result<Value, String> {
    let mut command = cargo(root);
    command.args(["metadata", "--format-version=1"]).args(arguments);
    let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The cargo that runs this program.
fn cargo(folder: &Path) -> Command {
    let program = env::var_os("CARGO");
    let mut command = Command::new(program.as_deref().unwrap_or(OsStr::new("cargo")));
    command.current_dir(folder);
    command
}

fn run(mut command: Command, live: bool) -> io::Result<(bool, String)> {
    let (mut reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // It holds the writing ends, and the output has no end while anybody does.
    drop(command);
    let mut output = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        output.extend_from_slice(&chunk[..read]);
        if live {
            // Whoever reads along may stop; the command runs on.
            let _ = io::stdout().write_all(&chunk[..read]).and_then(|()| io::stdout().flush());
        }
    }
    Ok((child.wait()?.success(), String::from_utf8_lossy(&output).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::{metadata, root, run};
    use std::process::Command;

    fn shell(script: &str) -> (bool, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, false).unwrap()
    }

    #[test]
    fn keeps_both_streams_in_order() {
        let (ended_well, output) = shell("echo one; echo two >&2; echo three");
        assert!(ended_well);
        assert_eq!(output, "one\ntwo\nthree\n");
    }

    #[test]
    fn tells_failure() {
        assert_eq!(shell("echo why; exit 3"), (false, "why\n".to_owned()));
        assert!(run(Command::new("/nonexistent"), false).is_err());
    }

    #[test]
    fn finds_the_workspace() {
        let metadata = metadata(&root(), &["--no-deps"]).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        assert!(packages.iter().any(|package| package["name"] == "xtask"));
    }
}
