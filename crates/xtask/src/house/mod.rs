//! The rules of the house that no compiler knows: which crate may use which, where `unsafe` may be,
//! how long a file may be, and that none tells where somebody's checkout lies.
//!
//! Pure functions over what was read; the reading is here. The test of this module holds them
//! against the project itself, so `cargo test` checks the house too.

mod files;
mod floors;

use crate::project;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The crates whose reason it is to contain `unsafe`. All others forbid it.
const UNSAFE_CRATES: [&str; 3] = ["ukevent-sys", "ukevent-buf", "ukevent-capi"];

/// A member of the workspace.
struct Crate {
    name: String,
    dependencies: Vec<Dependency>,
    /// The root files of its library and its programs.
    roots: Vec<PathBuf>,
    manifest: PathBuf,
}

/// What a member names in its manifest.
struct Dependency {
    name: String,
    /// Used by its tests and examples only.
    is_dev: bool,
}

/// Everything that is against the rules in the project at `root`, a line each.
pub(crate) fn problems(root: &Path) -> Result<Vec<String>, String> {
    let crates = members(root)?;
    let mut problems = match fs::read_to_string(root.join("ARCHITECTURE.md")) {
        Ok(text) => floors::problems(&text, &crates),
        Err(error) => vec![format!("ARCHITECTURE.md: {error}; it holds the floor table")],
    };
    for member in &crates {
        problems.extend(problems_of_member(member, root)?);
    }
    let forbidden = files::places(root);
    for path in files::walk(root).map_err(|error| format!("{}: {error}", root.display()))? {
        // What is not text has no lines to check.
        if let Ok(text) = fs::read_to_string(&path) {
            let name = path.strip_prefix(root).unwrap_or(&path);
            problems.extend(files::problems(name, &text, &forbidden));
        }
    }
    Ok(problems)
}

fn members(root: &Path) -> Result<Vec<Crate>, String> {
    let metadata = project::metadata(root, &["--no-deps"])?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata: no packages")?;
    Ok(packages.iter().map(member).collect())
}

fn member(package: &Value) -> Crate {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_shipped = |target: &Value| {
        list(&target["kind"]).iter().any(|kind| kind == "lib" || kind == "bin" || kind == "cdylib")
    };
    Crate {
        name: text(&package["name"]),
        dependencies: list(&package["dependencies"])
            .iter()
            .map(|it| Dependency { name: text(&it["name"]), is_dev: it["kind"] == "dev" })
            .collect(),
        roots: list(&package["targets"])
            .iter()
            .filter(|target| is_shipped(target))
            .map(|target| text(&target["src_path"]).into())
            .collect(),
        manifest: text(&package["manifest_path"]).into(),
    }
}

fn problems_of_member(member: &Crate, root: &Path) -> Result<Vec<String>, String> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut problems = Vec::new();
    if !inherits_lints(&read(&member.manifest)?) {
        problems
            .push(format!("{}: `[lints] workspace = true` is missing", shown(&member.manifest)));
    }
    if !UNSAFE_CRATES.contains(&member.name.as_str()) {
        for path in &member.roots {
            if !forbids_unsafe(&read(path)?) {
                problems.push(format!("{}: `#![forbid(unsafe_code)]` is missing", shown(path)));
            }
        }
    }
    Ok(problems)
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    lines.find(|line| !line.trim().is_empty()).is_some_and(|line| line.trim() == "workspace = true")
}

fn forbids_unsafe(source: &str) -> bool {
    source.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]")
}

#[cfg(test)]
mod tests {
    use super::{forbids_unsafe, inherits_lints, problems};
    use crate::project;

    #[test]
    fn this_house_stands() {
        let problems = problems(&project::root()).unwrap();
        assert!(problems.is_empty(), "\n{}", problems.join("\n"));
    }

    #[test]
    fn sees_whether_unsafe_is_forbidden() {
        assert!(forbids_unsafe("//! A crate.\n#![forbid(unsafe_code)]\n\nmod a;\n"));
        assert!(!forbids_unsafe("//! A crate with `#![forbid(unsafe_code)]` in its words.\n"));
        assert!(!forbids_unsafe("#![deny(unsafe_code)]\n"));
    }

    #[test]
    fn sees_whether_lints_are_inherited() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nversion.workspace = true\n"));
        assert!(!inherits_lints("[lints]\n\n[dependencies]\nworkspace = true\n"));
    }
}
