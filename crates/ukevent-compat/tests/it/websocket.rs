//! WebSockets, before the conformance client of the Autobahn project.
//!
//! It is a program for Python 2.7, whose packages `.ci/run` puts into `target/autobahn`; `UKEVENT_AUTOBAHN`
//! names another place. Without it these tests skip aloud.

use crate::clients::{Example, backends, outcome};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};
use testkit::TempTree;
use ukevent_queue::BackendKind;

/// The folder with its packages, if it is there.
fn autobahn() -> Option<PathBuf> {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/autobahn");
    let folder = env::var_os("UKEVENT_AUTOBAHN").map_or_else(|| usual.into(), PathBuf::from);
    if !folder.join("bin/wstest").is_file() {
        testkit::skip(format_args!("no Autobahn in {}; .ci/run installs it", folder.display()));
        return None;
    }
    Some(folder)
}

/// Runs cases against the example on a backend, and returns the report: for each case the verdicts on what
/// it did and on how it closed.
fn verdicts(autobahn: &Path, kind: BackendKind, cases: &str, but: &str) -> Vec<(String, String)> {
    let server = Example::start("websocket", kind, &[]);
    let tree = TempTree::new();
    let specification = format!(
        r#"{{"outdir": "reports", "servers": [{{"agent": "{kind}", "url": "{}"}}], "cases": [{cases}],
            "exclude-cases": [{but}], "exclude-agent-cases": {{}}}}"#,
        server.url
    );
    let file = tree.file("specification.json", specification);
    let mut client = Command::new(autobahn.join("bin/wstest"));
    client.args(["--mode", "fuzzingclient", "--spec", file.to_str().unwrap()]);
    client.env("PYTHONPATH", autobahn).current_dir(tree.path());
    let (is_good, said) = outcome(&mut client, &tree);
    assert!(is_good, "{said}");
    let report = fs::read_to_string(tree.path().join("reports/index.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let mut verdicts = Vec::new();
    for (case, result) in report[kind.to_string()].as_object().unwrap() {
        for what in ["behavior", "behaviorClose"] {
            let verdict = result[what].as_str().unwrap().to_owned();
            verdicts.push((format!("{kind} {case} {what}"), verdict));
        }
    }
    verdicts
}

fn assert_good(verdicts: &[(String, String)]) {
    // "Informational" asks for nothing; "non-strict" is text that is refused at the end of its frame and not
    // amid it, which the specification allows, and which is the library's.
    let is_bad = |verdict: &str| !["OK", "INFORMATIONAL", "NON-STRICT"].contains(&verdict);
    let bad: Vec<_> = verdicts.iter().filter(|(_, verdict)| is_bad(verdict)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let good = verdicts.iter().filter(|(_, verdict)| verdict == "OK").count();
    assert!(good * 10 > verdicts.len() * 9, "only {good} of {}", verdicts.len());
}

/// Framing, pings, fragments, UTF-8, closing. Cases 12 and 13 are of compression, which the library has not.
#[test]
fn autobahn_finds_no_fault() {
    let Some(autobahn) = autobahn() else { return };
    for backend in backends() {
        let verdicts = verdicts(&autobahn, backend, r#""*""#, r#""9.*", "12.*", "13.*""#);
        assert!(verdicts.len() >= 2 * 240, "only {}", verdicts.len());
        assert_good(&verdicts);
    }
}

/// Messages of up to 16 MiB, whole, in fragments and in small writes.
#[test]
fn autobahn_sends_much() {
    let Some(autobahn) = autobahn() else { return };
    for backend in backends() {
        let verdicts = verdicts(&autobahn, backend, r#""9.*""#, "");
        assert!(verdicts.len() >= 2 * 50, "only {}", verdicts.len());
        assert_good(&verdicts);
    }
}
