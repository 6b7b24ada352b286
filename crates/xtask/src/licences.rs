//! The licences of all that is built in: each must be in the list of `deny.toml`.
//!
//! `cargo deny` checks the same with more care; this check needs nothing installed. Expressions are
//! those of the SPDX specification, annex D, without its exotic parts.

use crate::project;
use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// Checks every dependency on this platform and returns how many there are.
pub(crate) fn check(root: &Path) -> Result<usize, String> {
    let rules = fs::read_to_string(root.join("deny.toml"))
        .map_err(|error| format!("deny.toml: {error}"))?;
    let allowed = allowed(&rules).ok_or("deny.toml: no `allow = [` with licences")?;
    let metadata = project::metadata(root, &["--filter-platform", &platform()?])?;
    // The packages are all of the lock file; those of this platform are the nodes of the graph.
    let nodes = metadata["resolve"]["nodes"].as_array().ok_or("cargo metadata: no graph")?;
    let is_used = |package: &&Value| nodes.iter().any(|node| node["id"] == package["id"]);
    let packages = metadata["packages"].as_array().ok_or("cargo metadata: no packages")?;
    let used: Vec<&Value> = packages.iter().filter(is_used).collect();
    let refused: Vec<String> = used.iter().filter_map(|it| refusal(it, &allowed)).collect();
    if refused.is_empty() { Ok(used.len()) } else { Err(refused.join("\n")) }
}

fn refusal(package: &Value, allowed: &[&str]) -> Option<String> {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let licence = text("license");
    if !licence.is_empty() && is_allowed(licence, allowed) {
        return None;
    }
    let name = format!("{} {}", text("name"), text("version"));
    Some(if licence.is_empty() {
        format!("{name}: its manifest names no licence")
    } else {
        format!("{name}: {licence:?} is not among the licences of deny.toml")
    })
}

/// The platform that this toolchain compiles for, such as `x86_64-unknown-linux-gnu`.
fn platform() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|error| format!("rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// The strings of the list `allow = […]`.
fn allowed(rules: &str) -> Option<Vec<&str>> {
    let list = rules.split_once("\nallow = [")?.1.split_once(']')?.0;
    Some(list.split('"').skip(1).step_by(2).collect())
}

/// Whether the expression can be met with the allowed licences alone: one side of an `OR`, both of an
/// `AND`. A `/` is the `OR` of old manifests.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, allowed) == Some(true) && rest.is_empty()
}

/// `a OR b`, which binds weakest. `None` is an expression that cannot be read.
fn either(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = both(rest, allowed)?;
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        met |= both(rest, allowed)?;
    }
    Some(met)
}

fn both(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut met = single(rest, allowed)?;
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        met &= single(rest, allowed)?;
    }
    Some(met)
}

fn single(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let met = either(rest, allowed)?;
            let [")", tail @ ..] = *rest else { return None };
            *rest = tail;
            Some(met)
        }
        // An exception only adds permissions.
        [name, "WITH", _, tail @ ..] | [name, tail @ ..] => {
            *rest = tail;
            Some(allowed.contains(name))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{allowed, check, is_allowed};
    use crate::project;

    #[test]
    fn expressions_are_met_or_not() {
        let met = |expression| is_allowed(expression, &["MIT", "Apache-2.0", "Unicode-3.0"]);
        for expression in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "Unlicense/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(met(expression), "{expression}");
        }
        for expression in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT AND (GPL-2.0 OR GPL-3.0)",
            "(MIT",
            "MIT)",
            "MIT Apache-2.0",
            "OR",
        ] {
            assert!(!met(expression), "{expression:?}");
        }
    }

    #[test]
    fn the_list_is_found() {
        let rules = "[licenses]\n# words\nallow = [\n    \"MIT\",\n    \"ISC\",\n]\n";
        assert_eq!(allowed(rules).unwrap(), ["MIT", "ISC"]);
        assert!(allowed("[licenses]\n").is_none());
    }

    #[test]
    fn this_project_passes() {
        assert!(check(&project::root()).unwrap() > 10);
    }
}
