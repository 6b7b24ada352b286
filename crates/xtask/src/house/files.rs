//! What is checked in each file: how a source file begins, how long it is, and which places on disk
//! a text names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A source file has fewer lines than this, its tests apart.
const LINES: usize = 600;

/// Folders that a checkout may have and a repository not, or that hold data and no text.
const NOT_OURS: [&str; 4] = ["target", "corpus", "artifacts", "node_modules"];

/// The hidden folders that are part of the project.
const HIDDEN_OURS: [&str; 4] = [".cargo", ".ci", ".config", ".github"];

/// Folders that every machine has: to name a file in them tells nothing about a checkout.
const EVERYWHERE: [&str; 11] =
    ["/", "/tmp", "/var", "/var/tmp", "/home", "/root", "/usr", "/usr/src", "/srv", "/opt", "/mnt"];

/// What is wrong with the file of this name, relative to the root.
pub(super) fn problems(name: &Path, text: &str, places: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let shown = name.display();
    if name.extension().is_some_and(|it| it == "rs") {
        let lines = text.lines().count();
        if lines >= LINES && !is_test(name) {
            problems.push(format!("{shown}: {lines} lines; a file is split before {LINES}"));
        }
        if !text.starts_with("//!") {
            problems
                .push(format!("{shown}: does not open with `//!`, what it is and why it is here"));
        }
    }
    for place in places {
        if let Some(line) = text.lines().position(|line| names(line, place)) {
            problems.push(format!("{shown}:{}: names {place}, a place on one machine", line + 1));
        }
    }
    problems
}

fn is_test(name: &Path) -> bool {
    let folder_of_tests = |part: &str| matches!(part, "tests" | "test" | "benches" | "examples");
    name.iter()
        .filter_map(|part| part.to_str())
        .any(|part| folder_of_tests(part) || part.strip_suffix(".rs").is_some_and(folder_of_tests))
}

/// Whether the line has `place` as the beginning of a path, not as a part of a longer one.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|it| it.is_alphanumeric() || matches!(it, '.' | '_' | '-' | '*' | '}'))
    })
}

/// The folders on the way to this checkout that are this machine's own, each with a slash behind.
pub(super) fn places(root: &Path) -> Vec<String> {
    let own = |it: &&Path| !EVERYWHERE.iter().any(|known| Path::new(known) == *it);
    root.ancestors().filter(own).map(|it| format!("{}/", it.display())).collect()
}

/// Every file of the project, in order.
pub(super) fn walk(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            let is_hidden = name.starts_with('.') && !HIDDEN_OURS.contains(&&*name);
            if !is_hidden && !NOT_OURS.contains(&&*name) {
                files.extend(walk(&entry.path())?);
            }
        } else if entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{LINES, places, problems, walk};
    use std::path::Path;

    fn long(lines: usize) -> String {
        "//! Long.\n".repeat(lines)
    }

    #[test]
    fn long_files_are_told() {
        let name = Path::new("crates/a/src/b.rs");
        assert!(problems(name, &long(LINES - 1), &[]).is_empty());
        assert!(problems(name, &long(LINES), &[])[0].contains("600 lines"));
    }

    #[test]
    fn tests_and_prose_may_be_long() {
        for name in ["crates/a/tests/it/b.rs", "crates/a/src/b/tests.rs", "crates/a/src/tests/c.rs"]
        {
            assert!(problems(Path::new(name), &long(LINES), &[]).is_empty(), "{name}");
        }
        assert!(problems(Path::new("README.md"), &long(LINES), &[]).is_empty());
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(problems(Path::new("a.rs"), "use std::fs;\n", &[]).len(), 1);
        assert!(problems(Path::new("a.sh"), "echo\n", &[]).is_empty());
    }

    #[test]
    fn places_of_one_machine_are_told() {
        let own = places(Path::new("/home/ada/src/ukevent"));
        assert_eq!(own, ["/home/ada/src/ukevent/", "/home/ada/src/", "/home/ada/"]);
        let own = places(Path::new("/src/ukevent"));
        let told = |text| problems(Path::new("a.md"), text, &own).len();
        assert_eq!(told("one\nsee /src/notes.txt\n"), 1);
        assert_eq!(told("see crates/a/src/lib.rs, a/../src/b.rs and /usr/src/linux\n"), 0);
        assert_eq!(told("/src/ukevent/a, by its own path and its parent's"), 2);
        assert!(places(Path::new("/tmp/x")).iter().all(|place| place != "/tmp/"));
    }

    #[test]
    fn walks_what_is_ours() {
        let tree = testkit::TempTree::new();
        for name in ["a.rs", "b/c.rs", ".ci/run", ".git/config", "target/d.rs", "b/target/e.rs"] {
            tree.file(name, "");
        }
        let files = walk(tree.path()).unwrap();
        let names: Vec<_> = files.iter().map(|it| it.strip_prefix(tree.path()).unwrap()).collect();
        assert_eq!(names, [".ci/run", "a.rs", "b/c.rs"].map(Path::new));
    }
}
