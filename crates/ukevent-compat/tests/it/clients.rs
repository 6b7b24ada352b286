//! An example as a server, and programs as its clients.
//!
//! A client that is not installed is a test that skips aloud; `.ci/run` names the package of each.

use std::{
    env,
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
};
use testkit::{Child, TempTree};
use ukevent_queue::{BackendKind, Builder};

/// The backends that there are here, one at a time. That one is missing is said aloud.
pub(crate) fn backends() -> impl Iterator<Item = BackendKind> {
    BackendKind::REAL.into_iter().filter(|&kind| match Builder::new().backend(kind).build() {
        Ok(_) => true,
        Err(error) => {
            testkit::skip(error);
            false
        }
    })
}

/// An example at work, and a place for what its clients write.
pub(crate) struct Example {
    _server: Child,
    pub(crate) url: String,
    pub(crate) tree: TempTree,
}

impl Example {
    /// Starts one on a backend; `more` are its arguments after the address.
    pub(crate) fn start(name: &str, backend: BackendKind, more: &[&str]) -> Self {
        let tree = TempTree::new();
        let mut command = example(name);
        command.arg("127.0.0.1:0").args(more).env("UKEVENT_BACKEND", backend.to_string());
        command.current_dir(tree.path()).stdout(Stdio::piped());
        let mut server = Child::spawn(&mut command);
        let url = server.line_with("://");
        Self { _server: server, url, tree }
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}{target}", self.url)
    }

    /// What stands behind the scheme.
    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// Runs a client to its end, which must be good, and returns its standard output.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.tree.path());
        let (is_good, said) = outcome(&mut command, &self.tree);
        assert!(is_good, "{command:?}:\n{said}");
        said
    }

    /// curl, which is silent unless something is wrong.
    pub(crate) fn curl(&self, arguments: &[&str]) -> String {
        self.run("curl", &[&["--silent", "--show-error"], arguments].concat())
    }
}

/// The command that starts an example.
pub(crate) fn example(name: &str) -> Command {
    // The tests lie in a folder beside the examples.
    let tests = env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.is_file(), "no {}: cargo build --examples makes it", program.display());
    Command::new(program)
}

/// Runs a program to its end: whether that was good, and what it said, with its complaints if it was not.
/// One that does not end is killed and fails the test.
pub(crate) fn outcome(command: &mut Command, tree: &TempTree) -> (bool, String) {
    let (stdout, stderr) = (tree.path().join("stdout"), tree.path().join("stderr"));
    command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
    let mut client = Child::spawn(command);
    drop(client.stdin.take());
    let mut status = None;
    testkit::wait_until("the client has ended", || {
        status = client.try_wait().unwrap();
        status.is_some()
    });
    let read = |it: PathBuf| String::from_utf8_lossy(&std::fs::read(it).unwrap()).into_owned();
    let is_good = status.unwrap().success();
    (is_good, if is_good { read(stdout) } else { read(stdout) + &read(stderr) })
}

/// Whether there is such a program. That there is not is said aloud.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        testkit::skip(format_args!("{program} is not installed"));
    }
    found
}

/// Bytes that repeat late, so that a piece that is lost, doubled or moved shows.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8 ^ (at >> 12) as u8).collect()
}
